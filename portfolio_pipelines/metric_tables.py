"""The columns of the core tables of metrics, comparisons with benchmarks, and diversification.

Belongs here: names and types. What each figure is, and when it is null, is said in `finance.metrics*`; files are those
of `tables`: one a day, and the day is the one the figures are of.
"""

from typing import Final

import polars as pl

from portfolio_pipelines.tables import columns

PORTFOLIO_METRICS: Final = "core/portfolio_metrics"
BENCHMARK_COMPARISON: Final = "core/benchmark_comparison"
DIVERSIFICATION: Final = "core/diversification"
ASSET_CORRELATIONS: Final = "core/asset_correlations"

PORTFOLIO_METRICS_SCHEMA: Final = columns(
    {
        "user_key": pl.Int32,
        "date": pl.Date,
        "window_days": pl.Int16,  # 30, 90, 365; 0 is since the track record began
        "roi": pl.Float64,
        "twr": pl.Float64,
        "xirr": pl.Float64,
        "volatility": pl.Float64,
        "sharpe": pl.Float64,
        "sortino": pl.Float64,
        "max_drawdown": pl.Float64,
        "drawdown_peak": pl.Date,
        "drawdown_trough": pl.Date,
        "drawdown_recovered": pl.Date,
        "calmar": pl.Float64,
        "var_95": pl.Float64,
        "cvar_95": pl.Float64,
        "best_day": pl.Float64,
        "worst_day": pl.Float64,
        "n_obs": pl.Int32,
        "coverage": pl.Float64,
        "reason": pl.String,  # why figures are null; null when none is
    }
)
"""Sorted by window_days in the order of the run, then user_key."""

BENCHMARK_COMPARISON_SCHEMA: Final = columns(
    {
        "user_key": pl.Int32,
        "date": pl.Date,
        "window_days": pl.Int16,
        "benchmark": pl.String,  # BTC, ETH, SP500 or an asset id
        "portfolio_roi": pl.Float64,
        "benchmark_roi": pl.Float64,
        "excess": pl.Float64,
        "beta": pl.Float64,
        "correlation": pl.Float64,
        "tracking_error": pl.Float64,
        "up_capture": pl.Float64,
        "down_capture": pl.Float64,
        "n_obs": pl.Int32,
    }
)
"""Windows that a portfolio's track record does not cover have no row; portfolio_metrics says why."""

DIVERSIFICATION_SCHEMA: Final = columns(
    {
        "user_key": pl.Int32,
        "date": pl.Date,
        "hhi": pl.Float64,
        "effective_assets": pl.Float64,
        "top_share": pl.Float64,
        "top_asset_id": pl.String,
        "average_correlation": pl.Float64,
        "n_assets": pl.Int32,
        "unpriced_assets": pl.Int32,
    }
)
"""Sorted by user_key."""

ASSET_CORRELATIONS_SCHEMA: Final = columns(
    {
        "date": pl.Date,
        "window_days": pl.Int16,
        "asset_a": pl.String,  # before asset_b in the alphabet
        "asset_b": pl.String,
        "correlation": pl.Float64,
        "lower_95": pl.Float64,
        "upper_95": pl.Float64,
        "n_obs": pl.Int32,
    }
)
"""Pairs of held assets; sorted by window_days, asset_a, asset_b."""
