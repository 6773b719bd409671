"""Transaction files: ledgers that somebody hands in as CSV, JSON or Parquet, and everything that can be wrong in them.

Belongs here: from bytes to checked rows, pure. Formats of exchanges are turned into the same cells by
`transaction_exports`. Which asset a name means and storing are `transaction_import`.

Our own schema, one row a leg; an empty cell is nothing:

- user_id, transaction_id (unique per user; legs of one transaction share it), leg (1 when empty)
- at: a moment; without an offset it is UTC, and a file has either offsets everywhere or nowhere
- type: one of `finance.transactions.Type`; buy, sell and swap are trades, staking and interest are rewards
- venue, to_venue: wallet or exchange; to_venue where a transfer arrived
- in_asset, in_quantity, out_asset, out_quantity: what came and what went, without the fee
- fee_asset, fee_quantity: paid on top, so that a balance changes by +in − out − fee
- value_usd, fee_value_usd: what it was worth, where that is known; else the close of the day says it
- tx_hash, chain, block_number, transaction_index, log_index: where it stands on a chain
"""

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final

import polars as pl

from portfolio_pipelines.database.investment_files import moments_of
from portfolio_pipelines.database.transaction_exports import read_export
from portfolio_pipelines.database.transaction_row_checks import (
    LONGEST,
    QUANTITIES,
    check_order,
    check_sides,
    check_twice,
    check_types,
    check_zones,
)
from portfolio_pipelines.finance.transactions import Type
from portfolio_pipelines.market.file_faults import Faults
from portfolio_pipelines.market.table_cells import DECIMAL, find_bad_dates, find_bad_numbers, find_bad_texts, number
from portfolio_pipelines.market.table_files import read_table

TEXTS: Final = (
    "user_id", "transaction_id", "type", "venue", "to_venue", "in_asset", "out_asset", "fee_asset", "tx_hash", "chain",
)  # fmt: skip
MONEY: Final = ("value_usd", "fee_value_usd")
PLACES: Final = ("leg", "block_number", "transaction_index", "log_index")
REQUIRED: Final = ("transaction_id", "at", "type", "venue")
COLUMNS: Final = (*TEXTS, "at", *QUANTITIES, *MONEY, *PLACES)
UNREAD: Final = ("user_id", "in_asset")
LARGEST_QUANTITY: Final = 1e20
LARGEST_USD: Final = 1e15
SMALLEST: Final = 5e-19
ALIASES: Final = {
    "buy": Type.TRADE, "sell": Type.TRADE, "swap": Type.TRADE, "staking": Type.REWARD, "interest": Type.REWARD,
    "gas": Type.FEE, "donation": Type.GIFT_SENT, "stake": Type.WRAP, "unstake": Type.WRAP, "bridge": Type.WRAP,
    "unwrap": Type.WRAP,
}  # fmt: skip

ROWS: Final = pl.Schema(
    {
        "row": pl.UInt32(),  # as a spreadsheet counts
        **dict.fromkeys(TEXTS, pl.String()),
        "at": pl.Datetime("us", "UTC"),
        **dict.fromkeys((*QUANTITIES, *MONEY), pl.String()),  # decimals with all the digits of the file
        "leg": pl.Int16(),
        "block_number": pl.Int64(),
        "transaction_index": pl.Int32(),
        "log_index": pl.Int32(),
    }
)


@dataclass(frozen=True, slots=True)
class TransactionFile:
    """What a transaction file says. `rows` (schema ROWS) may be used only when `faults` is empty."""

    name: str
    sha256: str
    format: str  # own, or the name of an exchange
    rows: pl.DataFrame
    ignored: tuple[tuple[str, int], ...]  # why rows of an export say nothing, and how many
    faults: Faults
    unread: pl.DataFrame  # of rows that are not among `rows`: user_id, in_asset as they stand; null where nobody knows
    is_partial: bool = False  # rows are missing of which not even that much is known


def read_transaction_file(
    source: Path | bytes,
    *,
    first_day: date,
    now: datetime,
    user_id: str | None = None,
    venue: str | None = None,
    skip_faulty: bool = False,
    day_first: bool | None = None,
    name: str | None = None,
) -> TransactionFile:
    """Read a transaction file of our own schema, or an export of an exchange that is known by its header.

    Args:
        source: The file, or its content.
        first_day: Older transactions are refused.
        now: Later transactions are refused.
        user_id: Whose it is, where the file does not say it.
        venue: The wallet or exchange, where the file does not say it.
        skip_faulty: Of an export: whether rows that make no sense are left out, with their reason.
        day_first: Of an export: what 5/9/2017 means; None to find out.
        name: Name for messages; the file's own when not given.

    Raises:
        FileRefusedError: If nothing can be read at all. Everything else is in `faults`.
    """
    export = read_export(source, name=name, skip_faulty=skip_faulty, day_first=day_first) if _is_there(source) else None
    if export is not None:
        faults = export.faults
        if user_id is None:
            faults.add(f"is an export of {export.format} and does not say whose it is: give the user (--user)")
        is_partial = bool(faults)
        rows = checked_rows(
            export.cells, faults, first_day=first_day, now=now, user_id=user_id or export.format, venue=venue
        )
        unread = _unread(export.cells, rows, user_id or export.format)
        return TransactionFile(
            faults.name, export.sha256, export.format, rows, export.ignored, faults, unread, is_partial
        )
    table = read_table(source, COLUMNS, name=name, json_too=True)
    cells, faults = table.cells, table.faults
    absent = [column for column in REQUIRED if column not in cells.columns]
    if "user_id" not in cells.columns and user_id is None:
        absent.append("user_id")
    for column in absent:
        faults.add(f"column {column} is missing; the file has {', '.join(table.columns)[:LONGEST]}")
    if cells.is_empty() and not faults:
        faults.add("has no rows")
    if absent:
        nothing = pl.DataFrame(schema=ROWS)
        return TransactionFile(
            table.name, table.sha256, "own", nothing, (), faults, nothing.select(UNREAD), is_partial=True
        )
    is_partial = bool(faults)
    rows = checked_rows(cells, faults, first_day=first_day, now=now, user_id=user_id, venue=venue)
    unread = _unread(cells, rows, user_id)
    return TransactionFile(table.name, table.sha256, "own", rows, (), faults, unread, is_partial)


