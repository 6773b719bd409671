"""What an export consists of, beside what the marts declare."""

from pathlib import Path

import yaml

from portfolio_pipelines.database import schedule_models
from portfolio_pipelines.delivery.exports.datasets import DATASETS, Form, What
from portfolio_pipelines.delivery.exports.due_times import Period, RangeRule

MODELS = Path(__file__).parents[4] / "dbt_project/models"


def columns_of(mart: str) -> set[str]:
    for path in (MODELS / "marts").glob("*.yml"):
        for model in (yaml.safe_load(path.read_text()) or {}).get("models", []):
            if model["name"] == mart:
                return {column["name"] for column in model["columns"]}
    return set()


def test_the_exposure_names_the_marts_that_exports_read() -> None:
    exposures = yaml.safe_load((MODELS / "exposures.yml").read_text())["exposures"]
    (exports,) = (exposure for exposure in exposures if exposure["name"] == "exports")
    named = {reference.removeprefix("ref('").removesuffix("')") for reference in exports["depends_on"]}
    assert named == {dataset.mart for dataset in DATASETS}


def test_every_mart_of_users_alone_can_be_exported() -> None:
    """Those left out are others' documents or figures that exported tables hold."""
    elsewhere = {
        "portfolio_holdings", "portfolio_totals", "current_impermanent_loss", "balance_reconciliation",
        "allocation_drift", "rebalancing_plan", "leaderboard", "leaderboard_ranks",
    }  # fmt: skip
    marts = {path.stem for path in (MODELS / "marts").glob("*.sql")}
    of_users = {mart for mart in marts if "user_id" in columns_of(mart)}
    assert of_users - elsewhere == {dataset.mart for dataset in DATASETS}


def test_names_fit_files_and_sheets_and_are_unique() -> None:
    names = [dataset.name for dataset in DATASETS]
    assert len(set(names)) == len(names)
    assert all(len(f"{name} (99)") <= 31 and name.isidentifier() for name in names)


def test_the_database_knows_the_same_choices() -> None:
    assert tuple(schedule_models.WHATS) == tuple(What)
    assert tuple(schedule_models.FORMS) == tuple(Form)
    assert tuple(schedule_models.PERIODS) == tuple(Period)
    assert tuple(schedule_models.RANGE_RULES) == tuple(RangeRule)
