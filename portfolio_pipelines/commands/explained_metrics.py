"""What a metric of a portfolio was computed from: inputs, formula, and the figure worked out again from them.

Belongs here: the plain definitions, written out over one portfolio's days as the marts show them. They share no code
with the kernel of `finance.metrics`, so that an explanation is a second opinion.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np

from portfolio_pipelines.commands.console import CommandError
from portfolio_pipelines.finance.metrics_conventions import ROUNDING, TAIL, daily_rate

if TYPE_CHECKING:
    import duckdb

Value = float | int | str | date | None
MOST_LISTED: Final = 12


@dataclass(frozen=True, slots=True)
class Explanation:
    """One figure: how it is defined, what went in, what comes out."""

    formula: str
    inputs: Sequence[tuple[str, Value]]
    recomputed: Value
    served: Value = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """Which figure is asked for."""

    user: str
    day: date
    metric: str
    window: int
    benchmark: str
    risk_free_rate: float
    scope: str = "universal"  # of the ledger
    method: str = "fifo"
    position: str | None = None  # id of a position in a pool; None for all of them together
    of: tuple[tuple[str, str], ...] = ()  # column and value of the row that is meant, where a day has several
    bucket_users: int = 10  # ranked users that share a bucket of worth


@dataclass(slots=True)
class Days:
    """The days of a portfolio's window, as the mart shows them; NaN is null."""

    first: date
    start_value: float  # worth at the close before the first day; 0 before the first purchase
    dates: list[date]
    value: np.ndarray
    inflow: np.ndarray
    outflow: np.ndarray
    daily: np.ndarray
    index: np.ndarray
    start_index: float
    fresh: np.ndarray  # worth that rests on fresh prices
    expected: np.ndarray  # worth with what has no price, at its last close
    known: np.ndarray = field(init=False)  # daily returns that exist

    def __post_init__(self) -> None:
        self.known = self.daily[~np.isnan(self.daily)]

    def of_known(self, place: int) -> date:
        """The day of a known return."""
        return self.dates[int(np.flatnonzero(~np.isnan(self.daily))[place])]


def days_of_window(marts: "duckdb.DuckDBPyConnection", question: Question) -> Days:
    """Read a portfolio's window.

    Raises:
        CommandError: If the user has no values up to the day.
    """
    rows = marts.execute(
        "select date, value_usd, flow_in_usd, flow_out_usd, daily_return, twr_index "
        "from marts.portfolio_performance_daily where user_id = ? and date <= ? order by date",
        [question.user, question.day],
    ).fetchall()
    if not rows:
        msg = f"nothing is known of {question.user!r} up to {question.day}: is the id right, and was the day run?"
        raise CommandError(msg)
    dates = [row[0] for row in rows]
    numbers = np.array([[np.nan if cell is None else cell for cell in row[1:]] for row in rows], float)
    anew = np.flatnonzero(np.isnan(numbers[:, 3]) & (numbers[:, 4] == 1.0))
    begin = int(anew[-1]) + 1 if len(anew) else 0  # the day after a new record began
    first = question.day - timedelta(days=question.window - 1) if question.window else dates[min(begin, len(dates) - 1)]
    begin = next((at for at, day in enumerate(dates) if day >= first), len(dates))
    before = numbers[begin - 1] if begin else np.zeros(5)
    value, inflow, outflow, daily, index = numbers[begin:].T
    fresh, expected = _worths(marts, question, first) if question.metric.endswith("coverage") else (_NONE, _NONE)
    return Days(
        first=first,
        start_value=float(before[0]),
        dates=dates[begin:],
        value=value,
        inflow=inflow,
        outflow=outflow,
        daily=daily,
        index=index,
        start_index=float(before[4]) if begin else 1.0,
        fresh=fresh,
        expected=expected,
    )


_NONE: Final = np.zeros(0)


def _worths(marts: "duckdb.DuckDBPyConnection", question: Question, first: date) -> tuple[np.ndarray, np.ndarray]:
    """Worth on fresh prices and worth expected at each close from `first` on: the mart shows their quotient alone."""
    rows = marts.execute(
        "select coalesce(daily.value_usd, 0) - stale_usd, coalesce(daily.value_usd, 0) + missing_usd "
        "from intermediate.fct_portfolio_values as daily inner join intermediate.dim_users as users using (user_key) "
        "where users.user_id = ? and daily.date between ? and ? order by daily.date",
        [question.user, first, question.day],
    ).fetchall()
    fresh, expected = np.array(rows, float).reshape(-1, 2).T
    return fresh, expected


