"""Scheduled exports in Dagster: a sensor that sees what is due, and a job that makes one export of it.

Belongs here: turning what is due into runs. What is due, and making it, is `delivery.exports.scheduled`.
"""

from datetime import UTC, datetime
from typing import Final

import dagster as dg

from portfolio_pipelines.delivery.exports.retention import remove_old_files
from portfolio_pipelines.delivery.exports.scheduled import DueExport, ExportDesk, due_exports, make_due
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.figure_rules import FigureRules
from portfolio_pipelines.resources.warehouse import Warehouse

EXPORT_JOB_NAME: Final = "scheduled_export"
RUNS_OF_A_TICK: Final = 50
"""A run is a process that starts in seconds; the others wait for the next tick."""


class DueSchedule(dg.Config):
    """Which scheduled export a run makes."""

    schedule_id: int


@dg.op(description="Makes what is due of one scheduled export, and hands it to the outbox.")
def make_scheduled_export(
    context: dg.OpExecutionContext,
    config: DueSchedule,
    database: dg.ResourceParam[Database],
    warehouse: dg.ResourceParam[Warehouse],
    figure_rules: dg.ResourceParam[FigureRules],
) -> None:
    """Make what is due of a schedule; that nothing is due any more is no fault."""
    desk, now = _desk(database, warehouse, figure_rules), datetime.now(UTC)
    made = make_due(desk, config.schedule_id, now)
    if made is None:
        context.log.info(f"nothing of scheduled export {config.schedule_id} is due, or another run is at it")
    else:
        context.log.info(f"{made.schedule.name} of {made.schedule.user_id}: {made.status} {made.error or ''}")
    remove_old_files(desk.engine, desk.folder, now, database.settings.export_days)


@dg.job(name=EXPORT_JOB_NAME, description="One scheduled export: its files, its message, what became of it.")
def scheduled_export_job() -> None:
    """One op."""
    make_scheduled_export()


@dg.sensor(name="scheduled_exports", job=scheduled_export_job, minimum_interval_seconds=30)
def scheduled_exports(
    context: dg.SensorEvaluationContext,
    database: dg.ResourceParam[Database],
    warehouse: dg.ResourceParam[Warehouse],
    figure_rules: dg.ResourceParam[FigureRules],
) -> dg.SensorResult:
    """One run for each scheduled export that is due and has its days. What was served is known to the database."""
    now = datetime.now(UTC)
    due = due_exports(_desk(database, warehouse, figure_rules), now, RUNS_OF_A_TICK)
    context.log.debug(f"{len(due)} scheduled exports are due")
    if not due:
        return dg.SensorResult(skip_reason="no scheduled export is due", cursor=f"{now:%Y-%m-%dT%H:%M:%SZ}")
    return dg.SensorResult([request_of(export, now) for export in due], cursor=f"{now:%Y-%m-%dT%H:%M:%SZ}")


def request_of(export: DueExport, now: datetime) -> dg.RunRequest:
    """The run of a due export; asked for once for each attempt, and once more an hour if the run never began.

    Dagster starts a run once for a run key, for ever: a run that was killed before it wrote anything down needs
    another one.
    """
    hours = int((now - export.due.scheduled_for).total_seconds() // 3600)
    schedule, at = export.schedule, export.due.scheduled_for
    return dg.RunRequest(
        run_key=f"export {schedule.schedule_id} due {at:%Y-%m-%dT%H:%M:%SZ} attempt {export.attempts + 1} hour {hours}",
        run_config=dg.RunConfig({"make_scheduled_export": DueSchedule(schedule_id=schedule.schedule_id)}),
        tags={"portfolio/schedule": str(schedule.schedule_id)},
    )


def _desk(database: Database, warehouse: Warehouse, figure_rules: FigureRules) -> ExportDesk:
    return ExportDesk(database.engine, warehouse, database.settings.exports, figure_rules)
