"""Which assets need a price on which days: what is held, what it was converted to, and the benchmarks."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

import polars as pl

BENCHMARKS: Final[Mapping[str, str]] = {
    "BTC": "coingecko:bitcoin",
    "ETH": "coingecko:ethereum",
    "SP500": "yahoo:^GSPC",
}
"""The market indices every portfolio is compared with."""


def tracked_days(
    legs: pl.DataFrame,
    successions: pl.DataFrame,
    weekday_assets: frozenset[str],
    days: Sequence[date],
    held: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """The (asset_id, date) that need a price.

    Args:
        legs: Columns asset_id, invested_on.
        successions: Columns asset_id, successor_id, effective_on. A converted asset is followed by its successor.
        weekday_assets: Assets that have no close on Saturdays and Sundays.
        days: The days in question, ascending.
        held: Columns asset_id, start, end of what wallets hold: half-open spans of days. Nothing is followed: a wallet
            shows by itself what it holds after a conversion.

    Returns:
        Columns asset_id, date, sorted.
    """
    if not days:
        return pl.DataFrame(schema={"asset_id": pl.String, "date": pl.Date})
    spans: dict[str, tuple[date, date]] = dict.fromkeys(BENCHMARKS.values(), (days[0], date.max))
    bought = legs.group_by("asset_id").agg(pl.col("invested_on").min()).sort("asset_id")
    first = successions.sort("asset_id", "effective_on").unique("asset_id", keep="first", maintain_order=True)
    successors = {row["asset_id"]: (row["successor_id"], row["effective_on"]) for row in first.iter_rows(named=True)}
    for asset_id, invested_on in bought.iter_rows():
        _follow(asset_id, invested_on, successors, spans)
    for asset_id, start, end in [] if held is None else held.select("asset_id", "start", "end").iter_rows():
        known_start, known_end = spans.get(asset_id, (start, end))
        spans[asset_id] = (min(start, known_start), max(end, known_end))
    calendar = pl.DataFrame({"date": days}, schema={"date": pl.Date})
    wanted = pl.DataFrame(
        [(asset, start, end) for asset, (start, end) in spans.items()],
        schema={"asset_id": pl.String, "start": pl.Date, "end": pl.Date},
        orient="row",
    ).join(calendar, how="cross")
    on_weekend = pl.col("asset_id").is_in(list(weekday_assets)) & (pl.col("date").dt.weekday() > 5)
    return (
        wanted.filter((pl.col("date") >= pl.col("start")) & (pl.col("date") < pl.col("end")) & ~on_weekend)
        .select("asset_id", "date")
        .sort("asset_id", "date")
    )


def _follow(
    asset_id: str, start: date, successors: Mapping[str, tuple[str, date]], spans: dict[str, tuple[date, date]]
) -> None:
    for _ in range(len(successors) + 1):  # a succession that leads back to itself must end
        successor, end = successors.get(asset_id, (None, date.max))
        known_start, known_end = spans.get(asset_id, (start, end))
        spans[asset_id] = (min(start, known_start), max(end, known_end))
        if successor is None:
            return
        asset_id, start = successor, max(start, end)
