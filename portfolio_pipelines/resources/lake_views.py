"""The lake as the marts' build sees it: a typed view for each core table, and a fingerprint for each of its files.

Belongs here: which files a core table consists of, whether they changed. What is made of them is dbt's business.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from portfolio_pipelines import (
    allocation_tables,
    chain_tables,
    leaderboard_tables,
    liquidity_tables,
    metric_tables,
    tables,
    transaction_tables,
)
from portfolio_pipelines.resources.files import content_hash
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.partitions import WHOLE, partition_name

if TYPE_CHECKING:
    import duckdb

SOURCES: Final[Mapping[str, pl.Schema]] = {
    tables.PRICES: tables.PRICES_SCHEMA,
    tables.RESTATEMENTS: tables.RESTATEMENTS_SCHEMA,
    tables.BENCHMARKS: tables.BENCHMARKS_SCHEMA,
    tables.ASSETS: tables.ASSETS_SCHEMA,
    tables.USERS: tables.USERS_SCHEMA,
    tables.INVESTMENT_LEGS: tables.INVESTMENT_LEGS_SCHEMA,
    tables.SUCCESSIONS: tables.SUCCESSIONS_SCHEMA,
    tables.INVESTMENT_PERFORMANCE: tables.INVESTMENT_PERFORMANCE_SCHEMA,
    tables.PORTFOLIO_PERFORMANCE: tables.PORTFOLIO_PERFORMANCE_SCHEMA,
    metric_tables.PORTFOLIO_METRICS: metric_tables.PORTFOLIO_METRICS_SCHEMA,
    metric_tables.BENCHMARK_COMPARISON: metric_tables.BENCHMARK_COMPARISON_SCHEMA,
    metric_tables.DIVERSIFICATION: metric_tables.DIVERSIFICATION_SCHEMA,
    metric_tables.ASSET_CORRELATIONS: metric_tables.ASSET_CORRELATIONS_SCHEMA,
    leaderboard_tables.LEADERBOARD: leaderboard_tables.LEADERBOARD_SCHEMA,
    leaderboard_tables.LEADERBOARD_RANKS: leaderboard_tables.LEADERBOARD_RANKS_SCHEMA,
    allocation_tables.ALLOCATION_TARGETS: allocation_tables.ALLOCATION_TARGETS_SCHEMA,
    allocation_tables.REBALANCING_PLANS: allocation_tables.REBALANCING_PLANS_SCHEMA,
    liquidity_tables.LIQUIDITY_POSITIONS: liquidity_tables.LIQUIDITY_POSITIONS_SCHEMA,
    liquidity_tables.IMPERMANENT_LOSS: liquidity_tables.IMPERMANENT_LOSS_SCHEMA,
    liquidity_tables.POOL_YIELDS: liquidity_tables.POOL_YIELDS_SCHEMA,
    transaction_tables.TRANSACTIONS: transaction_tables.TRANSACTIONS_SCHEMA,
    transaction_tables.TRANSACTION_VALUES_TABLE: transaction_tables.TRANSACTION_VALUES_SCHEMA,
    transaction_tables.LOT_ENTRIES: transaction_tables.LOT_ENTRIES_SCHEMA,
    transaction_tables.LOT_USES: transaction_tables.LOT_USES_SCHEMA,
    transaction_tables.PROFIT_AND_LOSS: transaction_tables.PROFIT_AND_LOSS_SCHEMA,
    transaction_tables.LEDGER_RESTATEMENTS: transaction_tables.LEDGER_RESTATEMENTS_SCHEMA,
    tables.PARTITION_LOG: tables.PARTITION_LOG_SCHEMA,
    tables.CHECK_RESULTS: tables.CHECK_RESULTS_SCHEMA,
    chain_tables.WALLETS: chain_tables.WALLETS_SCHEMA,
    chain_tables.CHAINS: chain_tables.CHAINS_SCHEMA,
    chain_tables.CHAIN_TOKENS: chain_tables.CHAIN_TOKENS_SCHEMA,
}
"""What the marts are made of: tables with a file a day, or one file."""

LOOKED_AT: Final = 16
"""Days of a table whose columns are looked at: a few milliseconds."""

CHAIN_SOURCES: Final[Mapping[str, pl.Schema]] = {
    chain_tables.CHAIN_READS: chain_tables.CHAIN_READS_SCHEMA,
    chain_tables.WALLET_BALANCES: chain_tables.WALLET_BALANCES_SCHEMA,
    chain_tables.DEFI_POSITIONS: chain_tables.DEFI_POSITIONS_SCHEMA,
    chain_tables.POOL_STATES: chain_tables.POOL_STATES_SCHEMA,
    chain_tables.RECEIPT_RATIOS: chain_tables.RECEIPT_RATIOS_SCHEMA,
    chain_tables.BALANCE_RECONCILIATION: chain_tables.BALANCE_RECONCILIATION_SCHEMA,
}
"""What else they are made of: tables with a file for each chain on each day. Their views begin with `date`, `chain`."""

BOOKKEEPING: Final[Mapping[str, tuple[str, ...]]] = {
    "partition_log": ("table", "partition", "code_version", "input_hash", "content_hash"),
    "check_results": ("check_name", "asset", "severity", "passed", "details"),
}
"""Tables that every run rewrites with new run ids and times; only a change of these columns is worth a build."""

_CARRIED: Final = frozenset(
    {
        "last_close_date", "refused_since",
        "track_index", "track_value_usd", "track_date", "track_inflow_usd", "track_outflow_usd",
    }
)  # fmt: skip
"""Columns that carry a computation from one day to the next: nobody's business outside it."""

