"""The DuckDB marts: their figures, incremental builds, and builds that must not be published."""

import json
import shutil
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from portfolio_pipelines import tables
from portfolio_pipelines.resources.dbt_build import DbtProject
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.warehouse import Warehouse, WarehouseBuildError

D1, D2, D3, D4 = (date(2025, 1, 30) + timedelta(days=n) for n in range(4))
START, END = (datetime.fromisoformat(text) for text in ("2025-01-30", "2025-02-01"))  # marts hold plain UTC
KNOWN = END.replace(tzinfo=UTC)
BTC, SOL = "coingecko:bitcoin", "coingecko:solana"
MARTS = (
    "investment_performance_daily",
    "portfolio_performance_daily",
    "portfolio_snapshots",
    "portfolio_totals",
    "portfolio_holdings",
    "current_prices",
    "portfolio_assets",
    "prices_daily",
    "benchmarks_daily",
    "portfolio_breakdown",
    "wallet_balances",
    "defi_positions",
    "balance_reconciliation",
    "pool_states_daily",
    "price_restatements",
    "data_quality_scorecard",
    "partition_log",
)


def rows(warehouse: Warehouse, query: str) -> list[tuple[object, ...]]:
    with warehouse.connect() as connection:
        return connection.execute(query).fetchall()


def everything(warehouse: Warehouse) -> dict[str, list[tuple[object, ...]]]:
    return {mart: rows(warehouse, f"select * from marts.{mart} order by all") for mart in MARTS}


def test_the_bundle_of_the_performance_document_is_worth_1200_usd_a_gain_of_20_percent(warehouse: Warehouse) -> None:
    found = rows(
        warehouse,
        "select date, invested_usd, value_usd, pnl_usd, roi, coverage, is_final "
        "from marts.investment_performance_daily where user_id = 'alice' and investment_id = 'bundle' order by date",
    )
    assert found[:2] == [
        (D1, 1000.0, 1000.0, 0.0, 0.0, 1.0, True),
        (D2, 1000.0, 1200.0, 200.0, 0.2, 1.0, True),
    ]
    # Solana has no price: the value is that of the rest, and there is no result instead of a loss.
    assert found[2] == (D3, 1000.0, 960.0, None, None, 0.8, True)
    # Solana's price is carried over: the result stands, the coverage says how far.
    assert found[3] == (D4, 1000.0, 1100.0, 100.0, 0.1, 0.8, False)


def test_a_portfolio_is_the_sum_of_its_investments(warehouse: Warehouse) -> None:
    found = rows(warehouse, "select * from marts.portfolio_performance_daily where user_id = 'alice' order by date")
    assert found[1] == ("alice", D2, 1600.0, 1800.0, 200.0, 0.125, 600.0, 0.0, 0.125, 1.125, 1.0, True)
    user, day, invested, value, pnl, roi, *_, daily_return, twr_index, coverage, is_final = found[2]
    assert (user, day, invested, value, pnl, roi, daily_return, twr_index) == (
        "alice", D3, 1600.0, 1560.0, None, None, None, None,
    )  # fmt: skip
    assert coverage == pytest.approx(1560 / 1800)
    assert is_final is True


def test_snapshots_list_the_holdings_of_the_day_with_their_successors(warehouse: Warehouse) -> None:
    found = rows(
        warehouse,
        "select user_id, snapshot_timestamp, total_value_usd, change_24h_pct, assets, created_at, updated_at, is_final "
        "from marts.portfolio_snapshots order by user_id, snapshot_timestamp",
    )
    assert len(found) == 8
    alice, bob = found[1], found[4:]
    assert (alice[1], float(str(alice[2])), float(str(alice[3]))) == (END, 1800.0, 12.5)
    assert json.loads(str(alice[4])) == [
        {"token": "BTC", "chain": "market", "balance": 0.02, "value_usd": 1200.0},
        {"token": "ETH", "chain": "market", "balance": 0.12, "value_usd": 360.0},
        {"token": "SOL", "chain": "market", "balance": 2.0, "value_usd": 240.0},
    ]
    assert (alice[5], alice[6]) == (END, END.replace(hour=1))
    assert [json.loads(str(row[4])) for row in bob[1:3]] == [
        [{"token": "LEND", "chain": "market", "balance": 1000.0, "value_usd": 60.0}],
        [{"token": "AAVE", "chain": "market", "balance": 10.0, "value_usd": 70.0}],
    ]
    solana = json.loads(str(found[2][4]))[2]
    assert solana == {"token": "SOL", "chain": "market", "balance": 2.0, "value_usd": None}


