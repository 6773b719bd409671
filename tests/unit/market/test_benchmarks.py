from datetime import date, timedelta

import polars as pl

from portfolio_pipelines.market.benchmarks import CARRIED_OVER, benchmark_closes
from portfolio_pipelines.market.tracking import BENCHMARKS
from portfolio_pipelines.tables import BENCHMARKS_SCHEMA, PRICES_SCHEMA

FRIDAY = date(2024, 3, 8)
SATURDAY, SUNDAY, MONDAY = (FRIDAY + timedelta(days=n) for n in (1, 2, 3))
INDEX, BITCOIN = BENCHMARKS["SP500"], BENCHMARKS["BTC"]
WEEKDAYS = frozenset({INDEX})


def price(asset: str, day: date, close: float | None, last: float | None = None, last_day: date | None = None) -> dict:
    return {
        "asset_id": asset,
        "date": day,
        "close_usd": close,
        "status": "ok" if close else "stale",
        "n_quotes": 1,
        "is_final": True,
        "last_close_usd": close or last,
        "last_close_date": day if close else last_day,
    }


def closes(rows: list[dict], days: list[date]) -> list[dict]:
    frame = benchmark_closes(pl.DataFrame(rows, schema=PRICES_SCHEMA), WEEKDAYS, days)
    assert frame.schema == BENCHMARKS_SCHEMA
    return frame.rows(named=True)


def test_over_a_weekend_the_index_keeps_the_close_of_friday_and_says_so() -> None:
    rows = closes([price(INDEX, FRIDAY, 5_100.0), price(INDEX, MONDAY, 5_120.0)], [FRIDAY, SATURDAY, SUNDAY, MONDAY])
    assert [(row["date"], row["close_usd"], row["price_date"], row["is_trading_day"]) for row in rows] == [
        (FRIDAY, 5_100.0, FRIDAY, True),
        (SATURDAY, 5_100.0, FRIDAY, False),
        (SUNDAY, 5_100.0, FRIDAY, False),
        (MONDAY, 5_120.0, MONDAY, True),
    ]
    assert {row["status"] for row in rows} == {"ok"}  # a weekend makes nothing stale


def test_the_close_before_the_days_asked_for_is_carried_into_them() -> None:
    (row,) = closes([price(INDEX, FRIDAY, 5_100.0)], [SUNDAY])
    assert (row["close_usd"], row["price_date"]) == (5_100.0, FRIDAY)


def test_on_a_holiday_the_index_keeps_its_close_and_is_not_traded() -> None:
    holiday = price(INDEX, MONDAY, None, last=5_100.0, last_day=FRIDAY)
    (row,) = closes([price(INDEX, FRIDAY, 5_100.0), holiday], [MONDAY])
    assert (row["close_usd"], row["price_date"], row["is_trading_day"], row["status"]) == (
        5_100.0,
        FRIDAY,
        False,
        "stale",
    )


def test_a_close_older_than_a_long_weekend_is_not_carried() -> None:
    day = FRIDAY + CARRIED_OVER
    assert len(closes([price(INDEX, FRIDAY, 5_100.0)], [day])) == 1
    assert closes([price(INDEX, FRIDAY, 5_100.0)], [day + timedelta(days=1)]) == []


def test_a_coin_has_a_row_only_on_days_on_which_it_has_a_price_of_its_own() -> None:
    rows = closes([price(BITCOIN, FRIDAY, 68_000.0)], [FRIDAY, SATURDAY])
    assert [(row["benchmark"], row["date"]) for row in rows] == [("BTC", FRIDAY)]


def test_a_benchmark_without_any_price_has_no_row_instead_of_a_made_up_one() -> None:
    never_priced = price(BITCOIN, FRIDAY, None)
    assert closes([never_priced], [FRIDAY]) == []


def test_other_assets_are_no_benchmarks_and_rows_are_sorted() -> None:
    rows = closes([price("coin", FRIDAY, 1.0), *(price(asset, FRIDAY, 5.0) for asset in BENCHMARKS.values())], [FRIDAY])
    assert [row["benchmark"] for row in rows] == sorted(BENCHMARKS)


def test_one_day_at_a_time_gives_the_same_rows() -> None:
    prices = [price(INDEX, FRIDAY, 5_100.0), price(INDEX, MONDAY, 5_120.0)]
    prices += [price(BITCOIN, FRIDAY + timedelta(days=n), 68_000.0 + n) for n in range(4)]
    days = [FRIDAY, SATURDAY, SUNDAY, MONDAY]
    assert closes(prices, days) == [row for day in days for row in closes(prices, [day])]
