"""What tokens say of themselves is read with care, and a liar harms only itself."""

import asyncio
from typing import Any

import eth_abi
import pytest
from eth_hash.auto import keccak

from portfolio_pipelines.chains import discovery, receipt_probe, receipt_tokens, token_facts
from portfolio_pipelines.chains.rpc.errors import Reverted, RpcError, TooMuch, Unreachable
from portfolio_pipelines.chains.token_facts import DECIMALS, MOST_CHARACTERS, NAME, SYMBOL, TOKEN_FACTS
from tests.unit.chains.simulated_chain import SimulatedChain, address
from tests.unit.chains.test_log_ranges import WHERE

GOOD, BAD = address(1), address(2)


def string(text: str | bytes) -> str:
    content = text.encode() if isinstance(text, str) else text
    return "0x" + eth_abi.encode(["bytes"], [content]).hex()


def word(number: int) -> str:
    return f"0x{number:064x}"


def facts(**answers: Any) -> dict[str, Any]:
    """The facts of a token with these answers, read beside an ordinary one that must stay as it is."""
    chain = SimulatedChain(range(10))
    ordinary = {"code": "0x6000", SYMBOL: string("GOOD"), NAME: string("Good Token"), DECIMALS: word(6)}
    asked = {"code": "0x6000", SYMBOL: string("BAD"), NAME: string("Bad Token"), DECIMALS: word(18)}
    for name, answer in answers.items():
        asked[{"symbol": SYMBOL, "name": NAME, "decimals": DECIMALS, "code": "code"}[name]] = answer
    chain.contracts = {(GOOD, key): value for key, value in ordinary.items()}
    chain.contracts |= {(BAD, key): value for key, value in asked.items()}
    frame = asyncio.run(token_facts.token_facts(chain, [BAD, GOOD], 9))
    assert dict(frame.schema) == TOKEN_FACTS
    assert frame.row(1) == (GOOD, "ok", "GOOD", "Good Token", 6, None)
    return frame.row(0, named=True)


def test_an_ordinary_token() -> None:
    assert tuple(facts().values()) == (BAD, "ok", "BAD", "Bad Token", 18, None)


def test_early_tokens_answer_in_32_bytes() -> None:
    """MKR on Ethereum."""
    found = facts(symbol="0x" + b"MKR".ljust(32, b"\0").hex(), name="0x" + b"Maker".ljust(32, b"\0").hex())
    assert (found["symbol"], found["name"], found["status"]) == ("MKR", "Maker", "ok")


@pytest.mark.parametrize(
    ("symbol", "read"),
    [
        (string("  SP ACE \n"), "SP ACE"),
        (string("US\u200bDC"), "US\u200bDC"),
        (string("A\x00B\x07"), "AB"),
        (string(b"\xff\xfeX"), "\ufffd\ufffdX"),
        (string(""), None),
        ("0x", None),
        ("0x1234", None),
        (word(0), None),
        (word(32) + f"{2**255:064x}", None),  # says it is endless
        (word(32) + f"{200:064x}" + "41" * 32, None),  # longer than what came
        (word(2**200) + f"{1:064x}" + "41" * 32, None),
        (string("spam " * 2_000), ("spam " * 2_000)[: MOST_CHARACTERS - 1] + "…"),
        ("0xzz", None),
        (None, None),
        ({"no": "text"}, None),
    ],
)
def test_symbols_of_every_form(symbol: Any, read: str | None) -> None:
    found = facts(symbol=symbol)
    assert found["symbol"] == read
    assert (found["status"], found["decimals"], found["name"]) == ("ok", 18, "Bad Token")
    assert (found["fault"] is None) == (read is not None and not read.endswith("…"))


@pytest.mark.parametrize(
    "decimals", ["0x", word(256), word(2**256 - 1), word(1) + "00" * 32, string("18"), "0x12", None]
)
def test_decimals_that_cannot_be_leave_the_amount_unstated(decimals: Any) -> None:
    found = facts(decimals=decimals)
    assert (found["status"], found["decimals"]) == ("incomplete", None)
    assert found["fault"].startswith("decimals: ")


@pytest.mark.parametrize("error", [Reverted(*WHERE, "no"), TooMuch(*WHERE, "out of gas")])
def test_a_call_that_fails_is_the_fault_of_the_token(error: RpcError) -> None:
    found = facts(symbol=error, decimals=error)
    assert (found["status"], found["symbol"], found["name"]) == ("incomplete", None, "Bad Token")


@pytest.mark.parametrize("place", ["code", "symbol", "name", "decimals"])
def test_a_node_that_fails_leaves_the_token_unread_instead_of_nameless(place: str) -> None:
    found = facts(**{place: Unreachable(*WHERE, "gone")})
    assert found["status"] == "unread"
    assert "simulated" in found["fault"]
    assert found["symbol"] is found["name"] is found["decimals"] is None


def test_an_address_without_code_is_no_token() -> None:
    assert facts(code="0x", symbol="0x", name="0x", decimals="0x")["status"] == "no_code"


def test_many_tokens_are_read_in_batches_and_in_order() -> None:
    chain = SimulatedChain(range(10))
    tokens = [address(number) for number in range(250)]
    for token in tokens:
        answers = {"code": "0x60", SYMBOL: string(token[-4:]), NAME: string("N"), DECIMALS: word(2)}
        chain.contracts = dict(chain.contracts) | {(token, key): value for key, value in answers.items()}
    frame = asyncio.run(token_facts.token_facts(chain, tokens, 9))
    assert frame["symbol"].to_list() == [token[-4:] for token in tokens]
    assert asyncio.run(token_facts.token_facts(chain, [], 9)).is_empty()


def test_selectors_and_topics_are_those_of_their_signatures() -> None:
    selectors = {
        "symbol()": SYMBOL,
        "name()": NAME,
        "decimals()": DECIMALS,
        "convertToAssets(uint256)": receipt_tokens.CONVERT_TO_ASSETS,
        "stEthPerToken()": receipt_tokens.STETH_OF_ONE,
        "getExchangeRate()": receipt_tokens.GET_EXCHANGE_RATE,
        "exchangeRateStored()": receipt_tokens.EXCHANGE_RATE_STORED,
        "asset()": receipt_probe.ASSET,
        "stETH()": receipt_probe.STETH,
        "underlying()": receipt_probe.UNDERLYING,
        "getReserves()": receipt_tokens._GET_RESERVES,
        "totalSupply()": receipt_tokens._TOTAL_SUPPLY,
    }
    topics = {
        "Transfer(address,address,uint256)": discovery.TRANSFER,
        "Deposit(address,uint256)": discovery.DEPOSIT,
        "Withdrawal(address,uint256)": discovery.WITHDRAWAL,
    }
    assert selectors == {signature: "0x" + keccak(signature.encode())[:4].hex() for signature in selectors}
    assert topics == {signature: "0x" + keccak(signature.encode()).hex() for signature in topics}
