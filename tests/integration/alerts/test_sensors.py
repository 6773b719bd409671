"""What Dagster's sensors do in a tick, and what the command line does without them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from portfolio_pipelines.automation import sensors
from portfolio_pipelines.database.alert_versions import RuleTerms, add_rule
from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.delivery.alerts.failed_runs import LONGEST_WHY, record_failed_run
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.settings import Settings


@pytest.fixture
def connected(totals: Any, tmp_path: Path) -> Database:
    settings = Settings(home=tmp_path / "home", database_url=SecretStr(url_text(totals.engine.url)))
    return Database(settings)


def tick(sensor: Any, database: Database, cursor: str | None = None) -> dg.SensorResult:
    found = sensor(dg.build_sensor_context(cursor=cursor, resources={"database": database}))
    assert isinstance(found, dg.SensorResult)
    assert not found.run_requests  # a sensor that looks starts no run
    return found


def test_a_publication_is_evaluated_by_the_next_tick_and_by_no_other(totals: Any, connected: Database) -> None:
    assert tick(sensors.alerts, connected).cursor is None
    totals.add("ann")
    totals.publish({"ann": (99, 1)})
    first = tick(sensors.alerts, connected)
    assert "evaluated value: 1 changes, 1 told" in str(first.skip_reason)
    assert first.cursor is not None
    second = tick(sensors.alerts, connected, first.cursor)
    assert second.cursor == first.cursor
    # The cursor of the evaluation is in the database: one that Dagster forgot tells nothing twice.
    assert "nothing was published" in str(tick(sensors.alerts, connected, None).skip_reason)
    assert len(totals.new_messages()) == 1


def test_a_rule_that_is_new_is_evaluated_on_what_was_published_before(totals: Any, connected: Database) -> None:
    totals.add("ann")
    totals.publish({"ann": (99, 1), "bob": (70, 1)})
    tick(sensors.alerts, connected)
    totals.add("bob")
    tick(sensors.alerts, connected)
    assert [(each["user_id"], each["severity"]) for each in totals.new_messages()] == [
        ("ann", "warning"), ("bob", "critical"),
    ]  # fmt: skip


def test_the_age_of_data_is_watched_by_the_clock(totals: Any, connected: Database) -> None:
    with totals.engine.begin() as connection:
        for statement in (
            "create table marts.portfolio_snapshots (snapshot_timestamp timestamp)",
            "insert into marts.portfolio_snapshots values (now() at time zone 'UTC' - interval '40 hours')",
            "create table marts.prices_daily (date date, known_at timestamp)",
            "create table marts.wallet_balances (chain text, as_of timestamp)",
        ):
            connection.execute(sa.text(statement))
    terms = RuleTerms("data_age", "closed-day", "above", warning_at=30, critical_at=48, hysteresis=1)
    add_rule(totals.engine, None, terms, who="test")
    assert "data_age: 1 changes, 1 told" in str(tick(sensors.freshness, connected).skip_reason)
    assert "data_age: 0 changes" in str(tick(sensors.freshness, connected).skip_reason)
    (message,) = totals.new_messages()
    assert message["user_id"] is None
    assert message["title"] == "Warning: data age of closed-day is 40 hours, above 30 hours"
    assert message["data"]["look_at"].startswith("`portfolio doctor`")
    assert "nothing was published" in str(tick(sensors.alerts, connected).skip_reason)  # not its business


@dg.op
def bursts() -> None:
    msg = "the provider's answer was no JSON"
    raise ValueError(msg)


@dg.job
def nightly() -> None:
    bursts()


def test_each_failed_run_is_told_to_the_operators_once(totals: Any, connected: Database) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(2):
            result = nightly.execute_in_process(instance=instance, raise_on_error=False)
            event = next(each for each in result.all_events if each.event_type_value == "PIPELINE_FAILURE")
            for _ in range(2):  # a sensor may see a run again
                context = dg.build_run_status_sensor_context(
                    "run_failures", event, instance, result.dagster_run, resources={"database": connected}
                )
                sensors.run_failures(context.for_run_failure())
    messages = totals.new_messages()
    assert [(each["user_id"], each["kind"], each["title"]) for each in messages] == [
        (None, "operations", "Run of nightly failed")
    ] * 2
    assert "bursts: ValueError: the provider's answer was no JSON" in messages[0]["text"]
    assert len({each["key"] for each in messages}) == 2


def test_what_a_run_says_of_itself_is_cut_and_made_storable(totals: Any) -> None:
    assert record_failed_run(totals.engine, "a", "daily", "x" * 9_000 + "\x00", now=datetime(2026, 3, 1, tzinfo=UTC))
    assert not record_failed_run(totals.engine, "a", "daily", "again")
    assert record_failed_run(totals.engine, "b", "daily", "")
    first, second = totals.new_messages()
    assert len(first["text"]) == LONGEST_WHY
    assert second["text"] == "the run says nothing of why"
