"""Importing transaction files: whole or not at all, a changed row as a new version, the same file twice as nothing.

Belongs here: the transaction around one file, what a name means in it, and what a ledger as a whole lacks. Reading and
checking a file is `transaction_files`, the SQL is `transaction_versions`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final, Literal

import polars as pl
import sqlalchemy as sa

from portfolio_pipelines.database import transaction_inventory as inventory
from portfolio_pipelines.database import transaction_versions as versions
from portfolio_pipelines.database.assets import add_asset, load_asset_symbols, load_assets
from portfolio_pipelines.database.chain_tokens import chain_tokens_frame
from portfolio_pipelines.database.staging import lock_imports, record_import
from portfolio_pipelines.database.symbols import explain, resolve
from portfolio_pipelines.database.transaction_files import TransactionFile, read_transaction_file
from portfolio_pipelines.finance.inventory import InventoryRules
from portfolio_pipelines.finance.transactions import FIAT

CURRENCIES: Final = frozenset(
    {
        "AUD", "BGN", "BRL", "CAD", "CHF", "CLP", "CNY", "COP", "CZK", "DKK", "EUR", "GBP", "HKD", "HUF", "IDR", "ILS",
        "INR", "ISK", "JPY", "KRW", "MXN", "MYR", "NGN", "NOK", "NZD", "PEN", "PHP", "PLN", "RON", "RUB", "SEK", "SGD",
        "THB", "TRY", "TWD", "UAH", "USD", "VND", "ZAR",
    }
)  # fmt: skip
"""Money. A ticker that is one of these never means a coin."""
TOKEN: Final = re.compile(
    r"^eip155:[1-9]\d*/(?:erc20:0x[0-9a-f]{40}|(?:erc721|erc1155):0x[0-9a-f]{40}/\d+|slip44:\d+)$"
)
TICKER: Final = re.compile(r"^[^\s:]{1,32}$")
SIDES: Final = ("in_asset", "out_asset", "fee_asset")
Missing = Literal["refuse", "list"]
"""What to do with what goes without ever having come."""


@dataclass(frozen=True, slots=True)
class TransactionImport:
    """What an import of transactions did. Counts are rows: one leg each."""

    file_name: str
    format: str
    added: int
    changed: int
    unchanged: int
    first_affected_day: date | None  # figures from this day on are new; null when nothing changed
    new_assets: tuple[str, ...]  # tickers that nobody knew and that were kept
    ignored: tuple[tuple[str, int], ...]  # why rows of an export say nothing, and how many
    missing: int  # acquisitions that are missing because of the file, and were to be listed


def import_transactions(
    engine: sa.Engine,
    source: Path | bytes,
    *,
    first_day: date,
    who: str,
    user_id: str | None = None,
    venue: str | None = None,
    keep_unknown: bool = False,
    skip_faulty: bool = False,
    day_first: bool | None = None,
    missing_acquisitions: Missing | None = None,
    rules: InventoryRules | None = None,
    now: datetime | None = None,
    name: str | None = None,
) -> TransactionImport:
    """Import one transaction file, whole or not at all.

    A leg is known by (user, transaction, leg). A new one is added, a changed one becomes a new version, an equal one
    stays as it is; what the file does not list is left alone. What the file makes the ledger take without having it,
    in its own rows or in stored ones, is a fault or a question.

    Args:
        engine: Engine of the operational database.
        source: CSV, JSON or Parquet file of our own schema, or an exchange's export; or its content.
        first_day: Older transactions are refused (the setting of that name).
        who: Who imports.
        user_id: Whose it is, where the file does not say it.
        venue: The wallet or exchange, where the file does not say it.
        keep_unknown: Whether a ticker that nobody knows becomes an asset without a price (file:NAME); else a fault.
        skip_faulty: Of an export: whether rows that make no sense are left out, with their reason; else faults.
        day_first: Of an export: what 5/9/2017 means; None to find out.
        missing_acquisitions: Whether what goes without having come is refused, or imported and listed. None: refused in
            our own schema, where a ledger is whole; listed in exports, which show one place alone.
        rules: What counts as being there.
        now: Time of the import; the clock when not given.
        name: Name of the file, when `source` is its content.

    Raises:
        FileRefusedError: With all faults of the file. Nothing was changed.
    """
    now = (now or datetime.now(UTC)).astimezone(UTC)
    file = read_transaction_file(
        source, first_day=first_day, now=now, user_id=user_id, venue=venue, skip_faulty=skip_faulty,
        day_first=day_first, name=name,
    )  # fmt: skip
    rules = rules or InventoryRules()
    refuses = missing_acquisitions == "refuse" or (missing_acquisitions is None and file.format == "own")
    with engine.begin() as connection:
        lock_imports(connection)
        tokens = chain_tokens_frame(engine)
        rows, new = name_assets(
            file, load_assets(engine), load_asset_symbols(engine), tokens, keep_unknown=keep_unknown
        )
        decimals = dict(tokens.select("asset_id", "decimals").drop_nulls().iter_rows())
        if file.faults:
            if refuses and not file.is_partial:  # told at once with the other faults
                counted, doubtful = inventory.countable(file, rows)
                found = inventory.new_shortfalls(connection, counted, rules, decimals)
                inventory.add_faults(found, rules, file.faults, doubtful)
            raise file.faults.refusal()
        versions.stage(connection, rows)
        counts = versions.count(connection)
        missing = 0
        if counts.added or counts.changed:
            found = inventory.new_shortfalls(connection, versions.rows_of_changed(connection, rows), rules, decimals)
            missing = found.height
            if refuses and missing:
                inventory.add_faults(found, rules, file.faults)
                raise file.faults.refusal()
        for asset_id, symbol in new.items():
            add_asset(connection, asset_id, symbol, symbol, kind="file")
        if counts.added or counts.changed:
            number = record_import(connection, "transactions", file.name, file.sha256, rows.height, now, who)
            versions.apply(connection, number, now)
    return TransactionImport(
        file.name, file.format, counts.added, counts.changed, counts.unchanged, counts.first_affected_day,
        tuple(sorted(new)), file.ignored, missing,
    )  # fmt: skip


def name_assets(
    file: TransactionFile, assets: pl.DataFrame, symbols: pl.DataFrame, tokens: pl.DataFrame, *, keep_unknown: bool
) -> tuple[pl.DataFrame, Mapping[str, str]]:
    """Rows with asset ids in place of names, and the assets that have to be made; faults for unknown names.

    Currencies are fiat:usd and the like. A token of a chain is the market asset that its price comes from, where that
    is known, so that it shares lots with the same coin elsewhere.
    """
    rows = file.rows.with_columns(day=pl.col("at").dt.date())
    names = pl.concat([rows.select("day", name=side) for side in SIDES]).drop_nulls().unique()
    fixed = {name: asset for name in names["name"].unique() if (asset := _fixed_name(name, assets, tokens))}
    found = resolve(names.filter(~pl.col("name").is_in(sorted(fixed))), assets, symbols)
    new: dict[str, str] = {}
    if keep_unknown:
        nothing = found.filter((pl.col("candidates").list.len() == 0) & pl.col("name").str.contains(TICKER.pattern))
        fixed |= {name: f"file:{name.upper()}" for name in nothing["name"].unique()}
        known = set(assets["asset_id"])
        new = {fixed[name]: name.upper() for name in nothing["name"].unique() if fixed[name] not in known}
        found = found.filter(~pl.col("name").is_in(sorted(fixed)))
    for side in SIDES:
        joined = rows.join(
            found.select("day", "candidates", asset="asset_id", name="name"),
            left_on=[side, "day"], right_on=["name", "day"], how="left", maintain_order="left",
        )  # fmt: skip
        given = pl.col(side).replace_strict(fixed, default=None, return_dtype=pl.String) if fixed else pl.lit(None)
        joined = joined.with_columns(pl.coalesce(given, "asset").alias("asset"))
        file.faults.add_rows(
            joined.filter(pl.col(side).is_not_null() & pl.col("asset").is_null()),
            lambda row, side=side: explain(row[side], row["day"], row["candidates"] or [], assets, symbols),  # type: ignore[misc]
        )
        rows = joined.with_columns(pl.col("asset").alias(side)).drop("asset", "candidates")
    return rows.drop("day"), new


def _fixed_name(name: str, assets: pl.DataFrame, tokens: pl.DataFrame) -> str | None:
    """What a name means on every day, whatever the tickers say."""
    if name.upper() in CURRENCIES:
        return f"{FIAT}{name.lower()}"
    lower = name.lower()
    if lower.startswith(FIAT) and lower.removeprefix(FIAT).upper() in CURRENCIES:
        return lower
    if not TOKEN.match(lower):
        return None
    market = tokens.filter((pl.col("asset_id") == lower) & pl.col("coingecko_id").is_not_null())["coingecko_id"]
    if len(market) and (asset := f"coingecko:{market[0]}") in assets["asset_id"]:
        return asset
    return lower
