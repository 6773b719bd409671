"""What Dagster loads: every table is described, owned, grouped and has its columns."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from portfolio_pipelines.definitions import build_defs
from portfolio_pipelines.resources.platform import Platform
from portfolio_pipelines.settings import Settings

MARTS = {
    "investment_performance_daily",
    "portfolio_performance_daily",
    "portfolio_snapshots",
    "portfolio_holdings",
    "current_prices",
    "portfolio_assets",
    "prices_daily",
    "price_restatements",
    "data_quality_scorecard",
    "partition_log",
}
CORE = {"prices_daily", "benchmarks_daily", "price_restatements", "investment_performance", "portfolio_performance"}


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    settings = Settings(home=tmp_path_factory.mktemp("home"), price_providers=())
    return build_defs(settings, Platform.of(settings))


@pytest.fixture(scope="module")
def specs(definitions: dg.Definitions) -> dict[str, dg.AssetSpec]:
    return {"/".join(spec.key.path): spec for spec in definitions.resolve_all_asset_specs()}


def test_every_table_has_description_owner_group_and_kind(specs: dict[str, dg.AssetSpec]) -> None:
    for name, spec in specs.items():
        assert spec.description, name
        assert spec.owners, name
        assert spec.group_name in {"raw", "core", "onchain", "intermediate", "marts", "served"}, name
        assert spec.kinds, name


def test_every_table_shows_its_columns(specs: dict[str, dg.AssetSpec]) -> None:
    for name, spec in specs.items():
        if spec.group_name == "served":
            continue  # all marts at once, in Postgres
        schema = spec.metadata["dagster/column_schema"]
        assert schema.columns, name
        if spec.group_name == "marts" and spec.key.path[0] == "marts":
            assert all(column.description for column in schema.columns), name


def test_every_table_has_a_time_within_which_it_must_be_fresh(specs: dict[str, dg.AssetSpec]) -> None:
    assert all(spec.freshness_policy is not None for spec in specs.values())


def test_the_documented_tables_are_there_and_daily_ones_run_as_one_range(
    definitions: dg.Definitions, specs: dict[str, dg.AssetSpec]
) -> None:
    assert {f"marts/{name}" for name in MARTS} <= specs.keys()
    assert specs.keys() >= CORE | {"raw_quotes", "served/marts"}
    graph = definitions.resolve_asset_graph()
    for name in CORE | {"raw_quotes"}:
        node = graph.get(dg.AssetKey(name))
        assert node.partitions_def is not None
        assert node.backfill_policy == dg.BackfillPolicy.single_run()


def test_tables_follow_each_other_from_quotes_to_published_marts(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    before = graph.get(dg.AssetKey(["served", "marts"])).parent_keys
    seen = set()
    while before:
        seen |= before
        before = set().union(*(graph.get(key).parent_keys for key in before)) - seen
    assert {dg.AssetKey(name) for name in CORE | {"raw_quotes", "investment_legs", "assets"}} <= seen


def test_every_core_table_of_figures_is_checked_before_it_is_passed_on(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    blocking = {key.asset_key for key in graph.asset_check_keys if graph.get(key).blocking}
    for name in ("prices_daily", "investment_performance", "portfolio_performance", "investment_legs"):
        assert dg.AssetKey(name) in blocking


def test_jobs_and_schedules_are_there_and_schedules_are_off(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    assert {"daily", "hourly", "serve", "onchain"} <= set(repository.job_names)
    assert {schedule.name for schedule in repository.schedule_defs} == {"chains_hourly", "closed_day", "running_day"}
    assert {s.default_status for s in repository.schedule_defs} == {dg.DefaultScheduleStatus.STOPPED}
    assert definitions.resolve_job_def("daily").partitions_def is not None


def test_the_running_day_is_valued_and_served_without_what_only_a_close_has(definitions: dg.Definitions) -> None:
    hourly, daily = (
        {key.to_user_string() for key in definitions.resolve_job_def(name).asset_layer.executable_asset_keys}
        for name in ("hourly", "daily")
    )
    assert daily - hourly == {
        "portfolio_metrics", "benchmark_comparison", "diversification", "asset_correlations",
        "holding_versions", "counted_returns", "leaderboard", "leaderboard_ranks",
    }  # fmt: skip
    assert {"portfolio_performance", "impermanent_loss", "marts/portfolio_snapshots", "served/marts"} <= hourly
    schedules = {schedule.name: schedule for schedule in definitions.get_repository_def().schedule_defs}
    assert (schedules["running_day"].job_name, schedules["closed_day"].job_name) == ("hourly", "daily")


def test_the_sensors_that_look_at_data_and_runs_are_there_and_off(definitions: dg.Definitions) -> None:
    sensors = {sensor.name: sensor for sensor in definitions.get_repository_def().sensor_defs}
    assert {"alerts", "freshness", "run_failures"} <= sensors.keys()
    assert {sensor.default_status for sensor in sensors.values()} == {dg.DefaultSensorStatus.STOPPED}


def test_loading_needs_no_database_and_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; import portfolio_pipelines.definitions;"
        "heavy = {'great_expectations', 'dbt', 'scipy', 'pandas', 'yfinance', 'pycoingecko'} & set(sys.modules);"
        "print(sorted(heavy))"
    )
    environment = {"PORTFOLIO_HOME": str(tmp_path / "home"), "PATH": ""}
    for expected in (None, "[]\n"):  # the first time dbt parses its project, and never again
        found = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, cwd=tmp_path
        )
        assert expected in {None, found.stdout}
    assert not (tmp_path / "home/postgres").exists()


def test_every_check_says_what_it_holds_a_table_to(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    said = {key: graph.get_check_spec(key).description or "" for key in graph.asset_check_keys}
    assert len(said) > 60
    assert {key for key, words in said.items() if not words.endswith(".")} == set()
    key = dg.AssetCheckKey(dg.AssetKey(["marts", "prices_daily"]), "one_row_per")
    assert said[key].endswith("The key is asset_id, date.")
