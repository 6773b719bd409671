"""A platform with a quarter of invented closes, whose metrics can be computed by hand beside it."""

from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from portfolio_pipelines.assets import diversification, metrics, operational, performance, prices
from portfolio_pipelines.commands import explain as command
from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.database.investment_import import import_investments
from portfolio_pipelines.database.price_import import import_prices
from portfolio_pipelines.resources.platform import Platform
from portfolio_pipelines.settings import Settings

FIRST = date(2024, 2, 20)
DAYS = [FIRST + timedelta(days=n) for n in range(75)]
LAST = DAYS[-1]
HEADER = "user_id,investment_id,invested_at,asset,amount_usd,quantity\n"
BTC = dict(zip(DAYS, 50_000 * np.cumprod(1 + np.random.default_rng(5).normal(0.001, 0.03, 75)), strict=True))
ETH = dict(zip(DAYS, 2_500 * np.cumprod(1 + np.random.default_rng(6).normal(0.001, 0.04, 75)), strict=True))


@pytest.fixture
def platform(database: sa.Engine, tmp_path: Path) -> Platform:
    """Ann holds bitcoin from the first day on, Bob bitcoin and ether since April; nothing is valued yet."""
    return new_platform(database, tmp_path / "home")


def new_platform(database: sa.Engine, home: Path) -> Platform:
    """As the fixture `platform`, which is for one test alone."""
    url = SecretStr(url_text(database.url))
    platform = Platform.of(Settings(home=home, database_url=url, price_providers=()))
    bring_prices(platform, "BTC", BTC)
    bring_prices(platform, "ETH", ETH)
    bring_investments(
        platform,
        f"ann,first,{FIRST},BTC,{BTC[FIRST] / 50},0.02\n"
        f"bob,first,2024-04-10,BTC,{BTC[date(2024, 4, 10)] / 50},0.02\n"
        f"bob,first,2024-04-10,ETH,{ETH[date(2024, 4, 10)] / 5},0.2\n",
    )
    return platform


def bring_prices(platform: Platform, symbol: str, closes: dict[date, float]) -> None:
    """Closes as a price file of the user."""
    rows = "".join(f"{day},{symbol},{close}\n" for day, close in closes.items())
    content = f"date,symbol,close_usd\n{rows}".encode()
    import_prices(platform.database.engine, content, store=platform.ledger.append, who="ann", name="prices.csv")


def bring_investments(platform: Platform, rows: str) -> None:
    """Investments as a file of the user."""
    closes = platform.market.purchase_closes
    content = (HEADER + rows).encode()
    import_investments(
        platform.database.engine, content, closes=closes, first_day=FIRST, who="ann", name="investments.csv"
    )


def run(platform: Platform, first: date = FIRST, last: date = LAST, **tags: str) -> dg.ExecuteInProcessResult:
    """Prices, values and metrics of a range of days as one run."""
    core = dg.load_assets_from_modules([operational, prices, performance, metrics, diversification])
    wanted = {"dagster/asset_partition_range_start": str(first), "dagster/asset_partition_range_end": str(last)}
    fresh = Platform.of(platform.settings)
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(core, tags=wanted | tags, resources=dict(fresh.resources()), instance=instance)
    assert result.success
    return result


def explained_at_terminal(platform: Platform, *arguments: object) -> str:
    """What `portfolio explain` prints."""
    with command.OUT.capture() as printed:
        command.explain(platform, *arguments)  # type: ignore[arg-type]
    return printed.get()
