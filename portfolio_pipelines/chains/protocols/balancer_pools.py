"""Weighted pools of Balancer v2 at a block: coins, how much of each, weights, shares, what the protocol is owed.

Belongs here: the pool itself, and whether it is one. What wallets have in it is `balancer`, what their shares pay out
`balancer_math`.

The Vault holds the coins of all pools, under an id that begins with the pool's address: a pool that it does not know
has none. Anybody may register a contract there, so a token counts as a share of a weighted pool only if one of
Balancer's factories says that it made it, or if a user named the pool.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from portfolio_pipelines.chains.deployments import BalancerV2
from portfolio_pipelines.chains.protocols.balancer_math import Due, due_in_coins, exit_amounts, heaviest
from portfolio_pipelines.chains.protocols.calls import (
    Answer,
    Call,
    CallFailed,
    address,
    call_many,
    flag,
    number,
    numbers,
    view,
)
from portfolio_pipelines.chains.protocols.faults import Faults
from portfolio_pipelines.chains.protocols.fixed_point import ONE
from portfolio_pipelines.chains.rpc.node import Block, Node

MOST_COINS: Final = 50  # of any pool of the Vault; weighted ones have up to 8
POOL_OF_ID: Final = 96  # bits of a pool's id after its address

_CLAIM: Final = ("getPoolId()", "getVault()")
_QUESTIONS: Final = (
    "getNormalizedWeights()", "getSwapFeePercentage()", "totalSupply()", "getActualSupply()", "getPausedState()",
    "getLastInvariant()", "getInvariant()",
)  # fmt: skip

Answers = Mapping[str, tuple[Call, Answer]]


@dataclass(frozen=True, slots=True)
class WeightedPool:
    """A weighted pool at a block.

    Attributes:
        pool: Its address, which is also the token of its shares.
        pool_id: Under which the Vault knows it.
        vault: Who holds its coins.
        tokens: Its coins in the order of the Vault, lower case.
        balances: Of the pool in each coin, smallest units.
        weights: Of the coins, 18 decimals, sum 1. They never change.
        fee: Of a swap, 18 decimals.
        supply: All shares, with those that the protocol is owed.
        is_confirmed: Whether one of Balancer's factories made it.
        due: What the protocol takes of a coin before anybody leaves.
    """

    pool: str
    pool_id: int
    vault: str
    tokens: tuple[str, ...]
    balances: tuple[int, ...]
    weights: tuple[int, ...]
    fee: int
    supply: int
    is_confirmed: bool
    due: Due | None = None

    def share(self, shares: int) -> tuple[int, ...]:
        """Amounts of the coins that leaving with so many shares pays out.

        Raises:
            ValueError: If there are more shares than exist.
        """
        return exit_amounts(shares, self.supply, self.balances, self.due)

    @property
    def held(self) -> tuple[int, ...]:
        """What all shares together stand for, of each coin."""
        return self.share(self.supply)


async def read_pools(
    node: Node,
    candidates: Sequence[str],
    block: Block,
    known: BalancerV2 | None,
    faults: Faults,
    *,
    named: Collection[str] = (),
    multicall3: str | None = None,
) -> dict[str, WeightedPool]:
    """The weighted pools among these addresses, by address.

    Args:
        node: The chain.
        candidates: Any contracts, lower case; those that no factory made are left out.
        block: The block to read at.
        known: Vault and factories of the chain.
        faults: Takes pools of which something is unknown, and named ones that are none.
        named: Pools that count whatever the factories say.
        multicall3: Address of Multicall3, where the chain has it.

    Raises:
        PositionFault: If `faults` collects none and something could not be read.
        RpcError: If the node cannot be read.
    """
    asked, sure = list(dict.fromkeys([*candidates, *named])), frozenset(named)
    claims = await _claims(node, asked, block, multicall3)
    for pool in sorted(sure - claims.keys()):
        faults.add(pool, "it does not say that it is a pool of Balancer v2")
    vault, factories = (known.vault, known.factories) if known else (None, ())
    claims = {pool: claim for pool, claim in claims.items() if pool in sure or claim[1] == vault}
    said = await _ask(node, claims, factories, block, multicall3)
    pools: dict[str, WeightedPool] = {}
    for pool, answers in said.items():
        is_confirmed = claims[pool][1] == vault and any(says_yes(*answers[factory]) for factory in factories)
        if not is_confirmed and pool not in sure:
            continue
        try:
            pools[pool] = _pool(pool, *claims[pool], answers, is_confirmed)
        except CallFailed as error:
            faults.add(pool, error.message)
    return await _with_due(node, pools, said, block, faults, multicall3)


def pool_id_of(pool: str, call: Call, answer: Answer) -> int | None:
    """The id that a contract says it has in the Vault; None unless it begins with the contract's own address."""
    try:
        found = number(call, answer)
    except CallFailed:
        return None
    return found if found >> POOL_OF_ID == int(pool, 16) else None


