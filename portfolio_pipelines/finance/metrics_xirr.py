"""The money-weighted return of many portfolios at once: the one rate that explains all flows. No I/O, no clock.

Belongs here: solving. Which spans deserve an annual rate is decided in `metrics`.
"""

from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from portfolio_pipelines.finance.metrics_conventions import DAYS_A_YEAR

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

LEAST_LOG_RATE: Final = float(np.log(1e-6))
"""-99.9999 % a year; below it the money is lost and a rate says nothing."""
MOST_LOG_RATE: Final = float(np.log(1e6))
STEPS: Final = 100
CLOSE_ENOUGH: Final = 1e-11
"""Of the logarithm: Newton's last step is as small squared."""
GRID: Final = np.linspace(LEAST_LOG_RATE, MOST_LOG_RATE, 257)
"""Where the sign of the balance is looked at when money went both ways, so that several solutions are noticed."""


class Solution(IntEnum):
    """What came of the search for a rate."""

    FOUND = 0
    FLOWS_OF_ONE_SIGN = 1  # nothing came back, or nothing was put in
    NO_RATE = 2  # outside of -99.9999 % to +99,999,900 % a year
    SEVERAL_RATES = 3  # flows change sign more than once and more than one rate explains them


def money_weighted_rates(
    portfolio: Places, days_left: Floats, paid_in: Floats, final_value: Floats
) -> tuple[Floats, NDArray[np.int8]]:
    """The annual rate at which the money put in would have grown to the final value (XIRR, Act/365).

    Solves sum(paid_in * (1 + rate) ** (days_left / 365)) = final_value by Newton's method inside a bracket, for all
    portfolios together.

    Args:
        portfolio: The portfolio of each flow, shape (flows,).
        days_left: Days from the flow to the final value, 0 or more.
        paid_in: USD put in; negative what was taken out.
        final_value: USD at the end, shape (portfolios,); NaN gives NaN.

    Returns:
        Rates a year (0.1 = 10 %), NaN where there is none, and a `Solution` for each portfolio.
    """
    count = len(final_value)
    years = days_left / DAYS_A_YEAR
    result, outcome = np.full(count, np.nan), np.full(count, Solution.FLOWS_OF_ONE_SIGN, np.int8)
    into = np.bincount(portfolio, np.maximum(paid_in, 0), count)
    back = np.bincount(portfolio, np.maximum(-paid_in, 0), count)
    both_ways = (into > 0) & (back + np.nan_to_num(final_value) > 0) & ~np.isnan(final_value)
    final = np.where(both_ways, final_value, 0.0)

    def balance(log_rate: Floats, owner: Places, left: Floats, money: Floats) -> tuple[Floats, Floats]:
        """What flows would have become at a rate, minus the final value, and its slope."""
        grown = money * np.exp(log_rate[owner] * left)
        return _sums(owner, grown, count) - final, _sums(owner, grown * left, count)

    low, high = np.full(count, LEAST_LOG_RATE), np.full(count, MOST_LOG_RATE)
    at_low, at_high = balance(low, portfolio, years, paid_in)[0], balance(high, portfolio, years, paid_in)[0]
    outcome[both_ways] = Solution.NO_RATE
    solvable = both_ways & (at_low * at_high < 0)
    several = _several(portfolio, years, paid_in, final, np.flatnonzero(both_ways & (back > 0)))
    outcome[several] = Solution.SEVERAL_RATES
    solvable[several] = False
    rising = at_high > 0
    rate = np.zeros(count)
    moving, is_moving = np.flatnonzero(solvable), np.ones(count, bool)
    flows = portfolio, years, paid_in
    for _ in range(STEPS):
        if not len(moving):
            break
        if len(moving) < count:  # most are done after a few steps
            is_moving[:] = False
            is_moving[moving] = True
            some = is_moving[portfolio]
            flows = portfolio[some], years[some], paid_in[some]
        value, slope = (part[moving] for part in balance(rate, *flows))
        now = rate[moving]
        below = (value < 0) == rising[moving]
        low[moving[below]], high[moving[~below]] = now[below], now[~below]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            step = now - value / slope
        usable = (step > low[moving]) & (step < high[moving])  # NaN and infinity are not
        following = np.where(value == 0, now, np.where(usable, step, (low[moving] + high[moving]) / 2))
        rate[moving] = following
        moving = moving[np.abs(following - now) > CLOSE_ENOUGH * np.maximum(np.abs(following), 1.0)]
    result[solvable] = np.expm1(rate[solvable])
    outcome[solvable] = Solution.FOUND
    return result, outcome


def _several(portfolio: Places, years: Floats, paid_in: Floats, final: Floats, suspects: Places) -> Places:
    """Those of the suspects whose balance changes sign more than once over the grid."""
    if not len(suspects):
        return suspects
    number = np.full(len(final), -1)
    number[suspects] = np.arange(len(suspects))
    some = number[portfolio] >= 0
    owner, money, left = number[portfolio[some]], paid_in[some], years[some]
    signs = np.stack(
        [np.sign(np.bincount(owner, money * np.exp(rate * left), len(suspects)) - final[suspects]) for rate in GRID]
    )
    changes: Places = (np.diff(signs, axis=0) != 0).sum(axis=0)
    return np.compress(changes > 1, suspects)


def _sums(portfolio: Places, amounts: Floats, count: int) -> Floats:
    return np.bincount(portfolio, amounts, count).astype(np.float64, copy=False)