def _unread(cells: pl.DataFrame, rows: pl.DataFrame, user_id: str | None) -> pl.DataFrame:
    """Of cells that did not become rows: whose they are and what they bring, as far as they say it."""
    given = {name: pl.col(name) if name in cells.columns else pl.lit(None, pl.String) for name in UNREAD}
    left = cells.join(rows, on="row", how="anti").select(**given)
    return left.with_columns(pl.col("user_id").fill_null(pl.lit(user_id, pl.String)))


def _is_there(source: Path | bytes) -> bool:
    return isinstance(source, bytes) or source.is_file()


def checked_rows(
    cells: pl.DataFrame, faults: Faults, *, first_day: date, now: datetime, user_id: str | None, venue: str | None
) -> pl.DataFrame:
    """Rows of schema ROWS from cells of our own columns (all text, and `row`); what is wrong goes to `faults`."""
    lacking = [pl.lit(None, pl.String).alias(column) for column in COLUMNS if column not in cells.columns]
    cells = cells.with_columns(lacking)
    cells = cells.with_columns(
        user_id=pl.col("user_id").fill_null(pl.lit(user_id, pl.String)),
        venue=pl.col("venue").fill_null(pl.lit(venue, pl.String)),
    )
    cells = _without_giants(cells, faults)
    cells = cells.with_columns(
        type=pl.col("type").str.to_lowercase().str.replace_all(r"[ -]", "_").replace(
            {alias: kind.value for alias, kind in ALIASES.items()}
        )
    )  # fmt: skip
    moments = moments_of(cells["at"]).rename({"invested_at": "at"})
    cells = cells.join(moments, on="at", how="left", maintain_order="left")
    find_bad_texts(cells, ("user_id", "transaction_id", "type", "venue"), faults, longest=LONGEST, required=True)
    find_bad_texts(cells, TEXTS[4:], faults, longest=LONGEST, required=False)
    find_bad_dates(cells, "at", pl.col("moment").is_not_null(), faults)
    faults.add_rows(cells.filter(pl.col("moment") > now), lambda row: f"at {row['at']} is in the future")
    faults.add_rows(
        cells.filter(pl.col("moment").dt.date() < first_day),
        lambda row: f"at {row['at']} is before {first_day}, the first day (PORTFOLIO_FIRST_DAY)",
    )
    check_zones(cells, faults)
    for column in QUANTITIES:
        find_bad_numbers(cells, column, faults, largest=LARGEST_QUANTITY, required=False)
        faults.add_rows(
            cells.filter(number(column).is_between(0, SMALLEST, closed="none")),
            lambda row, column=column: f"{column} {row[column]} is smaller than the 18 decimals that are kept",  # type: ignore[misc]
        )
    for column in MONEY:
        find_bad_numbers(cells, column, faults, largest=LARGEST_USD, required=False, may_be_zero=True)
    whole = {name: pl.col(name).cast(ROWS[name], strict=False) for name in PLACES}
    for name, value in whole.items():
        bad = cells.filter(pl.col(name).is_not_null() & (value.is_null() | (value < (name == "leg"))))
        faults.add_rows(bad, lambda row, name=name: f"{name} {row[name]!r} is no whole number")  # type: ignore[misc]
    check_types(cells, faults)
    good = (
        pl.all_horizontal(pl.col("user_id", "transaction_id", "type", "venue", "moment").is_not_null())
        & pl.col("type").is_in([kind.value for kind in Type])
        & pl.all_horizontal(pl.col(*QUANTITIES, *MONEY).str.contains(DECIMAL).fill_null(value=True))
        & pl.all_horizontal((pl.col(*TEXTS).str.len_chars() <= LONGEST).fill_null(value=True))
    )
    rows = cells.filter(good).with_columns(**whole, at="moment").with_columns(pl.col("leg").fill_null(1))
    rows = rows.select(ROWS.names()).cast(ROWS)
    check_twice(rows, faults)
    check_sides(rows, faults)
    check_order(rows, faults)
    return rows


def _without_giants(cells: pl.DataFrame, faults: Faults) -> pl.DataFrame:
    """Cells that are too long are told by their length alone, and not looked at any further."""
    for column in (*QUANTITIES, *MONEY, *PLACES, "at"):
        length = pl.col(column).str.len_chars()
        faults.add_rows(
            cells.filter(length > LONGEST),
            lambda row, column=column: f"{column} has {len(row[column])} characters, more than {LONGEST}",  # type: ignore[misc]
        )
    kept = [
        pl.when(pl.col(column).str.len_chars() <= LONGEST).then(pl.col(column)).alias(column)
        for column in (*QUANTITIES, *MONEY, *PLACES)
    ]
    giant = pl.col("at").str.len_chars() > LONGEST
    long = [
        (pl.col(name).str.len_chars() > LONGEST).fill_null(value=False).alias(f"long_{name}") for name in QUANTITIES
    ]
    return cells.filter(~giant.fill_null(value=False)).with_columns(*kept, *long)
