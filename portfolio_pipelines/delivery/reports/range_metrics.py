"""Return and risk over exactly the days of a report, by the kernel that computes the marts.

Belongs here: one user's days as the kernel wants them. The formulas are in `finance.metrics` and
`finance.benchmark_comparison`; nothing is defined a second time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np

from portfolio_pipelines.delivery.reports.portfolio_days import PortfolioDays
from portfolio_pipelines.finance.benchmark_comparison import BenchmarkSeries, compare
from portfolio_pipelines.finance.metrics import NO_ROW, portfolio_metrics
from portfolio_pipelines.finance.metrics_history import DayOfPortfolios, History, rows_needed
from portfolio_pipelines.finance.metrics_reasons import words_of
from portfolio_pipelines.resources.figure_rules import FigureRules

if TYPE_CHECKING:
    import duckdb

FIGURES: Final = (
    "roi", "twr", "xirr", "volatility", "sharpe", "sortino", "max_drawdown", "calmar", "var_95", "cvar_95",
    "best_day", "worst_day",
)  # fmt: skip
DRAWDOWN_DAYS: Final = ("drawdown_peak", "drawdown_trough", "drawdown_recovered")
COMPARED: Final = (
    "portfolio_roi", "benchmark_roi", "excess", "beta", "correlation", "tracking_error", "up_capture", "down_capture",
)  # fmt: skip
OF_THE_REPORT: Final = "This report"
"""The window that is exactly the days of the report."""
WITHOUT_INVESTMENTS: Final = "no investments in the range"
OF_BOTH_ENDS: Final = frozenset(("roi", "twr", "xirr"))
RISK_FIGURES: Final = frozenset(
    ("volatility", "sharpe", "sortino", "max_drawdown", "calmar", "var_95", "cvar_95", "best_day", "worst_day")
)


@dataclass(frozen=True, slots=True)
class Metrics:
    """Figures of one window, as `marts.portfolio_metrics` has them."""

    label: str
    as_of: date
    figures: Mapping[str, float | None]
    drawdown: Mapping[str, date | None]  # by DRAWDOWN_DAYS
    n_obs: int
    reason: str | None

    def why_unknown(self, figure: str) -> str:
        """Why a figure is null; empty when nothing says."""
        found = _reason_of(figure, self.reason or "")
        if found or not self.n_obs:
            return found or "no daily return"
        # The marts say of a window that begins with an incomplete close only that returns are missing within it.
        return "the close before it is not complete" if self.reason and figure in OF_BOTH_ENDS else ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The portfolio beside one benchmark, as `marts.benchmark_comparison` has it."""

    label: str  # of the window
    benchmark: str
    figures: Mapping[str, float | None]  # by COMPARED
    n_obs: int


def range_figures(
    days: PortfolioDays, benchmarks: Sequence[BenchmarkSeries], rules: FigureRules
) -> tuple[Metrics, list[Comparison]]:
    """Return and risk over the days of the report, and the portfolio beside each benchmark.

    Args:
        days: The user's days.
        benchmarks: Closes from `benchmark_closes`, from the close before the first day on.
        rules: Their risk-free rate goes into Sharpe and Sortino ratios.
    """
    last = days.period.last
    if days.begun is None or days.begun > last:
        nothing, never = dict.fromkeys(FIGURES), dict.fromkeys(DRAWDOWN_DAYS)
        return Metrics(OF_THE_REPORT, last, nothing, never, 0, WITHOUT_INVESTMENTS), []
    start = max(days.period.base, days.begun)  # row 0: the close before the range, or the first investment in it
    length = (last - max(start, days.period.first)).days + 1
    history = _history(days, (start - days.period.base).days, length)
    row = history.days - 1
    # Since the first investment it is what the marts call window 0, unless the record was interrupted since.
    window = 0 if start >= days.period.first and not history.states[row].interrupted[0] else length
    (found,) = portfolio_metrics(history, row, (window,), rules.risk_free_rate)
    (reason,) = words_of(found.reason).to_list()
    drawdown: dict[str, date | None] = {}
    for name in DRAWDOWN_DAYS:
        place = int(getattr(found, name)[0])
        drawdown[name] = None if place == NO_ROW else start + timedelta(days=place)
    figures = {name: _number(getattr(found, name)[0]) for name in FIGURES}
    own = Metrics(OF_THE_REPORT, last, figures, drawdown, int(found.n_obs[0]), reason)
    return own, _comparisons(history, window, _since(benchmarks, days, start), own.figures["twr"])


