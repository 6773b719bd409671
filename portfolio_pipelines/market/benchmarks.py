"""Daily closes of the benchmarks: Bitcoin, Ethereum and the S&P 500, each with the day its close is from."""

from collections.abc import Sequence
from datetime import date, timedelta

import polars as pl

from portfolio_pipelines.market.tracking import BENCHMARKS

CARRIED_OVER = timedelta(days=4)
"""Prices this far back are read: over a long weekend the S&P 500 keeps the close of Friday."""


def benchmark_closes(prices: pl.DataFrame, weekday_assets: frozenset[str], days: Sequence[date]) -> pl.DataFrame:
    """One row a benchmark and day.

    The S&P 500 has no close on weekends: its row carries the last one, says of which day it is, and is not stale for
    that. Comparisons must use its trading days (`is_trading_day`) alone.

    Args:
        prices: Rows of PRICES_SCHEMA from CARRIED_OVER before the first day on.
        weekday_assets: Assets without a close on Saturdays and Sundays.
        days: Consecutive days.

    Returns:
        Columns of BENCHMARKS_SCHEMA, sorted by date and benchmark. A benchmark without any price has no row.
    """
    calendar = pl.DataFrame({"date": days}, schema={"date": pl.Date})
    parts = []
    for name, asset_id in sorted(BENCHMARKS.items()):
        known = prices.filter((pl.col("asset_id") == asset_id) & pl.col("last_close_usd").is_not_null()).sort("date")
        rows = calendar.join_asof(
            known.with_columns(decided_on="date"), on="date", strategy="backward", tolerance=CARRIED_OVER
        ).filter(pl.col("decided_on").is_not_null())
        if asset_id not in weekday_assets:
            rows = rows.filter(pl.col("decided_on") == pl.col("date"))
        parts.append(
            rows.select(
                benchmark=pl.lit(name),
                date="date",
                asset_id="asset_id",
                close_usd="last_close_usd",
                price_date="last_close_date",
                is_trading_day=pl.col("last_close_date") == pl.col("date"),
                status="status",
                is_final="is_final",
            )
        )
    return pl.concat(parts).sort("date", "benchmark")
