"""What investments are worth at a close: stored quantities times that day's prices. No I/O, no clock, no Dagster.

Belongs here: valuing holdings and adding them up. Returns of the resulting series are in `returns`.

The holdings are one sparse matrix (investments x assets), so that a day is one matrix-vector product: about 3 ms for
1.5 million legs. Joining positions with days would take a hundred times as long.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

EPOCH: Final = date(1970, 1, 1)
MOST_SUCCESSIONS: Final = 20
FRESH: Final = ("ok", "manual")
"""Statuses of a price that a total may rest on without lowering its coverage."""

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class DayPrices:
    """Prices of the held assets at one close; every array has shape (assets,)."""

    close_usd: Floats  # NaN without a usable price
    last_close_usd: Floats  # newest close of whatever age; NaN when there never was one
    fresh: Flags
    final: Flags


@dataclass(frozen=True, slots=True)
class DayValues:
    """Worth of the investments made up to a day; every array has shape (investments,)."""

    user_key: NDArray[np.int32]
    investment_key: NDArray[np.int32]
    invested_usd: Floats
    value_usd: Floats  # sum of the priced legs; NaN when none is priced
    stale_usd: Floats  # part of value_usd that rests on prices that are not fresh
    missing_usd: Floats  # last known worth, else cost, of the legs without a usable price
    unpriced_legs: NDArray[np.int16]
    final: Flags


@dataclass(frozen=True, slots=True)
class Holdings:
    """All investments, prepared for valuation: rows sorted by user and investment."""

    asset_ids: list[str]
    user_key: NDArray[np.int32]
    investment_key: NDArray[np.int32]
    invested_day: NDArray[np.int32]  # days since 1970-01-01
    invested_usd: Floats
    quantity: "csr_array"  # (investments, assets)
    cost: "csr_array"
    legs: "csr_array"  # 1.0 where there is a leg

    @classmethod
    def from_legs(cls, legs: pl.DataFrame) -> "Holdings":
        """Prepare legs with the columns user_key, investment_key, invested_on, asset_id, amount_usd, quantity.

        Raises:
            ValueError: If an investment has legs of different days.
        """
        from scipy.sparse import csr_array

        legs = legs.sort("user_key", "investment_key", "asset_id")
        user, investment = legs["user_key"].to_numpy(), legs["investment_key"].to_numpy()
        day, amount = legs["invested_on"].cast(pl.Int32).to_numpy(), legs["amount_usd"].to_numpy()
        starts, row = _groups(user, investment)
        elsewhere = day != day[starts][row]
        if elsewhere.any():
            key = investment[np.argmax(elsewhere)]
            msg = f"investment {key} has legs of different days: its quantities cannot be valued from one start"
            raise ValueError(msg)
        asset_ids = legs["asset_id"].unique().sort().to_list()
        column = legs["asset_id"].replace_strict({name: at for at, name in enumerate(asset_ids)}, return_dtype=pl.Int32)
        pointer = np.append(starts, legs.height).astype(np.int32)
        shape = (len(starts), len(asset_ids))

        def matrix(values: Floats) -> "csr_array":
            return csr_array((values, column.to_numpy(), pointer), shape=shape)

        return cls(
            asset_ids=asset_ids,
            user_key=user[starts],
            investment_key=investment[starts],
            invested_day=day[starts],
            invested_usd=np.bincount(row, amount, len(starts)).astype(np.float64, copy=False),
            quantity=matrix(legs["quantity"].to_numpy()),
            cost=matrix(amount),
            legs=matrix(np.ones(legs.height)),
        )


def value_day(holdings: Holdings, prices: DayPrices, day: date) -> DayValues:
    """Worth of every investment made on or before `day`, at the prices of its close.

    A leg without a usable price is left out of `value_usd` and shows in `missing_usd` and `unpriced_legs` instead: it
    is never worth 0.

    Args:
        holdings: The investments.
        prices: In the order of `holdings.asset_ids`.
        day: The UTC day.

    Raises:
        ValueError: If there is not one price entry for each asset.
    """
    if len(prices.close_usd) != len(holdings.asset_ids):
        msg = f"{len(holdings.asset_ids)} assets are held but {len(prices.close_usd)} prices were given"
        raise ValueError(msg)
    active = np.flatnonzero(holdings.invested_day <= (day - EPOCH).days)  # taken by place: a mask costs four times that
    usable = ~np.isnan(prices.close_usd)
    value = _times(holdings.quantity, np.where(usable, prices.close_usd, 0.0))
    stale = missing = unpriced = np.zeros(len(value))
    final = np.ones(len(value), bool)
    if (usable & ~prices.fresh).any():
        stale = _times(holdings.quantity, np.where(usable & ~prices.fresh, prices.close_usd, 0.0))
    if not usable.all():
        known = ~usable & ~np.isnan(prices.last_close_usd)
        missing = _times(holdings.quantity, np.where(known, prices.last_close_usd, 0.0))
        missing = missing + _times(holdings.cost, (~usable & ~known).astype(np.float64))
        unpriced = _times(holdings.legs, (~usable).astype(np.float64))
        value = np.where(unpriced == np.diff(holdings.legs.indptr), np.nan, value)
    if not prices.final.all():
        final = _times(holdings.legs, (~prices.final).astype(np.float64)) == 0
    return DayValues(
        user_key=holdings.user_key[active],
        investment_key=holdings.investment_key[active],
        invested_usd=holdings.invested_usd[active],
        value_usd=value[active],
        stale_usd=stale[active],
        missing_usd=missing[active],
        unpriced_legs=unpriced[active].astype(np.int16),
        final=final[active],
    )


def _times(matrix: "csr_array", vector: Floats) -> Floats:
    product: Floats = np.asarray(matrix @ vector)
    return product


def prices_by_day(
    prices: pl.DataFrame, successions: pl.DataFrame, asset_ids: Sequence[str], days: Sequence[date]
) -> list[DayPrices]:
    """Prices of the held assets for each day, in the order of `asset_ids`.

    From the day a holding was converted (MATIC to POL, LEND to AAVE) it is worth `ratio` units of its successor.

    Args:
        prices: Columns asset_id, date, close_usd, last_close_usd, status, is_final.
        successions: Columns asset_id, successor_id, effective_on, ratio.
        asset_ids: The held assets.
        days: The days wanted, in any order.

    Raises:
        ValueError: If the successions form a circle.
    """
    names = sorted({*asset_ids, *successions["asset_id"], *successions["successor_id"]})
    assets = {name: at for at, name in enumerate(names)}
    rows = prices.filter(pl.col("asset_id").is_in(names) & pl.col("date").is_in(list(days)))
    at = (  # cast, because a replacement from an empty dictionary has no type: nobody may hold anything yet
        rows["date"].replace_strict({day: i for i, day in enumerate(days)}).cast(pl.Int32).to_numpy(),
        rows["asset_id"].replace_strict(assets).cast(pl.Int32).to_numpy(),
    )
    shape = (len(days), len(names))
    close, last = np.full(shape, np.nan), np.full(shape, np.nan)
    fresh, final = np.zeros(shape, bool), np.zeros(shape, bool)
    close[at] = rows["close_usd"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    last[at] = rows["last_close_usd"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    fresh[at] = rows["status"].is_in(FRESH).to_numpy()
    final[at] = rows["is_final"].to_numpy()
    held = np.array([assets[name] for name in asset_ids], dtype=np.intp)
    result = []
    for index, day in enumerate(days):
        target, ratio = _converted(held, assets, successions, day)
        result.append(
            DayPrices(
                close[index, target] * ratio, last[index, target] * ratio, fresh[index, target], final[index, target]
            )
        )
    return result


def converted_assets(asset_ids: Sequence[str], successions: pl.DataFrame, day: date) -> tuple[list[str], Floats]:
    """What each asset has become by `day`, and how many units of it one unit gave.

    Args:
        asset_ids: Assets as they were bought.
        successions: Columns asset_id, successor_id, effective_on, ratio.
        day: The UTC day.

    Raises:
        ValueError: If the successions form a circle.
    """
    names = sorted({*asset_ids, *successions["asset_id"], *successions["successor_id"]})
    places = {name: at for at, name in enumerate(names)}
    held = np.array([places[name] for name in asset_ids], dtype=np.intp)
    target, ratio = _converted(held, places, successions, day)
    return [names[at] for at in target], ratio


def _converted(
    held: NDArray[np.intp], assets: dict[str, int], successions: pl.DataFrame, day: date
) -> tuple[NDArray[np.intp], Floats]:
    """What each held asset has become by `day`, and how many units of it one unit gave."""
    target, ratio = held.copy(), np.ones(len(held))
    steps = successions.filter(pl.col("effective_on") <= day).select("asset_id", "successor_id", "ratio").rows()
    for _ in range(MOST_SUCCESSIONS):
        moved = False
        for old, new, units in steps:
            here = target == assets[old]
            if here.any():
                target[here] = assets[new]
                ratio[here] *= units
                moved = True
        if not moved:
            return target, ratio
    msg = "the asset successions form a circle: check asset_successions"
    raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class PortfolioValues:
    """Sums over the investments of each user; every array has shape (users,), sorted by user_key."""

    user_key: NDArray[np.int32]
    invested_usd: Floats
    value_usd: Floats  # NaN when none of the user's legs is priced
    stale_usd: Floats
    missing_usd: Floats
    unpriced_legs: NDArray[np.int32]
    final: Flags

    @property
    def complete_value_usd(self) -> Floats:
        """The value where every leg has a price, else NaN: only such values may be compared with each other."""
        return np.where(self.unpriced_legs == 0, self.value_usd, np.nan)


def add_up(values: DayValues) -> PortfolioValues:
    """A portfolio is the sum of its investments. Rows must be sorted by user_key, as `value_day` returns them."""
    if not len(values.user_key):
        empty = np.empty(0)
        return PortfolioValues(values.user_key, empty, empty, empty, empty, np.empty(0, np.int32), np.empty(0, bool))
    starts, place = _groups(values.user_key)

    def sums(parts: NDArray[np.float64 | np.int16 | np.bool_]) -> Floats:
        # Adding in the order of the rows; reduceat would take seven times as long for so many short groups.
        if not parts.any():
            return np.zeros(len(starts))
        return np.bincount(place, parts, len(starts)).astype(np.float64, copy=False)

    unvalued = np.isnan(values.value_usd)
    value = sums(np.where(unvalued, 0.0, values.value_usd) if unvalued.any() else values.value_usd)
    value = np.where(sums(unvalued) == np.diff(starts, append=len(place)), np.nan, value)
    return PortfolioValues(
        user_key=values.user_key[starts],
        invested_usd=sums(values.invested_usd),
        value_usd=value,
        stale_usd=sums(values.stale_usd),
        missing_usd=sums(values.missing_usd),
        unpriced_legs=sums(values.unpriced_legs).astype(np.int32),
        final=sums(~values.final) == 0,
    )


def _groups(*keys: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First rows of runs of equal keys, and the run that each row belongs to.

    What is added up by these has the same last digit every time: a group-by adds in the order of its threads.
    """
    begins = np.ones(len(keys[0]), bool)
    begins[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return np.flatnonzero(begins), np.cumsum(begins) - 1


@dataclass(frozen=True, slots=True)
class Contributions:
    """Money put into each portfolio, by day."""

    by_day: Mapping[date, tuple[NDArray[np.int32], Floats]]  # sorted user keys, USD

    @classmethod
    def from_legs(cls, legs: pl.DataFrame) -> "Contributions":
        """Add up legs with the columns user_key, invested_on, amount_usd."""
        if legs.is_empty():
            return cls({})
        legs = legs.sort("invested_on", "user_key", maintain_order=True)
        day, user = legs["invested_on"].cast(pl.Int32).to_numpy(), legs["user_key"].to_numpy()
        starts, row = _groups(day, user)
        sums = np.bincount(row, legs["amount_usd"].to_numpy(), len(starts)).astype(np.float64, copy=False)
        of_days, _ = _groups(day[starts])
        parts = zip(np.split(user[starts], of_days[1:]), np.split(sums, of_days[1:]), strict=True)
        return cls(dict(zip(legs["invested_on"].gather(starts[of_days]), parts, strict=True)))

    def on(self, day: date, user_key: NDArray[np.int32]) -> Floats:
        """USD put in on `day` by each of the users, who must be sorted and include everybody who invested."""
        inflow = np.zeros(len(user_key))
        if day in self.by_day:
            users, amounts = self.by_day[day]
            inflow[np.searchsorted(user_key, users)] = amounts
        return inflow