@pytest.mark.parametrize(
    "condition", ["user_id = 'alice'", "snapshot_timestamp = '2025-02-01'", "snapshot_timestamp in ('2025-02-01', END)"]
)
def test_a_filter_on_snapshots_reaches_the_tables_below(warehouse: Warehouse, condition: str) -> None:
    condition = condition.replace("END", "timestamp '2025-02-02'")
    ((_, plan),) = rows(warehouse, f"explain (format json) select * from marts.portfolio_snapshots where {condition}")
    value = "alice" if "alice" in condition else "2025-02-01"
    asked = [node for node in nodes_of(json.loads(str(plan))) if value in json.dumps(node["extra_info"])]
    assert any("SCAN" in node["name"] for node in asked)
    below = [node["name"] for asking in asked for node in nodes_of(asking["children"])]
    assert [name for name in below if "GROUP_BY" in name] == []


def nodes_of(plan: list[Any]) -> list[Any]:
    """All operators of a plan."""
    return [found for node in plan for found in (node, *nodes_of(node["children"]))]


def test_assets_are_the_holdings_of_the_newest_day(warehouse: Warehouse) -> None:
    found = rows(
        warehouse,
        "select user_id, asset_type, token, chain, balance, entry_price_usd, current_price_usd, pnl_usd, il_pct, "
        "created_at, asset_id, value_usd, price_status from marts.portfolio_assets order by user_id, token",
    )
    alice_btc = found[0]
    assert alice_btc[:4] == ("alice", "token", "BTC", "market")
    assert [float(str(x)) for x in alice_btc[4:8]] == [0.02, 55_000.0, 55_000.0, 0.0]  # 1,100 USD for 0.02 BTC
    assert alice_btc[9:11] == (START, BTC)
    assert found[2][2] == "SOL"
    assert found[2][12] == "stale"
    bob = found[3]
    assert (bob[0], bob[2], bob[10]) == ("bob", "AAVE", "coingecko:aave")
    assert [float(str(x)) for x in bob[4:8]] == [10.0, 5.0, 8.0, 30.0]
    assert len(found) == 4


def test_the_first_build_of_some_code_also_runs_its_unit_tests(template: Any) -> None:
    assert not template.build.skipped
    assert {r.kind for r in template.build.results} >= {"model", "test", "unit_test"}
    assert {r.status for r in template.build.results} <= {"success", "pass"}


def test_ids_are_the_same_in_every_build(warehouse: Warehouse) -> None:
    before = rows(warehouse, "select id from marts.portfolio_snapshots union all select id from marts.portfolio_assets")
    warehouse.build(full=True)
    after = rows(warehouse, "select id from marts.portfolio_snapshots union all select id from marts.portfolio_assets")
    assert sorted(map(str, before)) == sorted(map(str, after))
    assert len(set(before)) == len(before)


def test_the_scorecard_says_which_day_is_incomplete_and_which_is_not_final(warehouse: Warehouse) -> None:
    found = {
        (day, metric): (value, status)
        for day, metric, value, status in rows(
            warehouse, "select date, metric, value, status from marts.data_quality_scorecard"
        )
    }
    assert found[D2, "prices_fresh_share"] == (1.0, "ok")
    assert found[D3, "prices_missing_share"] == (0.2, "warn")
    assert found[D3, "unpriced_legs"] == (1.0, "warn")
    assert found[D3, "users_below_95_coverage"] == (1.0, "warn")
    assert found[D3, "value_coverage"] == (pytest.approx(1630 / 1870), "fail")
    assert found[D4, "is_final"] == (0.0, "provisional")
    assert found[D3, "latest_closed_day_age"] == (1.0, "ok")
    assert found[D4, "missing_days"] == (0.0, "ok")
    assert found[D4, "non_final_days"] == (1.0, "ok")


