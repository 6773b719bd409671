"""Checks of prices before anything is valued with them: jump bounds, blocked quotes, missing prices."""

from datetime import timedelta
from typing import Final

import dagster as dg
import polars as pl

from portfolio_pipelines.assets.days import days_of
from portfolio_pipelines.checks.reporting import verdict
from portfolio_pipelines.market.tracking import tracked_days
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.market_data import MarketData
from portfolio_pipelines.tables import (
    INVESTMENT_LEGS,
    INVESTMENT_LEGS_SCHEMA,
    PRICES,
    PRICES_SCHEMA,
    SAMPLE_UNITS,
    SUCCESSIONS,
    SUCCESSIONS_SCHEMA,
)

MOST_NAMED: Final = 10
COLUMNS: Final = ["asset_id", "date", "close_usd", "status", "reason", "last_close_usd"]


@dg.asset_check(asset="prices_daily", blocking=True)
def no_unconfirmed_jump_is_served(
    context: dg.AssetCheckExecutionContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Database],
    market: dg.ResourceParam[MarketData],
) -> dg.AssetCheckResult:
    """From one accepted close to the next no price moves by the jump factor, unless a person confirmed it."""
    days = days_of(context)
    frame = lake.read(PRICES, [days[0] - timedelta(days=1), *days], PRICES_SCHEMA, COLUMNS)
    jumps = unconfirmed_jumps(frame, market.policy.jump_factor)
    return verdict(
        context,
        database,
        "prices_daily",
        "no_unconfirmed_jump_is_served",
        jumps.is_empty(),
        {"jumps": jumps.height, "first": _named(jumps)},
    )


@dg.asset_check(asset="prices_daily")
def blocked_prices_are_confirmed(
    context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake], database: dg.ResourceParam[Database]
) -> dg.AssetCheckResult:
    """Quotes that the jump guard holds back wait for `portfolio prices confirm` or `portfolio prices override`."""
    frame = lake.read(PRICES, days_of(context), PRICES_SCHEMA, COLUMNS)
    blocked = frame.filter(pl.col("reason").str.starts_with("jump"))
    return verdict(
        context,
        database,
        "prices_daily",
        "blocked_prices_are_confirmed",
        blocked.is_empty(),
        {"blocked": blocked.height, "first": _named(blocked)},
        dg.AssetCheckSeverity.WARN,
    )


@dg.asset_check(asset="prices_daily")
def every_held_asset_has_a_fresh_price(
    context: dg.AssetCheckExecutionContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Database],
    market: dg.ResourceParam[MarketData],
) -> dg.AssetCheckResult:
    """What is held, or compared with, has a price of its own on every day; otherwise coverage falls."""
    days = days_of(context)
    legs = lake.read_table(INVESTMENT_LEGS, INVESTMENT_LEGS_SCHEMA, ["asset_id", "invested_on"]).with_columns(
        pl.col("asset_id").str.strip_prefix(SAMPLE_UNITS)  # `no_quantity_rests_on_the_sample_market` names those
    )
    wanted = tracked_days(legs, lake.read_table(SUCCESSIONS, SUCCESSIONS_SCHEMA), market.weekday_assets, days)
    fresh = lake.read(PRICES, days, PRICES_SCHEMA, COLUMNS).filter(
        pl.col("status").is_in(["ok", "manual", "disagreement"])
    )
    lacking = wanted.join(fresh, on=["asset_id", "date"], how="anti")
    return verdict(
        context,
        database,
        "prices_daily",
        "every_held_asset_has_a_fresh_price",
        lacking.is_empty(),
        {"wanted": wanted.height, "lacking": lacking.height, "first": _named(lacking)},
        dg.AssetCheckSeverity.WARN,
    )


def unconfirmed_jumps(prices: pl.DataFrame, factor: float) -> pl.DataFrame:
    """Rows whose accepted close is `factor` times the accepted close before it, or its inverse, without an override."""
    accepted = prices.filter(pl.col("close_usd").is_not_null()).sort("asset_id", "date")
    ratio = pl.col("close_usd") / pl.col("close_usd").shift(1).over("asset_id")
    return accepted.with_columns(ratio=ratio).filter(
        ((pl.col("ratio") >= factor) | (pl.col("ratio") <= 1 / factor)) & (pl.col("status") != "manual")
    )


def _named(rows: pl.DataFrame) -> str:
    return ", ".join(f"{asset} on {day}" for asset, day in rows.select("asset_id", "date").head(MOST_NAMED).iter_rows())
