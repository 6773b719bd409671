"""Scheduled exports as users set them: what makes sense, and how they are added, changed, paused and deleted.

When one is due is `due_times`, making and sending it is `scheduled`.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal

import sqlalchemy as sa

from portfolio_pipelines.database.schedules import (
    ScheduleRow,
    fault_of_channel,
    find_schedule,
    insert_schedule,
    update_schedule,
)
from portfolio_pipelines.delivery.exports.datasets import REPORTED, Form, What
from portfolio_pipelines.delivery.exports.due_times import Period, RangeRule, Timetable, faults_of, next_due

LONGEST_NAME: Final = 100
MOST_SCHEDULES: Final = 50
"""Of one user: each one is work, every day for ever."""


class ScheduleRefusedError(ValueError):
    """The schedule makes no sense, or is not there; the message says all that is wrong."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a user wants again and again.

    Attributes:
        what: Which tables.
        form: The format of the files.
        timetable: When.
        rule: Which days.
        channel_id: Where it goes, a channel for mail or a webhook; None for every channel of the user.
        paper: Pages of a PDF.
    """

    what: What
    form: Form
    timetable: Timetable
    rule: RangeRule = RangeRule.PERIOD
    channel_id: int | None = None
    paper: Literal["a4", "us-letter"] = "a4"


def add_schedule(
    engine: sa.Engine, user_id: str, name: str, wish: Wish, *, who: str, now: datetime | None = None
) -> tuple[int, datetime]:
    """Add a scheduled export.

    Args:
        engine: Engine of the operational database.
        user_id: Whose; a known user.
        name: Unique for the user.
        wish: What is wanted.
        who: Who adds it.
        now: Time of the entry; the clock when not given.

    Returns:
        Its id, and when it is due first, UTC.

    Raises:
        ScheduleRefusedError: With all faults at once.
    """
    now, name = now or datetime.now(UTC), name.strip()
    with engine.begin() as connection:
        faults = _faults(connection, user_id, name, wish)
        counts = connection.execute(
            sa.text("""
                select count(distinct user_key) as known, count(schedule_id) filter (where deleted_at is null) as others
                from app.users left join app.scheduled_exports using (user_key) where user_id = :user_id
            """),
            {"user_id": user_id},
        ).one()
        if not counts.known:
            faults.insert(0, f"there is no user {user_id!r}: import investments or wallets first")
        if counts.others >= MOST_SCHEDULES:
            faults.append(f"a user has at most {MOST_SCHEDULES} scheduled exports")
        if faults:
            raise ScheduleRefusedError("\n".join(faults))
        due = next_due(wish.timetable, now)
        values = {**_values(wish), "name": name, "next_due_at": due}
        schedule_id = insert_schedule(connection, user_id, values, who=who, now=now)
        if schedule_id is None:
            msg = f"{user_id!r} has a scheduled export {name!r} already; `portfolio schedules edit` changes it"
            raise ScheduleRefusedError(msg)
    return schedule_id, due


def edit_schedule(
    engine: sa.Engine, user_id: str, name: str, changes: dict[str, Any], *, who: str, now: datetime | None = None
) -> datetime | None:
    """Change a scheduled export. With other times, what is due and was not served yet is forgotten.

    Args:
        engine: Engine of the operational database.
        user_id: Whose.
        name: Which.
        changes: Fields of `Wish` and of `Timetable` (period, at, zone, on), and `name`; only those that change.
        who: Who changes it.
        now: Time of the change; the clock when not given.

    Returns:
        When it is due next, UTC; None while it is paused.

    Raises:
        ScheduleRefusedError: With all faults at once, or when there is no such schedule.
    """
    now = now or datetime.now(UTC)
    with engine.begin() as connection:
        row = _found(connection, user_id, name)
        before = wish_of(row)
        times = {key: changes[key] for key in ("period", "at", "zone", "on") if key in changes}
        if times.get("period", before.timetable.period) is Period.DAILY:
            times.setdefault("on", None)
        fields = {key: value for key, value in changes.items() if key not in {*times, "name"}}
        wish = replace(before, **fields, timetable=replace(before.timetable, **times))
        new_name = str(changes.get("name", name)).strip()
        faults = _faults(connection, user_id, new_name, wish)
        if faults:
            raise ScheduleRefusedError("\n".join(faults))
        due = row.next_due_at
        if due is not None and wish.timetable != before.timetable:
            due = next_due(wish.timetable, now)
        values = {**_values(wish), "name": new_name, "next_due_at": due}
        try:
            update_schedule(connection, row.schedule_id, values, who=who, now=now)
        except sa.exc.IntegrityError as error:
            msg = f"{user_id!r} has a scheduled export {new_name!r} already"
            raise ScheduleRefusedError(msg) from error
    return due


def pause_schedule(engine: sa.Engine, user_id: str, name: str, *, who: str, now: datetime | None = None) -> None:
    """Send nothing until it is resumed.

    Raises:
        ScheduleRefusedError: If there is no such schedule.
    """
    now = now or datetime.now(UTC)
    with engine.begin() as connection:
        row = _found(connection, user_id, name)
        if not row.is_paused:
            update_schedule(connection, row.schedule_id, {"paused_at": now, "next_due_at": None}, who=who, now=now)


def resume_schedule(engine: sa.Engine, user_id: str, name: str, *, who: str, now: datetime | None = None) -> datetime:
    """Send again from now on; what would have been due meanwhile is not made up for.

    Returns:
        When it is due next, UTC.

    Raises:
        ScheduleRefusedError: If there is no such schedule.
    """
    now = now or datetime.now(UTC)
    with engine.begin() as connection:
        row = _found(connection, user_id, name)
        if row.next_due_at is not None:
            return row.next_due_at
        due = next_due(wish_of(row).timetable, now)
        update_schedule(connection, row.schedule_id, {"paused_at": None, "next_due_at": due}, who=who, now=now)
    return due


def delete_schedule(engine: sa.Engine, user_id: str, name: str, *, who: str, now: datetime | None = None) -> None:
    """Send nothing any more; what was sent stays in the history.

    Raises:
        ScheduleRefusedError: If there is no such schedule.
    """
    now = now or datetime.now(UTC)
    with engine.begin() as connection:
        row = _found(connection, user_id, name)
        update_schedule(connection, row.schedule_id, {"deleted_at": now, "next_due_at": None}, who=who, now=now)


def schedule_named(engine: sa.Engine, user_id: str, name: str) -> ScheduleRow:
    """A schedule by its name.

    Raises:
        ScheduleRefusedError: If there is no such schedule.
    """
    with engine.begin() as connection:
        return _found(connection, user_id, name)


def wish_of(row: ScheduleRow) -> Wish:
    """What a stored schedule asks for."""
    timetable = Timetable(Period(row.period), row.at_local, row.time_zone, row.on_day)
    paper: Literal["a4", "us-letter"] = "us-letter" if row.paper == "us-letter" else "a4"
    return Wish(What(row.what), Form(row.form), timetable, RangeRule(row.range_rule), row.channel_id, paper)


def _values(wish: Wish) -> dict[str, object]:
    times = wish.timetable
    return {
        "what": wish.what.value, "form": wish.form.value, "paper": wish.paper, "range_rule": wish.rule.value,
        "period": times.period.value, "on_day": times.on, "at_local": times.at, "time_zone": times.zone,
        "channel_id": wish.channel_id,
    }  # fmt: skip


def _faults(connection: sa.Connection, user_id: str, name: str, wish: Wish) -> list[str]:
    faults = []
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        faults.append(f"a name has 1 to {LONGEST_NAME} characters that can be seen")
    faults += faults_of(wish.timetable)
    if wish.form is Form.PDF and wish.what not in REPORTED:
        faults.append(f"there is no PDF of {wish.what}: take performance or il, or another format")
    if wish.channel_id is not None and (fault := fault_of_channel(connection, user_id, wish.channel_id)):
        faults.append(fault)
    return faults


def _found(connection: sa.Connection, user_id: str, name: str) -> ScheduleRow:
    row = find_schedule(connection, user_id, name.strip())
    if row is None:
        msg = f"{user_id!r} has no scheduled export {name!r}; `portfolio schedules list` shows them"
        raise ScheduleRefusedError(msg)
    return row
