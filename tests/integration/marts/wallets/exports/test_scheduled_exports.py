"""Scheduled exports on a real database and real marts: once for each due time, whatever dies in between."""

import shutil
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from portfolio_pipelines.automation import export_sensors
from portfolio_pipelines.database.export_runs import runs_frame
from portfolio_pipelines.database.schedules import schedules_frame
from portfolio_pipelines.delivery.exports import scheduled
from portfolio_pipelines.delivery.exports.datasets import Form, What
from portfolio_pipelines.delivery.exports.due_times import Period, RangeRule, Timetable
from portfolio_pipelines.delivery.exports.retention import remove_old_files
from portfolio_pipelines.delivery.exports.scheduled import (
    ABANDONED_AFTER,
    PATIENCE,
    ExportDesk,
    ExportFailedError,
    due_exports,
    make_all_due,
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
from portfolio_pipelines.resources.warehouse import Warehouse

Rows = list[dict[str, Any]]
EARLY = datetime(2025, 1, 31, 12, tzinfo=UTC)
MORNING = datetime(2025, 2, 2, 8, tzinfo=UTC)  # the newest closed day of the marts is 2025-02-01
DAILY = Timetable(Period.DAILY, time(8), "UTC")
WISH = Wish(What.SNAPSHOTS, Form.CSV, DAILY)


@pytest.fixture
def desk(database: sa.Engine, warehouse: Warehouse, tmp_path: Path) -> ExportDesk:
    """An installation with users and channels: 1 mail of Alice, 2 her unverified webhook, 3 ntfy, 4 Bob's mail."""
    with database.begin() as connection:
        connection.execute(sa.text("insert into app.users (user_id) values ('alice'), ('bob')"))
        for user, kind, is_verified in (
            ("alice", "email", True), ("alice", "webhook", False), ("alice", "ntfy", True), ("bob", "email", True),
        ):  # fmt: skip
            connection.execute(
                sa.text("""
                    insert into app.notification_channels (user_key, kind, shown_address, sealed_address,
                        least_severity, code_tries, failures, created_at, verified_at)
                    select user_key, :kind, 'x', 'sealed', 'info', 0, 0, :now, case when :verified then :now end
                    from app.users where user_id = :user
                """),
                {"user": user, "kind": kind, "verified": is_verified, "now": EARLY},
            )
    return ExportDesk(database, warehouse, tmp_path / "exports", FigureRules())


@pytest.fixture
def add(desk: ExportDesk) -> Callable[..., int]:
    """Adds a schedule of Alice to channel 1; its id."""

    def make(name: str = "mine", user: str = "alice", now: datetime = EARLY, **changes: Any) -> int:
        wish = replace(WISH, **{"channel_id": 1, **changes})
        return add_schedule(desk.engine, user, name, wish, who="tests", now=now)[0]

    return make


def messages(desk: ExportDesk) -> Rows:
    query = """
        select m.key, m.kind, m.title, m.text, m.data, m.attachments, user_id,
               array(select channel_id from app.outbox_deliveries d where d.message_id = m.message_id) as channels
        from app.outbox_messages m left join app.users using (user_key) order by message_id
    """
    with desk.engine.connect() as connection:
        return [dict(row) for row in connection.execute(sa.text(query)).mappings()]


def runs(desk: ExportDesk) -> Rows:
    return runs_frame(desk.engine).sort("scheduled_for").to_dicts()


def next_due(desk: ExportDesk, name: str = "mine") -> datetime | None:
    rows = [row for row in schedules_frame(desk.engine).to_dicts() if row["name"] == name]
    return rows[0]["next_due_at"] if rows else None


def test_what_is_due_is_made_kept_and_handed_to_the_outbox_once(desk: ExportDesk, add: Callable[..., int]) -> None:
    schedule = add()
    at = datetime(2025, 2, 1, 8, 0, 30, tzinfo=UTC)
    made = make_due(desk, schedule, at)
    assert made is not None
    assert made.status == "done"
    (message,) = messages(desk)
    assert message["key"] == f"export:{schedule}:2025-02-01T08:00:00Z"
    assert (message["kind"], message["user_id"], message["channels"]) == ("export", "alice", [1])
    assert (message["data"]["from"], message["data"]["to"], message["data"]["is_late"]) == (
        "2025-01-31", "2025-01-31", False,
    )  # fmt: skip
    (attachment,) = message["attachments"]
    assert attachment["name"] == "mine-2025-01-31-to-2025-01-31.zip"
    with zipfile.ZipFile(attachment["path"]) as archive:
        assert set(archive.namelist()) == {"manifest.json", "snapshots.csv", "holdings.csv"}
        assert "2025-01-31,alice" in archive.read("snapshots.csv").decode()
    (run,) = runs(desk)
    assert (run["status"], run["attempts"], run["rows"], run["is_late"]) == ("done", 1, message["data"]["rows"], False)
    assert next_due(desk) == datetime(2025, 2, 2, 8, tzinfo=UTC)
    assert make_due(desk, schedule, at) is None
    assert len(messages(desk)) == len(runs(desk)) == 1


def test_one_file_is_sent_as_it_is(desk: ExportDesk, add: Callable[..., int]) -> None:
    schedule = add(form=Form.XLSX)
    make_due(desk, schedule, MORNING - timedelta(days=1))
    (attachment,) = messages(desk)[0]["attachments"]
    assert attachment["name"].endswith(".xlsx")
    assert zipfile.is_zipfile(attachment["path"])


def test_missed_ones_after_an_outage_are_sent_once_marked_late_with_the_days_of_all(
    desk: ExportDesk, add: Callable[..., int]
) -> None:
    schedule = add(now=datetime(2025, 1, 30, 12, tzinfo=UTC))
    assert [made.status for made in make_all_due(desk, MORNING + timedelta(minutes=5))] == ["done"]
    (message,) = messages(desk)
    assert message["title"].endswith("(late)")
    assert "stands for 3 exports that were due from 2025-01-31 08:00 to 2025-02-02 08:00" in message["text"]
    assert (message["data"]["from"], message["data"]["to"]) == ("2025-01-30", "2025-02-01")
    (run,) = runs(desk)
    assert (run["is_late"], run["times"]) == (True, 3)
    assert next_due(desk) == MORNING + timedelta(days=1)
    assert make_due(desk, schedule, MORNING + timedelta(hours=1)) is None


def test_an_export_waits_for_its_last_day_and_then_goes_without_it_and_says_so(
    desk: ExportDesk, add: Callable[..., int]
) -> None:
    schedule = add(now=MORNING)
    due = MORNING + timedelta(days=1)  # wants 2025-02-02, which is still running in the marts
    assert due_exports(desk, due + PATIENCE - timedelta(seconds=1)) == []
    (export,) = due_exports(desk, due + PATIENCE)
    assert export.schedule.schedule_id == schedule
    assert next(iter(make_all_due(desk, due + PATIENCE))).status == "done"
    assert messages(desk)[0]["data"]["is_late"]


def test_those_that_wait_for_a_day_hold_up_nobody_else(
    desk: ExportDesk, add: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduled, "PAGE_ROWS", 2)
    for name in ("a", "b", "c"):
        add(name, now=MORNING)  # due in the morning after, without that day in the marts
    ready = add("month", now=MORNING, rule=RangeRule.LAST_MONTH, timetable=replace(DAILY, at=time(8, 1)))
    at = MORNING + timedelta(days=1, hours=1)
    assert [export.schedule.schedule_id for export in due_exports(desk, at)] == [ready]
    assert len(due_exports(desk, at + PATIENCE)) == 4
    assert len(due_exports(desk, at + PATIENCE, 3)) == 3


def test_nothing_to_export_is_said_and_not_tried_again(desk: ExportDesk, add: Callable[..., int]) -> None:
    schedule = add("pools", user="bob", what=What.IL, channel_id=4)
    assert [made.status for made in make_all_due(desk, datetime(2025, 2, 1, 8, tzinfo=UTC))] == ["empty"]
    (message,) = messages(desk)
    assert "There is nothing to export: there is nothing of il of 'bob'" in message["text"]
    assert (message["attachments"], message["channels"]) == ([], [4])
    assert make_due(desk, schedule, datetime(2025, 2, 1, 9, tzinfo=UTC)) is None


KILLED_AT = ("write_export", "packed", "message_of", "put", "export_runs.settle_run", "schedules.move_on")


class Killed(BaseException):
    """Escapes everything, like the end of a process."""


@pytest.mark.parametrize("place", KILLED_AT)
def test_killed_anywhere_it_is_made_again_and_told_once(
    desk: ExportDesk, add: Callable[..., int], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    schedule = add()
    at = datetime(2025, 2, 1, 8, tzinfo=UTC)

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(f"portfolio_pipelines.delivery.exports.scheduled.{place}", killed)
        with pytest.raises(Killed):
            make_due(desk, schedule, at)
    assert messages(desk) == []
    assert next_due(desk) == at
    assert due_exports(desk, at + timedelta(minutes=1)) == []  # it may still be at it
    assert make_due(desk, schedule, at + timedelta(minutes=1)) is None
    after = at + ABANDONED_AFTER + timedelta(seconds=1)
    assert [made.status for made in make_all_due(desk, after)] == ["done"]
    assert [message["key"] for message in messages(desk)] == [f"export:{schedule}:2025-02-01T08:00:00Z"]
    assert [(run["status"], run["attempts"]) for run in runs(desk)] == [("done", 2)]
    assert list(make_all_due(desk, after + timedelta(hours=1))) == []


def test_a_failure_is_tried_three_times_then_told_to_the_user_and_the_operators(
    desk: ExportDesk, add: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = add()
    at = datetime(2025, 2, 1, 8, tzinfo=UTC)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(scheduled, "write_export", full)
        with pytest.raises(ExportFailedError, match=r"'mine' of 'alice' due at 2025-02-01 08:00 UTC failed.*No space"):
            make_due(desk, schedule, at)
        assert [run["status"] for run in runs(desk)] == ["retrying"]
        assert due_exports(desk, at + timedelta(minutes=4)) == []
        assert [made.status for made in make_all_due(desk, at + timedelta(minutes=6))] == ["failed"]
        assert due_exports(desk, at + timedelta(minutes=20)) == []
        assert messages(desk) == []
        assert [made.status for made in make_all_due(desk, at + timedelta(minutes=22))] == ["failed"]
    to_user, to_operators = messages(desk)
    assert (to_user["kind"], to_user["user_id"], to_user["channels"]) == ("export.failed", "alice", [1])
    assert "No space" not in to_user["text"]
    assert (to_operators["kind"], to_operators["user_id"]) == ("operations", None)
    assert "No space left on device" in to_operators["text"]
    assert [(run["status"], run["attempts"]) for run in runs(desk)] == [("failed", 3)]
    assert next_due(desk) == MORNING
    assert [made.status for made in make_all_due(desk, MORNING)] == ["done"]


def test_a_failure_that_heals_is_told_as_if_nothing_had_been(
    desk: ExportDesk, add: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = add()
    at = datetime(2025, 2, 1, 8, tzinfo=UTC)
    with monkeypatch.context() as patch:
        patch.setattr(scheduled, "packed", lambda *_: (_ for _ in ()).throw(OSError("torn")))
        with pytest.raises(ExportFailedError):
            make_due(desk, schedule, at)
    assert [made.status for made in make_all_due(desk, at + timedelta(minutes=6))] == ["done"]
    assert [message["kind"] for message in messages(desk)] == ["export"]


def test_an_attempt_that_died_is_closed_when_the_next_one_is_due(
    desk: ExportDesk, add: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = add()

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(scheduled, "packed", killed)
        with pytest.raises(Killed):
            make_due(desk, schedule, datetime(2025, 2, 1, 8, tzinfo=UTC))
    assert [made.status for made in make_all_due(desk, MORNING)] == ["done"]
    assert [(run["status"], run["error"]) for run in runs(desk)] == [
        ("failed", "overtaken by a later one"),
        ("done", None),
    ]
    assert messages(desk)[0]["data"]["stands_for"] == 2
    assert (messages(desk)[0]["data"]["from"], messages(desk)[0]["data"]["to"]) == ("2025-01-31", "2025-02-01")


def test_two_processes_at_once_make_it_once(desk: ExportDesk, add: Callable[..., int]) -> None:
    schedule = add(what=What.IL)
    at = datetime(2025, 2, 1, 8, tzinfo=UTC)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: make_due(desk, schedule, at), range(2)))
    assert [made is None for made in found].count(False) == 1
    assert len(messages(desk)) == len(runs(desk)) == 1


def test_without_a_channel_it_is_kept_and_the_operators_are_told(desk: ExportDesk, add: Callable[..., int]) -> None:
    schedule = add()
    with desk.engine.begin() as connection:
        connection.execute(sa.text("update app.notification_channels set disabled_at = now(), disabled_why = 'gone'"))
    assert make_due(desk, schedule, datetime(2025, 2, 1, 8, tzinfo=UTC)) is not None
    export, unsent = messages(desk)
    assert export["channels"] == []
    assert (unsent["user_id"], unsent["kind"]) == (None, "operations")
    assert "was made and kept, but not sent" in unsent["text"]


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


def test_deleted_while_it_is_made_nobody_is_told(
    desk: ExportDesk, add: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = add()
    real = scheduled.packed

    def deleting(*arguments: Any) -> Any:
        delete_schedule(desk.engine, "alice", "mine", who="tests")
        return real(*arguments)

    monkeypatch.setattr(scheduled, "packed", deleting)
    make_due(desk, schedule, datetime(2025, 2, 1, 8, tzinfo=UTC))
    assert messages(desk) == []


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


def test_old_files_go_and_those_that_wait_to_be_delivered_stay(desk: ExportDesk, add: Callable[..., int]) -> None:
    schedule = add()
    make_due(desk, schedule, datetime(2025, 2, 1, 8, tzinfo=UTC))
    path = Path(messages(desk)[0]["attachments"][0]["path"])
    later = datetime(2025, 6, 1, tzinfo=UTC)
    assert remove_old_files(desk.engine, desk.folder, later, 90) == 0  # the mail is still owed
    with desk.engine.begin() as connection:
        connection.execute(sa.text("update app.outbox_deliveries set status = 'delivered', delivered_at = now()"))
    assert remove_old_files(desk.engine, desk.folder, datetime(2025, 4, 1, tzinfo=UTC), 90) == 0
    assert path.is_file()
    assert remove_old_files(desk.engine, desk.folder, later, 90) == 1
    assert not path.parent.exists()
    assert runs(desk)[0]["folder"] is None
    assert remove_old_files(desk.engine, desk.folder, later, 90) == 0


def test_a_file_too_large_to_send_is_kept_and_said_so(
    desk: ExportDesk, add: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portfolio_pipelines.delivery.exports.messages.LARGEST_SENT", 10)
    make_due(desk, add(), datetime(2025, 2, 1, 8, tzinfo=UTC))
    (message,) = messages(desk)
    assert message["attachments"] == []
    assert "too much to be sent" in message["text"]
    assert not message["data"]["is_attached"]


def test_without_marts_it_waits_and_then_fails_with_what_to_do(
    desk: ExportDesk, add: Callable[..., int], tmp_path: Path
) -> None:
    schedule = add()
    empty = replace(desk, warehouse=replace(desk.warehouse, path=tmp_path / "none.duckdb"))
    at = datetime(2025, 2, 1, 8, tzinfo=UTC)
    assert due_exports(empty, at) == []
    assert len(due_exports(empty, at + PATIENCE)) == 1
    with pytest.raises(ExportFailedError, match="run `portfolio run` first"):
        make_due(empty, schedule, at + PATIENCE)


class Installation:
    """What the resources of Dagster are asked for."""

    def __init__(self, desk: ExportDesk, home: Path) -> None:
        self.engine, self.settings = desk.engine, self
        self.exports, self.export_days = home / "exports", 90


def test_the_sensor_asks_for_one_run_for_each_due_time_and_the_job_makes_it(
    desk: ExportDesk, add: Callable[..., int], tmp_path: Path
) -> None:
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


def test_the_same_days_make_the_same_archive(desk: ExportDesk, add: Callable[..., int]) -> None:
    schedule = add(rule=RangeRule.LAST_7_DAYS)
    first = make_now(desk, schedule, datetime(2025, 2, 1, 3, tzinfo=UTC))
    second = make_now(desk, schedule, datetime(2025, 2, 1, 4, tzinfo=UTC))
    assert first is not None
    assert second is not None
    one, two = (message["data"]["sha256"] for message in messages(desk))
    assert one == two
    assert date(2025, 1, 25) == runs(desk)[0]["first_day"]
    shutil.rmtree(desk.folder)
