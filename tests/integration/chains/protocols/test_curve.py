"""Shares of Curve pools, against stand-ins with the views and the payout of real pools (see their source)."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from eth_abi.abi import decode
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.chains.protocols.curve import CurvePool, read_positions, share_of
from portfolio_pipelines.chains.protocols.faults import PositionFault
from portfolio_pipelines.chains.protocols.positions import Position
from tests.contracts.anvil import MULTICALL3, Anvil
from tests.contracts.artifacts import Artifact, Contract, deploy
from tests.contracts.plain_node import PlainNode

GONE = "0x" + "22" * 20
NOWHERE = "0x" + "00" * 20
DAI, USDC, USDT = ("0x" + digit * 40 for digit in "abc")
BALANCES = (48_123_456_789_012_345_678_901_234, 51_987_654_321_098, 7)
REVERTS = bytes.fromhex("60006000fd")


@dataclass(frozen=True)
class Pools:
    pool: Contract
    early: Contract
    shares: Contract
    registry: Contract


@pytest.fixture
def pools(chain: Anvil, sources: dict[str, Artifact]) -> Pools:
    """Account 1 holds shares of both pools, account 2 of the new one."""
    one, two = chain.accounts[1:3]
    pool = deploy(chain, sources["CurvePoolStandIn"], [DAI, USDC, USDT], list(BALANCES), 1_030_000_000_000_000_000)
    shares = deploy(chain, sources["TestToken"], "shares", "LP", 18)
    early = deploy(chain, sources["EarlyCurvePoolStandIn"], [DAI, USDC], [1_000, 10], shares.address)
    registry = deploy(chain, sources["CurveRegistryStandIn"])
    pool.send("mint", one, 1_234_567_890_123_456_789)
    pool.send("mint", two, 97 * 10**24 + 1)
    shares.send("mint", one, 3)
    shares.send("mint", two, 4)
    shares.send("burn", two, 4)
    shares.send("mint", GONE, 6)
    return Pools(pool, early, shares, registry)


def read(
    node: PlainNode,
    wallets: Sequence[str],
    *pools: CurvePool,
    block: int | None = None,
    multicall3: str | None = MULTICALL3,
    faults: list[PositionFault] | None = None,
) -> list[Position]:
    async def run() -> list[Position]:
        at = await node.block(block)
        return await read_positions(node, wallets, at, pools, multicall3=multicall3, faults=faults)

    return asyncio.run(run())


def amounts(position: Position) -> dict[str, int]:
    assert {amount.role for amount in position.amounts} == {"principal"}
    return {amount.token: amount.raw for amount in position.amounts}


@pytest.mark.parametrize("multicall3", [MULTICALL3, None], ids=["multicall3", "batch"])
def test_a_share_is_what_the_pool_pays_out_for_it(
    pools: Pools, chain: Anvil, node: PlainNode, multicall3: str | None
) -> None:
    wallets = chain.accounts[1:3]
    positions = read(node, wallets, CurvePool("3pool", pools.pool.address), multicall3=multicall3)
    assert [position.wallet for position in positions] == wallets
    for position in positions:
        shares = pools.pool.call("balanceOf", position.wallet)
        paid = pools.pool.call("remove_liquidity", shares, sender=position.wallet)
        assert amounts(position) == {coin: raw for coin, raw in zip((DAI, USDC, USDT), paid, strict=True) if raw}
        assert (position.receipt_token, position.receipt_raw) == (pools.pool.address, shares)
        assert (position.position_id, position.facts["total_shares"]) == (
            pools.pool.address,
            pools.pool.call("totalSupply"),
        )


def test_who_takes_out_everything_has_nothing_and_had_it_at_the_block_before(
    pools: Pools, chain: Anvil, node: PlainNode
) -> None:
    one, block = chain.accounts[1], chain.height
    receipt = pools.pool.send("remove_liquidity", pools.pool.call("balanceOf", one), sender=one)
    logged = bytes.fromhex(receipt["logs"][-1]["data"][2:])
    paid, _ = decode(["uint256[]", "uint256"], logged)
    pool = CurvePool("3pool", pools.pool.address)
    assert read(node, [one, chain.accounts[9]], pool) == []
    (before,) = read(node, [one], pool, block=block)
    assert amounts(before) == {coin: raw for coin, raw in zip((DAI, USDC, USDT), paid, strict=True) if raw}


@pytest.mark.parametrize("multicall3", [MULTICALL3, None], ids=["multicall3", "batch"])
def test_a_pool_of_2020_is_read_although_it_burns_gas_past_its_last_coin(
    pools: Pools, chain: Anvil, node: PlainNode, multicall3: str | None
) -> None:
    both = [CurvePool("early", pools.early.address), CurvePool("3pool", pools.pool.address)]
    found = {each.pool: each for each in read(node, chain.accounts[1:2], *both, multicall3=multicall3)}
    early = found[pools.early.address]
    assert amounts(early) == {DAI: 333, USDC: 3}  # 3 of 9 shares
    assert (early.receipt_token, early.receipt_raw) == (pools.shares.address, 3)
    assert pools.pool.address in found


def test_a_virtual_price_is_a_fact_of_pegged_pools_only(pools: Pools, chain: Anvil, node: PlainNode) -> None:
    one = chain.accounts[1]
    (volatile,) = read(node, [one], CurvePool("tri", pools.pool.address))
    (pegged,) = read(node, [one], CurvePool("3pool", pools.pool.address, pegged=True))
    assert "virtual_price" not in volatile.facts
    assert pegged.facts["virtual_price"] == 1_030_000_000_000_000_000
    assert pegged.amounts == volatile.amounts


def test_a_registry_names_coins_balances_and_the_token_of_the_shares(
    pools: Pools, chain: Anvil, node: PlainNode
) -> None:
    one = chain.accounts[1]
    mute = "0x" + "44" * 20  # a pool that says nothing itself
    chain.set_code(mute, REVERTS)
    padded = [DAI, USDC] + [NOWHERE] * 6
    pools.registry.send("set", mute, padded, [900, 90] + [0] * 6, pools.shares.address)
    (position,) = read(node, [one], CurvePool("mute", mute, registry=pools.registry.address))
    assert amounts(position) == {DAI: 300, USDC: 30}
    assert position.receipt_token == pools.shares.address


def test_a_pool_that_the_registry_does_not_know_is_asked_itself(pools: Pools, chain: Anvil, node: PlainNode) -> None:
    one = chain.accounts[1]
    (expected,) = read(node, [one], CurvePool("3pool", pools.pool.address))
    for registry in (pools.registry.address, GONE):
        assert read(node, [one], CurvePool("3pool", pools.pool.address, registry=registry)) == [expected]


def test_staked_shares_are_a_position_of_their_own(
    pools: Pools, chain: Anvil, node: PlainNode, sources: dict[str, Artifact]
) -> None:
    one = chain.accounts[1]
    gauge = deploy(chain, sources["TestToken"], "gauge", "G", 18)
    gauge.send("mint", one, 10**18)
    held, staked = read(node, [one], CurvePool("3pool", pools.pool.address, gauges=(gauge.address,)))
    assert (held.position_id, staked.position_id) == (pools.pool.address, f"{pools.pool.address}/{gauge.address}")
    assert (staked.receipt_token, staked.receipt_raw) == (gauge.address, 10**18)
    supply = pools.pool.call("totalSupply")
    assert amounts(staked) == {coin: 10**18 * raw // supply for coin, raw in zip((DAI, USDC), BALANCES, strict=False)}


def test_pools_that_revert_lie_or_are_not_there_are_named_and_the_others_are_read(
    pools: Pools, chain: Anvil, node: PlainNode, sources: dict[str, Artifact]
) -> None:
    one = chain.accounts[1]
    good = CurvePool("3pool", pools.pool.address)
    expected = read(node, [one], good)
    broken = "0x" + "33" * 20
    chain.set_code(broken, REVERTS)
    liar = deploy(chain, sources["TestToken"], "gauge", "G", 18)
    liar.send("mint", one, 2**200)  # more staked than there are shares
    faults: list[PositionFault] = []
    bad = [
        CurvePool("gone", GONE),
        CurvePool("broken", broken),
        CurvePool("no shares", pools.pool.address, share=GONE),
        CurvePool("liar", pools.early.address, gauges=(liar.address,)),
    ]
    positions = read(node, [one], *bad, good, faults=faults)
    assert [position for position in positions if position.pool == good.pool] == expected
    assert {(fault.name, fault.place) for fault in faults} == {(pool.name, pool.pool) for pool in bad}
    assert all(str(fault).startswith(f"local: curve {fault.name} {fault.place}") for fault in faults)
    with pytest.raises(PositionFault, match=f"local: curve gone {GONE}"):
        read(node, [one], bad[0])


@given(
    supply=st.integers(1, 2**128),
    part=st.integers(0, 2**128),
    balances=st.lists(st.integers(0, 2**160), min_size=2, max_size=8),
)
def test_a_share_never_exceeds_its_part_and_all_shares_are_everything(
    supply: int, part: int, balances: list[int]
) -> None:
    shares = part % (supply + 1)
    for raw, rest, balance in zip(
        share_of(shares, supply, balances), share_of(supply - shares, supply, balances), balances, strict=True
    ):
        assert raw * supply <= shares * balance < (raw + 1) * supply
        assert raw + rest in (balance, balance - 1)
    assert share_of(supply, supply, balances) == tuple(balances)


def test_of_a_pool_without_shares_there_is_nothing_and_more_shares_than_exist_are_refused() -> None:
    assert share_of(0, 0, [1, 2]) == (0, 0)
    for shares, supply in ((1, 0), (11, 10), (-1, 10)):
        with pytest.raises(ValueError, match=f"{shares} shares of {supply}"):
            share_of(shares, supply, [1])
