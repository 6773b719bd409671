"""Risk figures of many portfolios over several windows in one pass backwards. No I/O, no clock, no Dagster.

Belongs here: arithmetic on day-major returns, in blocks of portfolios that stay in the processor's cache. Which windows
make sense, and what a null means, is decided in `metrics`.

Going backwards, the windows that end with the last day are nested: what 30 days need is a part of what 365 days need.
Sums are kept by segments between the windows; the drawdown follows the recurrence `low = min(low, 1) * (1 + r)`, the
lowest index after a day relative to that day, and is read at the start of each window.
"""

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from portfolio_pipelines.finance.metrics_conventions import LEAST_FOR_TAIL, ROUNDING, TAIL

Floats = NDArray[np.float64]
Rows = NDArray[np.int32]

BLOCK: Final = 2048
"""Portfolios at once: the 16 kB columns of the recurrence stay in the first-level cache."""
THREADS: Final = 2


@dataclass(frozen=True, slots=True)
class WindowStatistics:
    """Statistics of one window; every array has shape (portfolios,). Rows count from the first row of the returns."""

    count: Rows  # daily returns in the window
    growth: Floats  # product of 1 + r, returns over gaps included
    total: Floats  # sum of r
    squares: Floats  # sum of r squared
    shortfall: Floats  # sum of min(r - target, 0) squared
    best: Floats  # minus infinity without a return
    worst: Floats  # infinity without a return
    lowest: Floats  # smallest index / earlier highest index, in [0, 1]; 1.0 without a drawdown
    peak: Rows  # row of the close before the deepest fall, -1 + first row possible; meaningless without a drawdown
    trough: Rows
    recovered: Rows  # first row after the trough with an index as high as the peak; -1 when there is none
    tail_quantile: Floats  # linear (type 7) quantile; not finite without a return, NaN in windows below LEAST_FOR_TAIL
    tail_mean: Floats  # mean of the returns up to the quantile


@dataclass(frozen=True, slots=True)
class GapReturns:
    """Returns over more than one day: they count in the index and in no statistic of days. Sorted by portfolio."""

    row: Rows
    portfolio: NDArray[np.int64]
    growth: Floats  # 1 + return since the last complete day

    @classmethod
    def none(cls) -> "GapReturns":
        """No gap anywhere."""
        return cls(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0))

    def within(self, first: int, last: int, end_row: int) -> "GapReturns":
        """Those of the portfolios [first, last) up to a row, with portfolios counted from `first`."""
        some = slice(*np.searchsorted(self.portfolio, [first, last]))
        early = self.row[some] <= end_row
        return GapReturns(self.row[some][early], self.portfolio[some][early] - first, self.growth[some][early])


def window_statistics(
    returns: Floats, start: Rows, gaps: GapReturns, windows: Sequence[int], target: float = 0.0
) -> list[WindowStatistics]:
    """Statistics of windows that end with the last row.

    Args:
        returns: Daily simple returns, shape (days, portfolios), 0.01 = 1 %; NaN where there is none.
        start: First row of each portfolio's track record, shape (portfolios,); rows before it are left out.
        gaps: Returns over more than one day.
        windows: Numbers of rows; 0 for all. A window longer than the rows is all of them.
        target: Daily return below which a day counts as a shortfall.

    Returns:
        One for each window, in their order. Source: the empyrical definitions with annualization=365; the drawdown
        recurrence agrees with cumprod and cummax to 3e-15.
    """
    days, portfolios = returns.shape
    lengths = [min(window, days) or days for window in windows]
    results = [_empty(portfolios) for _ in windows]

    def work(bounds: tuple[int, int]) -> None:
        first, last = bounds
        block = _block_statistics(
            returns[:, first:last], start[first:last], gaps.within(first, last, days - 1), lengths, target
        )
        for result, part in zip(results, block, strict=True):
            for name in WindowStatistics.__slots__:
                getattr(result, name)[first:last] = getattr(part, name)

    with ThreadPoolExecutor(THREADS, thread_name_prefix="metrics") as threads:  # NumPy releases the interpreter
        list(threads.map(work, _blocks(portfolios)))
    return results


def _blocks(portfolios: int) -> Iterator[tuple[int, int]]:
    return ((first, min(first + BLOCK, portfolios)) for first in range(0, portfolios, BLOCK))


def _empty(portfolios: int) -> WindowStatistics:
    rows = {"count", "peak", "trough", "recovered"}
    return WindowStatistics(
        **{name: np.zeros(portfolios, np.int32 if name in rows else float) for name in WindowStatistics.__slots__}
    )


