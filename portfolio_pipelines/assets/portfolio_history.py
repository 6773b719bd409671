"""The lake's portfolio values as the history that metrics are computed from. What is computed is in `finance`.

Belongs here: reading days in order, null to NaN, user keys to places.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from portfolio_pipelines.finance.benchmark_comparison import BenchmarkSeries
from portfolio_pipelines.finance.metrics_history import DayOfPortfolios, History, rows_needed
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.tables import (
    BENCHMARKS,
    BENCHMARKS_SCHEMA,
    PORTFOLIO_PERFORMANCE,
    PORTFOLIO_PERFORMANCE_SCHEMA,
    PRICES,
    PRICES_SCHEMA,
)

COLUMNS: Final = [
    "user_key", "value_usd", "stale_usd", "missing_usd", "flow_in_usd", "flow_out_usd", "daily_return", "twr_index",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class PortfolioHistory:
    """Days from the first that was ever valued."""

    first_day: date
    user_key: NDArray[np.int32]  # ascending, in the order of the portfolios
    history: History

    def row(self, day: date) -> int:
        """The row of a day."""
        return (day - self.first_day).days

    def days_of(self, rows: NDArray[np.int32], least: int = -1) -> pl.Series:
        """Rows as days; null below `least`."""
        numbers = pl.Series(rows.astype(np.int32)) + (self.first_day - date(1970, 1, 1)).days
        known = pl.Series(rows >= least)
        return pl.select(pl.when(known).then(numbers.cast(pl.Date))).to_series()


def read_history(lake: Lake, as_of: Sequence[date], windows: Iterable[int]) -> PortfolioHistory:
    """Fold all days up to the last of `as_of` (ascending, at least one).

    Users are those of the days `as_of`; what is known of others (taken back since) is left out.
    """
    there = lake.days(PORTFOLIO_PERFORMANCE)
    first = min((day for day in there if day <= as_of[-1]), default=as_of[-1])
    calendar = [first + timedelta(days=n) for n in range((as_of[-1] - first).days + 1)]
    keys = lake.read(PORTFOLIO_PERFORMANCE, as_of, PORTFOLIO_PERFORMANCE_SCHEMA, ["user_key"])
    users = keys["user_key"].unique().sort().to_numpy()
    rows = rows_needed([(day - first).days for day in as_of], windows)
    history = History(len(users), len(calendar), rows)

    frames = lake.read_each(PORTFOLIO_PERFORMANCE, calendar, PORTFOLIO_PERFORMANCE_SCHEMA, COLUMNS)
    for day, frame in zip(calendar, frames, strict=True):
        if day in there:
            history.add(_day_of(frame, users))
        else:
            history.skip()
    return PortfolioHistory(first, users, history)


def _day_of(frame: pl.DataFrame, users: NDArray[np.int32]) -> DayOfPortfolios:
    keys = frame["user_key"].to_numpy()
    place = np.arange(len(users)) if np.array_equal(keys, users) else np.searchsorted(users, keys)
    known = np.zeros(len(keys), bool)
    inside = place < len(users)
    known[inside] = users[place[inside]] == keys[inside]
    if not known.all():
        frame, place = frame.filter(pl.Series(known)), place[known]

    def floats(name: str) -> NDArray[np.float64]:
        column = frame[name]
        return (column.fill_null(float("nan")) if column.null_count() else column).to_numpy()

    return DayOfPortfolios(
        place=place,
        value_usd=floats("value_usd"),
        stale_usd=floats("stale_usd"),
        missing_usd=floats("missing_usd"),
        inflow_usd=floats("flow_in_usd"),
        outflow_usd=floats("flow_out_usd"),
        daily_return=floats("daily_return"),
        twr_index=floats("twr_index"),
    )


def read_benchmarks(lake: Lake, first_day: date, last_day: date, further: Sequence[str]) -> list[BenchmarkSeries]:
    """Closes of the benchmarks, and of further assets, from the day before `first_day` on."""
    days = [first_day + timedelta(days=n) for n in range(-1, (last_day - first_day).days + 1)]
    closes = lake.read(BENCHMARKS, days, BENCHMARKS_SCHEMA, ["benchmark", "date", "close_usd", "is_trading_day"])
    if further:
        prices = lake.read(PRICES, days, PRICES_SCHEMA, ["asset_id", "date", "close_usd", "status"])
        some = prices.filter(pl.col("asset_id").is_in(list(further)))
        own = pl.col("status").is_in(["ok", "manual", "disagreement"]) & pl.col("close_usd").is_not_null()
        closes = pl.concat(
            [closes, some.select(benchmark="asset_id", date="date", close_usd="close_usd", is_trading_day=own)]
        )
    calendar = pl.DataFrame({"date": days}, schema={"date": pl.Date})
    result = []
    for (name,), rows in sorted(closes.partition_by("benchmark", as_dict=True).items()):
        series = calendar.join(rows, on="date", how="left", maintain_order="left")
        result.append(
            BenchmarkSeries(
                str(name),
                series["close_usd"].fill_null(float("nan")).to_numpy(),
                series["is_trading_day"].fill_null(value=False).to_numpy(),
            )
        )
    return result
