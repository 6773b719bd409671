"""Users and investments as frames for the lake. Importing them from files is `investment_import`."""

from typing import Final

import polars as pl
import sqlalchemy as sa

from portfolio_pipelines.database.connection import read_frame
from portfolio_pipelines.leaderboard_tables import HOLDING_VERSIONS_SCHEMA
from portfolio_pipelines.tables import INVESTMENT_LEGS_SCHEMA, SAMPLE_UNITS, USERS_SCHEMA

OWNERS: Final = ("investment_key", "investment_id", "user_key", "user_id")
APART: Final = f"case when price_source = 'sample' then '{SAMPLE_UNITS}' || asset_id else asset_id end as asset_id"
"""The asset of a leg; with the mark before it where the quantity rests on the sample market."""


def load_users(engine: sa.Engine) -> pl.DataFrame:
    """All users, schema USERS_SCHEMA, sorted by user_key."""
    return read_frame(engine, "select user_key, user_id from app.users", USERS_SCHEMA).sort("user_key")


def load_investment_legs(engine: sa.Engine, *, sample_apart: bool = False) -> pl.DataFrame:
    """The current version of every leg, schema INVESTMENT_LEGS_SCHEMA, sorted by user_key, investment_key, asset_id.

    Args:
        engine: Engine of the operational database.
        sample_apart: Put SAMPLE_UNITS before the assets of invented quantities: no real price may value them.
    """
    legs = read_frame(
        engine,
        f"""
        select investment_key, (invested_at at time zone 'UTC')::date as invested_on,
               {APART if sample_apart else "asset_id"},
               amount_usd::double precision as amount_usd, quantity::double precision as quantity,
               quantity_source, price_source
        from app.investment_legs
        where superseded_at is null
        """,  # noqa: S608 (fixed text)
        pl.Schema({name: INVESTMENT_LEGS_SCHEMA[name] for name in INVESTMENT_LEGS_SCHEMA if name not in OWNERS[1:]}),
    )
    # Joined here, not in SQL: ids repeat on every leg, and sending 1.5 million of each takes longer than the join.
    # Read after the legs: an investment that is committed in between has no leg yet and falls away.
    owners = read_frame(
        engine,
        "select investment_key, investment_id, user_key, user_id from app.investments join app.users using (user_key)",
        pl.Schema({name: INVESTMENT_LEGS_SCHEMA[name] for name in OWNERS}),
    )
    joined = legs.join(owners, on="investment_key")
    return joined.select(INVESTMENT_LEGS_SCHEMA.names()).sort("user_key", "investment_key", "asset_id")


def load_holding_versions(engine: sa.Engine, *, sample_apart: bool = False) -> pl.DataFrame:
    """Every version of every leg with the days on which it was known, schema HOLDING_VERSIONS_SCHEMA, in a fixed order.

    A version that was replaced on the day it was entered was never known at a close and is left out.

    Args:
        engine: Engine of the operational database.
        sample_apart: As in `load_investment_legs`.
    """
    versions = read_frame(
        engine,
        f"""
        select investment_key, {APART if sample_apart else "asset_id"}, version, quantity::double precision as quantity,
               (invested_at at time zone 'UTC')::date as invested_on,
               (known_at at time zone 'UTC')::date as known_from,
               (superseded_at at time zone 'UTC')::date as known_to
        from app.investment_legs
        where superseded_at is null
           or (superseded_at at time zone 'UTC')::date > (known_at at time zone 'UTC')::date
        """,  # noqa: S608 (fixed text)
        pl.Schema({name: HOLDING_VERSIONS_SCHEMA[name] for name in HOLDING_VERSIONS_SCHEMA if name != "user_key"}),
    )
    owners = read_frame(
        engine,
        "select investment_key, user_key from app.investments",
        pl.Schema({name: HOLDING_VERSIONS_SCHEMA[name] for name in ("investment_key", "user_key")}),
    )
    joined = versions.join(owners, on="investment_key").select(HOLDING_VERSIONS_SCHEMA.names())
    return joined.sort("user_key", "investment_key", "asset_id", "version")
