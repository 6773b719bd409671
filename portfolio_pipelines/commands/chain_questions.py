"""What commands ask chains before anything is stored: addresses of names, whether a pool is one, what a token says.

Belongs here: one node for each chain of a question, opened and closed again, and answers for the imports. What is asked
of contracts is in `chains`.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from portfolio_pipelines.chains.registry import Chain, Registry

if TYPE_CHECKING:
    from portfolio_pipelines.chains.protocols.pools import PoolFacts
    from portfolio_pipelines.chains.rpc.client import JsonRpcNode
    from portfolio_pipelines.database.liquidity_import import CheckPools, Pool
    from portfolio_pipelines.database.wallet_import import ResolveNames


class NoNodeError(LookupError):
    """No node of a chain is configured; the message says where one is."""


def name_resolver(registry: Registry) -> "ResolveNames | None":
    """Finds the addresses of ENS names; None when no node of Ethereum is configured."""
    from portfolio_pipelines.chains.ens import CHAIN_ID, resolve_names

    chain = registry.by_id.get(CHAIN_ID)
    if chain is None or not _is_readable(chain):
        return None

    async def ask(names: Sequence[str]) -> Mapping[str, str | Exception]:
        async with _node_of(chain) as node:
            return dict(await resolve_names(node, names))

    return lambda names: asyncio.run(ask(names))


def pool_checker(registry: Registry) -> "CheckPools":
    """Asks the chains of pools what the pools are, all chains at once."""
    from portfolio_pipelines.chains.deployments import load_deployments
    from portfolio_pipelines.chains.protocols.pools import check_pools

    deployments = load_deployments(registry.added_deployments)

    async def ask_one(slug: str, pools: Sequence[str]) -> "Mapping[Pool, PoolFacts | Exception]":
        chain = registry.find(slug)
        if not _is_readable(chain):
            error = NoNodeError(f"no node of {slug} is configured (enable it in chains.toml, with an endpoint)")
            return {(slug, pool): error for pool in pools}
        async with _node_of(chain) as node:
            found = await check_pools(node, pools, deployments.of(chain.chain_id), multicall3=chain.multicall3)
        return {(slug, pool): verdict for pool, verdict in found.items()}

    async def ask(pools: "Sequence[Pool]") -> "Mapping[Pool, PoolFacts | Exception]":
        by_chain: dict[str, list[str]] = {}
        for slug, pool in pools:
            by_chain.setdefault(slug, []).append(pool)
        answers = await asyncio.gather(*(ask_one(slug, addresses) for slug, addresses in by_chain.items()))
        return {pool: verdict for answer in answers for pool, verdict in answer.items()}

    return lambda pools: asyncio.run(ask(pools))


def facts_of_token(chain: Chain, address: str) -> Mapping[str, object]:
    """What a token contract says of itself now: a row of `token_facts.TOKEN_FACTS`.

    Raises:
        NoNodeError: If no node of the chain is configured.
        RpcError: If none answered.
    """
    from portfolio_pipelines.chains.token_facts import token_facts

    if not _is_readable(chain):
        msg = f"no node of {chain.slug} is configured (enable it in chains.toml, with an endpoint)"
        raise NoNodeError(msg)

    async def ask() -> Mapping[str, object]:
        async with _node_of(chain) as node:
            block = await node.block()
            return (await token_facts(node, [address], block.number)).row(0, named=True)

    return asyncio.run(ask())


def _is_readable(chain: Chain) -> bool:
    return chain.enabled and bool(chain.endpoints)


@asynccontextmanager
async def _node_of(chain: Chain) -> AsyncIterator["JsonRpcNode"]:
    from portfolio_pipelines.chains.rpc.capabilities import MemoryCapabilityStore
    from portfolio_pipelines.chains.rpc.client import open_node
    from portfolio_pipelines.chains.rpc.endpoints import EndpointSettings

    endpoints = [EndpointSettings(url, chain.requests_per_second) for url in chain.endpoints]
    async with open_node(
        chain.chain_id,
        chain.slug,
        endpoints,
        capabilities=MemoryCapabilityStore(),  # a few views need none of them
        confirmations=chain.confirmations,
        block_seconds=chain.block_time_seconds,
    ) as node:
        yield node