def test_the_scorecard_tells_what_a_failed_check_found_and_of_a_passed_one_that_it_passed(
    warehouse: Warehouse, market: Any
) -> None:
    found = '{"lacking": 3, "first": "x on 2025-01-31"}'
    checks = [
        ("prices_are_fresh", "prices_daily", "WARN", False, "run", KNOWN, found),
        ("sums_add_up", "portfolio_performance", "ERROR", False, "run", KNOWN, None),
        ("no_jump", "prices_daily", "ERROR", True, "run", KNOWN, '{"jumps": 0}'),
    ]
    market.lake.replace_table(
        tables.CHECK_RESULTS, pl.DataFrame(checks, schema=tables.CHECK_RESULTS_SCHEMA, orient="row")
    )
    warehouse.build()
    query = (
        "select metric, value, status, description from marts.data_quality_scorecard "
        "where metric like 'check:%' order by metric"
    )
    assert rows(warehouse, query) == [
        ("check:portfolio_performance:sums_add_up", 0.0, "fail", "Failed when it ran last, on this date"),
        ("check:prices_daily:no_jump", 1.0, "ok", "Passed when it ran last, on this date"),
        (
            "check:prices_daily:prices_are_fresh", 0.0, "warn",
            "Failed as a warning when it ran last, on this date; lacking: 3, first: x on 2025-01-31",
        ),
    ]  # fmt: skip


def test_a_column_that_came_after_a_day_was_written_is_null_there(warehouse: Warehouse, market: Any) -> None:
    late = {"asset_id": BTC, "known_at": KNOWN, "old_close_usd": 1.0, "new_close_usd": 2.0, "cause": "knock_on"}
    new = pl.DataFrame([late | {"old_status": "ok", "cause_date": D1}], schema=tables.RESTATEMENTS_SCHEMA)
    market.lake.replace(tables.RESTATEMENTS, D1, new.drop("old_status", "new_status", "cause_date"))
    market.lake.replace(tables.RESTATEMENTS, D2, new)
    warehouse.build()
    query = "select date, cause, old_status, cause_date from marts.price_restatements order by date"
    assert rows(warehouse, query) == [(D1, "knock_on", None, None), (D2, "knock_on", "ok", D1)]


def test_an_incremental_build_equals_a_full_one(
    warehouse: Warehouse, market: Any, dbt_state: DbtProject, tmp_path: Path
) -> None:
    market.closes[BTC, D2] = 61_000.0  # restated
    market.write_day(D2)
    market.days.append(date(2025, 2, 3))  # a new day, and the fourth becomes final
    market.closes.update({(asset, date(2025, 2, 3)): market.closes[asset, D4] for asset, _ in list(market.closes)})
    market.write_day(D4)
    market.write_day(date(2025, 2, 3))
    market.users[3] = "carol"
    market.investments[30] = (3, "new", date(2025, 2, 3), {BTC: (55.0, 0.001)})
    market.write_dimensions()
    market.write_day(date(2025, 2, 3))

    # Half of the days changed: the limit is raised by days that did not.
    result = warehouse.build()

    assert result.changed["investment_performance"] == 3
    incremental = everything(warehouse)
    full = Warehouse(tmp_path / "other.duckdb", market.lake, dbt_state)
    full.build(full=True)
    assert incremental == everything(full)
    assert len(incremental["investment_performance_daily"]) == 15


def test_only_changed_days_are_loaded_again(warehouse: Warehouse, market: Any) -> None:
    market.closes[BTC, D2] = 61_000.0
    market.write_day(D2)

    result = warehouse.build()

    assert result.reason == "changed partitions replaced"
    assert dict(result.changed) == {
        "benchmarks_daily": 1, "investment_performance": 1, "portfolio_performance": 1, "prices_daily": 1,
    }  # fmt: skip
    made = {r.name for r in result.made}
    assert "unit_test" not in {r.kind for r in result.made}  # they depend on the code alone
    assert {"prices_daily", "fct_portfolio_values", "data_quality_scorecard"} <= made
    assert not {"dim_investments", "dim_wallets", "fct_wallet_balances"} & made  # they read nothing of that
    assert {r.unique_id for r in result.results} > {r.unique_id for r in result.made}
    assert rows(warehouse, f"select close_usd from marts.prices_daily where asset_id = '{BTC}' order by date") == [
        (50_000.0,), (61_000.0,), (60_000.0,), (55_000.0,),
    ]  # fmt: skip


