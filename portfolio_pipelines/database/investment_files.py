"""Investment files: purchases that somebody hands in as CSV, JSON or Parquet, and everything that can be wrong in them.

Belongs here: from bytes to checked rows, pure. Which asset a name means, prices and storing are `investment_import`.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import polars as pl

from portfolio_pipelines.market.file_faults import Faults
from portfolio_pipelines.market.table_cells import (
    DECIMAL,
    find_bad_dates,
    find_bad_numbers,
    find_bad_texts,
    find_swapped,
    number,
)
from portfolio_pipelines.market.table_files import read_table

REQUIRED: Final = ("user_id", "investment_id", "invested_at", "asset", "amount_usd")
COLUMNS: Final = (*REQUIRED, "quantity")
LONGEST_ID: Final = 255
LARGEST_AMOUNT: Final = 1e15
"""US dollars; more than all money there is."""
LARGEST_QUANTITY: Final = 1e30
SMALLEST_QUANTITY: Final = 5e-19
"""Rounds to the last of the 18 decimals that are kept."""
MOMENT: Final = (
    r"^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?: ?(?:[zZ]|UTC|[+-]\d{2}(?::?\d{2})?))?)?$"
)

ROWS: Final = pl.Schema(
    {
        "row": pl.UInt32(),  # as a spreadsheet counts
        "user_id": pl.String(),
        "investment_id": pl.String(),
        "invested_at": pl.Datetime("us", "UTC"),
        "day": pl.Date(),  # UTC day of it
        "asset": pl.String(),  # as written: market id or ticker
        "amount_usd": pl.String(),  # a positive decimal with all the digits of the file
        "quantity": pl.String(),  # likewise; null where it is to be derived
    }
)


@dataclass(frozen=True, slots=True)
class InvestmentFile:
    """What an investment file says. `rows` (schema ROWS) may be used only when `faults` is empty."""

    name: str
    sha256: str
    rows: pl.DataFrame
    faults: Faults


def read_investment_file(
    source: Path | bytes, *, first_day: date, now: datetime, name: str | None = None
) -> InvestmentFile:
    """Read an investment file with columns user_id, investment_id, invested_at, asset, amount_usd and quantity.

    Args:
        source: The file, or its content.
        first_day: Older purchases are refused.
        now: Later purchases are refused.
        name: Name for messages; the file's own when not given.

    Raises:
        FileRefusedError: If nothing can be read at all. Everything else is in `faults`.
    """
    table = read_table(source, COLUMNS, name=name, json_too=True)
    cells, faults = table.cells, table.faults
    if cells.is_empty() and not faults:
        faults.add("has no rows")
    absent = [column for column in REQUIRED if column not in cells.columns]
    for column in absent:
        faults.add(f"column {column} is missing; the file has {', '.join(table.columns)}")
    kinds = {"invested_at": "date", "asset": "word", "amount_usd": "number", "quantity": "number"}
    if find_swapped(cells, kinds, faults) or absent:
        return InvestmentFile(table.name, table.sha256, pl.DataFrame(schema=ROWS), faults)
    if "quantity" not in cells.columns:
        cells = cells.with_columns(quantity=pl.lit(None, pl.String))
    cells = cells.join(moments_of(cells["invested_at"]), on="invested_at", how="left", maintain_order="left")
    find_bad_texts(cells, ("user_id", "investment_id", "asset"), faults, longest=LONGEST_ID, required=True)
    _checkmoments_of(cells, first_day, now, faults)
    find_bad_numbers(cells, "amount_usd", faults, largest=LARGEST_AMOUNT, required=True)
    find_bad_numbers(cells, "quantity", faults, largest=LARGEST_QUANTITY, required=False)
    faults.add_rows(
        cells.filter(number("quantity").is_between(0, SMALLEST_QUANTITY, closed="none")),
        lambda row: f"quantity {row['quantity']} is smaller than the 18 decimals that are kept",
    )
    good = (
        pl.all_horizontal(pl.col("user_id", "investment_id", "asset", "moment").is_not_null())
        & pl.col("amount_usd").str.contains(DECIMAL)
        & pl.col("quantity").str.contains(DECIMAL).fill_null(value=True)
    )
    rows = cells.filter(good).select(
        "row", "user_id", "investment_id", invested_at="moment", day=pl.col("moment").dt.date(),
        asset="asset", amount_usd="amount_usd", quantity="quantity",
    )  # fmt: skip
    rows = rows.cast(ROWS)
    _check_one_moment(rows, faults)
    return InvestmentFile(table.name, table.sha256, rows, faults)


def moments_of(column: pl.Series) -> pl.DataFrame:
    """Each distinct text with the moment it means, UTC; null when it means none."""
    texts = column.drop_nulls().unique()
    candidates = texts.filter(texts.str.contains(MOMENT))
    moments = [_moment(text) for text in candidates]
    return pl.DataFrame({"invested_at": candidates, "moment": pl.Series(moments, dtype=ROWS["invested_at"])})


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text.upper().removesuffix("UTC").rstrip().replace(" +", "+").replace(" Z", "Z"))
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _checkmoments_of(cells: pl.DataFrame, first_day: date, now: datetime, faults: Faults) -> None:
    moment = pl.col("moment")
    find_bad_dates(cells, "invested_at", moment.is_not_null(), faults)
    faults.add_rows(cells.filter(moment > now), lambda row: f"invested_at {row['invested_at']} is in the future")
    faults.add_rows(
        cells.filter(moment.dt.date() < first_day),
        lambda row: f"invested_at {row['invested_at']} is before {first_day}, the first day (PORTFOLIO_FIRST_DAY)",
    )


def _check_one_moment(rows: pl.DataFrame, faults: Faults) -> None:
    """An investment is one purchase: all its coins were bought at one moment."""
    key = ["user_id", "investment_id"]
    first = rows.sort("row").with_columns(
        first_row=pl.col("row").first().over(key), first_moment=pl.col("invested_at").first().over(key)
    )
    faults.add_rows(
        first.filter(pl.col("invested_at") != pl.col("first_moment")),
        lambda row: (
            f"investment {row['investment_id']!r} of {row['user_id']!r} was bought at "
            f"{row['invested_at']:%Y-%m-%d %H:%M} here and at {row['first_moment']:%Y-%m-%d %H:%M} in row "
            f"{row['first_row']}"
        ),
    )
