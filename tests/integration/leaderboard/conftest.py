"""A platform with seven weeks of closes, and users who entered their holdings at different times; ranked once."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from uuid import uuid4

import dagster as dg
import numpy as np
import psycopg
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.engine import URL

from portfolio_pipelines.assets import leaderboard, operational, prices
from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.database.investment_import import import_investments
from portfolio_pipelines.database.price_import import import_prices
from portfolio_pipelines.resources.platform import Platform
from portfolio_pipelines.settings import Settings

FIRST = date(2024, 3, 15)
DAYS = [FIRST + timedelta(days=n) for n in range(50)]
LAST = DAYS[-1]  # May 3rd
TOLD_LATE = date(2024, 4, 20)
HEADER = "user_id,investment_id,invested_at,asset,amount_usd,quantity\n"
BTC = dict(zip(DAYS, 50_000 * np.cumprod(1 + np.random.default_rng(5).normal(0.001, 0.03, 50)), strict=True))
ETH = dict(zip(DAYS, 2_500 * np.cumprod(1 + np.random.default_rng(6).normal(0.001, 0.04, 50)), strict=True))
SECRET = SecretStr("a key for tests that nobody could guess")
ASSETS = [
    *dg.load_assets_from_modules([operational, leaderboard]), prices.raw_quotes, prices.prices_daily,
]  # fmt: skip


@dataclass(frozen=True)
class Ranked:
    """A platform whose boards are made, and where its copies come from."""

    platform: Platform
    server: URL
    database: str


@pytest.fixture(scope="session")
def ranked(migrated_template: URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranked]:
    """Ann and Bob entered their holdings on the first day; Cid bought then too, but told it on April 20th."""
    name = _copy_of(migrated_template, str(migrated_template.database))
    url = SecretStr(url_text(migrated_template.set(database=name)))
    settings = Settings(
        home=tmp_path_factory.mktemp("leaderboard") / "home",
        database_url=url,
        price_providers=(),
        leaderboard_least_sources=1,  # the price file is the only one
        leaderboard_bucket_users=2,
        leaderboard_key=SECRET,
    )
    platform = Platform.of(settings)
    bring_prices(platform, "BTC", BTC)
    bring_prices(platform, "ETH", ETH)
    bring_investments(platform, f"ann,first,{FIRST},BTC,1000,0.05\nbob,first,{FIRST},ETH,1000,2\n", FIRST)
    bring_investments(platform, f"cid,first,{FIRST},BTC,1000,0.02\ncid,first,{FIRST},ETH,1000,1\n", TOLD_LATE)
    run(platform)
    platform.database.engine.dispose()
    yield Ranked(platform, migrated_template, name)
    platform.database.engine.dispose()
    _on(migrated_template, f"drop database {name} with (force)")


@pytest.fixture
def copied(ranked: Ranked, tmp_path: Path) -> Iterator[Platform]:
    """A copy of the ranked platform, to be changed."""
    ranked.platform.database.engine.dispose()
    name = _copy_of(ranked.server, ranked.database)
    shutil.copytree(ranked.platform.settings.home, tmp_path / "home")
    url = SecretStr(url_text(ranked.server.set(database=name)))
    # Made anew: a copied model would keep the folders that the other one has worked out.
    changed = ranked.platform.settings.model_dump() | {"home": tmp_path / "home", "database_url": url}
    platform = Platform.of(Settings(**changed))
    yield platform
    platform.database.engine.dispose()
    _on(ranked.server, f"drop database {name} with (force)")


def bring_prices(platform: Platform, symbol: str, closes: dict[date, float]) -> None:
    """Closes as a price file of the user."""
    rows = "".join(f"{day},{symbol},{close}\n" for day, close in closes.items())
    content = f"date,symbol,close_usd\n{rows}".encode()
    import_prices(platform.database.engine, content, store=platform.ledger.append, who="ann", name="prices.csv")


def bring_investments(platform: Platform, rows: str, entered_on: date) -> None:
    """Investments as a file that was imported at noon of a day, whatever day it is now."""
    before = datetime.now(UTC)
    closes = platform.market.purchase_closes
    import_investments(
        platform.database.engine, (HEADER + rows).encode(), closes=closes, first_day=FIRST, who="ann", name="i.csv"
    )
    noon = datetime.combine(entered_on, time(12), UTC)
    with platform.database.engine.begin() as connection:
        for column in ("known_at", "superseded_at"):
            connection.execute(
                sa.text(f"update app.investment_legs set {column} = :noon where {column} >= :before"),
                {"noon": noon, "before": before},
            )


def run(platform: Platform, first: date = FIRST, last: date = LAST, **tags: str) -> None:
    """Prices and boards of a range of days as one run."""
    wanted = {"dagster/asset_partition_range_start": str(first), "dagster/asset_partition_range_end": str(last)}
    fresh = Platform.of(platform.settings)
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(ASSETS, tags=wanted | tags, resources=dict(fresh.resources()), instance=instance)
    fresh.database.engine.dispose()
    assert result.success


def _copy_of(server: URL, template: str) -> str:
    name = f"leaderboard_{uuid4().hex[:12]}"
    _on(server, f"create database {name} template {template}")
    return name


def _on(server: URL, statement: str) -> None:
    with psycopg.connect(
        url_text(server.set(drivername="postgresql", database="portfolio")), autocommit=True
    ) as connection:
        connection.execute(statement)
