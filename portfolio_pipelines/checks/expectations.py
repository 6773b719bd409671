"""Great Expectations suites over core tables, each expectation a check of its own. Declarations, no arithmetic."""

from collections.abc import Iterator
from typing import Final

import dagster as dg
import polars as pl

from portfolio_pipelines.assets.days import days_of
from portfolio_pipelines.checks.reporting import verdict
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.expectations import Suite
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.validator import Validator
from portfolio_pipelines.tables import (
    PORTFOLIO_PERFORMANCE,
    PORTFOLIO_PERFORMANCE_SCHEMA,
    PRICES,
    PRICES_SCHEMA,
)

PRICE_SUITE: Final[Suite] = {
    "price_is_positive": (
        "expect_column_values_to_be_between",
        {"column": "close_usd", "min_value": 0, "strict_min": True},
    ),
    "status_is_known": (
        "expect_column_values_to_be_in_set",
        {
            "column": "status",
            "value_set": ["ok", "stale", "disagreement", "no_source", "rate_limited", "manual"],
        },
    ),
    "one_price_an_asset_and_day": (
        "expect_compound_columns_to_be_unique",
        {"column_list": ["asset_id", "date"]},
    ),
    "asset_is_named": ("expect_column_values_to_not_be_null", {"column": "asset_id"}),
    "provider_is_named": ("expect_column_values_to_not_be_null", {"column": "provider"}),
}

PORTFOLIO_SUITE: Final[Suite] = {
    "one_row_a_portfolio": ("expect_column_values_to_be_unique", {"column": "user_key"}),
    "something_is_invested": (
        "expect_column_values_to_be_between",
        {"column": "invested_usd", "min_value": 0, "strict_min": True},
    ),
    "value_is_positive": (
        "expect_column_values_to_be_between",
        {"column": "value_usd", "min_value": 0, "strict_min": True},
    ),
    "stale_part_is_part_of_the_value": (
        "expect_column_pair_values_a_to_be_greater_than_b",
        {
            "column_A": "value_usd",
            "column_B": "stale_usd",
            "or_equal": True,
            "ignore_row_if": "either_value_is_missing",
        },
    ),
    "index_is_positive": (
        "expect_column_values_to_be_between",
        {"column": "twr_index", "min_value": 0},
    ),
}

MEANING: Final = {
    "price_is_positive": "A close is above zero; a missing one is null.",
    "status_is_known": "A status is one of those that the page about prices explains.",
    "one_price_an_asset_and_day": "No asset has two prices on a day.",
    "asset_is_named": "Every price is one of an asset.",
    "provider_is_named": "Every price names who gave it.",
    "one_row_a_portfolio": "No portfolio has two rows on a day.",
    "something_is_invested": "What was put into a portfolio is above zero.",
    "value_is_positive": "A portfolio is worth more than nothing; where no part has a price its worth is null.",
    "stale_part_is_part_of_the_value": "What rests on prices that are not fresh is at most the value.",
    "index_is_positive": "The time-weighted index is not negative.",
}
"""What Dagster's page says of each expectation."""


def with_provider(prices: pl.DataFrame) -> pl.DataFrame:
    """Prices whose provider may only be null where a price is there: without one nobody is to be named."""
    nobody = pl.when(pl.col("close_usd").is_null()).then(pl.lit("nobody"))
    return prices.with_columns(provider=pl.coalesce("provider", nobody))


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(name, asset="prices_daily", blocking=True, description=MEANING[name]) for name in PRICE_SUITE
    ],
    name="prices_daily_expectations",
)
def prices_daily_expectations(
    context: dg.AssetCheckExecutionContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Database],
    validator: dg.ResourceParam[Validator],
) -> Iterator[dg.AssetCheckResult]:
    """Prices are positive, unique, of a known status, and name who gave them."""
    frame = lake.read(PRICES, days_of(context), PRICES_SCHEMA, ["asset_id", "date", "close_usd", "status", "provider"])
    for name, passed, counts in validator.validate(with_provider(frame), PRICE_SUITE):
        yield verdict(context, database, "prices_daily", name, passed, counts)


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(name, asset="portfolio_performance", blocking=True, description=MEANING[name])
        for name in PORTFOLIO_SUITE
    ],
    name="portfolio_performance_expectations",
)
def portfolio_performance_expectations(
    context: dg.AssetCheckExecutionContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Database],
    validator: dg.ResourceParam[Validator],
) -> Iterator[dg.AssetCheckResult]:
    """Portfolios of the newest day of the run: one row each, values possible; a missing value is null and passes."""
    columns = ["user_key", "invested_usd", "value_usd", "stale_usd", "twr_index"]
    frame = lake.read(PORTFOLIO_PERFORMANCE, days_of(context)[-1:], PORTFOLIO_PERFORMANCE_SCHEMA, columns)
    for name, passed, counts in validator.validate(frame, PORTFOLIO_SUITE):
        yield verdict(context, database, "portfolio_performance", name, passed, counts)
