"""A past that changed shows: what was served, what is served now, since when, and why."""

import itertools
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from portfolio_pipelines.market.consensus import OVERRIDES, STATE, ConsensusPolicy, decide_prices
from portfolio_pipelines.market.quotes import QUOTES, Outcome
from portfolio_pipelines.market.restatements import restate
from portfolio_pipelines.market.vintages import HANDED_ON, newest_before
from portfolio_pipelines.tables import RESTATEMENTS_SCHEMA, VINTAGES_SCHEMA

DAY = date(2024, 3, 6)
CLOSE = datetime.combine(DAY + timedelta(days=1), time(), UTC)
POLICY = ConsensusPolicy()


def at(hours: float) -> datetime:
    return CLOSE + timedelta(hours=hours)


def quote(
    close: float | None, hours: float, provider: str = "coingecko", outcome: str = Outcome.OK, *, after: int = 0
) -> dict[str, Any]:
    """A quote of the day `after` days after DAY; hours are counted from the close of DAY."""
    return {
        "asset_id": "coin",
        "date": DAY + timedelta(days=after),
        "provider": provider,
        "source": f"{provider} endpoint",
        "close_usd": close,
        "outcome": outcome,
        "detail": None,
        "quoted_at": None,
        "requested_at": at(hours),
        "known_at": at(hours),
    }


def override(close: float, hours: float, withdrawn: float | None = None, *, after: int = 0) -> dict[str, Any]:
    return {
        "asset_id": "coin",
        "date": DAY + timedelta(days=after),
        "close_usd": close,
        "who": "ann",
        "known_at": at(hours),
        "withdrawn_at": None if withdrawn is None else at(withdrawn),
    }


def rows_of(
    quotes: list[dict[str, Any]], overrides: list[dict[str, Any]] | None = None, days: int = 1
) -> list[dict[str, Any]]:
    frame, _ = restate(
        pl.DataFrame(quotes, schema=QUOTES),
        pl.DataFrame(overrides or [], schema=OVERRIDES),
        STATE.to_frame(),
        HANDED_ON.to_frame(),
        frozenset(),
        [DAY + timedelta(days=n) for n in range(days)],
        POLICY,
    )
    return frame.to_dicts()


def restated(quotes: list[dict[str, Any]], overrides: list[dict[str, Any]] | None = None) -> list[tuple[Any, ...]]:
    names = ("known_at", "old_close_usd", "new_close_usd", "cause")
    return [tuple(row[name] for name in names) for row in rows_of(quotes, overrides)]


def test_the_rows_have_the_columns_of_the_tables() -> None:
    nothing, none = STATE.to_frame(), HANDED_ON.to_frame()
    for days in ([], [DAY]):
        found = restate(QUOTES.to_frame(), OVERRIDES.to_frame(), nothing, none, frozenset(), days, POLICY)
        assert [frame.schema for frame in found] == [RESTATEMENTS_SCHEMA, VINTAGES_SCHEMA]


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


def test_an_override_that_is_withdrawn_where_nobody_quoted_leaves_no_close() -> None:
    (row,) = rows_of([], [override(12.0, 50, withdrawn=60)])
    assert (row["old_close_usd"], row["new_close_usd"], row["new_source"]) == (12.0, None, None)
    assert (row["old_status"], row["new_status"], row["cause"]) == ("manual", "no_source", "override_withdrawn")


def test_a_final_day_without_a_price_that_gets_one_is_restated() -> None:
    nothing = quote(None, 25, outcome=Outcome.NO_DATA)
    assert restated([nothing, quote(10.0, 90, "file")]) == [(at(90), None, 10.0, "new_quote")]
    early = quote(None, 1, outcome=Outcome.NO_DATA)  # asked again until a day after the close: nothing was final
    assert restated([early, quote(10.0, 20, "file")]) == []


def test_a_correction_that_jumps_takes_the_close_away() -> None:
    corrected = quote(500.0, 60, after=1)
    (row,) = rows_of([quote(10.0, 1), quote(10.5, 30, after=1), corrected], days=2)
    assert (row["old_close_usd"], row["new_close_usd"], row["cause"]) == (10.5, 10.0, "provider_restated")
    assert (row["old_status"], row["new_status"]) == ("ok", "stale")


def test_sources_are_named() -> None:
    (row,) = rows_of([quote(10.0, 1, "yahoo"), quote(10.1, 30)])
    assert (row["old_source"], row["new_source"]) == ("yahoo endpoint", "coingecko endpoint")


# What an earlier day does to the days after it.
WEEK = [quote(10.0 + n, 24 * n + 1, after=n) for n in range(10)]


def test_an_override_that_makes_the_next_closes_jumps_restates_them_as_well() -> None:
    rows = rows_of(WEEK, [override(1e12, 500)], days=10)
    assert [row["date"] for row in rows] == [DAY + timedelta(days=n) for n in range(10)]
    assert {row["known_at"] for row in rows} == {at(500)}
    assert [row["cause"] for row in rows] == ["manual_override", *["knock_on"] * 9]
    assert {row["cause_date"] for row in rows} == {DAY}
    assert [row["old_close_usd"] for row in rows] == [10.0 + n for n in range(10)]
    assert [row["new_close_usd"] for row in rows] == [*[1e12] * 8, None, None]
    assert [row["new_status"] for row in rows] == ["manual", *["stale"] * 7, *["no_source"] * 2]


def test_a_withdrawn_override_gives_the_days_after_it_back_and_says_so() -> None:
    rows = rows_of(WEEK, [override(1e12, 500, withdrawn=600)], days=10)
    back = [row for row in rows if row["known_at"] == at(600)]
    assert [row["cause"] for row in back] == ["override_withdrawn", *["knock_on"] * 9]
    assert [row["new_close_usd"] for row in back] == [10.0 + n for n in range(10)]
    assert {row["new_status"] for row in back} == {"ok"}


