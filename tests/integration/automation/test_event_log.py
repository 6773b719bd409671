"""Events in one transaction, and plans in one batch, are the rows that Dagster's own storage writes one by one."""

import json
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster import DagsterEventType, EventLogEntry
from dagster_postgres import PostgresEventLogStorage

from portfolio_pipelines.database.connection import DAGSTER_DRIVER, url_text
from portfolio_pipelines.resources.dagster_storage import EventLog

TABLES = ("event_logs", "asset_keys", "asset_event_tags", "asset_check_executions")
WHEN = {"id", "event_id", "create_timestamp", "evaluation_event_storage_id", "materialization_event_storage_id"}
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


@dg.multi_asset(
    specs=[dg.AssetSpec("checked", deps=[whole]), dg.AssetSpec("failing", deps=[whole])],
    check_specs=[dg.AssetCheckSpec("holds", asset="checked"), dg.AssetCheckSpec("warns", asset="failing")],
)
def several() -> Iterator[object]:
    """Tables with checks, of which one finds something; text that quoting must survive."""
    yield dg.AssetObservation("checked", tags={"seen": "yes"})
    yield dg.MaterializeResult(asset_key="checked", metadata={"text": "a 'quote', a {brace} and\na % sign"})
    yield dg.MaterializeResult(asset_key="failing", tags={"kind": "odd", "empty": ""})
    yield dg.AssetCheckResult(asset_key="checked", check_name="holds", passed=True)
    yield dg.AssetCheckResult(
        asset_key="failing", check_name="warns", passed=False, severity=dg.AssetCheckSeverity.WARN
    )
    msg = "the step fails after all of it"
    raise dg.Failure(msg)


def events_of_a_run() -> list[EventLogEntry]:
    """Everything that a real run over thirty days tells, in its order; its last step fails."""
    tags = {"dagster/asset_partition_range_start": "2024-01-01", "dagster/asset_partition_range_end": "2024-01-30"}
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([first, second, whole, several], instance=instance, tags=tags, raise_on_error=False)
        return list(instance.all_logs(result.run_id))


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


def store(
    kind: type[PostgresEventLogStorage], engine: sa.Engine, batch: list[EventLogEntry], *after: EventLogEntry
) -> None:
    url = url_text(engine.url.set(drivername=DAGSTER_DRIVER))
    storage = kind(url, should_autocreate_tables=True)
    with dg.DagsterInstance.ephemeral() as instance:
        storage.register_instance(instance)
        storage.store_event_batch(batch)
        for event in after:
            storage.store_event(event)
        storage.dispose()


def contents(engine: sa.Engine) -> dict[str, list[dict[str, Any]]]:
    """Rows of the tables that events are written to, in any order, without numbers and times of writing."""
    found = {}
    with engine.connect() as connection:
        for table in TABLES:
            rows = [dict(row) for row in connection.execute(sa.text(f"select * from {table}")).mappings()]
            for row in rows:
                record = json.loads(row.get("last_materialization") or "{}")
                row.update({"last_materialization": {**record, "storage_id": 0}} if record else {})
            plain = [{name: value for name, value in row.items() if name not in WHEN} for row in rows]
            found[table] = sorted(plain, key=lambda row: json.dumps(row, default=str, sort_keys=True))
    return found


def references(engine: sa.Engine) -> list[tuple[object, ...]]:
    """What refers to an event by its number: each must be an event of that asset in the log."""
    query = """
        select 'tag', t.asset_key, t.key, l.dagster_event_type, l.asset_key
        from asset_event_tags t left join event_logs l on l.id = t.event_id
        union all
        select 'check', c.asset_key, c.check_name, l.dagster_event_type, l.step_key
        from asset_check_executions c left join event_logs l on l.id = c.evaluation_event_storage_id
        union all
        select 'newest', k.asset_key, null, l.dagster_event_type, l.asset_key
        from asset_keys k left join event_logs l on l.id = (k.last_materialization::json ->> 'storage_id')::bigint
        order by 1, 2, 3
    """
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


def test_events_of_a_run_are_what_the_stock_storage_writes(two_databases: tuple[sa.Engine, sa.Engine]) -> None:
    events = events_of_a_run()
    planned = {DagsterEventType.ASSET_MATERIALIZATION_PLANNED, DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED}
    plans = [event for event in events if event.dagster_event_type in planned]
    others = [event for event in events if event.dagster_event_type not in planned]
    for kind, engine in zip((EventLog, PostgresEventLogStorage), two_databases, strict=True):
        store(kind, engine, plans, *others)
    ours, stock = map(contents, two_databases)
    assert (len(plans), len(ours["asset_keys"])) == (65, 5)
    assert {row["execution_status"] for row in ours["asset_check_executions"]} == {"SUCCEEDED", "FAILED"}
    assert ours["asset_event_tags"], "no tag was stored"
    for table in TABLES:
        assert ours[table] == stock[table], table
    assert references(two_databases[0]) == references(two_databases[1])


def test_an_event_whose_check_cannot_be_stored_is_not_stored_either(
    empty_database: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> None:
        msg = "the disk is full"
        raise RuntimeError(msg)

    evaluation = next(
        event for event in events_of_a_run() if event.dagster_event_type == DagsterEventType.ASSET_CHECK_EVALUATION
    )
    store(EventLog, empty_database, [])
    monkeypatch.setattr(EventLog, "_update_asset_check_evaluation", fail)
    with pytest.raises(RuntimeError, match="disk is full"):
        store(EventLog, empty_database, [], evaluation)
    monkeypatch.undo()
    assert contents(empty_database)["event_logs"] == []
    store(EventLog, empty_database, [], evaluation)  # the connection was given back clean
    assert len(contents(empty_database)["event_logs"]) == 1