_SQL_TYPES: Final[Mapping[object, str]] = {
    pl.String: "varchar",
    pl.Date: "date",
    pl.Float64: "double",
    pl.Int16: "smallint",
    pl.Int32: "integer",
    pl.Int64: "bigint",
    pl.Boolean: "boolean",
}


@dataclass(frozen=True, slots=True)
class Partition:
    """One file of a core table, as it was when the warehouse was built.

    The times and sizes only tell which files need to be read again to know their content hash.
    """

    table_name: str
    partition: str  # YYYY-MM-DD, YYYY-MM-DD/chain, or "all" for a table without days
    content_hash: str
    size: int
    modified_ns: int

    @property
    def key(self) -> tuple[str, str]:
        """Table and partition."""
        return self.table_name, self.partition


def day_and_chain(partition: str) -> tuple[str | None, str | None]:
    """The day (YYYY-MM-DD) and the chain of a partition; None where it has none."""
    day, _, chain = partition.partition("/")
    return (None, None) if partition == WHOLE else (day, chain or None)


def short_name(table: str) -> str:
    """core/prices_daily is prices_daily in the warehouse."""
    return table.rpartition("/")[2]


def read_partitions(lake: Lake, known: Mapping[tuple[str, str], Partition]) -> dict[tuple[str, str], Partition]:
    """The files that the marts are made of, each with the hash of its content.

    The hash is that of the file itself, not the one the partition log remembers, so that a file and its log entry
    cannot disagree. A file whose size and time are those of `known` is not read again.
    """
    found: dict[tuple[str, str], Partition | Future[Partition]] = {}
    with ThreadPoolExecutor(max_workers=4) as threads:  # hashing releases the interpreter
        for table_name, partition, path in _files(lake):
            stat, before = path.stat(), known.get((table_name, partition))
            if before and (before.size, before.modified_ns) == (stat.st_size, stat.st_mtime_ns):
                found[before.key] = before
            else:
                found[table_name, partition] = threads.submit(_read_partition, table_name, partition, path, stat)
    return {key: part if isinstance(part, Partition) else part.result() for key, part in found.items()}


def _read_partition(table_name: str, partition: str, path: Path, stat: os.stat_result) -> Partition:
    return Partition(table_name, partition, _hash(table_name, path), stat.st_size, stat.st_mtime_ns)


def create_views(connection: "duckdb.DuckDBPyConnection", lake: Lake) -> None:
    """Create schema `lake` with one typed view for each core table; a table without files is an empty view."""
    connection.execute("create schema if not exists lake")
    for table, whole_schema in SOURCES.items():
        schema = {name: kind for name, kind in whole_schema.items() if name not in _CARRIED}
        _create_view(connection, table, schema, list(_readers(lake, table, schema)))
    for table, schema in CHAIN_SOURCES.items():
        folders: dict[str, pl.DataType] = {"date": pl.Date(), "chain": pl.String()}
        number: dict[str, pl.DataType] = {"file_row_number": pl.Int64()} if table == chain_tables.CHAIN_READS else {}
        readers = [_chain_reader(lake, table)] if lake.chain_days(table) else []
        _create_view(connection, table, {**folders, **schema, **number}, readers)


