"""`portfolio explain` works every served figure out again from its inputs, by the plain definitions."""

from datetime import date

import pytest
import sqlalchemy as sa

from portfolio_pipelines.commands import explain as command
from portfolio_pipelines.commands.console import CommandError
from portfolio_pipelines.commands.explained_comparisons import COMPARED, OF_THE_DAY, SPREAD
from portfolio_pipelines.commands.explained_metrics import EXPLAINED, Question
from portfolio_pipelines.resources.platform import Platform
from tests.explained_figures import every, explained
from tests.integration.metrics.conftest import LAST, explained_at_terminal, new_platform, run

BOTH = [("ann", 0), ("ann", 30), ("bob", 0)]


@pytest.fixture(scope="module")
def built(database_of_module: sa.Engine, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """The platform, valued and with its marts: every test asks it, none changes it."""
    platform = new_platform(database_of_module, tmp_path_factory.mktemp("explained") / "home")
    run(platform)
    platform.warehouse.build()
    return platform


def test_every_figure_is_worked_out_again_from_its_inputs(built: Platform) -> None:
    """The kernel and the explanation share no code; here they agree on all figures of two users."""
    asked = [
        *(
            Question(user, LAST, metric, window, "ETH", 0.0)
            for user, window in BOTH
            for metric in (*(f"portfolio_metrics.{name}" for name in EXPLAINED), *COMPARED)
        ),
        *(Question("bob", LAST, metric, 0, "BTC", 0.0) for metric in (*SPREAD, *OF_THE_DAY)),
    ]
    compared = 0
    with built.warehouse.connect() as marts:
        for question in asked:
            try:
                found = command.explanation(marts, question)
            except CommandError:
                assert question.metric in COMPARED
                continue
            if found.served is None:
                continue
            if isinstance(found.served, date | str):
                assert found.recomputed == found.served, question
            else:
                assert found.recomputed == pytest.approx(found.served, rel=1e-7, abs=1e-10), question
            compared += 1
    assert compared > 60


def test_days_of_portfolios_and_correlations_are_worked_out_again(built: Platform) -> None:
    names = ("portfolio_performance_daily", "investment_performance_daily", "asset_correlations", "portfolio_totals")
    with built.warehouse.connect() as marts:
        too_short = ("value_90d_usd", "coverage_90d", "value_365d_usd", "coverage_365d")
        every(explained(marts, built.lake, *names), *names, without=too_short)


def test_a_figure_is_printed_with_its_formula_and_inputs(built: Platform) -> None:
    text = explained_at_terminal(built, "ann", LAST, "max_drawdown", 0, "BTC")
    assert "index at the trough / index at the peak - 1" in text
    assert "input       peak: 2024-" in text
    assert "= served" in text
    assert "DIFFERS" not in text


def test_a_null_is_explained_by_its_reason(built: Platform) -> None:
    text = explained_at_terminal(built, "bob", LAST, "sharpe", 30, "BTC")
    assert "served      null" in text
    assert "the track record is shorter than the window" in text


def test_what_was_not_computed_names_the_days_that_were(built: Platform) -> None:
    with pytest.raises(CommandError, match="2024-04-30"):
        explained_at_terminal(built, "ann", date(2024, 4, 2), "sharpe", 0, "BTC")


def test_a_choice_of_a_row_that_is_none_is_refused(built: Platform) -> None:
    with pytest.raises(CommandError, match="a row is chosen as COLUMN=VALUE, not 'first', '=x'"):
        explained_at_terminal(built, "ann", LAST, "investment_performance_daily.roi", 0, "BTC", ["first", "=x"])


def test_an_unknown_figure_names_the_known_ones(built: Platform) -> None:
    with pytest.raises(CommandError, match="sortino"):
        explained_at_terminal(built, "ann", LAST, "karma", 0, "BTC")
