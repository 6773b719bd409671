"""Strategies of users: setting, listing, deleting them; every version stays.

What makes sense is decided in `finance.allocation`, which name means which asset by the caller.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import polars as pl
import sqlalchemy as sa

from portfolio_pipelines.allocation_tables import ALLOCATION_TARGETS_SCHEMA
from portfolio_pipelines.database.connection import read_frame
from portfolio_pipelines.finance.allocation import MOST_STRATEGIES, Rules, Target, faults_of

TARGETS_STATE: Final = """
    select count(*) || '/' || coalesce(max(known_at)::text, '') || '/' || coalesce(max(superseded_at)::text, '')
    from app.strategy_versions
"""
"""A short text that changes whenever a strategy does: versions are append-only but for superseded_at."""


class StrategyRefusedError(ValueError):
    """The strategy makes no sense, or is not there; the message says all that is wrong."""


def set_strategy(
    engine: sa.Engine,
    user_id: str,
    name: str,
    targets: Sequence[Target],
    rules: Rules,
    *,
    who: str,
    now: datetime | None = None,
) -> int:
    """Make a strategy, or a new version of it. The same again changes nothing; a change ends what was proposed for it.

    Args:
        engine: Engine of the operational database.
        user_id: Whose strategy; a known user.
        name: Unique for the user.
        targets: Shares, summing to 100 %.
        rules: What holds for all of them.
        who: Who sets it.
        now: Time of the entry; the clock when not given.

    Returns:
        The version that is current now.

    Raises:
        StrategyRefusedError: With all faults at once.
    """
    name, now = name.strip(), now or datetime.now(UTC)
    faults = faults_of(name, targets, rules)
    with engine.begin() as connection:
        user_key = connection.scalar(
            sa.text("select user_key from app.users where user_id = :user for update"), {"user": user_id}
        )
        if user_key is None:
            faults.insert(0, f"there is no user {user_id!r}: import investments or wallets first")
        faults += _too_many(connection, user_key, name)
        if faults:
            raise StrategyRefusedError("\n".join(faults))
        key = connection.scalar(
            sa.text("""
                insert into app.strategies (user_key, name) values (:user, :name)
                on conflict (user_key, name) do update set name = excluded.name returning strategy_key
            """),
            {"user": user_key, "name": name},
        )
        wanted = _comparable(targets, rules)
        current = _current(connection, int(key or 0))
        if current is not None and current[1] == wanted:
            return current[0]
        _end(connection, int(key or 0), who, now)
        version = connection.scalar(
            sa.text("""
                insert into app.strategy_versions
                    (strategy_key, version, sells_others, buy_only, min_trade_usd, max_cost_pct, known_at, set_by)
                select :key, coalesce(max(version), 0) + 1, :sells_others, :buy_only, :min_trade, :max_cost, :now, :who
                from app.strategy_versions where strategy_key = :key returning version
            """),
            {
                "key": key, "sells_others": rules.sells_others, "buy_only": rules.buy_only,
                "min_trade": rules.min_trade_usd, "max_cost": rules.max_cost_pct, "now": now, "who": who,
            },
        )  # fmt: skip
        connection.execute(
            sa.text("""
                insert into app.strategy_targets
                    (strategy_key, version, asset_id, weight_pct, band_pct, may_sell, may_buy)
                values (:key, :version, :asset, :weight, :band, :may_sell, :may_buy)
            """),
            [
                {
                    "key": key, "version": version, "asset": target.asset_id, "weight": target.weight_pct,
                    "band": target.band_pct, "may_sell": target.may_sell, "may_buy": target.may_buy,
                }
                for target in targets
            ],
        )  # fmt: skip
    return int(version or 0)


def delete_strategy(engine: sa.Engine, user_id: str, name: str, *, who: str, now: datetime | None = None) -> None:
    """Let a strategy no longer hold; what it said and what was decided of it stays.

    Raises:
        StrategyRefusedError: If the user has no such strategy.
    """
    with engine.begin() as connection:
        key = connection.scalar(
            sa.text("""
                select strategy_key from app.strategies join app.users using (user_key)
                where user_id = :user and name = :name
            """),
            {"user": user_id, "name": name.strip()},
        )
        if key is None or not _end(connection, int(key), who, now or datetime.now(UTC)):
            msg = f"{user_id!r} has no strategy {name!r}"
            raise StrategyRefusedError(msg)


def targets_frame(engine: sa.Engine, user_id: str | None = None) -> pl.DataFrame:
    """Current targets, of one user or of all, ALLOCATION_TARGETS_SCHEMA."""
    query = """
        select strategy_key, version, user_id, name as strategy, asset_id,
               (weight_pct / 100)::double precision as target, (band_pct / 100)::double precision as band,
               may_sell and not buy_only as may_sell, may_buy, sells_others,
               min_trade_usd::double precision as min_trade_usd,
               (max_cost_pct / 100)::double precision as max_cost_share
        from app.strategy_versions join app.strategies using (strategy_key) join app.users using (user_key)
        join app.strategy_targets using (strategy_key, version)
        where superseded_at is null
    """
    if user_id is not None:
        frame = read_frame(engine, f"{query} and user_id = :user", ALLOCATION_TARGETS_SCHEMA, {"user": user_id})
    else:
        frame = read_frame(engine, query, ALLOCATION_TARGETS_SCHEMA)
    return frame.sort("strategy_key", "asset_id")


def _too_many(connection: sa.Connection, user_key: int | None, name: str) -> list[str]:
    others = connection.scalar(
        sa.text("""
            select count(*) from app.strategies join app.strategy_versions using (strategy_key)
            where user_key = :user and name <> :name and superseded_at is null
        """),
        {"user": user_key, "name": name},
    )
    return [f"a user has at most {MOST_STRATEGIES} strategies"] if (others or 0) >= MOST_STRATEGIES else []


def _comparable(targets: Sequence[Target], rules: Rules) -> tuple[object, ...]:
    return rules, tuple(sorted(targets, key=lambda target: target.asset_id))


def _current(connection: sa.Connection, key: int) -> tuple[int, tuple[object, ...]] | None:
    """The version that holds, and what it says; None when none does."""
    rows = connection.execute(
        sa.text("""
            select v.version, sells_others, buy_only, min_trade_usd, max_cost_pct, asset_id, weight_pct, band_pct,
                   may_sell, may_buy
            from app.strategy_versions v join app.strategy_targets using (strategy_key, version)
            where v.strategy_key = :key and superseded_at is null
        """),
        {"key": key},
    ).all()
    if not rows:
        return None
    rules = Rules(rows[0].sells_others, rows[0].buy_only, rows[0].min_trade_usd, rows[0].max_cost_pct)
    targets = [Target(row.asset_id, row.weight_pct, row.band_pct, row.may_sell, row.may_buy) for row in rows]
    return rows[0].version, _comparable(targets, rules)


def _end(connection: sa.Connection, key: int, who: str, now: datetime) -> bool:
    """End the current version, and what was proposed for it; whether there was one."""
    ended = connection.execute(
        sa.text("""
            update app.strategy_versions set superseded_at = :now, ended_by = :who
            where strategy_key = :key and superseded_at is null
        """),
        {"key": key, "who": who, "now": now},
    )
    connection.execute(
        sa.text(
            "update app.rebalancing_plans set status = 'expired' where strategy_key = :key and status = 'proposed'"
        ),
        {"key": key},
    )
    return bool(ended.rowcount)
