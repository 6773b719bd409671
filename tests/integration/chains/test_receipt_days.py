"""Receipts of real contracts, day after day: recognised once, their ratios read at the block of each read."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from portfolio_pipelines.assets.chain_reading import ChainDayReader, ChainDayRows
from portfolio_pipelines.assets.chain_work import ChainWork
from portfolio_pipelines.chain_tables import RECEIPT_RATIOS
from portfolio_pipelines.chains.chain_reading import NATIVE, ChainReading
from portfolio_pipelines.chains.deployments import Deployments
from portfolio_pipelines.chains.evm_reading import EvmReader
from portfolio_pipelines.chains.evm_receipts import ReceiptReader, ReceiptReading
from portfolio_pipelines.chains.receipt_probe import ReceiptFinding, probe_receipts
from portfolio_pipelines.chains.receipt_tokens import NoRatio, Ratio
from portfolio_pipelines.chains.registry import Chain
from portfolio_pipelines.chains.token_facts import token_facts
from portfolio_pipelines.resources.lake import Lake
from tests.contracts.anvil import MULTICALL3, Anvil
from tests.contracts.artifacts import Artifact, Contract, deploy
from tests.contracts.plain_node import PlainNode

ANA = "0x" + "a1" * 20
ROW = Chain(31337, "local", "Local", "ETH", "local", multicall3=MULTICALL3)
WALLETS = pl.DataFrame({"wallet_key": [1], "address": [ANA]}, schema_overrides={"wallet_key": pl.Int32})
WAD = 10**18
USD = 10**6


def vault_of(
    chain: Anvil, sources: dict[str, Artifact], coin: Contract, *, offset: int, deposit: int, gift: int
) -> Contract:
    """A vault with a deposit of Ana's, to which somebody gave something: a share is worth more than it cost."""
    me = chain.accounts[1]
    vault = deploy(chain, sources["TestVault"], coin.address, offset)
    coin.send("mint", me, deposit)
    coin.send("approve", vault.address, 2**256 - 1, sender=me)
    vault.send("deposit", deposit, ANA, sender=me)
    coin.send("mint", vault.address, gift)
    return vault


def hostile(chain: Anvil, sources: dict[str, Artifact], **said: Any) -> Contract:
    contract = deploy(chain, sources["HostileReceipt"])
    contract.send("mint", ANA, 5 * WAD)
    for what, value in said.items():
        contract.send({"asset": "setAsset", "steth": "setSteth", "underlying": "setUnderlying", "rate": "setRate",
                       "burns_gas": "setBurnsGas"}[what], value)  # fmt: skip
    return contract


def look(chain: Anvil, *held: Contract, block: int | None = None, **more: Any) -> tuple[ReceiptReading, list[str]]:
    """Find receipts among tokens of 18 digits that nobody knows, and read their ratios."""
    node, faults = PlainNode(chain.url, chain.chain_id), list[str]()
    at = chain.height if block is None else block
    tokens = [each.address for each in held]

    async def facts(unknown: set[str]) -> pl.DataFrame:
        return await token_facts(node, sorted(unknown), at)

    reader = ReceiptReader(node, chain.chain_id, at, facts, **more)
    known = {NATIVE: 18, **dict.fromkeys(tokens, 18)}
    return asyncio.run(reader.read(tokens, known, receipts={}, may_be=tokens, faults=faults)), faults


@dataclass
class Days:
    """Reads and stores the running day of a chain, as of its own time; what was learned stays, as in a database."""

    chain: Anvil
    lake: Lake
    keys: dict[str, int] = field(default_factory=lambda: {NATIVE: 100})
    asked: list[ReceiptFinding] = field(default_factory=list)
    work: ChainWork = field(init=False)

    def __post_init__(self) -> None:
        self.work = ChainWork(ROW, WALLETS, (), frozenset(), (), self.keys, timedelta(days=1))

    def read(self, url: str | None = None) -> ChainDayRows:
        now = datetime.fromtimestamp(self.chain.now, UTC)
        reader = EvmReader(PlainNode(url or self.chain.url, self.chain.chain_id), ROW, Deployments(31337))
        rows = asyncio.run(ChainDayReader(self.lake, self.work, reader, self._keys_of, now).read(now.date()))
        for table, frame in rows.tables.items():
            self.lake.replace_chain(table, now.date(), "local", frame)
        return rows

    def ratios(self, url: str | None = None) -> dict[int, tuple[float | None, bool]]:
        frame = self.read(url).tables[RECEIPT_RATIOS]
        return {row["token_key"]: (row["ratio"], row["is_stale"]) for row in frame.iter_rows(named=True)}

    def _keys_of(self, _: Chain, reading: ChainReading) -> Mapping[str, int]:
        self.asked += reading.receipts
        for token in reading.new_tokens["token"]:
            self.keys.setdefault(token, 100 + len(self.keys))
        return self.keys


