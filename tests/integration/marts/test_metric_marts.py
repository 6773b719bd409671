"""Metrics in the warehouse and in Postgres: readable, tested, and only month ends and the newest day served."""

from datetime import date, timedelta

import polars as pl
import psycopg
import pytest
import sqlalchemy as sa

from portfolio_pipelines import metric_tables as core
from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.resources.served_marts import publish
from portfolio_pipelines.resources.warehouse import Warehouse, WarehouseBuildError
from tests.integration.marts.conftest import BTC, DAYS, ETH, SmallMarket


def metrics_row(user: int, **figures: object) -> dict[str, object]:
    return {"user_key": user, "window_days": 30, "twr": 0.1, "n_obs": 30, "coverage": 1.0, "reason": "test"} | figures


def write(market: SmallMarket, day: date, **figures: object) -> None:
    """A row of each table of metrics on a day."""
    rows = [metrics_row(1, **figures), metrics_row(2, twr=None, reason="all: the track record is shorter")]
    put(market, core.PORTFOLIO_METRICS, core.PORTFOLIO_METRICS_SCHEMA, day, rows)
    comparison = {"user_key": 1, "window_days": 30, "benchmark": "BTC", "portfolio_roi": 0.1, "beta": 1.0, "n_obs": 30}
    put(market, core.BENCHMARK_COMPARISON, core.BENCHMARK_COMPARISON_SCHEMA, day, [comparison])
    put(market, core.DIVERSIFICATION, core.DIVERSIFICATION_SCHEMA, day, [{"user_key": 1, "hhi": 0.5, "n_assets": 2}])
    pair = {"window_days": 90, "asset_a": BTC, "asset_b": ETH, "correlation": 0.5, "n_obs": 90}
    put(market, core.ASSET_CORRELATIONS, core.ASSET_CORRELATIONS_SCHEMA, day, [pair])


def put(market: SmallMarket, table: str, schema: pl.Schema, day: date, rows: list[dict[str, object]]) -> None:
    market.lake.replace(table, day, pl.DataFrame(rows, schema={k: v for k, v in schema.items() if k != "date"}))


def test_metrics_carry_user_ids_and_their_day(warehouse: Warehouse, market: SmallMarket) -> None:
    for day in DAYS:
        write(market, day)
    warehouse.build()
    with warehouse.connect() as marts:
        rows = marts.execute(
            "select user_id, as_of, twr, reason from marts.portfolio_metrics where as_of = ? order by user_id",
            [DAYS[3]],
        ).fetchall()
        counts = [
            marts.execute(f"select count(*) from marts.{name}").fetchone()
            for name in ("portfolio_metrics", "benchmark_comparison", "diversification", "asset_correlations")
        ]
    assert rows == [("alice", DAYS[3], 0.1, "test"), ("bob", DAYS[3], None, "all: the track record is shorter")]
    assert counts == [(8,), (4,), (4,), (4,)]


def test_a_changed_day_is_replaced_and_a_removed_one_is_gone(warehouse: Warehouse, market: SmallMarket) -> None:
    for day in DAYS:
        write(market, day)
    warehouse.build()
    write(market, DAYS[3], twr=0.2)
    for table in (core.PORTFOLIO_METRICS, core.ASSET_CORRELATIONS):
        market.lake.path(table, DAYS[0]).unlink()
    warehouse.build()
    with warehouse.connect() as marts:
        rows = marts.execute(
            "select as_of, twr from marts.portfolio_metrics where user_id = 'alice' order by 1"
        ).fetchall()
        pairs = marts.execute("select min(as_of) from marts.asset_correlations").fetchone()
    assert rows == [(DAYS[1], 0.1), (DAYS[2], 0.1), (DAYS[3], 0.2)]
    assert pairs == (DAYS[1],)


@pytest.mark.parametrize(
    "impossible",
    [{"max_drawdown": -1.5}, {"twr": -2.0}, {"coverage": 1.2}, {"n_obs": 31}, {"reason": None}, {"volatility": -0.1}],
)
def test_an_impossible_metric_stops_the_build(
    warehouse: Warehouse, market: SmallMarket, impossible: dict[str, object]
) -> None:
    write(market, DAYS[3], **impossible)
    with pytest.raises(WarehouseBuildError, match="metrics_are_possible"):
        warehouse.build()


def test_postgres_holds_month_ends_and_the_newest_day(
    warehouse: Warehouse, market: SmallMarket, database: sa.Engine
) -> None:
    url = url_text(database.url.set(drivername="postgresql"))
    served = "select as_of, count(*) from marts.{} group by as_of order by as_of"
    names = ("portfolio_metrics", "benchmark_comparison", "diversification", "asset_correlations")
    for day in DAYS:  # 30 January to 2 February
        write(market, day)
    warehouse.build()
    publish(warehouse, url)
    with psycopg.connect(url) as connection:
        for name in names:
            days = [row[0] for row in connection.execute(served.format(name))]
            assert days == [DAYS[1], DAYS[3]], name
    tomorrow = DAYS[3] + timedelta(days=1)
    write(market, tomorrow)
    warehouse.build()
    result = publish(warehouse, url)
    assert [result.partitions[name] for name in names] == [2, 2, 2, 2], "one day comes, one goes"
    with psycopg.connect(url) as connection:
        assert [row[0] for row in connection.execute(served.format(names[0]))] == [DAYS[1], tomorrow]
        comment = connection.execute(
            "select col_description('marts.portfolio_metrics'::regclass, attnum) from pg_attribute "
            "where attrelid = 'marts.portfolio_metrics'::regclass and attname = 'sharpe'"
        ).fetchone()
    assert comment
    assert "sqrt(365)" in comment[0]
    assert publish(warehouse, url).changed is False


def test_returns_of_benchmarks_are_those_between_trading_days(warehouse: Warehouse) -> None:
    warehouse.build()
    with warehouse.connect() as marts:
        rows = marts.execute(
            "select date, daily_return, since from marts.benchmark_returns_daily order by date"
        ).fetchall()
    assert rows == [
        (DAYS[0], None, None),
        (DAYS[1], pytest.approx(0.2), DAYS[0]),
        (DAYS[2], pytest.approx(0.0), DAYS[1]),
        (DAYS[3], pytest.approx(55 / 60 - 1), DAYS[2]),
    ]
