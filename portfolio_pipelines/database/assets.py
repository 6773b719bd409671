"""Assets, what tickers meant when, and successions, as frames.

Which name means what on which day is `symbols`; files that name assets are read by `investment_import` and
`price_import`.
"""

from typing import Final

import polars as pl
import sqlalchemy as sa

from portfolio_pipelines.database.connection import read_frame
from portfolio_pipelines.tables import ASSETS_SCHEMA, SUCCESSIONS_SCHEMA

ASSET_SYMBOLS_SCHEMA: Final = pl.Schema(
    {
        "symbol": pl.String(),  # upper case
        "asset_id": pl.String(),
        "valid_from": pl.Date(),  # null for since ever
        "valid_to": pl.Date(),  # first day on which it no longer holds; null for still
    }
)


def load_assets(engine: sa.Engine) -> pl.DataFrame:
    """All assets, schema ASSETS_SCHEMA, sorted by asset_id."""
    return read_frame(engine, "select * from app.assets", ASSETS_SCHEMA).sort("asset_id")


def load_asset_symbols(engine: sa.Engine) -> pl.DataFrame:
    """What each ticker meant when, schema ASSET_SYMBOLS_SCHEMA, sorted by symbol and valid_from."""
    frame = read_frame(engine, "select * from app.asset_symbols", ASSET_SYMBOLS_SCHEMA)
    return frame.sort("symbol", "valid_from", "asset_id", nulls_last=False)


def load_successions(engine: sa.Engine) -> pl.DataFrame:
    """Which holding became which, schema SUCCESSIONS_SCHEMA, sorted by asset_id."""
    query = """
        select asset_id, successor_id, effective_on, (units_after / units_before)::double precision as ratio
        from app.asset_successions
    """
    return read_frame(engine, query, SUCCESSIONS_SCHEMA).sort("asset_id")


def add_asset(
    connection: sa.Connection,
    asset_id: str,
    symbol: str,
    name: str,
    *,
    kind: str = "crypto",
    calendar: str = "daily",
    coingecko_symbol: str | None = None,
    defillama_symbol: str | None = None,
    yahoo_symbol: str | None = None,
) -> bool:
    """Make an asset and let its ticker mean it on every day; an asset that is known already is left as it is.

    Args:
        connection: Within the caller's transaction.
        asset_id: Market id, such as coingecko:pendle, or file:NAME for what only price files know.
        symbol: Ticker; stored in upper case.
        name: Name shown to people.
        kind: crypto, index or file.
        calendar: Days with a close: daily or weekdays.
        coingecko_symbol: CoinGecko's name, if it has one.
        defillama_symbol: DefiLlama's name, if it has one.
        yahoo_symbol: Yahoo's name, if it has one.

    Returns:
        Whether it is new.

    Raises:
        sqlalchemy.exc.IntegrityError: If kind or calendar is none of the above.
    """
    row = {
        "asset_id": asset_id, "symbol": symbol.upper(), "name": name, "kind": kind, "calendar": calendar,
        "coingecko_symbol": coingecko_symbol, "defillama_symbol": defillama_symbol, "yahoo_symbol": yahoo_symbol,
    }  # fmt: skip
    columns = ", ".join(row)
    made = connection.execute(
        sa.text(f"insert into app.assets ({columns}) values (:{columns.replace(', ', ', :')}) on conflict do nothing"),  # noqa: S608 (fixed names)
        row,
    )
    if made.rowcount:
        connection.execute(
            sa.text("insert into app.asset_symbols (symbol, asset_id) values (:symbol, :asset_id)"),
            {"symbol": symbol.upper(), "asset_id": asset_id},
        )
    return bool(made.rowcount)
