"""Prices that a person stands for: adding, withdrawing, listing. How they are weighed is the consensus.

Append-only, which the database enforces: a wrong one is withdrawn and another is added.
"""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final

import polars as pl
import sqlalchemy as sa

from portfolio_pipelines.database.connection import read_frame

KINDS: Final = ("manual", "confirm_jump")

OVERRIDES_SCHEMA: Final = pl.Schema(
    {
        "override_id": pl.Int32(),
        "asset_id": pl.String(),
        "date": pl.Date(),
        "close_usd": pl.Float64(),
        "who": pl.String(),
        "why": pl.String(),
        "kind": pl.String(),  # manual, confirm_jump
        "known_at": pl.Datetime("us", "UTC"),
        "withdrawn_at": pl.Datetime("us", "UTC"),  # null while it holds
    }
)
"""The columns of `market.consensus.OVERRIDES`, and why."""


class OverrideRefusedError(ValueError):
    """The override makes no sense; the message says why."""


def add_override(
    engine: sa.Engine,
    asset_id: str,
    day: date,
    close_usd: Decimal,
    *,
    who: str,
    why: str,
    kind: str = "manual",
    now: datetime | None = None,
) -> int:
    """Set the close of an asset on a day by hand. One that holds for that day already is withdrawn.

    Args:
        engine: Engine of the operational database.
        asset_id: A known asset.
        day: UTC day of the close, not in the future.
        close_usd: US dollars, positive and finite.
        who: Who stands for it.
        why: The reason, for those who ask later.
        kind: manual, or confirm_jump: the price is real although it jumped.
        now: Time of the entry; the clock when not given.

    Returns:
        The number of the override.

    Raises:
        OverrideRefusedError: If one of these does not hold.
    """
    now = now or datetime.now(UTC)
    refuse_nonsense(day, close_usd, who, why, kind, now)
    with engine.begin() as connection:
        if connection.scalar(sa.text("select 1 from app.assets where asset_id = :id"), {"id": asset_id}) is None:
            msg = f"there is no asset {asset_id!r}; ids look like coingecko:bitcoin"
            raise OverrideRefusedError(msg)
        key = {"asset_id": asset_id, "day": day, "who": who.strip(), "now": now}
        lock = sa.text("select pg_advisory_xact_lock(hashtextextended('price_overrides', 0))")
        connection.execute(lock)
        connection.execute(
            sa.text("""
                update app.price_overrides
                set withdrawn_at = :now, withdrawn_by = :who, withdrawn_why = 'replaced by another override'
                where asset_id = :asset_id and day = :day and withdrawn_at is null
            """),
            key,
        )
        added = connection.scalar(
            sa.text("""
                insert into app.price_overrides (asset_id, day, close_usd, who, why, kind, created_at)
                values (:asset_id, :day, :close_usd, :who, :why, :kind, :now) returning override_id
            """),
            key | {"close_usd": close_usd, "why": why.strip(), "kind": kind},
        )
    return int(added or 0)


def withdraw_override(engine: sa.Engine, override_id: int, *, who: str, why: str, now: datetime | None = None) -> None:
    """Let an override no longer hold; it stays listed.

    Raises:
        OverrideRefusedError: If there is none of this number that holds, or nobody stands for the withdrawal.
    """
    _refuse_unsigned(who, why)
    with engine.begin() as connection:
        done = connection.execute(
            sa.text("""
                update app.price_overrides set withdrawn_at = :now, withdrawn_by = :who, withdrawn_why = :why
                where override_id = :id and withdrawn_at is null
            """),
            {"now": now or datetime.now(UTC), "who": who.strip(), "why": why.strip(), "id": override_id},
        )
    if done.rowcount == 0:
        msg = f"no override {override_id} is in force"
        raise OverrideRefusedError(msg)


def load_overrides(engine: sa.Engine) -> pl.DataFrame:
    """All overrides, withdrawn ones included, schema OVERRIDES_SCHEMA, oldest first."""
    query = """
        select override_id, asset_id, day as date, close_usd::double precision as close_usd, who, why, kind,
               created_at as known_at, withdrawn_at
        from app.price_overrides
    """
    return read_frame(engine, query, OVERRIDES_SCHEMA).sort("override_id")


def refuse_nonsense(day: date, close_usd: Decimal, who: str, why: str, kind: str, now: datetime) -> None:
    """Refuse what is no override, whatever the other closes are; the arguments are those of `add_override`.

    Raises:
        OverrideRefusedError: If it is no positive price of a day that has come, or nobody stands for it.
    """
    problem = None
    if not close_usd.is_finite() or close_usd <= 0:
        problem = f"a close must be a positive number of US dollars, not {close_usd}"
    elif day > now.astimezone(UTC).date():
        problem = f"{day} is in the future"
    elif kind not in KINDS:
        problem = f"kind must be one of {', '.join(KINDS)}, not {kind!r}"
    if problem:
        raise OverrideRefusedError(problem)
    _refuse_unsigned(who, why)


def _refuse_unsigned(who: str, why: str) -> None:
    if not who.strip() or not why.strip():
        msg = "say who and why: an override must have somebody who stands for it"
        raise OverrideRefusedError(msg)
