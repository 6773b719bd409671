"""Making a scheduled export that is due: its files, and then in one transaction what became of it and the message.

Killed before that transaction, it is made again; killed after it, it is done: the message is stored once for each due
time. Days that the marts do not have yet are waited for, some hours at most.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from portfolio_pipelines.database import export_runs, schedules
from portfolio_pipelines.database.export_runs import OpenRun, SettledRun
from portfolio_pipelines.database.schedules import ScheduleRow
from portfolio_pipelines.delivery.exports.due_times import Due, days_of, due_now, next_due
from portfolio_pipelines.delivery.exports.manifest import Manifest
from portfolio_pipelines.delivery.exports.messages import failure_messages, key_of, message_of, unsent_message
from portfolio_pipelines.delivery.exports.packing import packed
from portfolio_pipelines.delivery.exports.reading import ExportRefusedError
from portfolio_pipelines.delivery.exports.schedules import wish_of
from portfolio_pipelines.delivery.exports.write import ReportStyle, write_export
from portfolio_pipelines.delivery.outbox import Message, put
from portfolio_pipelines.resources.figure_rules import FigureRules
from portfolio_pipelines.resources.platform import Platform
from portfolio_pipelines.resources.warehouse import Warehouse

logger = logging.getLogger(__name__)

ATTEMPTS: Final = 3
RETRIES_AFTER: Final = (timedelta(minutes=5), timedelta(minutes=15))
ABANDONED_AFTER: Final = timedelta(minutes=15)
"""An attempt that began so long ago was killed: an export takes seconds."""
LATE_AFTER: Final = timedelta(hours=1)
PATIENCE: Final = timedelta(hours=6)
"""How long an export waits for its last day: a day is computed within an hour of its close."""
MOST_AT_ONCE: Final = 100
PAGE_ROWS: Final = 1_000
PAGES: Final = 5
"""Looked at in a tick of some seconds; who comes later is looked at when these are served."""


@dataclass(frozen=True)
class ExportDesk:
    """What making scheduled exports needs.

    Attributes:
        engine: Engine of the operational database.
        warehouse: The finished marts.
        folder: Where exports are kept.
        rules: Choices of the installation, for reports.
    """

    engine: sa.Engine
    warehouse: Warehouse
    folder: Path
    rules: FigureRules


@dataclass(frozen=True, slots=True)
class DueExport:
    """A scheduled export that can be made now.

    Attributes:
        schedule: The schedule.
        due: What is due.
        attempts: Times it was begun before.
    """

    schedule: ScheduleRow
    due: Due
    attempts: int


@dataclass(frozen=True, slots=True)
class Made:
    """What became of a scheduled export.

    Attributes:
        schedule: The schedule.
        due: What was due.
        status: done, empty (there was nothing to export), retrying, failed, or none: nothing was due, or another
            process is at it.
        error: Why it is not done.
    """

    schedule: ScheduleRow
    due: Due
    status: str
    error: str | None = None


class ExportFailedError(RuntimeError):
    """A scheduled export could not be made; it is written down, and tried again or given up."""


def desk_of(platform: Platform) -> ExportDesk:
    """What making exports needs, of an installation."""
    settings = platform.settings
    return ExportDesk(platform.database.engine, platform.warehouse, settings.exports, FigureRules.of(settings))


def due_exports(desk: ExportDesk, now: datetime, most: int = MOST_AT_ONCE) -> list[DueExport]:
    """What can be made now, oldest first: due, not being made, and with its days in the marts or waited for enough.

    Those that wait for a day hold nobody up: PAGES of schedules are looked at.
    """
    found: list[DueExport] = []
    newest: date | None = None
    with desk.engine.connect() as connection:
        last: ScheduleRow | None = None
        for page in range(PAGES):
            waiting = schedules.due_schedules(connection, now, PAGE_ROWS, last)
            if waiting and page == 0:
                newest = newest_day(desk.warehouse)
            begun = export_runs.open_runs(connection, [row.schedule_id for row in waiting]) if waiting else []
            open_runs = {(run.schedule_id, run.scheduled_for): run for run in begun}
            found += [export for row in waiting if (export := _ready(row, open_runs, newest, now)) is not None]
            if len(found) >= most or len(waiting) < PAGE_ROWS:
                break
            last = waiting[-1]
    return found[:most]


def _ready(
    row: ScheduleRow, begun: Mapping[tuple[int, datetime], OpenRun], newest: date | None, now: datetime
) -> DueExport | None:
    """What is due of a schedule, if it can be made now."""
    wish = wish_of(row)
    due = due_now(wish.timetable, row.next_due_at, now) if row.next_due_at is not None else None
    if due is None:
        return None
    last = days_of(wish.rule, wish.timetable, due)[1]
    if (newest is None or newest < last) and now < due.scheduled_for + PATIENCE:
        return None
    run = begun.get((row.schedule_id, due.scheduled_for))
    if run is None:
        return DueExport(row, due, 0)
    wait = ABANDONED_AFTER if run.status == "running" else RETRIES_AFTER[min(run.attempts, len(RETRIES_AFTER)) - 1]
    return None if now < run.started_at + wait else DueExport(row, due, run.attempts)


def make_due(desk: ExportDesk, schedule_id: int, now: datetime) -> Made | None:
    """Make what is due of a schedule, if anything is.

    Returns:
        What became of it; None when the schedule is paused, deleted, not due, or being made by another process.

    Raises:
        ExportFailedError: If it could not be made. That is written down, and after the last attempt told.
    """
    with desk.engine.begin() as connection:
        row = schedules.hold_schedule(connection, schedule_id)
        if row is None or row.next_due_at is None:
            return None
        due = due_now(wish_of(row).timetable, row.next_due_at, now)
        attempt = None if due is None else _begin(connection, row, due, now)
    return None if due is None or attempt is None else _make(desk, row, due, attempt, now, moves_on=True)


def make_now(desk: ExportDesk, schedule_id: int, now: datetime) -> Made | None:
    """Make an export of a schedule because somebody asks for it; when it is due next does not change.

    Raises:
        ExportFailedError: If it could not be made.
    """
    at = now.replace(microsecond=0)
    with desk.engine.begin() as connection:
        row = schedules.hold_schedule(connection, schedule_id)
        if row is None:
            return None
        due = Due(at, at, 1, next_due(wish_of(row).timetable, at))
        attempt = _begin(connection, row, due, now)
    return None if attempt is None else _make(desk, row, due, attempt, now, moves_on=False)


def make_all_due(desk: ExportDesk, now: datetime) -> Iterator[Made]:
    """Make everything that is due, one after the other; one that fails does not hold up the others."""
    for export in due_exports(desk, now):
        try:
            made = make_due(desk, export.schedule.schedule_id, now)
        except ExportFailedError as error:
            yield Made(export.schedule, export.due, "failed", str(error))
        else:
            if made is not None:
                yield made


def newest_day(warehouse: Warehouse) -> date | None:
    """The newest closed day that the marts have; None when nothing was built yet."""
    try:
        with warehouse.connect() as connection:
            row = connection.execute("select max(date) from intermediate.days where is_closed").fetchone()
    except FileNotFoundError:
        return None
    return row[0] if row else None


def _place(row: ScheduleRow, due: Due) -> Path:
    """The folder of a run, below that of exports."""
    return Path("scheduled", str(row.schedule_id), due.scheduled_for.strftime("%Y%m%dT%H%M%SZ"))


def _begin(connection: sa.Connection, row: ScheduleRow, due: Due, now: datetime) -> int | None:
    wish = wish_of(row)
    first, last = days_of(wish.rule, wish.timetable, due)
    values = {
        "scheduled_for": due.scheduled_for, "since": due.since, "times": due.times, "first_day": first,
        "last_day": last, "is_late": due.times > 1 or now > due.scheduled_for + LATE_AFTER,
        "folder": str(_place(row, due)),
    }  # fmt: skip
    return export_runs.begin_run(connection, row.schedule_id, values, now=now, abandoned_before=now - ABANDONED_AFTER)


def _make(desk: ExportDesk, row: ScheduleRow, due: Due, attempt: int, now: datetime, *, moves_on: bool) -> Made:
    wish = wish_of(row)
    first, last = days_of(wish.rule, wish.timetable, due)
    is_late = due.times > 1 or now > due.scheduled_for + LATE_AFTER
    manifest: Manifest | None = None
    nothing = None
    try:
        style = ReportStyle(wish.paper, desk.rules)
        folder = desk.folder / _place(row, due)
        manifest = write_export(desk.warehouse, row.user_id, wish.what, wish.form, first, last, folder / "files", style)
        package = packed(manifest, folder, row.name)
        result = SettledRun("done", manifest.rows, package.size, package.sha256)
        messages = [message_of(row, due, (first, last), manifest, package, is_late=is_late)]
    except ExportRefusedError as error:  # trying again would change nothing
        nothing = str(error)
        result = SettledRun("empty", error=nothing)
        messages = [message_of(row, due, (first, last), None, None, is_late=is_late, nothing=nothing)]
    except Exception as error:
        return _failed(desk, row, due, attempt, now, error, moves_on=moves_on)
    _settle(desk, row, due, attempt, result, messages, now, moves_on=moves_on)
    return Made(row, due, result.status, nothing)


def _failed(
    desk: ExportDesk, row: ScheduleRow, due: Due, attempt: int, now: datetime, error: Exception, *, moves_on: bool
) -> Made:
    """Write a failure down; the last one is told to the user and to the operators."""
    said = f"{type(error).__name__}: {error}"
    is_last = attempt >= ATTEMPTS or not moves_on
    result = SettledRun("failed" if is_last else "retrying", error=said)
    messages = failure_messages(row, due, said) if is_last else []
    _settle(desk, row, due, attempt, result, messages, now, moves_on=moves_on and is_last)
    end = "it is given up" if is_last else "it will be tried again"
    when = f"{due.scheduled_for:%Y-%m-%d %H:%M} UTC"
    msg = f"the export {row.name!r} of {row.user_id!r} due at {when} failed, {end}: {said}"
    raise ExportFailedError(msg) from error


def _settle(
    desk: ExportDesk,
    row: ScheduleRow,
    due: Due,
    attempt: int,
    result: SettledRun,
    messages: list[Message],
    now: datetime,
    *,
    moves_on: bool,
) -> None:
    """In one transaction: what became of the run, when the schedule is due next, and what is said of it."""
    with desk.engine.begin() as connection:
        is_ours = export_runs.settle_run(connection, row.schedule_id, due.scheduled_for, attempt, result, now=now)
        if not is_ours:
            logger.warning("another process took the export %r of %r over", row.name, row.user_id)
            return
        if moves_on:
            schedules.move_on(connection, row.schedule_id, due.scheduled_for, due.next_at)
        if schedules.hold_schedule(connection, row.schedule_id) is None:
            return  # deleted meanwhile: nobody wants it any more
        put(connection, messages, now=now)
        if result.status == "done" and not schedules.deliveries_of(
            connection, key_of(row.schedule_id, due.scheduled_for)
        ):
            put(connection, [unsent_message(row, due)], now=now)
