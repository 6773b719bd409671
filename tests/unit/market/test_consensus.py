"""One close out of many quotes: who is believed, what is carried, when a day is final."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from portfolio_pipelines.market.consensus import OVERRIDES, STATE, ConsensusPolicy, decide_prices
from portfolio_pipelines.market.quotes import QUOTES, Outcome
from portfolio_pipelines.tables import PRICES_SCHEMA

DAY = date(2024, 3, 6)  # a Wednesday
POLICY = ConsensusPolicy()


def later(days: int) -> date:
    return DAY + timedelta(days=days)


def close_of(day: date, hours: float = 0) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), UTC) + timedelta(hours=hours)


def quote(
    close: float | None,
    day: date = DAY,
    provider: str = "coingecko",
    *,
    asset: str = "coin",
    outcome: str = Outcome.OK,
    hours_after_close: float = 48,
) -> dict[str, Any]:
    known = close_of(day, hours_after_close)
    return {
        "asset_id": asset,
        "date": day,
        "provider": provider,
        "source": f"{provider} endpoint",
        "close_usd": close,
        "outcome": outcome,
        "detail": None if outcome == Outcome.OK else "refused",
        "quoted_at": None,
        "requested_at": known,
        "known_at": known,
    }


def override(close: float, day: date = DAY, *, asset: str = "coin", withdrawn: bool = False) -> dict[str, Any]:
    known = close_of(day, 72)
    return {
        "asset_id": asset,
        "date": day,
        "close_usd": close,
        "who": "ann",
        "known_at": known,
        "withdrawn_at": known if withdrawn else None,
    }


def decide(
    quotes: Iterable[dict[str, Any]],
    overrides: Iterable[dict[str, Any]] = (),
    days: int = 1,
    *,
    weekday_assets: frozenset[str] = frozenset(),
    policy: ConsensusPolicy = POLICY,
    first: date = DAY,
) -> pl.DataFrame:
    return decide_prices(
        pl.DataFrame(list(quotes), schema=QUOTES),
        pl.DataFrame(list(overrides), schema=OVERRIDES),
        pl.DataFrame(schema=STATE),
        weekday_assets,
        [first + timedelta(days=n) for n in range(days)],
        policy,
    )


def column(frame: pl.DataFrame, name: str) -> list[Any]:
    return frame[name].to_list()


def test_the_rows_have_the_columns_of_the_prices_table() -> None:
    assert decide([quote(10.0)]).schema == PRICES_SCHEMA
    assert decide([]).schema == PRICES_SCHEMA


# Who is believed.
def test_one_quote_is_taken() -> None:
    row = decide([quote(10.0, provider="yahoo")]).row(0, named=True)
    assert (row["close_usd"], row["status"], row["reason"]) == (10.0, "ok", None)
    assert (row["provider"], row["source"], row["n_quotes"], row["disagreement"]) == (
        "yahoo",
        "yahoo endpoint",
        1,
        None,
    )


def test_quotes_within_the_tolerance_agree_and_the_first_provider_speaks_for_them() -> None:
    row = decide([quote(10.2, provider="yahoo"), quote(10.0), quote(10.1, provider="defillama")]).row(0, named=True)
    assert (row["close_usd"], row["status"], row["provider"], row["n_quotes"]) == (10.0, "ok", "coingecko", 3)
    assert row["disagreement"] == pytest.approx(0.02)


def test_two_of_three_outvote_the_provider_of_highest_priority() -> None:
    row = decide([quote(15.0), quote(10.0, provider="defillama"), quote(10.1, provider="yahoo")]).row(0, named=True)
    assert (row["close_usd"], row["status"], row["provider"]) == (10.0, "ok", "defillama")


@pytest.mark.parametrize("others", [{"yahoo": 12.0}, {"defillama": 11.0, "yahoo": 12.0}])
def test_without_a_majority_priority_decides_and_the_disagreement_is_flagged(others: dict[str, float]) -> None:
    row = decide([quote(10.0), *(quote(close, provider=name) for name, close in others.items())]).row(0, named=True)
    assert (row["close_usd"], row["status"], row["provider"]) == (10.0, "disagreement", "coingecko")
    assert row["disagreement"] == pytest.approx(0.2)
    assert "quotes differ by 20.0%" in row["reason"]


def test_the_priority_is_the_order_of_the_policy() -> None:
    policy = ConsensusPolicy(providers=("yahoo", "coingecko"))
    assert column(decide([quote(10.0), quote(12.0, provider="yahoo")], policy=policy), "close_usd") == [12.0]


def test_a_provider_outside_the_policy_is_not_heard() -> None:
    assert decide([quote(10.0, provider="rumour")]).is_empty()


def test_a_manual_override_comes_before_all_quotes() -> None:
    row = decide([quote(10.0), quote(10.0, provider="yahoo")], [override(11.0)]).row(0, named=True)
    assert (row["close_usd"], row["status"], row["provider"], row["is_final"]) == (11.0, "manual", "manual", True)
    assert row["known_at"] == close_of(DAY, 72)


def test_a_withdrawn_override_is_no_longer_in_force() -> None:
    assert column(decide([quote(10.0)], [override(11.0, withdrawn=True)]), "status") == ["ok"]


def test_the_newest_of_several_answers_of_a_provider_counts() -> None:
    answers = [quote(10.0, hours_after_close=30), quote(10.4, hours_after_close=31)]
    assert column(decide(answers), "close_usd") == column(decide(reversed(answers)), "close_usd") == [10.4]


def test_a_failed_newer_answer_does_not_erase_an_earlier_good_quote() -> None:
    failed = quote(None, outcome=Outcome.RATE_LIMITED, hours_after_close=60)
    row = decide([quote(10.0, hours_after_close=30), failed]).row(0, named=True)
    assert (row["close_usd"], row["status"], row["is_final"]) == (10.0, "ok", True)


def test_a_price_from_before_the_close_does_not_stand_against_the_close() -> None:
    midday, close = quote(10.0, hours_after_close=-12), quote(10.2, provider="yahoo", hours_after_close=1)
    row = decide([midday, close]).row(0, named=True)
    assert (row["close_usd"], row["provider"], row["n_quotes"]) == (10.2, "yahoo", 1)
    assert column(decide([midday]), "close_usd") == [10.0]  # until then it is all there is


# What is carried, and for how long.
def test_a_last_known_price_is_carried_as_stale_and_then_missing_but_never_zero() -> None:
    frame = decide([quote(10.0)], days=10)
    assert column(frame, "status") == ["ok", *["stale"] * 7, *["no_source"] * 2]
    assert column(frame, "close_usd") == [*[10.0] * 8, None, None]
    assert column(frame, "provider") == [*["coingecko"] * 8, None, None]
    assert column(frame, "last_close_usd") == [10.0] * 10
    assert column(frame, "reason")[-1] == "nobody quoted this day; last close 10 of 2024-03-06"


def test_an_asset_that_was_asked_for_in_vain_has_a_row_that_says_so() -> None:
    row = decide(
        [quote(None, outcome=Outcome.NO_DATA), quote(None, provider="yahoo", outcome=Outcome.UNREACHABLE)]
    ).row(0, named=True)
    assert (row["close_usd"], row["status"], row["last_close_usd"]) == (None, "no_source", None)
    assert row["reason"] == "coingecko: no_data; yahoo: unreachable"


def test_there_is_no_row_before_the_first_quote() -> None:
    assert column(decide([quote(10.0, later(2))], days=4), "date") == [later(2), later(3)]


def test_what_is_tracked_has_a_row_before_its_first_quote_and_after_nobody_asked() -> None:
    tracked = pl.DataFrame(
        {"asset_id": ["coin"] * 3 + ["index"] * 4, "date": [later(n) for n in (1, 2, 3, 1, 2, 3, 4)]}
    )
    frame = decide_prices(
        pl.DataFrame([quote(10.0, later(2))], schema=QUOTES),
        OVERRIDES.to_frame(),
        STATE.to_frame(),
        frozenset({"index"}),
        [later(n) for n in range(5)],
        POLICY,
        tracked,
    )
    coin = frame.filter(pl.col("asset_id") == "coin")
    assert column(coin, "date") == [later(n) for n in range(1, 5)]
    assert column(coin, "status") == ["no_source", "ok", "stale", "stale"]
    assert column(coin, "close_usd") == [None, 10.0, 10.0, 10.0]
    first = coin.row(0, named=True)
    assert (first["reason"], first["n_quotes"], first["is_final"]) == ("nobody quoted this day", 0, False)
    index = frame.filter(pl.col("asset_id") == "index")
    assert column(index, "date") == [later(1), later(2)]  # Thursday and Friday
    assert set(column(index, "status")) == {"no_source"}


def test_a_rate_limited_day_says_so_and_carries_the_last_price() -> None:
    limited = [quote(None, later(n), outcome=Outcome.RATE_LIMITED) for n in (1, 9)]
    frame = decide([quote(10.0), *limited], days=10)
    rows = {row["date"]: row for row in frame.iter_rows(named=True)}
    assert (rows[later(1)]["status"], rows[later(1)]["close_usd"]) == ("rate_limited", 10.0)
    assert (rows[later(9)]["status"], rows[later(9)]["close_usd"]) == ("rate_limited", None)  # too old to carry


def test_one_provider_that_answers_makes_up_for_one_that_is_limited() -> None:
    frame = decide([quote(None, outcome=Outcome.RATE_LIMITED), quote(10.0, provider="yahoo")])
    assert column(frame, "status") == ["ok"]


# When a day is final.
@pytest.mark.parametrize(
    ("provider", "hours", "final"),
    [
        ("coingecko", -1, False),
        ("coingecko", 0, False),
        ("coingecko", 23.9, False),
        ("coingecko", 24, True),
        ("yahoo", 24, True),
        ("file", -1, False),
        ("file", 0, True),
        ("sample", 0, True),
    ],
)
def test_a_live_quote_is_final_a_day_after_the_close_and_a_file_at_once(
    provider: str, hours: float, final: bool
) -> None:
    assert column(decide([quote(10.0, provider=provider, hours_after_close=hours)]), "is_final") == [final]


@pytest.mark.parametrize(
    ("outcome", "hours", "final"),
    [
        (Outcome.NO_DATA, 24, True),
        (Outcome.UNAUTHORISED, 30, True),
        (Outcome.NO_DATA, 23, False),
        (Outcome.RATE_LIMITED, 30, False),
        (Outcome.UNREACHABLE, 30, False),
    ],
)
def test_a_day_without_a_price_is_final_when_asking_again_would_not_help(
    outcome: str, hours: float, final: bool
) -> None:
    assert column(decide([quote(None, outcome=outcome, hours_after_close=hours)]), "is_final") == [final]


# The calendar.
def test_an_index_has_no_row_on_a_weekend_and_is_not_stale_on_monday() -> None:
    index = [quote(100.0, later(n), asset="index") for n in (0, 1, 2, 5)]  # Wednesday to Friday, Monday
    frame = decide(index, days=6, weekday_assets=frozenset({"index"}))
    assert column(frame, "date") == [later(n) for n in (0, 1, 2, 5)]
    assert set(column(frame, "status")) == {"ok"}


def test_a_weekend_quote_of_an_index_is_passed_over() -> None:
    quotes = [quote(100.0, later(2), asset="index"), quote(170.0, later(3), asset="index")]
    frame = decide(quotes, [override(180.0, later(4), asset="index")], days=6, weekday_assets=frozenset({"index"}))
    assert column(frame, "last_close_usd") == [100.0, 100.0]
    assert column(frame, "date") == [later(2), later(5)]


def test_days_that_do_not_follow_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="must be consecutive"):
        decide_prices(
            pl.DataFrame(schema=QUOTES),
            pl.DataFrame(schema=OVERRIDES),
            pl.DataFrame(schema=STATE),
            frozenset(),
            [DAY, later(2)],
            POLICY,
        )


# Properties.
LENGTH = 14
PROVIDERS = ["coingecko", "defillama", "file"]
ASSETS = ["coin", "index"]


@st.composite
def ledgers(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Quotes of two weeks with jumps, gaps, failures and repeated answers, and some overrides."""
    quotes: dict[tuple[Any, ...], dict[str, Any]] = {}
    for _ in range(draw(st.integers(0, 40))):
        day, asset, provider = (
            later(draw(st.integers(0, LENGTH - 1))),
            draw(st.sampled_from(ASSETS)),
            draw(st.sampled_from(PROVIDERS)),
        )
        hours = draw(st.sampled_from([-6, 1, 30, 40]))
        outcome = draw(st.sampled_from([Outcome.OK, Outcome.OK, Outcome.OK, Outcome.NO_DATA, Outcome.RATE_LIMITED]))
        close = draw(st.sampled_from([10.0, 10.2, 12.0, 25.0, 60.0, 0.4])) if outcome == Outcome.OK else None
        quotes[day, asset, provider, hours] = quote(
            close, day, provider, asset=asset, outcome=outcome, hours_after_close=hours
        )
    days = draw(st.lists(st.integers(0, LENGTH - 1), max_size=3, unique=True))
    return list(quotes.values()), [
        override(draw(st.sampled_from([10.0, 60.0])), later(day), asset=draw(st.sampled_from(ASSETS))) for day in days
    ]


