"""Positions in a real Aave v3 market, equal to its contracts to the wei."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio_pipelines.chains.protocols import aave_math
from portfolio_pipelines.chains.protocols.aave_math import RAY, SECONDS_PER_YEAR
from portfolio_pipelines.chains.protocols.aave_v3 import AaveMarket, read_positions
from portfolio_pipelines.chains.protocols.calls import selector
from portfolio_pipelines.chains.protocols.faults import PositionFault
from portfolio_pipelines.chains.protocols.positions import Position
from portfolio_pipelines.chains.rpc.errors import Unreachable
from portfolio_pipelines.chains.rpc.node import Block
from tests.contracts.aave import ROOT, STABLE, Aave, deploy_aave
from tests.contracts.anvil import MULTICALL3, Anvil
from tests.contracts.artifacts import Artifact, artifact, deploy
from tests.contracts.plain_node import PlainNode

GONE = "0x" + "22" * 20
ETHER, DOLLAR = 10**18, 10**6


@pytest.fixture(scope="module")
def lent(module_chain: Anvil, sources: dict[str, Artifact]) -> Aave:
    """Accounts 1 to 4: a borrower at both kinds of rates, two lenders, one who supplied and left."""
    aave = deploy_aave(module_chain, sources)
    borrower, lender, other, left = module_chain.accounts[1:5]
    aave.supply(borrower, "WETH", 10 * ETHER)
    aave.supply(lender, "USDC", 500_000 * DOLLAR)
    aave.supply(other, "DAI", 123_456_789_012_345_678_901_234)
    aave.supply(other, "USDC", 1)
    aave.supply(left, "WETH", ETHER)
    aave.withdraw(left, "WETH")
    aave.borrow(borrower, "USDC", 8_000 * DOLLAR)
    aave.borrow(borrower, "DAI", 100 * ETHER, STABLE)
    module_chain.mine(7 * 24 * 3600)
    return aave


@pytest.fixture
def aave(module_chain: Anvil, lent: Aave) -> Iterator[Aave]:
    """The market; what a test does to it is gone afterwards."""
    with module_chain.reverted():
        yield lent


def read(
    node: PlainNode,
    aave: Aave,
    wallets: Sequence[str],
    *,
    block: int | None = None,
    markets: Sequence[AaveMarket] = (),
    multicall3: str | None = MULTICALL3,
    faults: list[PositionFault] | None = None,
) -> list[Position]:
    async def run() -> list[Position]:
        every = [*markets, AaveMarket("Test", aave.pool.address)]
        at = await node.block(block)
        return await read_positions(node, wallets, at, every, multicall3=multicall3, faults=faults)

    return asyncio.run(run())


def by_token(positions: Sequence[Position]) -> dict[tuple[str, str | None], int]:
    assert all(position.receipt_raw == position.amounts[0].raw for position in positions)
    return {(position.wallet, position.receipt_token): position.amounts[0].raw for position in positions}


def of_contracts(aave: Aave, wallets: Sequence[str], block: int | None = None) -> dict[tuple[str, str | None], int]:
    """Every balance that is not zero, as each token itself says."""
    tokens = [token for each in aave.assets.values() for token in (each.supply, each.stable_debt, each.variable_debt)]
    return {
        (wallet, token.address): raw
        for token in tokens
        for wallet, raw in zip(wallets, token.calls("balanceOf", [[w] for w in wallets], block), strict=True)
        if raw
    }


@pytest.mark.parametrize("multicall3", [MULTICALL3, None], ids=["multicall3", "batch"])
def test_every_supply_and_debt_is_the_contracts_balance(
    aave: Aave, module_chain: Anvil, module_node: PlainNode, multicall3: str | None
) -> None:
    wallets = module_chain.accounts
    positions = read(module_node, aave, wallets, multicall3=multicall3)
    assert by_token(positions) == of_contracts(aave, wallets)
    assert len(positions) == 6


def test_a_past_block_and_a_year_later_are_equal_too(aave: Aave, module_chain: Anvil, module_node: PlainNode) -> None:
    wallets = module_chain.accounts
    before = module_chain.height
    then = of_contracts(aave, wallets)
    module_chain.mine(SECONDS_PER_YEAR)
    aave.repay(wallets[1], "USDC")
    aave.borrow(wallets[1], "USDC", 55)
    later = of_contracts(aave, wallets)
    assert by_token(read(module_node, aave, wallets)) == later
    assert by_token(read(module_node, aave, wallets, block=before)) == then
    assert then != later


def test_a_supply_is_owned_and_a_debt_owed_each_explained_by_its_token(
    aave: Aave, module_chain: Anvil, module_node: PlainNode
) -> None:
    borrower = module_chain.accounts[1]
    weth, usdc, dai = (aave.assets[symbol] for symbol in ("WETH", "USDC", "DAI"))
    found = {position.receipt_token: position for position in read(module_node, aave, [borrower])}
    roles = {token: (each.amounts[0].token, each.amounts[0].role, each.facts["side"]) for token, each in found.items()}
    assert roles == {
        weth.supply.address: (weth.token.address, "supply", "supply"),
        usdc.variable_debt.address: (usdc.token.address, "debt", "variable_debt"),
        dai.stable_debt.address: (dai.token.address, "debt", "stable_debt"),
    }
    assert {each.position_id for each in found.values()} == {f"{aave.pool.address}/{token}" for token in found}


def test_the_safety_of_an_account_is_the_contracts_own(aave: Aave, module_chain: Anvil, module_node: PlainNode) -> None:
    borrower, lender = module_chain.accounts[1:3]
    collateral, debt, available, threshold, ltv, health = aave.pool.call("getUserAccountData", borrower)
    for position in read(module_node, aave, [borrower]):
        facts = position.facts
        assert (facts["total_collateral_base"], facts["total_debt_base"]) == (collateral, debt)
        assert (facts["available_borrows_base"], facts["liquidation_threshold"]) == (available, threshold)
        assert (facts["loan_to_value"], facts["health_factor"]) == (ltv, health)
        assert health == aave_math.health_factor(collateral, threshold, debt)
    (supply,) = read(module_node, aave, [lender])
    assert "health_factor" not in supply.facts  # no debt: nothing can fall


def test_whether_a_supply_is_collateral_follows_the_wallets_choice(
    aave: Aave, module_chain: Anvil, module_node: PlainNode
) -> None:
    other = module_chain.accounts[3]
    usdc, dai = (aave.assets[symbol] for symbol in ("USDC", "DAI"))
    aave.pool.send("setUserUseReserveAsCollateral", dai.token.address, False, sender=other)
    used = {each.receipt_token: each.facts["used_as_collateral"] for each in read(module_node, aave, [other])}
    assert used == {usdc.supply.address: 1, dai.supply.address: 0}


def test_a_wallet_that_never_came_or_has_left_has_no_positions(
    aave: Aave, module_chain: Anvil, module_node: PlainNode
) -> None:
    assert read(module_node, aave, [module_chain.accounts[4], GONE]) == []
    borrower, lender = module_chain.accounts[1:3]
    aave.repay(borrower, "USDC")
    aave.withdraw(lender, "USDC")
    assert read(module_node, aave, [lender]) == []
    assert {each.facts["side"] for each in read(module_node, aave, [borrower])} == {"supply", "stable_debt"}


def test_an_atoken_that_was_sent_on_is_the_receivers_supply(
    aave: Aave, module_chain: Anvil, module_node: PlainNode
) -> None:
    aave.assets["USDC"].supply.send("transfer", GONE, 1_000 * DOLLAR, sender=module_chain.accounts[2])
    (position,) = read(module_node, aave, [GONE])
    assert position.amounts[0].raw == aave.assets["USDC"].supply.call("balanceOf", GONE)


def test_projected_interest_is_what_the_contracts_say_when_the_time_has_come(
    aave: Aave, module_chain: Anvil, module_node: PlainNode
) -> None:
    """From the figures of today, no transaction in between: the same to the wei after 1 second and after a year."""
    borrower, lender = module_chain.accounts[1:3]
    usdc, dai = aave.assets["USDC"], aave.assets["DAI"]
    now = module_chain.now
    data = dict(zip(FIELDS, aave.pool.call("getReserveData", usdc.token.address), strict=False))
    supplied, owed = usdc.supply.call("scaledBalanceOf", lender), usdc.variable_debt.call("scaledBalanceOf", borrower)
    principal, rate = (
        dai.stable_debt.call("principalBalanceOf", borrower),
        dai.stable_debt.call("getUserStableRate", borrower),
    )
    since = dai.stable_debt.call("getUserLastUpdated", borrower)
    for seconds in (1, SECONDS_PER_YEAR):
        module_chain.mine(seconds)
        elapsed = module_chain.now - data["updated"]
        income = aave_math.normalized_income(data["liquidity_index"], data["liquidity_rate"], elapsed)
        debt = aave_math.normalized_variable_debt(data["borrow_index"], data["borrow_rate"], elapsed)
        assert income == aave.pool.call("getReserveNormalizedIncome", usdc.token.address)
        assert debt == aave.pool.call("getReserveNormalizedVariableDebt", usdc.token.address)
        assert aave_math.ray_mul(supplied, income) == usdc.supply.call("balanceOf", lender)
        assert aave_math.ray_mul(owed, debt) == usdc.variable_debt.call("balanceOf", borrower)
        stable = aave_math.stable_debt(principal, rate, module_chain.now - since)
        assert stable == dai.stable_debt.call("balanceOf", borrower)
        facts = {each.receipt_token: each.facts for each in read(module_node, aave, [borrower, lender])}
        assert facts[usdc.supply.address]["index_ray"] == income
        assert facts[usdc.variable_debt.address]["index_ray"] == debt
        assert facts[usdc.variable_debt.address]["rate_ray"] == data["borrow_rate"]
    assert module_chain.now > now + SECONDS_PER_YEAR


FIELDS = ("configuration", "liquidity_index", "liquidity_rate", "borrow_index", "borrow_rate", "stable_rate", "updated")


@pytest.fixture(scope="module")
def wrapper(module_chain: Anvil) -> Any:
    return deploy(module_chain, artifact(f"{ROOT}/mocks/tests/WadRayMathWrapper.sol/WadRayMathWrapper.json"))


@settings(max_examples=60)
@given(a=st.integers(0, 2**127), b=st.integers(1, 2**120))
def test_products_and_quotients_equal_the_contracts_library(wrapper: Any, a: int, b: int) -> None:
    assert aave_math.ray_mul(a, b) == wrapper.call("rayMul", a, b)
    assert aave_math.ray_div(a, b) == wrapper.call("rayDiv", a, b)
    assert aave_math.wad_mul(a, b) == wrapper.call("wadMul", a, b)
    assert aave_math.wad_div(a, b) == wrapper.call("wadDiv", a, b)


def test_a_thousand_wallets_take_a_handful_of_requests(aave: Aave, module_chain: Anvil, module_node: PlainNode) -> None:
    wallets = [f"0x{number:040x}" for number in range(10**9, 10**9 + 1_000)] + module_chain.accounts
    assert len(read(module_node, aave, wallets)) == 6
    assert module_node.calls <= 12


def test_a_market_without_code_is_an_error_that_names_it_and_the_others_are_read(
    aave: Aave, module_chain: Anvil, module_node: PlainNode
) -> None:
    faults: list[PositionFault] = []
    markets = [AaveMarket("Gone", GONE), AaveMarket("NoPool", aave.assets["WETH"].token.address)]
    positions = read(module_node, aave, module_chain.accounts, markets=markets, faults=faults)
    assert by_token(positions) == of_contracts(aave, module_chain.accounts)
    assert [(fault.chain, fault.name, fault.place) for fault in faults] == [
        ("local", "Gone", GONE),
        ("local", "NoPool", aave.assets["WETH"].token.address),
    ]
    assert str(faults[0]) == f"local: aave_v3 Gone {GONE}: the list of reserves: no contract answers at this address"


def test_a_fault_that_nobody_collects_is_raised(aave: Aave, module_node: PlainNode) -> None:
    with pytest.raises(PositionFault, match="local: aave_v3 Gone"):
        read(module_node, aave, [GONE], markets=[AaveMarket("Gone", GONE)])


def test_a_dead_price_feed_hides_safety_and_not_amounts(
    aave: Aave, module_chain: Anvil, module_node: PlainNode
) -> None:
    borrower, lender = module_chain.accounts[1:3]
    module_chain.set_code(aave.assets["WETH"].feed.address, b"")
    faults: list[PositionFault] = []
    positions = read(module_node, aave, [borrower, lender], faults=faults)
    assert by_token(positions) == of_contracts(aave, [borrower, lender])
    assert [(fault.wallet, fault.place) for fault in faults] == [(borrower, aave.pool.address)]
    known = {position.wallet: "total_debt_base" in position.facts for position in positions}
    assert known == {borrower: False, lender: True}


def test_a_token_that_reverts_costs_only_its_reserve(aave: Aave, module_chain: Anvil, module_node: PlainNode) -> None:
    wallets = module_chain.accounts
    expected = of_contracts(aave, wallets)
    dai = aave.assets["DAI"]
    module_chain.set_code(dai.supply.address, bytes.fromhex("60006000fd"))  # reverts whatever it is asked
    faults: list[PositionFault] = []
    positions = read(module_node, aave, wallets, faults=faults)
    assert by_token(positions) == {key: raw for key, raw in expected.items() if key[1] != dai.supply.address}
    assert {(fault.name, fault.token) for fault in faults if fault.wallet is None} == {("Test", dai.token.address)}


class OtherLayout(PlainNode):
    """Changes the answers of one function."""

    def __init__(self, node: PlainNode, signature: str, words: dict[int, int], more: int = 0) -> None:
        super().__init__(node.url, node.chain_id)
        self.selector, self.words, self.more = "0x" + selector(signature).hex(), words, more

    async def batch(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        results = await super().batch(requests)
        for place, (method, params) in enumerate(requests):
            if method == "eth_call" and params[0]["data"].startswith(self.selector):
                results[place] = self._changed(results[place])
        return results

    def _changed(self, answer: str) -> str:
        words = [answer[at : at + 64] for at in range(2, len(answer), 64)]
        for place, word in self.words.items():
            words[place] = f"{word:064x}"
        return "0x" + "".join([*words, *["11" * 32] * self.more])


def test_fields_that_a_newer_version_appends_or_empties_change_nothing(
    aave: Aave, module_chain: Anvil, module_node: PlainNode
) -> None:
    newer = OtherLayout(module_node, "getReserveData(address)", {5: 0, 9: 0, 13: 0, 14: 0}, more=3)
    wallets = module_chain.accounts
    stable = {each.stable_debt.address for each in aave.assets.values()}
    expected = {key: raw for key, raw in of_contracts(aave, wallets).items() if key[1] not in stable}
    assert by_token(read(newer, aave, wallets, multicall3=None)) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({1: 5}, "unknown layout"),
        ({6: 2**39}, "unknown layout"),
        ({7: 128}, "unknown layout"),
        ({8: 2**160}, "not an address"),
        ({8: 0xFFFF}, "no contract answers"),
    ],
)
def test_an_answer_of_another_layout_is_a_fault_and_not_a_number(
    aave: Aave, module_chain: Anvil, module_node: PlainNode, words: dict[int, int], message: str
) -> None:
    faults: list[PositionFault] = []
    other = OtherLayout(module_node, "getReserveData(address)", words)
    positions = read(other, aave, module_chain.accounts, multicall3=None, faults=faults)
    assert all(position.facts["side"] != "supply" for position in positions)
    assert len(faults) == 3
    assert all(message in fault.message for fault in faults)


def test_a_token_that_stands_for_another_asset_is_a_fault(
    aave: Aave, module_chain: Anvil, module_node: PlainNode
) -> None:
    faults: list[PositionFault] = []
    shifted = OtherLayout(module_node, "getReserveData(address)", {8: int(aave.assets["USDC"].supply.address, 16)})
    positions = read(shifted, aave, module_chain.accounts, multicall3=None, faults=faults)
    supplies = {position.receipt_token for position in positions if position.facts["side"] == "supply"}
    assert supplies == {aave.assets["USDC"].supply.address}
    assert len([fault for fault in faults if "says that it stands for" in fault.message]) == 2


def test_a_dead_node_is_an_error_of_the_chain_and_not_of_a_market(aave: Aave) -> None:
    nowhere = PlainNode("http://127.0.0.1:9", 1, "ethereum")
    faults: list[PositionFault] = []
    block = Block(1, "0x" + "00" * 32, 1)
    market = AaveMarket("Test", aave.pool.address)
    with pytest.raises(Unreachable, match="ethereum"):
        asyncio.run(read_positions(nowhere, [GONE], block, [market], faults=faults))
    assert faults == []


def test_rates_of_a_reserve_nobody_uses_are_zero_and_its_index_one(
    aave: Aave, module_node: PlainNode, module_chain: Anvil
) -> None:
    (weth,) = [each for each in read(module_node, aave, module_chain.accounts[1:2]) if each.facts["side"] == "supply"]
    assert (weth.facts["rate_ray"], weth.facts["index_ray"]) == (0, RAY)
