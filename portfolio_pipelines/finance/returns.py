"""Returns of value series, and the conventions behind them. No I/O, no clock, no Dagster; risk figures live elsewhere.

The conventions, used everywhere: simple daily returns on closes at 24:00 UTC; an inflow counts from the start of its
day and an outflow until its end (the rule of Portfolio Performance and of R's fcl::make_rtn); 365 days a year; a
return is unknown (NaN), not zero, where a value is unknown or less than 1 USD was invested.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Days = NDArray[np.int32]

LEAST_INVESTED_USD: Final = 1.0
"""Below this nothing sensible can be said about a return: dust would turn a deposit into +50,000 %."""
CENT_USD: Final = 0.01
LONGEST_GAP_DAYS: Final = 7
"""A track record survives this many days without a complete value; after more, a new one starts."""


def time_weighted_returns(values: Floats, inflows: Floats, outflows: Floats) -> Floats:
    """Simple daily returns that deposits and withdrawals do not move.

    Args:
        values: Closing values in USD, shape (days,) or (days, users); NaN where unknown.
        inflows: Money put in on each day, USD, same shape; counts from the start of the day.
        outflows: Money taken out on each day, USD, same shape; counts until the end of the day.

    Returns:
        Shape (days - 1, ...), 0.01 = 1 %. NaN where a value is unknown or less than 1 USD was invested.

    Raises:
        ValueError: If the shapes differ.
    """
    if not values.shape == inflows.shape == outflows.shape:
        msg = f"shapes differ: {values.shape}, {inflows.shape}, {outflows.shape}"
        raise ValueError(msg)
    invested = values[:-1] + inflows[1:]
    return (values[1:] + outflows[1:]) / np.where(invested >= LEAST_INVESTED_USD, invested, np.nan) - 1


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """Where the chain of returns of each portfolio stands after a day. All arrays have shape (portfolios,).

    `index` is 1.0 before the first day. `value_usd` and `day` belong to the last day whose value was complete (NaN
    and -1 before the first); the flows are those since that day.
    """

    index: Floats
    value_usd: Floats
    day: Days  # days since 1970-01-01
    inflow_usd: Floats
    outflow_usd: Floats

    @classmethod
    def new(cls, portfolios: int) -> "TrackRecord":
        """Track records of portfolios that were never valued."""
        return cls(
            index=np.ones(portfolios),
            value_usd=np.full(portfolios, np.nan),
            day=np.full(portfolios, -1, np.int32),
            inflow_usd=np.zeros(portfolios),
            outflow_usd=np.zeros(portfolios),
        )

    def matched(self, known: NDArray[np.int32], wanted: NDArray[np.int32]) -> "TrackRecord":
        """The records of the portfolios `wanted`, where this record's are `known` (both sorted); others start new."""
        if np.array_equal(known, wanted):
            return self
        if not len(known) or not len(wanted):
            return TrackRecord.new(len(wanted))
        places = np.full(max(known[-1], wanted[-1]) + 1, -1, np.int32)  # keys are small: a search takes far longer
        places[known] = np.arange(len(known))
        place = places[wanted]
        others = np.flatnonzero(place < 0)
        new = TrackRecord.new(len(others))
        index, value, day = self.index[place], self.value_usd[place], self.day[place]
        inflow, outflow = self.inflow_usd[place], self.outflow_usd[place]
        index[others], value[others], day[others] = new.index, new.value_usd, new.day
        inflow[others], outflow[others] = new.inflow_usd, new.outflow_usd
        return TrackRecord(index, value, day, inflow, outflow)

    def of_what_was_seen(self, invested_usd: Floats, inflows: Floats) -> tuple["TrackRecord", Floats]:
        """The record and the flows of a day, without the flows of portfolios that are older than their first value.

        Where the first computed day comes after the first purchase, a later purchase is not all the money that is
        behind the value: measured from it alone, 1,000 USD of old coins would read as a gain of 1,000 %. Such a record
        begins with its first complete close instead.

        Args:
            invested_usd: Money put in up to the day, that day included, USD.
            inflows: Money put in on the day, USD.
        """
        is_older = np.isnan(self.value_usd) & (invested_usd - (self.inflow_usd + inflows) > CENT_USD)
        if not is_older.any():
            return self, inflows
        return replace(self, inflow_usd=np.where(is_older, 0.0, self.inflow_usd)), np.where(is_older, 0.0, inflows)


@dataclass(frozen=True, slots=True)
class DayOfReturns:
    """What one day adds: shape (portfolios,), NaN where it cannot be known."""

    daily_return: Floats  # return since the close of the day before; NaN across a gap
    twr_index: Floats
    track: TrackRecord


def chain_day(track: TrackRecord, day: int, values: Floats, inflows: Floats, outflows: Floats) -> DayOfReturns:
    """Link one day to the time-weighted return of each portfolio.

    A day whose value is not complete (NaN) gets no return and no index; its flows wait. The next complete day is
    compared with the last complete one, so that no gain or loss is dropped, but such a return is no daily return and
    is not shown as one. After more than LONGEST_GAP_DAYS, or when less than 1 USD is invested, the chain starts anew
    at 1.0.

    Args:
        track: State after the day before.
        day: The day, in days since 1970-01-01.
        values: Complete closing values in USD; NaN where some holding has no price.
        inflows: Money put in on this day, USD.
        outflows: Money taken out on this day, USD.

    Returns:
        Returns, index and the state to hand on. Day by day or range by range, the same numbers to the last bit.
    """
    waiting_in, waiting_out = track.inflow_usd + inflows, track.outflow_usd + outflows
    complete = ~np.isnan(values)
    first = np.isnan(track.value_usd)
    gap = day - track.day
    base = np.where(first, 0.0, track.value_usd) + waiting_in
    linked = complete & (base >= LEAST_INVESTED_USD) & (first | (gap - 1 <= LONGEST_GAP_DAYS))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        since = np.where(linked, (values + waiting_out) / base - 1, np.nan)
    index = np.where(linked, track.index * (1 + since), np.where(complete, 1.0, track.index))
    moved = replace(
        track,
        index=index,
        value_usd=np.where(complete, values, track.value_usd),
        day=np.where(complete, day, track.day).astype(np.int32),
        inflow_usd=np.where(complete, 0.0, waiting_in),
        outflow_usd=np.where(complete, 0.0, waiting_out),
    )
    waited = first & ((track.inflow_usd != 0) | (track.outflow_usd != 0))  # the first days had no complete value
    daily = np.where((first & ~waited) | (gap == 1), since, np.nan)
    return DayOfReturns(daily, np.where(complete, index, np.nan), moved)
