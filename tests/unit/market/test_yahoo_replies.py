from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest

from portfolio_pipelines.market.answers import UnreadableReplyError
from portfolio_pipelines.market.quotes import Outcome
from portfolio_pipelines.market.yahoo import parse_chart


def a_chart(times: list[object], closes: object, **meta: object) -> dict[str, Any]:
    described = {"currency": "USD", "instrumentType": "INDEX", "exchangeTimezoneName": "America/New_York"} | meta
    result = {"meta": described, "timestamp": times, "indicators": {"quote": [{"close": closes}]}}
    return {"chart": {"result": [result], "error": None}}


def seconds(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp())


@pytest.fixture
def cases(recorded: Callable[[str], Any]) -> dict[str, Any]:
    return {case["name"]: case for case in recorded("yahoo_chart_samples.json")["cases"]}


def test_the_recorded_crypto_chart_gives_the_newest_price_of_the_running_utc_day(cases: dict[str, Any]) -> None:
    answer = parse_chart(cases["btc_1d_5m"]["body"], [date(2026, 10, 5)])[date(2026, 10, 5)]
    assert (answer.outcome, answer.close_usd) == (Outcome.OK, 86466.640625)
    assert answer.quoted_at == datetime(2026, 10, 5, 13, 58, 20, tzinfo=UTC)


def test_the_recorded_equity_is_read_by_its_own_closes_although_the_adjusted_ones_are_more(
    cases: dict[str, Any],
) -> None:
    days = [date(2026, 9, 8), date(2026, 9, 9), date(2026, 10, 5)]
    found = parse_chart(cases["equity_1d_with_adjclose_length_mismatch"]["body"], days)
    assert found[days[0]].close_usd == 316.2200012207031
    assert found[days[1]].outcome is Outcome.NO_DATA
    assert found[days[2]].close_usd == 333.82501220703125


def test_a_recorded_unknown_symbol_has_no_data(cases: dict[str, Any]) -> None:
    answer = parse_chart(cases["unknown_symbol"]["body"], [date(2026, 3, 2)])[date(2026, 3, 2)]
    assert answer.outcome is Outcome.NO_DATA
    assert answer.detail == "Yahoo: No data found, symbol may be delisted"


@pytest.mark.parametrize("name", ["quote_empty", "quote_unauthorized_without_crumb"])
def test_a_recorded_reply_of_another_service_is_refused(cases: dict[str, Any], name: str) -> None:
    with pytest.raises(UnreadableReplyError):
        parse_chart(cases[name]["body"], [date(2026, 3, 2)])


def test_times_and_closes_of_different_length_are_never_paired() -> None:
    reply = a_chart([seconds(2026, 3, 2, 14, 30), seconds(2026, 3, 3, 14, 30)], [5000.0])
    with pytest.raises(UnreadableReplyError, match="2 times and 1 closes"):
        parse_chart(reply, [date(2026, 3, 2)])


def test_an_index_bar_belongs_to_the_date_at_its_exchange_in_summer_and_winter() -> None:
    reply = a_chart([seconds(2026, 1, 5, 14, 30), seconds(2026, 7, 6, 13, 30)], [6900.0, 7100.0])
    found = parse_chart(reply, [date(2026, 1, 5), date(2026, 7, 6)])
    assert [answer.close_usd for answer in found.values()] == [6900.0, 7100.0]


def test_a_bar_opened_in_tokyo_belongs_to_the_day_there() -> None:
    reply = a_chart([seconds(2026, 3, 1, 23, 0)], [40000.0], exchangeTimezoneName="Asia/Tokyo")
    assert parse_chart(reply, [date(2026, 3, 2)])[date(2026, 3, 2)].close_usd == 40000.0


def test_without_the_zone_the_offset_decides() -> None:
    reply = a_chart([seconds(2026, 3, 1, 23, 0)], [40000.0], exchangeTimezoneName="No/Where", gmtoffset=32400)
    assert parse_chart(reply, [date(2026, 3, 2)])[date(2026, 3, 2)].close_usd == 40000.0


def test_a_crypto_bar_belongs_to_the_utc_day_whatever_zone_is_named() -> None:
    reply = a_chart([seconds(2026, 3, 2)], [66000.0], instrumentType="CRYPTOCURRENCY")
    assert parse_chart(reply, [date(2026, 3, 2)])[date(2026, 3, 2)].close_usd == 66000.0


def test_of_two_bars_of_one_day_the_later_counts() -> None:
    reply = a_chart([seconds(2026, 3, 2, 20), seconds(2026, 3, 2, 14, 30)], [5010.0, 5000.0])
    assert parse_chart(reply, [date(2026, 3, 2)])[date(2026, 3, 2)].close_usd == 5010.0


def test_a_price_in_another_currency_is_invalid() -> None:
    reply = a_chart([seconds(2026, 3, 2, 14, 30)], [5000.0], currency="EUR")
    answer = parse_chart(reply, [date(2026, 3, 2)])[date(2026, 3, 2)]
    assert answer.outcome is Outcome.INVALID
    assert "EUR" in str(answer.detail)


def test_a_range_without_bars_has_no_data() -> None:
    reply = a_chart([], [])
    del reply["chart"]["result"][0]["timestamp"]
    assert parse_chart(reply, [date(2026, 3, 1)])[date(2026, 3, 1)].outcome is Outcome.NO_DATA


@pytest.mark.parametrize("price", [0, -5.0, float("nan"), float("inf")])
def test_a_price_that_is_none_is_invalid_on_its_day_alone(price: float) -> None:
    reply = a_chart([seconds(2026, 3, 2, 14, 30), seconds(2026, 3, 3, 14, 30)], [price, 5000.0])
    found = parse_chart(reply, [date(2026, 3, 2), date(2026, 3, 3)])
    assert [answer.outcome for answer in found.values()] == [Outcome.INVALID, Outcome.OK]


@pytest.mark.parametrize("time", ["soon", None, 1e300])
def test_a_bar_without_a_readable_time_refuses_the_chart(time: object) -> None:
    with pytest.raises(UnreadableReplyError):
        parse_chart(a_chart([time], [5000.0]), [date(2026, 3, 2)])
