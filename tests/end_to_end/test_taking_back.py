"""Investments that were entered on the wrong day, or by mistake: nothing of them stays in any figure of any day."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

FIRST = date(2024, 3, 1)  # the day of ann's bundle, the oldest investment of all
MOVED = date(2024, 3, 20)
HEADER = "user_id,investment_id,invested_at,asset,amount_usd,quantity\n"
KNOWN_WHEN = {"partition_log", "data_quality_scorecard"}


def served(home: Any) -> dict[str, Any]:
    """The marts that say what was worth how much, and nothing of when it became known."""
    return {name: rows for name, rows in home.marts().items() if name not in KNOWN_WHEN and "leaderboard" not in name}


@pytest.fixture(scope="module")
def moved(install: Callable[..., Any], built: Any, world: tuple[date, ...]) -> Any:
    """The oldest investment is moved to a later day, with the coins that were bought."""
    home = install("moved", like=built)
    legs = home.sql(
        "select asset_id, amount_usd::text, quantity::text from app.investment_legs join app.investments"
        " using (investment_key) where investment_id = 'bundle' order by asset_id"
    )
    home.bundle = {
        day: HEADER + "".join(f"ann,bundle,{day},{asset},{usd},{coins}\n" for asset, usd, coins in legs)
        for day in (FIRST, MOVED)
    }
    home.said = home.does("import", "investments", home.write("moved.csv", home.bundle[MOVED]))
    home.ran = home.does("run", "--to", world[1])
    return home


def test_the_days_that_an_investment_leaves_are_brought_up_to_date(moved: Any, world: tuple[date, ...]) -> None:
    assert f"figures from {FIRST} on are affected" in moved.said
    assert f"Ran {FIRST} to {world[1]}" in moved.ran
    first = "select min(date) as first from portfolio_performance_daily where user_id = 'ann'"
    assert moved.row(first) == {"first": str(MOVED)}
    assert moved.row("select min(date) as first from portfolio_performance_daily") == {"first": "2024-03-05"}
    assert "up to date" in moved.does("run", "--to", world[1])


def test_the_money_comes_in_on_the_new_day(moved: Any) -> None:
    row = moved.row(
        "select flow_in_usd, value_usd, daily_return, twr_index from portfolio_performance_daily"
        f" where user_id = 'ann' and date = '{MOVED}'"
    )
    gain = row["value_usd"] / 1000 - 1
    assert row == pytest.approx({**row, "flow_in_usd": 1000, "daily_return": gain, "twr_index": 1 + gain})


def test_an_earlier_start_than_asked_for_is_taken_where_the_days_before_are_out_of_date(
    install: Callable[..., Any], built: Any, moved: Any, world: tuple[date, ...]
) -> None:
    home = install("moved-late", like=built)
    home.does("import", "investments", home.write("moved.csv", moved.bundle[MOVED]))
    assert f"Ran {FIRST} to {world[1]}" in home.does("run", "--from", world[1] - timedelta(days=3), "--to", world[1])
    assert served(home) == served(moved)


@pytest.fixture(scope="module")
def taken_back(install: Callable[..., Any], built: Any, world: tuple[date, ...]) -> Any:
    """The only investment of cleo, and the oldest one of ann, are taken back."""
    home = install("taken-back", like=built)
    home.said = home.does("investments", "remove", "cleo", "quiet") + home.does(
        "investments", "remove", "ann", "bundle"
    )
    home.does("run", "--to", world[1])
    return home


def test_what_was_taken_back_is_in_no_figure(taken_back: Any, built: Any) -> None:
    assert "quiet of cleo is taken back (1 coin)" in taken_back.said
    assert f"figures from {FIRST} on are affected" in taken_back.said
    marts, before = served(taken_back), served(built)
    rows = {row for mart in marts.values() for row in mart}
    assert not [row for row in rows if "cleo" in row or "quiet" in row or "bundle" in row]
    for mart in ("investment_performance_daily", "portfolio_performance_daily", "portfolio_metrics"):
        of_ben = [[row for row in each[mart] if row[0] == "ben"] for each in (marts, before)]
        assert of_ben[0] == of_ben[1] != []
    assert {row[1] for row in marts["investment_performance_daily"] if row[0] == "ann"} == {"second"}


def test_the_list_and_the_history_tell_it(taken_back: Any) -> None:
    listed = taken_back.does("investments", "--user", "ann", "--format", "csv").splitlines()
    assert listed[0].startswith("user_id,investment_id,invested_at,asset,amount_usd,quantity")
    assert [line.split(",")[:4] for line in listed[1:]] == [
        ["ann", "second", "2024-04-10T15:30:00+00:00", "coingecko:bitcoin"]
    ]
    assert "no investments" in taken_back.does("investments", "--user", "cleo")
    refused = taken_back.portfolio("investments", "remove", "cleo", "quiet")
    assert (refused.exit_code, "'cleo' has no investments" in refused.output) == (1, True)
    ended = "select count(*), count(distinct ended_by) from app.investment_legs where ended_by is not null"
    assert taken_back.sql(ended) == [(4, 1)]


def test_importing_it_again_gives_back_every_figure(
    install: Callable[..., Any], taken_back: Any, built: Any, world: tuple[date, ...]
) -> None:
    home = install("brought-back", like=taken_back)
    file = home.write("again.csv", (built.home.parent / "imported-files/investments.csv").read_bytes())
    assert "4 new legs, 0 corrected, 3 unchanged" in home.does("import", "investments", file)
    home.does("run", "--to", world[1])
    assert served(home) == served(built)


def test_everything_can_be_taken_back(install: Callable[..., Any], taken_back: Any, world: tuple[date, ...]) -> None:
    home = install("empty", like=taken_back)
    home.does("investments", "remove", "ann", "second")
    home.does("investments", "remove", "ben", "brave")
    assert "No portfolio is valued yet" in home.does("run", "--to", world[1])
    assert home.row("select count(*) as n from portfolio_performance_daily") == {"n": 0}
    assert "up to date" in home.does("run", "--to", world[1])
