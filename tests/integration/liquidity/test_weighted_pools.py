"""Weighted pools from the lake to the marts: two coins of 80 and 20 %, three of 50, 25 and 25 %, checked by hand.

Ether costs 2,000 USD on the first two days, 8,000 on the third: 80/20 loses 10.8402 % at four times the price of the
heavy coin, 50/25/25 exactly a fifth.
"""

import math
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from portfolio_pipelines import chain_tables as ct
from portfolio_pipelines.assets.liquidity_frames import read_positions
from portfolio_pipelines.assets.liquidity_losses import LiquidityDays, day_losses, with_earlier_hours
from portfolio_pipelines.chains.protocols.pool_states import PoolState
from portfolio_pipelines.chains.protocols.positions import Amount, Position
from portfolio_pipelines.commands.explain import explanation
from portfolio_pipelines.commands.explained_liquidity import OF_POSITIONS
from portfolio_pipelines.commands.explained_metrics import Question
from portfolio_pipelines.finance.impermanent_loss_bases import advance_bases
from portfolio_pipelines.liquidity_tables import (
    IMPERMANENT_LOSS,
    LIQUIDITY_BASES,
    LIQUIDITY_BASES_SCHEMA,
    LIQUIDITY_POSITIONS,
    LIQUIDITY_POSITIONS_SCHEMA,
)
from portfolio_pipelines.resources.dbt_build import DbtProject
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.lake_views import create_views
from portfolio_pipelines.resources.served_content import WarehouseContent
from portfolio_pipelines.resources.served_tables import ServedTable, Storage
from portfolio_pipelines.resources.warehouse import Warehouse
from tests.explained_figures import every, explained
from tests.integration.liquidity.liquidity_lake import (
    ANN,
    BOB,
    D1,
    D3,
    D4,
    DAI,
    DAYS,
    DECIMALS,
    HALF,
    KEYS,
    PAIR,
    SHARE,
    SUPPLY,
    USDC,
    WETH,
    LiquidityLake,
)