def explain_metric(days: Days, question: Question) -> Explanation:
    """Work a metric of portfolio_metrics out from the days of its window."""
    formula, inputs, recomputed = EXPLAINED[question.metric](days, question)
    common: list[tuple[str, Value]] = [
        ("window", f"{days.first} to {question.day}"), ("daily returns", len(days.known)),
    ]  # fmt: skip
    return Explanation(formula, [*common, *inputs], recomputed)


Worked = tuple[str, list[tuple[str, Value]], Value]


def _roi(days: Days, _: Question) -> Worked:
    put_in, out = days.start_value + days.inflow.sum(), days.outflow.sum()
    return (
        "(value + taken out - put in) / put in, where put in = value before the window + flows in",
        [("value before the window, USD", days.start_value), *_flows(days), ("value, USD", float(days.value[-1]))],
        (days.value[-1] + out - put_in) / put_in,
    )


def _flows(days: Days) -> list[tuple[str, Value]]:
    moved = np.flatnonzero((days.inflow != 0) | (days.outflow != 0))
    listed: list[tuple[str, Value]] = [
        (f"flow on {days.dates[at]}, USD", float(days.inflow[at] - days.outflow[at])) for at in moved[:MOST_LISTED]
    ]
    if len(moved) > MOST_LISTED:
        rest = moved[MOST_LISTED:]
        listed.append((f"{len(rest)} more flows, USD", float((days.inflow[rest] - days.outflow[rest]).sum())))
    return listed


def _twr(days: Days, _: Question) -> Worked:
    return (
        "index at the end / index before the window - 1; the index chains (value + out) / (value before + in)",
        [("index before the window", days.start_index), ("index at the end", float(days.index[-1]))],
        days.index[-1] / days.start_index - 1,
    )


def _xirr(days: Days, _: Question) -> Worked:
    from scipy.optimize import brentq

    left = np.arange(len(days.dates), 0, -1.0)  # an inflow works from the start of its day
    last = float(days.value[-1])

    def balance(rate: float) -> float:
        grown = days.start_value * (1 + rate) ** (left[0] / 365) + (days.inflow * (1 + rate) ** (left / 365)).sum()
        return float(grown - (days.outflow * (1 + rate) ** ((left - 1) / 365)).sum() - last)

    rate = brentq(balance, -0.999999, 1e6, xtol=1e-13) if balance(-0.999999) * balance(1e6) < 0 else None
    return (
        "the rate at which every flow, grown by (1 + rate) ^ (days / 365), adds up to the value",
        [("value before the window, USD", days.start_value), *_flows(days), ("value, USD", last)],
        rate,
    )


def _mean_and_deviation(days: Days) -> tuple[float, float]:
    return float(days.known.mean()), float(days.known.std(ddof=1))


def _volatility(days: Days, _: Question) -> Worked:
    mean, deviation = _mean_and_deviation(days)
    return (
        "standard deviation (n - 1) of daily returns * sqrt(365)",
        [("mean", mean), ("standard deviation of a day", deviation)],
        deviation * np.sqrt(365),
    )


def _sharpe(days: Days, question: Question) -> Worked:
    mean, deviation = _mean_and_deviation(days)
    rate = daily_rate(question.risk_free_rate)
    return (
        "(mean - risk-free rate of a day) / standard deviation * sqrt(365)",
        [("mean", mean), ("risk-free rate of a day", rate), ("standard deviation of a day", deviation)],
        (mean - rate) / deviation * np.sqrt(365),
    )


def _sortino(days: Days, question: Question) -> Worked:
    rate = daily_rate(question.risk_free_rate)
    below = float(np.sqrt((np.minimum(days.known - rate, 0) ** 2).mean()))
    return (
        "(mean - risk-free rate of a day) / sqrt(mean over all days of min(return - rate, 0)^2) * sqrt(365)",
        [("mean", float(days.known.mean())), ("risk-free rate of a day", rate), ("downside deviation", below)],
        (days.known.mean() - rate) / below * np.sqrt(365),
    )


def _drawdown(days: Days) -> tuple[int, int, np.ndarray]:
    """Places of peak and trough in the index with its start, and that index."""
    index = np.concatenate([[days.start_index], days.index])
    known = np.where(np.isnan(index), -np.inf, index)
    highest = np.maximum.accumulate(known)
    trough = int(np.nanargmin(index / highest))
    peak = int(np.flatnonzero(index[: trough + 1] == highest[trough])[-1])
    return peak, trough, index


