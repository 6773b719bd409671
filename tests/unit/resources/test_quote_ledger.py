"""The ledger of quotes: nothing is lost, nothing is kept twice, and what is settled is not asked again."""

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from portfolio_pipelines.market.quotes import QUOTES, Outcome
from portfolio_pipelines.resources.quote_ledger import QuoteLedger, missing_ranges

DAY = date(2024, 3, 6)
NEXT = DAY + timedelta(days=1)


def answer(
    close: float | None = 10.0,
    hours_after_close: float = 1,
    *,
    outcome: str = Outcome.OK,
    source: str = "history",
    day: date = DAY,
    provider: str = "coingecko",
) -> dict[str, Any]:
    at = datetime.combine(day + timedelta(days=1), time(), UTC) + timedelta(hours=hours_after_close)
    return {
        "asset_id": "coin",
        "date": day,
        "provider": provider,
        "source": source,
        "close_usd": close,
        "outcome": outcome,
        "detail": None,
        "quoted_at": None,
        "requested_at": at,
        "known_at": at,
    }


def failure(
    hours_after_close: float = 1, outcome: str = Outcome.UNREACHABLE, source: str = "history"
) -> dict[str, Any]:
    return answer(None, hours_after_close, outcome=outcome, source=source)


@pytest.fixture
def ledger(tmp_path: Path) -> QuoteLedger:
    return QuoteLedger(tmp_path)


def kept(ledger: QuoteLedger, *answers: dict[str, Any]) -> int:
    """How many answers are there after adding these one after the other."""
    for one in answers:
        ledger.append(pl.DataFrame([one], schema=QUOTES))
    return ledger.read(DAY, NEXT).height


def test_what_was_added_is_read_back(ledger: QuoteLedger) -> None:
    quotes = pl.DataFrame([answer(), answer(day=NEXT), answer(11.0, provider="yahoo")], schema=QUOTES)
    assert ledger.append(quotes) == [DAY, NEXT]
    read = ledger.read(DAY, NEXT + timedelta(days=1)).select("date", "provider", "close_usd").rows()
    assert read == [(DAY, "coingecko", 10.0), (DAY, "yahoo", 11.0), (NEXT, "coingecko", 10.0)]
    assert ledger.read(NEXT, NEXT + timedelta(days=30)).height == 1


def test_the_same_answer_again_adds_nothing(ledger: QuoteLedger) -> None:
    assert kept(ledger, answer(hours_after_close=1), answer(hours_after_close=2)) == 1


def test_the_same_price_counts_again_when_it_makes_the_day_final(ledger: QuoteLedger) -> None:
    assert kept(ledger, answer(hours_after_close=-2), answer(hours_after_close=1), answer(hours_after_close=24)) == 3
    assert kept(ledger, answer(hours_after_close=100)) == 3


def test_another_price_is_another_answer(ledger: QuoteLedger) -> None:
    assert kept(ledger, answer(10.0, 30), answer(10.1, 40)) == 2


def test_the_same_price_through_another_endpoint_says_nothing_new(ledger: QuoteLedger) -> None:
    assert kept(ledger, answer(10.0, 30, source="history"), answer(10.0, 40, source="chart")) == 1


def test_a_failure_repeated_through_another_endpoint_says_nothing_new(ledger: QuoteLedger) -> None:
    assert kept(ledger, failure(30, source="history"), failure(40, source="chart")) == 1


def test_a_price_after_a_failure_and_a_failure_after_a_price_are_both_kept(ledger: QuoteLedger) -> None:
    assert kept(ledger, failure(30), answer(10.0, 31), failure(32)) == 3


@pytest.mark.parametrize(
    ("one", "settled"),
    [
        (answer(hours_after_close=24), True),
        (answer(hours_after_close=23), False),
        (failure(30, Outcome.NO_DATA), True),
        (failure(30, Outcome.UNAUTHORISED), True),
        (failure(30, Outcome.UNREACHABLE), False),
        (failure(30, Outcome.RATE_LIMITED), False),
    ],
)
def test_settled_is_what_was_answered_for_good(ledger: QuoteLedger, one: dict[str, Any], settled: bool) -> None:
    kept(ledger, one)
    assert ledger.settled(DAY, NEXT).height == settled


def test_what_is_missing_is_asked_for_in_ranges() -> None:
    days = [DAY + timedelta(days=n) for n in range(5)]
    wanted = pl.DataFrame({"asset_id": ["coin"] * 5, "date": days})
    settled = pl.DataFrame({"asset_id": ["coin"], "date": [days[2]], "provider": ["yahoo"]})
    ranges = missing_ranges(wanted, settled, ["coingecko", "yahoo"])
    assert ranges.select("provider", "start", "end").rows() == [
        ("coingecko", days[0], days[4] + timedelta(days=1)),
        ("yahoo", days[0], days[2]),
        ("yahoo", days[3], days[4] + timedelta(days=1)),
    ]


def test_closes_that_differ_from_the_newest_ones_of_the_same_provider_are_counted(ledger: QuoteLedger) -> None:
    file = {"provider": "file", "source": "prices.csv"}
    kept(ledger, answer(10.0, **file), answer(11.0, 2, **file), answer(20.0, day=NEXT, **file), answer(99.0))
    again = [answer(10.0, 3, **file), answer(20.0, 3, day=NEXT, **file), answer(1.0, day=NEXT + timedelta(40), **file)]
    assert ledger.differing(pl.DataFrame(again, schema=QUOTES)) == 1
    assert ledger.differing(pl.DataFrame([answer(11.0, 3, **file)], schema=QUOTES)) == 0
    assert ledger.differing(pl.DataFrame([answer(5.0, provider="yahoo")], schema=QUOTES)) == 0