@pytest.fixture
def morning(chain: Anvil) -> Anvil:
    day = timedelta(days=1).total_seconds()
    chain.mine(int(day - chain.now % day) + 60)
    return chain


def test_a_vault_is_recognised_once_and_its_ratio_is_that_of_each_read(
    morning: Anvil, sources: dict[str, Artifact], tmp_path: Path
) -> None:
    coin = deploy(morning, sources["TestToken"], "Coin", "COIN", 6)
    vault = vault_of(morning, sources, coin, offset=12, deposit=1_000 * USD, gift=234_567_891)
    days = Days(morning, Lake(tmp_path))
    rows = days.read()
    assert rows.fault is None
    row = rows.tables[RECEIPT_RATIOS].row(0, named=True)
    assert (row["token_key"], row["underlying_token_key"]) == (days.keys[vault.address], days.keys[coin.address])
    shares = vault.call("balanceOf", ANA)
    worth = shares * int(row["numerator"]) // int(row["denominator"])
    assert abs(worth - vault.call("previewRedeem", shares)) <= 1
    assert row["ratio"] == pytest.approx(1.234567891, rel=1e-8)
    assert (row["block_number"], row["is_stale"], row["reason"]) == (morning.height, False, None)
    assert days.asked == [
        ReceiptFinding(vault.address, "erc4626", coin.address),
        ReceiptFinding(coin.address, "none"),
    ]

    coin.send("mint", vault.address, 1_000 * USD)
    morning.mine(3600)
    assert days.ratios()[days.keys[vault.address]] == (pytest.approx(2.234567891, rel=1e-8), False)
    assert len(days.asked) == 2, "neither was asked again"


def test_a_ratio_is_stale_while_the_chain_fails_and_gone_when_nobody_holds_the_receipt(
    morning: Anvil, sources: dict[str, Artifact], tmp_path: Path
) -> None:
    coin = deploy(morning, sources["TestToken"], "Coin", "COIN", 6)
    vault = vault_of(morning, sources, coin, offset=0, deposit=100 * USD, gift=50 * USD)
    days = Days(morning, Lake(tmp_path))
    for url, is_stale in ((None, False), ("http://127.0.0.1:9", True), (None, False)):
        assert days.ratios(url) == {days.keys[vault.address]: (pytest.approx(1.5, rel=1e-6), is_stale)}

    vault.send("transfer", morning.accounts[2], vault.call("balanceOf", ANA), sender=morning.impersonate(ANA))
    morning.mine(3600)
    assert days.ratios() == {}


def test_a_vault_that_stops_to_answer_keeps_its_last_ratio_and_says_why(
    morning: Anvil, sources: dict[str, Artifact], tmp_path: Path
) -> None:
    coin = deploy(morning, sources["TestToken"], "Coin", "COIN", 18)
    vault = hostile(morning, sources, asset=coin.address, rate=2 * WAD)
    days = Days(morning, Lake(tmp_path))
    assert days.ratios() == {days.keys[vault.address]: (2.0, False)}
    vault.send("setRate", 10**30)  # a million millions for one
    morning.mine(3600)
    row = days.read().tables[RECEIPT_RATIOS].row(0, named=True)
    assert (row["ratio"], row["is_stale"]) == (2.0, True)
    assert "absurd" in row["reason"]
    vault.send("setRate", 3 * WAD)
    morning.mine(3600)
    row = days.read().tables[RECEIPT_RATIOS].row(0, named=True)
    assert (row["ratio"], row["is_stale"], row["reason"]) == (3.0, False, None)


def test_vaults_of_vaults_are_read_down_to_the_coin(chain: Anvil, sources: dict[str, Artifact]) -> None:
    coin = deploy(chain, sources["TestToken"], "Coin", "COIN", 6)
    first = vault_of(chain, sources, coin, offset=12, deposit=100 * USD, gift=25 * USD)
    second = hostile(chain, sources, asset=first.address, rate=2 * WAD)
    reading, faults = look(chain, second)
    assert faults == []
    assert {each.token: each.underlying for each in reading.findings if each.kind == "erc4626"} == {
        second.address: first.address, first.address: coin.address,
    }  # fmt: skip
    assert {each.token for each in reading.ratios if isinstance(each, Ratio)} == {first.address, second.address}
    assert ReceiptFinding(coin.address, "none") in reading.findings


