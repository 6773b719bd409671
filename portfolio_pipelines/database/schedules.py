"""Scheduled exports in the database: rows in, rows out, each function a step of its caller's transaction.

What makes sense and when something is due is decided in `delivery.exports`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time
from typing import Final

import polars as pl
import sqlalchemy as sa

from portfolio_pipelines.database.connection import read_frame

SENDING_KINDS: Final = ("email", "webhook")
"""Channels that files can be sent through."""
SCHEDULES_SCHEMA: Final = pl.Schema(
    {
        "user_id": pl.String(), "name": pl.String(), "what": pl.String(), "form": pl.String(),
        "range_rule": pl.String(), "period": pl.String(), "on_day": pl.Int16(), "at_local": pl.String(),
        "time_zone": pl.String(), "channel_id": pl.Int32(), "next_due_at": pl.Datetime("us", "UTC"),
        "is_paused": pl.Boolean(), "last_status": pl.String(), "last_run_at": pl.Datetime("us", "UTC"),
        "schedule_id": pl.Int32(), "created_at": pl.Datetime("us", "UTC"),
    }
)  # fmt: skip
_FIELDS: Final = (
    "name", "what", "form", "paper", "range_rule", "period", "on_day", "at_local", "time_zone", "channel_id",
    "next_due_at",
)  # fmt: skip
_FOUND: Final = f"""
    select schedule_id, user_id, {", ".join(_FIELDS)}, paused_at is not null as is_paused
    from app.scheduled_exports join app.users using (user_key)
    where deleted_at is null
