"""Runs of scheduled exports in the database: begun, settled, listed, and when their files may go.

Each function is a step of its caller's transaction. Schedules themselves are in `schedules`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import polars as pl
import sqlalchemy as sa

from portfolio_pipelines.database.schedules import frame_of_user

RUNS_SCHEMA: Final = pl.Schema(
    {
        "user_id": pl.String(), "name": pl.String(), "scheduled_for": pl.Datetime("us", "UTC"),
        "status": pl.String(), "is_late": pl.Boolean(), "times": pl.Int32(), "first_day": pl.Date(),
        "last_day": pl.Date(), "rows": pl.Int64(), "size": pl.Int64(), "sha256": pl.String(), "folder": pl.String(),
        "attempts": pl.Int32(), "error": pl.String(), "finished_at": pl.Datetime("us", "UTC"),
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A due time that was begun and is not settled."""

    schedule_id: int
    scheduled_for: datetime
    status: str
    attempts: int
    started_at: datetime


@dataclass(frozen=True, slots=True)
class SettledRun:
    """How a run ended."""

    status: str
    rows: int | None = None
    size: int | None = None
    sha256: str | None = None
    error: str | None = None


def open_runs(connection: sa.Connection, schedule_ids: Sequence[int]) -> list[OpenRun]:
    """Runs of schedules that were begun and are not settled."""
    rows = connection.execute(
        sa.text("""
            select schedule_id, scheduled_for, status, attempts, started_at
            from app.export_runs where finished_at is null and schedule_id = any(:ids)
        """),
        {"ids": list(schedule_ids)},
    )
    return [OpenRun(**row) for row in rows.mappings()]


def begin_run(
    connection: sa.Connection,
    schedule_id: int,
    values: Mapping[str, object],
    *,
    now: datetime,
    abandoned_before: datetime,
) -> int | None:
    """Begin a due time, or begin it again.

    Args:
        connection: In a transaction.
        schedule_id: Which schedule.
        values: scheduled_for, since, times, is_late, first_day, last_day, folder.
        now: Begin of the attempt.
        abandoned_before: An attempt that began earlier and did not end is taken for dead.

    Returns:
        Which attempt it is, from 1; None when the due time is settled or somebody else is at it.
    """
    given = {**values, "schedule_id": schedule_id, "now": now, "abandoned_before": abandoned_before}
    connection.execute(
        sa.text("""
            update app.export_runs
            set status = 'failed', finished_at = :now, error = coalesce(error || '; ', '') || 'overtaken by a later one'
            where schedule_id = :schedule_id and finished_at is null and scheduled_for < :scheduled_for
              and (status = 'retrying' or started_at < :abandoned_before)
        """),
        given,
    )
    found = connection.scalar(
        sa.text("""
            insert into app.export_runs (
                schedule_id, scheduled_for, since, times, is_late, status, attempts, first_day, last_day, folder,
                started_at
            )
            values (
                :schedule_id, :scheduled_for, :since, :times, :is_late, 'running', 1, :first_day, :last_day, :folder,
                :now
            )
            on conflict (schedule_id, scheduled_for) do update
            set status = 'running', attempts = export_runs.attempts + 1, started_at = excluded.started_at,
                since = excluded.since, times = excluded.times, is_late = excluded.is_late,
                first_day = excluded.first_day, last_day = excluded.last_day
            where export_runs.status = 'retrying'
               or (export_runs.status = 'running' and export_runs.started_at < :abandoned_before)
            returning attempts
        """),
        given,
    )
    return None if found is None else int(found)


def settle_run(
    connection: sa.Connection,
    schedule_id: int,
    scheduled_for: datetime,
    attempt: int,
    result: SettledRun,
    *,
    now: datetime,
) -> bool:
    """Write down how an attempt ended; False when another attempt has taken over, whose result counts."""
    is_over = result.status not in {"running", "retrying"}
    changed = connection.execute(
        sa.text("""
            update app.export_runs
            set status = :status, rows = :rows, size = :size, sha256 = :sha256, error = :error,
                finished_at = :finished_at
            where schedule_id = :schedule_id and scheduled_for = :scheduled_for and attempts = :attempt
              and status = 'running'
        """),
        {
            "schedule_id": schedule_id, "scheduled_for": scheduled_for, "attempt": attempt, "status": result.status,
            "rows": result.rows, "size": result.size, "sha256": result.sha256, "error": result.error,
            "finished_at": now if is_over else None,
        },
    )  # fmt: skip
    return changed.rowcount == 1


def runs_frame(engine: sa.Engine, user_id: str | None = None) -> pl.DataFrame:
    """Runs of schedules, deleted ones included, newest first: RUNS_SCHEMA."""
    query = """
        select u.user_id, s.name, r.scheduled_for, r.status, r.is_late, r.times, r.first_day, r.last_day, r.rows,
               r.size, r.sha256, r.folder, r.attempts, r.error, r.finished_at
        from app.export_runs r join app.scheduled_exports s using (schedule_id) join app.users u using (user_key)
        where true
    """
    return frame_of_user(engine, query, RUNS_SCHEMA, user_id).sort("scheduled_for", "user_id", "name", descending=True)


def hold_old_folders(connection: sa.Connection, before: datetime) -> dict[int, str]:
    """Folders by run of what ended before a moment, those left out that a message still waits for."""
    rows = connection.execute(
        sa.text("""
            select run_id, folder from app.export_runs r
            where folder is not null and finished_at < :before and not exists (
                select from app.outbox_messages m join app.outbox_deliveries d using (message_id)
                where m.key = 'export:' || r.schedule_id || ':'
                        || to_char(r.scheduled_for at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
                  and d.status in ('pending', 'sending')
            )
            order by run_id for update of r skip locked
        """),
        {"before": before},
    )
    return {row.run_id: row.folder for row in rows}


def forget_folders(connection: sa.Connection, run_ids: Sequence[int]) -> None:
    """Write down that the files of runs are gone."""
    connection.execute(
        sa.text("update app.export_runs set folder = null where run_id = any(:ids)"), {"ids": list(run_ids)}
    )
