"""The close of a day as it was known at different times: one vintage a time at which something became known.

The past is append-only: every quote and override keeps the time since when it is known, so each of these times can be
decided again, by the same rule. What a day hands on to the next (its last accepted close, what is refused) may differ
between them, too: that is how a close that changed reaches the days after it.

Belongs here: which vintages count on which day, and what each of them hands on. Which of the differences is a
restatement is the business of `restatements`; the rule is `day_choice`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from portfolio_pipelines.market.consensus import STATE, ConsensusPolicy
from portfolio_pipelines.market.day_choice import DAY_US, EPOCH, NEVER, Chain, Decided, decide_day
from portfolio_pipelines.market.quote_cube import OUTCOMES, DayQuotes
from portfolio_pipelines.market.quotes import UTC_TIME

BEFORE: Final = -1
"""Known time of an asset's first vintage of a day: everything that was known before the day's close."""

HANDED_ON: Final = pl.Schema(
    {
        "asset_id": pl.String(),
        "date": pl.Date(),
        "known_at": UTC_TIME,  # null: before the close of the next day
        "last_close_usd": pl.Float64(),
        "last_close_date": pl.Date(),
        "provider": pl.String(),
        "source": pl.String(),
        "refused_since": pl.Date(),
        "cause_date": pl.Date(),  # the day that changed at that time; null with known_at
    }
)
"""What a day hands on where it depends on the time at which one asks; the other columns are those of STATE."""
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class DayVintages:
    """One day as it was known at several times; arrays of shape (vintages,), ordered by asset and time."""

    day: date
    asset: Integers  # position among the names
    known: Integers  # microseconds since the epoch; BEFORE for the first of each asset
    quotes: DayQuotes  # what each of them knows
    override: NDArray[np.float64]  # NaN where none is in force
    own: NDArray[np.bool_]  # the day's own quotes or overrides differ from those of the vintage before
    cause_day: Integers  # the day whose change made the vintage, days since the epoch
    decided: Decided


class Vintages:
    """Decides consecutive days once for each time at which something became known of them, or of a day before.

    Args:
        quotes: Rows of schema QUOTES for the days, as `decide_prices` takes them.
        overrides: Rows of `consensus.OVERRIDES` for the days, withdrawn ones included.
        state: Rows of `consensus.STATE`: assets of which one thing was handed on, whenever one asked.
        handed_on: Rows of schema HANDED_ON, those of one day for each asset: what was handed on, by time.
        days: Consecutive UTC days.
        policy: The figures of the rule.
    """

    def __init__(
        self,
        quotes: pl.DataFrame,
        overrides: pl.DataFrame,
        state: pl.DataFrame,
        handed_on: pl.DataFrame,
        days: Sequence[date],
        policy: ConsensusPolicy,
    ) -> None:
        self.policy = policy
        self.names = sorted({name for rows in (quotes, overrides, state, handed_on) for name in rows["asset_id"]})
        self._first = (days[0] - EPOCH).days
        self._places = {name: at for at, name in enumerate(self.names)}
        self._quotes = _Answers.arrange(quotes, self._places, policy.providers)
        self._overrides = [
            (self._places[row["asset_id"]], *row.values())
            for row in overrides.sort("known_at", maintain_order=True)
            .select(
                "asset_id",
                pl.col("date").cast(pl.Int32),
                "close_usd",
                pl.col("known_at").cast(pl.Int64),
                pl.col("withdrawn_at").cast(pl.Int64).fill_null(NEVER),
            )
            .iter_rows(named=True)
        ]
        self._list_lives(handed_on)
        self._carry(state, handed_on)

    def _list_lives(self, handed_on: pl.DataFrame) -> None:
        """Every (asset, time) of the range, with the day from which on it counts; the first of each asset is BEFORE."""
        answers = self._quotes
        late = answers.known >= (answers.day + 1) * DAY_US
        found = [
            np.stack([answers.asset[late], answers.known[late], answers.day[late]]),
            *(
                np.array([[asset], [moment], [day]], np.int64)
                for asset, _, day, _, known, withdrawn in self._overrides
                for moment in (known, withdrawn)
                if (day + 1) * DAY_US <= moment < NEVER
            ),
        ]
        inherited = handed_on.drop_nulls("known_at")
        places = np.array([self._places[name] for name in inherited["asset_id"]], np.int64)
        since = np.full(len(places), self._first - 1)
        found.append(np.stack([places, inherited["known_at"].cast(pl.Int64).to_numpy(), since]))
        everyone = np.arange(len(self.names))
        found.append(np.stack([everyone, np.full(len(everyone), BEFORE), np.full(len(everyone), self._first - 1)]))
        asset, known, born = np.concatenate(found, axis=1)
        order = np.lexsort((born, known, asset))
        asset, known, born = asset[order], known[order], born[order]
        first = np.ones(len(asset), bool)
        first[1:] = (asset[1:] != asset[:-1]) | (known[1:] != known[:-1])
        self._asset, self._known, self._born = asset[first], known[first], born[first]
        self._ended = np.zeros(len(self._asset), bool)
        self._times = np.unique(self._known[self._known != BEFORE])

    def _carry(self, state: pl.DataFrame, handed_on: pl.DataFrame) -> None:
        self._chain = Chain.empty(len(self._asset))
        self._cause = np.full(len(self._asset), self._first)
        lives = {pair: at for at, pair in enumerate(zip(self._asset.tolist(), self._known.tolist(), strict=True))}
        known = pl.col("known_at").cast(pl.Int64).fill_null(BEFORE)
        for row in [*state.iter_rows(named=True), *handed_on.with_columns(known_us=known).iter_rows(named=True)]:
            at = lives[self._places[row["asset_id"]], row.get("known_us", BEFORE)]
            self._chain.put(at, row)
            if row.get("cause_date") is not None:
                self._cause[at] = (row["cause_date"] - EPOCH).days

    def decide(self, day: date, passed_over: NDArray[np.bool_]) -> DayVintages:
        """Decide the next day.

        Args:
            day: The day after the last one that was decided.
            passed_over: Shape (names,): assets that have no close on this day; they stay as they are.
        """
        number = (day - EPOCH).days
        closes_at = (number + 1) * DAY_US
        is_before = self._known == BEFORE
        counts = ~self._ended & (self._born <= number) & ~passed_over[self._asset]
        self._end(counts & ~is_before & (self._known < closes_at))
        at = np.flatnonzero(counts & (is_before | (self._known >= closes_at)))
        inherits = (self._born[at] < number) | (is_before[at])
        came_from = at[np.maximum.accumulate(np.where(inherits, np.arange(len(at)), 0))]
        chain, cause = self._chain.of(came_from), self._cause[came_from]
        quotes, override, override_known = self._known_then(at, number, closes_at)
        decided = decide_day(day, quotes, override, override_known, chain, self.policy)
        self._chain.replace(at, chain)
        asset = self._asset[at]
        of_close = quotes.known >= closes_at
        own = np.ones(len(at), bool)
        own[1:] = (
            (asset[1:] != asset[:-1])
            | differ(quotes.close[:, 1:], quotes.close[:, :-1]).any(axis=0)
            | (of_close[:, 1:] != of_close[:, :-1]).any(axis=0)  # the same price, but of the close now
            | (quotes.source[:, 1:] != quotes.source[:, :-1]).any(axis=0)
            | differ(override[1:], override[:-1])
        )
        self._cause[at] = np.where(own, number, cause)
        return DayVintages(day, asset, self._known[at], quotes, override, own, self._cause[at], decided)

    def handed_on(self, vintages: DayVintages) -> pl.DataFrame:
        """What the next day has to know of a decided one, rows of schema HANDED_ON.

        Nothing of an asset that hands on one thing at whatever time: the newest state says it. What became known before
        the next day's close is one vintage to that day.
        """
        asset, known, decided = vintages.asset, vintages.known, vintages.decided
        next_close = ((vintages.day - EPOCH).days + 2) * DAY_US
        past = known < next_close
        last_past = past & np.append((asset[1:] != asset[:-1]) | ~past[1:], values=True)
        at = np.flatnonzero(last_past | ~past)
        # As in prices: who gave a close that is too old to be carried is not told, so nothing may depend on it.
        unpriced = np.isnan(decided.close)
        provider, source = decided.provider.copy(), decided.source.copy()
        provider[unpriced] = source[unpriced] = None
        state = (decided.last_close, decided.last_day, provider, source, decided.refused_since)
        same_asset = asset[at][1:] == asset[at][:-1]
        changes = np.ones(len(at), bool)
        changes[1:] = ~same_asset | np.logical_or.reduce([differ(part[at][1:], part[at][:-1]) for part in state])
        at = at[changes]
        several = np.bincount(asset[at], minlength=len(self.names)) > 1
        said = ~past[at] | ~np.isnan(decided.last_close[at])  # nothing known before need not be said
        at = at[several[asset[at]] & said]
        close = decided.last_close[at]
        return (
            pl.DataFrame(
                {
                    "asset_id": pl.Series([self.names[place] for place in asset[at]], dtype=pl.String),
                    "known_at": pl.Series(np.where(past[at], BEFORE, known[at])).replace(BEFORE, None).cast(UTC_TIME),
                    "last_close_usd": pl.Series(close, nan_to_null=True),
                    "last_close_date": _dates(np.where(np.isnan(close), NEVER, decided.last_day[at])),
                    "provider": pl.Series(provider[at].tolist(), dtype=pl.String),
                    "source": pl.Series(source[at].tolist(), dtype=pl.String),
                    "refused_since": _dates(decided.refused_since[at]),
                    "cause_date": _dates(np.where(past[at], NEVER, vintages.cause_day[at])),
                }
            )
            .with_columns(date=pl.lit(vintages.day))
            .select(HANDED_ON.names())
        )

    def _end(self, over: NDArray[np.bool_]) -> None:
        """What became known before the day's close is one vintage: the newest of them speaks for it."""
        ending = np.flatnonzero(over)
        if not len(ending):
            return
        asset = self._asset[ending]
        newest = ending[np.append(asset[1:] != asset[:-1], values=True)]
        first = np.searchsorted(self._asset, self._asset[newest])  # BEFORE sorts before every time
        self._chain.replace(first, self._chain.of(newest))
        self._cause[first] = self._cause[newest]
        self._ended[ending] = True

    def _known_then(
        self, at: NDArray[np.intp], number: int, closes_at: int
    ) -> tuple[DayQuotes, NDArray[np.float64], Integers]:
        """What each vintage knows of a day: shape (providers, vintages), and its overrides, shape (vintages,)."""
        asset, known = self._asset[at], self._known[at]
        steps = len(self._times) + 1
        key = asset * steps + np.where(known == BEFORE, 0, np.searchsorted(self._times, known) + 1)
        rows = self._quotes.of(number)
        rank = np.where(rows.known < closes_at, 0, np.searchsorted(self._times, rows.known) + 1)
        low = np.searchsorted(key, rows.asset * steps + rank)
        high = np.searchsorted(key, (rows.asset + 1) * steps)
        row = np.repeat(np.arange(len(low)), high - low)
        place = np.arange(len(row)) - np.repeat(np.cumsum(high - low) - (high - low), high - low) + low[row]
        quotes = DayQuotes.none(len(self.policy.providers), len(at), rows.sources)
        # Answers come in order of time: where places repeat, NumPy keeps the last assignment, the newest answer.
        quotes.outcome[rows.provider[row], place] = rows.outcome[row]
        quotes.asked[rows.provider[row], place] = rows.asked[row]
        good = rows.outcome[row] == 0
        row, place = row[good], place[good]
        quotes.close[rows.provider[row], place] = rows.close[row]
        quotes.known[rows.provider[row], place] = rows.known[row]
        quotes.source[rows.provider[row], place] = rows.source[row]
        override, since = np.full(len(at), np.nan), np.full(len(at), BEFORE)
        moment = np.where(known == BEFORE, closes_at - 1, known)
        for of_asset, _, day, close, known_at, withdrawn_at in self._overrides:
            if day == number:
                in_force = (asset == of_asset) & (moment >= known_at) & (moment < withdrawn_at)
                override[in_force], since[in_force] = close, known_at
        return quotes, override, since


