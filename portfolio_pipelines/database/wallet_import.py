"""Importing wallet files: whole or not at all, a changed row as a new version, the same file twice as nothing.

Belongs here: the transaction around one file, and what is refused with a look at the database. Reading and checking a
file is `wallet_files`, the SQL is `wallet_versions`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa

from portfolio_pipelines.chains.registry import Registry
from portfolio_pipelines.database import wallet_versions as versions
from portfolio_pipelines.database.staging import lock_imports, record_import
from portfolio_pipelines.database.wallet_files import WalletFile, read_wallet_file
from portfolio_pipelines.database.wallet_models import WALLETS_A_USER

ResolveNames = Callable[[Sequence[str]], Mapping[str, str | Exception]]
"""The address (0x and 40 lower-case hex digits) of each ENS name, or why there is none. Asked once a file."""

NO_NODE = "is an ENS name, and no node of Ethereum is configured to resolve it: write the address it stands for"


@dataclass(frozen=True, slots=True)
class WalletImport:
    """What an import of wallets did."""

    file_name: str
    added: int  # wallets that were removed before and are watched again included
    changed: int  # another label or other chains
    unchanged: int
    notes: tuple[str, ...]


def import_wallets(
    engine: sa.Engine,
    source: Path | bytes,
    *,
    chains: Registry,
    who: str,
    resolve: ResolveNames | None = None,
    now: datetime | None = None,
    name: str | None = None,
) -> WalletImport:
    """Import one wallet file, whole or not at all.

    A wallet is known by (user, address). A new one is added, one with another label or other chains becomes a new
    version, an equal one stays as it is. A column that the file does not have leaves what is stored; wallets that the
    file does not list are left alone.

    Args:
        engine: Engine of the operational database.
        source: CSV, JSON or Parquet file, or its content.
        chains: The chains that may be named.
        who: Who imports.
        resolve: Asked once for the addresses of ENS names; None when there is no node that knows.
        now: Time of the import; the clock when not given.
        name: Name of the file, when `source` is its content.

    Raises:
        FileRefusedError: With all faults of the file. Nothing was changed.
    """
    now = (now or datetime.now(UTC)).astimezone(UTC)
    file = read_wallet_file(source, chains=chains, name=name)
    rows = _once_each(file, _resolved(file, resolve))
    with engine.begin() as connection:
        lock_imports(connection)
        versions.stage(connection, rows, keep_label=not file.has_labels, keep_chains=not file.has_chains)
        _check_room(connection, file)
        if file.faults:
            raise file.faults.refusal()
        counts = versions.count(connection)
        if counts.added or counts.changed:
            import_id = record_import(connection, "wallets", file.name, file.sha256, rows.height, now, who)
            versions.apply(connection, import_id, who, now)
    return WalletImport(file.name, counts.added, counts.changed, counts.unchanged, file.notes)


def _resolved(file: WalletFile, resolve: ResolveNames | None) -> pl.DataFrame:
    """The rows with the addresses of their ENS names; a fault for each name that has none."""
    names = file.rows.filter(pl.col("address").is_null())
    if names.is_empty():
        return file.rows
    if resolve is None:
        file.faults.add_rows(names, lambda row: f"{row['written']!r} {NO_NODE}")
        return file.rows.drop_nulls("address")
    asked = names["written"].unique(maintain_order=True).to_list()
    answers = resolve(asked)
    found = {written: answer for written, answer in answers.items() if isinstance(answer, str)}
    file.faults.add_rows(
        names.filter(~pl.col("written").is_in(list(found))), lambda row: _explain_unresolved(row["written"], answers)
    )
    resolved = pl.col("written").replace_strict(found, default=None, return_dtype=pl.String)
    return file.rows.with_columns(pl.coalesce("address", resolved)).drop_nulls("address")


def _explain_unresolved(name: str, answers: Mapping[str, str | Exception]) -> str:
    problem = answers.get(name)
    return str(problem) if isinstance(problem, ValueError) else f"{name!r} could not be resolved: {problem}"


def _once_each(file: WalletFile, rows: pl.DataFrame) -> pl.DataFrame:
    """The first row of each wallet; a fault for the others."""
    key = ["user_id", "address"]
    is_first = rows.select(pl.struct(key).is_first_distinct()).to_series()
    if is_first.all():
        return rows
    first = rows.filter(is_first).select(*key, first="row", first_label="label", first_chains="chains")
    file.faults.add_rows(rows.filter(~is_first).join(first, on=key), _explain_twice)
    return rows.filter(is_first)


def _explain_twice(row: dict[str, Any]) -> str:
    same = (row["label"], row["chains"]) == (row["first_label"], row["first_chains"])
    return f"{'repeats' if same else 'contradicts'} row {row['first']}: {row['user_id']!r} has {row['address']} already"


def _check_room(connection: sa.Connection, file: WalletFile) -> None:
    file.faults.add_rows(
        versions.rows_beyond(connection, WALLETS_A_USER),
        lambda row: (
            f"{row['user_id']!r} would have {row['total']} wallets, {WALLETS_A_USER} are allowed "
            f"({row['present']} are watched already)"
        ),
    )
