"""The columns of the core tables behind the leaderboard.

Belongs here: names and types. What counts and who is ranked is said in `finance.counted_holdings` and
`finance.leaderboard`; files are those of `tables`.
"""

from typing import Final

import polars as pl

from portfolio_pipelines.tables import columns

HOLDING_VERSIONS: Final = "core/holding_versions"
HOLDING_CHANGES: Final = "core/holding_changes"
COUNTED_RETURNS: Final = "core/counted_returns"
LEADERBOARD: Final = "core/leaderboard"
LEADERBOARD_RANKS: Final = "core/leaderboard_ranks"

HOLDING_VERSIONS_SCHEMA: Final = columns(
    {
        "user_key": pl.Int32,
        "investment_key": pl.Int32,
        "asset_id": pl.String,  # after `sample:` where the quantity is invented and other prices are real
        "version": pl.Int32,
        "quantity": pl.Float64,
        "invested_on": pl.Date,  # UTC day of the purchase
        "known_from": pl.Date,  # UTC day on which this version was entered
        "known_to": pl.Date,  # UTC day on which another one replaced it; null while it holds
    }
)
"""Sorted by user_key, investment_key, asset_id, version."""

HOLDING_CHANGES_SCHEMA: Final = columns({"date": pl.Date, "fingerprint": pl.String})
"""What changes on each day in what is known; one row a day on which something does."""

COUNTED_RETURNS_SCHEMA: Final = columns(
    {
        "user_key": pl.Int32,
        "date": pl.Date,
        "opening_usd": pl.Float64,  # worth at the close before of what was known then; null without a price
        "opening_confirmed_usd": pl.Float64,  # part of it on prices of several sources, or of a person
        "gain_usd": pl.Float64,  # what the same holdings gained until the close of the day
        "value_usd": pl.Float64,  # worth at the close of what is known by then
        "confirmed_usd": pl.Float64,
    }
)
"""Sorted by user_key; a user has rows from the day the first holding counts."""

LEADERBOARD_SCHEMA: Final = columns(
    {
        "date": pl.Date,
        "window_days": pl.Int16,  # 30, 90, 365
        "rank": pl.Int32,
        "pseudonym": pl.String,
        "roi_twr": pl.Float64,  # rounded to 0.01 %, like the two after it
        "pnl_over_peak_capital": pl.Float64,
        "max_drawdown": pl.Float64,
        "value_bucket": pl.String,  # null when too few portfolios are ranked
        "n_ranked": pl.Int32,
        "n_began": pl.Int32,
    }
)
"""Sorted by window_days, rank; at most 100 rows a window. Nothing in it leads to a user."""

LEADERBOARD_RANKS_SCHEMA: Final = columns(
    {
        "user_key": pl.Int32,
        "date": pl.Date,
        "window_days": pl.Int16,
        "rank": pl.Int32,  # null when not ranked
        "pseudonym": pl.String,  # null when not ranked
        "roi_twr": pl.Float64,
        "pnl_over_peak_capital": pl.Float64,
        "max_drawdown": pl.Float64,
        "value_bucket": pl.String,
        "n_ranked": pl.Int32,
        "n_obs": pl.Int32,
        "reason": pl.String,  # why not ranked; null when ranked
    }
)
"""Sorted by window_days, user_key."""