def _comparisons(
    history: History, window: int, benchmarks: Sequence[BenchmarkSeries], own_return: float | None
) -> list[Comparison]:
    row = history.days - 1
    compared = []
    for one in compare(history.returns, history.states[row], row, (window,), benchmarks):
        benchmark_roi = _number(one.benchmark_roi[0])
        excess = None if own_return is None or benchmark_roi is None else own_return - benchmark_roi
        figures = {name: _number(getattr(one, name)[0]) for name in COMPARED if hasattr(one, name)}
        figures |= {"portfolio_roi": own_return, "excess": excess}
        compared.append(Comparison(OF_THE_REPORT, one.benchmark, figures, int(one.n_obs[0])))
    return compared


def benchmark_closes(marts: "duckdb.DuckDBPyConnection", first: date, last: date) -> list[BenchmarkSeries]:
    """Closes of the benchmarks from a day on: carried over weekends, NaN where unknown."""
    count = (last - first).days + 1
    rows = marts.execute(
        "select benchmark, date_diff('day', ?::date, date), close_usd, is_trading_day from marts.benchmarks_daily "
        "where date between ? and ? order by all",
        [first, first, last],
    ).fetchall()
    found: dict[str, BenchmarkSeries] = {}
    for name, place, close, traded in rows:
        series = found.setdefault(name, BenchmarkSeries(name, np.full(count, np.nan), np.zeros(count, bool)))
        series.close[place] = np.nan if close is None else close
        series.traded[place] = traded
    return list(found.values())


def _history(days: PortfolioDays, skipped: int, length: int) -> History:
    """The kernel's history from a place of the calendar on; it keeps the states at both ends of the last `length`."""
    rows = len(days.calendar) - skipped
    history = History(1, rows, rows_needed([rows - 1], [length]))
    place, nothing = np.zeros(1, np.int64), np.zeros(1)
    flow_in, flow_out = np.nan_to_num(days.flow_in_usd), np.nan_to_num(days.flow_out_usd)
    for at in range(skipped, skipped + rows):
        if not days.has_investments[at]:
            history.skip()
            continue
        one = slice(at, at + 1)
        history.add(
            DayOfPortfolios(
                place, days.value_usd[one], nothing, nothing, flow_in[one], flow_out[one],
                days.daily_return[one], days.twr_index[one],
            )
        )  # fmt: skip
    return history


def _since(benchmarks: Sequence[BenchmarkSeries], days: PortfolioDays, start: date) -> list[BenchmarkSeries]:
    """Closes from the day before the history's row 0 on; unknown where that is before what was read."""
    skipped = (start - days.period.base).days
    if skipped:
        return [BenchmarkSeries(one.name, one.close[skipped - 1 :], one.traded[skipped - 1 :]) for one in benchmarks]
    return [
        BenchmarkSeries(one.name, np.concatenate([[np.nan], one.close]), np.concatenate([[False], one.traded]))
        for one in benchmarks
    ]


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _reason_of(figure: str, reason: str) -> str:
    """The part of a reason that speaks of a figure: "xirr: less than 90 days; calmar: …" by names before the colon."""
    for part in reason.split("; "):
        names, colon, text = part.partition(": ")
        if not colon:
            return part
        said = {name.strip() for name in names.split(",")}
        if figure in said or "all" in said or ("risk figures" in said and figure in RISK_FIGURES):
            return text
    return ""
