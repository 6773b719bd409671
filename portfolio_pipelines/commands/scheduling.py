"""`portfolio schedules …`: exports that are made and sent again and again."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import polars as pl

from portfolio_pipelines.commands.console import OUT, CommandError
from portfolio_pipelines.commands.importing import whoami
from portfolio_pipelines.commands.reading import print_frame
from portfolio_pipelines.delivery.exports.datasets import Form, What
from portfolio_pipelines.delivery.exports.due_times import Period, RangeRule, Timetable
from portfolio_pipelines.resources.platform import Platform

NO_SCHEDULES: Final = "nothing is scheduled; `portfolio schedules add USER NAME --what performance` has it sent monthly"
NO_RUNS: Final = "no scheduled export was due yet"
WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, slots=True)
class Given:
    """What a person wrote; None for what was not said.

    Attributes:
        at: HH:MM.
        on: A weekday, or a day of the month.
        channel: Id of a channel; 0 for all of the user.
    """

    what: What | None
    form: Form | None
    period: Period | None
    at: str | None
    on: str | None
    zone: str | None
    days: RangeRule | None
    channel: int | None
    paper: Literal["a4", "us-letter"] | None

    def changes(self, period: Period | None) -> dict[str, Any]:
        """The fields that were said, as `schedules.edit_schedule` wants them.

        Args:
            period: How often, if it is known: what a day means depends on it.

        Raises:
            CommandError: If time or day cannot be read; both are told.
        """
        faults: list[str] = []
        found: dict[str, Any] = {
            "what": self.what, "form": self.form, "period": self.period, "zone": self.zone, "rule": self.days,
            "paper": self.paper,
        }  # fmt: skip
        found = {name: value for name, value in found.items() if value is not None}
        if self.channel is not None:
            found["channel_id"] = self.channel or None
        if self.at is not None:
            found["at"] = _time(self.at, faults)
        if self.on is not None:
            found["on"] = _day(self.on, faults)
        elif period is not None and self.period is not None:
            found["on"] = None if period is Period.DAILY else 1
        if faults:
            raise CommandError("\n".join(faults))
        return found


def add(platform: Platform, user_id: str, name: str, given: Given) -> None:
    """Add a scheduled export, and say when it comes first.

    Raises:
        CommandError: With all that is wrong.
    """
    from portfolio_pipelines.delivery.exports.schedules import Wish, add_schedule

    said = given.changes(given.period)
    timetable = Timetable(said["period"], said["at"], said["zone"], said["on"])
    wish = Wish(said["what"], said["form"], timetable, said["rule"], said.get("channel_id"), said["paper"])
    with _refusals():
        schedule_id, due = add_schedule(platform.database.engine, user_id, name, wish, who=whoami())
    OUT.print(f"{name} of {user_id} is scheduled export {schedule_id}. {_when(due, timetable.zone)}", markup=False)
    if wish.channel_id is None:
        OUT.print("It goes to every verified channel of the user; `portfolio channels list` shows them.", markup=False)


def edit(platform: Platform, user_id: str, name: str, given: Given, rename: str | None) -> None:
    """Change a scheduled export.

    Raises:
        CommandError: With all that is wrong, or when nothing changes.
    """
    from portfolio_pipelines.delivery.exports.schedules import edit_schedule, schedule_named

    said = given.changes(given.period) | ({"name": rename} if rename is not None else {})
    if not said:
        msg = "name what shall change, such as --at 07:30"
        raise CommandError(msg)
    engine = platform.database.engine
    with _refusals():
        due = edit_schedule(engine, user_id, name, said, who=whoami())
        row = schedule_named(engine, user_id, said.get("name", name))
    OUT.print(f"{row.name} of {user_id} is changed. {_when(due, row.time_zone)}", markup=False)


def pause(platform: Platform, user_id: str, name: str) -> None:
    """Send nothing until it is resumed.

    Raises:
        CommandError: If there is no such schedule.
    """
    from portfolio_pipelines.delivery.exports.schedules import pause_schedule

    with _refusals():
        pause_schedule(platform.database.engine, user_id, name, who=whoami())
    OUT.print(f"{name} of {user_id} is paused.", markup=False)


def resume(platform: Platform, user_id: str, name: str) -> None:
    """Send again from now on.

    Raises:
        CommandError: If there is no such schedule.
    """
    from portfolio_pipelines.delivery.exports.schedules import resume_schedule

    with _refusals():
        due = resume_schedule(platform.database.engine, user_id, name, who=whoami())
    OUT.print(f"{name} of {user_id} goes on. {_when(due, 'UTC')}", markup=False)


def delete(platform: Platform, user_id: str, name: str) -> None:
    """Send nothing any more.

    Raises:
        CommandError: If there is no such schedule.
    """
    from portfolio_pipelines.delivery.exports.schedules import delete_schedule

    with _refusals():
        delete_schedule(platform.database.engine, user_id, name, who=whoami())
    OUT.print(f"{name} of {user_id} is deleted; its history stays.", markup=False)


def show(platform: Platform, user_id: str | None, form: str) -> None:
    """List schedules."""
    from portfolio_pipelines.database.schedules import schedules_frame

    frame = schedules_frame(platform.database.engine, user_id)
    if form == "table":
        frame = frame.select(
            "user_id", "name", "what", "form", pl.col("range_rule").alias("days"), "period",
            pl.col("on_day").alias("on"), pl.col("at_local").alias("at"), pl.col("time_zone").alias("zone"),
            pl.col("channel_id").alias("channel"),
            pl.col("next_due_at").dt.strftime("%Y-%m-%d %H:%M UTC").fill_null("paused").alias("next"),
            pl.col("last_status").alias("last"),
        )  # fmt: skip
    print_frame(frame, form, NO_SCHEDULES)


def show_history(platform: Platform, user_id: str | None, form: str) -> None:
    """List what became of each due time."""
    from portfolio_pipelines.database.export_runs import runs_frame

    frame = runs_frame(platform.database.engine, user_id)
    if form == "table":
        frame = frame.select(
            "user_id", "name", pl.col("scheduled_for").dt.strftime("%Y-%m-%d %H:%M UTC").alias("due"), "status",
            pl.col("is_late").alias("late"), pl.col("times").alias("stands_for"), "first_day", "last_day", "rows",
            "size", "folder", "error",
        )  # fmt: skip
    print_frame(frame, form, NO_RUNS)


def run_now(platform: Platform, user_id: str, name: str) -> None:
    """Make a scheduled export now.

    Raises:
        CommandError: If there is no such schedule, or it could not be made.
    """
    from portfolio_pipelines.delivery.exports.scheduled import ExportFailedError, desk_of, make_now
    from portfolio_pipelines.delivery.exports.schedules import schedule_named

    with _refusals():
        row = schedule_named(platform.database.engine, user_id, name)
    try:
        made = make_now(desk_of(platform), row.schedule_id, datetime.now(UTC))
    except ExportFailedError as error:
        raise CommandError(str(error)) from error
    if made is None:
        msg = f"{name!r} of {user_id!r} is being made this very second"
        raise CommandError(msg)
    OUT.print(f"{name} of {user_id}: {made.error or 'made and handed to the outbox'}.", markup=False)


def run_due(platform: Platform) -> bool:
    """Make everything that is due, and remove files that are old enough; whether nothing failed."""
    from portfolio_pipelines.delivery.exports.retention import remove_old_files
    from portfolio_pipelines.delivery.exports.scheduled import desk_of, make_all_due

    desk, now = desk_of(platform), datetime.now(UTC)
    failed = done = 0
    for made in make_all_due(desk, now):
        done += 1
        failed += made.status == "failed"
        said = f"{made.schedule.name} of {made.schedule.user_id}: {made.status}"
        OUT.print(f"{said}, {made.error}" if made.error else said, markup=False)
    if not done:
        OUT.print("nothing is due")
    remove_old_files(desk.engine, desk.folder, now, platform.settings.export_days)
    return not failed


def _when(due: datetime | None, zone: str) -> str:
    if due is None:
        return "It is paused."
    local = due.astimezone(ZoneInfo(zone))
    return f"Next: {local:%A, %Y-%m-%d %H:%M} {zone} ({due.astimezone(UTC):%Y-%m-%d %H:%M} UTC)."


def _time(text: str, faults: list[str]) -> time:
    try:
        at = time.fromisoformat(text)
    except ValueError:
        faults.append(f"{text!r} is no time of the day: write it as HH:MM, such as 08:00")
        return time(0)
    return at


def _day(text: str, faults: list[str]) -> int:
    plain = text.strip().lower()
    named = [number for number, name in enumerate(WEEKDAYS, 1) if len(plain) >= 2 and name.startswith(plain)]
    if len(named) == 1:
        return named[0]
    if not plain.isascii() or not plain.isdigit():
        faults.append(f"{text!r} is no day: write a weekday such as monday, or a day of the month from 1 to 31")
        return 0
    return int(plain)


@contextmanager
def _refusals() -> Iterator[None]:
    from portfolio_pipelines.delivery.exports.schedules import ScheduleRefusedError

    try:
        yield
    except ScheduleRefusedError as error:
        raise CommandError(str(error)) from error
