"""Checks of the valuations before they become marts: nothing lost, sums exact, how much rests on fresh prices."""

import math
from datetime import date, timedelta
from typing import Final

import dagster as dg
import numpy as np
import polars as pl

from portfolio_pipelines.assets.days import days_of
from portfolio_pipelines.checks.reporting import Details, verdict
from portfolio_pipelines.finance.valuation import EPOCH
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.tables import (
    ASSETS,
    ASSETS_SCHEMA,
    INVESTMENT_LEGS,
    INVESTMENT_LEGS_SCHEMA,
    INVESTMENT_PERFORMANCE,
    INVESTMENT_PERFORMANCE_SCHEMA,
    PORTFOLIO_PERFORMANCE,
    PORTFOLIO_PERFORMANCE_SCHEMA,
    SAMPLE_UNITS,
)

CENT: Final = 0.01
LEAST_COVERAGE: Final = 0.95
MOST_NAMED: Final = 10


@dg.asset_check(asset="investment_legs", blocking=True)
def no_leg_is_an_orphan(
    context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake], database: dg.ResourceParam[Database]
) -> dg.AssetCheckResult:
    """Every leg names an asset of the asset map and holds a positive quantity."""
    legs = lake.read_table(
        INVESTMENT_LEGS, INVESTMENT_LEGS_SCHEMA, ["investment_key", "asset_id", "quantity", "amount_usd"]
    )
    legs = legs.with_columns(pl.col("asset_id").str.strip_prefix(SAMPLE_UNITS))
    orphans = legs.join(lake.read_table(ASSETS, ASSETS_SCHEMA, ["asset_id"]), on="asset_id", how="anti")
    empty = legs.filter((pl.col("quantity") <= 0) | (pl.col("amount_usd") <= 0) | pl.col("quantity").is_null())
    details: Details = {
        "legs": legs.height,
        "orphans": orphans.height,
        "not_positive": empty.height,
        "first": ", ".join(orphans["asset_id"].unique().sort().head(MOST_NAMED)),
    }
    passed = orphans.is_empty() and empty.is_empty()
    return verdict(context, database, "investment_legs", "no_leg_is_an_orphan", passed, details)


@dg.asset_check(asset="investment_legs")
def no_quantity_rests_on_the_sample_market(
    context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake], database: dg.ResourceParam[Database]
) -> dg.AssetCheckResult:
    """No quantity was derived from an invented close: beside real prices such a leg has no value."""
    columns = ["user_id", "investment_id", "asset_id", "invested_on", "price_source"]
    legs = lake.read_table(INVESTMENT_LEGS, INVESTMENT_LEGS_SCHEMA, columns)
    invented = legs.filter(pl.col("price_source") == "sample")
    named = [
        f"{asset.removeprefix(SAMPLE_UNITS)} of {user} ({investment}, {day})"
        for user, investment, asset, day in invented.select(columns[:4]).head(MOST_NAMED).iter_rows()
    ]
    details: Details = {
        "legs": legs.height,
        "invented": invented.height,
        "users": invented["user_id"].n_unique(),
        "first": "; ".join(named),
        "what_to_do": "portfolio import prices FILE with the closes of those days, or import the investments again "
        "with quantities; then portfolio run" if invented.height else "",
    }  # fmt: skip
    return verdict(
        context,
        database,
        "investment_legs",
        "no_quantity_rests_on_the_sample_market",
        invented.is_empty(),
        details,
        dg.AssetCheckSeverity.WARN,
    )


@dg.asset_check(asset="investment_performance", blocking=True)
def no_investment_is_lost(
    context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake], database: dg.ResourceParam[Database]
) -> dg.AssetCheckResult:
    """Each day of the run has one row for every investment made until then, priced or not."""
    bought = np.sort(_investments_by_day(lake)["invested_on"].cast(pl.Int32).to_numpy())
    wrong, days = [], days_of(context)
    columns = ["user_key", "investment_key"]
    rows = lake.read_each(INVESTMENT_PERFORMANCE, days, INVESTMENT_PERFORMANCE_SCHEMA, columns)
    for day, keys in zip(days, rows, strict=True):
        expected = int(np.searchsorted(bought, (day - EPOCH).days, side="right"))
        if keys.height != expected or not rises(keys):
            wrong.append(f"{day}: {keys.height} rows for {expected} investments")
    details: Details = {"days": len(days), "wrong_days": len(wrong), "first": "; ".join(wrong[:MOST_NAMED])}
    return verdict(context, database, "investment_performance", "no_investment_is_lost", not wrong, details)


