"""Which asset a name means on a day: a market id, or a ticker that meant exactly one asset then.

Belongs here: resolving names and explaining why one cannot be resolved, pure. The tables come from `assets`.
"""

from datetime import date
from difflib import get_close_matches
from typing import Final

import polars as pl

RESOLVED: Final = pl.Schema(
    {
        "name": pl.String(),
        "day": pl.Date(),
        "asset_id": pl.String(),  # null unless the name means exactly one asset on the day
        "candidates": pl.List(pl.String()),  # what the name means on the day; empty when nothing
    }
)


def resolve(names: pl.DataFrame, assets: pl.DataFrame, symbols: pl.DataFrame) -> pl.DataFrame:
    """Find the asset of each (name, day).

    Args:
        names: Columns `name` and `day`, any case, repeats allowed.
        assets: Schema ASSETS_SCHEMA.
        symbols: Schema `assets.ASSET_SYMBOLS_SCHEMA`.

    Returns:
        Schema RESOLVED, one row a distinct (name, day).
    """
    wanted = names.select("name", "day").unique().with_columns(key=pl.col("name").str.to_lowercase())
    ids = assets.select("asset_id", key=pl.col("asset_id").str.to_lowercase())
    tickers = symbols.with_columns(key=pl.col("symbol").str.to_lowercase())
    by_id = wanted.join(ids, on="key")
    valid = (pl.col("valid_from").is_null() | (pl.col("valid_from") <= pl.col("day"))) & (
        pl.col("valid_to").is_null() | (pl.col("day") < pl.col("valid_to"))
    )
    by_ticker = wanted.join(tickers, on="key").filter(valid)
    found = (
        pl.concat([frame.select("name", "day", "asset_id") for frame in (by_id, by_ticker)])
        .group_by("name", "day")
        .agg(candidates=pl.col("asset_id").unique().sort())
    )
    nothing = pl.lit([], pl.List(pl.String))
    result = wanted.join(found, on=["name", "day"], how="left").with_columns(pl.col("candidates").fill_null(nothing))
    single = pl.when(pl.col("candidates").list.len() == 1).then(pl.col("candidates").list.first())
    return result.with_columns(asset_id=single).select(RESOLVED.names()).cast(RESOLVED)


def explain(name: str, day: date, candidates: list[str], assets: pl.DataFrame, symbols: pl.DataFrame) -> str:
    """Why `resolve` found no single asset for a name, and what to write instead."""
    if len(candidates) > 1:
        return f"asset {name!r} is ambiguous on {day}: write one of {', '.join(candidates)}"
    elsewhere = symbols.filter(pl.col("symbol") == name.upper()).sort("valid_from", nulls_last=False)
    if not elsewhere.is_empty():
        meanings = ", ".join(_meaning(row) for row in elsewhere.iter_rows(named=True))
        return f"asset {name!r} was no symbol on {day}: it means {meanings}"
    known = {text.lower(): text for text in [*assets["asset_id"], *symbols["symbol"]]}
    bare = {asset_id.partition(":")[2].lower(): asset_id for asset_id in assets["asset_id"]}
    close = [(known | bare)[match] for match in get_close_matches(name.lower(), known | bare, n=3, cutoff=0.6)]
    hint = f"; did you mean {' or '.join(dict.fromkeys(close))}?" if close else ""
    return f"unknown asset {name!r}{hint}"


def _meaning(row: dict[str, object]) -> str:
    start = f" from {row['valid_from']}" if row["valid_from"] else ""
    end = f" until {row['valid_to']}" if row["valid_to"] else ""
    return f"{row['asset_id']}{start}{end}"
