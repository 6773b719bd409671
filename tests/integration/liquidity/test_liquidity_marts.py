"""Liquidity in the marts: history by day and hour, totals of users, pools with what a provider says of them."""

from collections.abc import Iterator
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pypdfium2
import pytest
import sqlalchemy as sa

from portfolio_pipelines import tables
from portfolio_pipelines.assets.impermanent_loss import advance_bases
from portfolio_pipelines.assets.liquidity_frames import read_positions
from portfolio_pipelines.assets.liquidity_losses import LiquidityDays, day_losses, with_earlier_hours
from portfolio_pipelines.chain_tables import CHAIN_READS, CHAIN_READS_SCHEMA, DEFI_POSITIONS, POOL_STATES
from portfolio_pipelines.commands.console import CommandError
from portfolio_pipelines.commands.explain import explanation
from portfolio_pipelines.commands.explained_liquidity import OF_POSITIONS
from portfolio_pipelines.commands.explained_metrics import Question
from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.delivery.reports.build import build_report
from portfolio_pipelines.liquidity_tables import (
    IMPERMANENT_LOSS,
    LIQUIDITY_BASES,
    LIQUIDITY_BASES_SCHEMA,
    LIQUIDITY_POSITIONS,
    LIQUIDITY_POSITIONS_SCHEMA,
    POOL_YIELDS,
    POOL_YIELDS_SCHEMA,
)
from portfolio_pipelines.resources.dbt_build import DbtProject
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.served_marts import publish
from portfolio_pipelines.resources.warehouse import Warehouse
from tests.explained_figures import every, explained
from tests.integration.liquidity.liquidity_lake import D1, D3, D4, DAYS, PAIR, RANGE_POOL, LiquidityLake

ENTERED = pl.DataFrame(
    [
        {
            "position_key": 9, "user_id": "cleo", "chain": "ethereum", "pool": PAIR, "protocol": "uniswap_v2",
            "coins": 2, "entry_date": D1, "entry_price": 2000.0, "label": "percent only",
        },
        {
            "position_key": 10, "user_id": "cleo", "chain": "ethereum", "pool": PAIR, "protocol": "uniswap_v2",
            "coins": 2, "entry_date": D1, "entry_price": 2000.0, "amount0": 1.0, "amount1": 2000.0,
        },
    ],
    schema=LIQUIDITY_POSITIONS_SCHEMA,
)  # fmt: skip


MARTS = ("impermanent_loss", "impermanent_loss_totals", "pool_states", "current_impermanent_loss")


def lose(lake: Lake) -> None:
    """What the assets do, without a database."""
    read, pools = LiquidityDays.of(lake, DEFI_POSITIONS), LiquidityDays.of(lake, POOL_STATES)
    bases = pl.DataFrame(schema=LIQUIDITY_BASES_SCHEMA)
    for day in DAYS:
        bases = advance_bases(bases, read_positions(read.positions(read.newest(day), day), read.tokens), day)
        lake.replace(LIQUIDITY_BASES, day, bases)
        losses = day_losses(pools, day, ENTERED, [(D1, "ethereum")])
        lake.replace(IMPERMANENT_LOSS, day, with_earlier_hours(lake, day, losses))


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """A warehouse built on the small lake, whose last day was also read at nine in the morning."""
    folder = tmp_path_factory.mktemp("liquidity")
    made = LiquidityLake(Lake(folder / "lake"))
    made.write()
    for day in DAYS:
        read = {"as_of": datetime(day.year, day.month, day.day, 23, tzinfo=UTC), "status": "ok", "is_close": True}
        made.lake.replace_chain(CHAIN_READS, day, "ethereum", pl.DataFrame([read], schema=CHAIN_READS_SCHEMA))
    made.write_day(D4, time(9))
    lose(made.lake)
    made.write_day(D4)
    lose(made.lake)
    yields = {
        "date": D4, "chain": "ethereum", "pool": PAIR, "protocol": "uniswap_v2", "tvl_usd": 9e8, "volume_usd_1d": 1e6,
        "fee_apy": 0.12, "llama_pool": "x", "known_at": datetime(2025, 2, 2, 12, tzinfo=UTC),
    }  # fmt: skip
    made.lake.replace(POOL_YIELDS, D4, pl.DataFrame([yields], schema=POOL_YIELDS_SCHEMA))
    project = DbtProject(folder / "dbt", folder / "build" / "warehouse.duckdb")
    warehouse = Warehouse(folder / "warehouse.duckdb", made.lake, project)
    build = warehouse.build()
    assert {result.status for result in build.results} <= {"success", "pass"}
    return warehouse


