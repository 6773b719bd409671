"""The providers against a real HTTP server on loopback that has the real ones' limits."""

import json
import logging
import socket
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from pydantic import SecretStr

from portfolio_pipelines.market.fetch import Listing, fetch_quotes
from portfolio_pipelines.market.limiter import MemoryReservations
from portfolio_pipelines.market.providers import build_providers
from portfolio_pipelines.market.quotes import PriceProvider

TODAY = date(2026, 3, 3)
LISTINGS = [
    Listing(
        f"coingecko:{coin}",
        "crypto",
        "daily",
        {"coingecko": coin, "defillama": f"coingecko:{coin}"} | ({"yahoo": pair} if pair else {}),
    )
    for coin, pair in [("bitcoin", "BTC-USD"), ("ethereum", "ETH-USD"), ("solana", "SOL-USD"), ("aave", None)]
] + [Listing("yahoo:^GSPC", "index", "weekdays", {"yahoo": "^GSPC"})]
ONE_DAY = [("coingecko:bitcoin", date(2026, 3, 1), date(2026, 3, 2))]
NAMES = ("coingecko", "defillama", "yahoo")


@pytest.fixture
def build(market: Any, clock: Any) -> Callable[..., tuple[PriceProvider, ...]]:
    def make(*names: str, url: str = "", **options: Any) -> tuple[PriceProvider, ...]:
        address = url or market.url
        given = {
            "coingecko_url": f"{address}/coingecko/api/v3",
            "defillama_url": f"{address}/defillama",
            "yahoo_url": f"{address}/yahoo",
            "reservations": MemoryReservations(),
            "clock": clock,
            "sleep": clock.sleep,
            "timeout_seconds": 5.0,
        }
        return build_providers(names or NAMES, **(given | options))

    return make


def close_of(coin: str, day: date) -> float:
    hours = (datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)).timestamp() // 3600
    return {"bitcoin": 60_000.0, "^GSPC": 6_000.0}[coin] * (1 + hours / 1e6)


def test_a_backfill_of_four_years_prices_every_day_and_records_who_priced_it(
    market: Any, clock: Any, build: Callable[..., Any]
) -> None:
    start, end = date(2022, 3, 4), TODAY + timedelta(days=1)
    needs = [(listing.asset_id, start, end) for listing in LISTINGS]
    quotes = fetch_quotes(needs, build(), LISTINGS, clock.time)

    days = (end - start).days
    crypto = quotes.filter(pl.col("asset_id") != "yahoo:^GSPC")
    assert crypto.filter(pl.col("provider") != "yahoo").height == 4 * days * 2  # one row an asset, day and provider
    priced = quotes.filter(pl.col("outcome") == "ok")
    assert priced.filter(pl.col("asset_id") != "yahoo:^GSPC").select("asset_id", "date").unique().height == 4 * days
    weekdays = sum((start + timedelta(days=offset)).weekday() < 5 for offset in range(days))
    # The index has every weekday but the running one, whose market has not opened at noon UTC.
    assert priced.filter(pl.col("asset_id") == "yahoo:^GSPC").height == weekdays - 1

    coingecko = quotes.filter(pl.col("provider") == "coingecko")
    oldest = TODAY - timedelta(days=365)
    assert set(coingecko.filter(pl.col("date") >= oldest)["outcome"]) == {"ok"}
    assert set(coingecko.filter(pl.col("date") < oldest)["outcome"]) == {"unauthorised"}
    assert market.requests["coingecko"] == 5  # the running day, and the recent year of four coins
    assert market.statuses["coingecko", 401] == 0
    assert set(quotes.filter(pl.col("provider") == "defillama")["outcome"]) == {"ok"}


