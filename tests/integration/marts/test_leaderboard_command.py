"""`portfolio leaderboard`: the board, and where a user stands or why not."""

import io
import json
from dataclasses import replace
from datetime import date

import pytest
from rich.console import Console
from typer.testing import CliRunner

from portfolio_pipelines.cli import app
from portfolio_pipelines.commands import leaderboard as command
from portfolio_pipelines.commands import reading
from portfolio_pipelines.commands.console import CommandError
from portfolio_pipelines.resources.platform import Platform
from portfolio_pipelines.resources.warehouse import Warehouse
from portfolio_pipelines.settings import Settings
from tests.integration.marts.conftest import DAYS, SmallMarket
from tests.integration.marts.test_leaderboard_marts import write

NEWEST = DAYS[3]


@pytest.fixture
def platform(warehouse: Warehouse, market: SmallMarket) -> Platform:
    """Alice is the first of one on the newest day; Bob is not ranked. Nobody has ninety days."""
    write(market, NEWEST, value_bucket="any worth", roi_twr=0.1234)
    warehouse.build()
    return replace(Platform.of(Settings(home=market.lake.root.parent)), warehouse=warehouse)


def printed(
    platform: Platform, window: int, user: str | None = None, day: date | None = None, form: str = "table"
) -> str:
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        for module in (command, reading):
            patch.setattr(module, "OUT", Console(file=out, width=200))
        command.show_leaderboard(platform, window, user, day, form)
    return out.getvalue()


def test_the_board_and_who_stands_where_or_why_not(platform: Platform) -> None:
    board = printed(platform, 30)
    assert f"Leaderboard of {NEWEST} over 30 days: 1 ranked, of 2 that began with 100 USD or more" in board
    assert "any worth" in board
    assert "alice" not in board
    assert "alice is number 1 of 1, as AAAA-AAAA-AAAA: +12.34%" in printed(platform, 30, "alice")
    assert "bob is not ranked: too young (3 days count)" in printed(platform, 30, "bob")
    assert f"Nobody is ranked on {NEWEST} over 90 days" in printed(platform, 90)


def test_rows_for_programs(platform: Platform, capsys: pytest.CaptureFixture[str]) -> None:
    printed(platform, 30, "bob", form="json")
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["n_ranked"], row["rank"], row["reason"]) == (1, None, "too young")
    printed(platform, 30, form="csv")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "rank,pseudonym,roi_twr,pnl_over_peak_capital,max_drawdown,value_bucket,n_ranked,n_began"
    assert lines[1].startswith("1,AAAA-AAAA-AAAA,0.1234,")


def test_a_stranger_and_a_day_without_a_board_are_told_apart_from_an_empty_one(platform: Platform) -> None:
    with pytest.raises(CommandError, match=r"nothing of mallory counted .* none"):
        printed(platform, 30, "mallory")
    with pytest.raises(CommandError, match=f"The newest days with a rank of alice: {NEWEST}"):
        printed(platform, 30, "alice", DAYS[0])


def test_before_the_first_run_the_command_says_what_to_do(warehouse: Warehouse) -> None:
    empty = replace(Platform.of(Settings()), warehouse=warehouse)
    with pytest.raises(CommandError, match="`portfolio run` makes one"):
        printed(empty, 30)


def test_other_windows_are_refused() -> None:
    result = CliRunner().invoke(app, ["leaderboard", "--window", "7"])
    assert result.exit_code == 2
    assert "30" in result.output