@dg.asset_check(asset="investment_performance")
def no_day_is_missing_since_purchase(
    context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake], database: dg.ResourceParam[Database]
) -> dg.AssetCheckResult:
    """Every day from the first purchase to the end of the run is valued; `portfolio backfill` fills the others."""
    missing = missing_days(lake, days_of(context)[-1])
    details: Details = {
        "missing_days": len(missing),
        "first": ", ".join(str(day) for day in missing[:MOST_NAMED]),
        "what_to_do": f"portfolio backfill --from {missing[0]} --to {missing[-1]} --only-missing" if missing else "",
    }
    return verdict(
        context,
        database,
        "investment_performance",
        "no_day_is_missing_since_purchase",
        not missing,
        details,
        dg.AssetCheckSeverity.WARN,
    )


@dg.asset_check(asset="portfolio_performance", blocking=True)
def portfolios_are_the_sum_of_their_investments(
    context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake], database: dg.ResourceParam[Database]
) -> dg.AssetCheckResult:
    """Value and money invested of each portfolio equal the sum over its investments to the cent, on every day."""
    off, compared, worst = [], 0, 0.0
    days, columns = days_of(context), ["user_key", "invested_usd", "value_usd"]
    both = zip(
        days,
        lake.read_each(INVESTMENT_PERFORMANCE, days, INVESTMENT_PERFORMANCE_SCHEMA, columns),
        lake.read_each(PORTFOLIO_PERFORMANCE, days, PORTFOLIO_PERFORMANCE_SCHEMA, columns),
        strict=True,
    )
    for day, parts, wholes in both:
        difference = largest_difference(parts, wholes)
        compared += wholes.height
        if not math.isfinite(difference):
            off.append(f"{day}: not the users of the investments, or values that are no numbers")
            continue
        worst = max(worst, difference)
        if difference >= CENT:
            off.append(f"{day}: {difference:.2f} USD")
    details: Details = {"portfolios": compared, "largest_difference_usd": worst, "first": "; ".join(off[:MOST_NAMED])}
    return verdict(
        context, database, "portfolio_performance", "portfolios_are_the_sum_of_their_investments", not off, details
    )


@dg.asset_check(asset="portfolio_performance")
def portfolios_rest_on_fresh_prices(
    context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake], database: dg.ResourceParam[Database]
) -> dg.AssetCheckResult:
    """On the last day of the run at least 95 % of all value rests on fresh prices of that day."""
    day = days_of(context)[-1]
    columns = ["value_usd", "stale_usd", "missing_usd"]
    rows = lake.read(PORTFOLIO_PERFORMANCE, [day], PORTFOLIO_PERFORMANCE_SCHEMA, columns).fill_null(0.0)
    value, stale, missing = (float(rows[name].sum()) for name in columns)
    expected = value + missing
    coverage = (value - stale) / expected if expected > 0 else 1.0
    fresh = pl.col("value_usd") - pl.col("stale_usd")
    low = rows.filter(fresh < LEAST_COVERAGE * (pl.col("value_usd") + pl.col("missing_usd"))).height
    details: Details = {
        "day": str(day),
        "coverage": coverage,
        "portfolios": rows.height,
        "portfolios_below_95_percent": low,
    }
    return verdict(
        context,
        database,
        "portfolio_performance",
        "portfolios_rest_on_fresh_prices",
        coverage >= LEAST_COVERAGE,
        details,
        dg.AssetCheckSeverity.WARN,
    )


def rises(keys: pl.DataFrame) -> bool:
    """Whether user_key and investment_key rise from row to row: sorted, and nothing twice."""
    combined = (keys["user_key"].cast(pl.Int64).to_numpy() << 32) + keys["investment_key"].to_numpy()
    return bool((np.diff(combined) > 0).all())


def largest_difference(parts: pl.DataFrame, wholes: pl.DataFrame) -> float:
    """Largest absolute difference in USD between sums of `parts` by user_key and `wholes`; infinite if users differ."""
    users = wholes["user_key"].to_numpy()
    owner = parts["user_key"].to_numpy()
    owners = owner[np.flatnonzero(np.diff(owner, prepend=-1))] if (np.diff(owner) >= 0).all() else np.unique(owner)
    if not np.array_equal(owners, users):
        return float("inf")
    worst = 0.0
    for column in ("invested_usd", "value_usd"):
        sums = np.bincount(owner, weights=parts[column].fill_null(0.0).to_numpy())[users] if len(users) else users
        differences = np.abs(sums - wholes[column].fill_null(0.0).to_numpy())
        worst = float(np.max(differences, initial=worst))  # NaN stays NaN
    return worst


def missing_days(lake: Lake, until: date) -> list[date]:
    """Days from the first purchase up to and including `until` that have no valuation."""
    first = _investments_by_day(lake)["invested_on"].min()
    if not isinstance(first, date):
        return []
    there = lake.days(INVESTMENT_PERFORMANCE)
    return [day for offset in range((until - first).days + 1) if (day := first + timedelta(days=offset)) not in there]


def _investments_by_day(lake: Lake) -> pl.DataFrame:
    legs = lake.read_table(INVESTMENT_LEGS, INVESTMENT_LEGS_SCHEMA, ["investment_key", "invested_on"])
    return legs.unique()