@dataclass(frozen=True, slots=True)
class _Answers:
    """Quotes as arrays of shape (answers,), by day and time."""

    sources: list[str]
    day: Integers
    asset: Integers
    provider: Integers
    known: Integers
    asked: Integers
    outcome: NDArray[np.int8]
    close: NDArray[np.float64]
    source: Integers  # index into sources

    @classmethod
    def arrange(cls, quotes: pl.DataFrame, places: dict[str, int], providers: tuple[str, ...]) -> "_Answers":
        sources = sorted(quotes["source"].drop_nulls().unique().to_list())
        rows = (
            quotes.filter(pl.col("provider").is_in(providers))
            .sort("date", "known_at", maintain_order=True)
            .select(
                pl.col("date").cast(pl.Int32).cast(pl.Int64),
                _position("asset_id", list(places)),
                _position("provider", list(providers)),
                pl.col("known_at", "requested_at").cast(pl.Int64),
                _position("outcome", OUTCOMES).cast(pl.Int8),
                "close_usd",
                _position("source", sources),
            )
        )
        return cls(sources, *(column.to_numpy() for column in rows.get_columns()))

    def of(self, number: int) -> "_Answers":
        """Those of one day."""
        part = slice(*np.searchsorted(self.day, [number, number + 1]))
        return _Answers(
            self.sources, self.day[part], self.asset[part], self.provider[part], self.known[part], self.asked[part],
            self.outcome[part], self.close[part], self.source[part],
        )  # fmt: skip


