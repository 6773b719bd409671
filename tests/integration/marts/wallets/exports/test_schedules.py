"""Scheduled exports as users set them, and as Dagster sees them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta, tzinfo
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from portfolio_pipelines.automation import export_sensors
from portfolio_pipelines.database.schedules import schedules_frame
from portfolio_pipelines.delivery.exports.datasets import Form, What
from portfolio_pipelines.delivery.exports.due_times import Period, RangeRule, Timetable
from portfolio_pipelines.delivery.exports.scheduled import (
    ExportDesk,
    due_exports,
    make_due,
    make_now,
)
from portfolio_pipelines.delivery.exports.schedules import (
    ScheduleRefusedError,
    Wish,
    add_schedule,
    delete_schedule,
    edit_schedule,
    pause_schedule,
    resume_schedule,
)
from portfolio_pipelines.resources.figure_rules import FigureRules
from tests.integration.marts.wallets.exports.scheduled_rows import EARLY, MORNING, messages, next_due, runs


def test_run_now_sends_and_leaves_the_timetable_alone(desk: ExportDesk, add: Callable[..., int]) -> None:
    schedule = add(rule=RangeRule.LAST_30_DAYS)
    before = next_due(desk)
    made = make_now(desk, schedule, datetime(2025, 2, 1, 3, 4, 5, 6, tzinfo=UTC))
    assert made is not None
    assert made.status == "done"
    assert messages(desk)[0]["key"] == f"export:{schedule}:2025-02-01T03:04:05Z"
    assert messages(desk)[0]["data"]["from"] == "2025-01-02"
    assert next_due(desk) == before


def test_paused_is_not_due_and_what_was_missed_meanwhile_is_not_made_up_for(
    desk: ExportDesk, add: Callable[..., int]
) -> None:
    schedule = add()
    pause_schedule(desk.engine, "alice", "mine", who="tests", now=EARLY)
    assert due_exports(desk, MORNING) == []
    assert make_due(desk, schedule, MORNING) is None
    assert resume_schedule(desk.engine, "alice", "mine", who="tests", now=MORNING) == MORNING + timedelta(days=1)
    assert due_exports(desk, MORNING) == []


def test_deleted_is_gone_its_history_stays_and_its_name_is_free(desk: ExportDesk, add: Callable[..., int]) -> None:
    schedule = add()
    make_due(desk, schedule, datetime(2025, 2, 1, 8, tzinfo=UTC))
    delete_schedule(desk.engine, "alice", "mine", who="tests")
    assert make_due(desk, schedule, MORNING) is None
    assert schedules_frame(desk.engine).is_empty()
    assert len(runs(desk)) == 1
    assert add() != schedule
    with pytest.raises(ScheduleRefusedError, match="no scheduled export 'other'"):
        delete_schedule(desk.engine, "alice", "other", who="tests")


def test_other_times_move_the_next_one_and_other_tables_do_not(desk: ExportDesk, add: Callable[..., int]) -> None:
    add()
    change = {"what": What.ALL, "form": Form.XLSX, "rule": RangeRule.LAST_MONTH}
    assert edit_schedule(desk.engine, "alice", "mine", change, who="tests", now=MORNING) == next_due(desk)
    assert next_due(desk) == datetime(2025, 2, 1, 8, tzinfo=UTC)
    weekly = {"period": Period.WEEKLY, "on": 1, "zone": "Asia/Tokyo", "at": time(9)}
    due = edit_schedule(desk.engine, "alice", "mine", {**weekly, "name": "ours"}, who="tests", now=MORNING)
    assert due == next_due(desk, "ours") == datetime(2025, 2, 3, 0, tzinfo=UTC)
    (row,) = schedules_frame(desk.engine).to_dicts()
    assert (row["what"], row["form"], row["range_rule"], row["period"], row["on_day"]) == (
        "all", "xlsx", "last_month", "weekly", 1,
    )  # fmt: skip


def test_all_faults_of_a_wish_are_told_at_once(desk: ExportDesk, add: Callable[..., int]) -> None:
    bad = Wish(What.ALL, Form.PDF, Timetable(Period.MONTHLY, time(8), "Mars/Olympus", 32), channel_id=4)
    with pytest.raises(ScheduleRefusedError) as refused:
        add_schedule(desk.engine, "nobody", " \n", bad, who="tests", now=EARLY)
    for part in ("no user 'nobody'", "a name has", "Mars/Olympus", "1 to 31", "no PDF of all", "no channel 4"):
        assert part in str(refused.value)
    add()
    with pytest.raises(ScheduleRefusedError, match="already"):
        add()
    add("second")
    with pytest.raises(ScheduleRefusedError, match="already"):
        edit_schedule(desk.engine, "alice", "second", {"name": "mine"}, who="tests")


@pytest.mark.parametrize(
    ("channel", "why"), [(2, "not verified"), (3, "kind ntfy"), (4, "has no channel"), (9, "has no")]
)
def test_files_go_only_to_verified_mail_or_webhooks_of_the_user(
    add: Callable[..., int], channel: int, why: str
) -> None:
    with pytest.raises(ScheduleRefusedError, match=why):
        add(channel_id=channel)


class Installation:
    """What the resources of Dagster are asked for."""

    def __init__(self, desk: ExportDesk, home: Path) -> None:
        self.engine, self.settings = desk.engine, self
        self.exports, self.export_days = home / "exports", 90


class LateInTheEvening(datetime):
    """A clock that stands at an hour when what was due in the morning has waited long enough for its day."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime(2025, 6, 1, 23, 30, tzinfo=tz)