THREE = SHARE  # a pool is the token of its shares
ONE = 10**18
OF_PAIR, OF_THREE = (ONE * 8 // 10, ONE * 2 // 10), (ONE // 2, ONE // 4, ONE // 4)
LOSS_OF_PAIR = -10.8402  # percent, of the heavy coin at four times its price
ENTERED = pl.DataFrame(
    [
        {
            "position_key": key, "user_id": "cleo" if key < 13 else "bob", "chain": "ethereum", "pool": pool,
            "protocol": "balancer_v2", "token0": WETH, "token1": USDC, "coins": len(weights),
            "weights": " ".join(map(str, weights)), "entry_date": D1, "entry_price": 2000.0, "amount0": amount0,
            "amount1": amount1,
        }
        for key, pool, weights, amount0, amount1 in (
            (9, PAIR, OF_PAIR, None, None),
            (10, PAIR, OF_PAIR, 2.0, 1000.0),  # 4,000 and 1,000 USD: fits 80/20
            (11, PAIR, OF_PAIR, 2.5, 0.0),  # worth the same, all of it ether
            (12, THREE, OF_THREE, 1.0, 1000.0),
            (13, PAIR, OF_PAIR, None, None),  # Bob's shares are read, so his deposit follows from the price
        )
    ],
    schema=LIQUIDITY_POSITIONS_SCHEMA,
)  # fmt: skip


class WeightedLake(LiquidityLake):
    """Ann has half of the shares of both pools, Bob as many of the pair."""

    def contents(self, day: date, pool: str) -> dict[str, int]:
        """What the pool holds, smallest units: worth in the proportion of its weights, grown by fees."""
        weights, prices = self.weights(pool), {WETH: self.prices[day], USDC: 1.0, DAI: 1.0}
        root = 10_000 * self.growth[day]
        worth = root * math.prod((prices[coin] / weight) ** weight for coin, weight in weights.items())
        return {
            coin: round(worth * weight / prices[coin] * 1e6) * 10 ** (DECIMALS[coin] - 6)
            for coin, weight in weights.items()
        }

    def weights(self, pool: str) -> dict[str, float]:
        return {WETH: 0.8, USDC: 0.2} if pool == PAIR else {WETH: 0.5, USDC: 0.25, DAI: 0.25}

    def positions(self, day: date) -> list[Position]:
        return [self.position(day, pool, owner) for pool, owner in ((PAIR, ANN), (THREE, ANN), (PAIR, BOB))]

    def position(self, day: date, pool: str, owner: str) -> Position:
        shares, held = self.shares[day], self.contents(day, pool)
        facts: dict[str, int | str] = {"supply": str(SUPPLY)}
        for place, (coin, weight) in enumerate(self.weights(pool).items()):
            facts |= {
                f"token{place}": coin,
                f"weight{place}": str(round(weight * 100) * 10**16),
                f"held{place}": str(held[coin]),
            }
        amounts = tuple(Amount(coin, "principal", raw * shares // SUPPLY) for coin, raw in held.items())
        return Position("balancer_v2", pool, owner, pool, amounts, pool, shares, facts)

    def pools(self, day: date) -> list[PoolState]:
        return [
            PoolState(
                "balancer_v2", pool, tuple(held), tuple(held.values()), total_supply=SUPPLY, fee_pips=10_000
            )
            for pool in (PAIR, THREE)
            for held in [self.contents(day, pool)]
        ]  # fmt: skip

    def write_chain(self, day: date, at: time = time(23, 59, 48)) -> None:
        super().write_chain(day, at)
        when = datetime.combine(day, at, UTC)
        read = {"as_of": when, "status": "ok", "is_close": True}
        self.lake.replace_chain(ct.CHAIN_READS, day, "ethereum", pl.DataFrame([read], schema=ct.CHAIN_READS_SCHEMA))
        held = {"wallet_key": 1, "raw": self.shares[day], "as_of": when, "is_stale": False}
        shares = [{**held, "token_key": KEYS[pool]} for pool in (PAIR, THREE)]
        balances = pl.DataFrame(shares, schema=ct.WALLET_BALANCES_SCHEMA)
        self.lake.replace_chain(ct.WALLET_BALANCES, day, "ethereum", balances)


def lose(lake: Lake) -> None:
    """What the assets do, without a database."""
    lake.replace_table(LIQUIDITY_POSITIONS, ENTERED)
    read, pools = LiquidityDays.of(lake, ct.DEFI_POSITIONS), LiquidityDays.of(lake, ct.POOL_STATES)
    bases = pl.DataFrame(schema=LIQUIDITY_BASES_SCHEMA)
    for day in DAYS:
        bases = advance_bases(bases, read_positions(read.positions(read.newest(day), day), read.tokens), day)
        lake.replace(LIQUIDITY_BASES, day, bases)
        losses = day_losses(pools, day, ENTERED, [(D1, "ethereum")])
        lake.replace(IMPERMANENT_LOSS, day, with_earlier_hours(lake, day, losses))


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    folder = tmp_path_factory.mktemp("weighted")
    made = WeightedLake(Lake(folder / "lake"))
    made.write()
    lose(made.lake)
    project = DbtProject(folder / "dbt", folder / "build" / "warehouse.duckdb")
    warehouse = Warehouse(folder / "warehouse.duckdb", made.lake, project)
    assert {result.status for result in warehouse.build().results} <= {"success", "pass"}
    return warehouse


def rows(warehouse: Warehouse, query: str) -> list[tuple[Any, ...]]:
    with warehouse.connect() as connection:
        return connection.execute(query).fetchall()


def position(warehouse: Warehouse, day: date, position_id: str) -> dict[str, Any]:
    with warehouse.connect() as connection:
        found = connection.execute(
            "select * from marts.impermanent_loss where date = ? and position_id = ?", [day, position_id]
        )
        return dict(zip([column[0] for column in found.description], found.fetchall()[0], strict=True))


def test_read_positions_lose_what_their_weights_say_and_their_fees_stand_beside(warehouse: Warehouse) -> None:
    pair = position(warehouse, D3, f"ethereum/balancer_v2/{PAIR}/{ANN}")
    assert (pair["basis"], pair["reason"], pair["in_range"]) == ("first_read", None, None)
    assert (pair["entry_price"], pair["price"], pair["price_ratio"]) == pytest.approx((2000, 8000, 4), rel=1e-6)
    assert pair["il_pct"] == pytest.approx(LOSS_OF_PAIR, abs=1e-4)
    assert pair["fees_usd"] == pytest.approx(0.1 * pair["position_value_usd"], rel=1e-6)
    three = position(warehouse, D3, f"ethereum/balancer_v2/{THREE}/{ANN}")
    assert three["il_pct"] == pytest.approx(-20, abs=1e-5)
    assert (three["price"], three["price_ratio"], three["reason"]) == (None, None, None)
    assert three["fees_usd"] == pytest.approx(0.1 * three["position_value_usd"], rel=1e-6)
    assert three["net_usd"] == pytest.approx(three["il_usd"] + three["fees_usd"])


def test_the_history_has_every_day_and_begins_without_loss(warehouse: Warehouse) -> None:
    found = rows(
        warehouse,
        "select date, il_pct, fees_usd from marts.impermanent_loss "
        f"where user_id = 'ann' and pool = '{THREE}' and is_last_of_day order by date",
    )
    assert [row[0] for row in found] == DAYS
    assert [row[1] for row in found] == pytest.approx([0, 0, -20, 100 * (1.1**0.5 / 1.05 - 1)], abs=1e-5)
    assert found[0][2] == found[1][2] == pytest.approx(0)


def test_entered_positions_need_prices_alone_or_the_deposit_as_well(warehouse: Warehouse) -> None:
    percent, fitting, ether, three = (position(warehouse, D3, f"entered/{key}") for key in (9, 10, 11, 12))
    assert (percent["basis"], percent["reason"], percent["il_usd"]) == ("percent_only", "deposit_unknown", None)
    assert percent["il_pct"] == fitting["il_pct"] == pytest.approx(LOSS_OF_PAIR, abs=1e-4)
    assert fitting["hodl_value_usd"] == pytest.approx(2 * 8000 + 1000)
    assert fitting["position_value_usd"] == pytest.approx(17_000 * (1 + LOSS_OF_PAIR / 100), rel=1e-6)
    assert fitting["fees_usd"] == pytest.approx(0.1 * fitting["position_value_usd"], rel=1e-6)
    assert ether["position_value_usd"] == pytest.approx(fitting["position_value_usd"])
    assert ether["hodl_value_usd"] == pytest.approx(20_000)
    assert (three["il_pct"], three["reason"]) == (None, "pool_unknown")
    bob, ann = position(warehouse, D3, "entered/13"), position(warehouse, D3, f"ethereum/balancer_v2/{PAIR}/{ANN}")
    assert (bob["basis"], bob["source"], bob["reason"]) == ("entry_price", "entered", None)
    for figure in ("il_pct", "hodl_value_usd", "position_value_usd", "fees_usd"):
        assert bob[figure] == pytest.approx(ann[figure], rel=1e-6), "both put in the same on the first day"


def test_every_loss_is_worked_out_again_from_what_it_rests_on(warehouse: Warehouse) -> None:
    asked = rows(
        warehouse,
        "select user_id, date, position_id from marts.impermanent_loss where is_last_of_day order by all",
    )
    agreed = set()
    with warehouse.connect() as marts:
        for user, day, position_id in asked:
            for metric in OF_POSITIONS:
                asked_for = Question(user, day, metric, 0, "BTC", 0.0, position=position_id)
                found = explanation(marts, asked_for, warehouse.lake)
                if found.recomputed is not None:
                    assert found.recomputed == pytest.approx(found.served, rel=1e-9, abs=1e-9), (position_id, metric)
                    agreed.add((position_id, metric))
        percent = explanation(marts, Question("cleo", D3, "il_pct", 0, "BTC", 0.0, position="entered/9"))
        every(explained(marts, warehouse.lake, "pool_states", "pool_states_daily"), "pool_states")
    assert ("entered/9", "il_pct") in agreed
    worked_out = {"hodl_value_usd", "fees_usd"}
    for position_id in ("entered/10", "entered/13", *(f"ethereum/balancer_v2/{pool}/{ANN}" for pool in (PAIR, THREE))):
        assert {metric for of, metric in agreed if of == position_id} >= worked_out, position_id
    assert percent.recomputed == pytest.approx(LOSS_OF_PAIR, abs=1e-4)
    assert dict(percent.inputs)["weight of coin 0"] == 0.8


def test_a_pool_shows_its_reserves_weights_price_and_fee(warehouse: Warehouse) -> None:
    pools = rows(
        warehouse,
        f"select pool, coins, price, fee, tvl_usd from marts.pool_states where date = date '{D1}' order by pool",
    )
    (pair, coins, price, _, tvl), (three, _, none, fee, _) = pools
    assert (three, pair, coins, none, fee) == (THREE, PAIR, 2, None, 0.01)
    assert price == pytest.approx(2000, rel=1e-6)
    assert tvl == pytest.approx(10_000 * (2000 / 0.8) ** 0.8 / 0.2**0.2, rel=1e-6)
    assert rows(
        warehouse,
        f"select pool, position, weight from marts.pool_states_daily where date = date '{D1}' order by all",
    ) == [(PAIR, 0, 0.8), (PAIR, 1, 0.2), (THREE, 0, 0.5), (THREE, 1, 0.25), (THREE, 2, 0.25)]


def test_the_shares_in_the_wallet_are_explained_and_not_counted_beside_the_coins(warehouse: Warehouse) -> None:
    found = rows(
        warehouse,
        "select source, category, token, asset_type from intermediate.chain_holdings "
        f"where user_id = 'ann' and date = date '{D4}' order by all",
    )
    assert {row[0] for row in found} == {"balancer_v2"}
    assert {row[1:] for row in found} == {("liquidity", coin, "lp_position") for coin in ("a0", "c0", "d0")}
    assert len(found) == 5
    losses = dict(
        rows(warehouse, "select right(asset_id, 2), il_pct from marts.current_impermanent_loss where user_id = 'ann'")
    )
    assert set(losses) == {"a0", "c0", "d0"}
    three = position(warehouse, D4, f"ethereum/balancer_v2/{THREE}/{ANN}")
    assert losses["d0"] == pytest.approx(three["il_pct"])


def test_weights_that_are_learned_late_are_published_again(warehouse: Warehouse, tmp_path: Path) -> None:
    """Pools are read by another job than the list that says their weights."""
    copy = tmp_path / "copy.duckdb"
    shutil.copyfile(warehouse.path, copy)
    with duckdb.connect(str(copy)) as connection:
        content = {"now": WarehouseContent(connection), "before": WarehouseContent(connection)}
        tables = [
            ServedTable(name, "", (), Storage.MONTH, (), (), (), None) for name in ("pool_states_daily", "pool_states")
        ]
        now = [content["now"].of(table).fingerprints for table in tables]
        connection.execute("delete from intermediate.dim_pool_weights")
        before = [content["before"].of(table).fingerprints for table in tables]
    for after, former in zip(now, before, strict=True):
        assert list(after) == list(former) == [day.isoformat() for day in DAYS]
        assert all(after[day] != former[day] for day in after)


def test_more_and_fewer_shares_are_deposits_and_withdrawals(tmp_path: Path) -> None:
    made = WeightedLake(Lake(tmp_path / "lake"))
    made.shares |= {D3: HALF // 2, D4: HALF}
    made.write()
    lose(made.lake)
    bases = made.lake.read(LIQUIDITY_BASES, [D3, D4], pl.Schema({**LIQUIDITY_BASES_SCHEMA, "date": pl.Date()}))
    ether = bases.filter((pl.col("token_key") == 1) & (pl.col("pool") == PAIR) & (pl.col("wallet_key") == 1)).sort(
        "date"
    )
    first = made.contents(D1, PAIR)[WETH] / ONE / 2
    assert ether["deposited"][0] == pytest.approx(first / 2)
    assert ether["deposited"][1] == pytest.approx(first / 2 + made.contents(D4, PAIR)[WETH] / ONE / 4)


def test_a_file_of_positions_from_before_the_weights_is_read_as_one_without(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.replace_table(LIQUIDITY_POSITIONS, ENTERED.drop("weights"))
    with duckdb.connect() as connection:
        create_views(connection, lake)
        found = connection.execute("select position_key, weights from lake.liquidity_positions order by all").fetchall()
    assert found == [(key, None) for key in (9, 10, 11, 12, 13)]
