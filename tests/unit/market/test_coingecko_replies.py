import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from portfolio_pipelines.market.answers import UnreadableReplyError, answers_from_points, close_time
from portfolio_pipelines.market.coingecko import (
    TOLERANCE_SECONDS,
    CoinGecko,
    error_code,
    parse_market_chart,
    parse_simple_price,
)
from portfolio_pipelines.market.limiter import Limiter
from portfolio_pipelines.market.quotes import Outcome

NOW = datetime(2026, 3, 3, 12, tzinfo=UTC).timestamp()


def test_a_daily_point_stamped_00_00_is_the_close_of_the_day_before() -> None:
    second, third = close_time(date(2026, 3, 1)), close_time(date(2026, 3, 2))  # 00:00 of 2 and 3 March
    points = parse_market_chart({"prices": [[int(second) * 1000, 61.0], [int(third) * 1000, 62.0]]})
    found = answers_from_points(points, [date(2026, 3, 1), date(2026, 3, 2)], "chart", TOLERANCE_SECONDS)
    assert {day: answer.close_usd for day, answer in found.items()} == {
        date(2026, 3, 1): 61.0,
        date(2026, 3, 2): 62.0,
    }


def test_the_documented_market_chart_is_read(recorded: Callable[[str], Any]) -> None:
    example = recorded("coingecko_oas_examples.json")["paths"]["/coins/{id}/market_chart/range"]["example"]
    points = parse_market_chart(example)
    assert points == [(1779027899.041, 77953.82550382407), (1779028199.661, 78052.87543398788)]


def test_the_documented_current_price_is_read(recorded: Callable[[str], Any]) -> None:
    example = recorded("coingecko_oas_examples.json")["paths"]["/simple/price"]["example"]
    answer = parse_simple_price(example, ["bitcoin"], 1779092300)["bitcoin"]
    assert (answer.outcome, answer.close_usd) == (Outcome.OK, 76975.0)
    assert answer.quoted_at == datetime(2026, 5, 18, 8, 17, 38, tzinfo=UTC)


def test_every_recorded_current_price_in_usd_is_read(recorded: Callable[[str], Any]) -> None:
    read = 0
    for recording in recorded("coingecko_real.jsonl.gz"):
        address = urlsplit(recording["url"])
        asked = parse_qs(address.query)
        if not address.path.rstrip("/").endswith("simple/price") or asked["vs_currencies"] != ["usd"]:
            continue
        ids = asked["ids"][0].split(",")
        body = json.loads(recording["body"])
        for coin, answer in parse_simple_price(body, ids, NOW).items():
            assert (answer.outcome is Outcome.OK) == (coin in body), recording["url"]
            read += answer.outcome is Outcome.OK
    assert read > 20


def test_a_coin_that_is_not_in_the_reply_has_no_data() -> None:
    answers = parse_simple_price({"bitcoin": {"usd": 1.5}}, ["bitcoin", "no-such-coin"], NOW)
    assert answers["no-such-coin"].outcome is Outcome.NO_DATA
    assert "no-such-coin" in str(answers["no-such-coin"].detail)


def test_a_current_price_of_yesterday_is_not_current() -> None:
    reply = {"luna": {"usd": 0.5, "last_updated_at": int(NOW) - 90_000}}
    assert parse_simple_price(reply, ["luna"], NOW)["luna"].outcome is Outcome.NO_DATA


@pytest.mark.parametrize("reply", [[], None, "text", {}, {"prices": None}, {"prices": [[1]]}, {"prices": [["x", 1.0]]}])
def test_a_market_chart_of_another_shape_is_refused_as_a_whole(reply: object) -> None:
    with pytest.raises(UnreadableReplyError):
        parse_market_chart(reply)


def test_the_error_code_is_found_however_deep_it_sits() -> None:
    deep = {"error": {"status": {"timestamp": "2024-04-20T22:00:05Z", "error_code": 10012, "error_message": "…"}}}
    assert error_code(json.dumps(deep).encode()) == 10012
    assert error_code(b'{"status": {"error_code": 429}}') == 429
    assert error_code(b'{"error": "coin not found"}') is None
    assert error_code(b"<html>") is None


def test_an_unknown_plan_and_an_address_without_scheme_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown CoinGecko plan"):
        CoinGecko(Limiter("coingecko", 25), plan="gold")
    with pytest.raises(ValueError, match="URL of coingecko"):
        CoinGecko(Limiter("coingecko", 25), url="localhost:8080")
