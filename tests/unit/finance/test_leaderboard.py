"""What counts for the leaderboard, who is ranked, and in which order; each case can be worked out by hand."""

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from portfolio_pipelines.finance.counted_holdings import (
    CountedDay,
    CountedHoldings,
    CountsFrom,
    confirmed_prices,
    days_and_those_before,
)
from portfolio_pipelines.finance.leaderboard import Backwards, WindowRecord, began_with, ranks, words_of
from portfolio_pipelines.finance.valuation import DayPrices

FIRST = date(2026, 1, 1)
VERSIONS = {
    "user_key": pl.Int32,
    "asset_id": pl.String,
    "quantity": pl.Float64,
    "invested_on": pl.Date,
    "known_from": pl.Date,
    "known_to": pl.Date,
}


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def holdings(rows: Sequence[tuple[object, ...]], counts_from: CountsFrom = "entry") -> CountedHoldings:
    return CountedHoldings.from_versions(pl.DataFrame(list(rows), schema=VERSIONS, orient="row"), counts_from)


def prices(*closes: float, confirmed: Sequence[bool] = ()) -> DayPrices:
    values = np.array(closes)
    fresh = np.array(confirmed or [True] * len(closes))
    return DayPrices(values, values, fresh, np.ones(len(closes), bool))


def counted(opening: float, gain: float, *, value: float | None = None, sure: float = 1.0) -> CountedDay:
    """A day of one portfolio, `sure` of whose worth is confirmed."""
    worth = opening + gain if value is None else value
    return CountedDay(
        np.array([1], np.int32),
        *(np.array([figure]) for figure in (opening, opening * sure, gain, worth, worth * sure)),
    )


def record_of(days: Sequence[CountedDay | None]) -> WindowRecord:
    """Days in their order."""
    folded = Backwards(np.array([1], np.int32))
    for one in reversed(days):
        folded.add(one)
    return folded.record()


def returns_as_days(returns: Sequence[float], start: float = 10_000) -> list[CountedDay]:
    days, worth = [], start
    for change in returns:
        days.append(counted(worth, worth * change))
        worth *= 1 + change
    return days


# What counts


def test_a_holding_counts_from_the_close_of_the_day_it_was_entered_on() -> None:
    book = holdings([(1, "a", 2.0, day(0), day(5), None)])
    assert len(book.day(day(4), prices(10), prices(11)).user_key) == 0, "bought on day 0, but nobody knew it"
    entered = book.day(day(5), prices(11), prices(12))
    assert (entered.opening_usd[0], entered.gain_usd[0], entered.value_usd[0]) == (0, 0, 24)
    after = book.day(day(6), prices(12), prices(15))
    assert (after.opening_usd[0], after.gain_usd[0], after.value_usd[0]) == (24, 6, 30)


def test_a_purchase_that_lies_ahead_counts_from_its_own_day() -> None:
    book = holdings([(1, "a", 2.0, day(8), day(5), None)])
    assert len(book.day(day(7), prices(10), prices(11)).user_key) == 0
    assert book.day(day(8), prices(10), prices(11)).value_usd[0] == 22


def test_a_correction_changes_no_day_that_is_over() -> None:
    """On day 5 one unit of `a` becomes a hundred of `b`, which had doubled before."""
    before = holdings([(1, "a", 1.0, day(0), day(0), None)])
    after = holdings([(1, "a", 1.0, day(0), day(0), day(5)), (1, "b", 100.0, day(0), day(5), None)])
    for number in range(1, 5):
        one = before.day(day(number), prices(100), prices(90))
        two = after.day(day(number), prices(100, 1), prices(90, 2))
        assert two.gain_usd[0] == one.gain_usd[0] == -10
        assert two.value_usd[0] == one.value_usd[0]
    turning = after.day(day(5), prices(100, 1), prices(90, 2))
    assert (turning.opening_usd[0], turning.gain_usd[0]) == (100, -10), "the loss of the day stays"
    assert turning.value_usd[0] == 200
    assert after.day(day(6), prices(90, 2), prices(90, 3)).gain_usd[0] == 100


def test_what_is_taken_back_keeps_its_past() -> None:
    book = holdings([(1, "a", 1.0, day(0), day(0), day(3))])
    assert book.day(day(2), prices(100), prices(50)).gain_usd[0] == -50
    last = book.day(day(3), prices(50), prices(40))
    assert (last.gain_usd[0], last.value_usd[0]) == (-10, 0)
    assert len(book.day(day(4), prices(40), prices(30)).user_key) == 0


def test_counted_from_the_purchase_everything_that_holds_today_was_always_known() -> None:
    rows = [(1, "a", 1.0, day(0), day(5), day(7)), (1, "a", 2.0, day(0), day(7), None)]
    book = holdings(rows, "purchase")
    assert book.day(day(1), prices(10), prices(11)).gain_usd[0] == pytest.approx(2)


