"""Plans written as one batch for each asset are the rows that Dagster's own storage writes one by one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster import DagsterEventType, EventLogEntry
from dagster_postgres import PostgresEventLogStorage

from portfolio_pipelines.database.connection import DAGSTER_DRIVER, url_text
from portfolio_pipelines.resources.dagster_storage import EventLog

TABLES = ("event_logs", "asset_keys", "asset_event_tags")
TIMES = {"id", "event_id", "last_materialization_timestamp", "create_timestamp"}
DAILY = dg.DailyPartitionsDefinition("2024-01-01")
ONE_RUN = dg.BackfillPolicy.single_run()


@dg.asset(partitions_def=DAILY, backfill_policy=ONE_RUN)
def first() -> None:
    """A partitioned table."""


@dg.asset(partitions_def=DAILY, backfill_policy=ONE_RUN, deps=[first])
def second() -> None:
    """Another one."""


@dg.asset(deps=[second])
def whole() -> None:
    """A table without partitions."""


def plans() -> list[EventLogEntry]:
    """The planned materialisations of a real run over thirty days."""
    tags = {"dagster/asset_partition_range_start": "2024-01-01", "dagster/asset_partition_range_end": "2024-01-30"}
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([first, second, whole], instance=instance, tags=tags)
        logs = instance.all_logs(result.run_id)
    return [log for log in logs if log.dagster_event_type == DagsterEventType.ASSET_MATERIALIZATION_PLANNED]


@pytest.fixture
def two_databases(empty_database: sa.Engine) -> Iterator[tuple[sa.Engine, sa.Engine]]:
    """The test's own database, and a second one beside it."""
    name = f"{empty_database.url.database}_stock"
    with empty_database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(f"create database {name}"))
    other = sa.create_engine(empty_database.url.set(database=name))
    try:
        yield empty_database, other
    finally:
        other.dispose()
        with empty_database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text(f"drop database {name} with (force)"))


def store(kind: type[PostgresEventLogStorage], engine: sa.Engine, events: list[EventLogEntry], folder: Path) -> None:
    url = url_text(engine.url.set(drivername=DAGSTER_DRIVER))
    storage = kind(url, should_autocreate_tables=True)
    with dg.DagsterInstance.ephemeral() as instance:
        storage.register_instance(instance)
        storage.store_event_batch(events)
        storage.dispose()


def contents(engine: sa.Engine) -> dict[str, list[dict[str, Any]]]:
    """Rows of the tables that events are written to, in any order, without numbers and times of writing."""
    found = {}
    with engine.connect() as connection:
        for table in TABLES:
            rows = [dict(row) for row in connection.execute(sa.text(f"select * from {table}")).mappings()]
            plain = [{name: value for name, value in row.items() if name not in TIMES} for row in rows]
            found[table] = sorted(plain, key=lambda row: json.dumps(row, default=str, sort_keys=True))
    return found


def test_a_batch_of_plans_is_what_the_stock_storage_writes_one_by_one(
    two_databases: tuple[sa.Engine, sa.Engine], tmp_path: Path
) -> None:
    events = plans()
    assert len(events) == 61
    for kind, engine in zip((EventLog, PostgresEventLogStorage), two_databases, strict=True):
        store(kind, engine, events, tmp_path)
    ours, stock = map(contents, two_databases)
    assert len(ours["event_logs"]) == 61
    assert len(ours["asset_keys"]) == 3
    for table in TABLES:
        assert ours[table] == stock[table], table
