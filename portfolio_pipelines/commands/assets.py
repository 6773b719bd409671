"""`portfolio assets …`: the coins that can be named in files, and making further ones known.

Belongs here: what a person types, checked at the door. What a name means on a day is `database.symbols`.
"""

import re
from dataclasses import dataclass
from typing import Final

import polars as pl

from portfolio_pipelines.commands.console import OUT, CommandError
from portfolio_pipelines.commands.reading import print_frame
from portfolio_pipelines.resources.platform import Platform

LONGEST_SYMBOL: Final = 32
LONGEST_NAME: Final = 100
DEFILLAMA_NAME: Final = re.compile(r"[a-z0-9_-]+:[A-Za-z0-9._:-]{1,128}", re.ASCII)
YAHOO_NAME: Final = re.compile(r"[A-Z0-9.^=-]{1,32}", re.ASCII)
SHOWN: Final = ["asset_id", "symbol", "name", "kind", "tickers", "defillama_symbol", "yahoo_symbol"]


@dataclass(frozen=True, slots=True)
class Coin:
    """A coin as its providers name it."""

    asset_id: str
    symbol: str
    name: str
    coingecko_symbol: str
    defillama_symbol: str
    yahoo_symbol: str | None


def add(platform: Platform, asset_id: str, symbol: str, name: str, defillama: str | None, yahoo: str | None) -> None:
    """Make a coin known, with its ticker from the beginning on; a coin that is known already stays as it is.

    Raises:
        CommandError: If one of the names makes no sense, or the coin is known under others.
    """
    from portfolio_pipelines.database.assets import add_asset, load_asset_symbols, load_assets
    from portfolio_pipelines.database.symbols import meaning

    coin = checked(asset_id, symbol, name, defillama, yahoo)
    engine = platform.database.engine
    with engine.begin() as connection:
        is_new = add_asset(
            connection, coin.asset_id, coin.symbol, coin.name, coingecko_symbol=coin.coingecko_symbol,
            defillama_symbol=coin.defillama_symbol, yahoo_symbol=coin.yahoo_symbol,
        )  # fmt: skip
    if not is_new:
        known = load_assets(engine).row(by_predicate=pl.col("asset_id") == coin.asset_id, named=True)
        _refuse_other_names(coin, known)
        OUT.print(f"{coin.asset_id} is known already, no change", markup=False)
        return
    OUT.print(
        f"{coin.asset_id} is known from now on: {coin.symbol}, {coin.name}. Nobody was asked whether it exists: the "
        "prices of the next import or run show it.",
        markup=False,
    )
    others = load_asset_symbols(engine).filter(
        (pl.col("symbol") == coin.symbol) & (pl.col("asset_id") != coin.asset_id)
    )
    if not others.is_empty():
        meanings = ", ".join(meaning(row) for row in others.iter_rows(named=True))
        OUT.print(
            f"  {coin.symbol} also means {meanings}: on days of both it is ambiguous and files must write the id",
            style="yellow",
            markup=False,
        )


def checked(asset_id: str, symbol: str, name: str, defillama: str | None, yahoo: str | None) -> Coin:
    """The coin that somebody typed, in the form in which it is stored.

    Raises:
        CommandError: If one of the names makes no sense.
    """
    from portfolio_pipelines.database.symbols import MARKET_ID

    ticker, title = symbol.strip().upper(), name.strip()
    problem = None
    if not MARKET_ID.fullmatch(asset_id):
        problem = (
            f"{asset_id!r} is no market id: write coingecko: and CoinGecko's own id of the coin (the last part of its "
            "page's address), such as coingecko:pendle. Tokens of a contract are added by `portfolio tokens add`, and "
            "what only your price files know becomes an asset by importing them"
        )
    elif not ticker.isprintable() or not 0 < len(ticker) <= LONGEST_SYMBOL or re.search(r"[\s:,]", ticker):
        problem = f"{symbol!r} is no ticker: 1 to {LONGEST_SYMBOL} characters without blanks, colons and commas"
    elif not title.isprintable() or not 0 < len(title) <= LONGEST_NAME:
        problem = f"{name!r} is no name: 1 to {LONGEST_NAME} printable characters"
    elif defillama is not None and not DEFILLAMA_NAME.fullmatch(defillama):
        problem = f"{defillama!r} is no name of DefiLlama: write <chain>:<contract> or coingecko:<id>"
    elif yahoo is not None and not YAHOO_NAME.fullmatch(yahoo):
        problem = f"{yahoo!r} is no name of Yahoo: they look like BTC-USD"
    if problem:
        raise CommandError(problem)
    market_id = asset_id.lower()
    # DefiLlama knows every coin of CoinGecko under its market id.
    return Coin(market_id, ticker, title, market_id.partition(":")[2], defillama or market_id, yahoo)


def show(platform: Platform, text: str | None, form: str) -> None:
    """The assets whose id, name or one of their tickers contains `text`; all without it."""
    from portfolio_pipelines.database.assets import load_asset_symbols, load_assets

    engine = platform.database.engine
    since = pl.format(" from {}", "valid_from").fill_null("")
    until = pl.format(" until {}", "valid_to").fill_null("")
    tickers = load_asset_symbols(engine).group_by("asset_id", maintain_order=True)
    assets = load_assets(engine).join(
        tickers.agg(tickers=pl.concat_str("symbol", since, until).str.join(", ")), on="asset_id", how="left"
    )
    if text is not None:
        wanted = pl.concat_str("asset_id", "symbol", "name", pl.col("tickers").fill_null(""), separator="\n")
        assets = assets.filter(wanted.str.to_lowercase().str.contains(text.strip().lower(), literal=True))
    print_frame(
        assets.sort("asset_id").select(SHOWN),
        form,
        f"no asset is called {text!r}: `portfolio assets add coingecko:ID --symbol TICKER --name NAME` makes one known",
    )


def _refuse_other_names(coin: Coin, known: dict[str, object]) -> None:
    fields = ("symbol", "name", "coingecko_symbol", "defillama_symbol", "yahoo_symbol")
    differing = [
        f"{field} {known[field]}, not {getattr(coin, field)}"
        for field in fields
        if known[field] != getattr(coin, field)
    ]
    if differing:
        msg = f"{coin.asset_id} is known already, with {'; '.join(differing)}: nothing was changed"
        raise CommandError(msg)
