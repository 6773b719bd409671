"""Metrics and comparisons of one closed day, from the lake's files to written tables: seconds and peak memory.

python -m benchmarks.metrics_step FOLDER USERS prepare    a year of portfolio values and benchmarks, in a new lake
python -m benchmarks.metrics_step FOLDER USERS measure    what the asset does with them, Dagster and its records apart

Two processes, so that the memory which makes the files is not counted. `benchmarks.metrics` runs both.
"""

import json
import resource
import sys
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from portfolio_pipelines.assets.metrics import figures_of_day
from portfolio_pipelines.assets.portfolio_history import read_benchmarks, read_history
from portfolio_pipelines.finance.metrics_conventions import WINDOWS
from portfolio_pipelines.metric_tables import BENCHMARK_COMPARISON, PORTFOLIO_METRICS
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.tables import (
    BENCHMARKS,
    BENCHMARKS_SCHEMA,
    PORTFOLIO_PERFORMANCE,
    PORTFOLIO_PERFORMANCE_SCHEMA,
)

DAYS = 365
LAST = date(2025, 12, 31)
LATE_STARTERS = 0.1
"""Share of the users who begin on the way: their rows must be masked, which costs the kernel time."""
SATURDAY = 5


def peak_gigabytes() -> float:
    """Most memory that this process ever held; of one that was just started, not what its parent held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def days_of_values(users: int) -> Iterator[tuple[date, pl.DataFrame]]:
    """A year of portfolio values; columns that the step does not read are null."""
    random = np.random.default_rng(7)
    begins = np.where(random.random(users) < LATE_STARTERS, random.integers(1, DAYS, users), 0)
    keys = np.arange(users, dtype=np.int32)
    value, index = np.zeros(users), np.ones(users)
    for row in range(DAYS):
        daily = np.clip(random.standard_t(4, users) * 0.02 + 0.0005, -0.8, 2)
        inflow = np.where(begins == row, 1_000.0, np.where((keys % DAYS == row) & (begins < row), 100.0, 0.0))
        there = begins <= row
        value = np.where(there, (value + inflow) * (1 + daily), 0.0)
        index = np.where(there, index * (1 + daily), 1.0)
        known = pl.DataFrame(
            {
                "user_key": keys,
                "value_usd": value,
                "stale_usd": np.zeros(users),
                "missing_usd": np.zeros(users),
                "flow_in_usd": inflow,
                "flow_out_usd": np.zeros(users),
                "daily_return": daily,
                "twr_index": index,
            }
        ).filter(pl.Series(there))
        names = [name for name in PORTFOLIO_PERFORMANCE_SCHEMA if name != "date"]
        nothing = [pl.lit(None).alias(name) for name in names if name not in known.columns]
        frame = known.with_columns(nothing).select(names)
        yield LAST - timedelta(days=DAYS - 1 - row), frame.cast({n: PORTFOLIO_PERFORMANCE_SCHEMA[n] for n in names})


def benchmarks_of_day(day: date, closes: np.ndarray) -> pl.DataFrame:
    """BTC and ETH of every day, the S&P 500 of weekdays."""
    traded = [True, True, day.weekday() < SATURDAY]
    names = [name for name in BENCHMARKS_SCHEMA if name != "date"]
    frame = pl.DataFrame({"benchmark": ["BTC", "ETH", "SP500"], "close_usd": closes, "is_trading_day": traded})
    nothing = [pl.lit(None).alias(name) for name in names if name not in frame.columns]
    return frame.with_columns(nothing).select(names).cast({name: BENCHMARKS_SCHEMA[name] for name in names})


def prepare(folder: Path, users: int) -> dict[str, float]:
    """Write what the step reads; the gigabytes of the values."""
    lake = Lake(folder)
    for day, frame in days_of_values(users):
        lake.replace(PORTFOLIO_PERFORMANCE, day, frame)
    random, closes = np.random.default_rng(8), np.array([40_000.0, 3_000.0, 5_000.0])
    for number in range(DAYS + 1):
        day = LAST - timedelta(days=DAYS - number)
        moved = closes * (1 + random.normal(0.0005, [0.03, 0.04, 0.01]))
        closes = moved if day.weekday() < SATURDAY else np.array([*moved[:2], closes[2]])
        lake.replace(BENCHMARKS, day, benchmarks_of_day(day, closes))
    size = sum(lake.path(PORTFOLIO_PERFORMANCE, day).stat().st_size for day in lake.days(PORTFOLIO_PERFORMANCE))
    return {"files of the values, GB": size / 1e9}


def measure(folder: Path, users: int) -> dict[str, float]:
    """Seconds of each part, and the peak memory in GB."""
    lake = Lake(folder)
    figures = {"memory before the step, GB": peak_gigabytes()}
    began, processor = time.perf_counter(), time.process_time()
    past = read_history(lake, [LAST], WINDOWS)
    series = read_benchmarks(lake, past.first_day, LAST, ())
    read = time.perf_counter()
    metrics, comparisons = figures_of_day(past, series, LAST, 0.0)
    computed = time.perf_counter()
    lake.replace(PORTFOLIO_METRICS, LAST, metrics)
    lake.replace(BENCHMARK_COMPARISON, LAST, comparisons)
    written = time.perf_counter()
    assert metrics.height == users * len(WINDOWS)
    assert comparisons.height > users * len(series)
    return figures | {
        "step: reading a year of files, s": read - began,
        f"step: metrics and {len(series)} comparisons over {len(WINDOWS)} windows, s": computed - read,
        "step: writing both tables, s": written - computed,
        "step from files to tables, s": written - began,
        "the same, processor s": time.process_time() - processor,
        "peak memory of the step, GB": peak_gigabytes(),
    }


if __name__ == "__main__":
    work = prepare if sys.argv[3] == "prepare" else measure
    print(json.dumps(work(Path(sys.argv[1]), int(sys.argv[2]))))
