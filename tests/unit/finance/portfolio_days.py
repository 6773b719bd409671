"""Histories of portfolios made from closing values and flows, by the product's own chain of returns."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from portfolio_pipelines.finance.metrics import WindowMetrics, portfolio_metrics
from portfolio_pipelines.finance.metrics_conventions import WINDOWS
from portfolio_pipelines.finance.metrics_history import DayOfPortfolios, History, rows_needed
from portfolio_pipelines.finance.returns import TrackRecord, chain_day

Floats = NDArray[np.float64]


def history_of(
    values: ArrayLike,
    inflows: ArrayLike,
    outflows: ArrayLike | None = None,
    *,
    stale: ArrayLike | None = None,
    as_of: Sequence[int] | None = None,
    windows: Sequence[int] = WINDOWS,
) -> History:
    """A history of values of shape (days,) or (days, portfolios); a portfolio appears with its first flow."""
    worth = _matrix(values)
    into = _matrix(inflows)
    out = np.zeros_like(worth) if outflows is None else _matrix(outflows)
    old = np.zeros_like(worth) if stale is None else _matrix(stale)
    days, count = worth.shape
    wanted = as_of if as_of is not None else [days - 1]
    history = History(count, days, rows_needed(wanted, windows))
    begun, track = np.zeros(count, bool), TrackRecord.new(count)
    for row in range(days):
        begun |= into[row] != 0
        linked = chain_day(track, 100 + row, np.where(begun, worth[row], np.nan), into[row], out[row])
        track = linked.track
        place = np.flatnonzero(begun)
        history.add(
            DayOfPortfolios(
                place,
                worth[row, place],
                old[row, place],
                np.zeros(len(place)),
                into[row, place],
                out[row, place],
                linked.daily_return[place],
                linked.twr_index[place],
            )
        )
    return history


def metrics_of_returns(returns: ArrayLike, window: int = 0, risk_free_rate: float = 0.0) -> WindowMetrics:
    """Metrics of one portfolio of 10,000 USD with the given daily returns and no further flow."""
    series = np.asarray(returns, float)
    values = 10_000 * np.cumprod(1 + series)
    inflows = np.zeros(len(series))
    inflows[0] = 10_000
    return metrics_of(values, inflows, window=window, risk_free_rate=risk_free_rate)


def metrics_of(
    values: ArrayLike,
    inflows: ArrayLike,
    outflows: ArrayLike | None = None,
    *,
    window: int = 0,
    risk_free_rate: float = 0.0,
) -> WindowMetrics:
    """Metrics of the last day over one window."""
    history = history_of(values, inflows, outflows, windows=[window])
    return portfolio_metrics(history, history.days - 1, [window], risk_free_rate)[0]


def _matrix(values: ArrayLike) -> Floats:
    array = np.asarray(values, float)
    return array[:, None] if array.ndim == 1 else array
