"""The past of many portfolios as arrays: what metrics are computed from. No I/O, no clock, no Dagster.

Belongs here: folding days of portfolio values into one day-major matrix of returns, the few days on which money moved
or a record was interrupted, and sums at the days where windows begin. The figures themselves are made in `metrics`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from portfolio_pipelines.finance.metrics_kernel import Floats, GapReturns, Rows

Places = NDArray[np.int64]
MATRIX_IN_MEMORY: int = 1 << 30
"""Bytes of returns that are kept in memory; more go into a file that the system pages in and out."""


@dataclass(frozen=True, slots=True)
class DayOfPortfolios:
    """One day of the portfolios; every array has shape (portfolios of the day,), NaN where unknown."""

    place: Places  # place of each in the history, ascending
    value_usd: Floats
    stale_usd: Floats
    missing_usd: Floats
    inflow_usd: Floats
    outflow_usd: Floats
    daily_return: Floats
    twr_index: Floats  # NaN on incomplete days, 1.0 where a record starts anew


@dataclass(frozen=True, slots=True)
class State:
    """Where each portfolio stands after a day; every array has shape (portfolios,)."""

    complete: NDArray[np.bool_]  # the value of the day is known in full
    interrupted: NDArray[np.bool_]  # the record is not the first one
    start: Rows  # first row of the track record; the row after this one while there is none
    start_value_usd: Floats  # worth at the close before `start`: 0 before the first purchase
    value_usd: Floats
    fresh_usd: Floats  # sums over all closes so far of the worth that rests on fresh prices
    expected_usd: Floats  # and of the worth expected
    fresh_before_usd: Floats  # the same sums at the close before `start`
    expected_before_usd: Floats


@dataclass(frozen=True, slots=True)
class Flows:
    """Money that moved, sorted by portfolio and row."""

    portfolio: Places
    row: Rows
    inflow_usd: Floats
    outflow_usd: Floats


@dataclass(slots=True)
class History:
    """Days folded so far. Rows are days, counted from the first; every day must be added once, in order.

    Args:
        portfolios: How many.
        days: How many days will be added.
        kept: Rows whose `State` will be asked for.
    """

    portfolios: int
    days: int
    kept: frozenset[int]
    returns: Floats = field(init=False)
    states: dict[int, State] = field(default_factory=dict)
    _row: int = 0
    _flows: list[Flows] = field(default_factory=list)
    _gaps: list[GapReturns] = field(default_factory=list)

    def __post_init__(self) -> None:
        shape = (self.days, self.portfolios)
        if self.days * self.portfolios * 8 <= MATRIX_IN_MEMORY:
            self.returns = np.empty(shape)  # every row is written when its day is added
        else:
            from tempfile import TemporaryFile

            with TemporaryFile() as file:  # the mapping keeps it alive
                self.returns = np.memmap(file, np.float64, "w+", shape=shape)
        count = self.portfolios
        self._index, self._last_complete = np.ones(count), np.full(count, -1)
        self._begun, self._interrupted = np.zeros(count, bool), np.zeros(count, bool)
        self._start, self._start_value = np.zeros(count, np.int32), np.zeros(count)
        self._fresh, self._expected = np.zeros(count), np.zeros(count)
        self._fresh_before, self._expected_before = np.zeros(count), np.zeros(count)

    _index: Floats = field(init=False)
    _last_complete: Places = field(init=False)
    _begun: NDArray[np.bool_] = field(init=False)
    _interrupted: NDArray[np.bool_] = field(init=False)
    _start: Rows = field(init=False)
    _start_value: Floats = field(init=False)
    _fresh: Floats = field(init=False)
    _expected: Floats = field(init=False)
    _fresh_before: Floats = field(init=False)
    _expected_before: Floats = field(init=False)

    def add(self, day: DayOfPortfolios) -> None:
        """Fold in the next day.

        A portfolio's record starts on the first day it appears. It starts anew where the index is 1.0 without a daily
        return: `returns.chain_day` sets that after a gap too long to bridge, or when nothing was invested.
        """
        row, place = self._row, day.place
        # Where every portfolio is there, the usual case, a slice spares the search for each one's place.
        there: Places | slice = slice(None) if len(place) == self.portfolios else place
        line = self.returns[row]
        if len(place) < self.portfolios:
            line[:] = np.nan
        line[there] = day.daily_return
        complete = ~np.isnan(day.twr_index)
        if not self._begun[there].all():
            self._start[place[~self._begun[there]]] = row
            self._begun[there] = True

        over = complete & np.isnan(day.daily_return)
        anew = over & (day.twr_index == 1.0)
        bridged = over & ~anew
        if bridged.any():
            at = place[bridged]
            self._gaps.append(GapReturns(np.full(len(at), row, np.int32), at, day.twr_index[bridged] / self._index[at]))
        if complete.all():
            self._index[there] = day.twr_index
        else:
            self._index[place[complete]] = day.twr_index[complete]

        value = np.where(np.isnan(day.value_usd), 0.0, day.value_usd)
        self._fresh[there] += value - day.stale_usd
        self._expected[there] += value + day.missing_usd
        if anew.any():
            at = place[anew]
            self._start[at], self._start_value[at], self._interrupted[at] = row + 1, day.value_usd[anew], True
            self._fresh_before[at], self._expected_before[at] = self._fresh[at], self._expected[at]

        moved = (day.inflow_usd != 0) | (day.outflow_usd != 0)
        if moved.any():
            rows = np.full(int(moved.sum()), row, np.int32)
            self._flows.append(Flows(place[moved], rows, day.inflow_usd[moved], day.outflow_usd[moved]))
        if row in self.kept:
            self.states[row] = self._state(place, complete, day.value_usd)
        self._row += 1

    def skip(self) -> None:
        """A day of which nothing is known."""
        empty = np.empty(0)
        self.add(DayOfPortfolios(np.empty(0, np.int64), empty, empty, empty, empty, empty, empty, empty))

    def _state(self, place: Places, complete: NDArray[np.bool_], value: Floats) -> State:
        everyone, worth = np.zeros(self.portfolios, bool), np.full(self.portfolios, np.nan)
        everyone[place], worth[place] = complete, np.where(complete, value, np.nan)
        return State(
            complete=everyone,
            interrupted=self._interrupted.copy(),
            start=np.where(self._begun, self._start, self._row + 1).astype(np.int32),
            start_value_usd=self._start_value.copy(),
            value_usd=worth,
            fresh_usd=self._fresh.copy(),
            expected_usd=self._expected.copy(),
            fresh_before_usd=self._fresh_before.copy(),
            expected_before_usd=self._expected_before.copy(),
        )

    def gaps(self) -> GapReturns:
        """All returns over gaps, sorted by portfolio."""
        if not self._gaps:
            return GapReturns.none()
        row = np.concatenate([part.row for part in self._gaps])
        portfolio = np.concatenate([part.portfolio for part in self._gaps])
        growth = np.concatenate([part.growth for part in self._gaps])
        order = np.lexsort((row, portfolio))
        return GapReturns(row[order], portfolio[order], growth[order])

    def flows(self) -> Flows:
        """All flows, sorted by portfolio and row."""
        if not self._flows:
            return Flows(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0), np.empty(0))
        portfolio = np.concatenate([part.portfolio for part in self._flows])
        row = np.concatenate([part.row for part in self._flows])
        inflow = np.concatenate([part.inflow_usd for part in self._flows])
        outflow = np.concatenate([part.outflow_usd for part in self._flows])
        order = np.lexsort((row, portfolio))
        return Flows(portfolio[order], row[order], inflow[order], outflow[order])


def rows_needed(as_of: Iterable[int], windows: Iterable[int]) -> frozenset[int]:
    """Rows whose state the metrics of the rows `as_of` need: each of them, and the closes where windows begin."""
    lengths = list(windows)
    return frozenset(row - length for row in as_of for length in (0, *lengths) if row - length >= 0)
