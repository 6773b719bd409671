from datetime import date, timedelta

import polars as pl
import pytest

from portfolio_pipelines.market.tracking import BENCHMARKS, tracked_days

MONDAY = date(2024, 3, 4)
DAYS = [MONDAY + timedelta(days=n) for n in range(10)]  # with one weekend, the 9th and the 10th
INDEX = BENCHMARKS["SP500"]
WEEKDAYS = frozenset({INDEX})
CRYPTO = {BENCHMARKS["BTC"], BENCHMARKS["ETH"]}


def legs(*rows: tuple[str, date]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"asset_id": pl.String, "invested_on": pl.Date}, orient="row")


def successions(*rows: tuple[str, str, date]) -> pl.DataFrame:
    schema = {"asset_id": pl.String, "successor_id": pl.String, "effective_on": pl.Date}
    return pl.DataFrame(rows, schema=schema, orient="row")


def days_of(asset: str, held: pl.DataFrame, changes: pl.DataFrame | None = None) -> list[date]:
    wanted = tracked_days(held, successions() if changes is None else changes, WEEKDAYS, DAYS)
    return wanted.filter(pl.col("asset_id") == asset)["date"].to_list()


def test_the_benchmarks_are_tracked_on_every_day_though_nobody_holds_them() -> None:
    wanted = tracked_days(legs(), successions(), WEEKDAYS, DAYS)
    assert set(wanted["asset_id"]) == set(BENCHMARKS.values())
    assert all(days_of(asset, legs()) == DAYS for asset in CRYPTO)


def test_an_index_is_not_wanted_on_weekends() -> None:
    assert days_of(INDEX, legs()) == [day for day in DAYS if day.weekday() < 5]


def test_a_holding_is_wanted_from_its_first_purchase_on() -> None:
    held = legs(("coin", DAYS[6]), ("coin", DAYS[3]), ("early", MONDAY - timedelta(days=400)))
    assert days_of("coin", held) == DAYS[3:]
    assert days_of("early", held) == DAYS


def test_a_purchase_after_the_last_day_is_not_wanted_yet() -> None:
    assert days_of("coin", legs(("coin", DAYS[-1] + timedelta(days=1)))) == []


def test_a_benchmark_that_is_held_is_wanted_once_a_day() -> None:
    assert days_of(BENCHMARKS["BTC"], legs((BENCHMARKS["BTC"], DAYS[5]))) == DAYS


def test_a_converted_coin_is_followed_by_its_successor_on_that_very_day() -> None:
    held, change = legs(("matic", DAYS[1])), successions(("matic", "pol", DAYS[4]))
    assert days_of("matic", held, change) == DAYS[1:4]
    assert days_of("pol", held, change) == DAYS[4:]


def test_a_chain_of_conversions_is_followed_to_its_end() -> None:
    held, changes = legs(("a", DAYS[0])), successions(("a", "b", DAYS[2]), ("b", "c", DAYS[5]))
    assert [days_of(asset, held, changes) for asset in "abc"] == [DAYS[:2], DAYS[2:5], DAYS[5:]]


def test_a_coin_bought_after_its_conversion_is_wanted_as_the_successor() -> None:
    held, change = legs(("lend", DAYS[6])), successions(("lend", "aave", DAYS[4]))
    assert days_of("lend", held, change) == []
    assert days_of("aave", held, change) == DAYS[6:]


def test_a_successor_that_was_held_before_stays_wanted_from_then_on() -> None:
    held, change = legs(("matic", DAYS[1]), ("pol", DAYS[2])), successions(("matic", "pol", DAYS[4]))
    assert days_of("pol", held, change) == DAYS[2:]


def test_a_circle_of_conversions_ends() -> None:
    held, circle = legs(("a", DAYS[0])), successions(("a", "b", DAYS[2]), ("b", "a", DAYS[4]))
    assert set(days_of("a", held, circle)) >= set(DAYS[:2])


def test_no_days_want_nothing() -> None:
    wanted = tracked_days(legs(("coin", MONDAY)), successions(), WEEKDAYS, [])
    assert wanted.is_empty()
    assert wanted.schema == pl.Schema({"asset_id": pl.String(), "date": pl.Date()})


@pytest.mark.parametrize("days", [DAYS, DAYS[:1], DAYS[5:7]])
def test_rows_are_sorted_and_nothing_is_there_twice(days: list[date]) -> None:
    wanted = tracked_days(legs(("coin", MONDAY)), successions(), WEEKDAYS, days)
    assert wanted.equals(wanted.unique().sort("asset_id", "date"))


def test_what_wallets_hold_is_wanted_on_the_days_of_its_span_and_adds_to_what_was_bought() -> None:
    schema = {"asset_id": pl.String, "start": pl.Date, "end": pl.Date}
    held = pl.DataFrame([("token", DAYS[2], DAYS[5]), ("coin", DAYS[1], DAYS[3])], schema=schema, orient="row")
    wanted = tracked_days(legs(("coin", DAYS[6])), successions(), WEEKDAYS, DAYS, held)

    def days(asset: str) -> list[date]:
        return wanted.filter(pl.col("asset_id") == asset)["date"].to_list()

    assert days("token") == DAYS[2:5]
    assert days("coin") == DAYS[1:], "it is asked for from its first day on, whoever had it then"
    assert days(BENCHMARKS["ETH"]) == DAYS
