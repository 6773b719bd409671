"""The columns of the core tables of prices and portfolios. Files are named `<layer>/<table>`; the day is the folder.

Tables of what is on chains are in `chain_tables`.

Belongs here: names and types. Where rows come from is in `assets`, what people query is in `dbt_project`.
"""

from collections.abc import Mapping
from typing import Final

import polars as pl

UTC_TIME: Final = pl.Datetime("us", "UTC")


def columns(types: Mapping[str, pl.DataType | type[pl.DataType]]) -> pl.Schema:
    """A schema; written as a call so that types and instances of types may stand beside each other."""
    return pl.Schema(types)


RAW_QUOTES: Final = "raw/quotes"
PRICES: Final = "core/prices_daily"
RESTATEMENTS: Final = "core/price_restatements"
VINTAGES: Final = "core/price_vintages"
BENCHMARKS: Final = "core/benchmarks_daily"
ASSETS: Final = "core/assets"
USERS: Final = "core/users"
INVESTMENT_LEGS: Final = "core/investment_legs"
INVESTMENT_DAYS: Final = "core/investment_days"
SUCCESSIONS: Final = "core/asset_successions"
INVESTMENT_PERFORMANCE: Final = "core/investment_performance"
PORTFOLIO_PERFORMANCE: Final = "core/portfolio_performance"
PARTITION_LOG: Final = "core/partition_log"
CHECK_RESULTS: Final = "core/check_results"

SAMPLE_UNITS: Final = "sample:"
"""Before the asset id of coins whose number rests on an invented close although real prices are there: `sample:` and
`coingecko:bitcoin` is an asset of its own, which nobody prices. Such coins count as a holding without a price does."""

PRICES_SCHEMA: Final = columns(
    {
        "asset_id": pl.String,
        "date": pl.Date,
        "close_usd": pl.Float64,  # null when there is no usable price
        "status": pl.String,  # ok, stale, disagreement, no_source, rate_limited, manual
        "reason": pl.String,  # why the status is not ok; null when ok
        "provider": pl.String,  # who priced the day (of a carried price: who priced it then); null without a price
        "source": pl.String,  # the provider's endpoint or the origin that a price file names
        "n_quotes": pl.Int32,  # providers that quoted this day
        "disagreement": pl.Float64,  # largest quote / smallest quote - 1; null below two quotes
        "is_final": pl.Boolean,
        "known_at": UTC_TIME,  # since when the chosen quote is known
        "last_close_usd": pl.Float64,  # newest accepted close, of whatever age; null before the first
        "last_close_date": pl.Date,  # the day of that close
        "refused_since": pl.Date,  # first day of the quotes refused by the jump guard since then; null when none was
    }
)
"""Sorted by asset_id. One row an asset and day from its first quote on, or since it is held."""

RESTATEMENTS_SCHEMA: Final = columns(
    {
        "asset_id": pl.String,
        "date": pl.Date,
        "known_at": UTC_TIME,  # when the new close became known
        "old_close_usd": pl.Float64,
        "new_close_usd": pl.Float64,
        "old_source": pl.String,
        "new_source": pl.String,
        "cause": pl.String,  # provider_restated, new_quote, manual_override, override_withdrawn, knock_on
        "old_status": pl.String,  # as in prices_daily
        "new_status": pl.String,
        "cause_date": pl.Date,  # the day whose quotes or overrides changed: an earlier one where the cause is knock_on
    }
)

VINTAGES_SCHEMA: Final = columns(
    {
        "asset_id": pl.String,
        "date": pl.Date,
        "known_at": UTC_TIME,  # since when this is handed on; null: since before the close of the next day
        "last_close_usd": pl.Float64,  # newest accepted close as it was known then; null before the first
        "last_close_date": pl.Date,
        "provider": pl.String,
        "source": pl.String,
        "refused_since": pl.Date,  # first day of the quotes refused by the jump guard since then; null when none was
        "cause_date": pl.Date,  # the day whose quotes or overrides changed at that time; null with known_at
    }
)
"""What a day hands on to the next one, of assets where that changed after its close. For price_restatements alone."""