def _block_statistics(
    block: Floats, start: Rows, gaps: GapReturns, lengths: Sequence[int], target: float
) -> list[WindowStatistics]:
    days, width = block.shape
    known = ~np.isnan(block)
    if start.max(initial=0) > 0:
        known &= np.arange(days, dtype=np.int32)[:, None] >= start
    known[gaps.row, gaps.portfolio] = False
    if known.all():  # the usual case: nothing to mask
        daily = above = below = np.ascontiguousarray(block)
    else:
        daily = np.where(known, block, 0.0)
        above, below = np.where(known, block, -np.inf), np.where(known, block, np.inf)
    growth = daily + 1.0
    counted = gaps.row >= start[gaps.portfolio]
    growth[gaps.row[counted], gaps.portfolio[counted]] = gaps.growth[counted]

    cuts = sorted({days - length for length in lengths})  # first rows of the windows, the longest window first
    bounds = [*cuts, days]
    shortfall = np.minimum(daily - target, 0.0) * known if target else np.minimum(daily, 0.0)
    sums: dict[int, tuple[Floats, ...]] = {}
    later: tuple[Floats, ...] = (
        np.zeros(width), np.ones(width), np.zeros(width), np.zeros(width), np.zeros(width),
        np.full(width, -np.inf), np.full(width, np.inf),
    )  # fmt: skip
    for first, end in reversed(list(itertools.pairwise(bounds))):
        part = slice(first, end)
        later = (
            later[0] + known[part].sum(axis=0),
            later[1] * np.multiply.reduce(growth[part], axis=0),
            later[2] + daily[part].sum(axis=0),
            later[3] + np.einsum("ij,ij->j", daily[part], daily[part]),
            later[4] + np.einsum("ij,ij->j", shortfall[part], shortfall[part]),
            np.maximum(later[5], above[part].max(axis=0)),
            np.minimum(later[6], below[part].min(axis=0)),
        )
        sums[first] = later

    falls = _falls(growth, cuts)
    for row in range(1, days):
        np.multiply(growth[row - 1], growth[row], out=growth[row])  # from here on it is the index
    by_portfolio = np.ascontiguousarray(below.T)
    results = {}
    for first in cuts:
        count = sums[first][0].astype(np.int32)
        lowest, peak, trough = falls[first]
        is_tail = days - first >= LEAST_FOR_TAIL
        quantile, tail_mean = _tail(by_portfolio[:, first:], count) if is_tail else (np.full(width, np.nan),) * 2
        count_of, product, total, squares, short, best, worst = sums[first]
        results[first] = WindowStatistics(
            count=count_of.astype(np.int32),
            growth=product,
            total=total,
            squares=squares,
            shortfall=short,
            best=best,
            worst=worst,
            lowest=lowest,
            peak=peak,
            trough=trough,
            recovered=_recovered(growth, first, lowest, peak, trough),
            tail_quantile=quantile,
            tail_mean=tail_mean,
        )
    return [results[days - length] for length in lengths]


def _falls(growth: Floats, cuts: Sequence[int]) -> dict[int, tuple[Floats, Rows, Rows]]:
    """Deepest fall, its peak and its trough of the windows that begin with the rows `cuts`."""
    days, width = growth.shape
    low, lowest = np.ones(width), np.ones(width)
    lowest_row, peak, trough = (np.full(width, days - 1, np.int32) for _ in range(3))
    wanted, read = set(cuts), {}
    at_top, deeper = np.empty(width, bool), np.empty(width, bool)
    for row in range(days - 1, min(cuts) - 1, -1):
        np.multiply(low, growth[row], out=low)
        np.less(low, lowest, out=deeper)
        np.minimum(lowest, low, out=lowest)
        np.copyto(peak, row - 1, where=deeper)
        np.copyto(trough, lowest_row, where=deeper)
        np.greater_equal(low, 1.0, out=at_top)
        np.copyto(lowest_row, row - 1, where=at_top)  # no later close is below this one: it is a trough itself
        np.minimum(low, 1.0, out=low)
        if row in wanted:
            read[row] = lowest.copy(), peak.copy(), trough.copy()
    return read


def _recovered(index: Floats, first: int, lowest: Floats, peak: Rows, trough: Rows) -> Rows:
    """First row after the trough at which the index is as high as at the peak; -1 when there is none."""
    result = np.full(len(lowest), -1, np.int32)
    fell = np.flatnonzero(lowest < 1.0)
    if not len(fell):
        return result
    at_peak = np.where(peak[fell] >= 0, index[np.maximum(peak[fell], 0), fell], 1.0)
    rows = np.arange(first, len(index), dtype=np.int32)[:, None]
    part = index[first:] if len(fell) == index.shape[1] else index[first:, fell]
    back = (part >= at_peak * (1 - ROUNDING)) & (rows > trough[fell])
    found = back.argmax(axis=0)
    there = back[found, np.arange(len(fell))]
    result[fell[there]] = found[there] + first
    return result


def _tail(returns: Floats, count: Rows) -> tuple[Floats, Floats]:
    """Quantile and the mean up to it of each row of (portfolios, days), where `count` of them are numbers."""
    everyone = np.arange(len(returns))
    last = np.maximum(count - 1, 0)
    place = last * TAIL
    below = place.astype(np.int64)
    least = min(int(below.max(initial=0)) + 1, returns.shape[1] - 1)
    parted = np.partition(returns, least, axis=1)  # what is missing is infinite and goes last
    head = np.sort(parted[:, : least + 1], axis=1)
    above = np.minimum(below + 1, last)
    lower, upper = head[everyone, below], head[everyone, above]
    with np.errstate(invalid="ignore"):  # nothing but infinity where nothing is known
        quantile = lower + (upper - lower) * (place - below)
    mean = np.cumsum(head, axis=1)[everyone, below] / (below + 1)
    reach = quantile + ROUNDING  # equal returns of different values differ in their last digits
    tied = np.flatnonzero((upper <= reach) & (above > below))
    if len(tied):  # rows where the next larger return equals the quantile: it belongs to the tail too
        in_tail = parted[tied] <= reach[tied, None]
        mean[tied] = np.where(in_tail, parted[tied], 0.0).sum(axis=1) / in_tail.sum(axis=1)
    return quantile, mean
