"""The marts in Postgres: only partitions that changed are copied, and all of them appear in one transaction.

Belongs here: comparing, copying, swapping. What a table looks like is `served_tables`, where its rows lie
`served_storage`, what it should hold `served_content`, who may read it `bi_access` and `leaderboard_access`.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import duckdb
import psycopg

from portfolio_pipelines.database.connection import connect_url, url_text
from portfolio_pipelines.resources.bi_access import grant_reading
from portfolio_pipelines.resources.dbt_manifest import read_models
from portfolio_pipelines.resources.leaderboard_access import grant_leaderboard
from portfolio_pipelines.resources.served_content import WarehouseContent
from portfolio_pipelines.resources.served_storage import open_books, partition_of, put_away_partitions
from portfolio_pipelines.resources.served_tables import SCHEMA, STORAGE, ServedTable, Storage, quoted
from portfolio_pipelines.resources.warehouse import Warehouse
from portfolio_pipelines.settings import Settings

logger = logging.getLogger(__name__)

CHUNK: Final = 1 << 20
POSTGRES_CSV: Final = r"delimiter E'\x02', quote E'\x01', escape E'\x01'"
DUCKDB_CSV: Final = "header false, nullstr '', delimiter '\x02', quote '\x01', escape '\x01'"
"""Signs that texts do not contain: JSON is full of commas and quotes, and doubling them costs a fifth of the time."""
PUBLISH_LOCK: Final = 4_842_001
"""Key of the advisory lock: two publishers would wait for each other's partitions otherwise."""


class PublishError(RuntimeError):
    """The marts were not published; what was published before is still there."""


@dataclass(frozen=True, slots=True)
class PublishResult:
    """What a publish did."""

    rows: Mapping[str, int]  # rows copied, by mart
    partitions: Mapping[str, int]  # days (or whole tables) replaced or removed, by mart
    seconds: float
    bi_role: str | None  # None when we may not make roles here

    @property
    def changed(self) -> bool:
        """Whether anything was written."""
        return any(self.partitions.values())


@dataclass(frozen=True, slots=True)
class ServedMarts:
    """The marts as they are served from Postgres.

    Args:
        warehouse: Where they come from.
        settings: Say which database; the embedded one is started when needed.
    """

    warehouse: Warehouse
    settings: Settings

    def publish(self) -> PublishResult:
        """Bring Postgres up to date with the warehouse.

        Raises:
            PublishError: If it failed; the previous content stays.
            FileNotFoundError: If there is no warehouse yet.
        """
        url = connect_url(self.settings).set(drivername="postgresql")
        return publish(self.warehouse, url_text(url))


def publish(warehouse: Warehouse, url: str) -> PublishResult:
    """Copy what changed since the last publish, in one transaction.

    Args:
        warehouse: A built warehouse.
        url: libpq URL of the database, as a role that may create schemas.

    Raises:
        PublishError: If it failed, naming the mart; the previous content stays readable all the time.
        FileNotFoundError: If there is no warehouse yet.
    """
    started = time.monotonic()
    models = [model for model in read_models(warehouse.project.manifest()) if model.schema == SCHEMA]
    tables = [ServedTable.from_model(model) for model in models]
    with warehouse.connect() as marts, psycopg.connect(url, options="-c timezone=UTC") as database:
        publisher = _Publisher(marts, database)
        rows, partitions = publisher.run(tables)
        role = grant_reading(database, SCHEMA)
        grant_leaderboard(database, SCHEMA)
        database.commit()
        publisher.analyze()
    return PublishResult(rows, partitions, time.monotonic() - started, role)


