"""Dagster's instance as dagster.yaml describes it: pooled Postgres storages, and orphaned runs that are told so."""

import os
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.test_utils import create_run_for_test
from sqlalchemy.pool import QueuePool

from portfolio_pipelines.automation.instance import PROCESS_TAG, fail_orphans, process_tags
from portfolio_pipelines.database.connection import DAGSTER_DRIVER, url_text
from portfolio_pipelines.resources.dagster_storage import EventLog, Runs, Schedules

ROOT = Path(__file__).parents[3]
NO_PROCESS = 2**22 + 1  # above the largest process id of Linux and macOS


@dg.asset(partitions_def=dg.DailyPartitionsDefinition("2024-01-01"), backfill_policy=dg.BackfillPolicy.single_run())
def something() -> None:
    """A table of which only the bookkeeping matters."""


@pytest.fixture
def instance(empty_database: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dg.DagsterInstance:
    monkeypatch.setenv("PORTFOLIO_DAGSTER_URL", url_text(empty_database.url.set(drivername=DAGSTER_DRIVER)))
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")
    (tmp_path / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    return dg.DagsterInstance.from_config(os.fspath(tmp_path))


def test_the_three_storages_are_ours_and_keep_their_connections(instance: dg.DagsterInstance) -> None:
    storages = [instance.event_log_storage, instance.run_storage, instance.schedule_storage]
    assert [type(storage) for storage in storages] == [EventLog, Runs, Schedules]
    assert all(isinstance(storage._engine.pool, QueuePool) for storage in storages)  # type: ignore[union-attr]
    assert not instance.telemetry_enabled


def test_a_range_of_partitions_is_recorded_by_one_run(instance: dg.DagsterInstance) -> None:
    tags = {"dagster/asset_partition_range_start": "2024-01-01", "dagster/asset_partition_range_end": "2024-03-31"}
    assert dg.materialize([something], instance=instance, tags=tags).success
    assert len(instance.get_materialized_partitions(something.key)) == 91


def test_materialisations_of_a_batch_come_back_each_with_its_own_partition_metadata_and_tags(
    instance: dg.DagsterInstance,
) -> None:
    partitions = ["2024-01-01", "2024-01-02", "2024-01-03"]
    text = 'a "quote", it\'s a \\ and a {brace},\nNULL and a newline: '

    @dg.asset(partitions_def=dg.DailyPartitionsDefinition("2024-01-01"), backfill_policy=dg.BackfillPolicy.single_run())
    def described(context: dg.AssetExecutionContext) -> None:
        for partition in context.partition_keys:
            context.log_event(
                dg.AssetMaterialization(
                    described.key, partition=partition, metadata={"text": text + partition}, tags={"day": partition}
                )
            )

    tags = {"dagster/asset_partition_range_start": partitions[0], "dagster/asset_partition_range_end": partitions[-1]}
    assert dg.materialize([described], instance=instance, tags=tags).success
    records = instance.fetch_materializations(described.key, limit=100).records
    told = {
        record.partition_key: (record.asset_materialization.metadata["text"].value, record.asset_materialization.tags)
        for record in records
        if record.asset_materialization is not None and "text" in record.asset_materialization.metadata
    }
    assert {key: value for key, (value, _) in told.items()} == {day: text + day for day in partitions}
    assert {key: tags["day"] for key, (_, tags) in told.items() if tags} == {day: day for day in partitions}
    assert len({record.storage_id for record in records}) == len(records)


def test_a_connection_that_broke_is_replaced_without_an_error(
    instance: dg.DagsterInstance, empty_database: sa.Engine
) -> None:
    assert instance.get_runs() == []
    with empty_database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        others = sa.text(  # it waits until they are gone
            "select count(*) filter (where pg_terminate_backend(pid, 5000)) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
        assert connection.scalar(others) > 0  # as when the embedded server restarts to let BI in
    assert instance.get_runs() == []


def test_runs_of_a_process_that_is_gone_are_marked_as_failed_and_others_left_alone(
    instance: dg.DagsterInstance,
) -> None:
    host = process_tags()[PROCESS_TAG].rpartition("/")[0]
    started = {
        name: create_run_for_test(instance, status=dg.DagsterRunStatus.STARTED, tags={PROCESS_TAG: tag})
        for name, tag in {
            "gone": f"{host}/{NO_PROCESS}",
            "alive": f"{host}/{os.getpid()}",
            "elsewhere": f"another-machine/{NO_PROCESS}",
        }.items()
    }
    assert fail_orphans(instance) == [started["gone"].run_id]
    states = {name: instance.get_run_by_id(run.run_id) for name, run in started.items()}
    assert {name: run.status for name, run in states.items() if run} == {
        "gone": dg.DagsterRunStatus.FAILURE,
        "alive": dg.DagsterRunStatus.STARTED,
        "elsewhere": dg.DagsterRunStatus.STARTED,
    }
