"""The marts as Dagster sees them: one step, every model an asset, every dbt test a check."""

from datetime import date
from typing import Any

import dagster as dg
import pytest

from portfolio_pipelines import tables
from portfolio_pipelines.assets.marts import build_marts_asset, mart_keys
from portfolio_pipelines.resources.dbt_build import PROJECT_FOLDER, DbtProject
from portfolio_pipelines.resources.warehouse import Warehouse

D2 = date(2025, 1, 31)


@pytest.fixture
def marts(dbt_state: DbtProject) -> dg.AssetsDefinition:
    return build_marts_asset(dbt_state)


def materialize(marts: dg.AssetsDefinition, warehouse: Warehouse) -> dg.ExecuteInProcessResult:
    return dg.materialize([marts], resources={"warehouse": warehouse}, raise_on_error=False)


def test_every_mart_is_an_asset_of_its_own_beside_the_core_tables(marts: dg.AssetsDefinition) -> None:
    spec = marts.get_asset_spec(dg.AssetKey(["marts", "prices_daily"]))
    assert [dep.asset_key for dep in spec.deps] == [dg.AssetKey("prices_daily")]
    assert spec.kinds == {"dbt", "duckdb"}
    assert spec.owners == ["team:portfolio-data"]
    assert spec.group_name == "marts"
    assert spec.metadata["dagster/column_schema"].columns[2].name == "close_usd"
    assert "null without a usable price" in spec.metadata["dagster/column_schema"].columns[2].description

    portfolio = marts.get_asset_spec(dg.AssetKey(["marts", "portfolio_performance_daily"]))
    assert {dep.asset_key.to_user_string() for dep in portfolio.deps} == {
        "intermediate/fct_portfolio_values",
        "intermediate/dim_users",
    }


def test_the_marts_wait_for_every_core_table(marts: dg.AssetsDefinition) -> None:
    specs = list(marts.specs)
    read = {dep.asset_key for spec in specs for dep in spec.deps} - {spec.key for spec in specs}
    assert {key.to_user_string() for key in read} == {
        "prices_daily", "price_restatements", "benchmarks_daily", "assets", "users", "investment_legs",
        "asset_successions", "investment_performance", "portfolio_performance", "partition_log", "check_results",
        "wallets", "chains", "chain_tokens", "chain_reads", "wallet_balances", "defi_positions",
        "balance_reconciliation", "allocation_targets", "pool_states", "receipt_ratios", "pool_yields",
        "liquidity_positions",
        "impermanent_loss", "portfolio_metrics", "benchmark_comparison", "diversification", "asset_correlations",
        "transactions", "transaction_values", "lot_entries", "lot_uses", "profit_and_loss", "leaderboard",
        "leaderboard_ranks", "ledger_restatements",
    }  # fmt: skip


def test_the_queried_marts_are_named(dbt_state: DbtProject) -> None:
    names = {key.to_user_string() for key in mart_keys(dbt_state)}
    assert names == {f"marts/{path.stem}" for path in (PROJECT_FOLDER / "models/marts").glob("*.sql")}


def test_a_build_shows_row_counts_and_every_verdict(
    marts: dg.AssetsDefinition, warehouse: Warehouse, market: Any
) -> None:
    market.closes["coingecko:bitcoin", D2] = 61_000.0
    market.write_day(D2)

    result = materialize(marts, warehouse)

    assert result.success
    events = {e.asset_key.to_user_string(): e.metadata for e in result.asset_materializations_for_node("marts")}
    assert events["marts/investment_performance_daily"]["dagster/row_count"].value == 11
    assert events["marts/prices_daily"]["dagster/row_count"].value == 20
    assert events["marts/prices_daily"]["build"].value == "changed partitions replaced"
    checks = {(c.asset_key.to_user_string(), c.check_name): c for c in result.get_asset_check_evaluations()}
    assert len(checks) == len(list(marts.check_specs))
    assert all(check.passed for check in checks.values())
    assert "group by" in checks["marts/prices_daily", "one_row_per"].metadata["sql"].value


def test_a_skipped_build_repeats_the_verdicts_of_the_last_one(marts: dg.AssetsDefinition, warehouse: Warehouse) -> None:
    result = materialize(marts, warehouse)
    assert result.success
    (metadata,) = {str(e.metadata["build"].value) for e in result.asset_materializations_for_node("marts")}
    assert metadata == "no core table and no model changed"
    assert len(result.get_asset_check_evaluations()) == len(list(marts.check_specs))


def test_a_failing_test_fails_the_step_and_says_which_rows(
    marts: dg.AssetsDefinition, warehouse: Warehouse, market: Any
) -> None:
    frame = market.values(D2)
    market.lake.replace(tables.INVESTMENT_PERFORMANCE, D2, frame.head(2))  # Bob's is gone, his portfolio is not

    result = materialize(marts, warehouse)

    assert not result.success
    assert result.asset_materializations_for_node("marts") == []
    checks = {c.check_name: c for c in result.get_asset_check_evaluations()}
    failed = checks["investments_add_up"]
    assert not failed.passed
    assert failed.blocking
    assert failed.metadata["failures"].value == 1
    assert "user_id=bob, date=2025-01-31" in str(failed.description)
    missing = checks["every_day_since_purchase"]
    assert (missing.passed, missing.severity) == (False, dg.AssetCheckSeverity.WARN)
    (event,) = [event for event in result.all_events if event.is_step_failure]
    assert "the previous warehouse stays" in event.step_failure_data.user_failure_data.description
