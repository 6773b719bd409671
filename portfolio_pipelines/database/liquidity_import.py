"""Importing files of liquidity positions: whole or not at all, a changed row as a new version, twice as nothing.

Belongs here: asking the chain about pools, the transaction around one file, and what is refused with a look at the
database. Reading and checking a file is `liquidity_files`, the SQL is `liquidity_versions`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from portfolio_pipelines.chains.protocols.pools import PoolFacts
from portfolio_pipelines.chains.registry import Registry
from portfolio_pipelines.database import liquidity_versions as versions
from portfolio_pipelines.database.liquidity_files import LiquidityFile, read_liquidity_file
from portfolio_pipelines.database.staging import lock_imports, record_import
from portfolio_pipelines.database.wallet_models import POSITIONS_A_USER

Pool = tuple[str, str]
"""Slug of the chain, address."""
CheckPools = Callable[[Sequence[Pool]], Mapping[Pool, PoolFacts | Exception]]
"""What each pool is; ValueError when it is none, another error when its chain could not say. Asked once a file."""

KEY: Final = ["user_id", "chain", "pool", "wallet", "entry_date"]


@dataclass(frozen=True, slots=True)
class LiquidityImport:
    """What an import of liquidity positions did."""

    file_name: str
    added: int  # positions that were removed before and are followed again included
    changed: int
    unchanged: int
    unchecked: tuple[Pool, ...]  # pools of the file that nobody has asked the chain about
    unverified: tuple[Pool, ...]  # pools that answer like one, but whose factory is not known


def import_liquidity(
    engine: sa.Engine,
    source: Path | bytes,
    *,
    chains: Registry,
    first_day: date,
    who: str,
    check: CheckPools | None,
    now: datetime | None = None,
    name: str | None = None,
) -> LiquidityImport:
    """Import one file of liquidity positions, whole or not at all.

    A position is known by (user, chain, pool, wallet, entry date). A new one is added, one with another price, other
    amounts or another label becomes a new version, an equal one stays as it is. A column that the file does not have
    leaves what is stored; positions that the file does not list are left alone.

    Args:
        engine: Engine of the operational database.
        source: CSV, JSON or Parquet file, or its content.
        chains: The chains that may be named.
        first_day: Older positions are refused (the setting of that name).
        who: Who imports.
        check: Asked once for the pools that were never checked; None to take them unchecked. The next import that
            brings a check makes up for it.
        now: Time of the import; the clock when not given.
        name: Name of the file, when `source` is its content.

    Raises:
        FileRefusedError: With all faults of the file. Nothing was changed.
    """
    now = (now or datetime.now(UTC)).astimezone(UTC)
    file = read_liquidity_file(source, chains=chains, first_day=first_day, today=now.date(), name=name)
    rows = _once_each(file)
    checked = _ask_chains(file, rows, versions.checked_pools(engine), check)
    with engine.begin() as connection:
        lock_imports(connection)
        versions.stage(connection, rows, checked, kept=versions.KEPT - file.columns)
        _check_wallets(connection, file)
        _check_room(connection, file)
        if file.faults:
            raise file.faults.refusal()
        counts = versions.count(connection)
        if counts.added or counts.changed or checked:
            import_id = record_import(connection, "liquidity_positions", file.name, file.sha256, rows.height, now, who)
            versions.apply(connection, import_id, who, now)
        unchecked, unverified = versions.doubtful_pools(connection)
    return LiquidityImport(file.name, counts.added, counts.changed, counts.unchanged, unchecked, unverified)


def _once_each(file: LiquidityFile) -> pl.DataFrame:
    """The first row of each position; a fault for the others."""
    is_first = file.rows.select(pl.struct(KEY).is_first_distinct()).to_series()
    if is_first.all():
        return file.rows
    first = file.rows.filter(is_first).select(*KEY, first="row")
    again = file.rows.filter(~is_first).join(first, on=KEY, nulls_equal=True)
    file.faults.add_rows(again, _explain_twice)
    return file.rows.filter(is_first)


def _explain_twice(row: dict[str, Any]) -> str:
    return (
        f"is the position of row {row['first']}: {row['user_id']!r} entered {row['pool']} on {row['chain']} on "
        f"{row['entry_date']}; add the amounts up"
    )


def _ask_chains(
    file: LiquidityFile, rows: pl.DataFrame, known: set[Pool], check: CheckPools | None
) -> Mapping[Pool, PoolFacts]:
    """Facts about the pools that were never checked; a fault for each row of one that is none or cannot be asked."""
    if check is None:
        return {}
    asked = sorted(set(rows.select("chain", "pool").iter_rows()) - known)
    if not asked:
        return {}
    answers = check(asked)
    facts = {pool: answer for pool in asked if isinstance(answer := answers.get(pool), PoolFacts)}
    refused = [pool for pool in asked if pool not in facts]
    if refused:
        bad = pl.DataFrame(refused, schema={"chain": pl.String, "pool": pl.String}, orient="row")
        file.faults.add_rows(
            rows.join(bad, on=["chain", "pool"], how="semi"),
            lambda row: _explain_pool(row["chain"], row["pool"], answers),
        )
    return facts


def _explain_pool(chain: str, pool: str, answers: Mapping[Pool, PoolFacts | Exception]) -> str:
    problem = answers.get((chain, pool))
    if isinstance(problem, ValueError):
        return str(problem)
    return f"{pool} could not be checked: {problem or f'{chain} gave no answer'}; try again, or import with --unchecked"


def _check_wallets(connection: sa.Connection, file: LiquidityFile) -> None:
    file.faults.add_rows(
        versions.rows_without_wallet(connection),
        lambda row: f"{row['user_id']!r} watches no wallet {row['wallet']}: import it first, or leave the cell empty",
    )


def _check_room(connection: sa.Connection, file: LiquidityFile) -> None:
    file.faults.add_rows(
        versions.rows_beyond(connection, POSITIONS_A_USER),
        lambda row: (
            f"{row['user_id']!r} would have {row['total']} liquidity positions, {POSITIONS_A_USER} are allowed "
            f"({row['present']} are there already)"
        ),
    )