def test_a_holding_without_a_price_makes_the_day_unknown_not_worthless() -> None:
    rows = [
        (1, "a", 1.0, day(0), day(0), None),
        (1, "b", 1.0, day(0), day(0), None),
        (2, "a", 1.0, day(0), day(0), None),
    ]
    found = holdings(rows).day(day(1), prices(10, np.nan), prices(12, 5))
    assert np.isnan(found.opening_usd[0])
    assert np.isnan(found.gain_usd[0])
    assert found.value_usd[0] == 17
    assert (found.opening_usd[1], found.gain_usd[1]) == (10, 2), "the other user has it all"


def test_worth_is_confirmed_where_its_prices_are() -> None:
    rows = [(1, "a", 1.0, day(0), day(0), None), (1, "b", 3.0, day(0), day(0), None)]
    found = holdings(rows).day(day(1), prices(10, 10, confirmed=[True, False]), prices(20, 30))
    assert (found.opening_usd[0], found.opening_confirmed_usd[0]) == (40, 10)
    assert found.confirmed_usd[0] == found.value_usd[0] == 110


@pytest.mark.parametrize(
    ("status", "n_quotes", "confirmed"),
    [
        ("ok", 1, False),
        ("ok", 2, True),
        ("ok", 3, True),
        ("manual", 0, True),
        ("disagreement", 3, False),
        ("stale", 2, False),
        ("no_source", 0, False),
    ],
)
def test_a_price_is_confirmed_by_two_sources_or_a_person(status: str, n_quotes: int, confirmed: bool) -> None:
    found = confirmed_prices(pl.DataFrame({"status": [status], "n_quotes": [n_quotes]}), 2)
    assert (found["status"][0] == "ok") is confirmed


def test_days_need_the_closes_before_them() -> None:
    assert days_and_those_before([day(5), day(3), day(4)]) == [day(2), day(3), day(4), day(5)]


def test_nobody_holding_anything_is_no_fault() -> None:
    assert len(holdings([]).day(day(1), prices(), prices()).user_key) == 0


# Figures of a window


def test_the_figures_of_a_window_by_hand() -> None:
    found = record_of(returns_as_days([0.10, -0.50, 0.20]))
    assert found.roi_twr[0] == pytest.approx(1.1 * 0.5 * 1.2 - 1)
    assert found.max_drawdown[0] == pytest.approx(-0.5)
    # 10,000 gains 1,000; 11,000 loses 5,500; 5,500 gains 1,100: -3,400 on at most 11,000
    assert found.pnl_over_peak_capital[0] == pytest.approx(-3_400 / 11_000)
    assert found.n_obs[0] == 3
    assert found.eligible[0]


def test_money_that_comes_or_goes_is_no_return() -> None:
    calm = [counted(10_000, 100), counted(50_000, 500), counted(2_000, 20)]
    assert record_of(calm).roi_twr[0] == pytest.approx(1.01**3 - 1)


def test_dust_left_behind_earns_no_rank() -> None:
    """Nearly everything is withdrawn, and the dollar that stays is multiplied."""
    days = [counted(10_000, 0), counted(1, 500, value=501), counted(501, 0), counted(10_000, 0)]
    assert not record_of(days).eligible[0]
    assert "less than 100 USD" in str(words_of(record_of(days).unranked)[0])


def test_a_high_return_on_little_money_shows_beside_its_capital() -> None:
    """A hundred is doubled, then 10,000 lose half: +0 % by the index, -49 % on the money."""
    found = record_of([counted(100, 100), counted(10_200, -5_100)])
    assert found.roi_twr[0] == pytest.approx(0)
    assert found.pnl_over_peak_capital[0] == pytest.approx(-5_000 / 10_200)


@given(returns=arrays(float, st.integers(1, 60), elements=st.floats(-0.9, 0.9)))
def test_drawdown_and_return_are_those_of_the_index(returns: np.ndarray) -> None:
    found = record_of([counted(10_000, 10_000 * change) for change in returns.tolist()])
    index = np.concatenate([[1.0], np.cumprod(1 + returns)])
    assert found.roi_twr[0] == pytest.approx(index[-1] - 1, abs=1e-9, rel=1e-9)
    deepest = (index / np.maximum.accumulate(index) - 1).min()
    assert found.max_drawdown[0] == pytest.approx(deepest, abs=1e-9)
    assert -1 <= found.max_drawdown[0] <= 0


# Who is ranked


def test_every_day_of_the_window_must_be_known() -> None:
    days: list[CountedDay | None] = [*returns_as_days([0.01] * 5)]
    assert record_of(days).eligible[0]
    days[2] = None
    gone = record_of(days)
    assert not gone.eligible[0]
    assert np.isnan(gone.roi_twr[0])
    assert gone.n_obs[0] == 4
    days[2] = counted(10_000, np.nan)
    assert not record_of(days).eligible[0]


def test_a_thousand_must_be_at_work_on_half_of_the_days() -> None:
    assert record_of([counted(1_000, 0), counted(999, 0)]).eligible[0]
    small = record_of([counted(1_000, 0), counted(999, 0), counted(999, 0)])
    assert not small.eligible[0]
    assert "less than 1,000 USD" in str(words_of(small.unranked)[0])


def test_a_hundred_must_be_at_work_on_every_day() -> None:
    assert record_of([counted(5_000, 0), counted(100, 0)]).eligible[0]
    assert not record_of([counted(5_000, 0), counted(99.99, 0)]).eligible[0]


