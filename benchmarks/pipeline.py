"""The whole job through Dagster: a range of days to finished marts, the figures of its closes, one more of each day.

Runs in a process of its own, so that its memory can be told: python -m benchmarks.pipeline HOME USERS DAYS marts
"""

import json
import os
import resource
import sys
import time
from datetime import timedelta
from pathlib import Path

from benchmarks.population import Population, load, quotes_of

SHOWN_FROM = 1.0  # seconds
PUBLISH_STEP = "served__marts"
OF_CLOSES = (
    "metrics_of_portfolios", "diversification_of_portfolios", "counted_returns", "holding_versions", "leaderboards",
)  # fmt: skip
"""Steps that only the job `daily` has: figures over all the past, made of closes."""
OUR_OWN = (
    "raw_quotes", "price_restatements", "prices_daily", "benchmarks_daily", "operational_tables",
    "investment_performance", "portfolio_performance",
)  # fmt: skip
"""Steps from quotes to the worth of every portfolio: our computation and files, and Dagster's events about them."""


def measure(home: Path, users: int, days: int, *, publish: bool) -> dict[str, float]:
    """Seconds of each part, and the peak memory of this process in GB.

    Args:
        home: An empty folder.
        users: Size of the population.
        days: Length of the range.
        publish: Publish to Postgres too. Of 125,000 users and a year that alone is 100 million rows: measure it with a
            short range.
    """
    os.environ |= {"PORTFOLIO_HOME": str(home), "PORTFOLIO_PRICE_PROVIDERS": ""}
    from portfolio_pipelines.automation.instance import open_instance
    from portfolio_pipelines.automation.jobs import RANGE_END, RANGE_START
    from portfolio_pipelines.database.embedded import stop
    from portfolio_pipelines.definitions import build_defs
    from portfolio_pipelines.resources.platform import Platform
    from portfolio_pipelines.settings import Settings

    settings = Settings()
    platform = Platform.of(settings)
    population = Population(users, days)
    figures: dict[str, float] = {}
    started = time.perf_counter()
    load(platform, population)
    figures["load the population (not part of the job)"] = time.perf_counter() - started
    instance = open_instance(settings)
    definitions = build_defs(settings, platform)

    def run(job_name: str, first: str, last: str, label: str) -> None:
        job = definitions.resolve_job_def(job_name)
        start = time.perf_counter()
        result = job.execute_in_process(
            instance=instance,
            run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
            tags={RANGE_START: first, RANGE_END: last},
            asset_selection=None if publish else _without_publication(job),
        )
        total = time.perf_counter() - start
        assert result.success
        steps = {step.step_key: (step.end_time or 0) - (step.start_time or 0)
                 for step in instance.get_run_step_stats(result.run_id)}  # fmt: skip
        figures[f"{label}: prices to marts"] = total - steps.get(PUBLISH_STEP, 0.0)
        of_closes = sum(seconds for step, seconds in steps.items() if step in OF_CLOSES)
        if of_closes:
            figures[f"{label}: of it metrics, correlations and boards, without their marts"] = of_closes
        figures[f"{label}: bookkeeping (all time outside the steps)"] = total - sum(steps.values())
        figures[f"{label}: of it our own code, quotes to portfolios"] = sum(steps.get(step, 0.0) for step in OUR_OWN)
        for step, seconds in sorted(steps.items(), key=lambda item: -item[1]):
            if seconds >= SHOWN_FROM and step != PUBLISH_STEP:
                figures[f"{label}: step {step}"] = seconds
        if publish:
            figures[f"{label}: publication"] = steps[PUBLISH_STEP]

    calendar = population.calendar
    whole = calendar[0].isoformat(), calendar[-1].isoformat()
    run("hourly", *whole, f"{days} days")
    run("daily", *whole, "figures of their closes")
    further = (
        ("daily", "1 closed day"), ("hourly", "1 running day after a close"), ("hourly", "1 running day after another"),
    )  # fmt: skip
    for number, (job_name, label) in enumerate(further, start=1):
        new_day = calendar[-1] + timedelta(days=number)
        platform.ledger.append(quotes_of(population, [new_day], population.closes(number)[-1:]))
        run(job_name, new_day.isoformat(), new_day.isoformat(), label)
    figures["peak memory, GB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    stop(settings.postgres)
    return figures


def _without_publication(job: object) -> list[object]:
    import dagster as dg

    assert isinstance(job, dg.JobDefinition)
    return [key for key in job.asset_layer.executable_asset_keys if key != dg.AssetKey(["served", "marts"])]


if __name__ == "__main__":
    folder, size, length, what = sys.argv[1:]
    print(json.dumps(measure(Path(folder), int(size), int(length), publish=what == "publish")))