"""  # noqa: S608 (our own names)


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """A scheduled export as it is stored; columns as in `schedule_models`."""

    schedule_id: int
    user_id: str
    name: str
    what: str
    form: str
    paper: str
    range_rule: str
    period: str
    on_day: int | None
    at_local: time
    time_zone: str
    channel_id: int | None
    next_due_at: datetime | None
    is_paused: bool


def insert_schedule(
    connection: sa.Connection, user_id: str, values: Mapping[str, object], *, who: str, now: datetime
) -> int | None:
    """Store a new schedule; its id, or None when the user has one of that name."""
    names = ", ".join(_FIELDS)
    marks = ", ".join(f":{name}" for name in _FIELDS)
    found = connection.scalar(
        sa.text(f"""
            insert into app.scheduled_exports (user_key, {names}, created_at, created_by, changed_at, changed_by)
            select user_key, {marks}, :now, :who, :now, :who from app.users where user_id = :user_id
            on conflict (user_key, name) where deleted_at is null do nothing
            returning schedule_id
        """),  # noqa: S608 (our own names)
        {**values, "user_id": user_id, "who": who, "now": now},
    )
    return None if found is None else int(found)


def update_schedule(
    connection: sa.Connection, schedule_id: int, values: Mapping[str, object], *, who: str, now: datetime
) -> None:
    """Change columns of a schedule."""
    changes = ", ".join(f"{name} = :{name}" for name in values)
    connection.execute(
        sa.text(f"""
            update app.scheduled_exports set {changes}, changed_at = :now, changed_by = :who where schedule_id = :id
        """),  # noqa: S608 (our own names)
        {**values, "id": schedule_id, "who": who, "now": now},
    )


def find_schedule(connection: sa.Connection, user_id: str, name: str) -> ScheduleRow | None:
    """A schedule by its name, held against changes until the transaction ends."""
    query = f"{_FOUND} and user_id = :user_id and name = :name for update of scheduled_exports"
    return _row(connection.execute(sa.text(query), {"user_id": user_id, "name": name}).mappings().one_or_none())


def hold_schedule(connection: sa.Connection, schedule_id: int) -> ScheduleRow | None:
    """A schedule by its id, held against changes until the transaction ends; None when it is deleted."""
    query = f"{_FOUND} and schedule_id = :id for update of scheduled_exports"
    return _row(connection.execute(sa.text(query), {"id": schedule_id}).mappings().one_or_none())


def due_schedules(
    connection: sa.Connection, now: datetime, most: int, after: ScheduleRow | None = None
) -> list[ScheduleRow]:
    """Schedules whose time has come, those that wait longest first.

    Args:
        connection: Any.
        now: The time.
        most: How many at once.
        after: The last one of the page before.
    """
    page = "" if after is None else "and (next_due_at, schedule_id) > (:after_due, :after_id)"
    query = f"{_FOUND} and next_due_at <= :now {page} order by next_due_at, schedule_id limit :most"
    values: dict[str, object] = {"now": now, "most": most}
    if after is not None:
        values |= {"after_due": after.next_due_at, "after_id": after.schedule_id}
    return [ScheduleRow(**row) for row in connection.execute(sa.text(query), values).mappings()]


def move_on(connection: sa.Connection, schedule_id: int, scheduled_for: datetime, next_at: datetime) -> None:
    """Let a schedule be due at `next_at`, unless it was changed or paused since `scheduled_for`."""
    connection.execute(
        sa.text("""
            update app.scheduled_exports set next_due_at = :next_at
            where schedule_id = :id and next_due_at <= :scheduled_for
        """),
        {"id": schedule_id, "scheduled_for": scheduled_for, "next_at": next_at},
    )


def deliveries_of(connection: sa.Connection, key: str) -> int:
    """To how many channels a message goes."""
    found = connection.scalar(
        sa.text("""
            select count(*) from app.outbox_deliveries join app.outbox_messages using (message_id) where key = :key
        """),
        {"key": key},
    )
    return int(found or 0)


def fault_of_channel(connection: sa.Connection, user_id: str, channel_id: int) -> str | None:
    """Why a user's exports cannot go to a channel; None when they can."""
    row = connection.execute(
        sa.text("""
            select user_id, kind, verified_at, disabled_at from app.notification_channels
            left join app.users using (user_key) where channel_id = :id and deleted_at is null
        """),
        {"id": channel_id},
    ).one_or_none()
    if row is None or row.user_id != user_id:
        return f"{user_id!r} has no channel {channel_id}; `portfolio channels list` shows them"
    if row.kind not in SENDING_KINDS:
        return f"channel {channel_id} is of the kind {row.kind}: files go by {' or '.join(SENDING_KINDS)}"
    if row.verified_at is None:
        return f"channel {channel_id} is not verified: `portfolio channels verify {channel_id} CODE`"
    return f"channel {channel_id} is disabled: its receiver is gone" if row.disabled_at is not None else None


def schedules_frame(engine: sa.Engine, user_id: str | None = None) -> pl.DataFrame:
    """Schedules of one user or of all, with how the last run ended: SCHEDULES_SCHEMA."""
    query = """
        select u.user_id, s.name, s.what, s.form, s.range_rule, s.period, s.on_day,
               to_char(s.at_local, 'HH24:MI') as at_local, s.time_zone, s.channel_id, s.next_due_at,
               s.paused_at is not null as is_paused, r.status as last_status, r.started_at as last_run_at,
               s.schedule_id, s.created_at
        from app.scheduled_exports s join app.users u using (user_key)
        left join lateral (
            select status, started_at from app.export_runs r where r.schedule_id = s.schedule_id
            order by scheduled_for desc limit 1
        ) r on true
        where s.deleted_at is null
    """
    return frame_of_user(engine, query, SCHEDULES_SCHEMA, user_id).sort("user_id", "name")


def frame_of_user(engine: sa.Engine, query: str, schema: pl.Schema, user_id: str | None) -> pl.DataFrame:
    """Rows of a query that can go on with `and`, of one user or of all."""
    if user_id is None:
        return read_frame(engine, query, schema)
    return read_frame(engine, f"{query} and user_id = :user_id", schema, {"user_id": user_id})


def _row(found: sa.RowMapping | None) -> ScheduleRow | None:
    return None if found is None else ScheduleRow(**found)
