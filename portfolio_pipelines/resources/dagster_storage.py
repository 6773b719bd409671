"""Dagster's Postgres storages with pooled connections. Loaded by every Dagster process: import nothing heavy here.

The stock storages open a connection for nearly every statement, and a dozen statements for the event of an asset. That
is most of the time that a run spends on bookkeeping: of a year of partitions, and of one day of many small tables.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Self

from dagster import EventLogEntry
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._serdes import ConfigurableClassData
from dagster_postgres import PostgresEventLogStorage, PostgresRunStorage, PostgresScheduleStorage
from dagster_postgres.utils import create_pg_connection, pg_url_from_config
from sqlalchemy import ARRAY, Connection, bindparam, create_engine, func
from sqlalchemy.pool import QueuePool

from portfolio_pipelines.database.pooling import replace_broken_connections

_INSERT: Final = SqlEventLogStorageTable.insert().returning(SqlEventLogStorageTable.c.id)


class _Pooled:
    postgres_url: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        engine = create_engine(
            self.postgres_url,
            isolation_level="AUTOCOMMIT",
            poolclass=QueuePool,
            pool_size=2,
            max_overflow=8,
            pool_recycle=1800,
        )
        self._engine = replace_broken_connections(engine)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Made by Dagster from dagster.yaml; the stock method would construct the unpooled base class."""
        return cls(
            pg_url_from_config(config_value),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
            inst_data=inst_data,
        )


class EventLog(_Pooled, PostgresEventLogStorage):
    """Events of runs, in Postgres: an event and all that follows from it in one transaction, a batch in one statement.

    The stock storage writes the event, a notification that nobody listens to, its tags, its asset and its check on
    connections of their own. It also reads the catalogue of the database at every event, to see whether an old
    installation lacks a table or a column; and of a batch it writes the plans one by one.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._columns_seen: set[str] = set()
        self._tables_seen: set[str] = set()
        self._ongoing = threading.local()
        super().__init__(*args, **kwargs)  # connects

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        if column_name in self._columns_seen:  # a migration adds columns and removes none
            return True
        found = bool(super()._has_asset_key_col_on_connection(conn, column_name))
        if found:
            self._columns_seen.add(column_name)
        return found

    def has_table(self, table_name: str) -> bool:
        """Whether the database has this table. One that was seen stays: a migration adds tables and removes none."""
        if table_name not in self._tables_seen and super().has_table(table_name):
            self._tables_seen.add(table_name)
        return table_name in self._tables_seen

    def prepare_insert_event_batch(self, events: Sequence[EventLogEntry]) -> Any:
        """One statement with an array for each column: values of each of many events would take longer to compile."""
        rows = [self._event_to_row(event) for event in events]
        columns = [SqlEventLogStorageTable.c[name] for name in rows[0]]
        arrays = [bindparam(None, [row[column.name] for row in rows], type_=ARRAY(column.type)) for column in columns]
        values = func.unnest(*arrays).table_valued(*columns, name="events").render_derived()
        return SqlEventLogStorageTable.insert().from_select(columns, values.select())

    def store_event(self, event: EventLogEntry) -> None:
        """Store one event, with what it means for its asset or check."""
        self._store([event])

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events of one run; all of them, or none when this fails."""
        kept = [event for event in events if not event.get_dagster_event().is_asset_failed_to_materialize]
        if kept:  # the stock storage has no place for the others in a batch either
            self._store(kept)

    def _store(self, events: Sequence[EventLogEntry]) -> None:
        of_checks = [event.is_dagster_event and event.dagster_event_type in ASSET_CHECK_EVENTS for event in events]
        of_assets = [_asset_key(event) is not None for event in events]
        if len(events) == 1 and not (of_checks[0] or of_assets[0]):
            with self._connect() as connection:
                connection.execute(_INSERT, self._event_to_row(events[0]))
            return
        with self._one_transaction() as connection:
            if len(events) == 1:
                inserted = connection.execute(_INSERT, self._event_to_row(events[0]))
            else:
                statement = self.prepare_insert_event_batch(events)
                inserted = connection.execute(statement.returning(SqlEventLogStorageTable.c.id))
            numbers = [int(row[0]) for row in inserted.fetchall()]
            numbered = list(zip(events, numbers, strict=True))
            self._store_assets(connection, [pair for pair, of in zip(numbered, of_assets, strict=True) if of])
            for (event, number), of_check in zip(numbered, of_checks, strict=True):
                if of_check:
                    self.store_asset_check_event(event, number)

    def _store_assets(self, connection: Connection, numbered: Sequence[tuple[EventLogEntry, int]]) -> None:
        self._store_asset_event_tags(connection, [event for event, _ in numbered], [number for _, number in numbered])
        newest = {(_asset_key(event), event.dagster_event_type): (event, number) for event, number in numbered}
        for _, (event, number) in sorted(newest.items(), key=lambda item: item[0]):
            self._store_asset_event(connection, event, number)  # in order: two runs lock the same rows alike

    @contextmanager
    def _one_transaction(self) -> Iterator[Connection]:
        """A transaction that this thread's other statements join, those of Dagster's own methods too."""
        with self.index_transaction() as connection:
            self._ongoing.connection = connection
            try:
                yield connection
            finally:
                self._ongoing.connection = None

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        ongoing = getattr(self._ongoing, "connection", None)
        if ongoing is not None:
            yield ongoing
        else:
            with create_pg_connection(self._engine) as connection:
                yield connection


def _asset_key(event: EventLogEntry) -> str | None:
    """The asset that an event tells something of; None for an event that its asset need not know."""
    if not event.is_dagster_event or event.dagster_event_type not in ASSET_EVENTS:
        return None
    key = event.get_dagster_event().asset_key
    return key.to_string() if key else None


class Runs(_Pooled, PostgresRunStorage):
    """Runs, in Postgres."""


class Schedules(_Pooled, PostgresScheduleStorage):
    """Ticks of schedules and sensors, in Postgres."""
