"""The conventions of all risk and return figures, written once. Every number that a reader may dispute is named here.

Belongs here: constants, with unit and reason. The arithmetic is in the modules `metrics*` and `benchmark*`.

What a figure rests on: daily returns of `returns` (simple, closes at 24:00 UTC, inflows from the start and outflows
until the end of their day). A window of N is the last N daily returns, that is N + 1 closes, ending with the day the
figure is of; a window of 0 is everything since the track record began. Shorter histories give null, never an
extrapolation. Returns of a window are totals: nothing is annualised but volatility, Sharpe, Sortino and tracking error.
"""

from typing import Final

WINDOWS: Final = (30, 90, 365, 0)
"""Days; 0 is since the track record began."""

DAYS_A_YEAR: Final = 365
"""Crypto does not close. Also the year of the money-weighted return (Act/365)."""
TRADING_DAYS_A_YEAR: Final = 252
"""On the grid of the S&P 500 alone: sqrt(365) on trading-day returns would show 18.9 % where 15.7 % is true."""

LEAST_DAILY_DEVIATION: Final = 1e-6
"""Below it a series counts as constant: the Sharpe ratio of a lending position would otherwise be 1e16."""
LEAST_DRAWDOWN: Final = 1e-6
"""Below it there is no drawdown to divide by."""
LEAST_FOR_TAIL: Final = 60
"""Observations: 5 % of fewer are less than three days, no estimate of a tail."""
LEAST_MONEY_WEIGHTED_DAYS: Final = 90
"""An annual rate of a shorter span is an extrapolation: +50 % in a day would be 1.9e64."""
LEAST_PAIRS: Final = 10
"""Pairs of returns below which a beta or a correlation is noise (a month has about 20 trading days)."""
TAIL: Final = 0.05
"""Value at risk and expected shortfall speak of the worst 5 % of days."""
ROUNDING: Final = 1e-12
"""What one figure of about 1, computed in two ways, may differ by. An index that lost half and doubled is back."""
CALMAR_WINDOW: Final = 365
"""The Calmar ratio divides a year's return by its drawdown, so it exists over a year only."""
LEAST_CONTRIBUTED_USD: Final = 1.0
"""Below it there is nothing that a return could be on."""


def daily_rate(annual_rate: float) -> float:
    """The daily rate that compounds to an annual one over 365 days; 0.04 = 4 % a year."""
    return float((1 + annual_rate) ** (1 / DAYS_A_YEAR) - 1)
