"""Whether an address is a pool of a decentralised exchange, which kind, and of which coins: asked of the contract.

Belongs here: telling Uniswap v2 and v3 pools, their forks, Curve pools and weighted pools of Balancer apart, and having
a factory that we know confirm them. What a share of a pool is worth is in the modules of the protocols.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from portfolio_pipelines.chains.addresses import ZERO_ADDRESS
from portfolio_pipelines.chains.deployments import Deployments
from portfolio_pipelines.chains.protocols.balancer_kinds import weighted_facts
from portfolio_pipelines.chains.protocols.balancer_pools import pool_id_of
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
from portfolio_pipelines.chains.rpc.errors import RpcError
from portfolio_pipelines.chains.rpc.node import Block, Node

VIEWS: Final = {
    "token0": "token0()",
    "token1": "token1()",
    "factory": "factory()",
    "fee": "fee()",
    "tick_spacing": "tickSpacing()",
    "reserves": "getReserves()",
    "stable": "stable()",
    "virtual_price": "get_virtual_price()",
    "coins(uint256)": "coins(uint256)",
    "coins(int128)": "coins(int128)",
    "pool_id": "getPoolId()",
    "vault": "getVault()",
}
"""What every address is asked. Those of Curve of 2020 count their coins by int128."""
MOST_COINS: Final = 8  # of a Curve pool
META_REGISTRY: Final = 7  # its number in Curve's address provider. Source: docs.curve.finance, AddressProvider

Answers = Mapping[str, tuple[Call, Answer]]


class NoPoolError(ValueError):
    """An address is no pool that we can value; the message says why."""


@dataclass(frozen=True, slots=True)
class PoolFacts:
    """What never changes about a pool.

    Args:
        protocol: uniswap_v2, sushiswap, uniswap_v3, curve or balancer_v2. A fork whose factory is not known carries
            the name of the protocol whose contract it copies.
        tokens: Its coins in the order of the contract, lower case.
        is_verified: Whether a factory or registry that we know confirms the pool.
        facts: What else the contract said: factory, fee (1,000,000 is all), tick_spacing, coins; of Balancer vault,
            pool_id and weights (18 decimals each, separated by blanks).
    """

    protocol: str
    tokens: tuple[str, ...]
    is_verified: bool
    facts: Mapping[str, str | int] = field(default_factory=dict)


Verdict = PoolFacts | NoPoolError | RpcError


async def check_pools(
    node: Node, pools: Sequence[str], known: Deployments, *, multicall3: str | None = None
) -> dict[str, Verdict]:
    """Ask contracts whether they are pools, all at the newest block.

    Args:
        node: Their chain.
        pools: Addresses, lower case.
        known: Factories that can confirm a pool.
        multicall3: Address of Multicall3, where the chain has it.

    Returns:
        For each address what the pool is, NoPoolError if it is none, RpcError if the chain could not say.
    """
    asked = list(dict.fromkeys(pools))
    if not asked:
        return {}
    try:
        block = await node.block()
        answers = await _first_look(node, asked, block, multicall3)
        found: dict[str, Verdict] = {}
        for pool, said in answers.items():
            try:
                found[pool] = await _classify(node, pool, said, known, block)
            except NoPoolError as error:
                found[pool] = error
    except RpcError as error:
        return dict.fromkeys(asked, error)
    return found


async def _first_look(node: Node, pools: Sequence[str], block: Block, multicall3: str | None) -> dict[str, Answers]:
    calls = []
    for pool in pools:
        calls += [view(pool, text, 0) if name.startswith("coins") else view(pool, text) for name, text in VIEWS.items()]
    answers = await call_many(node, calls, block, multicall3=multicall3)
    width = len(VIEWS)
    return {
        pool: {
            name: (calls[place * width + column], answers[place * width + column]) for column, name in enumerate(VIEWS)
        }
        for place, pool in enumerate(pools)
    }


async def _classify(node: Node, pool: str, said: Answers, known: Deployments, block: Block) -> PoolFacts:
    if all(not isinstance(answer, CallFailed) and not answer for _, answer in said.values()):
        msg = f"{pool} is no pool: there is no contract on {node.name}"
        raise NoPoolError(msg)
    token0, token1, factory = (_address_in(said, name) for name in ("token0", "token1", "factory"))
    if token0 and token1 and factory:
        fee, spacing = _number_in(said, "fee", 24), _number_in(said, "tick_spacing", 23)
        if fee is not None and spacing:
            return await _uniswap_v3(node, pool, (token0, token1), factory, fee, spacing, known, block)
        if _has_reserves(said):
            if _number_in(said, "stable", 1) == 1:
                msg = f"{pool} is a stable pair of a Solidly fork, which cannot be valued"
                raise NoPoolError(msg)
            return await _uniswap_v2(node, pool, (token0, token1), factory, known, block)
    if _number_in(said, "virtual_price", 256):
        for name in ("coins(uint256)", "coins(int128)"):
            if coin := _address_in(said, name):
                return await _curve(node, pool, coin, name, known, block)
    pool_id, vault = pool_id_of(pool, *said["pool_id"]), _address_in(said, "vault")
    if pool_id is not None and vault is not None:
        return await _balancer(node, pool, pool_id, vault, known, block)
    msg = (
        f"{pool} on {node.name} is a contract, but no pool of Uniswap v2 or v3, of a fork of them, of Curve or of "
        "Balancer v2"
    )
    raise NoPoolError(msg)


async def _uniswap_v3(
    node: Node,
    pool: str,
    tokens: tuple[str, str],
    factory: str,
    fee: int,
    spacing: int,
    known: Deployments,
    block: Block,
) -> PoolFacts:
    facts: dict[str, str | int] = {"factory": factory, "fee": fee, "tick_spacing": spacing}
    is_known = known.uniswap_v3 is not None and known.uniswap_v3.factory == factory
    if is_known:
        await _confirm(node, pool, view(factory, "getPool(address,address,uint24)", *tokens, fee), block, "Uniswap v3")
    return PoolFacts("uniswap_v3", tokens, is_known, facts)


async def _uniswap_v2(
    node: Node, pool: str, tokens: tuple[str, str], factory: str, known: Deployments, block: Block
) -> PoolFacts:
    protocol = next((pair.protocol for pair in known.uniswap_v2_factories if pair.factory == factory), None)
    if protocol is not None:
        await _confirm(node, pool, view(factory, "getPair(address,address)", *tokens), block, protocol)
    return PoolFacts(protocol or "uniswap_v2", tokens, protocol is not None, {"factory": factory})


async def _curve(node: Node, pool: str, first: str, coins: str, known: Deployments, block: Block) -> PoolFacts:
    # One by one: reading past the end burns all gas in contracts of 2020, their neighbours' too.
    calls = [view(pool, coins, place) for place in range(1, MOST_COINS)]
    tokens = [first]
    for call, answer in zip(calls, await call_many(node, calls, block), strict=True):
        token = _address_or_none(call, answer)
        if token is None:
            break
        tokens.append(token)
    if len(tokens) < 2:
        msg = f"{pool} on {node.name} names one coin only: it is no pool of Curve"
        raise NoPoolError(msg)
    is_verified = await _is_registered(node, pool, known.curve_address_provider, block)
    return PoolFacts("curve", tuple(tokens), is_verified, {"coins": coins})


async def _balancer(node: Node, pool: str, pool_id: int, vault: str, known: Deployments, block: Block) -> PoolFacts:
    found = await weighted_facts(node, pool, pool_id, vault, known.balancer_v2, block)
    if isinstance(found, str):
        msg = f"{pool} on {node.name} {found}"
        raise NoPoolError(msg)
    facts: dict[str, str | int] = {
        "vault": vault, "pool_id": f"0x{pool_id:064x}", "weights": " ".join(map(str, found.weights)),
    }  # fmt: skip
    return PoolFacts("balancer_v2", found.tokens, found.is_confirmed, facts)


async def _is_registered(node: Node, pool: str, provider: str | None, block: Block) -> bool:
    """Whether Curve's own registry lists the pool. It need not list every pool: no is no proof of anything."""
    if provider is None:
        return False
    call = view(provider, "get_address(uint256)", META_REGISTRY)
    registry = _address_or_none(call, (await call_many(node, [call], block))[0])
    if registry is None:
        return False
    call = view(registry, "is_registered(address)", pool)
    try:
        return number(call, (await call_many(node, [call], block))[0], bits=1) == 1
    except CallFailed:
        return False


async def _confirm(node: Node, pool: str, call: Call, block: Block, whose: str) -> None:
    """Let the factory say that it made the pool: any contract can claim to be of it."""
    made = _address_or_none(call, (await call_many(node, [call], block))[0])
    if made != pool:
        msg = f"{pool} on {node.name} claims to be of {whose}, whose factory {call.to} does not know it"
        raise NoPoolError(msg)


def _address_in(said: Answers, name: str) -> str | None:
    return _address_or_none(*said[name])


def _address_or_none(call: Call, answer: Answer) -> str | None:
    """The address that a view answered; None for the zero address and for whatever is none."""
    try:
        found = address(call, number(call, answer))
    except CallFailed:
        return None
    return found if found != ZERO_ADDRESS else None


def _number_in(said: Answers, name: str, bits: int) -> int | None:
    call, answer = said[name]
    try:
        return number(call, answer, bits)
    except CallFailed:
        return None


def _has_reserves(said: Answers) -> bool:
    call, answer = said["reserves"]
    try:
        return len(numbers(call, answer, least=3)) == 3
    except CallFailed:
        return False
