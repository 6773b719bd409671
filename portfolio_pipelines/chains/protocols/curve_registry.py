"""Which Curve pools some tokens are shares of, as Curve's own registry of registries says.

Belongs here: asking the registry. A token cannot claim to be a share by itself: only what the registry names counts.
What a pool consists of is read by `curve_pools`, what wallets have in it by `curve`.
"""

from collections.abc import Sequence

from portfolio_pipelines.chains.protocols.calls import Answer, Call, CallFailed, address, call_many, number, view
from portfolio_pipelines.chains.protocols.curve_pools import NOWHERE, CurvePool
from portfolio_pipelines.chains.protocols.pools import META_REGISTRY
from portfolio_pipelines.chains.rpc.node import Block, Node
from portfolio_pipelines.chains.token_facts import text_of

POOL_OF: str = "get_pool_from_lp_token(address)"


async def registry_at(node: Node, provider: str, block: Block) -> str | None:
    """Address of the registry of registries; None where the chain has none (yet).

    Args:
        node: The chain.
        provider: Curve's address provider.
        block: The block to read at.

    Raises:
        RpcError: If the node cannot be read.
    """
    call = view(provider, "get_address(uint256)", META_REGISTRY)
    return _address(call, (await call_many(node, [call], block))[0])


async def pools_of(
    node: Node, tokens: Sequence[str], block: Block, registry: str, *, multicall3: str | None = None
) -> list[CurvePool]:
    """The pools that some of these tokens are shares of, or staked shares (tokens of the pool's gauge).

    Args:
        node: The chain.
        tokens: Any contracts, lower-case.
        block: The block to read at.
        registry: From `registry_at`.
        multicall3: Address of Multicall3, where the chain has it.

    Returns:
        Each pool once, by address, with its gauge. Tokens that are no shares are left out.

    Raises:
        RpcError: If the node cannot be read.
    """
    candidates = list(dict.fromkeys(tokens))
    direct = [view(registry, POOL_OF, token) for token in candidates]
    staked = [view(token, "lp_token()") for token in candidates]
    answers = await _addresses(node, [*direct, *staked], block, multicall3)
    shares = {pool: token for token, pool in zip(candidates, answers[: len(candidates)], strict=True) if pool}
    stakes = {
        token: share
        for token, pool, share in zip(candidates, answers[: len(candidates)], answers[len(candidates) :], strict=True)
        if share and not pool
    }
    behind = await _addresses(node, [view(registry, POOL_OF, share) for share in stakes.values()], block, multicall3)
    through = {
        pool: (token, share) for (token, share), pool in zip(stakes.items(), behind, strict=True) if pool is not None
    }
    found = sorted({*shares, *through})
    gauges = await _addresses(node, [view(registry, "get_gauge(address)", pool) for pool in found], block, multicall3)
    naming = [view(registry, "get_pool_name(address)", pool) for pool in found]
    names = await call_many(node, naming, block, multicall3=multicall3)
    pools = []
    for pool, gauge, name in zip(found, gauges, names, strict=True):
        token, share = through.get(pool, ("", ""))
        if pool not in shares and gauge != token:
            continue  # it only says that it stakes shares of the pool
        shown = (None if isinstance(name, CallFailed) else text_of(name)) or ""
        pools.append(
            CurvePool(shown, pool, shares.get(pool, share), registry, gauges=(gauge,) if gauge is not None else ())
        )
    return pools


async def _addresses(node: Node, calls: Sequence[Call], block: Block, multicall3: str | None) -> list[str | None]:
    answers = await call_many(node, calls, block, multicall3=multicall3)
    return [_address(call, answer) for call, answer in zip(calls, answers, strict=True)]


def _address(call: Call, answer: Answer) -> str | None:
    try:
        found = address(call, number(call, answer))
    except CallFailed:
        return None
    return None if found == NOWHERE else found
