"""`portfolio leaderboard`: the board, and where a user stands or why not."""

import io
import json
from datetime import date

import pytest
from rich.console import Console
from typer.testing import CliRunner

from portfolio_pipelines.cli import app
from portfolio_pipelines.commands import leaderboard as command
from portfolio_pipelines.commands import reading
from portfolio_pipelines.commands.console import CommandError
from portfolio_pipelines.resources.platform import Platform
from tests.integration.leaderboard.conftest import LAST, Ranked


@pytest.fixture(scope="module")
def built(ranked: Ranked) -> Platform:
    """The ranked platform with its marts."""
    ranked.platform.warehouse.build()
    return ranked.platform


def printed(
    platform: Platform, window: int, user: str | None = None, day: date | None = None, form: str = "table"
) -> str:
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        for module in (command, reading):
            patch.setattr(module, "OUT", Console(file=out, width=200))
        command.show_leaderboard(platform, window, user, day, form)
    return out.getvalue()


def test_the_board_is_printed_with_how_many_it_is_of(built: Platform) -> None:
    text = printed(built, 30)
    assert f"Leaderboard of {LAST} over 30 days: 2 ranked, of 2 that began" in text
    assert "any worth" in text
    assert "ann" not in text
    assert "bob" not in text


def test_a_user_is_told_the_rank_and_the_name_on_the_board(built: Platform) -> None:
    with built.warehouse.connect() as marts:
        (rank, name) = marts.execute(
            "select rank, pseudonym from marts.leaderboard_ranks "
            "where user_id = 'ann' and as_of = ? and window_days = 30",
            [LAST],
        ).fetchall()[0]
    text = printed(built, 30, "ann")
    assert f"ann is number {rank} of 2, as {name}: " in text


def test_who_is_not_ranked_is_told_why(built: Platform) -> None:
    text = printed(built, 30, "cid")
    assert "cid is not ranked: fewer daily returns than the window since the holdings were entered" in text
    assert "(13 days count)" in text


def test_an_empty_board_says_so(built: Platform) -> None:
    assert f"Nobody is ranked on {LAST} over 90 days" in printed(built, 90)


def test_one_row_for_programs(built: Platform, capsys: pytest.CaptureFixture[str]) -> None:
    printed(built, 30, "bob", form="json")
    (row,) = json.loads(capsys.readouterr().out)
    assert row["n_ranked"] == 2
    assert row["reason"] is None
    printed(built, 30, form="csv")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "rank,pseudonym,roi_twr,pnl_over_peak_capital,max_drawdown,value_bucket,n_ranked,n_began"
    assert len(lines) == 3


def test_a_stranger_and_a_day_without_a_board_are_told_apart_from_an_empty_one(built: Platform) -> None:
    with pytest.raises(CommandError, match=r"nothing of mallory counted .* none"):
        printed(built, 30, "mallory")
    with pytest.raises(CommandError, match=f"The newest days with a rank of ann: {LAST}"):
        printed(built, 30, "ann", date(2024, 3, 20))


def test_other_windows_are_refused() -> None:
    result = CliRunner().invoke(app, ["leaderboard", "--window", "7"])
    assert result.exit_code == 2
    assert "30" in result.output
