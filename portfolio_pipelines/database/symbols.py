"""Which asset a name means on a day: a market id, or a ticker that meant exactly one asset then.

Belongs here: resolving names and explaining why one cannot be resolved, pure. The tables come from `assets`.
"""

import re
from datetime import date
from difflib import SequenceMatcher, get_close_matches
from typing import Final

import polars as pl

MARKET_ID: Final = re.compile(r"coingecko:[a-z0-9][a-z0-9._-]{0,127}", re.IGNORECASE | re.ASCII)
"""A market id of a coin: CoinGecko's own name of it behind the colon."""
TICKER_LENGTH: Final = 4
LEAST_RATIO: Final = 0.6
"""Of `difflib`: what is further away than this is not even looked at."""

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
        meanings = ", ".join(meaning(row) for row in elsewhere.iter_rows(named=True))
        return f"asset {name!r} was no symbol on {day}: it means {meanings}"
    known = {text.lower(): text for text in [*assets["asset_id"], *symbols["symbol"]]}
    bare = {asset_id.partition(":")[2].lower(): asset_id for asset_id in assets["asset_id"]}
    close = _close_names(name.lower(), known | bare)
    if close:
        return f"unknown asset {name!r}; did you mean {' or '.join(close)}?{_way_in(name)}"
    way_in = _way_in(name) or " `portfolio assets list` shows those that are known"
    return f"unknown asset {name!r}:{way_in}"


def _way_in(name: str) -> str:
    """The command that makes a market id known; nothing for other names."""
    if not MARKET_ID.fullmatch(name):
        return ""
    return f" `portfolio assets add {name.lower()} --symbol TICKER --name NAME` makes it known"


def _close_names(name: str, known: dict[str, str]) -> list[str]:
    """What `name` is probably a slip of the pen for: an edit in a ticker, two in a longer name.

    Of a market id the part behind the colon is compared: that both begin with `coingecko:` makes no two coins alike.
    """
    provider, mark, own = name.rpartition(":")
    head = provider + mark
    rivals = {text.removeprefix(head): text for text in known if text.startswith(head)}
    near = get_close_matches(own, rivals, n=5, cutoff=LEAST_RATIO)
    slips = 1 if len(own) <= TICKER_LENGTH else 2
    return list(dict.fromkeys(known[rivals[text]] for text in near if _edits(own, text) <= slips))[:3]


def _edits(one: str, other: str) -> int:
    same = sum(block.size for block in SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks())
    return max(len(one), len(other)) - same


def meaning(row: dict[str, object]) -> str:
    """What a ticker means and when, of a row of `assets.ASSET_SYMBOLS_SCHEMA`."""
    start = f" from {row['valid_from']}" if row["valid_from"] else ""
    end = f" until {row['valid_to']}" if row["valid_to"] else ""
    return f"{row['asset_id']}{start}{end}"
