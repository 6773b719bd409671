"""What a leaderboard may count of portfolios: holdings from the day they were entered on, never before.

Belongs here: from versions of holdings and closes to the opening worth and the gain of each portfolio on one day. What
windows of days give, and who is ranked, is in `leaderboard`. No I/O, no clock, no Dagster.

The gain of a day is that of what was known at the close before it, at both closes of the day. So nothing that is
entered, corrected or taken back changes a day that is over, a price that somebody says to have paid counts nowhere, and
money that comes or goes is neither gain nor loss: it works from the next close on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from portfolio_pipelines.finance.valuation import EPOCH, DayPrices

Floats = NDArray[np.float64]
CountsFrom = Literal["entry", "purchase"]
FOR_EVER: Final = np.iinfo(np.int32).max
CONFIRMED_BY_HAND: Final = "manual"


@dataclass(frozen=True, slots=True)
class CountedDay:
    """One day of the portfolios that had something counted on it; arrays have shape (portfolios,), NaN is unknown."""

    user_key: NDArray[np.int32]  # ascending
    opening_usd: Floats  # worth at the close before of what was known then; 0 where nothing was
    opening_confirmed_usd: Floats  # part of it on confirmed prices
    gain_usd: Floats  # what the same holdings gained until the close of the day
    value_usd: Floats  # worth at the close of what is known by then
    confirmed_usd: Floats  # part of it on confirmed prices


@dataclass(frozen=True, slots=True)
class CountedHoldings:
    """All versions of all holdings, sorted by user; arrays have shape (versions,) but for `user_key`."""

    asset_ids: list[str]
    user_key: NDArray[np.int32]  # shape (users,), ascending
    owner: NDArray[np.int64]  # place in user_key
    asset: NDArray[np.int32]  # place in asset_ids
    quantity: Floats
    first_day: NDArray[np.int32]  # days since 1970-01-01; counts from the close of this day
    end_day: NDArray[np.int32]  # first day at whose close it no longer counts

    @classmethod
    def from_versions(cls, versions: pl.DataFrame, counts_from: CountsFrom) -> "CountedHoldings":
        """Prepare rows with the columns user_key, asset_id, quantity, invested_on, known_from, known_to.

        Args:
            versions: known_to is null for what still holds. In a fixed order: sums are made in it.
            counts_from: `entry`: a version counts from the day it was entered, or its purchase where that is later,
                until it was replaced. `purchase`: what holds today counts from its purchase, as if it had always been
                known.
        """
        if counts_from == "purchase":
            rows = versions.filter(pl.col("known_to").is_null()).with_columns(first=pl.col("invested_on"))
        else:
            rows = versions.with_columns(first=pl.max_horizontal("invested_on", "known_from"))
        users = rows["user_key"].unique().sort()
        assets = rows["asset_id"].unique().sort().to_list()
        places = {name: at for at, name in enumerate(assets)}
        return cls(
            asset_ids=assets,
            user_key=users.to_numpy(),
            owner=np.searchsorted(users.to_numpy(), rows["user_key"].to_numpy()),
            asset=rows["asset_id"].replace_strict(places, return_dtype=pl.Int32).to_numpy()
            if places
            else np.empty(0, np.int32),
            quantity=rows["quantity"].to_numpy(),
            first_day=rows["first"].cast(pl.Int32).to_numpy(),
            end_day=rows["known_to"].cast(pl.Int32).fill_null(FOR_EVER).to_numpy(),
        )

    def day(self, day: date, before: DayPrices, now: DayPrices) -> CountedDay:
        """What one day gave.

        Args:
            day: The UTC day.
            before: Prices of the close before it, in the order of `asset_ids`; `fresh` says which are confirmed.
            now: Prices of its own close.

        Returns:
            Portfolios with anything known at either close. A portfolio with a holding that has no usable price has
            NaN: it is never worth 0.
        """
        number = (day - EPOCH).days
        old = (self.first_day < number) & (self.end_day >= number)
        new = (self.first_day <= number) & (self.end_day > number)
        count = len(self.user_key)
        owner, asset, quantity = self.owner[old], self.asset[old], self.quantity[old]
        then = quantity * before.close_usd[asset]
        gain = quantity * now.close_usd[asset] - then
        owner_now, asset_now = self.owner[new], self.asset[new]
        worth = self.quantity[new] * now.close_usd[asset_now]
        there = np.zeros(count, bool)
        there[owner] = there[owner_now] = True

        def total(of: NDArray[np.int64], amounts: Floats) -> Floats:
            sums: Floats = np.bincount(of, amounts, count).astype(np.float64)  # of nothing they would be whole numbers
            return sums[there]

        return CountedDay(
            user_key=self.user_key[there],
            opening_usd=total(owner, then),
            opening_confirmed_usd=total(owner, np.where(before.fresh[asset], then, 0.0)),
            gain_usd=total(owner, gain),
            value_usd=total(owner_now, worth),
            confirmed_usd=total(owner_now, np.where(now.fresh[asset_now], worth, 0.0)),
        )


def confirmed_prices(prices: pl.DataFrame, least_sources: int) -> pl.DataFrame:
    """Prices with the status `ok` only where enough sources agree, or a person stands for them.

    Args:
        prices: Columns status and n_quotes, and any others.
        least_sources: Providers that must have quoted the day.
    """
    agreed = (pl.col("status") == "ok") & (pl.col("n_quotes") >= least_sources)
    confirmed = agreed | (pl.col("status") == CONFIRMED_BY_HAND)
    return prices.with_columns(status=pl.when(confirmed).then(pl.lit("ok")).otherwise(pl.lit("unconfirmed")))


def days_and_those_before(days: Sequence[date]) -> list[date]:
    """The days whose closes the given ones need, ascending."""
    return sorted({date.fromordinal(day.toordinal() - back) for day in days for back in (0, 1)})
