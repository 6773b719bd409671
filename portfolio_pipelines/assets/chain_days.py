"""The partitions of what is on chains: one UTC day of one chain. The hour is a row inside the running day.

A range of them is a box, chains times days, and one run. Dagster sorts the names of the dimensions: a key is
`chain|day`.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Final, Protocol

import dagster as dg

from portfolio_pipelines.assets.days import UtcDays
from portfolio_pipelines.chains.registry import Registry, load_registry
from portfolio_pipelines.settings import Settings

CHAIN: Final = "chain"
DAY: Final = "day"


def partitioned_chains(registry: Registry) -> list[str]:
    """Slugs of the chains that have partitions: those that are enabled, and local ones, which a run may start."""
    return [chain.slug for chain in registry if chain.enabled or chain.category == "local"]


def _partitions(settings: Settings) -> dg.MultiPartitionsDefinition:
    registry = load_registry(settings.chain_overrides, settings.environment)
    chains = dg.StaticPartitionsDefinition(partitioned_chains(registry))
    return dg.MultiPartitionsDefinition({CHAIN: chains, DAY: UtcDays(settings.first_chain_day)})


CHAIN_DAYS: Final = _partitions(Settings())
"""As the registry and the user's chains.toml say when this process starts."""


class HasPartitionKeys(Protocol):
    """An asset's context."""

    @property
    def partition_keys(self) -> Sequence[str]:
        """The keys of its run."""
        ...


def chain_days_of(context: HasPartitionKeys) -> list[tuple[date, str]]:
    """The (day, chain) of a run; chains in the order of the registry, the days of each ascending."""
    keys = (CHAIN_DAYS.get_partition_key_from_str(key).keys_by_dimension for key in context.partition_keys)
    return [(date.fromisoformat(key[DAY]), key[CHAIN]) for key in keys]


def partition_key(day: date, chain: str) -> str:
    """What Dagster calls a partition."""
    return str(dg.MultiPartitionKey({CHAIN: chain, DAY: day.isoformat()}))


def box(days: Iterable[date], chains: Iterable[str]) -> tuple[str, str]:
    """First and last key of the smallest range that holds these days of these chains."""
    order = {
        slug: place
        for place, slug in enumerate(CHAIN_DAYS.get_partitions_def_for_dimension(CHAIN).get_partition_keys())
    }
    sorted_days, sorted_chains = sorted(days), sorted(chains, key=order.__getitem__)
    return partition_key(sorted_days[0], sorted_chains[0]), partition_key(sorted_days[-1], sorted_chains[-1])
