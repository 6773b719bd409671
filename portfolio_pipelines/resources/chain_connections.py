"""The chains as assets and commands see them: which there are, and readers of those that are wanted.

Belongs here: making nodes out of the registry, the settings and what the database remembers of endpoints. How a chain
is read is in `chains`; what becomes of an answer is in `assets`.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import polars as pl

from portfolio_pipelines.chains.chain_reading import ChainReader, PlainReader
from portfolio_pipelines.chains.deployments import DeploymentList, load_deployments
from portfolio_pipelines.chains.local_chain import CHAIN_ID as LOCAL_CHAIN_ID
from portfolio_pipelines.chains.registry import Chain, Registry, load_registry
from portfolio_pipelines.chains.token_facts import TOKEN_FACTS
from portfolio_pipelines.chains.tokens import TokenList, load_tokens
from portfolio_pipelines.database.chain_endpoints import load_capabilities, record_health, save_capabilities
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.settings import Settings

if TYPE_CHECKING:
    from portfolio_pipelines.chains.solana.source import SolanaSource


@dataclass(frozen=True)
class ChainConnections:
    """Registry, tokens and deployments of an installation, and readers of its chains.

    Args:
        settings: Say where the user's chains.toml is.
        database: Where the endpoints' abilities and health are kept.
        local_url: Where a local chain answers that was started for this process alone; it is read although the registry
            does not enable it.
    """

    settings: Settings = field(repr=False)
    database: Database
    local_url: str | None = None

    @cached_property
    def registry(self) -> Registry:
        """The chains, shipped and changed by the user's chains.toml.

        Raises:
            RegistryRefusedError: If that file has faults.
        """
        registry = load_registry(self.settings.chain_overrides, self.settings.environment)
        if self.local_url is None:
            return registry
        local = replace(registry.by_id[LOCAL_CHAIN_ID], endpoints=(self.local_url,), enabled=True)
        chains = [local if chain.chain_id == LOCAL_CHAIN_ID else chain for chain in registry]
        return Registry(chains, registry.added_tokens, registry.added_deployments)

    @cached_property
    def tokens(self) -> TokenList:
        """The tokens that are known without asking a chain."""
        return load_tokens(self.registry.added_tokens)

    @cached_property
    def deployments(self) -> DeploymentList:
        """Where protocols stand."""
        return load_deployments(self.registry.added_deployments)

    @property
    def readable(self) -> tuple[Chain, ...]:
        """The chains that can be read: enabled, with an endpoint."""
        return tuple(chain for chain in self.registry.enabled() if chain.endpoints)

    @asynccontextmanager
    async def readers(self, chains: Iterable[Chain]) -> AsyncIterator[Mapping[str, ChainReader]]:
        """A reader for each chain, by slug; connections are given back and the endpoints' health is kept at the end."""
        from portfolio_pipelines.chains.rpc.client import JsonRpcNode, open_node
        from portfolio_pipelines.chains.rpc.endpoints import EndpointSettings

        store = _StoredCapabilities(self.database)
        nodes: list[JsonRpcNode] = []
        found: dict[str, ChainReader] = {}
        async with AsyncExitStack() as stack:
            for chain in chains:
                endpoints = [EndpointSettings(url, chain.requests_per_second) for url in chain.endpoints]
                if chain.family == "evm":
                    from portfolio_pipelines.chains.evm_reading import EvmReader

                    node = open_node(
                        chain.chain_id,
                        chain.slug,
                        endpoints,
                        capabilities=store,
                        confirmations=chain.confirmations,
                        block_seconds=chain.block_time_seconds,
                    )
                    nodes.append(await stack.enter_async_context(node))
                    wrapped = [t.address for t in self.tokens.of(chain.chain_id) if t.category == "wrapped_coin"]
                    known = self.deployments.of(chain.chain_id)
                    coins = self.tokens.coins_of(chain.chain_id)
                    found[chain.slug] = EvmReader(node, chain, known, wrapped, coins)
                elif chain.family == "solana":
                    from portfolio_pipelines.chains.solana.client import SolanaClient
                    from portfolio_pipelines.chains.solana.source import SolanaSource

                    solana = await stack.enter_async_context(SolanaClient(chain.slug, endpoints))
                    source = SolanaSource(solana)
                    found[chain.slug] = PlainReader(source, partial(_facts_of_mints, source))
                else:
                    from portfolio_pipelines.chains.bitcoin.esplora import EsploraClient
                    from portfolio_pipelines.chains.bitcoin.source import BitcoinSource

                    bitcoin = await stack.enter_async_context(EsploraClient(chain.slug, endpoints))
                    found[chain.slug] = PlainReader(BitcoinSource(bitcoin))
            try:
                yield found
            finally:
                record_health(self.database.engine, [state for node in nodes for state in node.health()])


async def _facts_of_mints(source: "SolanaSource", tokens: Sequence[str], slot: int) -> pl.DataFrame:
    """What mints say of themselves: decimals alone; names are in another program's accounts."""
    mints = await source.mints(tokens, slot)
    rows = [
        (token, "ok", None, None, mint.decimals, None) if mint else (token, "no_code", None, None, None, "no mint")
        for token, mint in zip(tokens, mints, strict=True)
    ]
    return pl.DataFrame(rows, schema=TOKEN_FACTS, orient="row")


@dataclass(frozen=True, slots=True)
class _StoredCapabilities:
    """What endpoints were found able to do, kept in the database."""

    database: Database

    def load(self, chain_id: int, endpoint: str) -> Mapping[str, Any] | None:
        return load_capabilities(self.database.engine, chain_id, endpoint)

    def save(self, chain_id: int, endpoint: str, facts: Mapping[str, Any]) -> None:
        save_capabilities(self.database.engine, chain_id, endpoint, facts)
