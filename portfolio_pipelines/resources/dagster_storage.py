"""Dagster's Postgres storages with pooled connections. Loaded by every Dagster process: import nothing heavy here.

The stock storages open a connection for nearly every statement, which is most of the time that a range of a year of
partitions spends on bookkeeping.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from dagster import DagsterEventType, EventLogEntry
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._serdes import ConfigurableClassData
from dagster_postgres import PostgresEventLogStorage, PostgresRunStorage, PostgresScheduleStorage
from dagster_postgres.utils import pg_url_from_config
from sqlalchemy import ARRAY, Connection, bindparam, create_engine, func
from sqlalchemy.pool import QueuePool


class _Pooled:
    postgres_url: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._engine = create_engine(
            self.postgres_url,
            isolation_level="AUTOCOMMIT",
            poolclass=QueuePool,
            pool_size=2,
            max_overflow=8,
            pool_recycle=1800,
            pool_pre_ping=True,  # the embedded server may restart under a long-lived daemon
        )

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Made by Dagster from dagster.yaml; the stock method would construct the unpooled base class."""
        return cls(
            pg_url_from_config(config_value),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
            inst_data=inst_data,
        )


class EventLog(_Pooled, PostgresEventLogStorage):
    """Events of runs, in Postgres; the plans of a range of partitions are written as one batch for each asset.

    The stock storage batches materialisations but writes every planned one with four statements of its own. It also
    reads the catalogue of the database at every event, to see whether an old installation lacks a column.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._columns_seen: set[str] = set()

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        if column_name in self._columns_seen:  # a migration adds columns and removes none
            return True
        found = bool(super()._has_asset_key_col_on_connection(conn, column_name))
        if found:
            self._columns_seen.add(column_name)
        return found

    def prepare_insert_event_batch(self, events: Sequence[EventLogEntry]) -> Any:
        """One statement with an array for each column: values of each event would take longer to compile."""
        rows = [self._event_to_row(event) for event in events]
        columns = [SqlEventLogStorageTable.c[name] for name in rows[0]]
        arrays = [bindparam(None, [row[column.name] for row in rows], type_=ARRAY(column.type)) for column in columns]
        values = func.unnest(*arrays).table_valued(*columns, name="events").render_derived()
        return SqlEventLogStorageTable.insert().from_select(columns, values.select())

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events of one run; planned materialisations of one asset in one statement."""
        planned: dict[str, list[EventLogEntry]] = {}
        others = []
        for event in events:
            told = event.get_dagster_event()
            if told.event_type == DagsterEventType.ASSET_MATERIALIZATION_PLANNED and told.asset_key:
                planned.setdefault(told.asset_key.to_string(), []).append(event)
            else:
                others.append(event)
        for of_asset in planned.values():
            with self._connect() as connection:
                statement = self.prepare_insert_event_batch(of_asset).returning(SqlEventLogStorageTable.c.id)
                numbers = [int(row[0]) for row in connection.execute(statement).fetchall()]
            with self.index_transaction() as connection:
                self._store_asset_event(connection, of_asset[-1], numbers[-1])
        if others:
            super().store_event_batch(others)


class Runs(_Pooled, PostgresRunStorage):
    """Runs, in Postgres."""


class Schedules(_Pooled, PostgresScheduleStorage):
    """Ticks of schedules and sensors, in Postgres."""
