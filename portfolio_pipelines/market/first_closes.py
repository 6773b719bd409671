"""Since when an asset has prices, and on which days before that it is known to have had none.

Belongs here: what quotes say about the days before an asset's first close, pure. Refusing purchases of such days is
`database.investment_import`.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import polars as pl

from portfolio_pipelines.market.quotes import Outcome

FILE: Final = "file"
SAMPLE: Final = "sample"
ABSENCES: Final = pl.Schema(
    {
        "asset_id": pl.String(),
        "origin": pl.String(),  # who knows it: a live provider, or the source that a price file names
        "reaches_from": pl.Date(),  # first day a file prices any asset, or a provider denied this one
        "absent_until": pl.Date(),  # the last day on which the asset is known to have had no price
        "first_day": pl.Date(),  # the first close of the asset that anybody knows
        "first_origin": pl.String(),  # who gave that close
    }
)
"""From `reaches_from` to `absent_until` the asset had no price yet. Several rows an asset: one an origin."""


def known_absences(quotes: pl.LazyFrame, overrides: pl.DataFrame, assets: Sequence[str]) -> pl.DataFrame:
    """The days on which assets are known to have had no price yet.

    A source that begins late says nothing about earlier days, so each counts from its own first price on. A price file
    says all that it knows: an asset that it prices later had no price before. A live provider is asked for single
    days, so that only its answers `no_data` show that there was none, from the first of them to the last.

    Args:
        quotes: Columns asset_id, date, provider, source, outcome of QUOTES, all that is known.
        overrides: Columns asset_id, date: closes that people set.
        assets: The assets in question.

    Returns:
        Rows of schema ABSENCES, sorted by asset and first day of the absence; none for assets that nobody prices.
    """
    wanted = pl.DataFrame({"asset_id": sorted(set(assets))}, schema={"asset_id": pl.String})
    is_file = pl.col("provider") == FILE
    origin = pl.when(is_file).then("source").otherwise("provider").alias("origin")
    priced = (
        quotes.filter((pl.col("outcome") == Outcome.OK) & (pl.col("provider") != SAMPLE))
        .group_by("asset_id", origin, is_file.alias("is_file"))
        .agg(first=pl.col("date").min())
        .collect()
    )
    reach = priced.group_by("origin", "is_file").agg(reaches_from=pl.col("first").min())
    by_hand = overrides.select("asset_id", pl.lit("manual").alias("origin"), first="date")
    firsts = (
        pl.concat([priced.select("asset_id", "origin", "first"), by_hand])
        .join(wanted, on="asset_id", how="semi")
        .sort("first", "origin")
        .group_by("asset_id", maintain_order=True)
        .agg(first_day=pl.col("first").first(), first_origin=pl.col("origin").first())
    )
    of_files = (
        priced.filter("is_file")
        .join(firsts, on="asset_id")
        .select(
            "asset_id",
            "origin",
            "is_file",
            absent_from=pl.lit(None, pl.Date),
            absent_until=pl.col("first_day") - timedelta(days=1),
        )
    )
    denied = (
        quotes.filter((pl.col("outcome") == Outcome.NO_DATA) & ~is_file)
        .join(firsts.lazy(), on="asset_id")
        .filter(pl.col("date") < pl.col("first_day"))
        .group_by("asset_id", origin, is_file.alias("is_file"))
        .agg(absent_from=pl.col("date").min(), absent_until=pl.col("date").max())
        .collect()
    )
    return (
        pl.concat([of_files, denied])
        .join(reach, on=["origin", "is_file"])
        .join(firsts, on="asset_id")
        .with_columns(reaches_from=pl.max_horizontal("reaches_from", "absent_from"))
        .filter(pl.col("reaches_from") <= pl.col("absent_until"))
        .select(ABSENCES.names())
        .cast(ABSENCES)
        .sort("asset_id", "reaches_from", "origin")
    )