def newest_before(prices: pl.DataFrame, later: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What the days before handed on: of assets where that is one thing whenever one asks, and of the others.

    Args:
        prices: Their prices: columns date and those of STATE.
        later: Their rows of schema HANDED_ON. They count where the asset has no newer price: a day without any handed
            on what its price says.

    Returns:
        Rows of schema STATE, and of schema HANDED_ON.
    """
    state = prices.sort("date").group_by("asset_id", maintain_order=True).last()
    newest = later.filter(pl.col("date") == pl.col("date").max().over("asset_id"))
    dated = newest.join(state.select("asset_id", priced_on="date"), on="asset_id", how="left", maintain_order="left")
    kept = dated.filter(pl.col("priced_on").is_null() | (pl.col("priced_on") <= pl.col("date")))
    return state.join(kept, on="asset_id", how="anti").select(STATE.names()), kept.select(HANDED_ON.names())


def differ(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
    """Where two arrays differ; two NaN, or two None, are the same."""
    unequal = np.asarray(one != other, bool)
    return unequal & ~(np.isnan(one) & np.isnan(other)) if one.dtype == np.float64 else unequal


def _dates(days: Integers) -> pl.Series:
    return pl.Series(days).replace(NEVER, None).cast(pl.Int32).cast(pl.Date)


def _position(column: str, values: Sequence[str]) -> pl.Expr:
    place = pl.col(column).replace_strict(
        {name: at for at, name in enumerate(values)}, default=None, return_dtype=pl.Int64
    )
    return place.fill_null(-1)
