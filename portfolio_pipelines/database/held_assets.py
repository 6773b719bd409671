"""Assets that wallets hold, with the days on which they did. What a token is priced as is `chains.price_assets`."""

from typing import Final

import polars as pl
import sqlalchemy as sa

from portfolio_pipelines.database.connection import read_frame
from portfolio_pipelines.database.staging import copy_frame

HELD_ASSETS_SCHEMA: Final = pl.Schema(
    {
        "asset_id": pl.String(),  # whose price counts
        "coingecko_symbol": pl.String(),  # null where the provider does not know the asset
        "defillama_symbol": pl.String(),
        "held_since": pl.Date(),
        "held_until": pl.Date(),  # the last day on which it was seen
    }
)


def held_assets_frame(engine: sa.Engine) -> pl.DataFrame:
    """All of them, schema HELD_ASSETS_SCHEMA, sorted by asset_id."""
    return read_frame(engine, "select * from app.held_assets", HELD_ASSETS_SCHEMA).sort("asset_id")


def record_held_assets(engine: sa.Engine, held: pl.DataFrame) -> None:
    """Remember what was held when: spans grow, and never shrink.

    Args:
        engine: Engine of the operational database.
        held: Schema HELD_ASSETS_SCHEMA, each asset once.
    """
    if held.is_empty():
        return
    with engine.begin() as connection:
        connection.execute(sa.text("create temporary table seen (like app.held_assets) on commit drop"))
        copy_frame(connection, "seen", held.select(HELD_ASSETS_SCHEMA.names()))
        connection.execute(
            sa.text("""
                insert into app.held_assets as known
                    (asset_id, coingecko_symbol, defillama_symbol, held_since, held_until)
                select asset_id, coingecko_symbol, defillama_symbol, held_since, held_until from seen order by asset_id
                on conflict (asset_id) do update set
                    coingecko_symbol = excluded.coingecko_symbol, defillama_symbol = excluded.defillama_symbol,
                    held_since = least(known.held_since, excluded.held_since),
                    held_until = greatest(known.held_until, excluded.held_until)
            """)
        )