def test_the_sensor_asks_for_one_run_for_each_due_time_and_the_job_makes_it(
    desk: ExportDesk, add: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_sensors, "datetime", LateInTheEvening)
    schedule = add(rule=RangeRule.EVERYTHING)
    add("later", now=datetime(2999, 1, 1, tzinfo=UTC))
    resources = {
        "database": Installation(desk, tmp_path), "warehouse": desk.warehouse, "figure_rules": FigureRules(),
    }  # fmt: skip
    with dg.DagsterInstance.ephemeral() as instance:

        def tick() -> dg.SensorResult:
            context = dg.build_sensor_context(instance=instance, resources=resources)
            result = export_sensors.scheduled_exports(context)
            assert isinstance(result, dg.SensorResult)
            return result

        (request,) = tick().run_requests or []
        again = (tick().run_requests or [])[0]
        assert again.run_key == request.run_key  # Dagster starts it once
        assert f"export {schedule} due " in str(request.run_key)
        job = dg.Definitions(jobs=[export_sensors.scheduled_export_job], resources=resources).resolve_job_def(
            export_sensors.EXPORT_JOB_NAME
        )
        result = job.execute_in_process(run_config=request.run_config, instance=instance)
        assert result.success
        assert not tick().run_requests
    assert [message["kind"] for message in messages(desk)] == ["export"]
    assert messages(desk)[0]["data"]["is_late"]


def test_a_run_key_changes_with_each_attempt_and_each_hour_so_that_nothing_stays_stuck(
    desk: ExportDesk, add: Callable[..., int]
) -> None:
    add()
    at = datetime(2025, 2, 1, 8, tzinfo=UTC)
    (export,) = due_exports(desk, at)
    keys = [
        export_sensors.request_of(export, at).run_key,
        export_sensors.request_of(export, at + timedelta(minutes=59)).run_key,
        export_sensors.request_of(export, at + timedelta(minutes=61)).run_key,
        export_sensors.request_of(replace(export, attempts=1), at).run_key,
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_a_tick_reads_only_what_is_due_of_a_hundred_thousand_schedules(
    desk: ExportDesk, add: Callable[..., int]
) -> None:
    add()
    with desk.engine.begin() as connection:
        connection.execute(
            sa.text("""
                insert into app.scheduled_exports (user_key, name, what, form, paper, range_rule, period, at_local,
                    time_zone, next_due_at, created_at, created_by, changed_at, changed_by)
                select s.user_key, 'n' || n, what, form, paper, range_rule, period, at_local, time_zone,
                    timestamptz '2030-01-01' + n * interval '1 minute', created_at, created_by, changed_at, changed_by
                from app.scheduled_exports s, generate_series(1, 100000) n
            """)
        )
        connection.execute(sa.text("analyze app.scheduled_exports"))
        plan = "\n".join(
            connection.scalars(
                sa.text("""
                    explain select * from app.scheduled_exports join app.users using (user_key)
                    where deleted_at is null and next_due_at <= timestamptz '2025-02-01 08:00Z'
                    order by next_due_at, schedule_id limit 100
                """)
            )
        )
    assert "ix_scheduled_exports_due" in plan
    assert len(due_exports(desk, datetime(2025, 2, 1, 8, tzinfo=UTC))) == 1
