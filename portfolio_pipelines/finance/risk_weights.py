"""Weights by risk: equal risk contribution, minimum variance, inverse volatility. No I/O, no clock, no Dagster.

Belongs here: from a covariance to weights. Estimating it is in `risk_covariance`; what a user wants is a target
allocation and lives elsewhere. All weights are 0 or more and sum to 1.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

MOST_STEPS: Final = 100
CLOSE_ENOUGH: Final = 1e-14
QUADRATIC: Final = 0.38
"""Below this Newton decrement full steps converge quadratically (self-concordance)."""


class RiskModelError(ValueError):
    """A covariance that no weights can be chosen from."""


def equal_risk_contribution(covariance: Floats, budget: Floats | None = None, held: Flags | None = None) -> Floats:
    """Weights with which each asset contributes its budget of the portfolio's risk.

    Solves min y'Cy / 2 - sum(budget * log(y)) on correlations C by Newton's method, for many portfolios at once; the
    weights are y divided by the volatilities.

    Args:
        covariance: Shape (assets, assets), or (portfolios, assets, assets).
        budget: Shares of risk above 0, shape (assets,) or (portfolios, assets); equal when not given.
        held: Assets that take part, same shape; all when not given. The others get weight 0.

    Returns:
        Shape (assets,) or (portfolios, assets). Source: Maillard, Roncalli, Teiletche, The properties of equally
        weighted risk contribution portfolios (2010); Spinu, An algorithm for computing risk parity weights (2013).

    Raises:
        RiskModelError: If a variance is not above 0, a budget is not, or the solver does not converge.
    """
    many = covariance.ndim == 3
    matrices = covariance if many else covariance[None]
    count, assets = matrices.shape[:2]
    inside = np.ones((count, assets), bool) if held is None else np.broadcast_to(held, (count, assets))
    shares = np.full((count, assets), 1.0) if budget is None else np.broadcast_to(budget, (count, assets)).astype(float)
    deviation = _deviations(matrices, inside)
    if (shares[inside] <= 0).any():
        msg = "a budget of risk must be above 0: leave the asset out instead"
        raise RiskModelError(msg)
    both = inside[:, :, None] & inside[:, None, :]
    unit = np.eye(assets)
    correlation = np.where(both, matrices / (deviation[:, :, None] * deviation[:, None, :]), unit)
    shares = np.where(inside, shares, 1.0)
    shares = shares / shares.sum(axis=1, keepdims=True)
    y = np.sqrt(shares)
    # The best point in that direction: without it hundreds of assets that move together need hundreds of steps.
    y = y / np.sqrt(np.einsum("ki,kij,kj->k", y, correlation, y, optimize=True))[:, None]
    moving = np.arange(count)
    for _ in range(MOST_STEPS):
        c, b, now = correlation[moving], shares[moving], y[moving]
        gradient = np.einsum("kij,kj->ki", c, now) - b / now
        hessian = c + unit * (b / (now * now))[:, None, :]
        step = np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        # Self-concordance holds for the function divided by the smallest budget.
        decrement = np.sqrt(np.maximum(np.einsum("ki,ki->k", gradient, step), 0.0) / b.min(axis=1))
        damping = np.where(decrement > QUADRATIC, 1 / (1 + decrement), 1.0)
        y[moving] = now - damping[:, None] * step
        moving = moving[decrement > CLOSE_ENOUGH]
        if not len(moving):
            break
    else:
        residual = np.abs(y * np.einsum("kij,kj->ki", correlation, y) / shares - 1).max(axis=1)
        if not (residual < 1e-9).all():
            msg = "no weights of equal risk were found: the covariance is close to a perfect hedge"
            raise RiskModelError(msg)
    weights = np.where(inside, y / deviation, 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights if many else np.asarray(weights[0])


def minimum_variance(covariance: Floats) -> Floats:
    """The weights of least variance that buy and do not sell short.

    They are proportional to the solution of min y'Cy / 2 - sum(y) over y >= 0, a least-squares problem with
    non-negative unknowns, which an active-set method solves exactly.

    Args:
        covariance: Positive definite, shape (assets, assets).

    Raises:
        RiskModelError: If it is not positive definite.
    """
    from scipy.optimize import nnls

    deviation = _deviations(covariance[None], np.ones((1, len(covariance)), bool))[0]
    scale = deviation.min()  # keeps the numbers near 1, whatever the period of the returns
    try:
        root = np.linalg.cholesky(covariance / scale**2)
    except np.linalg.LinAlgError as error:
        msg = "the covariance is not positive definite: shrink it first"
        raise RiskModelError(msg) from error
    solution, _ = nnls(root.T, np.linalg.solve(root, np.ones(len(covariance))))
    return np.asarray(solution / solution.sum())


def inverse_volatility(covariance: Floats) -> Floats:
    """Weights in proportion to 1 / volatility: equal risk where all correlations are equal.

    Args:
        covariance: Shape (assets, assets); only its diagonal counts.

    Raises:
        RiskModelError: If a variance is not above 0.
    """
    deviation = _deviations(covariance[None], np.ones((1, len(covariance)), bool))[0]
    return np.asarray((1 / deviation) / (1 / deviation).sum())


def risk_contributions(weights: Floats, covariance: Floats) -> Floats:
    """Share of the portfolio's variance that each asset brings; they sum to 1. Shapes as in the weights' functions."""
    marginal = np.einsum("...ij,...j->...i", covariance, weights)
    each = weights * marginal
    return np.asarray(each / each.sum(axis=-1, keepdims=True))


def _deviations(covariance: Floats, inside: Flags) -> Floats:
    variance = np.where(inside, np.einsum("kii->ki", covariance), 1.0)
    if not (np.isfinite(variance).all() and (variance > 0).all()):
        msg = "an asset without variance: give it a floor or leave it out"
        raise RiskModelError(msg)
    return np.sqrt(variance)
