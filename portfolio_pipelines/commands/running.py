"""`portfolio run` and `portfolio backfill`: plan what is due, materialise it as one Dagster run, say what happened."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

import dagster as dg

from portfolio_pipelines.assets.days import EVERY_DAY, WHICH_DAYS_TAG
from portfolio_pipelines.assets.rebalancing import targets_changed
from portfolio_pipelines.automation.chain_planning import chain_tables_changed
from portfolio_pipelines.automation.instance import open_instance, process_tags
from portfolio_pipelines.automation.jobs import DAILY_JOB_NAME, RANGE_END, RANGE_START, SERVE_JOB_NAME
from portfolio_pipelines.automation.planning import Plan, first_sample_day, make_plan
from portfolio_pipelines.checks.performance import missing_days
from portfolio_pipelines.commands.console import OUT, CommandError, today, yesterday
from portfolio_pipelines.commands.progress import RunProgress
from portfolio_pipelines.database.sample_quantities import SampleLegs
from portfolio_pipelines.delivery.alerts.failed_runs import record_failed_run
from portfolio_pipelines.market.benchmarks import CARRIED_OVER
from portfolio_pipelines.resources.platform import Platform
from portfolio_pipelines.resources.validator import SHARED as VALIDATING_PROCESS
from portfolio_pipelines.tables import INVESTMENT_PERFORMANCE
from portfolio_pipelines.wording import counted

MOST_NOTES: Final = 20
SAMPLE_STYLE: Final = "bold yellow"


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a command did."""

    plan: Plan
    run_id: str | None  # None when nothing was due
    is_sample: bool
    rest: SampleLegs  # what rests on the sample market although there are real prices
    missing: Sequence[date]  # days since the first purchase, before the newest valued one, that are not valued


def first_purchase(platform: Platform, users: Sequence[str] = ()) -> date | None:
    """The day of the first investment, of some users or of all; None when there is none.

    Raises:
        CommandError: If a user is unknown.
    """
    first = platform.database.first_purchases()
    unknown = sorted(set(users) - set(first))
    if unknown:
        known = ", ".join(sorted(first)[:10]) or "none"
        msg = f"no investments and no transactions of {', '.join(unknown)}; known users: {known}"
        raise CommandError(msg)
    days = [day for user, day in first.items() if not users or user in users]
    return min(days, default=None)


def bring_up_to_date(
    platform: Platform,
    progress: RunProgress,
    start: date,
    end: date,
    *,
    only_missing: bool = False,
    every_day: bool = False,
) -> RunReport:
    """Materialise what is due in [start, end], both included, then marts and publication; nothing else is touched.

    With `every_day` the whole range is run, and each of its days gets metrics; else month ends and the last day.

    Days that give the index a close to carry over are run along: who starts on a weekend is compared with Friday.

    Raises:
        CommandError: If the days make no sense, or the run fails.
    """
    earliest = platform.settings.first_day
    if start > end or end > today() or start < earliest:
        msg = f"no days from {start} to {end}: choose days from {earliest} to {today()}, the first one first"
        raise CommandError(msg)
    days = _days_to_run(platform, progress, start, end, only_missing=only_missing)
    if not platform.market.is_sample:  # asked after the providers were: their first answer ends the sample market
        platform.database.replace_sample_quantities(platform.market.purchase_closes)
        start_of_sample = first_sample_day(platform.lake)
        if start_of_sample is not None and start_of_sample < start:  # real and made-up prices never stand side by side
            start = start_of_sample
            days = _days_to_run(platform, progress, start, end, only_missing=only_missing)
    plan = make_plan(days, platform.lake, platform.database, platform.market, only_missing=only_missing)
    window = plan.window
    if every_day:
        window = (min(start, window[0]), max(end, window[1])) if window else (start, end)
    if window is not None:
        tags = {RANGE_START: window[0].isoformat(), RANGE_END: window[1].isoformat()}
        tags |= {WHICH_DAYS_TAG: EVERY_DAY} if every_day else {}
        run_id = execute(platform, progress, DAILY_JOB_NAME, tags)
    else:
        return serve(platform, progress, plan)
    return _report(platform, plan, run_id)


def _days_to_run(
    platform: Platform, progress: RunProgress, start: date, end: date, *, only_missing: bool
) -> list[date]:
    """The days of a run; unless files alone are looked for, the providers were asked for their prices."""
    first = start if only_missing else max(platform.settings.first_day, start - CARRIED_OVER)
    days = [first + timedelta(days=offset) for offset in range((end - first).days + 1)]
    if not only_missing:
        platform.market.refresh(days, datetime.now(UTC), progress.notes.append)
    return days


