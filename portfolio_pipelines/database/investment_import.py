"""Importing investment files: whole or not at all, a changed row as a new version, the same file twice as nothing.

Belongs here: the transaction around one file, and replacing quantities that rest on sample prices. Reading and
checking a file is `investment_files`, what a name means is `symbols`, the SQL is `investment_versions`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa

from portfolio_pipelines.database import investment_versions as versions
from portfolio_pipelines.database.assets import load_asset_symbols, load_assets
from portfolio_pipelines.database.closes import Absences, Close, Closes, explain_absence, explain_missing, is_usable
from portfolio_pipelines.database.investment_files import InvestmentFile, read_investment_file
from portfolio_pipelines.database.staging import lock_imports, record_import
from portfolio_pipelines.database.symbols import explain, resolve
from portfolio_pipelines.market.file_faults import Faults


@dataclass(frozen=True, slots=True)
class InvestmentImport:
    """What an import of investments did. Counts are legs: one coin of one investment each."""

    file_name: str
    inserted: int
    corrected: int
    unchanged: int
    first_affected_day: date | None  # figures from this day on are new; null when nothing changed


def import_investments(
    engine: sa.Engine,
    source: Path | bytes,
    *,
    closes: Closes,
    first_day: date,
    who: str,
    absences: Absences | None = None,
    now: datetime | None = None,
    name: str | None = None,
) -> InvestmentImport:
    """Import one investment file, whole or not at all.

    A leg is known by (user, investment, asset). A new one is inserted, a changed one becomes a new version, an equal
    one stays as it is. An empty quantity is amount / close of the day, stored once: as long as amount, day and asset
    stay, it is not derived again, whatever happens to the price.

    Args:
        engine: Engine of the operational database.
        source: CSV, JSON or Parquet file, or its content.
        closes: Asked once for the closes that empty quantities need; not asked when there are none.
        first_day: Older purchases are refused (the setting of that name).
        who: Who imports.
        absences: Asked once for the days on which assets with a given quantity had no price yet; purchases of those
            days are refused. Not asked when no leg is new or moved; without it no such day is known.
        now: Time of the import; the clock when not given.
        name: Name of the file, when `source` is its content.

    Raises:
        FileRefusedError: With all faults of the file. Nothing was changed.
    """
    now = (now or datetime.now(UTC)).astimezone(UTC)
    file = read_investment_file(source, first_day=first_day, now=now, name=name)
    with engine.begin() as connection:
        lock_imports(connection)
        rows = _name_assets(file, load_assets(engine), load_asset_symbols(engine))
        versions.stage(connection, rows)
        _price(connection, closes, file.faults)
        if absences is not None:
            _check_first_closes(connection, absences, file.faults)
        if not file.faults:
            _check_decisions(connection, file.faults)
        if file.faults:
            raise file.faults.refusal()
        counts = versions.count(connection)
        if counts.inserted or counts.corrected:
            import_id = record_import(connection, "investments", file.name, file.sha256, rows.height, now, who)
            versions.apply(connection, import_id, now, counts.inserted + counts.corrected)
            _check_moments(connection, file.faults)
            if file.faults:
                raise file.faults.refusal()
    return InvestmentImport(file.name, counts.inserted, counts.corrected, counts.unchanged, counts.first_affected_day)


@dataclass(frozen=True, slots=True)
class SampleReplacement:
    """What happened to quantities that rested on sample prices. Counts are legs."""

    replaced: int
    remaining: int  # still without a real close
    first_affected_day: date | None


def replace_sample_quantities(engine: sa.Engine, *, closes: Closes, now: datetime | None = None) -> SampleReplacement:
    """Derive quantities that rest on sample prices again where a real close is known by now.

    Each becomes a new version of its leg; the old one stays readable.

    Args:
        engine: Engine of the operational database.
        closes: Asked once for all closes needed; an answer of provider `sample` counts as none.
        now: Time of the correction; the clock when not given.
    """
    now = now or datetime.now(UTC)
    with engine.begin() as connection:
        lock_imports(connection)
        needs = versions.sample_needs(connection)
        answers = closes(needs) if needs else {}
        real = {need: close for need, close in _usable(needs, answers).items() if close.provider != "sample"}
        versions.stage_closes(connection, real)
        counts = versions.replace_sample(connection, now)
        remaining = connection.scalar(
            sa.text("select count(*) from app.investment_legs where superseded_at is null and price_source = 'sample'")
        )
    return SampleReplacement(counts.corrected, int(remaining or 0), counts.first_affected_day)


def _name_assets(file: InvestmentFile, assets: pl.DataFrame, symbols: pl.DataFrame) -> pl.DataFrame:
    """Rows whose asset is known, with `asset_id`; faults for the others and for legs that are there twice."""
    found = resolve(file.rows.select("day", name="asset"), assets, symbols).rename({"name": "asset"})
    rows = file.rows.join(found, on=["asset", "day"], how="left", maintain_order="left")
    file.faults.add_rows(
        rows.filter(pl.col("asset_id").is_null()),
        lambda row: explain(row["asset"], row["day"], row["candidates"], assets, symbols),
    )
    named = rows.drop_nulls("asset_id").drop("candidates")
    key = ["user_id", "investment_id", "asset_id"]
    is_first = named.select(pl.struct(key).is_first_distinct()).to_series()
    if not is_first.all():
        first = named.filter(is_first).select(*key, first="row", amount="amount_usd", coins="quantity")
        file.faults.add_rows(named.filter(~is_first).join(first, on=key), _explain_twice)
    return named.filter(is_first)


def _explain_twice(row: dict[str, Any]) -> str:
    same = (row["amount_usd"], row["quantity"]) == (row["amount"], row["coins"])
    return (
        f"{'repeats' if same else 'contradicts'} row {row['first']}: investment {row['investment_id']!r} of "
        f"{row['user_id']!r} has {row['asset_id']} already; add the amounts up"
    )


def _price(connection: sa.Connection, closes: Closes, faults: Faults) -> None:
    """Ask for the closes that are needed and put the usable ones beside the staged rows."""
    needs = versions.needs(connection)
    answers = closes(needs) if needs else {}
    usable = _usable(needs, answers)
    versions.stage_closes(connection, usable)
    missing = [need for need in needs if need not in usable]
    if missing:
        faults.add_rows(
            versions.rows_without_close(connection),
            lambda row: explain_missing(row["asset_id"], row["day"], answers.get((row["asset_id"], row["day"]))),
        )


def _check_first_closes(connection: sa.Connection, absences: Absences, faults: Faults) -> None:
    """Refuse purchases of days on which it is known that the asset had no price yet, also where a quantity is given."""
    bought = versions.given(connection)
    if bought.is_empty():
        return
    known = absences(bought["asset_id"].unique().sort().to_list())
    early = (
        bought.join(known, on="asset_id", maintain_order="left_right")
        .filter(pl.col("day").is_between("reaches_from", "absent_until"))
        .unique(["asset_id", "day"], keep="first", maintain_order=True)
    )
    if not early.is_empty():
        rows = versions.rows_given(connection, early)
        faults.add_rows(rows.join(early, on=["asset_id", "day"]), explain_absence)


def _usable(needs: list[tuple[str, date]], answers: Mapping[tuple[str, date], Close]) -> dict[tuple[str, date], Close]:
    return {need: answers[need] for need in needs if is_usable(answers.get(need))}


def _check_decisions(connection: sa.Connection, faults: Faults) -> None:
    versions.decide(connection)
    faults.add_rows(
        versions.rows_without_quantity(connection),
        lambda row: (
            f"amount_usd {row['amount_usd']} buys less of {row['asset_id']} than the 18 decimals that are kept, at "
            f"{row['price_usd']}"
        ),
    )


def _check_moments(connection: sa.Connection, faults: Faults) -> None:
    """After applying: legs of the file must not part from legs of the same investment that were there before."""
    faults.add_rows(
        versions.rows_parted(connection),
        lambda row: (
            f"investment {row['investment_id']!r} of {row['user_id']!r} has {row['other_asset']} bought at "
            f"{row['other_at']:%Y-%m-%d %H:%M}: list all its coins to move it"
        ),
    )
