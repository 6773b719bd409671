"""The charts of the performance report: which figures they draw. How they are drawn is in `charts`."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from portfolio_pipelines.delivery.reports.charts import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    Bar,
    Line,
    bar_chart,
    line_chart,
)
from portfolio_pipelines.delivery.reports.coverage_notes import FULL
from portfolio_pipelines.delivery.reports.holdings import Slice
from portfolio_pipelines.delivery.reports.names import printable
from portfolio_pipelines.delivery.reports.numbers import is_known, percent, short, usd
from portfolio_pipelines.delivery.reports.portfolio_days import Floats, PortfolioDays
from portfolio_pipelines.finance.benchmark_comparison import BenchmarkSeries

MOST_SLICES: Final = 10
BENCHMARK_STYLES: Final = ((ORANGE, "7 3"), (GREEN, "4 2"), (PURPLE, "9 3 2 3"), (SKY, "2.5 2.5"), (VERMILION, "1 2"))
BENCHMARK_NAMES: Final[Mapping[str, str]] = {"SP500": "S&P 500"}


def benchmark_name(benchmark: str) -> str:
    """How a benchmark is called on paper."""
    return BENCHMARK_NAMES.get(benchmark) or printable(benchmark)


def value_chart(days: PortfolioDays) -> str | None:
    """Value at each close, and the money put into investments so far.

    Days whose value rests on fresh prices only in part are set apart: what looks like a fall there may be none.
    """
    total, is_full = days.total_usd[1:], days.coverage[1:] >= FULL
    if not np.isfinite(total).any():
        return None
    lines = [Line("Value at the close", _values(np.where(is_full, total, np.nan)), BLUE, is_filled=True)]
    if (np.isfinite(total) & ~is_full).any():
        in_part = _values(np.where(is_full, np.nan, total))
        lines.append(Line("Coverage below 100 %", in_part, VERMILION, "1.5 2.5", 2.0))
    if np.isfinite(days.invested_usd[1:]).any():
        invested = _values(days.invested_usd[1:])
        lines.append(Line("Put into investments so far", invested, INK, "5 3", 1.2, is_step=True))
    return line_chart(days.period.days, lines, lambda value: short(value, "$"), height=205, include=(0.0,))


def compared_chart(days: PortfolioDays, benchmarks: Sequence[BenchmarkSeries]) -> str | None:
    """The time-weighted index and the benchmarks, each 100 at the close that the report starts from."""
    index = days.index
    known = np.flatnonzero(np.isfinite(index))
    if not len(known):
        return None
    base = int(known[0])
    calendar = days.calendar[base:]
    lines = [Line("Portfolio", _values(rebased(index, days.starts_anew)[base:]), BLUE, width=2.4)]
    for (colour, dash), one in zip(BENCHMARK_STYLES, benchmarks, strict=False):
        at_base = one.close[base]
        if np.isfinite(at_base) and at_base > 0:
            values = _values(100 * one.close[base:] / at_base)
            lines.append(Line(benchmark_name(one.name), values, colour, dash, 1.5))
    return line_chart(calendar, lines, short, height=210, include=(100.0,))


def drawdown_chart(days: PortfolioDays) -> str | None:
    """How far the time-weighted index is below its highest value so far."""
    index = days.index
    known = np.flatnonzero(np.isfinite(index))
    if not len(known):
        return None
    base = int(known[0])
    fallen = drawdowns(index, days.starts_anew)[base:]
    line = Line("Drawdown", _values(100 * fallen), VERMILION, is_filled=True, width=1.5)
    return line_chart(
        days.calendar[base:], [line], lambda value: short(value, "%"), height=150, has_legend=False, include=(0.0,)
    )


def rebased(index: Floats, starts_anew: np.ndarray) -> Floats:
    """The index as 100 at its first known close, and at 100 again where a new record starts."""
    result, base = np.full(len(index), np.nan), np.nan
    for at, value in enumerate(index):
        if np.isfinite(value):
            base = value if np.isnan(base) or starts_anew[at] else base
            result[at] = 100 * value / base if base > 0 else np.nan
    return result


def drawdowns(index: Floats, starts_anew: np.ndarray) -> Floats:
    """Index / highest so far - 1, 0 at a peak; NaN where the index is. A new record starts with a new peak."""
    result, peak = np.full(len(index), np.nan), 0.0
    for at, value in enumerate(index):
        if np.isfinite(value):
            peak = value if starts_anew[at] else max(peak, value)
            result[at] = value / peak - 1 if peak > 0 else np.nan
    return result


def allocation_chart(slices: Sequence[Slice]) -> str | None:
    """Shares of a portfolio, the largest first; what is too many is one bar."""
    known = [one for one in slices if is_known(one.share) and is_known(one.value_usd)]
    shown, rest = known[:MOST_SLICES], known[MOST_SLICES:]
    bars = [Bar(one.label, one.share or 0.0, f"{percent(one.share, digits=1)}  {usd(one.value_usd)}") for one in shown]
    if rest:
        share, value = sum(one.share or 0.0 for one in rest), sum(one.value_usd or 0.0 for one in rest)
        bars.append(Bar(f"{len(rest)} others", share, f"{percent(share, digits=1)}  {usd(value)}", is_rest=True))
    return bar_chart(bars)


def _values(values: Floats) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
