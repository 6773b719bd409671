"""Importing price files: which assets they price, remembering the file, handing the quotes to the lake.

Belongs here: the transaction around one file. Reading and checking a file is `market.price_files`; storing quotes is
the caller's, through a function that runs inside the transaction.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from portfolio_pipelines.database.assets import add_asset, load_asset_symbols, load_assets
from portfolio_pipelines.database.symbols import explain, resolve
from portfolio_pipelines.market.file_faults import Faults
from portfolio_pipelines.market.price_files import PriceFile, read_price_file
from portfolio_pipelines.market.quotes import QUOTES, Outcome
from portfolio_pipelines.wording import counted

TICKER: Final = r"^[^\s:\p{C}]{1,32}$"
"""A name that may become an asset of its own, file:NAME."""
LARGEST_SPREAD: Final = 0.25
"""Two names of one asset in a file may differ by this much (two exchanges on a wild day); more is a contradiction."""


@dataclass(frozen=True, slots=True)
class PriceImport:
    """What an import of prices did. `notes` are worth telling; `new_assets` are known from price files alone."""

    file_name: str
    already_imported: datetime | None  # when this content was imported before: nothing was changed
    n_quotes: int
    n_assets: int
    first_day: date | None
    last_day: date | None
    new_assets: tuple[str, ...]
    notes: tuple[str, ...]


def import_prices(
    engine: sa.Engine,
    source: Path | bytes,
    *,
    store: Callable[[pl.DataFrame], object],
    who: str,
    now: datetime | None = None,
    name: str | None = None,
) -> PriceImport:
    """Import one price file, whole or not at all.

    A name that nobody knows becomes an asset of its own (`file:STETH`). The same content a second time changes
    nothing.

    Args:
        engine: Engine of the operational database.
        source: The file, or its content.
        store: Called once with the quotes (schema QUOTES); when it raises, nothing is remembered.
        who: Who imports.
        now: Time of the import; the clock when not given.
        name: Name of the file, when `source` is its content.

    Raises:
        FileRefusedError: With all faults of the file. Nothing was changed.
    """
    now = now or datetime.now(UTC)
    file = read_price_file(source, today=now.astimezone(UTC).date(), name=name)
    with engine.begin() as connection:
        connection.execute(sa.text("select pg_advisory_xact_lock(hashtextextended('import_prices', 0))"))
        before = connection.scalar(
            sa.text("select imported_at from app.imports where kind = 'prices' and file_hash = :hash"),
            {"hash": file.sha256},
        )
        if before is not None:
            return PriceImport(file.name, before, 0, 0, None, None, (), ("imported before, nothing changed",))
        rows, new, notes = _name_assets(file, load_assets(engine), load_asset_symbols(engine))
        if file.faults:
            raise file.faults.refusal()
        for asset_id, symbol in new.items():
            add_asset(connection, asset_id, symbol, symbol, kind="file")
        connection.execute(
            sa.text("""
                insert into app.imports (kind, file_name, file_hash, n_rows, imported_at, imported_by)
                values ('prices', :name, :hash, :rows, :now, :who)
            """),
            {"name": file.name, "hash": file.sha256, "rows": file.rows.height, "now": now, "who": who},
        )
        quotes = _quotes(rows, file.name, now)
        store(quotes)
    days = sorted(quotes["date"].unique().to_list())
    return PriceImport(
        file_name=file.name,
        already_imported=None,
        n_quotes=quotes.height,
        n_assets=quotes["asset_id"].n_unique(),
        first_day=days[0],
        last_day=days[-1],
        new_assets=tuple(new),
        notes=(*file.notes, *notes),
    )


def _name_assets(
    file: PriceFile, assets: pl.DataFrame, symbols: pl.DataFrame
) -> tuple[pl.DataFrame, dict[str, str], tuple[str, ...]]:
    """Rows with their asset_id, one an asset and day; the assets to make, with their symbol; notes."""
    named = file.rows.with_columns(name=pl.coalesce("asset_id", "symbol"), day=pl.col("date"))
    found = resolve(named, assets, symbols)
    rows = named.drop("asset_id").join(found, on=["name", "day"], how="left")
    is_new = (
        ~pl.col("name").str.to_uppercase().is_in(symbols["symbol"].to_list())
        & (pl.col("candidates").list.len() == 0)
        & pl.col("name").str.replace("^(?i)file:", "").str.contains(TICKER)
    )
    symbol = pl.col("name").str.replace("^(?i)file:", "").str.to_uppercase()
    rows = rows.with_columns(
        asset_id=pl.when(is_new).then(pl.lit("file:") + symbol).otherwise("asset_id"),
        new_symbol=pl.when(is_new).then(symbol),
    )
    file.faults.add_rows(
        rows.filter(pl.col("asset_id").is_null()),
        lambda row: explain(row["name"], row["day"], row["candidates"], assets, symbols),
    )
    new = dict(rows.drop_nulls("new_symbol").select("asset_id", "new_symbol").unique().sort("asset_id").iter_rows())
    single, notes = _merge_names(rows.drop_nulls("asset_id"), file.faults)
    return single, new, notes


def _merge_names(rows: pl.DataFrame, faults: Faults) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """One row an asset and day where a file prices it under two names.

    Two tickers may: LUNA and LUNC were one asset until 2022. A market id beside a ticker or another id is the same row
    twice, whatever the prices are. A name that repeats itself is a fault of the file already.
    """
    key = ["asset_id", "date"]
    rows = rows.sort("row").with_columns(written=pl.col("name").str.to_lowercase())
    rows = rows.with_columns(
        first_row=pl.col("row").first().over(key),
        first_name=pl.col("name").first().over(key),
        first_written=pl.col("written").first().over(key),
        first_close=pl.col("close_usd").first().over(key),
    )
    other = rows.filter(pl.struct(*key, "written").is_first_distinct() & (pl.col("written") != pl.col("first_written")))
    tickers = ~pl.col("written").str.contains(":", literal=True) & ~pl.col("first_written").str.contains(
        ":", literal=True
    )
    faults.add_rows(other.filter(~tickers), _explain_twice)
    again = other.filter(tickers)
    spread = pl.max_horizontal("close_usd", "first_close") / pl.min_horizontal("close_usd", "first_close") - 1
    faults.add_rows(again.filter(spread > LARGEST_SPREAD), _explain_twice)
    notes = tuple(
        f"{counted(count, 'row')} of {name} {'was' if count == 1 else 'were'} left out: {kept} prices {asset_id} on "
        f"the same days (largest spread {worst:.1%})"
        for asset_id, name, kept, count, worst in again.group_by("asset_id", "name", "first_name", maintain_order=True)
        .agg(pl.len(), spread.max().alias("worst"))
        .iter_rows()
    )
    return rows.filter(pl.col("row") == pl.col("first_row")), notes


def _explain_twice(row: dict[str, Any]) -> str:
    both = f"{row['name']} and {row['first_name']} are both {row['asset_id']} on {row['date']}"
    if row["close_usd"] == row["first_close"]:
        return f"repeats row {row['first_row']}: {both}"
    return f"contradicts row {row['first_row']}: {both}, priced {row['close_usd']} and {row['first_close']}"


def _quotes(rows: pl.DataFrame, file_name: str, now: datetime) -> pl.DataFrame:
    return (
        rows.select(
            "asset_id",
            "date",
            pl.lit("file").alias("provider"),
            pl.col("source").fill_null(file_name),
            "close_usd",
            pl.lit(Outcome.OK.value).alias("outcome"),
            pl.lit(None, pl.String).alias("detail"),
            pl.lit(None, QUOTES["quoted_at"]).alias("quoted_at"),
            pl.lit(now).cast(QUOTES["requested_at"]).alias("requested_at"),
            pl.lit(now).cast(QUOTES["known_at"]).alias("known_at"),
        )
        .cast(pl.Schema(QUOTES))
        .sort("asset_id", "date")
    )
