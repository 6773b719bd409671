"""Who stands where: records of all portfolios over windows, who may be ranked, and in which order.

Belongs here: the rules against gaming and the order. What a day counts is in `counted_holdings`, what others may see of
a portfolio in `leaderboard_privacy`. No I/O, no clock, no Dagster.

The rules: all daily returns of the window are known; at least 100 USD were at work on every day and at least 1,000 USD
on half of them; 95 % of the worth rests on prices that several sources agree on; a day of more than 100 % counts only
where every price behind it is so confirmed. Ranked is by time-weighted return. A Sharpe ratio of 30 days would rank
luck: among 125,000 portfolios without any skill the best one has 16.4.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from portfolio_pipelines.finance.counted_holdings import CountedDay
from portfolio_pipelines.finance.returns import LEAST_INVESTED_USD

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

WINDOWS: Final = (30, 90, 365)
"""Days, as people ask for them; of the 30 days most is luck, which is why the longer ones stand beside it."""
TOP: Final = 100
"""Rows of a published board."""
LEAST_AT_WORK_USD: Final = 100.0
"""On every day: dust that is left behind a withdrawal can return +50,000 %."""
USUALLY_AT_WORK_USD: Final = 1_000.0
"""On half of the days: else a hundred portfolios of 100 USD are tried, and the luckiest one is shown."""
CONFIRMED_SHARE: Final = 0.95
"""Of the worth at the closes: a coin that one source prices is moved by whoever holds it."""
WILD_DAY: Final = 1.0
"""+100 %: more is a wrong price until it is confirmed."""
EQUAL_DIGITS: Final = 9
"""Figures that agree to so many decimals are equal: the same holdings added in another order must tie."""
ROUNDING: Final = 1e-9
NOWHERE: Final = -1


class Unranked(IntFlag):
    """Why a portfolio is not ranked; several can hold at once."""

    SHORT = 1
    LITTLE = 2
    SMALL = 4
    UNCONFIRMED = 8
    WILD = 16


WORDS: Final[Mapping[Unranked, str]] = {
    Unranked.SHORT: "fewer daily returns than the window since the holdings were entered, or a price is missing",
    Unranked.LITTLE: "less than 100 USD at work on a day",
    Unranked.SMALL: "less than 1,000 USD at work on more than half of the days",
    Unranked.UNCONFIRMED: "less than 95 % of the worth rests on confirmed prices",
    Unranked.WILD: "a day of more than 100 % on a price that is not confirmed",
}


@dataclass(frozen=True, slots=True)
class WindowRecord:
    """What a window of days gave; every array has shape (portfolios,), NaN where it cannot be told."""

    window_days: int
    roi_twr: Floats  # product of 1 + daily return, minus 1; 0.01 = 1 %
    pnl_over_peak_capital: Floats  # gains of the window, USD / the most that was at work on a day of it
    max_drawdown: Floats  # lowest index / highest one before it - 1, within [-1, 0]
    value_usd: Floats  # at the last close
    n_obs: NDArray[np.int32]  # days with a known return
    unranked: NDArray[np.int32]  # flags of `Unranked`; 0 where it may be ranked

    @property
    def eligible(self) -> Flags:
        """Which portfolios are ranked."""
        return np.asarray(self.unranked == 0)


@dataclass(slots=True)
class Backwards:
    """Days folded from the newest to the oldest: after N of them, `record` tells the window of the last N days.

    Args:
        portfolios: How many; their keys, ascending.
    """

    user_key: NDArray[np.int32]
    days: int = 0
    _growth: Floats = field(init=False)
    _low: Floats = field(init=False)
    _drawdown: Floats = field(init=False)
    _gain: Floats = field(init=False)
    _peak: Floats = field(init=False)
    _least: Floats = field(init=False)
    _worth: Floats = field(init=False)
    _confirmed: Floats = field(init=False)
    _value: Floats = field(init=False)
    _known: NDArray[np.int32] = field(init=False)
    _large: NDArray[np.int32] = field(init=False)
    _wild: Flags = field(init=False)
    _places: NDArray[np.int64] | None = None  # of each key, made when first needed: keys are small numbers

    def __post_init__(self) -> None:
        count = len(self.user_key)
        self._growth, self._low, self._drawdown = np.ones(count), np.ones(count), np.zeros(count)
        self._gain, self._peak, self._least = np.zeros(count), np.zeros(count), np.full(count, np.inf)
        self._worth, self._confirmed, self._value = np.zeros(count), np.zeros(count), np.full(count, np.nan)
        self._known, self._large = np.zeros(count, np.int32), np.zeros(count, np.int32)
        self._wild = np.zeros(count, bool)

    def add(self, day: CountedDay | None) -> None:
        """Fold in the next older day; None for one of which nothing is known."""
        if day is not None:
            self._fold(day)
        self.days += 1

    def _fold(self, day: CountedDay) -> None:
        spread = self._spreader(day.user_key)
        opening, gain, sure = spread(day.opening_usd), spread(day.gain_usd), spread(day.opening_confirmed_usd)
        if self.days == 0:
            self._value = spread(day.value_usd)
            self._worth += np.nan_to_num(self._value)
            self._confirmed += np.nan_to_num(spread(day.confirmed_usd))
        known = opening >= LEAST_INVESTED_USD
        known &= gain == gain  # not NaN
        at_work = np.where(known, opening, 0.0)
        change = np.zeros(len(opening))
        np.divide(gain, opening, out=change, where=known)
        wild = np.abs(change) > WILD_DAY
        if wild.any():
            value, value_sure = spread(day.value_usd), spread(day.confirmed_usd)
            confirmed = (sure >= opening * (1 - ROUNDING)) & (value_sure >= value * (1 - ROUNDING))
            self._wild |= wild & ~confirmed
        np.add(self._gain, gain, out=self._gain, where=known)
        change += 1
        # From the last day back: the lowest index after each day, as a share of the index before it.
        np.minimum(self._low, 1.0, out=self._low)
        self._low *= change
        np.minimum(self._drawdown, self._low - 1, out=self._drawdown)
        self._growth *= change
        np.maximum(self._peak, at_work, out=self._peak)
        np.minimum(self._least, at_work, out=self._least)
        self._worth += at_work
        np.add(self._confirmed, sure, out=self._confirmed, where=known)
        self._known += known
        self._large += at_work >= USUALLY_AT_WORK_USD

    def _spreader(self, known: NDArray[np.int32]) -> "_Spread":
        count = len(self.user_key)
        if len(known) == count and np.array_equal(known, self.user_key):
            return _Spread(None, None, count)
        if self._places is None:
            self._places = np.full(int(self.user_key.max(initial=0)) + 1, NOWHERE)
            self._places[self.user_key] = np.arange(count)
        some = known < len(self._places)
        place = self._places[known[some]]
        some[some] = place != NOWHERE
        return _Spread(place[place != NOWHERE], some, count)

    def record(self) -> WindowRecord:
        """The window of all days added so far."""
        window = self.days
        whole = self._known == window
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(self._worth > 0, self._confirmed / self._worth, 0.0)
            over_peak = np.where(whole, self._gain / self._peak, np.nan)
        flags = np.where(whole & ~np.isnan(self._value), 0, Unranked.SHORT).astype(np.int32)
        for broken, why in (
            (self._least < LEAST_AT_WORK_USD, Unranked.LITTLE),
            (2 * self._large < window, Unranked.SMALL),
            (share < CONFIRMED_SHARE, Unranked.UNCONFIRMED),
            (self._wild, Unranked.WILD),
        ):
            flags[whole & broken] |= why
        return WindowRecord(
            window_days=window,
            roi_twr=np.where(whole, self._growth - 1, np.nan),
            pnl_over_peak_capital=over_peak,
            max_drawdown=np.where(whole, self._drawdown, np.nan),
            value_usd=self._value.copy(),
            n_obs=self._known.copy(),
            unranked=flags,
        )


@dataclass(frozen=True, slots=True)
class _Spread:
    """Values of a day's portfolios at the places of all of them; NaN where the day knows nothing."""

    place: NDArray[np.int64] | None  # None: they are the same portfolios
    some: Flags | None
    count: int

    def __call__(self, values: Floats) -> Floats:
        if self.place is None:
            return values
        result = np.full(self.count, np.nan)
        result[self.place] = values[self.some]
        return result


