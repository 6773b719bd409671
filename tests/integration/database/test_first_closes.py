"""Purchases of days on which an asset had no price yet: refused where that is known, also with a given quantity."""

import os
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.database.investment_import import InvestmentImport, import_investments
from portfolio_pipelines.database.overrides import add_override
from portfolio_pipelines.database.price_import import import_prices
from portfolio_pipelines.market.file_faults import FileRefusedError
from portfolio_pipelines.resources.platform import Platform
from portfolio_pipelines.settings import Settings

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
SHARED = Path(os.environ.get("PORTFOLIO_SHARED_DATA", Path(__file__).parents[4] / "shared" / "data"))
HEADER = "user_id,investment_id,invested_at,asset,amount_usd,quantity\n"
PRICES = "date,symbol,close_usd\n2022-05-10,BTC,31000\n2023-03-25,ARB,1.3\n2023-03-25,BTC,27500\n"
EARLY = HEADER + "u,o,2023-01-01,ARB,100,3\n"


@pytest.fixture
def platform(database: sa.Engine, tmp_path: Path) -> Platform:
    """A platform without live providers and without prices."""
    url = SecretStr(url_text(database.url))
    return Platform.of(Settings(home=tmp_path / "home", database_url=url, price_providers=()))


def bring_prices(platform: Platform, source: str | Path, name: str | None = None) -> None:
    content = source.encode() if isinstance(source, str) else source
    import_prices(platform.database.engine, content, store=platform.ledger.append, who="ann", now=NOW, name=name)


def bring(platform: Platform, text: str, asked: list[list[str]] | None = None) -> InvestmentImport:
    def absences(assets: list[str]) -> pl.DataFrame:
        if asked is not None:
            asked.append(assets)
        return platform.market.known_absences(assets)

    return import_investments(
        platform.database.engine,
        text.encode(),
        closes=platform.market.purchase_closes,
        absences=absences,
        first_day=date(2013, 1, 1),
        who="ann",
        now=NOW,
        name="orders.csv",
    )


def test_a_purchase_before_the_first_price_is_refused_although_its_quantity_is_given(platform: Platform) -> None:
    bring_prices(platform, PRICES, "exchange.csv")
    with pytest.raises(FileRefusedError) as caught:
        bring(platform, EARLY + "u,p,2023-01-01,BTC,100,0.01\nu,q,2023-03-25,ARB,100,3\nu,r,2022-05-10,ARB,1,1\n")
    assert str(caught.value).split("\n") == [
        "orders.csv was refused, nothing was imported: 2 faults",
        "  row 2: coingecko:arbitrum had no price yet on 2023-01-01: its first known close is of 2023-03-25 "
        "(exchange.csv), and exchange.csv knows of none from 2022-05-10 on; correct the day, or import a price "
        "file with a close of that day",
        "  row 5: coingecko:arbitrum had no price yet on 2022-05-10: its first known close is of 2023-03-25 "
        "(exchange.csv), and exchange.csv knows of none from 2022-05-10 on; correct the day, or import a price "
        "file with a close of that day",
    ]


def test_prices_that_do_not_reach_back_to_the_purchase_refuse_nothing(platform: Platform) -> None:
    bring_prices(platform, PRICES, "exchange.csv")
    bring_prices(platform, "date,symbol,close_usd\n1990-01-02,SP500,359\n2023-03-25,SP500,3970\n", "index.csv")
    done = bring(platform, HEADER + "u,o,2022-05-09,ARB,100,3\nu,p,2014-01-01,BTC,100,1\nu,q,2016-01-01,ETH,1,1\n")
    assert done.inserted == 3


def test_the_sample_market_and_a_platform_without_prices_refuse_nothing(platform: Platform) -> None:
    assert platform.market.is_sample
    assert bring(platform, EARLY).inserted == 1


def test_a_close_that_somebody_gives_for_an_earlier_day_opens_the_door(platform: Platform) -> None:
    bring_prices(platform, PRICES, "exchange.csv")
    add_override(
        platform.database.engine,
        "coingecko:arbitrum",
        date(2023, 1, 1),
        Decimal(1),
        who="ann",
        why="sold before",
        now=NOW,
    )
    assert bring(platform, EARLY).inserted == 1


def test_a_stored_purchase_is_not_judged_anew_and_a_moved_one_is(platform: Platform) -> None:
    assert bring(platform, EARLY).inserted == 1
    bring_prices(platform, PRICES, "exchange.csv")
    asked: list[list[str]] = []
    assert bring(platform, EARLY, asked).unchanged == 1
    assert bring(platform, EARLY.replace(",3\n", ",4\n"), asked).corrected == 1
    assert asked == []
    with pytest.raises(FileRefusedError, match="had no price yet on 2023-01-02"):
        bring(platform, EARLY.replace("2023-01-01", "2023-01-02"), asked)
    assert asked == [["coingecko:arbitrum"]]


@pytest.mark.skipif(not SHARED.is_dir(), reason="shared data (PORTFOLIO_SHARED_DATA) is absent")
def test_on_the_shared_prices_arbitrum_cannot_be_bought_before_it_was_listed(platform: Platform) -> None:
    bring_prices(platform, SHARED / "prices_daily.parquet")
    bring_prices(platform, SHARED / "sp500/sp500_daily.csv")
    with pytest.raises(FileRefusedError, match="its first known close is of 2023-03-25"):
        bring(platform, EARLY)
    assert bring(platform, EARLY.replace("2023-01-01", "2023-03-25")).inserted == 1


def test_an_asset_counts_from_its_earliest_purchase_as_it_is_known_now(platform: Platform) -> None:
    bring_prices(platform, PRICES, "exchange.csv")
    late = "u,b,2023-03-25,BTC,100,1\nu,b,2023-03-25,ARB,100,3\n"
    bring(platform, HEADER + "u,a,2022-05-10,BTC,100,1\n" + late)
    assert platform.database.held_since().rows() == [
        ("coingecko:arbitrum", date(2023, 3, 25)),
        ("coingecko:bitcoin", date(2022, 5, 10)),
    ]
    bring(platform, HEADER + "u,a,2022-06-10T23:59:59Z,BTC,100,1\n" + late)
    assert platform.database.held_since()["invested_on"].to_list() == [date(2023, 3, 25), date(2022, 6, 10)]
