"""Files of liquidity positions, as CSV, JSON or Parquet, and everything that can be wrong in them.

Belongs here: from bytes to checked rows, pure. Asking the chain about the pools and storing is `liquidity_import`.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import polars as pl

from portfolio_pipelines.chains.registry import Registry, UnknownChainError
from portfolio_pipelines.database.wallet_files import LONGEST_ID, LONGEST_LABEL, read_addresses
from portfolio_pipelines.market.file_faults import Faults
from portfolio_pipelines.market.table_cells import (
    DECIMAL,
    day,
    find_bad_dates,
    find_bad_numbers,
    find_bad_texts,
    find_swapped,
    number,
)
from portfolio_pipelines.market.table_files import read_table

REQUIRED: Final = ("user_id", "pool", "chain", "entry_price", "entry_date")
OPTIONAL: Final = ("wallet", "label", "price_of", "amount0", "amount1")
COLUMNS: Final = (*REQUIRED, *OPTIONAL)
TOKENS: Final = ("token0", "token1")
LARGEST: Final = 1e30
"""Of prices and amounts; the smallest token is still worth more."""
KINDS: Final = {"pool": "word", "entry_price": "number", "entry_date": "date"}  # a chain may be a number
DECIMALS: Final = ("entry_price", "amount0", "amount1")

ROWS: Final = pl.Schema(
    {
        "row": pl.UInt32(),  # as a spreadsheet counts
        "user_id": pl.String(),
        "chain": pl.String(),  # slug
        "pool": pl.String(),  # 0x and 40 lower-case hex digits
        "wallet": pl.String(),  # as it is stored; null when not said
        "entry_date": pl.Date(),
        "label": pl.String(),
        "entry_price": pl.String(),  # a positive decimal with all the digits of the file
        "price_of": pl.String(),  # token0 or token1
        "amount0": pl.String(),  # likewise, may be zero; null when not said
        "amount1": pl.String(),
    }
)


@dataclass(frozen=True, slots=True)
class LiquidityFile:
    """What a file of liquidity positions says. `rows` (schema ROWS) may be used only when `faults` is empty."""

    name: str
    sha256: str
    rows: pl.DataFrame
    faults: Faults
    columns: frozenset[str]  # those of COLUMNS that the file has


def read_liquidity_file(
    source: Path | bytes, *, chains: Registry, first_day: date, today: date, name: str | None = None
) -> LiquidityFile:
    """Read a file with columns user_id, pool, chain, entry_price, entry_date, and where it has them the optional ones.

    Args:
        source: The file, or its content.
        chains: The chains that may be named.
        first_day: Older positions are refused.
        today: Later positions are refused.
        name: Name for messages; the file's own when not given.

    Raises:
        FileRefusedError: If nothing can be read at all. Everything else is in `faults`.
    """
    table = read_table(source, COLUMNS, name=name, json_too=True)
    cells, faults = table.cells, table.faults
    columns = frozenset(COLUMNS).intersection(cells.columns)
    if cells.is_empty() and not faults:
        faults.add("has no rows")
    absent = [column for column in REQUIRED if column not in columns]
    for column in absent:
        faults.add(f"column {column} is missing; the file has {', '.join(table.columns)}")
    if find_swapped(cells, KINDS, faults) or absent:
        return LiquidityFile(table.name, table.sha256, ROWS.to_frame(), faults, columns)
    cells = cells.with_columns(pl.lit(None, pl.String).alias(name) for name in COLUMNS if name not in columns)
    cells = cells.with_columns(day=day("entry_date"), price_of=pl.col("price_of").str.to_lowercase())
    find_bad_texts(cells, ["user_id", "pool", "chain"], faults, longest=LONGEST_ID, required=True)
    find_bad_texts(cells, ["wallet"], faults, longest=LONGEST_ID, required=False)
    find_bad_texts(cells, ["label"], faults, longest=LONGEST_LABEL, required=False)
    _check_days(cells, first_day, today, faults)
    find_bad_numbers(cells, "entry_price", faults, largest=LARGEST, required=True)
    _check_amounts(cells, faults)
    faults.add_rows(
        cells.filter(~pl.col("price_of").is_in(TOKENS)),
        lambda row: f"price_of {row['price_of']!r} is neither token0 nor token1: the token whose price entry_price is",
    )
    cells = _with_addresses(_with_chains(cells, chains, faults), faults)
    good = pl.all_horizontal(pl.col("user_id", "slug", "pool_address", "day").is_not_null()) & pl.all_horizontal(
        pl.col(name).is_null() | pl.col(name).str.contains(DECIMAL) for name in DECIMALS
    )
    rows = cells.filter(good & pl.col("entry_price").is_not_null()).select(
        "row", "user_id", chain="slug", pool="pool_address", wallet="wallet_address", entry_date="day", label="label",
        entry_price="entry_price", price_of=pl.col("price_of").fill_null(TOKENS[0]), amount0="amount0",
        amount1="amount1",
    )  # fmt: skip
    return LiquidityFile(table.name, table.sha256, rows.cast(ROWS), faults, columns)


def _check_days(cells: pl.DataFrame, first_day: date, today: date, faults: Faults) -> None:
    entered = pl.col("day")
    find_bad_dates(cells, "entry_date", entered.is_not_null(), faults)
    faults.add_rows(cells.filter(entered > today), lambda row: f"entry_date {row['entry_date']} is in the future")
    faults.add_rows(
        cells.filter(entered < first_day),
        lambda row: f"entry_date {row['entry_date']} is before {first_day}, the first day (PORTFOLIO_FIRST_DAY)",
    )


def _check_amounts(cells: pl.DataFrame, faults: Faults) -> None:
    first, second = pl.col("amount0"), pl.col("amount1")
    for column in ("amount0", "amount1"):
        find_bad_numbers(cells, column, faults, largest=LARGEST, required=False, may_be_zero=True)
    faults.add_rows(
        cells.filter(first.is_null() != second.is_null()),
        lambda _: "has one of amount0 and amount1: give both (0 where nothing was put in) or none",
    )
    faults.add_rows(
        cells.filter((number("amount0") == 0) & (number("amount1") == 0)), lambda _: "amount0 and amount1 are both 0"
    )


def _with_chains(cells: pl.DataFrame, chains: Registry, faults: Faults) -> pl.DataFrame:
    """The cells with `slug`; a fault for each chain that is unknown, or has no pools that we can value."""
    found: list[tuple[str, str | None, str | None]] = []
    for text in cells["chain"].drop_nulls().unique():
        try:
            chain = chains.find(text)
        except UnknownChainError as error:
            found.append((text, None, str(error)))
            continue
        if chain.family == "evm":
            found.append((text, chain.slug, None))
        else:
            found.append((text, None, f"pools are valued on EVM chains; {chain.slug} is none"))
    schema = pl.Schema({name: pl.String() for name in ("chain", "slug", "chain_problem")})
    named = cells.join(pl.DataFrame(found, schema=schema, orient="row"), on="chain", how="left", maintain_order="left")
    faults.add_rows(named.filter(pl.col("chain_problem").is_not_null()), lambda row: str(row["chain_problem"]))
    return named


def _with_addresses(cells: pl.DataFrame, faults: Faults) -> pl.DataFrame:
    """The cells with `pool_address` and `wallet_address`; a fault for each that is none of an EVM chain."""
    for column in ("pool", "wallet"):
        read = read_addresses(cells[column].alias("address"))
        problem = (
            pl.when(pl.col("problem").is_not_null()).then("problem")
            .when(pl.col("parsed").is_null())
            .then(pl.format("{} is a name: write the address it stands for", "address"))
            .when(pl.col("family") != "evm")
            .then(pl.format("{} is no address of an EVM chain", "address"))
        )  # fmt: skip
        known = read.select(
            pl.col("address").alias(column),
            pl.when(problem.is_null()).then("parsed").alias(f"{column}_address"),
            pl.when(problem.is_not_null()).then(pl.format(f"{column}: {{}}", problem)).alias(f"{column}_problem"),
        )
        cells = cells.join(known, on=column, how="left", maintain_order="left")
        faults.add_rows(
            cells.filter(pl.col(f"{column}_problem").is_not_null()),
            lambda row, column=column: str(row[f"{column}_problem"]),  # type: ignore[misc]
        )
    return cells