def ranks(record: WindowRecord, tie_break: NDArray[np.int64]) -> NDArray[np.int32]:
    """Places 1, 2, … of the portfolios that may be ranked; 0 for the others.

    By return; of equal ones the larger gain on the peak capital, then the smaller drawdown, then `tie_break`. Figures
    are equal when they agree to EQUAL_DIGITS decimals.

    Args:
        record: Of the window.
        tie_break: Shape (portfolios,), ascending; something that says nothing of a portfolio.
    """
    (at,) = np.nonzero(record.eligible)
    figures = (record.max_drawdown, record.pnl_over_peak_capital, record.roi_twr)
    keys: Sequence[NDArray[np.float64 | np.int64]] = [
        tie_break[at],
        *(-np.round(figure[at], EQUAL_DIGITS) for figure in figures),
    ]
    result = np.zeros(len(record.unranked), np.int32)
    result[at[np.lexsort(keys)]] = np.arange(1, len(at) + 1)
    return result


def began_with(day: CountedDay) -> int:
    """How many portfolios had enough at work when a window began, `day` being its first day.

    They are the population that a board is of: who has left or lost nearly everything since is not ranked, and the
    difference to those that are ranked says how many.
    """
    return int((day.opening_usd >= LEAST_AT_WORK_USD).sum())


def words_of(flags: NDArray[np.int32]) -> pl.Series:
    """Why portfolios are not ranked, as text; null where they are."""
    found, place = np.unique(flags, return_inverse=True)
    texts = ["; ".join(text for why, text in WORDS.items() if int(flag) & why) or None for flag in found]
    return pl.Series("reason", texts, dtype=pl.String).gather(pl.Series(place.astype(np.uint32)))
