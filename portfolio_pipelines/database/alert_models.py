"""Operational tables of alerts: rules with all their versions, where each of them stands, and what happened.

Thresholds are in the unit of the metric, as a person wrote them. Levels are numbers so that SQL can compare them: 0
none, 1 info, 2 warning, 3 critical. What is evaluated how is in `delivery.alerts`.
"""

from datetime import datetime
from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    SmallInteger,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from portfolio_pipelines.database.models import Base

COMPARISONS: Final = ("above", "below", "beyond")
EVENTS: Final = ("fired", "raised", "held_back", "resolved", "cannot_tell")


class AlertRule(Base):
    """A rule that a user, or the operators, asked for."""

    __tablename__ = "alert_rules"
    __table_args__ = (
        Index("ix_alert_rules_user_key", "user_key"),
        {"comment": "Alert rules; what they say is in alert_rule_versions, where they stand in alert_states"},
    )

    rule_id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    user_key: Mapped[int | None] = mapped_column(
        ForeignKey("app.users.user_key"), comment="Whose it is; null for the operators of the installation"
    )
    created_at: Mapped[datetime]


class AlertRuleVersion(Base):
    """What a rule says, in one version."""

    __tablename__ = "alert_rule_versions"
    __table_args__ = (
        Index("uq_alert_rule_versions_current", "rule_id", unique=True, postgresql_where=text("superseded_at is null")),
        Index(
            "ix_alert_rule_versions_metric", "metric", "change_number", postgresql_where=text("superseded_at is null")
        ),
        CheckConstraint(f"comparison in {COMPARISONS}", name="comparison"),
        CheckConstraint("coalesce(info_at, warning_at, critical_at) is not null", name="threshold"),
        CheckConstraint("hysteresis >= 0 and coalesce(cooldown_minutes, 0) >= 0", name="positive"),
        CheckConstraint("min_coverage between 0 and 1", name="share"),
        {"comment": "Alert rules, all versions; the current one has no superseded_at, a deleted rule none"},
    )

    rule_id: Mapped[int] = mapped_column(ForeignKey("app.alert_rules.rule_id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="1, 2, … per rule")
    change_number: Mapped[int] = mapped_column(
        BigInteger, Identity(), comment="Ascends over all rules: an evaluation remembers up to where it has seen them"
    )
    user_key: Mapped[int | None] = mapped_column(
        ForeignKey("app.users.user_key"), comment="As in alert_rules: an evaluation reads this table alone"
    )
    metric: Mapped[str] = mapped_column(comment="One of those that `portfolio alerts metrics` lists")
    subject: Mapped[str] = mapped_column(comment="What it watches, such as coingecko:bitcoin; * for all there is")
    span_days: Mapped[int | None] = mapped_column(comment="Days of a change or of a window; null for the level itself")
    comparison: Mapped[str] = mapped_column(comment="above, below, or beyond: to either side of 0")
    info_at: Mapped[float | None] = mapped_column(comment="Threshold of level 1, unit of the metric; null for none")
    warning_at: Mapped[float | None] = mapped_column(comment="Threshold of level 2; null for none")
    critical_at: Mapped[float | None] = mapped_column(comment="Threshold of level 3; null for none")
    hysteresis: Mapped[float] = mapped_column(
        comment="How far back beyond a threshold the figure has to come, unit of the metric"
    )
    cooldown_minutes: Mapped[int | None] = mapped_column(
        comment="Within it a crossing is counted and not told; null for the usual one of the level"
    )
    min_coverage: Mapped[float] = mapped_column(comment="Least share of fresh data, 0..1: below it nothing is said")
    paused: Mapped[bool]
    note: Mapped[str | None] = mapped_column(comment="Words of the owner that come with every message")
    known_at: Mapped[datetime] = mapped_column(comment="Since when we know this version")
    superseded_at: Mapped[datetime | None] = mapped_column(comment="When a later version or the deletion ended it")
    set_by: Mapped[str]
    ended_by: Mapped[str | None] = mapped_column(comment="Who changed or deleted it")


class AlertState(Base):
    """Where a rule stands with one subject. There is no row before something happened: it is armed then."""

    __tablename__ = "alert_states"
    __table_args__ = (
        CheckConstraint("level between 0 and 3 and shown_level between 0 and level", name="level"),
        {"comment": "Where each rule stands with each subject; armed where there is no row, or the level is 0"},
    )

    rule_id: Mapped[int] = mapped_column(ForeignKey("app.alert_rules.rule_id", ondelete="CASCADE"), primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    level: Mapped[int] = mapped_column(SmallInteger, comment="0 armed; firing as 1 info, 2 warning, 3 critical")
    shown_level: Mapped[int] = mapped_column(SmallInteger, comment="What the owner was told; less while held back")
    since: Mapped[datetime] = mapped_column(comment="When the level became this")
    value: Mapped[float | None] = mapped_column(comment="At the last change of this row, unit of the metric")
    coverage: Mapped[float | None] = mapped_column(comment="At the last change of this row, 0..1")
    told_at: Mapped[datetime | None] = mapped_column(comment="When an alert was told last; the cooldown begins here")
    told_level: Mapped[int | None] = mapped_column(SmallInteger, comment="Level of that alert")
    suppressed: Mapped[int] = mapped_column(comment="Crossings since then that were not told")
    blind_since: Mapped[datetime | None] = mapped_column(comment="Since when the data cannot tell; null while it can")
    blind_told_at: Mapped[datetime | None] = mapped_column(comment="When that was told last")
    data_version: Mapped[str] = mapped_column(comment="Fingerprint of the data that this rests on")
    evaluated_at: Mapped[datetime] = mapped_column(comment="When this row changed")


class AlertEvent(Base):
    """Something that happened to a rule and a subject."""

    __tablename__ = "alert_events"
    __table_args__ = (
        ForeignKeyConstraint(
            ["rule_id", "version"], ["app.alert_rule_versions.rule_id", "app.alert_rule_versions.version"]
        ),
        Index("ix_alert_events_rule_id", "rule_id", "event_id"),
        CheckConstraint(f"kind in {EVENTS}", name="kind"),
        {"comment": "What alert rules found, append-only; an event that was told has a message in the outbox"},
    )

    event_id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    rule_id: Mapped[int]
    version: Mapped[int] = mapped_column(comment="Version of the rule that found it")
    subject: Mapped[str]
    at: Mapped[datetime] = mapped_column(comment="When it was found")
    kind: Mapped[str] = mapped_column(comment="fired, raised, held_back, resolved or cannot_tell")
    level: Mapped[int] = mapped_column(SmallInteger, comment="Level after it")
    value: Mapped[float | None] = mapped_column(comment="Unit of the metric; null when unknown")
    threshold: Mapped[float | None] = mapped_column(comment="The one that was crossed; of a resolved one the lowest")
    coverage: Mapped[float | None]
    as_of: Mapped[datetime | None] = mapped_column(comment="Time of the data")
    was_told: Mapped[bool] = mapped_column(comment="Whether a message, key alert:<event_id>, went to the outbox")


class AlertEvaluation(Base):
    """What the last evaluation of a metric rested on: the cursor of the sensor."""

    __tablename__ = "alert_evaluations"
    __table_args__ = {"comment": "Up to which data and which rules each metric was evaluated"}  # noqa: RUF012

    metric: Mapped[str] = mapped_column(primary_key=True)
    data_version: Mapped[str] = mapped_column(comment="Fingerprint of the published data")
    rules_seen: Mapped[int] = mapped_column(BigInteger, comment="Highest change_number that was evaluated")
    evaluated_at: Mapped[datetime]
    n_events: Mapped[int] = mapped_column(comment="Changes that the last evaluation found")


class FailedRun(Base):
    """A run that failed."""

    __tablename__ = "failed_runs"
    __table_args__ = (
        Index("ix_failed_runs_failed_at", "failed_at"),
        {"comment": "Runs that failed, told to the operators once each; the metric failed_runs counts them"},
    )

    run_id: Mapped[str] = mapped_column(primary_key=True, comment="Id of the Dagster run")
    job: Mapped[str]
    failed_at: Mapped[datetime]
    why: Mapped[str] = mapped_column(comment="Steps and checks that failed, with their messages")