@given(ledgers())
@settings(max_examples=30, deadline=None)
def test_deciding_day_by_day_gives_the_same_rows_as_deciding_a_range(
    ledger: tuple[list[dict[str, Any]], list[dict[str, Any]]],
) -> None:
    quotes, overrides = pl.DataFrame(ledger[0], schema=QUOTES), pl.DataFrame(ledger[1], schema=OVERRIDES)
    weekdays = frozenset({"index"})
    at_once = decide(ledger[0], ledger[1], days=LENGTH, weekday_assets=weekdays)
    stored = at_once.clear()
    for number in range(LENGTH):
        day = later(number)
        recent = stored.filter(pl.col("date") >= day - timedelta(days=4)).sort("date")
        state = recent.group_by("asset_id", maintain_order=True).last().select(STATE.names())
        today = quotes.filter(pl.col("date") == day)
        stored = pl.concat([stored, decide_prices(today, overrides, state, weekdays, [day], POLICY)])
    assert_frame_equal(stored, at_once)


@given(ledgers(), st.integers(0, 1_000))
@settings(max_examples=40, deadline=None)
def test_the_order_in_which_quotes_are_stored_changes_nothing(
    ledger: tuple[list[dict[str, Any]], list[dict[str, Any]]], seed: int
) -> None:
    quotes = pl.DataFrame(ledger[0], schema=QUOTES).sample(fraction=1, shuffle=True, seed=seed).to_dicts()
    assert_frame_equal(decide(quotes, ledger[1], days=LENGTH), decide(*ledger, days=LENGTH))


@given(ledgers())
@settings(max_examples=60, deadline=None)
def test_a_close_is_a_quote_an_override_or_nothing_and_never_zero(
    ledger: tuple[list[dict[str, Any]], list[dict[str, Any]]],
) -> None:
    frame = decide(*ledger, days=LENGTH)
    given_closes = {row["close_usd"] for rows in ledger for row in rows}
    assert set(frame["close_usd"].drop_nulls()) <= given_closes - {None}
    assert frame.filter((pl.col("status") == "no_source") & pl.col("close_usd").is_not_null()).is_empty()
    assert (
        frame.filter(pl.col("status").is_in(["ok", "manual", "disagreement", "stale"]))["close_usd"].null_count() == 0
    )
    assert frame.filter((pl.col("status") == "ok") != pl.col("reason").is_null()).is_empty()
