"""Schedules: the closed day once a day, the running day every hour. Both are off until somebody turns them on."""

from datetime import timedelta

import dagster as dg

from portfolio_pipelines.automation.jobs import RANGE_END, RANGE_START, daily_job
from portfolio_pipelines.checks.performance import missing_days
from portfolio_pipelines.resources.lake import Lake

REFETCHED_DAYS = 2
"""Prices of the last two closed days are asked for again until they are final."""


@dg.schedule(job=daily_job, cron_schedule="20 0 * * *", execution_timezone="UTC")
def closed_day(context: dg.ScheduleEvaluationContext, lake: dg.ResourceParam[Lake]) -> dg.RunRequest:
    """One run from the first day that is missing, or not final yet, to the day that has just closed."""
    today = context.scheduled_execution_time.date()
    last = today - timedelta(days=1)
    first = min([*missing_days(lake, last), today - timedelta(days=REFETCHED_DAYS)])
    return dg.RunRequest(run_key=f"closed {last}", tags={RANGE_START: first.isoformat(), RANGE_END: last.isoformat()})


@dg.schedule(job=daily_job, cron_schedule="5 1-23 * * *", execution_timezone="UTC")
def running_day(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """The day that is still running, every hour; its rows say `is_final = false`."""
    now = context.scheduled_execution_time
    return dg.RunRequest(run_key=f"running {now:%Y-%m-%d %H}", partition_key=now.date().isoformat())