def test_a_day_that_vanished_from_the_lake_vanishes_from_the_marts(warehouse: Warehouse, market: Any) -> None:
    for table in (tables.PRICES, tables.INVESTMENT_PERFORMANCE, tables.PORTFOLIO_PERFORMANCE, tables.BENCHMARKS):
        shutil.rmtree(market.lake.path(table, D2).parent)

    warehouse.build()

    for mart in ("investment_performance_daily", "portfolio_performance_daily", "prices_daily", "benchmarks_daily"):
        assert rows(warehouse, f"select distinct date from marts.{mart} order by date") == [(D1,), (D3,), (D4,)]
    missing = "select value, status from marts.data_quality_scorecard where metric = 'missing_days'"
    assert rows(warehouse, missing) == [(1.0, "fail")]


def test_deleted_and_rebuilt_partitions_give_the_same_marts_row_for_row(warehouse: Warehouse, market: Any) -> None:
    before = everything(warehouse)
    shutil.rmtree(market.lake.root)
    warehouse.build()
    assert everything(warehouse) != before
    market.write()
    warehouse.build()
    assert everything(warehouse) == before


def test_nothing_is_built_when_nothing_changed(warehouse: Warehouse, market: Any, template: Any) -> None:
    content = warehouse.path.read_bytes()
    shutil.rmtree(market.lake.path(tables.PRICES, D2).parent)
    market.write_day(D2)  # the same bytes in a newer file

    second = warehouse.build()

    assert second.skipped
    assert second.reason == "no core table and no model changed"
    assert warehouse.is_current()
    assert [r.status for r in second.results] == [r.status for r in template.build.results]
    assert warehouse.path.read_bytes() == content


def test_new_run_ids_in_the_partition_log_alone_are_no_reason_to_build(warehouse: Warehouse, market: Any) -> None:
    def log(run: str, content: str) -> None:
        row = ("core/prices_daily", "2025-01-30", run, "v1", "input", content, END)
        frame = pl.DataFrame([row], schema=tables.PARTITION_LOG_SCHEMA, orient="row")
        market.lake.replace_table(tables.PARTITION_LOG, frame)

    log("run 1", "a")
    warehouse.build()
    log("run 2", "a")
    assert warehouse.build().skipped
    log("run 3", "b")
    assert not warehouse.build().skipped
    assert rows(warehouse, "select run_id, written_at from marts.partition_log") == [("run 3", END)]


def break_day(lake: Lake, day: date, change: Sequence[pl.Expr]) -> None:
    frame = lake.read(tables.INVESTMENT_PERFORMANCE, [day], tables.INVESTMENT_PERFORMANCE_SCHEMA)
    lake.replace(tables.INVESTMENT_PERFORMANCE, day, frame.with_columns(*change))


def test_a_failing_test_leaves_the_old_warehouse_as_it_is_and_names_the_failing_rows(
    warehouse: Warehouse, market: Any
) -> None:
    content = warehouse.path.read_bytes()
    is_bob = pl.col("user_key") == 2
    break_day(market.lake, D2, [pl.when(is_bob).then(59.0).otherwise(pl.col("value_usd")).alias("value_usd")])

    with pytest.raises(WarehouseBuildError) as caught:
        warehouse.build()

    assert warehouse.path.read_bytes() == content
    text = str(caught.value)
    assert "investments_add_up" in text
    assert "user_id=bob, date=2025-01-31, portfolio_value_usd=60.0, sum_of_values_usd=59.0" in text
    assert "alice" not in text
    with pytest.raises(WarehouseBuildError):  # the failure is not remembered as done
        warehouse.build()
    market.write_day(D2)
    assert warehouse.build().skipped


def test_an_investment_that_is_there_twice_or_unknown_is_refused(warehouse: Warehouse, market: Any) -> None:
    frame = market.values(D3)
    stranger = frame.head(1).with_columns(investment_key=pl.lit(99, pl.Int32))
    market.lake.replace(tables.INVESTMENT_PERFORMANCE, D3, pl.concat([frame, frame.tail(1), stranger]))

    content = warehouse.path.read_bytes()
    with pytest.raises(WarehouseBuildError, match="only_known_investments") as caught:
        warehouse.build()

    found = next(f for f in caught.value.failures if f.result.name.startswith("only_known_investments"))
    assert {(row["investment_key"], row["rows_of_this_key"]) for row in found.rows} == {(20, 2), (99, 1)}
    assert warehouse.path.read_bytes() == content


