"""Sensors that look: alerts after a publication, data that grows old, runs that fail. Off until turned on.

Belongs here: when something is looked at. They act inside their tick, because one takes less than starting a run; what
was seen so far is in the database, in the transaction that told of it, so that a rewound cursor tells nothing twice.
"""

from datetime import UTC, datetime
from typing import Final

import dagster as dg

from portfolio_pipelines.delivery.alerts.evaluation import Outcome, evaluate
from portfolio_pipelines.delivery.alerts.failed_runs import record_failed_run
from portfolio_pipelines.delivery.alerts.metrics import METRICS
from portfolio_pipelines.resources.database import Database

ON_PUBLICATION: Final = tuple(metric for metric in METRICS.values() if not metric.follows_clock)
ON_THE_CLOCK: Final = tuple(metric for metric in METRICS.values() if metric.follows_clock)


@dg.sensor(minimum_interval_seconds=30)
def alerts(context: dg.SensorEvaluationContext, database: dg.ResourceParam[Database]) -> dg.SensorResult:
    """Evaluate the alert rules of everybody whose data was published since, or that are new."""
    outcomes = evaluate(database.engine, metrics=ON_PUBLICATION)
    return _result(context, outcomes, "nothing was published and no rule is new")


@dg.sensor(minimum_interval_seconds=300)
def freshness(context: dg.SensorEvaluationContext, database: dg.ResourceParam[Database]) -> dg.SensorResult:
    """Evaluate the rules on how old the data is and on failed runs: they change while nothing happens."""
    return _result(context, evaluate(database.engine, metrics=ON_THE_CLOCK), "there is no rule on the age of data")


@dg.run_failure_sensor(minimum_interval_seconds=30)
def run_failures(context: dg.RunFailureSensorContext, database: dg.ResourceParam[Database]) -> dg.SkipReason:
    """Tell the operators of each run that failed, once."""
    run = context.dagster_run
    is_new = record_failed_run(database.engine, run.run_id, run.job_name, why_of(context))
    return dg.SkipReason(f"run {run.run_id} {'was told' if is_new else 'was known'}")


def why_of(context: dg.RunFailureSensorContext) -> str:
    """The message of a failed run, and below it which step failed of what."""
    lines = [context.failure_event.message or ""]
    for event in context.get_step_failure_events():
        error = event.step_failure_data.error
        while error is not None and error.cause is not None:
            error = error.cause
        lines.append(f"{event.step_key}: {error.message.strip() if error else 'failed'}")
    return "\n".join(line for line in lines if line)


def _result(context: dg.SensorEvaluationContext, outcomes: list[Outcome], nothing: str) -> dg.SensorResult:
    """What was done, as the page of the sensor shows it; the cursor says when something was evaluated last."""
    if not outcomes:
        return dg.SensorResult(skip_reason=nothing, cursor=context.cursor)
    names = ", ".join(f"{each.metric}: {each.events} changes, {each.told} told" for each in outcomes)
    return dg.SensorResult(skip_reason=f"evaluated {names}", cursor=datetime.now(UTC).isoformat(timespec="seconds"))