def drop_views(connection: "duckdb.DuckDBPyConnection") -> None:
    """Cut the file off from the lake: what is served reads nothing outside itself."""
    connection.execute("drop schema if exists lake cascade")


def _files(lake: Lake) -> Iterator[tuple[str, str, Path]]:
    for table in SOURCES:
        for day in sorted(lake.days(table)):
            yield short_name(table), partition_name(day), lake.path(table, day)
        if lake.path(table).is_file():
            yield short_name(table), WHOLE, lake.path(table)
    for table in CHAIN_SOURCES:
        for day, chain in sorted(lake.chain_days(table)):
            yield short_name(table), partition_name(day, chain), lake.path(table, day, chain)


def _create_view(
    connection: "duckdb.DuckDBPyConnection", table: str, schema: Mapping[str, pl.DataType], readers: Sequence[str]
) -> None:
    columns = ", ".join(_column(name, kind) for name, kind in schema.items())
    parts = [f"select {columns} from {reader}" for reader in readers]  # noqa: S608 names of our own
    if not parts:
        empty = ", ".join(f"cast(null as {_sql_type(kind)}) as {_quoted(name)}" for name, kind in schema.items())
        parts = [f"select {empty} where false"]
    connection.execute(f"create or replace view lake.{short_name(table)} as {' union all '.join(parts)}")


def _readers(lake: Lake, table: str, schema: Mapping[str, pl.DataType]) -> Iterator[str]:
    if lake.days(table):
        pattern = _literal(str(lake.root / table / "date=*" / "data.parquet"))
        # Columns that came after the files of some days were written are null there until a run writes these anew. Runs
        # go from some day to the newest one, so one of the two ends tells, or the middle where a run was killed;
        # reading every file by name costs seconds.
        days = sorted(lake.days(table))
        looked_at = {*days[:: -(-len(days) // LOOKED_AT)], days[-1]}
        found = [pl.read_parquet_schema(lake.path(table, day)).keys() for day in sorted(looked_at)]
        by_name = ", union_by_name = true" if any(schema.keys() - names - {"date"} for names in found) else ""
        yield f"read_parquet({pattern}, hive_partitioning = true, hive_types = {{'date': date}}{by_name})"
    if lake.path(table).is_file():
        reader = f"read_parquet({_literal(str(lake.path(table)))}, hive_partitioning = false)"
        # A column that came after the file was written is null until the next run of its asset, which writes it anew.
        later = schema.keys() - pl.read_parquet_schema(lake.path(table)).keys() - {"date"}
        nulls = "".join(f", null as {_quoted(name)}" for name in sorted(later))
        yield f"(select *{nulls} from {reader})" if later else reader  # noqa: S608 names of our own


def _chain_reader(lake: Lake, table: str) -> str:
    pattern = _literal(str(lake.root / table / "date=*" / "chain=*" / "data.parquet"))
    types = "{'date': date, 'chain': varchar}"
    return f"read_parquet({pattern}, hive_partitioning = true, hive_types = {types}, file_row_number = true)"


def _column(name: str, kind: pl.DataType) -> str:
    if kind == tables.UTC_TIME:  # stored as plain UTC: a zoned type would be shown in each reader's own zone
        return f"cast({_quoted(name)} at time zone 'UTC' as timestamp) as {_quoted(name)}"
    if name in {"date", "chain"}:  # a cast would hide the hive column from pruning
        return _quoted(name)
    return f"cast({_quoted(name)} as {_sql_type(kind)}) as {_quoted(name)}"


def _sql_type(kind: pl.DataType) -> str:
    if isinstance(kind, pl.Decimal):
        return f"decimal({kind.precision}, {kind.scale})"
    return "timestamp" if kind == tables.UTC_TIME else _SQL_TYPES[kind.base_type()]


def _hash(table_name: str, path: Path) -> str:
    columns = BOOKKEEPING.get(table_name)
    if columns is None:
        return content_hash(path.read_bytes())
    frame = pl.read_parquet(path)
    if table_name == "check_results":
        frame = frame.sort("checked_at").unique(["check_name", "asset"], keep="last")
        # Only a failed check tells what it counted; the counts of a passed one are those of whatever days it ran over.
        frame = frame.with_columns(details=pl.when(~pl.col("passed")).then("details"))
    return content_hash(frame.select(columns).unique().sort(columns).write_csv().encode())


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