def coins_of(call: Call, answer: Answer) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Coins and balances of `getPoolTokens(bytes32)`.

    Raises:
        CallFailed: If the Vault does not know the pool, or the answer cannot be true.
    """
    words = numbers(call, answer, least=5)
    count = words[3]
    if words[0] != 96 or not 1 <= count <= MOST_COINS or words[1] != 128 + 32 * count or len(words) != 5 + 2 * count:
        raise CallFailed(call.to, "not the coins of a pool")
    if words[4 + count] != count:
        raise CallFailed(call.to, f"{count} coins and {words[4 + count]} balances")
    tokens = tuple(address(call, word) for word in words[4 : 4 + count])
    return tokens, words[5 + count :]


def weights_of(call: Call, answer: Answer, coins: int) -> tuple[int, ...]:
    """Weights of `getNormalizedWeights()`.

    Raises:
        CallFailed: If they are not one for each coin, all above 0 and 1 together.
    """
    offset, *words = numbers(call, answer, least=3)
    if offset != 32 or words[0] != coins or len(words) != 1 + coins:
        raise CallFailed(call.to, f"not one weight for each of {coins} coins")
    weights = tuple(words[1:])
    if not all(weights) or sum(weights) != ONE:
        raise CallFailed(call.to, f"weights that are not 1 together: {weights}")
    return weights


def says_yes(call: Call, answer: Answer) -> bool:
    """Whether a yes-or-no view was answered with yes."""
    try:
        return flag(call, answer)
    except CallFailed:
        return False


async def _claims(
    node: Node, candidates: Sequence[str], block: Block, multicall3: str | None
) -> dict[str, tuple[int, str]]:
    """Id and Vault of those who say that they are pools; any contract can say this."""
    calls = [view(candidate, question) for candidate in candidates for question in _CLAIM]
    answers = await call_many(node, calls, block, multicall3=multicall3)
    claims = {}
    for place, candidate in enumerate(candidates):
        pool_id = pool_id_of(candidate, calls[2 * place], answers[2 * place])
        try:
            vault = address(calls[2 * place + 1], number(calls[2 * place + 1], answers[2 * place + 1]))
        except CallFailed:
            continue
        if pool_id is not None:
            claims[candidate] = pool_id, vault
    return claims


async def _ask(
    node: Node, claims: Mapping[str, tuple[int, str]], factories: Sequence[str], block: Block, multicall3: str | None
) -> dict[str, Answers]:
    questions = {
        pool: {
            "getPoolTokens": view(vault, "getPoolTokens(bytes32)", pool_id),
            "getProtocolFeesCollector": view(vault, "getProtocolFeesCollector()"),
            **{question: view(pool, question) for question in _QUESTIONS},
            **{factory: view(factory, "isPoolFromFactory(address)", pool) for factory in factories},
        }
        for pool, (pool_id, vault) in claims.items()
    }
    distinct = list(dict.fromkeys(call for calls in questions.values() for call in calls.values()))
    answers = dict(zip(distinct, await call_many(node, distinct, block, multicall3=multicall3), strict=True))
    return {pool: {name: (call, answers[call]) for name, call in calls.items()} for pool, calls in questions.items()}


def _pool(pool: str, pool_id: int, vault: str, said: Answers, is_confirmed: bool) -> WeightedPool:
    tokens, balances = coins_of(*said["getPoolTokens"])
    weights = weights_of(*said["getNormalizedWeights()"], coins=len(tokens))
    supply = number(*said["totalSupply()" if _is_of_2021(said) else "getActualSupply()"])
    fee = number(*said["getSwapFeePercentage()"], bits=64)
    return WeightedPool(pool, pool_id, vault, tokens, balances, weights, fee, supply, is_confirmed)


async def _with_due(
    node: Node,
    pools: Mapping[str, WeightedPool],
    said: Mapping[str, Answers],
    block: Block,
    faults: Faults,
    multicall3: str | None,
) -> dict[str, WeightedPool]:
    """The pools with what those of 2021 owe the protocol; who does not let it be known is a fault."""
    found = dict(pools)
    asked: dict[str, tuple[Call, Call]] = {}
    for pool, state in pools.items():
        if not _is_of_2021(said[pool]):
            continue
        try:
            call, answer = said[pool]["getProtocolFeesCollector"]
            collector = address(call, number(call, answer))
        except CallFailed as error:
            del found[pool]
            faults.add(pool, f"what it owes the protocol is unknown: {error}")
            continue
        heavy = state.tokens[heaviest(state.weights)]
        asked[pool] = view(collector, "getSwapFeePercentage()"), view(heavy, "decimals()")
    calls = list(dict.fromkeys(call for pair in asked.values() for call in pair))
    answers = dict(zip(calls, await call_many(node, calls, block, multicall3=multicall3), strict=True))
    for pool, (share, decimals) in asked.items():
        try:
            found[pool] = _owing(pools[pool], said[pool], number(share, answers[share]),
                                 number(decimals, answers[decimals]))  # fmt: skip
        except (CallFailed, ValueError) as error:
            del found[pool]
            faults.add(pool, f"what it owes the protocol is unknown: {error}")
    return found


def _owing(pool: WeightedPool, said: Answers, protocol_share: int, decimals: int) -> WeightedPool:
    is_paused = numbers(*said["getPausedState()"], least=3)[0] == 1
    if is_paused:  # then everybody leaves without it
        return pool
    due = due_in_coins(
        pool.balances,
        pool.weights,
        decimals,
        invariant_before=number(*said["getLastInvariant()"]),
        invariant=number(*said["getInvariant()"]),
        protocol_share=protocol_share,
    )
    return replace(pool, due=due)


def _is_of_2021(said: Answers) -> bool:
    """Those pools pay the protocol in coins; the later ones in shares, which `getActualSupply` counts."""
    call, answer = said["getActualSupply()"]
    try:
        number(call, answer)
    except CallFailed:
        return True
    return False
