"""What prices of one day do to the days around it: closes that are restated, and rows where there is no price yet."""

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from portfolio_pipelines.assets import operational, prices
from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.database.investment_import import import_investments
from portfolio_pipelines.database.overrides import add_override, withdraw_override
from portfolio_pipelines.database.price_import import import_prices
from portfolio_pipelines.resources.platform import Platform
from portfolio_pipelines.settings import Settings
from portfolio_pipelines.tables import PRICES, PRICES_SCHEMA, RESTATEMENTS, RESTATEMENTS_SCHEMA, VINTAGES

BTC, MATIC, POL = "coingecko:bitcoin", "coingecko:matic-network", "coingecko:polygon-ecosystem-token"
FIRST = date(2024, 8, 26)
DAYS = [FIRST + timedelta(days=n) for n in range(14)]
QUOTED = DAYS[11]  # the first close of MATIC and POL
CONVERTED = date(2024, 9, 4)


@pytest.fixture
def platform(database: sa.Engine, tmp_path: Path) -> Platform:
    """Two weeks of Bitcoin; MATIC is bought on the third day and has its first close on the twelfth."""
    url = SecretStr(url_text(database.url))
    platform = Platform.of(Settings(home=tmp_path / "home", database_url=url, price_providers=()))
    rows = [f"{day},BTC,{60_000 + at}" for at, day in enumerate(DAYS)]
    rows += [f"{day},{symbol},0.4" for day in DAYS[11:] for symbol in (MATIC, POL)]
    content = "\n".join(["date,symbol,close_usd", *rows]).replace(MATIC, "MATIC").replace(POL, "POL").encode()
    import_prices(platform.database.engine, content, store=platform.ledger.append, who="ann", name="prices.csv")
    legs = f"user_id,investment_id,invested_at,asset,amount_usd,quantity\nann,one,{DAYS[2]},{MATIC},100,250\n"
    closes = platform.market.purchase_closes
    import_investments(
        platform.database.engine, legs.encode(), closes=closes, first_day=FIRST, who="ann", name="investments.csv"
    )
    run(platform, DAYS[0], DAYS[-1])
    return platform


def run(platform: Platform, first: date, last: date) -> None:
    core = [*dg.load_assets_from_modules([operational, prices])]
    tags = {"dagster/asset_partition_range_start": str(first), "dagster/asset_partition_range_end": str(last)}
    with dg.DagsterInstance.ephemeral() as instance:
        assert dg.materialize(core, tags=tags, resources=dict(platform.resources()), instance=instance).success


def restated(platform: Platform) -> pl.DataFrame:
    return platform.lake.read(RESTATEMENTS, DAYS, RESTATEMENTS_SCHEMA)


def files(platform: Platform) -> dict[str, bytes]:
    paths = [platform.lake.path(table, day) for table in (PRICES, RESTATEMENTS, VINTAGES) for day in DAYS]
    return {str(path): path.read_bytes() for path in paths}


def test_an_override_restates_the_days_that_it_blocks_and_so_does_its_withdrawal(platform: Platform) -> None:
    assert restated(platform).is_empty()
    number = add_override(
        platform.database.engine, BTC, DAYS[3], Decimal("1e12"), who="ann", why="typed wrong", kind="manual"
    )
    run(platform, DAYS[0], DAYS[-1])
    rows = restated(platform)
    assert rows["date"].to_list() == DAYS[3:]
    assert rows["cause"].to_list() == ["manual_override", *["knock_on"] * 10]
    assert rows["cause_date"].unique().to_list() == [DAYS[3]]
    assert rows["old_close_usd"].to_list() == [60_000.0 + at for at in range(3, 14)]
    served = platform.lake.read(PRICES, DAYS[3:], PRICES_SCHEMA).filter(pl.col("asset_id") == BTC)
    assert rows["new_close_usd"].to_list() == served["close_usd"].to_list()
    assert rows["new_status"].to_list() == served["status"].to_list()
    withdraw_override(platform.database.engine, number, who="ann", why="typed wrong")
    run(platform, DAYS[0], DAYS[-1])
    back = restated(platform).filter(pl.col("cause") != "manual_override").group_by("date", maintain_order=True).last()
    assert back["date"].to_list() == DAYS[3:]
    assert back["cause"].to_list() == ["override_withdrawn", *["knock_on"] * 10]
    assert back["new_close_usd"].to_list() == [60_000.0 + at for at in range(3, 14)]


def test_deleted_days_are_made_again_one_by_one_as_the_range_made_them(platform: Platform) -> None:
    add_override(platform.database.engine, BTC, DAYS[3], Decimal("1e12"), who="ann", why="typed wrong", kind="manual")
    run(platform, DAYS[0], DAYS[-1])
    before = files(platform)
    for day in DAYS[2:9]:
        for table in (RESTATEMENTS, VINTAGES):
            platform.lake.path(table, day).unlink()
    for day in DAYS[2:9]:
        run(platform, day, day)
    assert files(platform) == before


def test_what_is_held_has_a_row_that_says_why_there_is_no_price(platform: Platform) -> None:
    rows = platform.lake.read(PRICES, DAYS, PRICES_SCHEMA)
    for asset, since in ((MATIC, DAYS[2]), (POL, CONVERTED)):
        held = rows.filter((pl.col("asset_id") == asset) & (pl.col("date") >= since))
        assert held["date"].to_list() == [day for day in DAYS if day >= since]
        without = held.filter(pl.col("date") < QUOTED)
        assert set(without["status"]) == {"no_source"}
        assert set(without["reason"]) == {"nobody quoted this day"}
        assert without["close_usd"].null_count() == without.height
    assert rows.filter((pl.col("asset_id") == MATIC) & (pl.col("date") < DAYS[2])).is_empty()


def test_benchmarks_that_nobody_quotes_have_rows_on_the_days_they_trade(platform: Platform) -> None:
    rows = platform.lake.read(PRICES, DAYS, PRICES_SCHEMA)
    of = {
        name: rows.filter(pl.col("asset_id") == name)["date"].to_list()
        for name in ("coingecko:ethereum", "yahoo:^GSPC")
    }
    assert of["coingecko:ethereum"] == DAYS
    assert of["yahoo:^GSPC"] == [day for day in DAYS if day.isoweekday() < 6]


def test_an_asset_that_is_held_since_a_new_investment_makes_its_days_due(platform: Platform) -> None:
    legs = f"user_id,investment_id,invested_at,asset,amount_usd,quantity\nann,two,{DAYS[5]},SOL,100,1\n"
    closes = platform.market.purchase_closes
    import_investments(
        platform.database.engine, legs.encode(), closes=closes, first_day=FIRST, who="ann", name="more.csv"
    )
    run(platform, DAYS[0], DAYS[-1])
    rows = platform.lake.read(PRICES, DAYS, PRICES_SCHEMA).filter(pl.col("asset_id") == "coingecko:solana")
    assert rows["date"].to_list() == DAYS[5:]
