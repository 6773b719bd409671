"""Scheduled exports on a real database and real marts: once for each due time, whatever dies in between."""

import shutil
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from portfolio_pipelines.delivery.exports import scheduled
from portfolio_pipelines.delivery.exports.datasets import Form, What
from portfolio_pipelines.delivery.exports.due_times import RangeRule
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
from portfolio_pipelines.delivery.exports.schedules import delete_schedule
from tests.integration.marts.wallets.exports.scheduled_rows import DAILY, MORNING, messages, next_due, runs


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
