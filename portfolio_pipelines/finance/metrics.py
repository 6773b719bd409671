"""Risk and return of portfolios over windows: what each figure is, and when it is null. No I/O, no clock, no Dagster.

Belongs here: from sums to figures. The sums come from `metrics_kernel`, the conventions from `metrics_conventions`.

A window of fixed length needs all its daily returns. Where some are missing (a holding had no price for a while), what
rests on the closes at both ends stays (roi, twr, xirr, for the index bridges short gaps) and what needs every day is
null. The window 0, since the record began, uses the days there are; `n_obs` says how many.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from portfolio_pipelines.finance import metrics_conventions as rules
from portfolio_pipelines.finance.metrics_history import Flows, History, State
from portfolio_pipelines.finance.metrics_kernel import (
    Floats,
    GapReturns,
    Rows,
    WindowStatistics,
    window_statistics,
)
from portfolio_pipelines.finance.metrics_reasons import EVERYTHING, Reason
from portfolio_pipelines.finance.metrics_xirr import Solution, money_weighted_rates

Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class WindowMetrics:
    """Figures of one window; every array has shape (portfolios,). Shares: 0.01 = 1 %. NaN is null."""

    window_days: int
    roi: Floats  # (value + taken out - put in) / put in, where the worth at the window's start counts as put in
    twr: Floats  # product of 1 + r, minus 1: deposits do not move it; a total, never annualised
    xirr: Floats  # annual rate that explains the flows, Act/365
    volatility: Floats  # standard deviation (n - 1) of daily returns times sqrt(365)
    sharpe: Floats  # (mean - daily risk-free rate) / standard deviation * sqrt(365)
    sortino: Floats  # the same excess / root mean square of what fell short of that rate, over all days, * sqrt(365)
    max_drawdown: Floats  # lowest index / highest one before it - 1, within [-1, 0]
    drawdown_peak: Rows  # row of the close it fell from; -1 is the close before the first row, NO_ROW is null
    drawdown_trough: Rows
    drawdown_recovered: Rows  # first close as high again; NO_ROW when there is none yet
    calmar: Floats  # return / -max_drawdown, over 365 days only
    var_95: Floats  # 5 % quantile (type 7) of daily returns; a loss is negative
    cvar_95: Floats  # mean of the daily returns up to var_95
    best_day: Floats
    worst_day: Floats
    n_obs: Rows  # daily returns in the window
    coverage: Floats  # worth resting on fresh prices / worth expected, over the closes of the window
    reason: NDArray[np.int32]  # flags of `metrics_reasons.Reason`


NO_ROW = -2


def portfolio_metrics(
    history: History,
    row: int,
    windows: Sequence[int] = rules.WINDOWS,
    risk_free_rate: float = 0.0,
    gaps: GapReturns | None = None,
    flows: Flows | None = None,
) -> list[WindowMetrics]:
    """Metrics as of the close of a row.

    Args:
        history: The past; it must have kept the states that `rows_needed` names.
        row: The row they are of.
        windows: Lengths in days; 0 is since the record began.
        risk_free_rate: A year, 0.04 = 4 %.
        gaps: `history.gaps()`, when it is at hand.
        flows: `history.flows()`, when it is at hand.

    Returns:
        One for each window, in their order. Source of the formulas: `metrics_conventions` and the field comments.
    """
    now = history.states[row]
    gaps = history.gaps() if gaps is None else gaps
    flows = history.flows() if flows is None else flows
    target = rules.daily_rate(risk_free_rate)
    oldest = 0 if 0 in windows else max(0, row + 1 - max(windows))
    statistics = window_statistics(
        history.returns[oldest : row + 1],
        np.maximum(now.start - oldest, 0).astype(np.int32),
        _moved(gaps, oldest, row),
        windows,
        target,
    )
    return [
        _figures(_shifted(found, oldest), now, history.states.get(row - window), flows, row, window, target)
        for window, found in zip(windows, statistics, strict=True)
    ]


def _moved(gaps: GapReturns, oldest: int, row: int) -> GapReturns:
    """Gaps within the rows, counted from the oldest."""
    within = (gaps.row >= oldest) & (gaps.row <= row)
    return GapReturns((gaps.row[within] - oldest).astype(np.int32), gaps.portfolio[within], gaps.growth[within])


def _shifted(found: WindowStatistics, oldest: int) -> WindowStatistics:
    if oldest:
        found.peak[:] += oldest
        found.trough[:] += oldest
        found.recovered[found.recovered >= 0] += oldest
    return found


def _figures(
    found: WindowStatistics, now: State, then: State | None, flows: Flows, row: int, window: int, target: float
) -> WindowMetrics:
    first = now.start if window == 0 else np.full(len(now.start), row + 1 - window, np.int32)
    short = now.start > first if window else now.start > row
    reason = np.where(now.complete, 0, Reason.INCOMPLETE_DAY).astype(np.int32)
    reason[short] |= np.where(now.interrupted[short] & (window > 0), Reason.INTERRUPTED, Reason.SHORT_HISTORY)
    exists = (reason & EVERYTHING) == 0
    whole = exists & (found.count == window) if window else exists & (found.count > 0)
    reason[exists & ~whole] |= Reason.MISSING_DAYS if window else Reason.TOO_FEW_RETURNS

    start_value = _start_value(now, then, window)
    bounded = exists & ~(np.isnan(start_value) & (now.start < first))  # else the first return began before the window
    reason[exists & ~bounded] |= Reason.MISSING_DAYS
    roi, xirr = _money(now, np.nan_to_num(start_value), first, flows, row, bounded, reason)

    n = np.maximum(found.count, 1).astype(np.float64)
    mean = found.total / n
    enough = whole & (found.count >= 2)
    reason[whole & ~enough] |= Reason.TOO_FEW_RETURNS
    spread = found.squares - n * mean * mean
    # What is left of equal returns is no spread.
    spread = np.where(spread > rules.ROUNDING * found.squares, spread, 0.0)
    deviation = np.sqrt(spread / np.maximum(n - 1, 1))
    below = np.sqrt(found.shortfall / n)
    a_year = np.sqrt(rules.DAYS_A_YEAR)
    varies, loses = enough & (deviation >= rules.LEAST_DAILY_DEVIATION), enough & (below > 0)
    reason[enough & ~varies] |= Reason.CONSTANT
    reason[enough & ~loses] |= Reason.NO_LOSS
    falls = found.lowest < 1 - rules.LEAST_DRAWDOWN
    reason[whole & ~falls] |= Reason.NO_DRAWDOWN
    divisible = whole & falls & (window == rules.CALMAR_WINDOW)
    reason[whole & (window != rules.CALMAR_WINDOW)] |= Reason.OTHER_WINDOW
    tail = whole & (found.count >= rules.LEAST_FOR_TAIL)
    reason[whole & ~tail] |= Reason.NO_TAIL
    with np.errstate(divide="ignore", invalid="ignore"):
        return WindowMetrics(
            window_days=window,
            roi=roi,
            twr=_where(bounded, found.growth - 1),
            xirr=xirr,
            volatility=_where(enough, deviation * a_year),
            sharpe=_where(varies, (mean - target) / deviation * a_year),
            sortino=_where(loses, (mean - target) / below * a_year),
            max_drawdown=_where(whole, found.lowest - 1),
            drawdown_peak=_rows_where(whole & falls, found.peak),
            drawdown_trough=_rows_where(whole & falls, found.trough),
            drawdown_recovered=_rows_where(whole & falls & (found.recovered >= 0), found.recovered),
            calmar=_where(divisible, (found.growth - 1) / (1 - found.lowest)),
            var_95=_where(tail, found.tail_quantile),
            cvar_95=_where(tail, found.tail_mean),
            best_day=_where(whole, found.best),
            worst_day=_where(whole, found.worst),
            n_obs=found.count,
            coverage=_coverage(now, then, window),
            reason=reason,
        )


def _start_value(now: State, then: State | None, window: int) -> Floats:
    """Worth at the close before the window's first day; 0 before the first purchase."""
    if window == 0:
        return now.start_value_usd
    return np.zeros(len(now.start)) if then is None else np.where(then.complete, then.value_usd, np.nan)