def test_the_points_of_coingecko_are_the_closes_of_the_day_before_their_stamp(
    build: Callable[..., Any], clock: Any
) -> None:
    for length in (30, 200):  # hourly points, daily points
        start = TODAY - timedelta(days=length)
        quotes = fetch_quotes([("coingecko:bitcoin", start, TODAY)], build(), LISTINGS, clock.time)
        for provider in NAMES:
            found = quotes.filter(pl.col("provider") == provider)
            assert found["close_usd"].to_list() == pytest.approx([close_of("bitcoin", day) for day in found["date"]])
            assert found.height == length


def test_a_provider_that_refuses_above_30_requests_a_minute_is_asked_at_its_own_pace(
    market: Any, clock: Any, build: Callable[..., Any]
) -> None:
    coins = [f"coin-{number}" for number in range(70)]
    listings = [Listing(f"coingecko:{coin}", "crypto", "daily", {"coingecko": coin}) for coin in coins]
    needs = [(listing.asset_id, date(2026, 2, 1), TODAY) for listing in listings]
    quotes = fetch_quotes(needs, build("coingecko"), listings, clock.time)
    assert set(quotes["outcome"]) == {"ok"}
    assert market.statuses["coingecko", 429] == 0
    assert clock.slept == pytest.approx(69 * 60 / 25)


@pytest.mark.parametrize("retry_after", [True, False])
def test_asking_too_fast_is_refused_waited_out_and_completed(
    market: Any, clock: Any, build: Callable[..., Any], retry_after: bool
) -> None:
    market.retry_after = retry_after
    coins = [f"coin-{number}" for number in range(100)]
    listings = [Listing(f"coingecko:{coin}", "crypto", "daily", {"coingecko": coin}) for coin in coins]
    needs = [(listing.asset_id, date(2026, 2, 1), TODAY) for listing in listings]
    quotes = fetch_quotes(needs, build("coingecko", coingecko_per_minute=300), listings, clock.time)
    assert set(quotes["outcome"]) == {"ok"}
    refused = market.statuses["coingecko", 429]
    assert 0 < refused < 40


def test_a_plan_that_turns_out_smaller_costs_one_refusal_and_not_the_recent_year(
    market: Any, clock: Any, build: Callable[..., Any]
) -> None:
    providers = build("coingecko", coingecko_plan="pro", coingecko_api_key=SecretStr("s3cret"))
    needs = [(listing.asset_id, date(2022, 3, 4), TODAY) for listing in LISTINGS[:4]]
    quotes = fetch_quotes(needs, providers, LISTINGS, clock.time)
    assert quotes.filter(pl.col("outcome") == "ok").height == 4 * 365
    assert set(quotes.filter(pl.col("outcome") != "ok")["outcome"]) == {"unauthorised"}
    assert market.statuses["coingecko", 401] == 1


def test_the_running_day_gets_its_latest_price(clock: Any, build: Callable[..., Any]) -> None:
    needs = [("coingecko:bitcoin", TODAY, TODAY + timedelta(days=1))]
    quotes = fetch_quotes(needs, build(), LISTINGS, clock.time)
    assert quotes["outcome"].to_list() == ["ok"] * 3
    assert quotes["source"].to_list() == ["simple/price", "prices/current", "v8/finance/chart"]
    assert quotes["quoted_at"].is_between(clock.time - timedelta(minutes=5), clock.time).all()


def test_the_running_day_of_many_coins_takes_one_call(market: Any, clock: Any, build: Callable[..., Any]) -> None:
    coins = [f"coin-{number}" for number in range(90)]
    listings = [
        Listing(f"coingecko:{coin}", "crypto", "daily", {"coingecko": coin, "defillama": f"coingecko:{coin}"})
        for coin in coins
    ]
    needs = [(listing.asset_id, TODAY, TODAY + timedelta(days=1)) for listing in listings]
    assert set(fetch_quotes(needs, build("coingecko", "defillama"), listings, clock.time)["outcome"]) == {"ok"}
    assert market.requests == {"coingecko": 1, "defillama": 1}