class _Publisher:
    """One publish: plans against the books in Postgres, loads beside, swaps at the end."""

    def __init__(self, marts: duckdb.DuckDBPyConnection, database: psycopg.Connection[tuple[object, ...]]) -> None:
        self._marts = marts
        self._database = database
        self._version = database.info.server_version
        self._swaps: list[tuple[ServedTable, str, str | None]] = []  # table, unit, new partition
        self._loaded: set[str] = set()  # partitions by their quoted names, as everywhere here

    def run(self, tables: Sequence[ServedTable]) -> tuple[dict[str, int], dict[str, int]]:
        self._database.execute("select pg_advisory_xact_lock(%s)", (PUBLISH_LOCK,))
        open_books(self._database)
        content = WarehouseContent(self._marts)
        views = [table for table in tables if table.storage is Storage.VIEW]
        stored = [table for table in tables if table.storage is not Storage.VIEW]
        rows, partitions = dict.fromkeys((t.name for t in tables), 0), dict.fromkeys((t.name for t in tables), 0)
        new = [table for table in stored if not self._is_defined(table)]
        new_views = [v for v in views if not self._is_defined(v) or any(v.reads(table) for table in new)]
        for table in [*new_views, *new]:  # a view stands on tables, so it goes first and comes back last
            with _named(table):
                self._drop(table)
        for table in [*stored, *views]:
            with _named(table):
                if table in new or table in new_views:
                    self._create(table)
                for statement in table.comments():
                    self._database.execute(statement)
                if table in stored:
                    rows[table.name], partitions[table.name] = self._load(table, content.of(table).fingerprints)
        for table, unit, partition in self._swaps:  # last: from here on readers wait, for milliseconds
            self._swap(table, unit, partition)
        moved = put_away_partitions(self._database)
        self._loaded = {moved.get(partition, partition) for partition in self._loaded}
        return rows, partitions

    def analyze(self) -> None:
        """Give the planner figures about new partitions, after the commit: readers need not wait for it."""
        self._database.autocommit = True
        for partition in sorted(self._loaded):
            self._database.execute(f"analyze {partition}")

    def _is_defined(self, table: ServedTable) -> bool:
        """Whether Postgres has the table or view in its present form."""
        known = self._database.execute(
            "select definition_hash from marts.published_tables where table_name = %s", (table.name,)
        ).fetchone()
        return known == (table.definition_hash,)

    def _drop(self, table: ServedTable) -> None:
        kind = self._database.execute(
            "select relkind = 'v' from pg_class where oid = to_regclass(%s)", (table.qualified,)
        ).fetchone()
        if kind:
            self._database.execute(f"drop {'view' if kind[0] else 'table'} {table.qualified}")
        self._database.execute("delete from marts.published_partitions where table_name = %s", (table.name,))

    def _create(self, table: ServedTable) -> None:
        for statement in table.create(self._version):
            self._database.execute(statement)
        self._database.execute(
            "insert into marts.published_tables values (%s, %s) "
            "on conflict (table_name) do update set definition_hash = excluded.definition_hash",
            (table.name, table.definition_hash),
        )

    def _load(self, table: ServedTable, wanted: Mapping[str, str]) -> tuple[int, int]:
        """Load what differs; returns rows copied and partitions touched."""
        published = {
            str(partition): str(fingerprint)
            for partition, fingerprint in self._database.execute(
                "select partition, fingerprint from marts.published_partitions where table_name = %s", (table.name,)
            )
        }
        changed = {name for name in published.keys() | wanted.keys() if published.get(name) != wanted.get(name)}
        total = 0
        for unit in sorted({table.unit(name) for name in changed}):
            touched = {name for name in changed if table.unit(name) == unit}
            kept = {name for name in published.keys() & wanted.keys() if table.unit(name) == unit} - touched
            current = partition_of(self._database, table.qualified, _prefix(table, unit))
            days = sorted(touched & wanted.keys())
            if kept and current:
                total += self._replace_days(table, current, touched, days)
            elif days:
                total += self._load_partition(table, unit, days)
            else:
                self._swaps.append((table, unit, None))
        self._record(table, changed, wanted)
        return total, len(changed)

    def _replace_days(self, table: ServedTable, partition: str, touched: set[str], days: list[str]) -> int:
        self._database.execute(
            f"delete from {partition} where {quoted(table.day)} = any(%s::date[])",  # noqa: S608 a name of ours
            (sorted(touched),),
        )
        return self._copy(table, partition, days) if days else 0

    def _load_partition(self, table: ServedTable, unit: str, days: list[str]) -> int:
        number = self._database.execute("select pg_current_xact_id()::text").fetchone()
        name = f"{_prefix(table, unit)}{number[0] if number else 0}"
        partition = f"{STORAGE}.{quoted(name)}"
        self._database.execute(
            f"create table {partition} (like {table.qualified} including defaults including constraints)"
        )
        copied = self._copy(table, partition, days, freeze=True)
        for statement in table.index_partition(partition, self._version):
            self._database.execute(statement)
        self._swaps.append((table, unit, partition))
        return copied

    def _swap(self, table: ServedTable, unit: str, partition: str | None) -> None:
        current = partition_of(self._database, table.qualified, _prefix(table, unit))
        if current:
            self._database.execute(f"alter table {table.qualified} detach partition {current}")
            self._database.execute(f"drop table {current}")
        if partition:
            self._database.execute(
                f"alter table {table.qualified} attach partition {partition} for values {table.bounds(unit)}"
            )

    def _record(self, table: ServedTable, changed: set[str], wanted: Mapping[str, str]) -> None:
        with self._database.cursor() as cursor:
            cursor.execute(
                "delete from marts.published_partitions where table_name = %s and partition = any(%s)",
                (table.name, sorted(changed)),
            )
            cursor.executemany(
                "insert into marts.published_partitions (table_name, partition, fingerprint) values (%s, %s, %s)",
                [(table.name, name, wanted[name]) for name in sorted(changed & wanted.keys())],
            )

    def _copy(self, table: ServedTable, partition: str, days: list[str], *, freeze: bool = False) -> int:
        """Copy rows from DuckDB into a Postgres table; returns how many."""
        self._loaded.add(partition)
        query = f"select {table.column_list} from {table.qualified}{_condition(table, days)}"  # noqa: S608 names from dbt
        options = f"format csv, {POSTGRES_CSV}{', freeze' if freeze else ''}"
        with self._database.cursor() as cursor:
            with (
                cursor.copy(f"copy {partition} ({table.column_list}) from stdin ({options})") as copy,
                _csv_of(self._marts, query) as chunks,
            ):
                for chunk in chunks:
                    copy.write(chunk)
            return cursor.rowcount


