"""Liquidity in real runs: positions that were read and entered, day by day and hour by hour, only what changed."""

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from portfolio_pipelines import chain_tables as ct
from portfolio_pipelines import tables
from portfolio_pipelines.assets.impermanent_loss import impermanent_loss, liquidity_bases, liquidity_positions
from portfolio_pipelines.automation.jobs import RANGE_END, RANGE_START
from portfolio_pipelines.chains.protocols.pools import PoolFacts
from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.database.liquidity import liquidity_positions_frame, remove_position
from portfolio_pipelines.database.liquidity_import import import_liquidity
from portfolio_pipelines.database.wallet_import import import_wallets
from portfolio_pipelines.finance.impermanent_loss import concentrated_loss
from portfolio_pipelines.finance.impermanent_loss_bases import BASES
from portfolio_pipelines.liquidity_tables import (
    IMPERMANENT_LOSS,
    IMPERMANENT_LOSS_SCHEMA,
    LIQUIDITY_BASES,
    LIQUIDITY_BASES_SCHEMA,
)
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.partitions import frame_fingerprint
from portfolio_pipelines.settings import Settings
from tests.integration.liquidity.liquidity_lake import (
    BOB,
    D1,
    D2,
    D3,
    D4,
    DAYS,
    HALF,
    LOWER,
    PAIR,
    RANGE_POOL,
    UPPER,
    USDC,
    WETH,
    LiquidityLake,
    tick_of,
)
from tests.unit.database.test_wallet_files import CHAINS

HEADER = "user_id,pool,chain,entry_price,entry_date,wallet,label,price_of,amount0,amount1\n"
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def platform(database: sa.Engine, tmp_path: Path) -> Database:
    return Database(Settings(home=tmp_path, database_url=SecretStr(url_text(database.url))))


@pytest.fixture
def made(tmp_path: Path) -> LiquidityLake:
    made = LiquidityLake(Lake(tmp_path / "lake"))
    made.write()
    return made


@pytest.fixture
def run(made: LiquidityLake, platform: Database) -> Run:
    """One run over some days; what the losses report."""
    names = ("defi_positions", "pool_states", "chain_tokens", "chains", "wallets", "prices_daily")
    stand_ins = [dg.AssetSpec(name) for name in names]
    defs = dg.Definitions(
        assets=[*stand_ins, liquidity_positions, liquidity_bases, impermanent_loss],
        jobs=[dg.define_asset_job("lose", selection=[liquidity_positions, liquidity_bases, impermanent_loss])],
        resources={"lake": made.lake, "database": platform},
        executor=dg.in_process_executor,
    )

    def over(first: date = D1, last: date = D4) -> dict[str, Any]:
        logged(platform, made.lake)
        tags = {RANGE_START: first.isoformat(), RANGE_END: last.isoformat()}
        result = defs.resolve_job_def("lose").execute_in_process(tags=tags)
        (event, *_) = result.asset_materializations_for_node("impermanent_loss")
        return {name: value.value for name, value in event.metadata.items()}

    return over


def logged(database: Database, lake: Lake) -> None:
    """Record what the lake holds, as whoever writes its tables does."""
    inputs = {ct.DEFI_POSITIONS: ct.DEFI_POSITIONS_SCHEMA, ct.POOL_STATES: ct.POOL_STATES_SCHEMA}
    with database.writer(lake, "reading") as writer:
        for table, schema in inputs.items():
            for day, chain in sorted(lake.chain_days(table)):
                rows = lake.read_chain(table, day, chain, schema)
                writer.write(table, day, rows, frame_fingerprint(rows), "1", chain)
        for day in lake.days(tables.PRICES):
            rows = lake.read(tables.PRICES, [day], tables.PRICES_SCHEMA)
            writer.write(tables.PRICES, day, rows, frame_fingerprint(rows), "1")


def enter(database: sa.Engine, rows: str, protocol: str = "uniswap_v2") -> None:
    import_liquidity(
        database, (HEADER + rows).encode(), chains=CHAINS, first_day=date(2013, 1, 1), who="test",
        check=lambda asked: {pool: PoolFacts(protocol, (WETH, USDC), True, {}) for pool in asked},
        name="pools.csv",
    )  # fmt: skip


def losses(made: LiquidityLake, day: date, user: str, *, every_hour: bool = False) -> list[dict[str, Any]]:
    rows = made.lake.read(IMPERMANENT_LOSS, [day], IMPERMANENT_LOSS_SCHEMA)
    rows = rows.filter((pl.col("user_id") == user) & (pl.col("is_last_of_day") | every_hour))
    return rows.to_dicts()


def figures(row: dict[str, Any], *names: str) -> list[Any]:
    return [row[name] for name in names]


