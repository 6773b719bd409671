"""Portfolios beside a benchmark: excess, beta, correlation, tracking error, captures. No I/O, no clock, no Dagster.

Belongs here: the comparison of return series on the benchmark's own grid. A benchmark that trades on weekdays is
compared on its trading days: the portfolio's returns of the days in between are compounded onto them, so that none is
lost and none is compared with a close that was merely carried over. On a seven-day grid with carried closes a true beta
of 1.5 is measured with a correlation that is too low, and one day of shift turns it negative.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from portfolio_pipelines.finance import metrics_conventions as rules
from portfolio_pipelines.finance.metrics_history import State
from portfolio_pipelines.finance.metrics_kernel import BLOCK, Floats, Rows

LONGEST_INTERVAL_DAYS: Final = 7
"""A pair of closes further apart is no return to compare with."""
LEAST_RETURN: Final = -1 + 1e-12
"""A total loss has no logarithm; it is counted as one part in 10^12 left."""


@dataclass(frozen=True, slots=True)
class BenchmarkSeries:
    """Closes of a benchmark; element 0 is the close before the first row of the history. Shape (days + 1,)."""

    name: str
    close: Floats  # the last close at the end of the day, carried over weekends; NaN when unknown
    traded: NDArray[np.bool_]  # whether that close is of the day itself

    @property
    def periods_a_year(self) -> int:
        """365 for what trades every day, 252 for what does not."""
        known = ~np.isnan(self.close)
        weekdays_only = known.any() and self.traded[known].mean() < 6 / 7
        return rules.TRADING_DAYS_A_YEAR if weekdays_only else rules.DAYS_A_YEAR

    def intervals(self, row: int) -> tuple[Rows, Rows, Floats]:
        """First and last row of the days between two closes of its own, up to a row, and the benchmark's return."""
        own = np.flatnonzero(self.traded[: row + 2] & (self.close[: row + 2] > 0)).astype(np.int32)
        first, last = own[:-1], own[1:] - 1  # in rows of the history: element n + 1 is the close of row n
        returns = self.close[own[1:]] / self.close[own[:-1]] - 1
        near = last - first < LONGEST_INTERVAL_DAYS
        return first[near], last[near], returns[near]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One window against one benchmark; every array has shape (portfolios,). NaN is null."""

    window_days: int
    benchmark: str
    benchmark_roi: Floats  # last close / close before the window - 1
    beta: Floats  # covariance / variance of the benchmark
    correlation: Floats
    tracking_error: Floats  # standard deviation (n - 1) of the difference of returns, a year
    up_capture: Floats  # geometric mean return / the benchmark's, over periods in which the benchmark rose
    down_capture: Floats
    n_obs: Rows  # pairs of returns


def compare(
    returns: Floats, state: State, row: int, windows: Sequence[int], benchmarks: Sequence[BenchmarkSeries]
) -> list[Comparison]:
    """Compare all portfolios with benchmarks, as of the close of a row.

    Args:
        returns: Daily returns of the history, shape (days, portfolios); NaN where there is none.
        state: Where the portfolios stand after the row.
        row: The row.
        windows: Lengths in days; 0 is since each track record began.
        benchmarks: What to compare with.

    Returns:
        One for each benchmark and window. Below LEAST_PAIRS pairs of returns there is no statistic of pairs.
    """
    portfolios = returns.shape[1]
    sums = np.zeros((len(benchmarks), len(windows), len(_SUMS), portfolios))
    grids = _grids(benchmarks, row, windows)

    for start in range(0, portfolios, BLOCK):
        some = slice(start, min(start + BLOCK, portfolios))
        for grid in grids:
            known, own = _on_grid(returns[:, some], state.start[some], grid.first, grid.last)
            logs = np.log1p(np.maximum(own, LEAST_RETURN))
            into = np.empty((len(grid.benchmarks), len(windows), len(_SUMS), own.shape[1]))
            into[:, :, :7] = grid.of_known.sum(axis=-1)[..., None] if known.all() else _product(grid.of_known, known)
            into[:, :, 7:9] = _product(grid.of_own, own)
            into[:, :, 9] = grid.within @ (own * own)
            into[:, :, 10:] = _product(grid.of_logs, logs)
            sums[grid.benchmarks, :, :, some] = into
    return [
        _figures(
            benchmark,
            dict(zip(_SUMS, sums[number, place], strict=True)),
            _benchmark_roi(benchmark, state, row, window),
            window,
        )
        for number, benchmark in enumerate(benchmarks)
        for place, window in enumerate(windows)
    ]


_SUMS: Final = (
    "n", "b", "bb", "n_up", "log_b_up", "n_down", "log_b_down", "p", "pb", "pp", "log_p_up", "log_p_down",
)  # fmt: skip
"""Sums over pairs of returns; p is the portfolio's, b the benchmark's."""


@dataclass(frozen=True, slots=True)
class _Grid:
    """Intervals between closes, and weights of them for the benchmarks that close on them.

    The weights have shape (benchmarks, windows, sums, intervals), 0 outside the window: one product for each block
    makes the sums of all windows and benchmarks.
    """

    first: Rows
    last: Rows
    benchmarks: list[int]
    within: Floats  # shape (windows, intervals): 1.0 or 0.0
    of_known: Floats
    of_own: Floats
    of_logs: Floats


def _grids(benchmarks: Sequence[BenchmarkSeries], row: int, windows: Sequence[int]) -> list[_Grid]:
    """What trades on the same days shares the portfolios' returns over them."""
    found: dict[bytes, tuple[Rows, Rows, list[int], list[Floats]]] = {}
    for number, benchmark in enumerate(benchmarks):
        first, last, moves = benchmark.intervals(row)
        _, _, numbers, returns = found.setdefault(first.tobytes() + last.tobytes(), (first, last, [], []))
        numbers.append(number)
        returns.append(moves)
    return [_grid(*parts, row, windows) for parts in found.values()]


