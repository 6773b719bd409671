"""Positions in Compound v3, against stand-ins with the views and the arithmetic of a Comet (see their source)."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pytest

from portfolio_pipelines.chains.protocols.compound_math import accrued_index, present_value
from portfolio_pipelines.chains.protocols.compound_v3 import CompoundMarket, read_positions
from portfolio_pipelines.chains.protocols.faults import PositionFault
from portfolio_pipelines.chains.protocols.positions import Position
from tests.contracts.anvil import MULTICALL3, Anvil
from tests.contracts.artifacts import Artifact, Contract, deploy
from tests.contracts.plain_node import PlainNode

GONE = "0x" + "22" * 20
REVERTS = bytes.fromhex("60006000fd")
DOLLAR, ETHER, COIN = 10**6, 10**18, 10**8


@dataclass(frozen=True)
class Comet:
    """A market lending USDC against WETH and WBTC."""

    market: CompoundMarket
    contract: Contract
    base: str
    weth: str
    wbtc: str
    feeds: dict[str, Contract]
    rewards: Contract


@pytest.fixture(scope="module")
def deployed(module_chain: Anvil, sources: dict[str, Artifact]) -> Comet:
    """Accounts 1 to 5: a lender, a borrower, one with collateral only, one who left, one with a reward only."""
    base, weth, wbtc, prize = ("0x" + digit * 40 for digit in "abcd")
    feeds = {
        token: deploy(module_chain, sources["PriceFeedStandIn"], price * 10**8)
        for token, price in ((base, 1), (weth, 2_000), (wbtc, 40_000))
    }
    assets = [
        (0, weth, feeds[weth].address, ETHER, 825 * 10**15, 895 * 10**15, 95 * 10**16, 2**100),
        (1, wbtc, feeds[wbtc].address, COIN, 70 * 10**16, 77 * 10**16, 95 * 10**16, 2**100),
    ]
    names = "offset asset priceFeed scale borrowCollateralFactor liquidateCollateralFactor liquidationFactor supplyCap"
    structs = [dict(zip(names.split(), asset, strict=True)) for asset in assets]
    comet = deploy(module_chain, sources["CometStandIn"], base, feeds[base].address, DOLLAR, structs)
    rewards = deploy(module_chain, sources["CometRewardsStandIn"])
    rewards.send("support", comet.address, prize)
    lender, borrower, saver, left, winner = module_chain.accounts[1:6]
    comet.send("supply", base, 100_000 * DOLLAR, sender=lender)
    comet.send("supply", weth, 10 * ETHER, sender=borrower)
    comet.send("withdraw", base, 10_000 * DOLLAR, sender=borrower)
    comet.send("supply", wbtc, 3 * COIN, sender=saver)
    comet.send("supply", base, 5 * DOLLAR, sender=left)
    comet.send("withdraw", base, 5 * DOLLAR, sender=left)
    comet.send("supply", weth, ETHER, sender=left)
    comet.send("withdraw", weth, ETHER, sender=left)
    comet.send("setRewards", winner, 77)
    comet.send("setRates", 126_839_167, 443_937_086)
    module_chain.mine(8_640_000)
    market = CompoundMarket("usdc", comet.address, rewards.address)
    return Comet(market, comet, base, weth, wbtc, feeds, rewards)


@pytest.fixture
def comet(module_chain: Anvil, deployed: Comet) -> Iterator[Comet]:
    with module_chain.reverted():
        yield deployed


def read(
    node: PlainNode,
    wallets: Sequence[str],
    *markets: CompoundMarket,
    block: int | None = None,
    multicall3: str | None = MULTICALL3,
    faults: list[PositionFault] | None = None,
) -> list[Position]:
    async def run() -> list[Position]:
        at = await node.block(block)
        return await read_positions(node, wallets, at, markets, multicall3=multicall3, faults=faults)

    return asyncio.run(run())


def amounts(position: Position) -> dict[tuple[str, str], int]:
    return {(amount.role, amount.token): amount.raw for amount in position.amounts}


@pytest.mark.parametrize("multicall3", [MULTICALL3, None], ids=["multicall3", "batch"])
def test_supplies_debts_collateral_and_rewards_are_the_contracts_own(
    comet: Comet, module_chain: Anvil, module_node: PlainNode, multicall3: str | None
) -> None:
    lender, borrower, saver, _, winner = module_chain.accounts[1:6]
    positions = read(module_node, module_chain.accounts, comet.market, multicall3=multicall3)
    prize = "0x" + "d" * 40
    assert {position.wallet: amounts(position) for position in positions} == {
        lender: {("supply", comet.base): comet.contract.call("balanceOf", lender)},
        borrower: {
            ("debt", comet.base): comet.contract.call("borrowBalanceOf", borrower),
            ("collateral", comet.weth): 10 * ETHER,
        },
        saver: {("collateral", comet.wbtc): 3 * COIN},
        winner: {("reward", prize): 77 * 10**12},
    }
    assert {(each.position_id, each.pool, each.protocol) for each in positions} == {
        (comet.contract.address, comet.contract.address, "compound_v3")
    }


def test_only_a_supply_of_the_base_token_is_a_token_in_the_wallet(
    comet: Comet, module_chain: Anvil, module_node: PlainNode
) -> None:
    lender, borrower = module_chain.accounts[1:3]
    supply, debt = read(module_node, [lender, borrower], comet.market)
    assert (supply.receipt_token, supply.receipt_raw) == (
        comet.contract.address,
        comet.contract.call("balanceOf", lender),
    )
    assert (debt.receipt_token, debt.receipt_raw) == (None, 0)


def test_the_arithmetic_gives_the_contracts_figures_at_any_later_time(
    comet: Comet, module_chain: Anvil, module_node: PlainNode
) -> None:
    lender, borrower = module_chain.accounts[1:3]
    names = ("baseSupplyIndex", "baseBorrowIndex", "supplyRate", "borrowRate", "lastAccrualTime")
    supply_index, borrow_index, supply_rate, borrow_rate, since = (comet.contract.call(name) for name in names)
    for seconds in (1, 31_536_000):
        module_chain.mine(seconds)
        elapsed = module_chain.now - since
        indexes = accrued_index(supply_index, supply_rate, elapsed), accrued_index(borrow_index, borrow_rate, elapsed)
        supply, debt = read(module_node, [lender, borrower], comet.market)
        assert supply.amounts[0].raw == present_value(int(supply.facts["principal"]), *indexes)
        assert debt.amounts[0].raw == -present_value(int(debt.facts["principal"]), *indexes)


def test_the_figures_of_the_real_contract_come_back(comet: Comet, module_chain: Anvil, module_node: PlainNode) -> None:
    lender, borrower = module_chain.accounts[1:3]
    comet.contract.send("setPrincipal", lender, 100_000_000_000)
    comet.contract.send("setPrincipal", borrower, -9_999_999_997)
    comet.contract.send("setIndexes", 1_000_000_000_000_000, 1_000_000_000_317_097)
    module_chain.mine(8_640_000)
    supply, debt = read(module_node, [lender, borrower], comet.market)
    assert (supply.amounts[0].raw, debt.amounts[0].raw) == (100_109_589_040, 10_038_356_164)


def test_a_past_block_is_read_as_it_was(comet: Comet, module_chain: Anvil, module_node: PlainNode) -> None:
    wallets = module_chain.accounts
    before, block = read(module_node, wallets, comet.market), module_chain.height
    comet.contract.send("withdraw", comet.base, DOLLAR, sender=wallets[1])
    module_chain.mine(1_000)
    assert read(module_node, wallets, comet.market, block=block) == before
    assert read(module_node, wallets, comet.market) != before


def test_safety_follows_the_prices(comet: Comet, module_chain: Anvil, module_node: PlainNode) -> None:
    borrower = module_chain.accounts[2]
    for price, liquidatable, collateralized in ((2_000, 0, 1), (1_200, 0, 0), (1_100, 1, 0)):
        comet.feeds[comet.weth].send("set", price * 10**8)
        (position,) = read(module_node, [borrower], comet.market)
        facts = position.facts
        assert (facts["is_liquidatable"], facts["is_borrow_collateralized"]) == (liquidatable, collateralized)
        debt = comet.contract.call("borrowBalanceOf", borrower) * 10**8 // DOLLAR
        assert facts["health_factor"] == (10 * price * 10**8 * 895 // 1000) * 10**18 // debt
        assert (int(facts["health_factor"]) < 10**18) == bool(liquidatable)


def test_an_account_without_debt_has_no_health(comet: Comet, module_chain: Anvil, module_node: PlainNode) -> None:
    for position in read(module_node, [module_chain.accounts[1], module_chain.accounts[3]], comet.market):
        assert "health_factor" not in position.facts


def test_a_wallet_that_never_came_or_has_left_has_no_position(
    comet: Comet, module_chain: Anvil, module_node: PlainNode
) -> None:
    assert read(module_node, [module_chain.accounts[4], GONE], comet.market) == []


def test_a_market_without_rewards_has_none_and_unreadable_ones_are_said_to_be(
    comet: Comet, module_chain: Anvil, module_node: PlainNode
) -> None:
    lender = module_chain.accounts[1]
    comet.rewards.send("support", comet.contract.address, "0x" + "00" * 20)
    (none,) = read(module_node, [lender], replace(comet.market, rewards=None))
    assert "reward" not in none.facts
    (unsupported,) = read(module_node, [lender], comet.market)
    (gone,) = read(module_node, [lender], replace(comet.market, rewards=GONE))
    assert (unsupported.facts["reward"], gone.facts["reward"]) == ("unreadable", "unreadable")
    assert none.amounts == unsupported.amounts == gone.amounts


@pytest.mark.parametrize("multicall3", [MULTICALL3, None], ids=["multicall3", "batch"])
def test_markets_that_revert_or_are_not_there_are_errors_that_name_them_and_the_others_are_read(
    comet: Comet, module_chain: Anvil, module_node: PlainNode, multicall3: str | None
) -> None:
    wallets = module_chain.accounts
    expected = read(module_node, wallets, comet.market)
    broken = "0x" + "33" * 20
    module_chain.set_code(broken, REVERTS)
    markets = [CompoundMarket("gone", GONE), CompoundMarket("broken", broken), comet.market]
    faults: list[PositionFault] = []
    assert read(module_node, wallets, *markets, multicall3=multicall3, faults=faults) == expected
    assert [(fault.chain, fault.name, fault.place) for fault in faults] == [
        ("local", "gone", GONE),
        ("local", "broken", broken),
    ]
    assert f"local: compound_v3 gone {GONE}: the market: no contract answers" in str(faults[0])
    with pytest.raises(PositionFault, match=f"local: compound_v3 broken {broken}"):
        read(module_node, wallets, markets[1], multicall3=multicall3)


def test_a_dead_price_feed_hides_safety_and_not_amounts(
    comet: Comet, module_chain: Anvil, module_node: PlainNode
) -> None:
    lender, borrower = module_chain.accounts[1:3]
    expected = [position.amounts for position in read(module_node, [lender, borrower], comet.market)]
    module_chain.set_code(comet.feeds[comet.weth].address, REVERTS)
    faults: list[PositionFault] = []
    positions = read(module_node, [lender, borrower], comet.market, faults=faults)
    assert [position.amounts for position in positions] == expected
    assert [(fault.wallet, fault.name) for fault in faults] == [(borrower, "usdc")]
    assert "is_liquidatable" not in positions[1].facts


def test_hundreds_of_wallets_take_a_handful_of_requests(
    comet: Comet, module_chain: Anvil, module_node: PlainNode
) -> None:
    wallets = [f"0x{number:040x}" for number in range(10**9, 10**9 + 700)] + module_chain.accounts
    assert len(read(module_node, wallets, comet.market)) == 4
    assert module_node.calls <= 10