def _max_drawdown(days: Days, _: Question) -> Worked:
    peak, trough, index = _drawdown(days)
    later = np.flatnonzero(index[trough:] >= index[peak] * (1 - 1e-12))
    return (
        "index at the trough / index at the peak - 1, the deepest one in the window",
        [
            ("peak", _close_before(days, peak)),
            ("index at the peak", float(index[peak])),
            ("trough", _close_before(days, trough)),
            ("index at the trough", float(index[trough])),
            ("recovered", _close_before(days, trough + int(later[0])) if len(later) else "not yet"),
        ],
        index[trough] / index[peak] - 1,
    )


def _close_before(days: Days, place: int) -> date:
    return days.first - timedelta(days=1) if place == 0 else days.dates[place - 1]


def _drawdown_date(which: str) -> Callable[[Days, Question], Worked]:
    def explain(days: Days, question: Question) -> Worked:
        formula, inputs, _ = _max_drawdown(days, question)
        found = dict(inputs)[which]
        return f"the day of the {which} of: {formula}", inputs, found if isinstance(found, date) else None

    return explain


def _calmar(days: Days, _: Question) -> Worked:
    peak, trough, index = _drawdown(days)
    grown, fell = float(days.index[-1] / days.start_index - 1), float(index[trough] / index[peak] - 1)
    return "return / -max_drawdown, over 365 days", [("return", grown), ("max_drawdown", fell)], grown / -fell


def _var(days: Days, _: Question) -> Worked:
    found = float(np.quantile(days.known, TAIL))
    place = (len(days.known) - 1) * TAIL
    return (
        "5 % quantile of daily returns, linear between the two returns around place 0.05 * (n - 1), counted from 0",
        [("place", place), *_worst(days, int(place) + 2)],
        found,
    )


def _worst(days: Days, count: int) -> list[tuple[str, Value]]:
    order = np.argsort(days.known, kind="stable")[: min(count, 2 * MOST_LISTED)]
    return [(f"return of {days.of_known(int(at))}", float(days.known[at])) for at in order]


def _cvar(days: Days, _: Question) -> Worked:
    quantile = np.quantile(days.known, TAIL)
    tail = days.known[days.known <= quantile + ROUNDING]
    return (
        "mean of the daily returns up to var_95",
        [("var_95", float(quantile)), ("returns up to it", len(tail)), *_worst(days, len(tail))],
        float(tail.mean()),
    )


def _extreme(which: Callable[[np.ndarray], np.intp], name: str) -> Callable[[Days, Question], Worked]:
    def explain(days: Days, _: Question) -> Worked:
        at = int(which(days.known))
        return f"the {name} daily return", [("day", days.of_known(at))], float(days.known[at])

    return explain


def _n_obs(days: Days, _: Question) -> Worked:
    return "number of daily returns in the window", [], len(days.known)


def _coverage(days: Days, _: Question) -> Worked:
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(days.expected > 0, days.fresh / days.expected, 1.0)
    worst, fresh, expected = int(each.argmin()), float(days.fresh.sum()), float(days.expected.sum())
    return (
        "worth resting on fresh prices / worth expected, both added up over the closes of the window",
        [
            ("worth on fresh prices, USD", fresh),
            ("worth expected, USD", expected),
            (f"coverage of {days.dates[worst]}, the lowest", float(each[worst])),
        ],
        min(max(fresh / expected, 0.0), 1.0) if expected > 0 else None,
    )


EXPLAINED: Final[dict[str, Callable[[Days, Question], Worked]]] = {
    "roi": _roi,
    "twr": _twr,
    "xirr": _xirr,
    "volatility": _volatility,
    "sharpe": _sharpe,
    "sortino": _sortino,
    "max_drawdown": _max_drawdown,
    "drawdown_peak": _drawdown_date("peak"),
    "drawdown_trough": _drawdown_date("trough"),
    "drawdown_recovered": _drawdown_date("recovered"),
    "calmar": _calmar,
    "var_95": _var,
    "cvar_95": _cvar,
    "best_day": _extreme(np.argmax, "largest"),
    "worst_day": _extreme(np.argmin, "smallest"),
    "n_obs": _n_obs,
    "coverage": _coverage,
}
"""The figures of portfolio_metrics."""
