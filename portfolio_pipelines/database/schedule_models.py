"""Operational tables of scheduled exports: what is wanted when, and what became of each time it was due.

Local times and zones are kept as people say them; `next_due_at` is what the clocks make of them.
"""

from datetime import date, datetime, time
from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    SmallInteger,
    Time,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from portfolio_pipelines.database.models import Base

WHATS: Final = ("snapshots", "assets", "performance", "pnl", "il", "all")
FORMS: Final = ("csv", "json", "ndjson", "parquet", "xlsx", "pdf")
PERIODS: Final = ("daily", "weekly", "monthly")
RANGE_RULES: Final = (
    "period", "last_7_days", "last_30_days", "last_90_days", "last_365_days", "last_month", "year_to_date",
    "everything",
)  # fmt: skip
RUN_STATUSES: Final = ("running", "retrying", "done", "empty", "failed")


class ScheduledExport(Base):
    """An export that a user wants again and again."""

    __tablename__ = "scheduled_exports"
    __table_args__ = (
        Index(
            "uq_scheduled_exports_name", "user_key", "name", unique=True, postgresql_where=text("deleted_at is null")
        ),
        Index("ix_scheduled_exports_due", "next_due_at", postgresql_where=text("next_due_at is not null")),
        CheckConstraint(f"what in {WHATS}", name="what"),
        CheckConstraint(f"form in {FORMS}", name="form"),
        CheckConstraint("form <> 'pdf' or what in ('performance', 'il')", name="report"),
        CheckConstraint("paper in ('a4', 'us-letter')", name="paper"),
        CheckConstraint(f"range_rule in {RANGE_RULES}", name="range_rule"),
        CheckConstraint(
            "(period = 'daily' and on_day is null) or (period = 'weekly' and on_day between 1 and 7)"
            " or (period = 'monthly' and on_day between 1 and 31)",
            name="period",
        ),
        CheckConstraint("(next_due_at is null) = (paused_at is not null or deleted_at is not null)", name="due"),
        {"comment": "Exports that users want again and again; deleted ones stay, with what they sent"},
    )

    schedule_id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    user_key: Mapped[int] = mapped_column(ForeignKey("app.users.user_key"))
    name: Mapped[str] = mapped_column(comment="The name that people use, unique per user")
    what: Mapped[str] = mapped_column(comment="snapshots, assets, performance, pnl, il or all")
    form: Mapped[str] = mapped_column(comment="csv, json, ndjson, parquet, xlsx or pdf")
    paper: Mapped[str] = mapped_column(comment="Pages of a PDF: a4 or us-letter")
    range_rule: Mapped[str] = mapped_column(comment="Which closed UTC days it holds; period: those since the last one")
    period: Mapped[str] = mapped_column(comment="daily, weekly or monthly")
    on_day: Mapped[int | None] = mapped_column(
        SmallInteger, comment="Weekly 1 (Monday) to 7, monthly 1 to 31 (or the last day of the month); null daily"
    )
    at_local: Mapped[time] = mapped_column(Time, comment="Time of the day in the time zone")
    time_zone: Mapped[str] = mapped_column(comment="Such as Europe/Berlin")
    channel_id: Mapped[int | None] = mapped_column(
        ForeignKey("app.notification_channels.channel_id"), comment="Where it goes; null for every channel of the user"
    )
    next_due_at: Mapped[datetime | None] = mapped_column(comment="Oldest due time not served; null while paused")
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    changed_at: Mapped[datetime]
    changed_by: Mapped[str]
    paused_at: Mapped[datetime | None] = mapped_column(comment="Its owner wants nothing for now")
    deleted_at: Mapped[datetime | None]


class ExportRun(Base):
    """One time at which a scheduled export was due, or asked for."""

    __tablename__ = "export_runs"
    __table_args__ = (
        UniqueConstraint("schedule_id", "scheduled_for"),
        Index("ix_export_runs_files", "finished_at", postgresql_where=text("folder is not null")),
        CheckConstraint(f"status in {RUN_STATUSES}", name="status"),
        CheckConstraint("(status in ('running', 'retrying')) = (finished_at is null)", name="finished"),
        {"comment": "What became of each due time of a scheduled export; one row for several that were missed"},
    )

    run_id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    schedule_id: Mapped[int] = mapped_column(ForeignKey("app.scheduled_exports.schedule_id"))
    scheduled_for: Mapped[datetime] = mapped_column(comment="When it was due; of several missed ones the newest")
    since: Mapped[datetime] = mapped_column(comment="The oldest due time that it stands for")
    times: Mapped[int] = mapped_column(comment="How many due times it stands for")
    is_late: Mapped[bool] = mapped_column(comment="Due times were missed, or it was more than an hour late")
    status: Mapped[str] = mapped_column(
        comment="running, retrying, done, empty: nothing to export, failed: given up and told"
    )
    attempts: Mapped[int] = mapped_column(comment="Times it was begun")
    first_day: Mapped[date] = mapped_column(comment="First UTC day")
    last_day: Mapped[date] = mapped_column(comment="Last UTC day, inclusive")
    rows: Mapped[int | None] = mapped_column(BigInteger, comment="Rows of all tables")
    size: Mapped[int | None] = mapped_column(BigInteger, comment="Bytes of what was sent")
    sha256: Mapped[str | None] = mapped_column(comment="Of what was sent")
    folder: Mapped[str | None] = mapped_column(comment="Below exports in the home folder; null once removed")
    error: Mapped[str | None] = mapped_column(comment="Why the last attempt failed, or why there is nothing")
    started_at: Mapped[datetime] = mapped_column(comment="Begin of the last attempt")
    finished_at: Mapped[datetime | None]