@contextmanager
def _named(table: ServedTable) -> Iterator[None]:
    """Say which mart a failure belongs to; the transaction is rolled back where the connection is closed."""
    try:
        yield
    except (psycopg.Error, duckdb.Error) as error:
        msg = f"publishing {SCHEMA}.{table.name} failed, the previous content stays: {str(error).strip()}"
        if isinstance(error, psycopg.errors.DependentObjectsStillExist):
            msg += " (views that others built on a mart must be dropped before its columns can change)"
        raise PublishError(msg) from error


def _prefix(table: ServedTable, unit: str) -> str:
    """How the name of a partition begins; the number of the transaction that made it ends it."""
    return f"{table.name}_{unit.replace('-', '')}_"


def _condition(table: ServedTable, days: Sequence[str]) -> str:
    if table.storage is Storage.WHOLE:
        return ""
    if table.storage is Storage.SNAPSHOT:  # the snapshot of a day is taken at its end
        ends = ", ".join(f"date '{day}' + interval 1 day" for day in days)
        return f" where snapshot_timestamp in ({ends})"
    literals = ", ".join(f"date '{day}'" for day in days)
    return f" where {quoted(table.day)} in ({literals})"


@contextmanager
def _csv_of(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[Iterator[bytes]]:
    """The rows of a query as CSV in chunks, written by DuckDB's threads while the caller sends what is there.

    Raises:
        duckdb.Error: If the query failed, also after rows were sent: the caller's transaction must not survive.
    """
    read_end, write_end = os.pipe()
    failure: list[BaseException] = []

    def write() -> None:
        try:
            cursor.execute(f"copy ({query}) to '/dev/fd/{write_end}' (format csv, {DUCKDB_CSV})")
        except BaseException as error:  # handed over to the reading thread
            failure.append(error)
        finally:
            os.close(write_end)

    with connection.cursor() as cursor, os.fdopen(read_end, "rb") as pipe:
        thread = threading.Thread(target=write, name="marts-to-csv")
        thread.start()
        try:
            yield iter(lambda: pipe.read(CHUNK), b"")
        finally:
            pipe.close()  # a writer that is still going fails now instead of waiting for a reader
            thread.join()
    if failure:
        raise failure[0]