def rows(warehouse: Warehouse, query: str) -> list[tuple[Any, ...]]:
    with warehouse.connect() as connection:
        return connection.execute(query).fetchall()


def test_the_history_has_every_day_and_the_hours_of_the_last_one(warehouse: Warehouse) -> None:
    found = rows(
        warehouse,
        "select date, hour(as_of), is_last_of_day, round(il_pct, 6), reason from marts.impermanent_loss "
        "where user_id = 'ann' order by as_of",
    )
    assert [(row[0], row[1], row[2]) for row in found] == [
        *((day, 23, True) for day in DAYS[:3]), (D4, 9, False), (D4, 23, True),
    ]  # fmt: skip
    assert found[2][3:] == (-20, None)


def test_totals_are_the_sums_of_what_is_known_and_count_what_is_not(warehouse: Warehouse) -> None:
    ((il, fees, net, hodl, percent, positions, without),) = rows(
        warehouse,
        "select il_usd, fees_usd, net_usd, hodl_value_usd, il_pct, positions, positions_without_usd "
        f"from marts.impermanent_loss_totals where user_id = 'cleo' and date = date '{D3}'",
    )
    assert (il, fees, net, hodl, percent) == pytest.approx((-2000, 800, -1200, 10_000, -20))
    assert (positions, without) == (2, 1)
    out_of_range = rows(
        warehouse,
        "select positions_out_of_range, positions from marts.impermanent_loss_totals "
        "where user_id = 'bob' order by date",
    )
    assert out_of_range == [(0, 2), (0, 2), (1, 2), (0, 2)]


def test_every_loss_is_worked_out_again_from_what_it_rests_on(warehouse: Warehouse) -> None:
    """Each position from its coins, prices and worths, each total from its positions."""
    warehouse.lake.replace_table(LIQUIDITY_POSITIONS, ENTERED)
    asked = [
        Question(user, day, metric, 0, "BTC", 0.0, position=position)
        for user, day, position in rows(
            warehouse,
            "select user_id, date, position_id from marts.impermanent_loss where is_last_of_day "
            "union select user_id, date, null from marts.impermanent_loss_totals order by all",
        )
        for metric in OF_POSITIONS
        if position is not None or metric != "price_ratio"
    ]
    agreed = 0
    with warehouse.connect() as marts:
        for question in asked:
            found = explanation(marts, question, warehouse.lake)
            if found.served is None:
                continue
            assert found.recomputed == pytest.approx(found.served, rel=1e-9, abs=1e-9), question
            agreed += 1
        percent = explanation(marts, Question("cleo", D4, "il_pct", 0, "BTC", 0.0, position="entered/9"))
        with pytest.raises(CommandError, match="there are: entered/10, entered/9"):
            explanation(marts, Question("cleo", D4, "il_pct", 0, "BTC", 0.0, position="entered/8"))
        with pytest.raises(CommandError, match="add --position"):
            explanation(marts, Question("cleo", D4, "price_ratio", 0, "BTC", 0.0))
    assert agreed > 60
    ratio = dict(percent.inputs)["price ratio"]
    assert percent.recomputed == pytest.approx(200 * ratio**0.5 / (1 + ratio) - 100), "the form of the documents"


def test_pools_positions_and_their_counts_are_worked_out_again(warehouse: Warehouse) -> None:
    names = (
        "pool_states",
        "pool_states_daily",
        "impermanent_loss_totals",
        "current_impermanent_loss",
        "defi_positions",
    )
    with warehouse.connect() as marts:
        every(explained(marts, warehouse.lake, *names), *names)


