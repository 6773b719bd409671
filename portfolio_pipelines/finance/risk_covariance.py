"""Covariances that are fit for choosing weights: shrunk, with a floor under volatilities. No I/O, no clock, no Dagster.

Belongs here: estimating. Choosing weights is in `risk_weights`; intervals are in `risk_correlations`.

Why not the sample covariance: with more assets than days it is singular, two wrappers of one coin (WETH, stETH) make it
singular at once, and a stable coin has next to no variance, so that every risk model puts everything into it.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST_DAILY_VOLATILITY: Final = 0.001
"""0.1 % a day (1.9 % a year) is the least risk an asset is believed to have: no peg is safer than that."""
LEAST_DAYS: Final = 30
"""Fewer returns are no estimate of risk."""


def shrunk_correlation(returns: Floats) -> tuple[Floats, float]:
    """Correlation matrix, pulled towards independence as far as its noise suggests.

    Args:
        returns: Daily simple returns without gaps, shape (days, assets).

    Returns:
        The matrix, positive definite, and the intensity of the shrinkage in [0, 1]. A constant asset is independent.

    Raises:
        ValueError: If there are fewer than LEAST_DAYS days, or returns that are not finite.
        Source: Ledoit and Wolf, A well-conditioned estimator for large-dimensional covariance matrices (2004), applied
        to standardised returns, so that each asset keeps its variance.
    """
    days, assets = returns.shape
    if days < LEAST_DAYS or not np.isfinite(returns).all():
        msg = f"{days} days of returns: at least {LEAST_DAYS} without gaps are needed"
        raise ValueError(msg)
    centred = returns - returns.mean(axis=0)
    deviation = centred.std(axis=0)
    moves = deviation > 0
    standard = np.where(moves, centred / np.where(moves, deviation, 1.0), 0.0)
    sample = standard.T @ standard / days
    level = np.trace(sample) / assets
    squares = standard * standard
    total = np.einsum("ij,ij->", sample, sample)
    noise = ((squares.T @ squares).sum() / days - total) / (assets * days)
    distance = (total - 2 * level * np.trace(sample) + assets * level * level) / assets
    intensity = 1.0 if distance <= 0 else float(np.clip(noise / distance, 0.0, 1.0))
    shrunk = (1 - intensity) * sample
    np.fill_diagonal(shrunk, 1.0)
    return shrunk, intensity


def covariance_for_weights(returns: Floats) -> Floats:
    """Daily covariance with shrunk correlations and volatilities of at least LEAST_DAILY_VOLATILITY.

    Args:
        returns: Daily simple returns without gaps, shape (days, assets).

    Raises:
        ValueError: As `shrunk_correlation`.
    """
    correlation, _ = shrunk_correlation(returns)
    volatility = np.maximum(returns.std(axis=0, ddof=1), LEAST_DAILY_VOLATILITY)
    return np.asarray(correlation * np.outer(volatility, volatility))
