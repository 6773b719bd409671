"""Which days of which chains are to be read. It decides nothing about balances.

The rule: the running day always; of a chain that was ever read, every later day that has no file; and a closed day that
could not be read, or only in part, until it is too old for that. What was read whole at its close is left alone.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Final

from portfolio_pipelines.assets import chain_core
from portfolio_pipelines.assets.chain_works import watched_chains
from portfolio_pipelines.assets.onchain_reading import AT_CLOSE, PARTLY_AT_CLOSE
from portfolio_pipelines.chain_tables import CHAIN_READS
from portfolio_pipelines.resources.chain_connections import ChainConnections
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.partitions import PartitionWriter, frame_fingerprint

FAILED_AGAIN: Final = timedelta(days=7)
"""A day whose close could not be read is asked for this long: a node may be repaired, or an archive be configured."""
PARTIAL_AGAIN: Final = timedelta(days=2)
"""A token that answers nobody would make the whole chain be read again and again."""


def due_chain_days(
    lake: Lake, database: Database, connections: ChainConnections, now: datetime, until: date | None = None
) -> list[tuple[date, str]]:
    """The (day, chain) that are due, in order of day and of the registry.

    Args:
        lake: Where the files are.
        database: The wallets and the partition log.
        connections: The chains.
        now: The time.
        until: The last day that is looked at; the running one when not given. It is due where a chain was never read.
    """
    today = now.astimezone(UTC).date()
    last = min(until or today, today)
    made_from = _made_from(database)
    first_read: dict[str, date] = {}
    there = lake.chain_days(CHAIN_READS)
    for day, chain in there:
        first_read[chain] = min(day, first_read.get(chain, day))
    due = []
    for chain in watched_chains(database, connections):
        first = min(first_read.get(chain, last), last)
        for offset in range((last - first).days + 1):
            day = first + timedelta(days=offset)
            known = made_from.get((day, chain)) if (day, chain) in there else None
            if _is_due(day, today, known):
                due.append((day, chain))
    return sorted(due, key=lambda pair: pair[0])


def chain_days_between(
    database: Database, connections: ChainConnections, start: date, end: date
) -> list[tuple[date, str]]:
    """Every day from `start` to `end`, both included, of every chain that somebody watches."""
    chains = watched_chains(database, connections)
    days = [start + timedelta(days=offset) for offset in range((end - start).days + 1)]
    return [(day, chain) for day in days for chain in chains]


def chain_tables_changed(lake: Lake, database: Database, connections: ChainConnections) -> bool:
    """Whether the lake's copies of wallets, chains and tokens are not what people say now."""
    writer = PartitionWriter(lake, "", database.partition_log, lambda _rows: None)
    return any(
        not writer.is_current(chain_core.TABLES[name][0], None, frame_fingerprint(frame), chain_core.CODE_VERSION)
        for name, frame in chain_core.core_frames(database, connections).items()
    )


def by_day(due: Iterable[tuple[date, str]]) -> dict[date, list[str]]:
    """The chains of each day."""
    found: dict[date, list[str]] = {}
    for day, chain in due:
        found.setdefault(day, []).append(chain)
    return found


def _is_due(day: date, today: date, known: str | None) -> bool:
    if day == today or known is None:
        return True
    if known == AT_CLOSE:
        return False
    return today - day <= (PARTIAL_AGAIN if known == PARTLY_AT_CLOSE else FAILED_AGAIN)


def _made_from(database: Database) -> dict[tuple[date, str], str]:
    log = database.partition_log(CHAIN_READS).select("partition", "input_hash")
    found = {}
    for partition, input_hash in log.iter_rows():
        day, _, chain = partition.partition("/")
        found[date.fromisoformat(day), chain] = input_hash
    return found
