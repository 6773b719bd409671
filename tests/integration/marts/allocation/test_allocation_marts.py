"""Drift as the marts measure it and plans as they are made of it, through Dagster and a real Postgres to the marts.

Alice holds 0.02 BTC, 0.12 ETH and 2 SOL: 1100, 330 and 220 USD on the last day; Bob holds 10 AAVE for 80 USD.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa

from portfolio_pipelines.allocation_tables import (
    ALLOCATION_TARGETS,
    ALLOCATION_TARGETS_SCHEMA,
    CHAIN_FEES,
    REBALANCING_PLANS,
    REBALANCING_PLANS_SCHEMA,
)
from portfolio_pipelines.assets import rebalancing
from portfolio_pipelines.assets.marts import build_marts_asset
from portfolio_pipelines.commands.console import CommandError
from portfolio_pipelines.commands.targets import make_plan
from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.database.target_plans import decide, plans_frame
from portfolio_pipelines.database.target_versions import set_strategy
from portfolio_pipelines.finance.allocation import Rules, Target
from portfolio_pipelines.resources.chain_connections import ChainConnections
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.platform import Platform
from portfolio_pipelines.resources.served_marts import publish
from portfolio_pipelines.resources.warehouse import Warehouse
from portfolio_pipelines.settings import Settings
from tests.explained_figures import every, explained
from tests.integration.marts.conftest import SmallMarket

BTC, ETH, SOL, AAVE = (f"coingecko:{name}" for name in ("bitcoin", "ethereum", "solana", "aave"))
NEXT_NIGHT = datetime(2025, 2, 3, 1, tzinfo=UTC)


@dataclass
class Installation:
    """Everything that the assets of this vertical need, on the small market."""

    warehouse: Warehouse
    database: Database
    chains: ChainConnections

    def strategy(self, user: str, name: str, shares: dict[str, str], **rules: Any) -> int:
        targets = [Target(asset, Decimal(share), Decimal(2)) for asset, share in shares.items()]
        return set_strategy(self.database.engine, user, name, targets, Rules(**rules), who="test")

    def run(self) -> None:
        result = dg.materialize(
            [
                rebalancing.allocation_targets, rebalancing.chain_fees, rebalancing.rebalancing_plans,
                build_marts_asset(self.warehouse.project),
            ],
            resources={
                "lake": self.warehouse.lake, "database": self.database, "warehouse": self.warehouse,
                "chains": self.chains,
            },
        )  # fmt: skip
        assert result.success

    def platform(self) -> Platform:
        whole = Platform.of(self.database.settings)
        return replace(
            whole, lake=self.warehouse.lake, database=self.database, warehouse=self.warehouse, chains=self.chains
        )

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.warehouse.connect() as connection:
            return connection.execute(query).fetchall()


@pytest.fixture
def installation(warehouse: Warehouse, database: sa.Engine, tmp_path: Path) -> Iterator[Installation]:
    settings = Settings(home=tmp_path / "home", database_url=url_text(database.url))
    connected = Database(settings)
    with database.begin() as connection:
        connection.execute(sa.text("insert into app.users (user_id) values ('alice'), ('bob')"))
    yield Installation(warehouse, connected, ChainConnections(settings, connected))
    connected.engine.dispose()


def test_strategies_become_drift_and_plans_in_the_marts_and_in_postgres(
    installation: Installation, database: sa.Engine
) -> None:
    installation.strategy("alice", "core", {BTC: "50", ETH: "30", SOL: "20"})
    installation.strategy("alice", "without", {BTC: "75", ETH: "25"})
    installation.strategy("alice", "selling", {BTC: "75", ETH: "25"}, sells_others=True)
    installation.strategy("alice", "large", {BTC: "50", ETH: "30", SOL: "20"}, min_trade_usd=Decimal(120))
    installation.strategy("bob", "hold", {AAVE: "50", BTC: "50"}, buy_only=True)
    installation.run()

    # Drift is measured by asset beside the targets.
    assert installation.rows(
        "select token, target, band, value_usd, total_usd, round(weight, 4), round(drift_usd, 2), is_outside, chain "
        "from marts.allocation_drift where strategy = 'core' order by target desc"
    ) == [
        ("BTC", 0.5, 0.02, 1100.0, 1650.0, 0.6667, 275.0, True, "market"),
        ("ETH", 0.3, 0.02, 330.0, 1650.0, 0.2, -165.0, True, "market"),
        ("SOL", 0.2, 0.02, 220.0, 1650.0, 0.1333, -110.0, True, "market"),
    ]
    # What a strategy does not name is left out, or has the target 0.
    totals = installation.rows(
        "select distinct strategy, total_usd from marts.allocation_drift where user_id = 'alice'"
    )
    assert dict(totals) == {"core": 1650.0, "large": 1650.0, "selling": 1650.0, "without": 1430.0}
    others = installation.rows("select strategy, asset_id, is_named from marts.allocation_drift where target = 0")
    assert others == [("selling", SOL, False)]

    # BTC goes to 52 %: 242 of 1650. ETH lacks 132 to its edge, SOL 77; the 33 left over go to one of both.
    plan = installation.rows(
        "select status, method, step, action, asset, amount_usd, amount_tokens, into_asset, gas_usd, cost_usd, "
        "benefit_usd, is_complete, reason from marts.rebalancing_plan where strategy = 'core' order by step"
    )
    assert [row[:5] for row in plan] == [("proposed", "closed_form", n, "swap", BTC) for n in (1, 2)]
    assert sum(row[5] for row in plan) == pytest.approx(242, abs=1)
    assert plan[0][6] == pytest.approx(plan[0][5] / 55_000)
    assert [row[7] for row in plan] == [ETH, SOL]
    assert all((row[8], row[11]) == (0.0, True) and row[9] < 1 for row in plan)
    assert plan[0][10] == pytest.approx(242, abs=1)
    assert plan[0][12] == "BTC 66.67 % of 50.0 ± 2.0; ETH 20.0 % of 30.0 ± 2.0"
    # Without its SOL the portfolio is at 77 : 23 % and inside its bands of 75 : 25 ± 2.
    assert installation.rows("select * from marts.rebalancing_plan where strategy = 'without'") == []
    sold = installation.rows(
        "select sum(amount_usd) from marts.rebalancing_plan where strategy = 'selling' and asset = 'coingecko:solana'"
    )
    assert sold[0][0] == pytest.approx(220, abs=0.01)
    with installation.warehouse.connect() as marts:
        names = ("allocation_drift", "rebalancing_plan")
        every(explained(marts, installation.warehouse.lake, *names), *names)
    large = installation.rows("select method, amount_usd from marts.rebalancing_plan where strategy = 'large'")
    assert large
    assert all(method == "optimum" and usd >= 120 - 0.1 for method, usd in large)
    assert installation.rows("select status, action, reason from marts.rebalancing_plan where strategy = 'hold'") == [
        ("not_suggested", "none", "the limits of the strategy allow no trade that helps")
    ]

    # The lake and the log know the tables; Postgres serves them, and a second publication has nothing to do.
    lake = installation.warehouse.lake
    assert pl.read_parquet_schema(lake.path(REBALANCING_PLANS)) == dict(REBALANCING_PLANS_SCHEMA)
    assert {"core/allocation_targets", "core/rebalancing_plans"} <= set(installation.database.partition_log()["table"])
    url = url_text(database.url.set(drivername="postgresql"))
    assert publish(installation.warehouse, url).rows["rebalancing_plan"] >= 6
    with database.connect() as connection:
        served = connection.execute(sa.text("select count(*) from marts.rebalancing_plan where strategy = 'core'"))
        assert served.scalar() == 2
    assert not publish(installation.warehouse, url).changed


def test_requests_decisions_and_other_prices_reach_the_marts_with_the_next_run(
    installation: Installation, market: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    installation.strategy("alice", "core", {BTC: "50", ETH: "30", SOL: "20"})
    installation.strategy("bob", "half", {AAVE: "50", BTC: "50"})
    installation.run()
    lake, database = installation.warehouse.lake, installation.database
    first = installation.rows("select distinct strategy, plan_id, status from marts.rebalancing_plan order by all")
    assert [row[2] for row in first] == ["proposed", "proposed"]
    assert not rebalancing.targets_changed(lake, database)

    # A person asks for the cheapest plan with new money; it stands beside the proposals of the night.
    make_plan(installation.platform(), "alice", "core", "150", "json")
    asked = json.loads(capsys.readouterr().out)
    assert {(row["method"], row["status"]) for row in asked} == {("request", "proposed")}
    assert {"buy", "swap"} == {row["action"] for row in asked}
    with pytest.raises(CommandError, match="has no strategy 'other'"):
        make_plan(installation.platform(), "alice", "other", None, "table")
    installation.strategy("bob", "young", {AAVE: "100"})
    with pytest.raises(CommandError, match="do not know 'young' as it is now"):
        make_plan(installation.platform(), "bob", "young", None, "table")

    decide(database.engine, str(first[0][1]), "accepted", who="alice", now=NEXT_NIGHT)
    assert rebalancing.targets_changed(lake, database)
    market.closes[AAVE, market.days[-1]] = None
    market.write_day(market.days[-1])
    installation.run()

    second = installation.rows("select strategy, plan_id, status, reason from marts.rebalancing_plan order by all")
    assert ("core", first[0][1], "accepted") in {row[:3] for row in second}
    assert {row[2] for row in second if row[0] == "core"} == {"accepted", "expired"}  # accepting one ends the other
    newest = [row for row in second if row[0] == "half" and row[2] != "expired"]
    assert [row[2] for row in newest] == ["not_suggested"]
    assert "no usable price" in newest[0][3]
    assert installation.rows("select distinct total_usd from marts.allocation_drift where strategy = 'half'") == [
        (None,)
    ]
    assert set(plans_frame(database.engine, "bob")["status"]) == {"expired", "not_suggested"}


def test_without_strategies_nothing_is_written_or_built_again(installation: Installation) -> None:
    installation.run()
    assert not installation.warehouse.lake.path(REBALANCING_PLANS).is_file()
    assert not installation.warehouse.lake.path(CHAIN_FEES).is_file()
    assert not rebalancing.targets_changed(installation.warehouse.lake, installation.database)
    assert installation.rows("select count(*) from marts.allocation_drift") == [(0,)]


def test_drift_is_the_same_whether_few_or_many_people_have_a_strategy(
    warehouse: Warehouse, market: SmallMarket
) -> None:
    # A few are named in the query, more than a thousand are looked up; a name may hold a quote.
    market.users[1] = "al'ice"
    market.write_dimensions()
    drift = (
        "select asset_id, value_usd, round(drift_usd, 6) from marts.allocation_drift "
        "where user_id = 'al''ice' order by asset_id"
    )
    found = []
    for others in (0, 1200):
        users = ["al'ice", *(f"user {number}" for number in range(others))]
        targets = pl.DataFrame(
            [
                (key, 1, user, "core", asset, 0.5, 0.02, True, True, False, 0.0, 0.5)
                for key, user in enumerate(users)
                for asset in (BTC, ETH)
            ],
            schema=ALLOCATION_TARGETS_SCHEMA,
            orient="row",
        )
        warehouse.lake.replace_table(ALLOCATION_TARGETS, targets)
        warehouse.build()
        with warehouse.connect() as connection:
            found.append(connection.execute(drift).fetchall())
            everybody = connection.execute("select count(distinct user_id) from marts.allocation_drift").fetchone()
        assert everybody == (others + 1,)
    assert found[0] == found[1] == [(BTC, 1100.0, 385.0), (ETH, 330.0, -385.0)]
