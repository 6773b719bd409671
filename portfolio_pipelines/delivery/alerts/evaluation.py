"""Evaluating rules: which metrics have news, moving their rules on, and what is told, in one transaction a metric.

Belongs here: reading what is published, and the cursor. The state machine is `transitions`, the words are `messages`.
Nothing here knows of Dagster: the sensor and the command line both call `evaluate`.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from portfolio_pipelines.database.alert_versions import RULES_LOCK
from portfolio_pipelines.delivery.alerts.messages import Event, events_of, message_of
from portfolio_pipelines.delivery.alerts.metrics import METRICS, Metric
from portfolio_pipelines.delivery.alerts.transitions import advance, look
from portfolio_pipelines.delivery.outbox import put

_HIGHEST: Final = """
    select m.metric, (
        select max(v.change_number) from app.alert_rule_versions v
        where v.metric = m.metric and v.superseded_at is null
    ) as highest
    from unnest(cast(:metrics as text[])) as m (metric)
"""
_PUBLISHED: Final = """
    select table_name, md5(string_agg(partition || ' ' || fingerprint, ',' order by partition)) as content
    from marts.published_partitions where table_name = any (:tables) group by table_name
"""


class EvaluationError(RuntimeError):
    """Some metrics could not be evaluated; their rules stand where they stood. The message names them."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the evaluation of one metric found."""

    metric: str
    events: int  # changes that were found
    told: int  # messages that went to the outbox
    seconds: float


def evaluate(
    engine: sa.Engine, *, now: datetime | None = None, metrics: Iterable[Metric] = tuple(METRICS.values())
) -> list[Outcome]:
    """Evaluate every metric of which the data or a rule is new since the last time; in any process, any number at once.

    The same data is seen once: a second call finds nothing to do. State, history and messages of a metric are one
    transaction, so that one that is killed leaves everything for the next.

    Args:
        engine: Engine of the operational database, which also serves the marts.
        now: Time of what is found; the clock when not given.
        metrics: Only these; all when not given.

    Returns:
        The metrics that were evaluated.

    Raises:
        EvaluationError: If a metric failed; the others are evaluated all the same.
    """
    now = now or datetime.now(UTC)
    with engine.connect() as connection:
        due = _due(connection, metrics, now)
    outcomes, failures = [], []
    for metric in due:
        try:
            with engine.begin() as connection:
                outcomes += _evaluate(connection, metric, now)
        except sa.exc.DBAPIError as error:
            failures.append(f"{metric.name}: {str(error.orig).strip().splitlines()[0]}")
    if failures:
        msg = f"alert rules could not be evaluated, they stand where they stood: {'; '.join(failures)}"
        raise EvaluationError(msg)
    return outcomes


def preview(engine: sa.Engine, rule_id: int, metric: str, *, now: datetime | None = None) -> list[Event] | None:
    """What would happen with each subject of a rule now, also of a paused one; None before its data was published."""
    now = now or datetime.now(UTC)
    with engine.connect() as connection:
        if METRICS[metric].name not in _versions(connection, [METRICS[metric]], now):
            return None
        rows = _run(connection, look(METRICS[metric]), METRICS[metric], "", 0, now, rule_id)
        return events_of(rows, metric, _names(connection, rows))


def _due(connection: sa.Connection, metrics: Iterable[Metric], now: datetime) -> list[Metric]:
    """Metrics that have rules and of which the data or a rule is new."""
    names = {"metrics": [metric.name for metric in metrics]}
    rows = connection.execute(sa.text(_HIGHEST), names)
    highest = {row.metric: row.highest for row in rows if row.highest is not None}
    known = {row.metric: row for row in connection.execute(sa.text("select * from app.alert_evaluations"))}
    versions = _versions(connection, [METRICS[name] for name in highest], now)
    return [
        METRICS[name]
        for name, version in versions.items()
        if name not in known or known[name].data_version != version or known[name].rules_seen < highest[name]
    ]


def _versions(connection: sa.Connection, metrics: Sequence[Metric], now: datetime) -> dict[str, str]:
    """Fingerprint of what is published for each metric; those of which something was never published are left out."""
    published: Mapping[str, str] = {}
    if connection.scalar(sa.text("select to_regclass('marts.published_partitions') is not null")):
        tables = sorted({table for metric in metrics for table in metric.tables})
        rows = connection.execute(sa.text(_PUBLISHED), {"tables": tables})
        published = {row.table_name: row.content for row in rows}
    there = set(
        connection.scalars(sa.text("select relname from pg_class where relnamespace = to_regnamespace('marts')"))
    )
    return {
        metric.name: " ".join(
            [
                *(published.get(table, "") for table in metric.tables),
                *([now.isoformat()] if metric.follows_clock else []),
            ]
        )
        for metric in metrics
        if there.issuperset(metric.tables)
    }


def _evaluate(connection: sa.Connection, metric: Metric, now: datetime) -> list[Outcome]:
    started = time.monotonic()
    # Nobody changes a rule meanwhile, and a second evaluation sees what this one has seen.
    connection.execute(sa.text("select pg_advisory_xact_lock(:lock)"), {"lock": RULES_LOCK})
    if metric not in _due(connection, [metric], now):
        return []
    version = _versions(connection, [metric], now)[metric.name]
    known = connection.execute(
        sa.text("select data_version, rules_seen from app.alert_evaluations where metric = :metric"),
        {"metric": metric.name},
    ).one_or_none()
    seen = known.rules_seen if known is not None and known.data_version == version else 0
    # A statement over everybody: room for its tables in memory, and no compiling that takes longer than running.
    connection.execute(sa.text("set local work_mem = '128MB'"))
    connection.execute(sa.text("set local jit = off"))
    rows = _run(connection, advance(metric), metric, version, seen, now, None)
    told = [row for row in rows if row["is_told"]]
    messages = [message_of(event, now) for event in events_of(told, metric.name, _names(connection, told))]
    connection.execute(
        sa.text("""
            insert into app.alert_evaluations as known (metric, data_version, rules_seen, evaluated_at, n_events)
            select :metric, :version, max(change_number), :now, :events
            from app.alert_rule_versions where metric = :metric and superseded_at is null
            on conflict (metric) do update set
                data_version = excluded.data_version, rules_seen = excluded.rules_seen,
                evaluated_at = excluded.evaluated_at, n_events = excluded.n_events
        """),
        {"metric": metric.name, "version": version, "now": now, "events": len(rows)},
    )
    put(connection, messages, now=now)  # last: whoever stores messages waits for the others
    return [Outcome(metric.name, len(rows), len(told), time.monotonic() - started)]


def _run(
    connection: sa.Connection, statement: str, metric: Metric, version: str, seen: int, now: datetime,
    rule_id: int | None,
) -> list[dict[str, Any]]:  # fmt: skip
    values = {"metric": metric.name, "seen": seen, "rule_id": rule_id, "now": now, "data_version": version}
    wanted = {name: value for name, value in values.items() if f":{name}" in statement}
    return [dict(row) for row in connection.execute(sa.text(statement), wanted).mappings()]


def _names(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Symbols of the assets that rows speak of."""
    ids = {row["subject"] for row in rows} | {row["subject"].partition("/")[2] for row in rows}
    query = "select asset_id, symbol from app.assets where asset_id = any (:ids)"
    return {row.asset_id: row.symbol for row in connection.execute(sa.text(query), {"ids": sorted(ids)})}
