"""The valuation alone: ours against one big polars join, one big DuckDB join and a NumPy lower bound."""

import time
from collections.abc import Callable
from datetime import date

import duckdb
import numpy as np
import polars as pl

from benchmarks.population import ASSETS, COINS, Population
from portfolio_pipelines.finance.valuation import DayPrices, Holdings, value_day

TOLERANCE = 1e-9


def compare(population: Population, *, joins: bool) -> list[tuple[str, float, float]]:
    """Seconds of each engine for all investment values of all days, and their ratio to the NumPy bound.

    Args:
        population: Whom to value.
        joins: Also run the two joins; they take minutes and many gigabytes for 125,000 users.

    Raises:
        AssertionError: If two engines disagree on the sum of all values.
    """
    legs, closes, days = population.legs(), population.closes(), population.calendar
    engines: dict[str, Callable[[], float]] = {
        "NumPy lower bound": lambda: _numpy(legs, closes, days, population.asset_ids),
        "portfolio_pipelines": lambda: _ours(legs, closes, days, population.asset_ids),
    }
    if joins:
        long = _long(closes, days, population.asset_ids)
        engines["one DuckDB join"] = lambda: _duckdb(legs, long)
        engines["one polars join"] = lambda: _polars(legs, long)
    measured = []
    totals = []
    for name, engine in engines.items():
        started = time.perf_counter()
        totals.append(engine())
        measured.append((name, time.perf_counter() - started))
    assert np.allclose(totals, totals[0], rtol=TOLERANCE), dict(zip(engines, totals, strict=True))
    bound = measured[0][1]
    return [(name, seconds, seconds / bound) for name, seconds in measured]


def _ours(legs: pl.DataFrame, closes: np.ndarray, days: list[date], asset_ids: list[str]) -> float:
    holdings = Holdings.from_legs(legs)
    column = {name: at for at, name in enumerate(asset_ids)}
    order = np.array([column[name] for name in holdings.asset_ids])
    sure = np.ones(len(order), bool)
    total = 0.0
    for index, day in enumerate(days):
        close = closes[index, order]
        total += value_day(holdings, DayPrices(close, close, sure, sure), day).value_usd.sum()
    return total


def _numpy(legs: pl.DataFrame, closes: np.ndarray, days: list[date], asset_ids: list[str]) -> float:
    """The least any array code can do: gather, multiply, add up, mask; no coverage, no missing price."""
    column = legs["asset_id"].replace_strict({name: at for at, name in enumerate(asset_ids)}).to_numpy()
    quantity = legs["quantity"].to_numpy()
    invested = legs["invested_on"].cast(pl.Int32).to_numpy()[::COINS]
    total = 0.0
    for index, day in enumerate(days):
        value = (quantity * closes[index][column]).reshape(-1, COINS).sum(axis=1)
        total += value[invested <= (day - date(1970, 1, 1)).days].sum()
    return total


def _long(closes: np.ndarray, days: list[date], asset_ids: list[str]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "date": np.repeat(np.array(days, dtype="datetime64[D]"), ASSETS),
            "asset_id": asset_ids * len(days),
            "close_usd": closes.ravel(),
        }
    )


def _duckdb(legs: pl.DataFrame, prices: pl.DataFrame) -> float:  # noqa: ARG001 (DuckDB reads both by name)
    connection = duckdb.connect()
    row = connection.execute("""
        select sum(value_usd) from (
            select user_key, investment_key, date, sum(quantity * close_usd) as value_usd
            from legs join prices using (asset_id) where date >= invested_on group by all)
    """).fetchone()
    connection.close()
    return float(row[0]) if row else 0.0


def _polars(legs: pl.DataFrame, prices: pl.DataFrame) -> float:
    values = (
        legs.lazy()
        .join(prices.lazy(), on="asset_id")
        .filter(pl.col("date") >= pl.col("invested_on"))
        .group_by("user_key", "investment_key", "date")
        .agg(value_usd=(pl.col("quantity") * pl.col("close_usd")).sum())
        .select(pl.col("value_usd").sum())
    )
    return float(values.collect(engine="streaming").item())
