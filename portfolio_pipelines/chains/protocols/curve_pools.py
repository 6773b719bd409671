"""What a Curve pool consists of at a block: its coins, how much of each, and how many shares there are.

Belongs here: the pool itself. What wallets have in it is `curve`.

Pools were written over years and answer differently: the index of a coin is an int128 in the first ones, the token of
the shares is the pool itself in the latest. Curve's registry knows all of them; pools without one are asked themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

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
from portfolio_pipelines.chains.protocols.faults import Faults
from portfolio_pipelines.chains.rpc.node import Block, Node

MOST_COINS: Final = 8
INDEX_TYPES: Final = ("uint256", "int128")  # of coins(i) and balances(i)
NOWHERE: Final = "0x" + "0" * 40


@dataclass(frozen=True, slots=True)
class CurvePool:
    """One pool.

    Attributes:
        name: For people.
        pool: Address of the pool.
        share: Address of the token of its shares; None where the registry, or else the pool, is to be asked.
        registry: Address of Curve's registry of the chain (`get_coins`, `get_balances`, `get_lp_token` of a pool), or
            of its registry of registries, where known.
        pegged: Whether all coins are pegged to one another, so that the virtual price means something.
        gauges: Contracts in which shares are staked one to one; who stakes holds the gauge's token instead.
    """

    name: str
    pool: str
    share: str | None = None
    registry: str | None = None
    pegged: bool = False
    gauges: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PoolState:
    """A pool at a block. `balances` has one amount for each of `coins`."""

    pool: CurvePool
    share: str
    supply: int
    coins: tuple[str, ...]
    balances: tuple[int, ...]
    virtual_price: int | None


@dataclass(frozen=True, slots=True)
class _Contents:
    coins: tuple[str, ...]
    balances: tuple[int, ...]
    share: str | None


async def read_pools(
    node: Node, pools: Sequence[CurvePool], block: Block, faults: Faults, *, multicall3: str | None
) -> list[PoolState]:
    """The pools that can be read; each of the others becomes a fault.

    Raises:
        RpcError: If the node cannot be read.
    """
    contents = await _of_registries(node, pools, block, multicall3)
    unknown = [pool for pool in pools if pool not in contents]
    for kind in INDEX_TYPES:
        contents |= await _of_pools(node, unknown, block, kind)
        unknown = [pool for pool in unknown if pool not in contents]
    for pool in unknown:
        faults.add(pool.pool, "neither a registry nor the pool itself names its coins", name=pool.name)
    known = [(pool, contents[pool]) for pool in pools if pool in contents]
    shares = [pool.share or content.share or pool.pool for pool, content in known]
    asked = [view(share, "totalSupply()") for share in shares]
    asked += [view(pool.pool, "get_virtual_price()") for pool, _ in known]
    answers = await call_many(node, asked, block, multicall3=multicall3)
    states = []
    for place, ((pool, content), share) in enumerate(zip(known, shares, strict=True)):
        price = len(known) + place
        try:
            supply = number(asked[place], answers[place])
        except CallFailed as error:
            faults.add(pool.pool, f"its shares: {error}", name=pool.name)
        else:
            virtual_price = _optional_number(asked[price], answers[price]) if pool.pegged else None
            states.append(PoolState(pool, share, supply, content.coins, content.balances, virtual_price))
    return states


async def _of_registries(
    node: Node, pools: Sequence[CurvePool], block: Block, multicall3: str | None
) -> dict[CurvePool, _Contents]:
    names = ("get_coins(address)", "get_balances(address)", "get_lp_token(address)")
    registered = [(pool, pool.registry) for pool in pools if pool.registry is not None]
    asked = [view(registry, name, pool.pool) for pool, registry in registered for name in names]
    answers = await call_many(node, asked, block, multicall3=multicall3)
    contents = {}
    for place, (pool, _) in enumerate(registered):
        own = slice(place * len(names), (place + 1) * len(names))
        coins, balances, share = zip(asked[own], answers[own], strict=True)
        try:
            words, amounts = numbers(*coins, least=2), numbers(*balances, least=2)
            found = [address(coins[0], word) for word in words]
        except CallFailed:
            continue  # an older or a newer pool than the registry knows: it is asked itself
        count = found.index(NOWHERE) if NOWHERE in found else len(found)
        if 2 <= count <= len(amounts) and not any(amounts[count:]):
            contents[pool] = _Contents(tuple(found[:count]), tuple(amounts[:count]), _optional_address(*share))
    return contents


async def _of_pools(node: Node, pools: Sequence[CurvePool], block: Block, kind: str) -> dict[CurvePool, _Contents]:
    """What pools of one type of index say themselves.

    Asked without Multicall3: early pools answer a coin past the last by burning all gas, their neighbours' too.
    """
    asked = {pool: _questions(pool, kind) for pool in pools}
    calls = [call for several in asked.values() for call in several]
    answers = iter(await call_many(node, calls, block))
    return _known({pool: [(call, next(answers)) for call in several] for pool, several in asked.items()})


def _questions(pool: CurvePool, kind: str) -> list[Call]:
    coins = [view(pool.pool, f"coins({kind})", place) for place in range(MOST_COINS)]
    balances = [view(pool.pool, f"balances({kind})", place) for place in range(MOST_COINS)]
    return [*coins, *balances, view(pool.pool, "lp_token()"), view(pool.pool, "token()")]


def _known(asked: Mapping[CurvePool, Sequence[tuple[Call, Answer]]]) -> dict[CurvePool, _Contents]:
    contents = {}
    for pool, pairs in asked.items():
        coins: list[str] = []
        for coin in map(_optional_address, *zip(*pairs[:MOST_COINS], strict=True)):
            if coin is None:
                break
            coins.append(coin)
        try:
            balances = [number(*pair) for pair in pairs[MOST_COINS : MOST_COINS + len(coins)]]
        except CallFailed:
            continue
        share = next((found for pair in pairs[2 * MOST_COINS :] if (found := _optional_address(*pair))), None)
        if len(coins) >= 2:
            contents[pool] = _Contents(tuple(coins), tuple(balances), share)
    return contents


def _optional_address(call: Call, answer: Answer) -> str | None:
    try:
        found = address(call, number(call, answer))
    except CallFailed:
        return None
    return None if found == NOWHERE else found


def _optional_number(call: Call, answer: Answer) -> int | None:
    try:
        return number(call, answer)
    except CallFailed:
        return None
