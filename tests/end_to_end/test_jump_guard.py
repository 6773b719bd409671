"""LUNA in May 2022, on its real closes: blocked, confirmed by a person, and taken back again."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

CRASH = [date(2022, 5, day) for day in (11, 12, 13)]
REAL = [1.0769, 0.00032, 0.00005]
LAST_ACCEPTED = 17.46
INVESTMENT = """\
user_id,investment_id,invested_at,asset,amount_usd,quantity
eve,luna,2022-05-01,LUNA,1000,
"""


@pytest.fixture(scope="module")
def luna(install: Callable[..., Any], shared_data: Path) -> Any:
    """The closes of May 2022 up to the crash, valued until May 16th."""
    home = install("luna")
    closes = pl.read_parquet(shared_data / "prices_daily.parquet").filter(
        (pl.col("symbol") == "LUNA") & pl.col("date").cast(pl.String).str.contains("^2022-05-(0|1[0-3])")
    )
    closes.write_parquet(home.files / "luna.parquet")
    home.does("import", "prices", home.files / "luna.parquet")
    home.does("import", "investments", home.write("investments.csv", INVESTMENT))
    home.does("run", "--to", "2022-05-16")
    return home


@pytest.fixture(scope="module")
def guarded(luna: Any) -> dict[str, Any]:
    """What the marts, the lake and the commands say before anybody confirms."""
    return {
        "prices": crash(luna),
        "lake": luna.lake(),
        "marts": luna.marts(),
        "blocked": luna.does("prices", "blocked"),
        "value": value_on(luna, CRASH[-1]),
    }


@pytest.fixture(scope="module")
def confirmed(luna: Any, guarded: dict[str, Any]) -> Any:
    for day in CRASH:
        luna.does("prices", "confirm", "LUNA", day, "--why", "the chain was halted, the crash is real")
    luna.does("run", "--to", "2022-05-16")
    return luna


def crash(home: Any) -> list[tuple[str, float]]:
    rows = home.rows(
        "select status, close_usd from prices_daily where asset_id = 'coingecko:terra-luna'"
        " and date between '2022-05-11' and '2022-05-14' order by date"
    )
    return [(row["status"], row["close_usd"]) for row in rows]


def value_on(home: Any, day: date) -> float:
    return home.row(f"select value_usd from portfolio_performance_daily where date = '{day}'")["value_usd"]  # type: ignore[no-any-return]


def test_the_crash_is_blocked_and_the_last_close_is_carried_as_stale(guarded: dict[str, Any]) -> None:
    assert guarded["prices"] == [("stale", LAST_ACCEPTED)] * 4


def test_what_is_blocked_is_one_row_with_its_first_day_its_newest_quote_and_the_command(
    guarded: dict[str, Any],
) -> None:
    text = guarded["blocked"]
    (row,) = [line for line in text.splitlines() if "terra-luna" in line and "confirm" not in line]
    cells = [cell.strip() for cell in row.strip("│ ").split("│")]
    assert cells == ["coingecko:terra-luna", str(CRASH[0]), "3", str(CRASH[-1]), str(LAST_ACCEPTED), str(REAL[-1])]
    assert f"portfolio prices confirm coingecko:terra-luna {CRASH[0]} --why" in text


def test_a_day_that_is_not_blocked_cannot_be_confirmed(luna: Any, guarded: dict[str, Any]) -> None:
    message = luna.refuses("prices", "confirm", "LUNA", "2022-05-09", "--why", "why not")
    assert "coingecko:terra-luna" in message
    assert "2022-05-09" in message


def test_a_confirmed_crash_is_served_as_manual_with_who_and_why(confirmed: Any) -> None:
    assert crash(confirmed)[:3] == [("manual", close) for close in REAL]
    assert value_on(confirmed, CRASH[-1]) == pytest.approx(1_000 / 82.23 * REAL[-1])
    listed = confirmed.does("prices", "overrides")
    assert all(str(day) in listed for day in CRASH)
    signed = confirmed.sql("select distinct kind, why, who <> '' from app.price_overrides")
    assert signed == [("confirm_jump", "the chain was halted, the crash is real", True)]


def test_days_after_a_confirmed_crash_carry_the_new_level(confirmed: Any) -> None:
    assert crash(confirmed)[3] == ("stale", REAL[-1])
    assert "no quote is held back" in confirmed.does("prices", "blocked")


def test_the_result_is_unknown_while_nothing_is_known_and_never_a_loss_of_everything(confirmed: Any) -> None:
    row = confirmed.row("select value_usd, roi from portfolio_performance_daily where date = '2022-05-16'")
    assert 0 < row["value_usd"] < 0.001
    assert row["roi"] == pytest.approx(-1, abs=1e-5)


def test_withdrawing_restores_what_was_served_before(confirmed: Any, guarded: dict[str, Any]) -> None:
    for number in confirmed.sql("select override_id from app.price_overrides order by 1"):
        confirmed.does("prices", "withdraw", *number, "--why", "confirmed by mistake")
    confirmed.does("run", "--to", "2022-05-16")
    lake = confirmed.lake()
    history = ("core/price_restatements", "core/price_vintages")  # they remember what was served in between
    differing = {name for name, content in guarded["lake"].items() if lake[name] != content}
    assert all(name.startswith(history) for name in differing)
    marts = confirmed.marts()
    changed = {name for name, rows in guarded["marts"].items() if marts[name] != rows}
    assert changed <= {"partition_log", "price_restatements"}
    days = ", ".join(f"'{day}'" for day in CRASH)
    back = confirmed.rows(f"select * from price_restatements where date in ({days}) order by date")
    assert [(row["cause"], row["old_close_usd"], row["new_close_usd"]) for row in back] == [
        ("override_withdrawn", close, LAST_ACCEPTED) for close in REAL
    ]
    kept = confirmed.sql("select count(*), count(withdrawn_at) from app.price_overrides")
    assert kept == [(3, 3)]  # the history of it stays
    assert "confirmed by mistake" in str(confirmed.sql("select withdrawn_why from app.price_overrides"))