def test_ninety_five_percent_of_the_worth_must_be_confirmed() -> None:
    assert record_of([counted(2_000, 0, sure=0.951), counted(2_000, 0, sure=0.951)]).eligible[0]
    doubtful = record_of([counted(2_000, 0, sure=0.949), counted(2_000, 0, sure=0.949)])
    assert not doubtful.eligible[0]
    assert "confirmed" in str(words_of(doubtful.unranked)[0])


def test_confirmed_prices_at_the_end_do_not_make_up_for_the_days_before() -> None:
    days = [counted(2_000, 0, sure=0.0)] * 5 + [counted(2_000, 0)]
    assert not record_of(days).eligible[0]


def test_more_than_a_hundred_percent_in_a_day_waits_for_confirmed_prices() -> None:
    calm = returns_as_days([0.0] * 50, start=20_000)
    assert record_of([*calm, counted(2_000, 2_001)]).eligible[0], "confirmed at both closes"
    wrong_now = CountedDay(*(np.array([v]) for v in (1, 2_000.0, 2_000.0, 2_001.0, 4_001.0, 3_990.0)))
    wrong_before = CountedDay(*(np.array([v]) for v in (1, 2_000.0, 1_990.0, 2_001.0, 4_001.0, 4_001.0)))
    for wrong in (wrong_now, wrong_before):
        found = record_of([*calm, wrong])
        assert not found.eligible[0]
        assert words_of(found.unranked)[0] == "a day of more than 100 % on a price that is not confirmed"
    just = CountedDay(*(np.array([v]) for v in (1, 2_000.0, 1_990.0, 2_000.0, 4_000.0, 3_990.0)))
    assert record_of([*calm, just]).eligible[0], "exactly 100 %"


def test_a_portfolio_that_is_ranked_has_no_reason() -> None:
    assert words_of(record_of(returns_as_days([0.01])).unranked).to_list() == [None]


def test_who_began_is_counted_on_the_first_day_of_the_window() -> None:
    first = CountedDay(np.array([1, 2, 3], np.int32), np.array([100.0, 99.0, np.nan]), *[np.zeros(3)] * 4)
    assert began_with(first) == 1


def test_portfolios_that_come_and_go_keep_their_places() -> None:
    """Keys 2 and 5 stand in the newest day; 3 has left since, 5 came on the second day."""

    def of(keys: list[int], gains: list[float]) -> CountedDay:
        opening = np.full(len(keys), 2_000.0)
        return CountedDay(np.array(keys, np.int32), opening, opening, np.array(gains), opening, opening)

    folded = Backwards(np.array([2, 5], np.int32))
    folded.add(of([2, 5], [200, 400]))
    folded.add(of([2, 3], [100, 999]))
    found = folded.record()
    assert found.roi_twr[0] == pytest.approx(1.1 * 1.05 - 1)
    assert np.isnan(found.roi_twr[1])
    assert found.n_obs.tolist() == [2, 1]


# The order


def record(roi: Sequence[float], pnl: Sequence[float], drawdown: Sequence[float], out: Sequence[int]) -> WindowRecord:
    count = len(roi)
    return WindowRecord(
        30, np.array(roi), np.array(pnl), np.array(drawdown), np.full(count, 5_000.0), np.full(count, 30, np.int32),
        np.array(out, np.int32),
    )  # fmt: skip


def test_ties_are_broken_by_capital_then_drawdown_then_lot() -> None:
    found = ranks(
        record(
            roi=[0.5, 0.5, 0.5 + 1e-12, 0.5, 0.9, 0.6],
            pnl=[0.1, 0.2, 0.1, 0.1, 0.0, 0.6],
            drawdown=[-0.3, -0.9, -0.2, -0.3, 0.0, 0.0],
            out=[0, 0, 0, 0, 1, 0],
        ),
        np.array([7, 1, 9, 3, 0, 2]),
    )
    assert found.tolist() == [5, 2, 3, 4, 0, 1]


@given(
    roi=arrays(float, 40, elements=st.floats(-1, 3) | st.sampled_from([0.1, 0.2])),
    out=arrays(np.int32, 40, elements=st.sampled_from([0, 0, 1])),
    shuffle=st.permutations(range(40)),
)
def test_ranks_are_whole_and_do_not_depend_on_the_order_of_users(
    roi: np.ndarray, out: np.ndarray, shuffle: list[int]
) -> None:
    lot = np.random.default_rng(1).permutation(40)
    same = np.zeros(40)
    found = ranks(record(roi.tolist(), same.tolist(), same.tolist(), out.tolist()), lot)
    count = int((out == 0).sum())
    assert sorted(found[out == 0]) == list(range(1, count + 1))
    assert (found[out != 0] == 0).all()
    best_first = roi[out == 0][np.argsort(found[out == 0])]
    assert (np.diff(best_first) <= 1e-9).all()
    at = np.array(shuffle)
    assert (ranks(record(roi[at].tolist(), same.tolist(), same.tolist(), out[at].tolist()), lot[at]) == found[at]).all()