def test_the_report_of_each_user_says_what_the_marts_say(warehouse: Warehouse) -> None:
    for user in ("ann", "bob", "cleo"):
        document = pypdfium2.PdfDocument(build_report(warehouse, user, "il", D1, D4))
        pages = [page.get_textpage().get_text_bounded() for page in document]
        document.close()
        text = " ".join(" ".join(pages).replace("\u200b", "").replace("\N{MINUS SIGN}", "-").split())
        ((loss, percent),) = rows(
            warehouse,
            f"select il_usd, il_pct from marts.impermanent_loss_totals where user_id = '{user}' and date = date '{D4}'",
        )
        assert f"Impermanent loss {'-' if loss < -0.005 else ''}${abs(loss):,.2f}" in text
        assert f"In percent of holding {percent:+.2f} %".replace(" +0.00", " 0.00").replace(" -0.00", " 0.00") in text
        for worth, reason in rows(
            warehouse,
            "select position_value_usd, reason from marts.impermanent_loss "
            f"where user_id = '{user}' and date = date '{D4}' and is_last_of_day",
        ):
            assert (f"${worth:,.2f}" if worth is not None else reason.replace("_", " ")) in text
    assert "percent only" in text  # the label of cleo's position without dollars


def test_a_pool_is_worth_its_reserves_and_the_provider_is_quoted_beside(warehouse: Warehouse) -> None:
    found = rows(
        warehouse,
        "select date, price, tvl_usd, fee, provider_tvl_usd, volume_usd_1d, volume_usd_7d, fee_apr "
        f"from marts.pool_states where pool = '{PAIR}' order by date",
    )
    assert found[0][1:4] == pytest.approx((2000, 20_000 * 2000**0.5, 0.003), rel=1e-6)
    assert found[0][4:] == (None, None, None, None)
    assert found[3][4:] == (9e8, 1e6, None, 0.12)
    ((price, fee),) = rows(
        warehouse, f"select price, fee from marts.pool_states where pool = '{RANGE_POOL}' and date = date '{D1}'"
    )
    assert (price, fee) == (pytest.approx(2000, rel=1e-4), 0.0005)


def test_coins_in_pools_show_their_loss_in_the_portfolio(warehouse: Warehouse) -> None:
    current = dict(
        rows(
            warehouse,
            "select user_id || right(asset_id, 2), il_pct from marts.current_impermanent_loss order by all",
        )
    )
    daily = dict(
        rows(
            warehouse,
            "select user_id || protocol, il_pct from marts.impermanent_loss "
            f"where is_last_of_day and date = date '{D4}'",
        )
    )
    assert current["anna0"] == pytest.approx(daily["annuniswap_v2"])
    assert current["boba0"] == pytest.approx(daily["bobuniswap_v3"])
    assert current["bobd0"] == pytest.approx(daily["bobcurve"])
    assert daily["bobuniswap_v3"] < current["bobc0"] < daily["bobcurve"]


def test_a_build_after_a_change_is_the_build_from_nothing(warehouse: Warehouse, tmp_path: Path) -> None:
    before = {mart: rows(warehouse, f"select * from marts.{mart} order by all") for mart in MARTS}
    prices = warehouse.lake.read(tables.PRICES, [D3], tables.PRICES_SCHEMA)
    cheaper = pl.when(pl.col("asset_id") == "coingecko:ethereum").then(7000.0).otherwise("close_usd")
    warehouse.lake.replace(tables.PRICES, D3, prices.with_columns(close_usd=cheaper))
    lose(warehouse.lake)
    warehouse.build()
    after = {mart: rows(warehouse, f"select * from marts.{mart} order by all") for mart in MARTS}
    warehouse.build(full=True)
    assert {mart: rows(warehouse, f"select * from marts.{mart} order by all") for mart in MARTS} == after
    assert after["pool_states"] != before["pool_states"]


def test_the_portfolio_shows_the_loss_beside_its_liquidity(warehouse: Warehouse) -> None:
    found = rows(
        warehouse,
        "select token, cast(il_pct as double), (select il_pct from marts.current_impermanent_loss as losses "
        "where losses.user_id = assets.user_id and losses.asset_id = assets.asset_id) "
        "from marts.portfolio_assets as assets where user_id = 'bob' and asset_type = 'lp_position' order by token",
    )
    assert [row[0] for row in found] == ["a0", "c0", "d0", "e0"]
    assert [row[1] for row in found] == pytest.approx([row[2] for row in found], abs=1e-4)


def test_postgres_serves_the_same_rows(warehouse: Warehouse, empty_database: sa.Engine) -> None:
    url = url_text(empty_database.url.set(drivername="postgresql"))
    publish(warehouse, url)
    with psycopg.connect(url) as postgres:
        for mart in (*MARTS, "portfolio_assets"):
            served = postgres.execute(f"select * from marts.{mart}").fetchall()
            assert sorted(map(str, served)) == sorted(map(str, rows(warehouse, f"select * from marts.{mart}"))), mart
