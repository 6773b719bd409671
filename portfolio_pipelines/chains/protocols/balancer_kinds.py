"""Which kind of pool of Balancer v2 a contract is: of weights that never change, or of another kind that it names.

Belongs here: telling them apart by what they answer. Reading a weighted pool is `balancer_pools`, telling pools of all
exchanges apart `pools`.
"""

from dataclasses import dataclass
from typing import Final

from portfolio_pipelines.chains.deployments import BalancerV2
from portfolio_pipelines.chains.protocols.balancer_pools import coins_of, says_yes, weights_of
from portfolio_pipelines.chains.protocols.calls import CallFailed, call_many, view
from portfolio_pipelines.chains.rpc.node import Block, Node

OTHER_KINDS: Final = {
    "getGradualWeightUpdateParams()": "a pool whose weights change (liquidity bootstrapping or managed)",
    "getAmplificationParameter()": "a stable pool",
    "getMainToken()": "a linear pool",
}
"""What only pools of another kind answer."""


@dataclass(frozen=True, slots=True)
class WeightedFacts:
    """What never changes about a weighted pool.

    Attributes:
        tokens: Its coins in the order of the Vault, lower case.
        weights: Of the coins, 18 decimals, sum 1.
        is_confirmed: Whether one of Balancer's factories made it.
    """

    tokens: tuple[str, ...]
    weights: tuple[int, ...]
    is_confirmed: bool


async def weighted_facts(
    node: Node, pool: str, pool_id: int, vault: str, known: BalancerV2 | None, block: Block
) -> WeightedFacts | str:
    """What a contract with an id of the Vault is: facts of a weighted pool, or in words why it is none.

    Args:
        node: The chain.
        pool: The contract, lower case.
        pool_id: As it says.
        vault: As it says.
        known: Vault and factories of the chain.
        block: The block to read at.

    Raises:
        RpcError: If the node cannot be read.
    """
    factories = known.factories if known and known.vault == vault else ()
    coins = view(vault, "getPoolTokens(bytes32)", pool_id)
    weights = view(pool, "getNormalizedWeights()")
    kinds = [view(pool, question) for question in OTHER_KINDS]
    confirming = [view(factory, "isPoolFromFactory(address)", pool) for factory in factories]
    asked = [coins, weights, *kinds, *confirming]
    answers = dict(zip(asked, await call_many(node, asked, block), strict=True))
    try:
        tokens, _ = coins_of(coins, answers[coins])
    except CallFailed:
        return f"claims to be of Balancer v2, whose Vault {vault} does not know it"
    for call, kind in zip(kinds, OTHER_KINDS.values(), strict=True):
        if not isinstance(answers[call], CallFailed) and answers[call]:
            return f"is {kind} of Balancer v2: weighted pools alone can be valued"
    try:
        found = weights_of(weights, answers[weights], coins=len(tokens))
    except CallFailed as error:
        return f"is a pool of Balancer v2, but no weighted one: {error.message}"
    return WeightedFacts(tokens, found, any(says_yes(call, answers[call]) for call in confirming))
