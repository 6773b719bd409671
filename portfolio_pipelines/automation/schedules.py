"""Schedules: chains every hour, the closed day once a day, the running day every hour. All are off until turned on.

The process that evaluates them lives for weeks and a market keeps what it learned of the assets: each tick has its own.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import dagster as dg

from portfolio_pipelines.assets.chain_days import box
from portfolio_pipelines.assets.days import DAILY
from portfolio_pipelines.automation.chain_planning import by_day, due_chain_days
from portfolio_pipelines.automation.jobs import RANGE_END, RANGE_START, daily_job, hourly_job, onchain_job
from portfolio_pipelines.automation.planning import first_outdated_day, make_plan
from portfolio_pipelines.market.benchmarks import CARRIED_OVER
from portfolio_pipelines.resources.chain_connections import ChainConnections
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.market_data import MarketData
from portfolio_pipelines.tables import PORTFOLIO_PERFORMANCE

REFETCHED_DAYS = 2
"""Prices of the last two closed days are asked for again until they are final."""


@dg.schedule(job=onchain_job, cron_schedule="5 * * * *", execution_timezone="UTC")
def chains_hourly(
    context: dg.ScheduleEvaluationContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Database],
    chains: dg.ResourceParam[ChainConnections],
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """The running day of every chain that somebody watches, and each closed day that is missing: one run a day of them.

    Five minutes past the hour a day that has just closed has its last block on every chain.
    """
    now = context.scheduled_execution_time
    due = by_day(due_chain_days(lake, database, chains, now))
    if not due:
        yield dg.SkipReason("nobody watches a wallet on a chain that can be read")
    for day, slugs in due.items():
        first, last = box([day], slugs)
        yield dg.RunRequest(run_key=f"{day} as of {now:%Y-%m-%d %H}", tags={RANGE_START: first, RANGE_END: last})


@dg.schedule(job=daily_job, cron_schedule="20 0 * * *", execution_timezone="UTC")
def closed_day(
    context: dg.ScheduleEvaluationContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Database],
    market: dg.ResourceParam[MarketData],
) -> dg.RunRequest:
    """One run from the first day that is missing, out of date or not final yet, to the day that has just closed.

    A gap is entered some days early: the days before it were not final when it began, and the index needs a close that
    it can carry into a weekend.
    """
    today = context.scheduled_execution_time.date()
    last = today - timedelta(days=1)
    begin = max(DAILY.start.date(), min([*database.held_since()["invested_on"].to_list(), last]))
    days = [begin + timedelta(days=offset) for offset in range((last - begin).days + 1)]
    plan = make_plan(days, lake, database, replace(market))
    gap = [max(day - CARRIED_OVER, DAILY.start.date()) for day in plan.missing[:1]]
    first = min([*gap, *plan.changed[:1], today - timedelta(days=REFETCHED_DAYS)])
    return dg.RunRequest(run_key=f"closed {last}", tags={RANGE_START: first.isoformat(), RANGE_END: last.isoformat()})


@dg.schedule(job=hourly_job, cron_schedule="20 1-23 * * *", execution_timezone="UTC")
def running_day(
    context: dg.ScheduleEvaluationContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Database],
    market: dg.ResourceParam[MarketData],
) -> dg.RunRequest:
    """The day that is still running, every hour; its rows say `is_final = false`. Metrics wait for its close.

    Where an investment or a price of an earlier day came in since, the run begins on that day: today is valued upon it.
    After days without any run it begins on the last day there is, which was not final.
    """
    now = context.scheduled_execution_time
    run_key, today = f"running {now:%Y-%m-%d %H}", now.date()
    yesterday = today - timedelta(days=1)
    begin = [first_outdated_day(yesterday, lake, database, replace(market))]
    newest = max((day for day in lake.days(PORTFOLIO_PERFORMANCE) if day <= yesterday), default=yesterday)
    if newest < yesterday:
        begin.append(newest)
    first = min((day for day in begin if day is not None), default=today)
    if first == today:
        return dg.RunRequest(run_key=run_key, partition_key=today.isoformat())
    return dg.RunRequest(run_key=run_key, tags={RANGE_START: first.isoformat(), RANGE_END: today.isoformat()})
