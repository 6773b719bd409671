"""Liquidity positions that users entered, as a frame, and taking one off the list. Importing is `liquidity_import`."""

from datetime import UTC, datetime
from typing import Final

import polars as pl
import sqlalchemy as sa

from portfolio_pipelines.database.connection import read_frame
from portfolio_pipelines.database.staging import lock_imports

LIQUIDITY_POSITIONS_SCHEMA: Final = pl.Schema(
    {
        "position_key": pl.Int32(),
        "user_key": pl.Int32(),
        "user_id": pl.String(),
        "wallet_key": pl.Int32(),  # null when the user did not say which wallet holds it
        "chain": pl.String(),  # slug
        "pool": pl.String(),  # 0x and 40 lower-case hex digits
        "protocol": pl.String(),  # as in `pools.PoolFacts`; null while the pool is unchecked
        "tokens": pl.List(pl.String()),  # coins of the pool in its order; empty while it is unchecked
        "is_verified": pl.Boolean(),  # a known factory confirms the pool; null while it is unchecked
        "label": pl.String(),
        "entry_date": pl.Date(),
        "entry_price": pl.Float64(),  # units of the other token for one of `price_of`, on entry
        "price_of": pl.String(),  # token0, token1
        "amount0": pl.Float64(),  # whole units put in; null when not said
        "amount1": pl.Float64(),
    }
)


EVERY_POSITION_SCHEMA: Final = pl.Schema(
    {**LIQUIDITY_POSITIONS_SCHEMA, "removed_on": pl.Date(), "weights": pl.String()}
)


class NoPositionError(ValueError):
    """There is no such liquidity position, or it was removed."""


def liquidity_positions_frame(engine: sa.Engine) -> pl.DataFrame:
    """The positions that are followed, schema LIQUIDITY_POSITIONS_SCHEMA, sorted by position_key."""
    query = """
        select position_key, user_key, user_id, wallet_key, chain, address as pool, protocol, tokens, is_verified,
               label, entry_date, entry_price::double precision as entry_price, price_of,
               amount0::double precision as amount0, amount1::double precision as amount1
        from app.liquidity_positions
        join app.users using (user_key)
        join app.liquidity_pools using (pool_key)
        join app.liquidity_position_versions using (position_key)
        where removed_at is null and superseded_at is null
    """
    return read_frame(engine, query, LIQUIDITY_POSITIONS_SCHEMA).sort("position_key")


def every_position_frame(engine: sa.Engine) -> pl.DataFrame:
    """Every position that was ever followed, with what was said of it last; sorted by position_key.

    Schema EVERY_POSITION_SCHEMA: `removed_on` is the UTC day from which it is not followed any more, `weights` those
    of the coins of a weighted pool as it said them, 18 decimals each and blanks between.
    """
    query = """
        select distinct on (position_key) position_key, user_key, user_id, wallet_key, chain, address as pool, protocol,
               tokens, is_verified, label, entry_date, entry_price::double precision as entry_price, price_of,
               amount0::double precision as amount0, amount1::double precision as amount1,
               (removed_at at time zone 'UTC')::date as removed_on, facts ->> 'weights' as weights
        from app.liquidity_positions
        join app.users using (user_key)
        join app.liquidity_pools using (pool_key)
        join app.liquidity_position_versions using (position_key)
        order by position_key, version desc
    """
    return read_frame(engine, query, EVERY_POSITION_SCHEMA)


def remove_position(
    engine: sa.Engine, user_id: str, position_key: int, *, who: str, now: datetime | None = None
) -> None:
    """Stop following a position; what is known of it stays. Importing it again follows it under the same key.

    Args:
        engine: Engine of the operational database.
        user_id: Whose position.
        position_key: As the list shows it.
        who: Who removes it.
        now: Time of the removal; the clock when not given.

    Raises:
        NoPositionError: If the user has no such position.
    """
    values = {"user_id": user_id, "key": position_key, "who": who, "now": now or datetime.now(UTC)}
    with engine.begin() as connection:
        lock_imports(connection)
        removed = connection.execute(
            sa.text("""
                update app.liquidity_positions x set removed_at = :now, removed_by = :who, slot = null
                from app.users u
                where x.position_key = :key and u.user_key = x.user_key and u.user_id = :user_id
                  and x.removed_at is null
            """),
            values,
        )
        if removed.rowcount == 0:
            msg = f"{user_id!r} has no liquidity position {position_key}"
            raise NoPositionError(msg)
        connection.execute(
            sa.text("""
                update app.liquidity_position_versions set superseded_at = :now
                where position_key = :key and superseded_at is null
            """),
            {"key": position_key, "now": values["now"]},
        )
