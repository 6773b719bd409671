"""Quotes as arrays, so that all assets of a day are decided at once. What is decided is `consensus`'s business."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from portfolio_pipelines.market.quotes import Outcome

OUTCOMES: Final = [outcome.value for outcome in Outcome]
"""Outcomes in the order of their numbers in `QuoteCube.outcome`; 0 is a price."""


@dataclass(frozen=True, slots=True)
class DayQuotes:
    """The quotes of one day as arrays of shape (providers, assets)."""

    close: NDArray[np.float64]  # NaN where the provider has no good quote
    known: NDArray[np.int64]  # microseconds since the epoch
    source: NDArray[np.int32]  # index into sources
    outcome: NDArray[np.int8]  # newest answer: index into OUTCOMES, -1 = never asked
    asked: NDArray[np.int64]  # when the newest answer was given
    sources: list[str]

    @classmethod
    def none(cls, providers: int, assets: int, sources: list[str]) -> "DayQuotes":
        """Nobody was asked."""
        shape = (providers, assets)
        return cls(
            close=np.full(shape, np.nan),
            known=np.full(shape, -1, np.int64),
            source=np.full(shape, -1, np.int32),
            outcome=np.full(shape, -1, np.int8),
            asked=np.full(shape, -1, np.int64),
            sources=sources,
        )


@dataclass(frozen=True, slots=True)
class QuoteCube:
    """Quotes as arrays of shape (days, providers, assets)."""

    close: NDArray[np.float64]  # NaN where the provider has no good quote
    known: NDArray[np.int64]  # microseconds since the epoch
    source: NDArray[np.int32]  # index into sources
    outcome: NDArray[np.int8]  # newest answer: index into OUTCOMES, -1 = never asked
    asked: NDArray[np.int64]  # when the newest answer was given
    sources: list[str]

    def on(self, index: int) -> DayQuotes:
        """The quotes of one day, by its position."""
        return DayQuotes(
            self.close[index], self.known[index], self.source[index], self.outcome[index], self.asked[index],
            self.sources,
        )  # fmt: skip


def arrange_quotes(
    quotes: pl.DataFrame, assets: dict[str, int], days: Sequence[date], providers: tuple[str, ...]
) -> QuoteCube:
    """Put rows of schema QUOTES in their places; of several answers of one provider the newest good one counts."""
    shape = (len(days), len(providers), len(assets))
    cube = QuoteCube(
        close=np.full(shape, np.nan),
        known=np.full(shape, -1, np.int64),
        source=np.full(shape, -1, np.int32),
        outcome=np.full(shape, -1, np.int8),
        asked=np.full(shape, -1, np.int64),
        sources=sorted(quotes["source"].drop_nulls().unique().to_list()),
    )
    rows = quotes.filter(pl.col("provider").is_in(providers) & pl.col("date").is_between(days[0], days[-1])).sort(
        "known_at", maintain_order=True
    )
    if rows.is_empty():
        return cube
    first = days[0]
    day_at = (rows["date"] - first).dt.total_days().to_numpy()
    provider_at = rows["provider"].replace_strict({name: i for i, name in enumerate(providers)}).to_numpy()
    asset_at = rows["asset_id"].replace_strict(assets).to_numpy()
    known = rows["known_at"].cast(pl.Int64).to_numpy()
    outcome = rows["outcome"].replace_strict({name: i for i, name in enumerate(OUTCOMES)}).to_numpy()
    # Rows come in order of known_at: where places repeat, NumPy keeps the last assignment, the newest answer.
    cube.outcome[day_at, provider_at, asset_at] = outcome
    cube.asked[day_at, provider_at, asset_at] = rows["requested_at"].cast(pl.Int64).to_numpy()
    good = outcome == 0
    place = (day_at[good], provider_at[good], asset_at[good])
    cube.close[place] = rows["close_usd"].to_numpy()[good]
    cube.known[place] = known[good]
    cube.source[place] = rows["source"].replace_strict({n: i for i, n in enumerate(cube.sources)}).to_numpy()[good]
    return cube


def arrange_overrides(
    manual: pl.DataFrame, assets: dict[str, int], days: Sequence[date]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Manual closes in force and since when they are known, each of shape (days, assets); NaN and -1 where none is."""
    close = np.full((len(days), len(assets)), np.nan)
    known = np.full((len(days), len(assets)), -1, np.int64)
    for row in manual.sort("known_at").with_columns(known_us=pl.col("known_at").cast(pl.Int64)).iter_rows(named=True):
        place = ((row["date"] - days[0]).days, assets[row["asset_id"]])
        close[place] = row["close_usd"]
        known[place] = row["known_us"]
    return close, known