def test_a_pair_that_was_read_loses_a_fifth_and_its_fees_stand_beside(run: Run, made: LiquidityLake) -> None:
    run()
    (first,) = losses(made, D1, "ann")
    assert figures(first, "source", "basis", "since", "il_usd", "fees_usd") == ["read", "first_read", D1, 0, 0]
    deposit = 10_000 * math.sqrt(2000)  # half the pair, worth twice the root of one side
    assert first["hodl_value_usd"] == pytest.approx(deposit, rel=1e-9)
    (third,) = losses(made, D3, "ann")
    assert figures(third, "since", "reason", "in_range", "is_stale") == [D1, None, None, False]
    assert figures(third, "il_pct", "price_ratio") == pytest.approx([-20, 4], rel=1e-9)
    assert figures(third, "hodl_value_usd", "il_usd", "fees_usd", "net_usd") == pytest.approx(
        [2.5 * deposit, -0.5 * deposit, 0.2 * deposit, -0.3 * deposit], rel=1e-9
    )


def test_a_range_that_was_read_loses_what_its_amounts_say_and_says_when_it_was_left(
    run: Run, made: LiquidityLake
) -> None:
    run()
    rows = {day: {row["protocol"]: row for row in losses(made, day, "bob")} for day in DAYS}
    entry, now, lower, upper = (1.0001**tick for tick in (tick_of(2000), tick_of(2200), LOWER, UPPER))
    last = rows[D4]["uniswap_v3"]
    assert last["il_pct"] == pytest.approx(100 * float(concentrated_loss(entry, now, lower, upper)), abs=1e-6)
    assert figures(last, "lower_price", "upper_price") == pytest.approx([lower * 1e12, upper * 1e12])
    assert [rows[day]["uniswap_v3"]["in_range"] for day in DAYS] == [True, True, False, True]
    assert [rows[day]["uniswap_v3"]["fees_usd"] for day in DAYS] == pytest.approx([0, 5, 7, 7])


def test_shares_of_pegged_coins_that_did_not_move_lose_nothing(run: Run, made: LiquidityLake) -> None:
    run()
    (three,) = [row for row in losses(made, D4, "bob") if row["protocol"] == "curve"]
    assert figures(three, "il_usd", "fees_usd", "hodl_value_usd", "reason") == [0, 0, 3000, None]


def test_an_entered_position_stands_for_the_one_that_was_read(
    run: Run, made: LiquidityLake, database: sa.Engine
) -> None:
    enter(database, f"ann,{PAIR},1,2000,{D2},,mine,token0,1,2000\n")
    run()
    assert [row["source"] for row in losses(made, D1, "ann")] == ["read"]
    (second,) = losses(made, D2, "ann")
    assert figures(second, "source", "basis", "label", "il_pct", "fees_usd") == ["entered", "entered", "mine", 0, 0]
    (third,) = losses(made, D3, "ann")
    assert third["chain_position_id"] == PAIR
    assert figures(third, "il_pct", "hodl_value_usd", "il_usd") == pytest.approx([-20, 10_000, -2_000], rel=1e-9)
    assert third["fees_usd"] == pytest.approx(800)
    assert third["net_usd"] == pytest.approx(-1_200)


def test_a_price_of_the_other_coin_is_the_same_position(run: Run, made: LiquidityLake, database: sa.Engine) -> None:
    enter(database, f"cleo,{PAIR},1,0.0005,{D1},,,token1,,\n")
    run()
    (third,) = losses(made, D3, "cleo")
    assert figures(third, "entry_price", "price_ratio", "il_pct") == pytest.approx([2000, 4, -20], rel=1e-9)
    assert figures(third, "basis", "reason", "il_usd") == ["percent_only", "deposit_unknown", None]


def test_the_deposit_of_a_read_position_follows_from_the_price_that_was_entered(
    run: Run, made: LiquidityLake, database: sa.Engine
) -> None:
    import_wallets(database, f"user_id,address\nbob,{BOB}\n".encode(), chains=CHAINS, who="test", name="wallets.csv")
    enter(database, f"ann,{PAIR},1,2000,{D1},,,token0,,\n")
    enter(database, f"bob,{RANGE_POOL},1,2100,{D1},,,token0,,\n", "uniswap_v3")
    run()
    (pair,) = losses(made, D3, "ann")
    assert figures(pair, "basis", "reason") == ["entry_price", None]
    assert pair["hodl_value_usd"] == pytest.approx(25_000 * math.sqrt(2000), rel=1e-9)
    (ranged,) = [row for row in losses(made, D4, "bob") if row["protocol"] == "uniswap_v3"]
    bounds = 1.0001**LOWER * 1e12, 1.0001**UPPER * 1e12
    now = 1.0001 ** tick_of(2200) * 1e12
    assert ranged["il_pct"] == pytest.approx(100 * float(concentrated_loss(2100, now, *bounds)), abs=1e-6)
    assert figures(ranged, "source", "basis", "fees_usd") == ["entered", "entry_price", pytest.approx(7)]