def test_impossible_prices_are_refused_and_named(warehouse: Warehouse, market: Any) -> None:
    wrong = {"bitcoin": 0.0, "ethereum": -1.0, "solana": float("nan"), "aave": float("inf"), "ethlend": None}
    closes = [wrong[asset.partition(":")[2]] for asset in market.prices(D2)["asset_id"]]
    market.lake.replace(
        tables.PRICES, D2, market.prices(D2).with_columns(close_usd=pl.Series(closes, dtype=pl.Float64))
    )

    with pytest.raises(WarehouseBuildError, match="prices_are_possible") as caught:
        warehouse.build()

    found = next(f for f in caught.value.failures if f.result.name.startswith("prices_are_possible"))
    assert {str(row["asset_id"]).partition(":")[2] for row in found.rows} == set(wrong)
    assert "asset_id=coingecko:bitcoin, date=2025-01-31, close_usd=0.0, status=ok" in str(found)


def test_an_investment_without_a_row_on_a_valued_day_warns_and_is_counted(warehouse: Warehouse, market: Any) -> None:
    market.investments[12] = (1, "imported later", D2, {BTC: (600.0, 0.01)})
    market.write_dimensions()  # the days were computed before

    result = warehouse.build()

    warning = next(w for w in result.warnings if w.result.name.startswith("every_day_since_purchase"))
    assert warning.result.failures == 3
    assert {(row["investment_id"], row["date"]) for row in warning.rows} == {
        ("imported later", d) for d in (D2, D3, D4)
    }
    counted = (
        "select date, value from marts.data_quality_scorecard where metric = 'missing_investment_rows' and value > 0"
    )
    assert rows(warehouse, f"{counted} order by date") == [(D2, 1.0), (D3, 1.0), (D4, 1.0)]


def test_a_model_that_cannot_be_built_is_named(warehouse: Warehouse, market: Any) -> None:
    market.lake.replace(tables.PRICES, D2, market.prices(D2).with_columns(asset_id=pl.lit(None, pl.String)))
    with pytest.raises(WarehouseBuildError, match=r"(?s)model prices_daily: .*NOT NULL constraint.*asset_id"):
        warehouse.build()


def test_the_published_file_reads_nothing_outside_itself(warehouse: Warehouse, market: Any, tmp_path: Path) -> None:
    before = everything(warehouse)
    shutil.rmtree(market.lake.root)
    assert everything(warehouse) == before
    assert rows(warehouse, "select * from duckdb_schemas() where schema_name = 'lake'") == []
    elsewhere = shutil.copy(warehouse.path, tmp_path / "attached under another name.duckdb")
    with duckdb.connect() as connection:
        connection.execute(f"attach '{elsewhere}' as mine (read_only)")
        found = connection.execute("select * from mine.marts.portfolio_snapshots order by all").fetchall()
    assert found == before["portfolio_snapshots"]


def test_an_empty_lake_gives_empty_marts_with_their_columns(dbt_state: DbtProject, tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "warehouse.duckdb", Lake(tmp_path / "nothing"), dbt_state)
    assert {r.status for r in warehouse.build().results} <= {"success", "pass"}
    assert all(content == [] for content in everything(warehouse).values())


def test_a_reader_keeps_the_state_it_opened_while_a_new_build_is_published(warehouse: Warehouse, market: Any) -> None:
    query = f"select close_usd from marts.prices_daily where asset_id = '{BTC}' and date = '{D2}'"
    with warehouse.connect() as reader:
        market.closes[BTC, D2] = 61_000.0
        market.write_day(D2)
        warehouse.build()
        assert reader.execute(query).fetchall() == [(60_000.0,)]
    assert rows(warehouse, query) == [(61_000.0,)]


def test_the_remains_of_a_killed_build_are_cleared_away(warehouse: Warehouse, market: Any) -> None:
    warehouse.build_path.parent.mkdir(parents=True)
    warehouse.build_path.write_text("half a file")
    warehouse.path.with_name("warehouse.duckdb.wal").write_text("somebody's log")
    market.closes[BTC, D2] = 61_000.0
    market.write_day(D2)
    warehouse.build()
    assert rows(warehouse, "select count(*) from marts.portfolio_performance_daily") == [(8,)]
    assert not warehouse.path.with_name("warehouse.duckdb.wal").exists()


def test_dbt_writes_nothing_beside_its_sources(warehouse: Warehouse) -> None:
    def sources() -> set[Path]:
        return set(warehouse.project.folder.rglob("*"))

    before = sources()
    warehouse.build(full=True)
    assert sources() == before
    assert not (warehouse.project.state / ".user.yml").exists()
