"""Correlations of many assets whose histories differ, and how sure they are. No I/O, no clock, no Dagster.

Belongs here: pairwise statistics. Covariances that are fit for optimising are in `risk_covariance`.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from portfolio_pipelines.finance.metrics_conventions import LEAST_DAILY_DEVIATION, LEAST_PAIRS

Floats = NDArray[np.float64]

NORMAL_975: Final = 1.959963984540054
"""97.5 % quantile of the standard normal distribution: 95 % lie within +- this many standard errors."""


@dataclass(frozen=True, slots=True)
class Correlations:
    """Every pair of assets; every array has shape (assets, assets) and is symmetric. NaN is unknown."""

    correlation: Floats
    lower_95: Floats
    upper_95: Floats
    n_obs: NDArray[np.int32]


def correlations(returns: Floats) -> Correlations:
    """Pearson correlation of each pair over the days on which both have a return.

    Args:
        returns: Simple returns, shape (days, assets); NaN where there is none.

    Returns:
        Unknown below LEAST_PAIRS pairs, or where one of the two is constant. The interval is Fisher's:
        tanh(atanh(correlation) +- 1.96 / sqrt(n - 3)).
    """
    known = np.isfinite(returns)
    there = known.astype(float)
    n = there.T @ there
    middle = np.where(known, returns, 0.0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
    centred = np.where(known, returns - middle, 0.0)  # keeps the differences below from cancelling
    count = np.maximum(n, 2)
    sums, squares = centred.T @ there, (centred * centred).T @ there
    variance = np.maximum(squares - sums * sums / count, 0.0) / (count - 1)
    covariance = (centred.T @ centred - sums * sums.T / count) / (count - 1)
    varies = variance >= LEAST_DAILY_DEVIATION**2
    usable = (n >= LEAST_PAIRS) & varies & varies.T
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(usable, np.clip(covariance / np.sqrt(variance * variance.T), -1, 1), np.nan)
        width = NORMAL_975 / np.sqrt(np.maximum(n, LEAST_PAIRS) - 3)
        middle_z = np.arctanh(found)
        return Correlations(found, np.tanh(middle_z - width), np.tanh(middle_z + width), n.astype(np.int32))


def on_trading_days(closes: Floats, weekday_only: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Returns of closes on all days, and on the days on which what trades on weekdays alone did trade.

    Args:
        closes: Shape (days, assets); NaN where an asset has no close of its own on the day.
        weekday_only: Assets without closes on weekends.

    Returns:
        Returns between consecutive days, and between consecutive trading days (none when nothing trades so).
    """
    daily = _returns(closes)
    if not weekday_only.any():
        return daily, np.empty((0, closes.shape[1]))
    trading = np.isfinite(closes[:, weekday_only]).any(axis=1)
    return daily, _returns(closes[trading])


def _returns(closes: Floats) -> Floats:
    positive = np.where(closes > 0, closes, np.nan)
    return positive[1:] / positive[:-1] - 1


def correlations_of_closes(closes: Floats, weekday_only: NDArray[np.bool_]) -> Correlations:
    """Correlations of daily returns; pairs with an asset that trades on weekdays alone use its trading days."""
    daily, trading = on_trading_days(closes, weekday_only)
    everywhere = correlations(daily)
    if not weekday_only.any():
        return everywhere
    on_weekdays = correlations(trading)
    either = weekday_only[:, None] | weekday_only
    return Correlations(
        np.where(either, on_weekdays.correlation, everywhere.correlation),
        np.where(either, on_weekdays.lower_95, everywhere.lower_95),
        np.where(either, on_weekdays.upper_95, everywhere.upper_95),
        np.where(either, on_weekdays.n_obs, everywhere.n_obs).astype(np.int32),
    )
