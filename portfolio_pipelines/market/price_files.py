"""Price files: daily closes that somebody hands in as CSV or Parquet, and everything that can be wrong with them.

Belongs here: from bytes to checked rows, pure. Which asset a symbol means, and storing, is `database.price_import`.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import polars as pl

from portfolio_pipelines.market.file_faults import Faults
from portfolio_pipelines.market.table_cells import day, find_bad_dates, find_swapped, number
from portfolio_pipelines.market.table_files import TableFile, read_table
from portfolio_pipelines.wording import counted

COLUMNS: Final = ("date", "symbol", "asset_id", "close_usd", "close", "source", "quote")
RIVALS_OF_CLOSE: Final = frozenset({"adj close", "adj_close", "price", "price_usd"})
"""With one of these beside it, a column `close` could mean anything."""
DOLLARS: Final = frozenset({"USD", "USDT", "USDC", "BUSD", "FDUSD", "TUSD", "USDP", "DAI"})
"""Quote currencies taken as US dollars; the tokens are noted."""

ROWS: Final = pl.Schema(
    {
        "row": pl.UInt32(),  # as a spreadsheet counts
        "date": pl.Date(),
        "symbol": pl.String(),  # upper case; null where the file gives an asset_id
        "asset_id": pl.String(),
        "close_usd": pl.Float64(),
        "source": pl.String(),  # null where the file names none
    }
)


@dataclass(frozen=True, slots=True)
class PriceFile:
    """What a price file says.

    `rows` (schema ROWS) are those without fault; they may be used only when `faults` is empty. `notes` are things
    worth telling that are no faults.
    """

    name: str
    sha256: str
    rows: pl.DataFrame
    notes: tuple[str, ...]
    faults: Faults


def read_price_file(source: Path | bytes, *, today: date, name: str | None = None) -> PriceFile:
    """Read a price file with columns `date`, `symbol` or `asset_id`, `close_usd` and, if it likes, `source`.

    A column `close` stands for `close_usd` when no other column could be meant. Rows without a price (files list days
    before an asset was traded) are left out and noted: no row says the same. Further columns are ignored, except
    `quote`, which must name US dollars or a dollar token.

    Args:
        source: The file, or its content.
        today: The current UTC day; later dates are refused.
        name: Name for messages; the file's own when not given.

    Raises:
        FileRefusedError: If nothing can be read at all. Everything else is in `faults`.
    """
    table = read_table(source, COLUMNS, name=name)
    cells, faults = table.cells, table.faults
    if "close_usd" not in cells.columns and "close" in cells.columns and RIVALS_OF_CLOSE.isdisjoint(table.columns):
        cells = cells.rename({"close": "close_usd"})
    if cells.is_empty() and not faults:
        faults.add("has a header and no rows")
    _check_columns(table, cells, faults)
    if find_swapped(cells, {"date": "date", "symbol": "word", "asset_id": "word", "close_usd": "number"}, faults):
        return PriceFile(table.name, table.sha256, pl.DataFrame(schema=ROWS), (), faults)
    if "date" in cells.columns:
        find_bad_dates(cells, "date", day("date").is_not_null(), faults)
        late = cells.filter(day("date") > today)
        faults.add_rows(late, lambda row: f"date {row['date']} is in the future")
    if not {"date", "close_usd"} <= set(cells.columns) or {"symbol", "asset_id"}.isdisjoint(cells.columns):
        return PriceFile(table.name, table.sha256, pl.DataFrame(schema=ROWS), (), faults)
    missing = [pl.lit(None, pl.String).alias(name) for name in COLUMNS if name not in cells.columns]
    rows, notes = _check_rows(cells.with_columns(missing), faults)
    return PriceFile(table.name, table.sha256, rows, notes, faults)


def _check_columns(table: TableFile, cells: pl.DataFrame, faults: Faults) -> None:
    there = f"the file has {', '.join(table.columns)}"
    if "date" not in cells.columns:
        faults.add(f"column date is missing; {there}")
    if {"symbol", "asset_id"}.isdisjoint(cells.columns):
        faults.add(f"column symbol or asset_id is missing; {there}")
    if "close_usd" not in cells.columns:
        rivals = sorted(RIVALS_OF_CLOSE.union({"close"}).intersection(table.columns))
        hint = ""
        if rivals:
            hint = (
                f" (rename {' or '.join(rivals)} if that is the close of the UTC day; CoinGecko's daily price is the "
                "close of the day before)"
            )
        faults.add(f"column close_usd is missing{hint}; {there}")


def _check_rows(cells: pl.DataFrame, faults: Faults) -> tuple[pl.DataFrame, tuple[str, ...]]:
    price = number("close_usd")
    unnamed = pl.col("symbol").is_null() & pl.col("asset_id").is_null()
    faults.add_rows(cells.filter(unnamed), lambda _: "no symbol and no asset_id")
    unpriced = pl.col("close_usd").is_null() | (pl.col("close_usd").str.to_lowercase() == "null")
    priced = cells.filter(~unpriced)
    faults.add_rows(priced.filter(price.is_null()), lambda row: f"close_usd {row['close_usd']!r} is no number")
    faults.add_rows(
        priced.filter(price.is_not_null() & ~((price > 0) & price.is_finite())),
        lambda row: f"close_usd is {row['close_usd']}: a price is a positive, finite number",
    )
    foreign = pl.col("quote").is_not_null() & ~pl.col("quote").str.to_uppercase().is_in(list(DOLLARS))
    faults.add_rows(priced.filter(foreign), lambda row: f"is quoted in {row['quote']}, not in US dollars")
    if priced.is_empty() and not cells.is_empty():
        faults.add("has no row with a price")
    rows = priced.select(
        "row",
        day("date").alias("date"),
        pl.when(pl.col("asset_id").is_null()).then(pl.col("symbol").str.to_uppercase()).alias("symbol"),
        "asset_id",
        price.alias("close_usd"),
        "source",
        "quote",
    ).filter(pl.col("date").is_not_null() & ~unnamed & (pl.col("close_usd") > 0) & pl.col("close_usd").is_finite())
    _find_duplicates(rows, faults)
    return rows.select(ROWS.names()).cast(ROWS), _notes(cells, cells.filter(unpriced), rows)


def _find_duplicates(rows: pl.DataFrame, faults: Faults) -> None:
    """Rows that price the same name on the same day as a row before them. Names are compared without case.

    Two names of one asset are found in `database.price_import`, which knows what they mean.
    """
    named = rows.with_columns(asset=pl.coalesce("asset_id", "symbol")).sort("row")
    named = named.with_columns(name=pl.col("asset").str.to_lowercase())
    key = ["name", "date"]
    again = named.filter(~pl.struct(key).is_first_distinct())
    first = named.filter(pl.struct(key).is_first_distinct()).select(*key, first="row", other="close_usd")
    faults.add_rows(
        again.join(first, on=key),
        lambda row: (
            f"repeats row {row['first']} ({row['asset']} on {row['date']})"
            if row["close_usd"] == row["other"]
            else f"contradicts row {row['first']}: {row['asset']} on {row['date']} is {row['close_usd']} here "
            f"and {row['other']} there"
        ),
    )


def _notes(cells: pl.DataFrame, unpriced: pl.DataFrame, rows: pl.DataFrame) -> tuple[str, ...]:
    notes = []
    if not unpriced.is_empty():
        named = ", ".join(
            unpriced.select(pl.coalesce("asset_id", "symbol").drop_nulls().unique().sort()).to_series()[:5]
        )
        notes.append(f"{unpriced.height:,} of {counted(cells.height, 'row')} have no price and were left out ({named})")
    tokens = rows.filter(pl.col("quote").str.to_uppercase() != "USD")
    if not tokens.is_empty():
        currencies = ", ".join(tokens["quote"].unique().sort())
        are = "is" if tokens.height == 1 else "are"
        notes.append(f"{counted(tokens.height, 'row')} {are} quoted in {currencies}, taken as US dollars")
    return tuple(notes)