def _report(platform: Platform, plan: Plan, run_id: str | None) -> RunReport:
    """What was done, and what must be said of the figures: how much is invented, which days are not there."""
    is_sample = platform.market.is_sample
    newest = max(platform.lake.days(INVESTMENT_PERFORMANCE), default=None)
    missing = [] if newest is None else missing_days(platform.lake, min(newest, yesterday()))
    rest = SampleLegs(0, 0, []) if is_sample else platform.database.sample_legs()
    return RunReport(plan, run_id, is_sample, rest, missing)


def serve(platform: Platform, progress: RunProgress, plan: Plan | None = None) -> RunReport:
    """Build and publish the marts alone, if anything they are made of changed.

    Raises:
        CommandError: If the run fails.
    """
    run_id = None
    is_changed = chain_tables_changed(platform.lake, platform.database, platform.chains) or targets_changed(
        platform.lake, platform.database
    )
    if is_changed or not platform.warehouse.is_current():
        run_id = execute(platform, progress, SERVE_JOB_NAME, {})
    else:
        platform.served.publish()  # nothing to do, unless the last run was killed between marts and publication
    return _report(platform, plan or Plan([], []), run_id)


def execute(platform: Platform, progress: RunProgress, job_name: str, tags: dict[str, str]) -> str:
    """Run a job in this process; the id of the run.

    Raises:
        CommandError: If it fails; the message names the steps and checks, and why.
    """
    if job_name == DAILY_JOB_NAME:  # its checks need it in some seconds, which the definitions take to load
        VALIDATING_PROCESS.start()
    from portfolio_pipelines.definitions import build_defs

    instance = open_instance(platform.settings)
    steps = len(build_defs(platform.settings, platform).resolve_job_def(job_name).nodes)
    with progress.steps(steps) as logger:
        job = build_defs(platform.settings, platform, {"console": logger}).resolve_job_def(job_name)
        result = job.execute_in_process(
            run_config={"loggers": {"console": {}}},
            instance=instance,
            tags={**tags, **process_tags()},
            raise_on_error=False,
        )
    if not result.success:
        what = _what_failed(result)
        record_failed_run(platform.database.engine, result.run_id, job_name, what)
        raise CommandError(what)
    return str(result.run_id)


def _what_failed(result: dg.ExecuteInProcessResult) -> str:
    lines = [f"run {result.run_id} failed; what was finished before it stays. `portfolio ui` shows the run."]
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            while error is not None and error.cause is not None:
                error = error.cause
            lines.append(f"  {event.step_key}: {error.message.strip() if error else 'failed'}")
    for check in result.get_asset_check_evaluations():
        if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR:
            details = ", ".join(f"{name}={value.value}" for name, value in check.metadata.items() if name != "sql")
            lines.append(f"  check {check.check_name}: {check.description or details}")
    return "\n".join(lines)


def describe(report: RunReport, progress: RunProgress) -> None:
    """Say what was due and what was done."""
    for note in dict.fromkeys(progress.notes[:MOST_NOTES]):
        OUT.print(note, style="dim", markup=False)
    plan = report.plan
    if report.run_id is None:
        OUT.print("Everything is up to date: no file is missing, no input has changed.")
    elif plan.window is None:
        OUT.print("No day was due; the marts were built and published.")
    else:
        first, last = plan.window
        OUT.print(
            f"Ran {first} to {last}: {counted(len(plan.missing), 'day was', 'days were')} missing, "
            f"{len(plan.changed):,} had inputs that may have changed."
        )
    if report.missing:
        first, last = report.missing[0], report.missing[-1]
        count = counted(len(report.missing), "day")
        OUT.print(
            f"{count} since the first purchase are not valued, {first} to {last}: "
            f"`portfolio backfill --from {first} --to {last} --only-missing` values them.",
            style="yellow",
        )
    if report.is_sample:
        OUT.print("The prices are those of the SAMPLE market, not real ones.", style=SAMPLE_STYLE)
    if report.rest.legs:
        OUT.print(f"{sample_rest(report.rest)} {sample_remedy(report.rest)}", style=SAMPLE_STYLE)


def sample_rest(rest: SampleLegs) -> str:
    """What still rests on the sample market beside real prices, in words."""
    return (
        f"{counted(rest.legs, 'coin')} of {counted(rest.users, 'user')} still "
        f"{'rests' if rest.legs == 1 else 'rest'} on the SAMPLE market: how many units were bought is invented, so "
        f"{'it has' if rest.legs == 1 else 'they have'} no value and "
        f"{'lowers' if rest.legs == 1 else 'lower'} the coverage."
    )


def sample_remedy(rest: SampleLegs) -> str:
    """What to do about it."""
    return (
        f"Import real closes of those days ({rest.wanted}) with `portfolio import prices FILE`, or the investments "
        "with their quantities, then `portfolio run`."
    )
