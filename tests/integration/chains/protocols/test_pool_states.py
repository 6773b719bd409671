"""Pools as their contracts say they are: real ones of Uniswap v2 and v3, stand-ins of Curve's."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from portfolio_pipelines.chains.protocols.faults import PositionFault
from portfolio_pipelines.chains.protocols.pool_states import PoolRequest, PoolState, read_pool_states
from tests.contracts.anvil import MULTICALL3, Anvil
from tests.contracts.artifacts import Artifact, Contract, deploy, place_multicall3
from tests.contracts.plain_node import PlainNode
from tests.contracts.uniswap import (
    UniswapV3Contracts,
    add_liquidity,
    deploy_uniswap_v2_factory,
    deploy_uniswap_v3,
    new_pair,
    swap_in_pair,
)

GONE = "0x" + "22" * 20
REVERTS = bytes.fromhex("60006000fd")


@dataclass(frozen=True)
class World:
    chain: Anvil
    v3: UniswapV3Contracts
    pool: Contract
    pair: Contract
    curve: Contract
    past: int  # a block before the last swaps

    @property
    def requests(self) -> list[PoolRequest]:
        return [
            PoolRequest("sushiswap", self.pair.address),
            PoolRequest("uniswap_v3", self.pool.address),
            PoolRequest("curve", self.curve.address),
        ]


@pytest.fixture(scope="module")
def world(contracts_folder: object, sources: dict[str, Artifact]) -> Iterator[World]:
    with Anvil(arguments=("--gas-limit", "2000000000")) as chain:
        place_multicall3(chain)
        v3 = deploy_uniswap_v3(chain, sources)
        pool = v3.pool(500, 2**96 * 7)
        v3.mint([(chain.accounts[1], 500, 30_000, 45_000, 10**18, 10**19)])
        v3.swap([(500, True, 10**15)])
        pair = new_pair(deploy_uniswap_v2_factory(chain), v3.tokens)
        add_liquidity(pair, v3.tokens, (10**18, 3 * 10**18), chain.accounts[1])
        curve = deploy(
            chain, sources["CurvePoolStandIn"], [token.address for token in v3.tokens], [10**20, 2 * 10**20], 10**18
        )
        curve.send("mint", chain.accounts[1], 10**18)
        past = chain.height
        v3.swap([(500, False, 10**16)])
        swap_in_pair(pair, v3.tokens, 0, 10**15)
        v3.tokens[0].send("mint", pair.address, 5)  # given to the pair: no part of its reserves
        curve.send("remove_liquidity", 10**17, sender=chain.accounts[1])
        yield World(chain, v3, pool, pair, curve, past)


def read(
    world: World,
    requests: Sequence[PoolRequest],
    block: int | None = None,
    multicall3: str | None = MULTICALL3,
    faults: list[PositionFault] | None = None,
    node: PlainNode | None = None,
) -> list[PoolState]:
    async def run() -> list[PoolState]:
        asked = node or PlainNode(world.chain.url, world.chain.chain_id)
        return await read_pool_states(asked, requests, await asked.block(block), multicall3=multicall3, faults=faults)

    return asyncio.run(run())


@pytest.mark.parametrize("multicall3", [MULTICALL3, None], ids=["multicall3", "batch"])
@pytest.mark.parametrize("is_past", [False, True], ids=["now", "past"])
def test_every_figure_is_that_of_the_contracts(world: World, is_past: bool, multicall3: str | None) -> None:
    at = world.past if is_past else world.chain.height
    tokens = tuple(token.address for token in world.v3.tokens)
    pair, pool, curve = read(world, world.requests, at, multicall3)
    assert pair == PoolState(
        "sushiswap",
        world.pair.address,
        tokens,
        tuple(world.pair.call("getReserves", block=at)[:2]),
        total_supply=world.pair.call("totalSupply", block=at),
    )
    price, tick = world.pool.call("slot0", block=at)[:2]
    assert pool == PoolState(
        "uniswap_v3",
        world.pool.address,
        tokens,
        tuple(token.call("balanceOf", world.pool.address, block=at) for token in world.v3.tokens),
        sqrt_price_x96=price,
        tick=tick,
        liquidity=world.pool.call("liquidity", block=at),
        fee_pips=500,
        fee_growth_x128=tuple(world.pool.call(f"feeGrowthGlobal{side}X128", block=at) for side in (0, 1)),
    )
    assert curve == PoolState(
        "curve",
        world.curve.address,
        tokens,
        tuple(world.curve.call("balances", place, block=at) for place in (0, 1)),
        total_supply=world.curve.call("totalSupply", block=at),
        virtual_price=10**18,
    )


def test_the_past_differs_from_now(world: World) -> None:
    for now, past in zip(read(world, world.requests), read(world, world.requests, world.past), strict=True):
        assert now.pool == past.pool
        assert now.reserves != past.reserves


def test_negative_ticks_are_read_as_such(world: World) -> None:
    with world.chain.reverted():
        pool = world.v3.pool(3000, 2**96 // 1_000)
        (state,) = read(world, [PoolRequest("uniswap_v3", pool.address)])
    assert state.tick == -138_163
    assert state.reserves == (0, 0)


def test_what_is_no_pool_or_not_open_is_named_and_never_zero(world: World) -> None:
    chain, tokens = world.chain, world.v3.tokens
    broken = "0x" + "33" * 20
    with chain.reverted():
        chain.set_code(broken, REVERTS)
        world.v3.factory.send("createPool", *(token.address for token in tokens), 10_000)
        unopened = world.v3.factory.call("getPool", *(token.address for token in tokens), 10_000).lower()
        bad = [
            PoolRequest("uniswap_v2", GONE),
            PoolRequest("uniswap_v2", world.pool.address),
            PoolRequest("uniswap_v3", world.pair.address),
            PoolRequest("uniswap_v3", broken),
            PoolRequest("uniswap_v3", unopened),
            PoolRequest("curve", GONE),
            PoolRequest("balancer", GONE),
        ]
        faults: list[PositionFault] = []
        states = read(world, [*bad, *world.requests], faults=faults)
        assert [state.pool for state in states] == [request.address for request in world.requests]
        assert {(fault.protocol, fault.place) for fault in faults} == {(pool.protocol, pool.address) for pool in bad}
        assert "no price" in next(str(fault) for fault in faults if fault.place == unopened)
        with pytest.raises(PositionFault, match=f"local: uniswap_v2 {GONE}: .*no contract"):
            read(world, bad[:1])


def test_a_pool_of_v3_before_its_time_is_unknown(world: World) -> None:
    faults: list[PositionFault] = []
    assert read(world, world.requests, 1, faults=faults) == []
    assert len(faults) == 3


def test_a_hundred_pools_cost_as_many_requests_as_one(world: World) -> None:
    node = PlainNode(world.chain.url, world.chain.chain_id)
    some = [PoolRequest("uniswap_v2", world.pair.address), PoolRequest("uniswap_v3", world.pool.address)]
    read(world, some, node=node)
    alone, node.requests = node.requests, 0
    others = [PoolRequest("uniswap_v3", f"0x{number:040x}") for number in range(2**90, 2**90 + 50)]
    faults: list[PositionFault] = []
    assert len(read(world, [*others, *some, *some], node=node, faults=faults)) == 2
    assert (node.requests, len(faults)) == (alone, 50)