def _money(
    now: State,
    start: Floats,
    first: Rows,
    flows: Flows,
    row: int,
    exists: NDArray[np.bool_],
    reason: NDArray[np.int32],
) -> tuple[Floats, Floats]:
    """Return on the money put in, and the money-weighted return; notes why one is null."""
    count = len(first)
    within = (flows.row >= first[flows.portfolio]) & (flows.row <= row)
    portfolio, at = flows.portfolio[within], flows.row[within].astype(np.float64)
    inflow, outflow = flows.inflow_usd[within], flows.outflow_usd[within]
    put_in = start + np.bincount(portfolio, inflow, count)
    taken_out = np.bincount(portfolio, outflow, count)
    possible = exists & (put_in >= rules.LEAST_CONTRIBUTED_USD)
    reason[exists & ~possible] |= Reason.NOTHING_PUT_IN
    with np.errstate(divide="ignore", invalid="ignore"):
        roi = _where(possible, (now.value_usd + taken_out - put_in) / put_in)

    days = row + 1.0 - first
    long_enough = possible & (days >= rules.LEAST_MONEY_WEIGHTED_DAYS)
    reason[exists & (days < rules.LEAST_MONEY_WEIGHTED_DAYS)] |= Reason.SHORT_SPAN
    # An inflow works from the start of its day, an outflow until the end of its day.
    asked = np.flatnonzero(long_enough)
    xirr = np.full(count, np.nan)
    if len(asked):
        number = np.full(count, -1)
        number[asked] = np.arange(len(asked))
        own = number[portfolio] >= 0
        owner = number[portfolio[own]]
        rates, outcome = money_weighted_rates(
            np.concatenate([np.arange(len(asked)), owner, owner]),
            np.concatenate([days[asked], row + 1.0 - at[own], row - at[own]]),
            np.concatenate([start[asked], inflow[own], -outflow[own]]),
            now.value_usd[asked],
        )
        xirr[asked] = rates
        for solution, why in (
            (Solution.FLOWS_OF_ONE_SIGN, Reason.ONE_SIGN),
            (Solution.NO_RATE, Reason.NO_RATE),
            (Solution.SEVERAL_RATES, Reason.SEVERAL_RATES),
        ):
            reason[asked[outcome == solution]] |= why
    return roi, xirr


def _coverage(now: State, then: State | None, window: int) -> Floats:
    fresh, expected = now.fresh_usd, now.expected_usd
    if window == 0:
        fresh, expected = fresh - now.fresh_before_usd, expected - now.expected_before_usd
    elif then is not None:
        fresh, expected = fresh - then.fresh_usd, expected - then.expected_usd
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.clip(_where(expected > 0, fresh / expected), 0.0, 1.0)


def _where(condition: NDArray[np.bool_], values: Floats) -> Floats:
    """Values where they can be told; what overflowed is not told either."""
    return np.where(condition & np.isfinite(values), values, np.nan)


def _rows_where(condition: NDArray[np.bool_], rows: Rows) -> Rows:
    return np.where(condition, rows, NO_ROW).astype(np.int32)
