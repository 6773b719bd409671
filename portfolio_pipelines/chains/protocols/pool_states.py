"""What pools are at a block: their coins, how much of each, their price and liquidity.

Belongs here: pools that somebody named, whoever has shares in them. What a wallet has in a pool is read by the modules
of the protocols, whether an address is a pool at all by `pools`, what changes of a pool mean is computed elsewhere.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from portfolio_pipelines.chains.protocols import balancer_pools
from portfolio_pipelines.chains.protocols.calls import (
    Answer,
    Call,
    CallFailed,
    address,
    call_many,
    number,
    numbers,
    view,
)
from portfolio_pipelines.chains.protocols.curve_pools import NOWHERE, CurvePool, read_pools
from portfolio_pipelines.chains.protocols.curve_pools import PoolState as CurveState
from portfolio_pipelines.chains.protocols.faults import Faults, PositionFault
from portfolio_pipelines.chains.protocols.tick_math import MAX_TICK, MIN_TICK
from portfolio_pipelines.chains.rpc.node import Block, Node

PAIRS: Final = ("uniswap_v2", "sushiswap")
CONCENTRATED: Final = "uniswap_v3"
CURVE: Final = "curve"
WEIGHTED: Final = "balancer_v2"
FEE_PIP: Final = 10**12  # of a fee of 18 decimals

_PAIR: Final = ("token0()", "token1()", "totalSupply()", "getReserves()")
_POOL: Final = (
    "token0()", "token1()", "fee()", "slot0()", "liquidity()", "feeGrowthGlobal0X128()", "feeGrowthGlobal1X128()",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PoolRequest:
    """A pool to read: protocol as in `pools.PoolFacts`, also of its copies, and address in lower case."""

    protocol: str
    address: str


@dataclass(frozen=True, slots=True)
class PoolState:
    """A pool at a block. What its protocol does not have is None.

    Attributes:
        protocol: As it was asked for.
        pool: Its address.
        tokens: Its coins in the order of the contract, lower case; Curve writes the chain's own coin as 0xeeee….
        reserves: Of each coin, smallest units. Of Uniswap v2: the reserves that make its price; of v3: what the pool
            holds, fees that nobody collected included; of Curve and Balancer: its balances.
        total_supply: All shares; v3 has none. Of Balancer with those that the protocol is owed.
        sqrt_price_x96: Square root of token1 / token0, in smallest units, times 2^96. Of v3.
        tick: That price in steps of 0.01 %. Of v3.
        liquidity: What is in range at that price. Of v3.
        fee_pips: Of a swap, 1,000,000 is all. Of v3, and of Balancer to the nearest.
        fee_growth_x128: Fees of each coin earned by one unit of liquidity since the beginning, times 2^128; goes on
            from zero after 2^256. Of v3.
        amplification: The A of Curve.
        virtual_price: What Curve says that a share is worth, 18 decimals; means something where coins are pegged.
    """

    protocol: str
    pool: str
    tokens: tuple[str, ...]
    reserves: tuple[int, ...]
    total_supply: int | None = None
    sqrt_price_x96: int | None = None
    tick: int | None = None
    liquidity: int | None = None
    fee_pips: int | None = None
    fee_growth_x128: tuple[int, ...] | None = None
    amplification: int | None = None
    virtual_price: int | None = None


async def read_pool_states(
    node: Node,
    pools: Sequence[PoolRequest],
    block: Block,
    *,
    multicall3: str | None = None,
    curve_registry: str | None = None,
    faults: list[PositionFault] | None = None,
) -> list[PoolState]:
    """Pools at a block. Two requests for hundreds of Uniswap's, four more for Curve's, three for Balancer's.

    Args:
        node: The chain.
        pools: Which; one that comes twice is read once.
        block: The block to read at.
        multicall3: Address of Multicall3, where the chain has it at that block.
        curve_registry: Curve's registry of registries (`curve_registry.registry_at`): old pools do not name the token
            of their shares themselves.
        faults: Takes pools that could not be read: no contract, none of its protocol, one that reverts or is not
            opened yet. When None, the first fault is raised.

    Returns:
        The pools that could be read, in the order asked for.

    Raises:
        PositionFault: If `faults` is None and a pool could not be read.
        RpcError: If the node cannot be read.
    """
    asked = list(dict.fromkeys(pools))
    curve = [CurvePool("", pool.address, registry=curve_registry, pegged=True) for pool in asked if _is(pool, CURVE)]
    noted = Faults(node.name, CURVE, faults)
    weighted = [pool.address for pool in asked if _is(pool, WEIGHTED)]
    several = await asyncio.gather(
        _uniswap(node, asked, block, faults, multicall3),
        _curve(node, curve, block, noted, multicall3),
        _weighted(node, weighted, block, Faults(node.name, WEIGHTED, faults), multicall3),
    )
    for pool in asked:
        if not _is(pool, CURVE, CONCENTRATED, WEIGHTED, *PAIRS):
            Faults(node.name, pool.protocol, faults).add(pool.address, "no kind of pool that we can read")
    found = {(state.protocol, state.pool): state for states in several for state in states}
    return [found[key] for pool in asked if (key := (pool.protocol, pool.address)) in found]


async def _uniswap(
    node: Node, pools: Sequence[PoolRequest], block: Block, faults: list[PositionFault] | None, multicall3: str | None
) -> list[PoolState]:
    pools = [pool for pool in pools if _is(pool, CONCENTRATED, *PAIRS)]
    calls = [[view(pool.address, name) for name in (_PAIR if _is(pool, *PAIRS) else _POOL)] for pool in pools]
    answers = iter(await call_many(node, [call for several in calls for call in several], block, multicall3=multicall3))
    states: list[PoolState] = []
    for pool, several in zip(pools, calls, strict=True):
        said = [(call, next(answers)) for call in several]
        try:
            states.append(_pair(pool, said) if _is(pool, *PAIRS) else _concentrated(pool, said))
        except CallFailed as error:
            Faults(node.name, pool.protocol, faults).add(pool.address, str(error))
    return await _with_holdings(node, states, block, faults, multicall3)


async def _with_holdings(
    node: Node, states: Sequence[PoolState], block: Block, faults: list[PositionFault] | None, multicall3: str | None
) -> list[PoolState]:
    """Pools of v3 keep no account of what they hold: their coins are asked."""
    asked = {
        state.pool: [view(token, "balanceOf(address)", state.pool) for token in state.tokens]
        for state in states
        if state.protocol == CONCENTRATED
    }
    calls = [call for several in asked.values() for call in several]
    answers = dict(zip(calls, await call_many(node, calls, block, multicall3=multicall3), strict=True))
    whole = []
    for state in states:
        if state.protocol != CONCENTRATED:
            whole.append(state)
            continue
        try:
            held = tuple(number(call, answers[call]) for call in asked[state.pool])
        except CallFailed as error:
            Faults(node.name, state.protocol, faults).add(state.pool, f"what it holds is unknown: {error}")
        else:
            whole.append(replace(state, reserves=held))
    return whole


def _pair(pool: PoolRequest, said: Sequence[tuple[Call, Answer]]) -> PoolState:
    reserves = numbers(*said[3], least=3)
    if len(reserves) != 3 or any(reserve >> 112 for reserve in reserves[:2]):
        raise CallFailed(pool.address, "its reserves are not those of a pair")
    return PoolState(pool.protocol, pool.address, _tokens(said), reserves[:2], total_supply=number(*said[2]))


def _concentrated(pool: PoolRequest, said: Sequence[tuple[Call, Answer]]) -> PoolState:
    sqrt_price, tick = numbers(*said[3], least=2)[:2]
    tick = tick - 2**256 if tick >> 255 else tick
    if not sqrt_price:
        raise CallFailed(pool.address, "the pool was not opened yet: it has no price")
    if sqrt_price >> 160 or not MIN_TICK - 1 <= tick <= MAX_TICK:
        raise CallFailed(pool.address, f"an impossible price: {sqrt_price} at tick {tick}")
    return PoolState(
        pool.protocol,
        pool.address,
        _tokens(said),
        (),
        sqrt_price_x96=sqrt_price,
        tick=tick,
        liquidity=number(*said[4], bits=128),
        fee_pips=number(*said[2], bits=24),
        fee_growth_x128=(number(*said[5]), number(*said[6])),
    )


def _tokens(said: Sequence[tuple[Call, Answer]]) -> tuple[str, str]:
    first, second = (address(call, number(call, answer)) for call, answer in said[:2])
    if NOWHERE in (first, second) or first == second:
        raise CallFailed(said[0][0].to, f"no two coins: {first} and {second}")
    return first, second


async def _curve(
    node: Node, pools: Sequence[CurvePool], block: Block, faults: Faults, multicall3: str | None
) -> list[PoolState]:
    if not pools:
        return []
    states = await read_pools(node, pools, block, faults, multicall3=multicall3)
    calls = [view(state.pool.pool, "A()") for state in states]
    answers = await call_many(node, calls, block, multicall3=multicall3)
    return [_of_curve(state, call, answer) for state, call, answer in zip(states, calls, answers, strict=True)]


def _of_curve(state: CurveState, call: Call, answer: Answer) -> PoolState:
    try:
        amplification: int | None = number(call, answer, bits=63)
    except CallFailed:
        amplification = None  # not every kind of pool has it
    return PoolState(
        CURVE,
        state.pool.pool,
        state.coins,
        state.balances,
        total_supply=state.supply,
        amplification=amplification,
        virtual_price=state.virtual_price,
    )


async def _weighted(
    node: Node, pools: Sequence[str], block: Block, faults: Faults, multicall3: str | None
) -> list[PoolState]:
    if not pools:
        return []
    states = await balancer_pools.read_pools(node, [], block, None, faults, named=pools, multicall3=multicall3)
    return [
        PoolState(
            WEIGHTED,
            state.pool,
            state.tokens,
            state.balances,
            total_supply=state.supply,
            fee_pips=round(state.fee / FEE_PIP),
        )
        for state in states.values()
    ]


def _is(pool: PoolRequest, *protocols: str) -> bool:
    return pool.protocol in protocols
