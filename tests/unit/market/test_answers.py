from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from portfolio_pipelines.market.answers import Answer, Wanted, answers_from_points, close_time, price_answer
from portfolio_pipelines.market.quotes import QUOTES, Outcome, SeriesRequest

NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)
DAY = date(2026, 3, 1)


def a_request(start: date, end: date, symbol: str = "bitcoin", asset: str = "coingecko:bitcoin") -> SeriesRequest:
    return SeriesRequest(asset, symbol, start, end)


NO_PRICES = [0, 0.0, -1, -0.0, float("nan"), float("inf"), -float("inf"), "12", True, [], 10**400]


@pytest.mark.parametrize("price", NO_PRICES)
def test_only_a_positive_finite_number_is_a_price(price: object) -> None:
    answer = price_answer(price, "somewhere")
    assert (answer.outcome, answer.close_usd) == (Outcome.INVALID, None)
    assert answer.detail


def test_null_is_no_data_and_not_a_wrong_price() -> None:
    assert price_answer(None, "somewhere").outcome is Outcome.NO_DATA


def test_a_very_small_price_is_a_price() -> None:
    assert price_answer(1e-12, "somewhere").close_usd == 1e-12


def test_the_close_of_a_day_is_the_point_nearest_to_its_24_00() -> None:
    end = close_time(DAY)
    points = [(end + 900, 3.0), (end - 1200, 2.0), (end - 86_400, 1.0)]
    found = answers_from_points(points, [DAY - timedelta(days=1), DAY], "chart", 7200)
    assert [answer.close_usd for answer in found.values()] == [1.0, 3.0]
    assert found[DAY].quoted_at == datetime(2026, 3, 2, 0, 15, tzinfo=UTC)


def test_a_point_too_far_from_24_00_is_no_close() -> None:
    found = answers_from_points([(close_time(DAY) - 7201, 2.0)], [DAY], "chart", 7200)
    assert found[DAY].outcome is Outcome.NO_DATA
    assert "2.0 h away" in str(found[DAY].detail)


def test_without_any_point_every_day_still_gets_an_answer() -> None:
    assert answers_from_points([], [DAY], "chart", 7200)[DAY].outcome is Outcome.NO_DATA


def test_one_row_for_each_wanted_day_even_when_ranges_overlap() -> None:
    wanted = Wanted([a_request(DAY, date(2026, 3, 3)), a_request(date(2026, 3, 2), date(2026, 3, 4))], NOW)
    assert wanted.closed == {"bitcoin": [DAY, date(2026, 3, 2)]}
    assert wanted.running == ["bitcoin"]
    days = [DAY, date(2026, 3, 2), date(2026, 3, 3)]
    frame = wanted.frame("coingecko", {("bitcoin", day): Answer("chart", Outcome.NO_DATA) for day in days})
    assert frame.schema == QUOTES
    assert frame["date"].to_list() == days
    assert frame["requested_at"].to_list() == [NOW] * 3


def test_two_assets_may_share_a_symbol() -> None:
    wanted = Wanted([a_request(DAY, date(2026, 3, 2)), a_request(DAY, date(2026, 3, 2), asset="file:BTC")], NOW)
    frame = wanted.frame("coingecko", {("bitcoin", DAY): Answer("chart", Outcome.OK, 5.0)})
    assert frame["asset_id"].to_list() == ["coingecko:bitcoin", "file:BTC"]
    assert frame["close_usd"].to_list() == [5.0, 5.0]


def test_the_running_day_is_the_one_of_utc() -> None:
    evening_in_new_york = datetime(2026, 3, 2, 22, tzinfo=timezone(timedelta(hours=-5)))
    assert Wanted([], evening_in_new_york).today == date(2026, 3, 3)


@pytest.mark.parametrize(
    ("requests", "fault"),
    [
        ([a_request(DAY, DAY)], "has no days"),
        ([a_request(date(2026, 3, 3), date(2026, 3, 5))], "2026-03-04 has not begun"),
        ([a_request(DAY, date(2026, 3, 2), symbol=" ")], "symbol is empty"),
        ([a_request(DAY, date(2026, 3, 2)), a_request(DAY, date(2026, 3, 2), symbol="btc")], "has one symbol"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(requests: list[SeriesRequest], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Wanted(requests, NOW)


def test_a_request_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        Wanted([], NOW.replace(tzinfo=None))