def test_without_a_server_every_row_is_unreachable_after_two_attempts(clock: Any, build: Callable[..., Any]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{probe.getsockname()[1]}"
    needs = [(listing.asset_id, date(2022, 3, 4), TODAY) for listing in LISTINGS]
    quotes = fetch_quotes(needs, build(url=nobody), LISTINGS, clock.time)
    asked = quotes.filter(pl.col("outcome") != "unauthorised")  # too old for the plan: known without a network
    assert set(asked["outcome"]) == {"unreachable"}
    assert set(asked["provider"]) == set(NAMES)
    assert clock.slept < 30
    assert asked["detail"].str.contains("no connection").all()
    assert not asked["detail"].str.contains("127.0.0.1").any()


def test_a_server_that_only_fails_gives_unreachable_rows_and_is_left_alone(
    market: Any, clock: Any, build: Callable[..., Any]
) -> None:
    market.fault = lambda _path: (500, b"Internal Server Error")
    needs = [(listing.asset_id, date(2026, 2, 1), TODAY) for listing in LISTINGS]
    quotes = fetch_quotes(needs, build(), LISTINGS, clock.time)
    assert set(quotes["outcome"]) == {"unreachable"}
    assert max(market.requests.values()) <= 9


def test_a_failure_of_one_coin_does_not_cost_the_others(market: Any, clock: Any, build: Callable[..., Any]) -> None:
    market.fault = lambda path: (502, b"Bad Gateway") if "/bitcoin/" in path else None
    needs = [(listing.asset_id, date(2026, 2, 1), TODAY) for listing in LISTINGS[:4]]
    quotes = fetch_quotes(needs, build("coingecko"), LISTINGS, clock.time)
    by_asset = dict(quotes.group_by("asset_id").agg(pl.col("outcome").unique()).iter_rows())
    assert by_asset.pop("coingecko:bitcoin") == ["unreachable"]
    assert set(map(tuple, by_asset.values())) == {("ok",)}


@pytest.mark.parametrize(
    "body",
    [b"<html>Will be right back</html>", b"", b'{"prices": [[1,', b"[]", b"null", b'"text"', b"\xff\xfe\x00", b"{}"],
)
def test_a_reply_that_is_not_what_was_asked_for_is_invalid(
    market: Any, clock: Any, build: Callable[..., Any], body: bytes
) -> None:
    market.fault = lambda _path: (200, body)
    quotes = fetch_quotes(ONE_DAY, build(), LISTINGS, clock.time)
    assert quotes["outcome"].to_list() == ["invalid"] * 3
    assert quotes["close_usd"].null_count() == 3
    assert quotes["detail"].is_not_null().all()


@pytest.mark.parametrize("price", [0, 0.0, -3.5, float("nan"), float("inf"), "61000", True])
def test_a_price_that_is_no_price_is_invalid(market: Any, clock: Any, build: Callable[..., Any], price: object) -> None:
    market.prices["bitcoin"] = price
    needs = [("coingecko:bitcoin", date(2026, 3, 1), TODAY + timedelta(days=1))]
    quotes = fetch_quotes(needs, build(), LISTINGS, clock.time)
    assert quotes.height == 9
    assert set(quotes["outcome"]) == {"invalid"}
    assert quotes["close_usd"].null_count() == 9


def test_a_coin_that_nobody_knows_has_no_data(market: Any, clock: Any, build: Callable[..., Any]) -> None:
    market.missing.add("bitcoin")
    needs = [
        ("coingecko:bitcoin", date(2026, 2, 1), TODAY + timedelta(days=1)),
        ("coingecko:ethereum", *ONE_DAY[0][1:]),
    ]
    quotes = fetch_quotes(needs, build(), LISTINGS, clock.time)
    bitcoin = quotes.filter(pl.col("asset_id") == "coingecko:bitcoin")
    assert set(bitcoin["outcome"]) == {"no_data"}
    assert bitcoin.height == 31 * 3
    assert set(quotes.filter(pl.col("asset_id") == "coingecko:ethereum")["outcome"]) == {"ok"}


def test_a_reply_slower_than_the_time_out_is_given_up_after_two_attempts(
    market: Any, clock: Any, build: Callable[..., Any]
) -> None:
    market.hangs = True
    needs = [(listing.asset_id, date(2026, 2, 1), TODAY) for listing in LISTINGS]
    quotes = fetch_quotes(needs, build(timeout_seconds=0.25), LISTINGS, clock.time)
    assert set(quotes["outcome"]) == {"unreachable"}
    assert quotes["detail"].str.contains("no reply in time").all()


def test_a_wrong_key_is_asked_for_once(market: Any, clock: Any, build: Callable[..., Any]) -> None:
    market.fault = lambda _path: (401, json.dumps({"status": {"error_code": 10002}}).encode())
    needs = [(listing.asset_id, date(2026, 2, 1), TODAY) for listing in LISTINGS[:4]]
    quotes = fetch_quotes(needs, build("coingecko", coingecko_api_key=SecretStr("s3cret")), LISTINGS, clock.time)
    assert set(quotes["outcome"]) == {"unauthorised"}
    assert market.requests["coingecko"] == 1


def test_one_id_that_defillama_cannot_read_does_not_spoil_the_batch(
    market: Any, clock: Any, build: Callable[..., Any]
) -> None:
    market.fault = lambda path: (400, b'{"message": "bad coin"}') if "solana" in path else None
    needs = [(listing.asset_id, date(2026, 3, 1), date(2026, 3, 2)) for listing in LISTINGS[:4]]
    quotes = fetch_quotes(needs, build("defillama"), LISTINGS, clock.time)
    outcomes = dict(quotes.select("asset_id", "outcome").iter_rows())
    assert outcomes.pop("coingecko:solana") == "invalid"
    assert set(outcomes.values()) == {"ok"}


def test_keys_travel_in_a_header_or_below_the_log_and_never_in_a_row(
    market: Any, clock: Any, build: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = SecretStr("s3cret")
    fetch_quotes(ONE_DAY, build("coingecko", coingecko_api_key=key), LISTINGS, clock.time)
    assert market.headers[-1]["x-cg-demo-api-key"] == "s3cret"
    assert "s3cret" not in market.addresses[-1]
    market.fault = lambda path: (404, f"Cannot GET {path}".encode())
    quotes = fetch_quotes(ONE_DAY, build("defillama", defillama_api_key=key), LISTINGS, clock.time)
    assert market.addresses[-1].startswith("/s3cret/coins/defillama/")
    assert "Cannot GET" in quotes["detail"][0]
    assert "s3cret" not in quotes["detail"][0]
    assert "s3cret" not in caplog.text


def test_yahoo_statuses_become_outcomes(market: Any, clock: Any, build: Callable[..., Any]) -> None:
    said = {"chart": {"result": None, "error": {"code": "Unprocessable Entity", "description": "not available"}}}
    expected = {401: "unauthorised", 404: "no_data", 422: "no_data", 429: "rate_limited", 503: "unreachable"}
    for status, outcome in expected.items():
        market.fault = lambda _path, status=status: (status, json.dumps(said).encode())
        quotes = fetch_quotes([("yahoo:^GSPC", *ONE_DAY[0][1:3])], build("yahoo"), LISTINGS, clock.time)
        assert quotes["outcome"].to_list() == [], status  # 1 March 2026 is a Sunday
        quotes = fetch_quotes([("yahoo:^GSPC", date(2026, 3, 2), TODAY)], build("yahoo"), LISTINGS, clock.time)
        assert quotes["outcome"].to_list() == [outcome], status


def test_the_index_is_priced_by_its_exchange_date(clock: Any, build: Callable[..., Any]) -> None:
    quotes = fetch_quotes([("yahoo:^GSPC", date(2026, 2, 23), TODAY)], build(), LISTINGS, clock.time)
    assert quotes["date"].to_list() == [*(date(2026, 2, day) for day in range(23, 28)), date(2026, 3, 2)]
    assert quotes["close_usd"].to_list() == pytest.approx([close_of("^GSPC", day) for day in quotes["date"]])