def test_the_ratio_of_a_past_block_is_that_of_the_past(chain: Anvil, sources: dict[str, Artifact]) -> None:
    coin = deploy(chain, sources["TestToken"], "Coin", "COIN", 18)
    vault = hostile(chain, sources, asset=coin.address, rate=WAD)
    before = chain.height
    vault.send("setRate", 7 * WAD)
    (then,), (now,) = look(chain, vault, block=before)[0].ratios, look(chain, vault)[0].ratios
    assert isinstance(then, Ratio)
    assert isinstance(now, Ratio)
    assert [Fraction(each.numerator, each.denominator) for each in (then, now)] == [Fraction(1), Fraction(7)]


def test_every_kind_of_receipt_is_known_by_its_functions_or_by_its_name(
    chain: Anvil, sources: dict[str, Artifact]
) -> None:
    coin = deploy(chain, sources["TestToken"], "Coin", "COIN", 18)
    wrapped = hostile(chain, sources, steth=coin.address, rate=WAD)
    market = hostile(chain, sources, underlying=coin.address, rate=WAD)
    rocket, plain = hostile(chain, sources, rate=WAD), hostile(chain, sources, rate=WAD)
    named = {(chain.chain_id, rocket.address): ("reth", NATIVE)}
    reading, _ = look(chain, wrapped, market, rocket, plain, coin, named=named)
    assert {each.token: (each.kind, each.underlying) for each in reading.findings} == {
        wrapped.address: ("wsteth", coin.address),
        market.address: ("ctoken", coin.address),
        rocket.address: ("reth", NATIVE),
        plain.address: ("none", None),  # a rate alone does not say of what
        coin.address: ("none", None),
    }
    assert {each.token for each in reading.ratios if isinstance(each, Ratio)} == {
        wrapped.address, market.address, rocket.address,
    }  # fmt: skip


def test_what_cannot_be_is_refused_and_harms_no_other(chain: Anvil, sources: dict[str, Artifact]) -> None:
    coin = deploy(chain, sources["TestToken"], "Coin", "COIN", 18)
    honest = hostile(chain, sources, asset=coin.address, rate=WAD)
    itself = hostile(chain, sources, rate=WAD)
    itself.send("setAsset", itself.address)
    nowhere = hostile(chain, sources, asset="0x" + "77" * 20, rate=WAD)
    nothing = hostile(chain, sources, rate=WAD)  # asset(), stETH() and underlying() say the zero address
    silent = hostile(chain, sources, asset=MULTICALL3, rate=WAD)  # a contract, but no token
    one = hostile(chain, sources, rate=WAD)
    two = hostile(chain, sources, asset=one.address, rate=WAD)
    one.send("setAsset", two.address)
    large, small = (hostile(chain, sources, asset=coin.address, rate=rate) for rate in (WAD * 10**6 + WAD, 10**11))
    burning = hostile(chain, sources, asset=coin.address, rate=WAD, burns_gas=True)
    held = [itself, nowhere, nothing, silent, one, two, large, small, burning, honest]
    reading, faults = look(chain, *held)
    assert faults == []
    reasons = {each.token: each.reason or "" for each in reading.findings if each.kind == "refused"}
    assert "of itself" in reasons[itself.address]
    assert "no contract" in reasons[nowhere.address]
    assert "decimals" in reasons[silent.address]
    assert len({one.address, two.address} & reasons.keys()) == 1, "of a circle only the link that closes it"
    assert {each.token for each in reading.ratios if isinstance(each, NoRatio)} == {large.address, small.address}
    given = {each.token for each in reading.ratios if isinstance(each, Ratio)}
    assert honest.address in given
    assert given.isdisjoint(reasons)
    assert {each.token for each in reading.findings if each.kind == "none"} >= {burning.address, nothing.address}


def test_a_node_that_fails_decides_nothing(chain: Anvil, sources: dict[str, Artifact]) -> None:
    token = hostile(chain, sources, rate=WAD)
    gone = PlainNode("http://127.0.0.1:9", chain.chain_id)
    reading, faults = asyncio.run(_of(gone, token.address))
    assert (reading.findings, reading.ratios) == ([], [])
    assert faults
    assert asyncio.run(probe_receipts(PlainNode(chain.url, chain.chain_id), {}, 1, chain_id=1)) == []


async def _of(node: PlainNode, token: str) -> tuple[ReceiptReading, list[str]]:
    async def facts(_: set[str]) -> pl.DataFrame:
        raise AssertionError

    faults: list[str] = []
    reader = ReceiptReader(node, node.chain_id, 1, facts)
    return await reader.read([token], {token: 18}, receipts={}, may_be=[token], faults=faults), faults
