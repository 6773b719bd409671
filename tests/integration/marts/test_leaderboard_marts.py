"""The leaderboard in the warehouse and in Postgres: tested, anonymous, and read by those it is for."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest

from portfolio_pipelines import leaderboard_tables as core
from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.resources import bi_access, leaderboard_access
from portfolio_pipelines.resources.dbt_manifest import read_models
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.served_marts import publish
from portfolio_pipelines.resources.warehouse import Warehouse, WarehouseBuildError
from tests.integration.marts.conftest import DAYS, SmallMarket

REFUSED = psycopg.errors.InsufficientPrivilege
ROW = {
    "window_days": 30, "rank": 1, "pseudonym": "AAAA-AAAA-AAAA", "roi_twr": 0.5, "pnl_over_peak_capital": 0.4,
    "max_drawdown": -0.1, "value_bucket": None, "n_ranked": 1,
}  # fmt: skip


def write(market: SmallMarket, day: date, **figures: object) -> None:
    """Alice is the first, and the only one; Bob is not ranked."""
    first = ROW | figures
    put(market, core.LEADERBOARD, core.LEADERBOARD_SCHEMA, day, [first | {"n_began": 2}])
    bob = dict.fromkeys(ROW) | {"user_key": 2, "window_days": 30, "n_ranked": 1, "n_obs": 3, "reason": "too young"}
    own = [{"user_key": 1, "n_obs": 30, "reason": None} | first, bob]
    put(market, core.LEADERBOARD_RANKS, core.LEADERBOARD_RANKS_SCHEMA, day, own)


def put(market: SmallMarket, table: str, schema: pl.Schema, day: date, rows: list[dict[str, object]]) -> None:
    wanted = {name: kind for name, kind in schema.items() if name != "date"}
    market.lake.replace(
        table, day, pl.DataFrame(rows, schema_overrides=wanted).select(list(wanted)).cast(pl.Schema(wanted))
    )


@dataclass(frozen=True)
class Served:
    """A database with a published board of every day, and what it was published from."""

    url: str
    market: SmallMarket
    warehouse: Warehouse


@pytest.fixture(scope="module")
def of_this_module(
    template: Any, dbt_state: Any, postgres_server: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("leaderboard")
    shutil.copytree(template.lake, folder / "lake")
    path = Path(shutil.copy(template.warehouse, folder / "warehouse.duckdb"))
    market = SmallMarket(Lake(folder / "lake"))
    for day in DAYS:
        write(market, day)
    warehouse = Warehouse(path, market.lake, dbt_state)
    warehouse.build()
    owner = url_text(postgres_server.set(drivername="postgresql"))
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("create database leaderboard")
    url = url_text(postgres_server.set(drivername="postgresql", database="leaderboard"))
    publish(warehouse, url)
    yield Served(url, market, warehouse)
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("drop database leaderboard with (force)")


@pytest.fixture
def served(of_this_module: Served) -> str:
    """Its URL."""
    return of_this_module.url


@contextmanager
def acting_as(url: str, role: str, user: str | None = None) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"set role {role}")
        if user is not None:
            connection.execute("select set_config('portfolio.user_id', %s, false)", [user])
        yield connection


def test_ranks_carry_the_id_and_the_board_does_not(warehouse: Warehouse, market: SmallMarket) -> None:
    write(market, DAYS[3])
    warehouse.build()
    with warehouse.connect() as marts:
        ranks = marts.execute(
            "select user_id, rank, pseudonym, reason from marts.leaderboard_ranks order by 1"
        ).fetchall()
        board = marts.execute("describe marts.leaderboard").fetchall()
        shown = str(marts.execute("select * from marts.leaderboard").fetchall())
    assert ranks == [("alice", 1, "AAAA-AAAA-AAAA", None), ("bob", None, None, "too young")]
    assert not [column for column, *_ in board if "user" in column or "address" in column or "key" in column]
    assert "alice" not in shown
    assert not re.search(r"0x[0-9a-fA-F]{40}", shown)


@pytest.mark.parametrize(
    "impossible",
    [{"rank": 2}, {"n_ranked": 0}, {"max_drawdown": 0.1}, {"pseudonym": None}, {"roi_twr": None}],
)
def test_an_impossible_board_stops_the_build(
    warehouse: Warehouse, market: SmallMarket, impossible: dict[str, object]
) -> None:
    write(market, DAYS[3], **impossible)
    with pytest.raises(WarehouseBuildError, match="boards_are_possible"):
        warehouse.build()


@pytest.mark.parametrize(
    ("second", "passes"),
    [({}, True), ({"roi_twr": 0.6}, False), ({"pseudonym": ROW["pseudonym"]}, False)],
)
def test_a_better_return_stands_higher_and_names_are_unique(
    warehouse: Warehouse, market: SmallMarket, second: dict[str, object], passes: bool
) -> None:
    rows = [ROW, ROW | {"rank": 2, "pseudonym": "BBBB-BBBB-BBBB", "roi_twr": 0.4} | second]
    board = [row | {"n_ranked": 2, "n_began": 2} for row in rows]
    put(market, core.LEADERBOARD, core.LEADERBOARD_SCHEMA, DAYS[3], board)
    if passes:
        warehouse.build()
    else:
        with pytest.raises(WarehouseBuildError, match="boards_are_possible"):
            warehouse.build()


def test_postgres_holds_every_board_and_ranks_of_month_ends_and_the_newest_day(served: str) -> None:
    with psycopg.connect(served) as owner:
        boards = owner.execute("select as_of from marts.leaderboard order by 1").fetchall()
        ranks = owner.execute("select distinct as_of from marts.leaderboard_ranks order by 1").fetchall()
    assert boards == [(day,) for day in DAYS]
    assert ranks == [(DAYS[1],), (DAYS[3],)]


def test_bi_reads_neither_the_board_nor_the_ranks_nor_their_partitions(served: str) -> None:
    with psycopg.connect(served) as owner:
        tables = owner.execute(
            "select oid::regclass::text from pg_class where relkind in ('r', 'p') "
            "and relnamespace in ('marts'::regnamespace, 'marts_storage'::regnamespace) "
            "and starts_with(relname, 'leaderboard')"
        ).fetchall()
    assert len(tables) >= 5, "both, and a partition for each of two months"
    with acting_as(served, bi_access.ROLE) as connection:
        assert connection.execute("select count(*) > 0 from marts.portfolio_performance_daily").fetchone() == (True,)
        for (table,) in tables:
            with pytest.raises(REFUSED):
                connection.execute(f"select * from {table}")


def test_letting_bi_in_again_does_not_let_it_read_the_board(served: str) -> None:
    with psycopg.connect(served) as owner:
        assert bi_access.grant_reading(owner, "marts") == bi_access.ROLE
    with acting_as(served, bi_access.ROLE) as connection, pytest.raises(REFUSED):
        connection.execute("select * from marts.leaderboard")


def test_every_mart_with_a_pseudonym_is_withheld_from_bi(warehouse: Warehouse) -> None:
    named = {
        model.name
        for model in read_models(warehouse.project.manifest())
        if model.schema == "marts" and any(column.name == "pseudonym" for column in model.columns)
    }
    assert named == set(bi_access.WITHHELD)


def test_the_role_of_the_leaderboard_reads_the_board_and_one_user_s_ranks_alone(served: str) -> None:
    question = "select user_id, rank from marts.leaderboard_ranks where as_of = %s order by 1"
    with acting_as(served, leaderboard_access.ROLE, "alice") as connection:
        assert connection.execute("select count(*) from marts.leaderboard").fetchone() == (4,)
        assert connection.execute(question, [DAYS[3]]).fetchall() == [("alice", 1)]
    with acting_as(served, leaderboard_access.ROLE, "bob") as connection:
        assert connection.execute(question, [DAYS[3]]).fetchall() == [("bob", None)]
    for nobody in (None, "", "mallory", "alice' or 'a'='a"):
        with acting_as(served, leaderboard_access.ROLE, nobody) as connection:
            assert connection.execute(question, [DAYS[3]]).fetchall() == []


@pytest.mark.parametrize("table", ["portfolio_metrics", "portfolio_performance_daily", "published_tables"])
def test_the_role_of_the_leaderboard_reads_nothing_else(served: str, table: str) -> None:
    with (
        acting_as(served, leaderboard_access.ROLE, "alice") as connection,
        pytest.raises(REFUSED),
    ):
        connection.execute(f"select * from marts.{table}")


def test_the_role_of_the_leaderboard_does_not_reach_the_rows_below_the_table(served: str) -> None:
    with psycopg.connect(served) as owner:
        partitions = owner.execute(
            "select inhrelid::regclass::text from pg_inherits where inhparent = 'marts.leaderboard_ranks'::regclass"
        ).fetchall()
    assert partitions
    with acting_as(served, leaderboard_access.ROLE, "alice") as connection:
        for (partition,) in partitions:
            with pytest.raises(REFUSED):
                connection.execute(f"select * from {partition}")


def test_the_rights_hold_after_the_next_publish(of_this_module: Served) -> None:
    write(of_this_module.market, DAYS[3], roi_twr=0.7)
    of_this_module.warehouse.build()
    assert publish(of_this_module.warehouse, of_this_module.url).changed
    with acting_as(of_this_module.url, leaderboard_access.ROLE, "alice") as connection:
        found = connection.execute("select roi_twr from marts.leaderboard_ranks where as_of = %s", [DAYS[3]])
        assert found.fetchall() == [(0.7,)]
    with acting_as(of_this_module.url, bi_access.ROLE) as connection, pytest.raises(REFUSED):
        connection.execute("select * from marts.leaderboard_ranks")