def test_a_day_that_closed_after_the_override_is_no_restatement() -> None:
    rows = rows_of(WEEK, [override(1e12, 24 * 3 + 12)], days=10)
    assert [row["date"] for row in rows] == [DAY + timedelta(days=n) for n in range(4)]


def test_an_override_that_leaves_the_next_closes_alone_restates_its_day_alone() -> None:
    assert [row["date"] for row in rows_of(WEEK, [override(11.5, 500)], days=10)] == [DAY]


def test_a_close_that_keeps_its_value_and_is_only_carried_now_is_restated() -> None:
    rows = rows_of(
        [quote(10.0, 1), quote(10.5, 30, after=1), quote(60.0, 55, after=2)], [override(60.0, 500, after=1)], 3
    )
    assert [(row["date"], row["cause"]) for row in rows] == [(DAY + timedelta(days=1), "manual_override")]
    same = rows_of([quote(10.0, 1), quote(60.0, 30, after=1)], [override(60.0, 40, withdrawn=50)], 2)
    carried = [row for row in same if row["date"] == DAY + timedelta(days=1)]
    assert [(row["old_close_usd"], row["new_close_usd"]) for row in carried] == [(60.0, 10.0)]


def test_days_that_became_known_before_an_earlier_one_are_restated_when_that_blocks_them() -> None:
    rows = rows_of([quote(100.0, 30, after=1), quote(10.0, 400)], days=2)
    assert [(row["date"], row["cause"], row["cause_date"]) for row in rows] == [
        (DAY + timedelta(days=1), "knock_on", DAY)
    ]
    assert (rows[0]["old_close_usd"], rows[0]["new_close_usd"]) == (100.0, 10.0)


answers = st.builds(
    quote,
    st.sampled_from([10.0, 10.2, 10.4, 12.0, 12.3]),
    st.sampled_from([-5, 1, 2, 30, 40]),
    st.sampled_from(["coingecko", "yahoo", "file"]),
)


def test_the_same_price_given_again_after_the_close_is_a_quote_of_its_own_day() -> None:
    """Before the close it was of another hour; of the close it outranks the other provider's."""
    rows = rows_of([quote(1.0, -2), quote(1.01, 1, "yahoo"), quote(1.0, 26)])
    assert [(row["old_close_usd"], row["new_close_usd"], row["cause"], row["cause_date"]) for row in rows] == [
        (1.01, 1.0, "new_quote", DAY)
    ]


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
        assert changes[-1][2] is None


LENGTH = 12
history = st.lists(
    st.builds(
        lambda after, close, known, provider, asset, outcome: (
            quote(close if outcome == Outcome.OK else None, 24 * after + known, provider, outcome, after=after)
            | {"asset_id": asset}
        ),
        st.integers(0, LENGTH - 1),
        st.sampled_from([10.0, 10.2, 12.0, 25.0, 60.0, 0.4]),
        st.sampled_from([-5, 1, 25, 100, 400]),
        st.sampled_from(["coingecko", "file"]),
        st.sampled_from(["coin", "index"]),
        st.sampled_from([Outcome.OK, Outcome.OK, Outcome.OK, Outcome.NO_DATA]),
    ),
    max_size=40,
    unique_by=lambda row: (row["asset_id"], row["provider"], row["date"], row["known_at"]),
)
corrections = st.lists(
    st.builds(
        lambda close, known, lasts, after, asset: (
            override(close, known, None if lasts is None else known + lasts, after=after) | {"asset_id": asset}
        ),
        st.sampled_from([10.0, 60.0]),
        st.sampled_from([100.0, 401.0]),
        st.sampled_from([None, 50.0]),
        st.integers(0, LENGTH - 1),
        st.sampled_from(["coin", "index"]),
    ),
    max_size=3,
    unique_by=lambda row: (row["asset_id"], row["date"], row["known_at"]),
)


@given(history, corrections)
@settings(max_examples=60, deadline=None)
def test_a_range_gives_the_rows_of_its_days_one_by_one_and_leads_to_what_is_served(
    rows: list[dict[str, Any]], overrides: list[dict[str, Any]]
) -> None:
    quotes, manual = pl.DataFrame(rows, schema=QUOTES), pl.DataFrame(overrides, schema=OVERRIDES)
    weekdays, days = frozenset({"index"}), [DAY + timedelta(days=n) for n in range(LENGTH)]
    nothing = STATE.to_frame().with_columns(date=pl.lit(None, pl.Date))
    whole, handed_on = restate(quotes, manual, nothing, HANDED_ON.to_frame(), weekdays, days, POLICY)
    served = decide_prices(quotes, manual, STATE.to_frame(), weekdays, days, POLICY)
    parts, later = [whole.clear()], handed_on.clear()
    for day in days:
        recent = [frame.filter(pl.col("date").is_between(day - timedelta(days=4), day - timedelta(days=1)))
                  for frame in (served, later)]  # fmt: skip
        found, on = restate(quotes, manual, *newest_before(*recent), weekdays, [day], POLICY)
        parts.append(found)
        later = pl.concat([later, on])
    assert_frame_equal(pl.concat(parts), whole)
    assert_frame_equal(later, handed_on)
    newest = whole.group_by("asset_id", "date", maintain_order=True).last()
    both = newest.join(served, on=["asset_id", "date"], how="inner")
    assert both["new_close_usd"].eq_missing(both["close_usd"]).all()
    own = pl.col("new_status", "status").is_in(["ok", "manual", "disagreement"])
    assert both.select(own).filter(pl.col("new_status") != pl.col("status")).is_empty()
