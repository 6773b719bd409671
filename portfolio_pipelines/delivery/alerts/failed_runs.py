"""Runs that failed: remembered, and told to the operators once each, whoever notices them first.

Belongs here: the record and its message. Dagster's sensor and the command line both notice failures.
"""

from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa

from portfolio_pipelines.delivery.outbox import Message, Severity, put

LONGEST_WHY: Final = 4_000
"""Characters of an explanation: a trace of hundreds of lines is in the page of the run."""


def record_failed_run(engine: sa.Engine, run_id: str, job: str, why: str, *, now: datetime | None = None) -> bool:
    """Remember that a run failed and tell the operators, in one transaction. A run that is known changes nothing.

    Args:
        engine: Engine of the operational database.
        run_id: Id of the Dagster run.
        job: Its job.
        why: Steps and checks that failed, with their messages.
        now: When it was noticed; the clock when not given.

    Returns:
        Whether it was new.
    """
    now = now or datetime.now(UTC)
    text = why.replace("\x00", "").strip() or "the run says nothing of why"
    text = text if len(text) <= LONGEST_WHY else f"{text[: LONGEST_WHY - 1]}…"
    with engine.begin() as connection:
        new = connection.execute(
            sa.text("""
                insert into app.failed_runs (run_id, job, failed_at, why) values (:run, :job, :now, :why)
                on conflict (run_id) do nothing
            """),
            {"run": run_id, "job": job, "now": now, "why": text},
        ).rowcount
        if new:
            put(connection, [_message(run_id, job, text, now)], now=now)
    return bool(new)


def _message(run_id: str, job: str, why: str, now: datetime) -> Message:
    return Message(
        key=f"failed-run:{run_id}",
        user_id=None,
        subject=f"failed-run:{job}",
        kind="operations",
        severity=Severity.CRITICAL,
        title=f"Run of {job} failed",
        text=why,
        data={
            "run_id": run_id,
            "job": job,
            "as_of": now.isoformat(),
            "look_at": f"run {run_id[:8]} in `portfolio ui`; what was finished before it stays",
        },
    )