def test_a_range_that_nobody_read_is_said_to_be_unknown(run: Run, made: LiquidityLake, database: sa.Engine) -> None:
    enter(database, f"cleo,{RANGE_POOL},1,2000,{D1},,,token0,1,2000\n", "uniswap_v3")
    run()
    (row,) = losses(made, D4, "cleo")
    assert figures(row, "il_pct", "il_usd", "net_usd", "reason") == [None, None, None, "range_unknown"]


def test_two_entries_into_one_pool_leave_what_was_read_beside_them(
    run: Run, made: LiquidityLake, database: sa.Engine
) -> None:
    enter(database, f"ann,{PAIR},1,2000,{D1},,,token0,,\nann,{PAIR},1,2000,{D2},,,token0,,\n")
    run()
    found = losses(made, D3, "ann")
    assert [(row["source"], row["il_usd"] is None) for row in found] == [
        ("entered", True), ("entered", True), ("read", False),
    ]  # fmt: skip
    enter(database, f"ann,{PAIR},1,2000,{D1},,,token0,1,2000\n")
    run()
    assert [(row["source"], row["il_usd"] is None) for row in losses(made, D3, "ann")] == [
        ("entered", False), ("entered", True),
    ]  # fmt: skip


def test_a_removed_position_stays_in_the_days_before_and_leaves_those_after(
    run: Run, made: LiquidityLake, database: sa.Engine, platform: Database
) -> None:
    enter(database, f"cleo,{PAIR},1,2000,{D1},,,token0,1,2000\n")
    key = liquidity_positions_frame(database)["position_key"].item()
    remove_position(database, "cleo", key, who="test", now=datetime(D3.year, D3.month, D3.day, 9, tzinfo=UTC))
    run()
    assert [len(losses(made, day, "cleo")) for day in DAYS] == [1, 1, 0, 0]


def test_earlier_hours_of_a_day_stay_beside_its_newest(run: Run, made: LiquidityLake) -> None:
    made.write_day(D4, time(9))
    run()
    made.prices[D4] = 3000.0
    made.write_day(D4, time(10))
    run(D4, D4)
    run(D4, D4)
    made.prices[D4] = 2200.0
    made.write_day(D4)
    run(D4, D4)
    hours = losses(made, D4, "ann", every_hour=True)
    assert [(row["as_of"].hour, row["is_last_of_day"]) for row in hours] == [(9, False), (10, False), (23, True)]
    assert hours[0]["il_pct"] == pytest.approx(hours[2]["il_pct"])
    assert hours[1]["price_ratio"] == pytest.approx(1.5)


def test_days_one_by_one_are_the_days_of_one_run_to_the_byte(
    run: Run, made: LiquidityLake, platform: Database, tmp_path: Path
) -> None:
    made.shares[D3] = 2 * HALF
    made.write()
    assert run()["days_computed"] == 4
    paths = [made.lake.path(table, day) for table in (LIQUIDITY_BASES, IMPERMANENT_LOSS) for day in DAYS]
    at_once = [path.read_bytes() for path in paths]
    for path in paths:
        path.unlink()
    for day in DAYS:
        run(day, day)
    assert [path.read_bytes() for path in paths] == at_once


def test_a_late_price_changes_its_day_alone_and_a_late_read_the_days_that_rest_on_it(
    run: Run, made: LiquidityLake
) -> None:
    run()
    assert run()["days_computed"] == 0
    made.prices[D2] = 1900.0
    made.write_prices(D2)
    assert run()["days_computed"] == 1
    before = losses(made, D4, "ann")
    made.shares[D2] = HALF // 2
    made.write_chain(D2)
    assert run()["days_computed"] == 3
    assert losses(made, D4, "ann") != before


def test_a_day_without_a_read_carries_the_last_one_and_says_so(run: Run, made: LiquidityLake) -> None:
    for table in (ct.DEFI_POSITIONS, ct.POOL_STATES):
        made.lake.path(table, D4, "ethereum").unlink()
    run()
    (row,) = losses(made, D4, "ann")
    assert row["is_stale"]
    assert row["il_pct"] == pytest.approx(-20, rel=1e-9)  # the pool's price of the day before


def test_wallets_that_are_not_watched_any_more_lose_nothing_more(run: Run, made: LiquidityLake) -> None:
    made.watched = ((1, "ann", D3), (2, "bob", None))
    made.write_dimensions()
    run()
    assert [len(losses(made, day, "ann")) for day in DAYS] == [1, 1, 0, 0]


def test_the_table_of_bases_is_what_finance_computes() -> None:
    assert dict(LIQUIDITY_BASES_SCHEMA) == dict(BASES)


def test_days_before_any_liquidity_have_no_files(run: Run, made: LiquidityLake) -> None:
    run(date(2025, 1, 1), D4)
    assert made.lake.days(IMPERMANENT_LOSS) == made.lake.days(LIQUIDITY_BASES) == set(DAYS)
