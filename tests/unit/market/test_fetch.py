from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from portfolio_pipelines.market.answers import Answer, Wanted
from portfolio_pipelines.market.fetch import Listing, fetch_quotes
from portfolio_pipelines.market.providers import build_providers
from portfolio_pipelines.market.quotes import QUOTES, Outcome, SeriesRequest
from portfolio_pipelines.market.sample import SampleMarket

NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)
BITCOIN = Listing("coingecko:bitcoin", "crypto", "daily", {"first": "bitcoin", "second": "BTC-USD"})
ETHEREUM = Listing("coingecko:ethereum", "crypto", "daily", {"first": "ethereum"})
INDEX = Listing("yahoo:^GSPC", "index", "weekdays", {"second": "^GSPC"})
STETH = Listing("file:STETH", "file", "daily")
LISTINGS = [BITCOIN, ETHEREUM, INDEX, STETH]
WEEK = (date(2026, 2, 23), date(2026, 3, 2))  # Monday to Sunday


class Fixed:
    """Answers every day with the same outcome and keeps what it was asked for."""

    def __init__(self, name: str, outcome: Outcome = Outcome.OK) -> None:
        self.name, self.outcome = name, outcome
        self.calls: list[list[SeriesRequest]] = []

    def fetch(self, requests: Sequence[SeriesRequest], now: datetime) -> pl.DataFrame:
        self.calls.append(list(requests))
        wanted = Wanted(requests, now)
        close = 5.0 if self.outcome is Outcome.OK else None
        answer = Answer("fixed", self.outcome, close, None if close else "out of order")
        return wanted.frame(self.name, {(wanted.symbol_of(asset), day): answer for asset, day in wanted.pairs})

    @property
    def asked(self) -> list[tuple[str, str, date]]:
        return [
            (request.asset_id, request.symbol, request.start + timedelta(days=offset))
            for call in self.calls
            for request in call
            for offset in range((request.end - request.start).days)
        ]


def test_every_provider_that_knows_an_asset_is_asked_once_for_each_day() -> None:
    first, second = Fixed("first"), Fixed("second")
    needs = [("coingecko:bitcoin", *WEEK), ("coingecko:bitcoin", date(2026, 2, 25), date(2026, 2, 27))]
    quotes = fetch_quotes([*needs, ("coingecko:ethereum", *WEEK)], [first, second], LISTINGS, NOW)
    assert len(first.asked) == len(set(first.asked)) == 14
    assert {symbol for _, symbol, _ in second.asked} == {"BTC-USD"}
    assert quotes.schema == QUOTES
    assert quotes.height == 21
    assert quotes.select("asset_id", "date", "provider").is_unique().all()
    assert quotes.equals(quotes.sort("asset_id", "date", "provider"))


def test_an_index_is_not_asked_for_on_a_weekend() -> None:
    second = Fixed("second")
    quotes = fetch_quotes([("yahoo:^GSPC", *WEEK)], [second], LISTINGS, NOW)
    assert quotes["date"].to_list() == [date(2026, 2, 23) + timedelta(days=offset) for offset in range(5)]
    assert fetch_quotes([("yahoo:^GSPC", date(2026, 2, 28), date(2026, 3, 2))], [second], LISTINGS, NOW).is_empty()


def test_failures_are_rows_too() -> None:
    quotes = fetch_quotes(
        [("coingecko:bitcoin", *WEEK)], [Fixed("first"), Fixed("second", Outcome.NO_DATA)], LISTINGS, NOW
    )
    assert quotes["outcome"].value_counts().sort("outcome").rows() == [("no_data", 7), ("ok", 7)]


def test_needs_may_be_a_frame() -> None:
    needs = pl.DataFrame({"asset_id": ["coingecko:bitcoin"], "start": [WEEK[0]], "end": [WEEK[1]]})
    assert fetch_quotes(needs, [Fixed("first")], {listing.asset_id: listing for listing in LISTINGS}, NOW).height == 7


def test_an_asset_that_only_a_file_knows_is_asked_of_the_sample_market_alone() -> None:
    needs = [("file:STETH", *WEEK)]
    assert fetch_quotes(needs, [Fixed("first")], LISTINGS, NOW).is_empty()
    assert set(fetch_quotes(needs, [SampleMarket()], LISTINGS, NOW)["provider"]) == {"sample"}


def test_a_provider_that_never_answers_is_left_alone_and_each_day_says_so() -> None:
    start = date(2022, 1, 1)
    listings = [Listing(f"coingecko:{number}", "crypto", "daily", {"first": f"{number}"}) for number in range(20)]
    needs = [(listing.asset_id, start, start + timedelta(days=1000)) for listing in listings]
    first = Fixed("first", Outcome.UNREACHABLE)
    quotes = fetch_quotes(needs, [first], listings, NOW)
    assert len(first.calls) == 2
    assert quotes.height == 20_000
    assert set(quotes["outcome"]) == {"unreachable"}
    assert set(quotes["detail"]) == {"out of order", "not asked after: out of order"}


def test_progress_reaches_the_end_for_every_provider() -> None:
    told: list[tuple[int, int, str]] = []
    start = date(2022, 1, 1)
    needs = [(asset, start, start + timedelta(days=1461)) for asset in ("coingecko:bitcoin", "coingecko:ethereum")]
    fetch_quotes(
        needs,
        [Fixed("first"), Fixed("second")],
        LISTINGS,
        NOW,
        lambda done, total, name: told.append((done, total, name)),
    )
    assert [step[:2] for step in told if step[2] == "first"] == [(0, 2922), (1461, 2922), (2922, 2922)]
    assert [step[:2] for step in told if step[2] == "second"] == [(0, 1461), (1461, 1461)]


def test_an_asset_without_listing_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="coingecko:unknown has no listing"):
        fetch_quotes([("coingecko:unknown", *WEEK)], [Fixed("first")], LISTINGS, NOW)


def test_an_empty_range_and_a_repeated_provider_are_refused() -> None:
    with pytest.raises(ValueError, match="no days"):
        fetch_quotes([("coingecko:bitcoin", WEEK[0], WEEK[0])], [Fixed("first")], LISTINGS, NOW)
    with pytest.raises(ValueError, match="asked once"):
        fetch_quotes([("coingecko:bitcoin", *WEEK)], [Fixed("first"), Fixed("first")], LISTINGS, NOW)


def test_nothing_needed_gives_an_empty_frame_of_quotes() -> None:
    assert fetch_quotes([], [Fixed("first")], LISTINGS, NOW).schema == QUOTES


def test_providers_come_in_the_order_of_their_names() -> None:
    providers = build_providers(["yahoo", "coingecko", "defillama", "sample"])
    assert [provider.name for provider in providers] == ["yahoo", "coingecko", "defillama", "sample"]


@pytest.mark.parametrize("names", [["coingeko"], ["yahoo", "yahoo"]])
def test_unknown_and_repeated_provider_names_are_refused(names: list[str]) -> None:
    with pytest.raises(ValueError, match="different ones of coingecko, defillama, yahoo, sample"):
        build_providers(names)
