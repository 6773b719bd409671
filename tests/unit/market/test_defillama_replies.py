import json
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.market.answers import UnreadableReplyError, close_time
from portfolio_pipelines.market.defillama import (
    BATCH,
    CHART_POINTS,
    TOLERANCE_SECONDS,
    parse_chart,
    parse_prices,
    plan_calls,
)
from portfolio_pipelines.market.quotes import Outcome

DAY = date(2026, 3, 1)


def test_every_recorded_reply_is_read(recorded: Callable[[str], Any]) -> None:
    read = missing = 0
    for recording in recorded("defillama_prices_real.jsonl"):
        path = urlsplit(recording["url"]).path
        ids = path.rsplit("/", 1)[1].split(",")
        body = json.loads(recording["body"])
        for coin in ids:
            quoted = body["coins"].get(coin, {}).get("timestamp", 0)
            answer = parse_prices(body, [coin], "prices/current", quoted, TOLERANCE_SECONDS)[coin]
            assert answer.outcome is (Outcome.OK if coin in body["coins"] else Outcome.NO_DATA), recording["url"]
            read += answer.outcome is Outcome.OK
            missing += answer.outcome is Outcome.NO_DATA
    assert read >= 40
    assert missing >= 5


def test_a_recorded_historical_price_counts_only_near_the_time_it_was_asked_for(
    recorded: Callable[[str], Any],
) -> None:
    recording = next(
        item for item in recorded("defillama_prices_real.jsonl") if "/historical/1604437979/" in item["url"]
    )
    body, coin = json.loads(recording["body"]), "coingecko:binancecoin"
    near = parse_prices(body, [coin], "prices/historical", 1604437979, TOLERANCE_SECONDS)[coin]
    assert near.close_usd == 26.765469766407215
    far = parse_prices(body, [coin], "prices/historical", 1604437979 + 86_400, TOLERANCE_SECONDS)[coin]
    assert (far.outcome, far.close_usd) == (Outcome.NO_DATA, None)
    assert "24.1 h away" in str(far.detail)


@pytest.mark.parametrize("confidence", [0.19, 0, -1, float("nan"), "high"])
def test_a_price_that_defillama_itself_doubts_is_invalid(confidence: object) -> None:
    coin = {"price": 5.0, "timestamp": close_time(DAY), "confidence": confidence}
    answer = parse_prices({"coins": {"a:b": coin}}, ["a:b"], "prices/historical", close_time(DAY), 60)["a:b"]
    assert (answer.outcome, answer.close_usd) == (Outcome.INVALID, None)
    assert "confidence" in str(answer.detail)


def test_a_price_without_a_confidence_is_believed() -> None:
    coin = {"price": 5.0, "timestamp": close_time(DAY)}
    answer = parse_prices({"coins": {"a:b": coin}}, ["a:b"], "prices/historical", close_time(DAY), 60)["a:b"]
    assert answer.close_usd == 5.0


def test_a_chart_gives_each_day_the_point_at_its_24_00() -> None:
    days = [DAY + timedelta(days=offset) for offset in range(3)]
    points = [{"timestamp": close_time(day) - 40, "price": 10.0 + index} for index, day in enumerate(days)]
    del points[1]
    coin = {"symbol": "BTC", "confidence": 0.99, "decimals": 8, "prices": points}
    found = parse_chart({"coins": {"coingecko:bitcoin": coin}}, {"coingecko:bitcoin": days, "coingecko:none": days})
    assert [found["coingecko:bitcoin", day].close_usd for day in days] == [10.0, None, 12.0]
    assert {found["coingecko:none", day].outcome for day in days} == {Outcome.NO_DATA}


@pytest.mark.parametrize("reply", [[], {}, {"coins": []}, {"coins": {"a:b": 5}}, {"coins": {"a:b": {"price": 5.0}}}])
def test_a_reply_of_another_shape_is_refused_as_a_whole(reply: object) -> None:
    with pytest.raises(UnreadableReplyError):
        parse_prices(reply, ["a:b"], "prices/current", 0, 60)


def test_one_day_of_many_coins_takes_one_call_a_hundred_coins() -> None:
    charts, days = plan_calls({f"coingecko:{number}": [DAY] for number in range(250)})
    assert charts == []
    assert [len(ids) for _, ids in days] == [100, 100, 50]


def test_four_years_of_one_coin_take_three_chart_calls() -> None:
    days = [DAY - timedelta(days=offset) for offset in reversed(range(1461))]
    charts, single = plan_calls({"coingecko:bitcoin": days})
    assert [call.days for call in charts] == [500, 500, 461]
    assert single == []


@given(
    st.dictionaries(
        st.sampled_from([f"coingecko:{number}" for number in range(130)]),
        st.tuples(st.integers(0, 1200), st.integers(1, 1200), st.integers(1, 9)),
        max_size=130,
    )
)
def test_every_wanted_day_is_in_exactly_one_call_and_no_call_is_too_large(
    wanted: dict[str, tuple[int, int, int]],
) -> None:
    closed = {
        symbol: [DAY + timedelta(days=start + offset) for offset in range(0, length, step)]
        for symbol, (start, length, step) in wanted.items()
    }
    charts, single = plan_calls(closed)
    asked: list[tuple[str, date]] = []
    for call in charts:
        assert len(call.ids) <= BATCH
        assert len(call.ids) * call.days <= CHART_POINTS
        window = {call.first_day + timedelta(days=offset) for offset in range(call.days)}
        asked += [(symbol, day) for symbol in call.ids for day in closed[symbol] if day in window]
    for day, ids in single:
        assert len(ids) <= BATCH
        asked += [(symbol, day) for symbol in ids]
    assert sorted(asked) == sorted((symbol, day) for symbol, days in closed.items() for day in days)