BENCHMARKS_SCHEMA: Final = columns(
    {
        "benchmark": pl.String,  # BTC, ETH, SP500
        "date": pl.Date,
        "asset_id": pl.String,
        "close_usd": pl.Float64,  # last close at the end of the day
        "price_date": pl.Date,  # the day of that close: earlier than date on weekends and holidays
        "is_trading_day": pl.Boolean,
        "status": pl.String,
        "is_final": pl.Boolean,
    }
)

ASSETS_SCHEMA: Final = columns(
    {
        "asset_id": pl.String,
        "symbol": pl.String,
        "name": pl.String,
        "kind": pl.String,  # crypto, index, file
        "calendar": pl.String,  # daily, weekdays
        "coingecko_symbol": pl.String,  # null where the provider does not know the asset
        "defillama_symbol": pl.String,
        "yahoo_symbol": pl.String,
    }
)

USERS_SCHEMA: Final = columns({"user_key": pl.Int32, "user_id": pl.String})

INVESTMENT_LEGS_SCHEMA: Final = columns(
    {
        "user_key": pl.Int32,
        "investment_key": pl.Int32,
        "user_id": pl.String,
        "investment_id": pl.String,
        "invested_on": pl.Date,  # UTC day of the purchase
        "asset_id": pl.String,  # after `sample:` where the quantity is invented and other prices are real
        "amount_usd": pl.Float64,
        "quantity": pl.Float64,
        "quantity_source": pl.String,  # given, derived
        "price_source": pl.String,  # provider whose close a derived quantity rests on; null when given
    }
)
"""Current versions only, sorted by user_key, investment_key, asset_id."""

INVESTMENT_DAYS_SCHEMA: Final = columns({"invested_on": pl.Date, "fingerprint": pl.String})

SUCCESSIONS_SCHEMA: Final = columns(
    {
        "asset_id": pl.String,
        "successor_id": pl.String,
        "effective_on": pl.Date,  # from this day on the holding is the successor
        "ratio": pl.Float64,  # units of the successor for one unit of the asset: LEND to AAVE is 0.01
    }
)

INVESTMENT_PERFORMANCE_SCHEMA: Final = columns(
    {
        "user_key": pl.Int32,
        "investment_key": pl.Int32,
        "date": pl.Date,
        "invested_usd": pl.Float64,
        "value_usd": pl.Float64,  # sum of the priced legs; null when none is priced, never 0
        "stale_usd": pl.Float64,  # part of value_usd that rests on prices that are not fresh
        "missing_usd": pl.Float64,  # last known worth (else cost) of the legs without a usable price
        "unpriced_legs": pl.Int16,
        "is_final": pl.Boolean,
    }
)
"""Sorted by user_key, investment_key; one row an investment and day since its purchase."""

PORTFOLIO_PERFORMANCE_SCHEMA: Final = columns(
    {
        "user_key": pl.Int32,
        "date": pl.Date,
        "invested_usd": pl.Float64,
        "value_usd": pl.Float64,
        "stale_usd": pl.Float64,
        "missing_usd": pl.Float64,
        "unpriced_legs": pl.Int32,
        "flow_in_usd": pl.Float64,
        "flow_out_usd": pl.Float64,
        "daily_return": pl.Float64,
        "twr_index": pl.Float64,  # 1.0 before the first day of the track record; null on incomplete days
        "track_index": pl.Float64,  # where there is no index: that of the last complete day, its worth and date
        "track_value_usd": pl.Float64,
        "track_date": pl.Date,
        "track_inflow_usd": pl.Float64,  # flows since then
        "track_outflow_usd": pl.Float64,
        "is_final": pl.Boolean,
    }
)
"""Sorted by user_key."""

PARTITION_LOG_SCHEMA: Final = columns(
    {
        "table": pl.String,
        "partition": pl.String,
        "run_id": pl.String,
        "code_version": pl.String,
        "input_hash": pl.String,
        "content_hash": pl.String,
        "written_at": UTC_TIME,
    }
)
CHECK_RESULTS_SCHEMA: Final = columns(
    {
        "check_name": pl.String,
        "asset": pl.String,
        "severity": pl.String,  # ERROR, WARN
        "passed": pl.Boolean,
        "run_id": pl.String,
        "checked_at": UTC_TIME,
        "details": pl.String,  # JSON of the counts
    }
)
