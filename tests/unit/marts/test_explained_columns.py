"""Every number that a mart serves is explained, or there is a stated reason why it is none to be worked out."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from portfolio_pipelines.commands.console import CommandError
from portfolio_pipelines.commands.explain import figures, named, namesakes
from portfolio_pipelines.commands.explained_inputs import ANYWHERE, INPUTS, why_not

MODELS = Path(__file__).parents[3] / "dbt_project" / "models" / "marts"
NUMBERS = ("double", "decimal", "integer", "smallint", "bigint")


def served() -> dict[str, dict[str, str]]:
    """Type of every column of every mart."""
    models: list[dict[str, Any]] = [
        model for path in sorted(MODELS.glob("*.yml")) for model in yaml.safe_load(path.read_text()).get("models", [])
    ]
    return {model["name"]: {column["name"]: column["data_type"] for column in model["columns"]} for model in models}


def test_every_number_of_every_mart_is_explained_or_has_a_reason() -> None:
    known = figures()
    numbers = {
        (mart, column) for mart, columns in served().items() for column, kind in columns.items()
        if kind.startswith(NUMBERS)
    }  # fmt: skip
    forgotten = [
        f"{mart}.{column}"
        for mart, column in sorted(numbers - known)
        if column not in INPUTS.get(mart, {}) and column not in ANYWHERE
    ]
    assert forgotten == []
    assert len(numbers & known) > 120


def test_what_is_explained_or_excused_is_served() -> None:
    columns = {(mart, column) for mart, found in served().items() for column in found}
    excused = {(mart, column) for mart, reasons in INPUTS.items() for column in reasons}
    assert figures() - columns == set()
    assert excused - columns == set()
    assert figures() & excused == set()


def test_each_figure_has_a_name_that_leads_to_it() -> None:
    for mart, column in figures():
        assert named(f"{mart}.{column}")[0] == mart, (mart, column)


def test_a_name_that_several_marts_have_is_asked_for_with_its_mart() -> None:
    with pytest.raises(CommandError, match=r"choose from .*lots\.quantity, .*realised_pnl\.quantity"):
        named("quantity")
    assert named("rank") == ("leaderboard_ranks", "rank"), "both boards say the same of a user"
    assert named("max_drawdown") == ("portfolio_metrics", "max_drawdown")
    assert named("leaderboard.max_drawdown") == ("leaderboard", "max_drawdown")


@pytest.mark.parametrize("name", ["value_usd", "pnl_usd", "roi", "coverage", "invested_usd", "daily_return"])
def test_a_name_alone_is_of_the_portfolio_on_the_day_and_the_others_are_named(name: str) -> None:
    assert named(name) == ("portfolio_performance_daily", name)
    assert f"portfolio_performance_daily.{name}" not in namesakes(name)
    assert set(namesakes(name)) == {
        f"{mart}.{column}" for mart, column in figures()
        if column == name and mart != "portfolio_performance_daily"
    }  # fmt: skip
    assert namesakes(f"portfolio_performance_daily.{name}") == []


def test_an_input_says_why_it_is_not_worked_out() -> None:
    with pytest.raises(CommandError, match=r"prices_daily\.disagreement is not worked out: it is a quote"):
        named("disagreement")
    assert why_not("nothing.like.it") is None
