"""The portfolio of 2019 to 2021 on real prices, reproduced by the whole pipeline from the files as they are."""

import json
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

START, END = date(2019, 1, 1), date(2021, 6, 30)
DAYS = 912
INVESTMENT = """\
user_id,investment_id,invested_at,asset,amount_usd,quantity
example,sixty-forty,2019-01-01,BTC,600,
example,sixty-forty,2019-01-01,ETH,400,
"""
SIX_DECIMALS = {"rel": 1e-9, "abs": 6e-7}  # as the file gives values
EIGHT_DECIMALS = {"rel": 1e-9, "abs": 6e-9}  # and percentages


@pytest.fixture(scope="module")
def expected(shared_data: Path) -> dict[str, Any]:
    file = shared_data / "expected_portfolio_dev_example.json"
    return json.loads(file.read_text())["portfolios"][0]  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def history(install: Callable[..., Any], shared_data: Path) -> Any:
    home = install("history")
    files = [shared_data / "prices_daily_dev.csv", shared_data / "sp500/sp500_daily_dev.csv"]
    home.said = home.does("import", "prices", *files)
    home.does("import", "investments", home.write("investments.csv", INVESTMENT))
    home.does("run", "--from", START, "--to", END)
    return home


@pytest.fixture(scope="module")
def values(history: Any) -> dict[str, dict[str, Any]]:
    rows = history.rows("select * from portfolio_performance_daily order by date")
    return {row["date"]: row for row in rows}


@pytest.fixture(scope="module")
def benchmarks(history: Any) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["benchmark"], row["date"]): row for row in history.rows("select * from benchmarks_daily")}


def windows(expected: dict[str, Any]) -> list[dict[str, Any]]:
    return [*expected["windows"], expected["since_purchase"]]


def test_both_files_load_as_they_are(history: Any) -> None:
    assert "prices_daily_dev.csv" in history.said
    assert "sp500_daily_dev.csv" in history.said
    assert "file:STETH" in history.said  # a symbol that only price files know


def test_912_days_are_one_dagster_run(history: Any) -> None:
    assert [(job, status) for _, job, status in history.runs()] == [("daily", "SUCCESS")]


def test_no_day_since_the_purchase_is_missing(values: dict[str, Any], expected: dict[str, Any]) -> None:
    assert list(values) == [str(START + timedelta(days=n)) for n in range(DAYS)]
    assert expected["missing_price_days"] == {}
    assert {row["coverage"] for row in values.values()} == {1.0}
    assert all(row["is_final"] for row in values.values())


def test_the_quantities_bought(history: Any, expected: dict[str, Any]) -> None:
    rows = history.rows("select token, balance from portfolio_assets")
    assert {row["token"]: float(Decimal(row["balance"])) for row in rows} == pytest.approx(
        expected["quantities"], rel=1e-9
    )


def test_the_value_at_the_end_of_every_month(values: dict[str, Any], expected: dict[str, Any]) -> None:
    known = {day: values[day]["value_usd"] for day in expected["month_end_values"]}
    assert known == pytest.approx(expected["month_end_values"], **SIX_DECIMALS)


@pytest.mark.parametrize("number", range(7))
def test_value_and_time_weighted_return_of_each_window(
    values: dict[str, Any], expected: dict[str, Any], number: int
) -> None:
    window = windows(expected)[number]
    start, end = values[window["start"]], values[window["end"]]
    assert start["value_usd"] == pytest.approx(window["value_start"], **SIX_DECIMALS)
    assert end["value_usd"] == pytest.approx(window["value_end"], **SIX_DECIMALS)
    twr = (end["twr_index"] / start["twr_index"] - 1) * 100  # nothing flows in between: it equals the plain return
    assert twr == pytest.approx(window["roi_pct"], **EIGHT_DECIMALS)


def test_the_best_and_the_worst_day(values: dict[str, Any], expected: dict[str, Any]) -> None:
    days = list(values.values())[1:]
    for name, choose in (("best_day", max), ("worst_day", min)):
        row = choose(days, key=lambda row: row["daily_return"])
        day, percent = expected["since_purchase"][name]
        assert (row["date"], row["daily_return"] * 100) == (day, pytest.approx(percent, **SIX_DECIMALS))


def test_the_return_on_investment_since_the_purchase(values: dict[str, Any], expected: dict[str, Any]) -> None:
    assert values[str(END)]["roi"] * 100 == pytest.approx(expected["since_purchase"]["roi_pct"], **EIGHT_DECIMALS)


@pytest.mark.parametrize("benchmark", ["BTC", "ETH", "SP500"])
@pytest.mark.parametrize("number", range(7))
def test_the_return_of_each_benchmark_in_each_window(
    benchmarks: dict[tuple[str, str], Any], expected: dict[str, Any], benchmark: str, number: int
) -> None:
    window = windows(expected)[number]
    start, end = (benchmarks[benchmark, window[name]]["close_usd"] for name in ("start", "end"))
    assert (end / start - 1) * 100 == pytest.approx(window["benchmark_roi_pct"][benchmark], **EIGHT_DECIMALS)


def test_the_index_keeps_its_close_over_weekends_and_holidays_and_says_so(
    benchmarks: dict[tuple[str, str], Any],
) -> None:
    index = [row for (name, _), row in benchmarks.items() if name == "SP500"]
    for row in index:
        day = date.fromisoformat(row["date"])
        assert row["is_trading_day"] == (row["price_date"] == row["date"])
        assert not (row["is_trading_day"] and day.weekday() > 4)
    independence_day = benchmarks["SP500", "2019-07-04"]
    assert (independence_day["price_date"], independence_day["is_trading_day"]) == ("2019-07-03", False)
    new_year = benchmarks["SP500", "2019-01-01"]  # the day of the purchase, on which nobody trades
    assert (new_year["price_date"], new_year["is_trading_day"]) == ("2018-12-31", False)
