"""A past that changed shows: what was served, what is served now, since when, and why."""

import itertools
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio_pipelines.market.consensus import OVERRIDES, STATE, ConsensusPolicy, decide_prices
from portfolio_pipelines.market.quotes import QUOTES, Outcome
from portfolio_pipelines.market.restatements import restate
from portfolio_pipelines.tables import RESTATEMENTS_SCHEMA

DAY = date(2024, 3, 6)
CLOSE = datetime.combine(DAY + timedelta(days=1), time(), UTC)
POLICY = ConsensusPolicy()


def at(hours: float) -> datetime:
    return CLOSE + timedelta(hours=hours)


def quote(close: float | None, hours: float, provider: str = "coingecko", outcome: str = Outcome.OK) -> dict[str, Any]:
    return {
        "asset_id": "coin",
        "date": DAY,
        "provider": provider,
        "source": f"{provider} endpoint",
        "close_usd": close,
        "outcome": outcome,
        "detail": None,
        "quoted_at": None,
        "requested_at": at(hours),
        "known_at": at(hours),
    }


def override(close: float, hours: float, withdrawn: float | None = None) -> dict[str, Any]:
    return {
        "asset_id": "coin",
        "date": DAY,
        "close_usd": close,
        "who": "ann",
        "known_at": at(hours),
        "withdrawn_at": None if withdrawn is None else at(withdrawn),
    }


def restated(quotes: list[dict[str, Any]], overrides: list[dict[str, Any]] | None = None) -> list[tuple[Any, ...]]:
    frame = restate(pl.DataFrame(quotes, schema=QUOTES), pl.DataFrame(overrides or [], schema=OVERRIDES), POLICY)
    assert frame.schema == RESTATEMENTS_SCHEMA
    return frame.select("known_at", "old_close_usd", "new_close_usd", "cause").rows()


def test_the_first_close_is_no_restatement() -> None:
    assert restated([quote(10.0, 1)]) == []


def test_a_provider_that_corrects_itself_restates_the_day() -> None:
    assert restated([quote(10.0, 1), quote(10.5, 30)]) == [(at(30), 10.0, 10.5, "provider_restated")]


def test_the_same_price_again_is_no_restatement() -> None:
    assert restated([quote(10.0, 1), quote(10.0, 30)]) == []


def test_a_failure_is_no_restatement() -> None:
    assert restated([quote(10.0, 1), quote(None, 30, outcome=Outcome.UNREACHABLE)]) == []


def test_the_running_day_may_change_its_mind_as_it_likes() -> None:
    assert restated([quote(9.0, -12), quote(9.5, -6), quote(10.0, 1)]) == []


def test_a_provider_that_answers_late_and_is_preferred_is_a_new_quote() -> None:
    assert restated([quote(10.0, 1, "yahoo"), quote(10.1, 30)]) == [(at(30), 10.0, 10.1, "new_quote")]


def test_a_provider_that_answers_late_and_only_agrees_changes_nothing() -> None:
    assert restated([quote(10.0, 1), quote(10.1, 30, "yahoo")]) == []


def test_an_override_and_its_withdrawal_are_both_on_record() -> None:
    assert restated([quote(10.0, 1)], [override(12.0, 50, withdrawn=60)]) == [
        (at(50), 10.0, 12.0, "manual_override"),
        (at(60), 12.0, 10.0, "override_withdrawn"),
    ]


def test_an_override_that_confirms_the_same_price_is_no_restatement() -> None:
    assert restated([quote(10.0, 1)], [override(10.0, 50)]) == []


def test_sources_are_named() -> None:
    frame = restate(
        pl.DataFrame([quote(10.0, 1, "yahoo"), quote(10.1, 30)], schema=QUOTES), pl.DataFrame(schema=OVERRIDES), POLICY
    )
    assert frame.select("old_source", "new_source").row(0) == ("yahoo endpoint", "coingecko endpoint")


answers = st.builds(
    quote,
    st.sampled_from([10.0, 10.2, 10.4, 12.0, 12.3]),
    st.sampled_from([-5, 1, 2, 30, 40]),
    st.sampled_from(["coingecko", "yahoo", "file"]),
)


@given(
    st.lists(answers, max_size=8, unique_by=lambda row: (row["provider"], row["known_at"])),
    st.sampled_from([[], [override(12.0, 50)], [override(12.0, 35, withdrawn=38)]]),
)
@settings(max_examples=80, deadline=None)
def test_the_last_restatement_leads_to_the_close_that_is_served(
    quotes: list[dict[str, Any]], overrides: list[dict[str, Any]]
) -> None:
    frame, manual = pl.DataFrame(quotes, schema=QUOTES), pl.DataFrame(overrides, schema=OVERRIDES)
    served = decide_prices(frame, manual, pl.DataFrame(schema=STATE), frozenset(), [DAY], POLICY)
    changes = restated(quotes, overrides)
    assert all(before[2] == after[1] for before, after in itertools.pairwise(changes))  # one long chain
    if changes and served.height:
        assert changes[-1][2] == served["close_usd"][0]
    if changes and not served.height:  # only a withdrawn override is left
        assert not quotes