def _grid(first: Rows, last: Rows, numbers: list[int], moves: list[Floats], row: int, windows: Sequence[int]) -> _Grid:
    within = np.stack([first >= (row + 1 - window if window else 0) for window in windows]).astype(float)
    of_known, of_own, of_logs = [], [], []
    for b in moves:
        one, up, down = np.ones(len(b)), (b > 0).astype(float), (b < 0).astype(float)
        logs = np.log1p(np.maximum(b, LEAST_RETURN))
        of_known.append(within[:, None] * np.stack([one, b, b * b, up, up * logs, down, down * logs]))
        of_own.append(within[:, None] * np.stack([one, b]))
        of_logs.append(within[:, None] * np.stack([up, down]))
    return _Grid(first, last, numbers, within, np.stack(of_known), np.stack(of_own), np.stack(of_logs))


def _product(weights: Floats, values: Floats) -> Floats:
    """Sums of values (intervals, portfolios) by weights (…, intervals)."""
    flat = weights.reshape(math.prod(weights.shape[:-1]), weights.shape[-1]) @ values  # -1 cannot be told of no values
    return flat.reshape(*weights.shape[:-1], values.shape[1])


def _on_grid(returns: Floats, start: Rows, first: Rows, last: Rows) -> tuple[Floats, Floats]:
    """Whether each portfolio has a return over each interval (1.0 or 0.0), and that return (else 0)."""
    there = ~np.isnan(returns)
    there &= np.arange(len(returns), dtype=np.int32)[:, None] >= start
    if not len(first):
        return np.zeros((0, returns.shape[1])), np.zeros((0, returns.shape[1]))
    if (first == last).all():
        known = there[first]
        return known.astype(float), np.where(known, returns[first], 0.0)
    days = np.stack([first, last + 1], axis=1).ravel()  # reduceat: every other piece lies between two intervals
    within = days[:-1] if days[-1] == len(returns) else days
    known = np.logical_and.reduceat(there, within, axis=0)[::2]
    grown = np.multiply.reduceat(np.where(there, returns + 1, 1.0), within, axis=0)[::2]
    return known.astype(float), np.where(known, grown - 1, 0.0)


def _benchmark_roi(benchmark: BenchmarkSeries, state: State, row: int, window: int) -> Floats:
    if window == 0:
        before = benchmark.close[np.minimum(state.start, row + 1)]
    else:
        before = np.full(len(state.start), benchmark.close[row + 1 - window] if row + 1 >= window else np.nan)
    return np.asarray(benchmark.close[row + 1] / before - 1)


def _figures(benchmark: BenchmarkSeries, sums: dict[str, Floats], benchmark_roi: Floats, window: int) -> Comparison:
    n = sums["n"]
    enough = n >= rules.LEAST_PAIRS
    count = np.maximum(n, 2)
    a_year = np.sqrt(benchmark.periods_a_year)

    def covariance(product: str, one: str, other: str) -> Floats:
        return np.asarray((sums[product] - sums[one] * sums[other] / count) / (count - 1))

    of_benchmark = np.maximum(covariance("bb", "b", "b"), 0.0)
    of_portfolio = np.maximum(covariance("pp", "p", "p"), 0.0)
    together = covariance("pb", "p", "b")
    floor = rules.LEAST_DAILY_DEVIATION**2
    moves = enough & (of_benchmark >= floor)
    both = moves & (of_portfolio >= floor)
    difference = np.maximum(of_portfolio + of_benchmark - 2 * together, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.clip(together / np.sqrt(of_portfolio * of_benchmark), -1, 1)
        return Comparison(
            window_days=window,
            benchmark=benchmark.name,
            benchmark_roi=np.where(np.isfinite(benchmark_roi), benchmark_roi, np.nan),
            beta=np.where(moves, together / of_benchmark, np.nan),
            correlation=np.where(both, correlation, np.nan),
            tracking_error=np.where(enough, np.sqrt(difference) * a_year, np.nan),
            up_capture=_capture(enough, sums["log_p_up"], sums["log_b_up"], sums["n_up"]),
            down_capture=_capture(enough, sums["log_p_down"], sums["log_b_down"], sums["n_down"]),
            n_obs=n.astype(np.int32),
        )


def _capture(enough: NDArray[np.bool_], log_p: Floats, log_b: Floats, periods: Floats) -> Floats:
    """Ratio of geometric means: what Morningstar calls capture, per period and therefore not annualised."""
    divisor = np.maximum(periods, 1)
    return np.where(enough & (periods > 0), np.expm1(log_p / divisor) / np.expm1(log_b / divisor), np.nan)
