"""The conventions of returns: what a deposit, a withdrawal, a gap and a missing price do to them."""

import itertools
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from portfolio_pipelines.finance.returns import (
    LONGEST_GAP_DAYS,
    DayOfReturns,
    TrackRecord,
    chain_day,
    time_weighted_returns,
)

UNKNOWN = float("nan")
Floats = NDArray[np.float64]


class Case(NamedTuple):
    """Closing values of consecutive days, the first one known before; flows of each day."""

    values: list[float]
    inflows: list[float]
    outflows: list[float]
    total: float


CASES = {
    "deposit 900 on 100, no move": Case([100, 1_000], [0, 900], [0, 0], 0.0),
    "1 USD of dust and a deposit of 10,000 that gains 5 %": Case([1, 10_001 * 1.05], [0, 10_000], [0, 0], 0.05),
    "the same, losing 5 %": Case([1, 10_001 * 0.95], [0, 10_000], [0, 0], -0.05),
    "withdraw 99 %, the rest doubles": Case([100, 1, 2], [0, 0, 0], [0, 99, 0], 1.0),
    "withdraw to 1 USD, an airdrop of 500 counted as gain": Case([1, 501], [0, 0], [0, 0], 500.0),
    "withdraw to 1 USD, the airdrop counted as inflow": Case([1, 501], [0, 500], [0, 0], 0.0),
    "double 100, deposit 10,000, lose half": Case([100, 200, 5_100], [0, 0, 10_000], [0, 0, 0], 0.0),
}


@pytest.mark.parametrize("name", CASES)
def test_the_table_of_pitfalls(name: str) -> None:
    case = CASES[name]
    daily = time_weighted_returns(
        np.array(case.values, float), np.array(case.inflows, float), np.array(case.outflows, float)
    )
    assert np.prod(1 + daily) - 1 == pytest.approx(case.total)


def chain(
    values: list[float], inflows: list[float], outflows: list[float] | None = None, days: list[int] | None = None
) -> list[DayOfReturns]:
    """Days of one portfolio that starts on its first inflow."""
    track, result = TrackRecord.new(1), []
    outflows = outflows or [0.0] * len(values)
    for day, value, inflow, outflow in zip(
        days or range(100, 100 + len(values)), values, inflows, outflows, strict=True
    ):
        result.append(chain_day(track, day, np.array([value]), np.array([inflow]), np.array([outflow])))
        track = result[-1].track
    return result


def daily_returns(chained: list[DayOfReturns]) -> list[float]:
    return [float(day.daily_return[0]) for day in chained]


def indices(chained: list[DayOfReturns]) -> list[float]:
    return [float(day.twr_index[0]) for day in chained]


def test_the_first_day_is_measured_from_the_money_put_in() -> None:
    days = chain([1_010, 1_111], [1_000, 0])
    assert daily_returns(days) == pytest.approx([0.01, 0.1])
    assert indices(days) == pytest.approx([1.01, 1.111])


def test_a_withdrawal_is_no_loss() -> None:
    assert daily_returns(chain([100, 40], [100, 0], [0, 60])) == pytest.approx([0, 0])


def test_an_unknown_value_gives_no_return_instead_of_a_loss() -> None:
    days = chain([100, UNKNOWN, 110], [100, 0, 0])
    assert daily_returns(days) == pytest.approx([0, UNKNOWN, UNKNOWN], nan_ok=True)
    assert indices(days) == pytest.approx([1, UNKNOWN, 1.1], nan_ok=True)  # and no gain is dropped


def test_money_put_in_on_an_unknown_day_is_no_gain_either() -> None:
    assert indices(chain([100, UNKNOWN, 330], [100, 200, 0])) == pytest.approx([1, UNKNOWN, 1.1], nan_ok=True)


def test_a_portfolio_whose_first_price_comes_later_has_an_index_but_no_daily_return_across_the_wait() -> None:
    days = chain([UNKNOWN, UNKNOWN, 110, 121], [100, 0, 0, 0])
    assert daily_returns(days) == pytest.approx([UNKNOWN, UNKNOWN, UNKNOWN, 0.1], nan_ok=True)
    assert indices(days) == pytest.approx([UNKNOWN, UNKNOWN, 1.1, 1.21], nan_ok=True)


@pytest.mark.parametrize("unknown", [1, LONGEST_GAP_DAYS])
def test_a_gap_of_up_to_seven_days_continues_the_track_record(unknown: int) -> None:
    days = chain([100, 120, *[UNKNOWN] * unknown, 130], [100, *[0.0] * (unknown + 2)])
    assert indices(days)[-1] == pytest.approx(1.3)


def test_a_longer_gap_starts_a_new_one() -> None:
    unknown = LONGEST_GAP_DAYS + 1
    days = chain([100, 120, *[UNKNOWN] * unknown, 130, 143], [100, *[0.0] * (unknown + 3)])
    assert indices(days)[-2:] == pytest.approx([1.0, 1.1])
    assert daily_returns(days)[-2:] == pytest.approx([UNKNOWN, 0.1], nan_ok=True)


def test_below_one_dollar_there_is_no_return() -> None:
    days = chain([0.5, 1_000, 1_100], [0.5, 0, 0])
    assert daily_returns(days) == pytest.approx([UNKNOWN, UNKNOWN, 0.1], nan_ok=True)
    assert indices(days) == pytest.approx([1.0, 1.0, 1.1])


def test_one_dollar_is_enough() -> None:
    assert daily_returns(chain([1.5], [1])) == pytest.approx([0.5])


def test_a_value_without_flows_before_it_has_no_return() -> None:
    assert daily_returns(chain([100, 110], [0, 0])) == pytest.approx([UNKNOWN, 0.1], nan_ok=True)


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        time_weighted_returns(np.ones(3), np.ones(2), np.ones(3))


def test_records_find_their_portfolios_when_users_come_and_go() -> None:
    record = chain_day(TrackRecord.new(2), 5, np.array([110.0, 90.0]), np.array([100.0, 100.0]), np.zeros(2)).track
    matched = record.matched(np.array([3, 7], np.int32), np.array([1, 7, 9], np.int32))
    assert matched.index.tolist() == pytest.approx([1.0, 0.9, 1.0])
    np.testing.assert_array_equal(matched.value_usd, [UNKNOWN, 90.0, UNKNOWN])
    assert matched.day.tolist() == [-1, 5, -1]


def test_a_record_that_begins_after_the_first_purchase_is_not_measured_from_a_later_one_alone() -> None:
    """1,000 USD of coins are older than the first computed day, on which 100 USD are put in: nothing gained 1,000 %."""
    old_and_new, new = np.array([1_100.0, 100.0]), np.array([100.0, 100.0])
    record, seen = TrackRecord.new(2).of_what_was_seen(old_and_new, new)
    day = chain_day(record, 5, np.array([1_100.0, 110.0]), seen, np.zeros(2))
    assert day.daily_return.tolist() == pytest.approx([UNKNOWN, 0.1], nan_ok=True)
    assert day.twr_index.tolist() == pytest.approx([1.0, 1.1])
    record, seen = day.track.of_what_was_seen(old_and_new + 50, new / 2)
    assert chain_day(record, 6, np.array([1_265.0, 160.0]), seen, np.zeros(2)).daily_return == pytest.approx([0.1, 0.0])


# Properties.
moves = st.floats(-0.9, 2.0)
money = st.floats(0, 1e6)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[float], list[float], list[float]]:
    """Returns of the market, deposits, and the share of the portfolio withdrawn at each close."""
    length = draw(st.integers(1, 15))
    sized = {"min_size": length, "max_size": length}
    return (
        draw(st.lists(moves, **sized)),
        draw(st.lists(money, **sized)),
        draw(st.lists(st.floats(0, 0.5), **sized)),
    )


@given(histories())
@settings(max_examples=100, deadline=None)
def test_deposits_and_withdrawals_do_not_move_the_time_weighted_return(
    history: tuple[list[float], list[float], list[float]],
) -> None:
    market, deposits, shares = history
    values, outflows, worth = [], [], 0.0
    deposits = [1e9, *deposits[1:]]  # large enough to stay above 1 USD
    for move, deposit, share in zip(market, deposits, shares, strict=True):
        worth = (worth + deposit) * (1 + move)
        outflows.append(worth * share)
        worth -= outflows[-1]
        values.append(worth)
    days = chain(values, deposits, outflows)
    np.testing.assert_allclose(indices(days), np.cumprod(1 + np.array(market)), rtol=1e-9)
    np.testing.assert_allclose(1 + np.array(daily_returns(days)), 1 + np.array(market), rtol=1e-9)


@given(st.lists(st.one_of(st.just(UNKNOWN), st.floats(0.01, 1e6)), min_size=1, max_size=30), st.data())
@settings(max_examples=100, deadline=None)
def test_the_index_is_the_product_of_what_is_shown_wherever_no_day_is_unknown(
    values: list[float], data: st.DataObject
) -> None:
    inflows = [100.0, *(data.draw(money) for _ in values[1:])]
    days = chain(values, inflows)
    for before, now in itertools.pairwise(days):
        if not np.isnan(now.daily_return[0]):
            assert now.twr_index[0] == pytest.approx(before.twr_index[0] * (1 + now.daily_return[0]))
    for day, value in zip(days, values, strict=True):
        assert np.isnan(day.twr_index[0]) == np.isnan(value)


@given(histories())
@settings(max_examples=50, deadline=None)
def test_many_portfolios_at_once_are_the_same_as_each_alone(
    history: tuple[list[float], list[float], list[float]],
) -> None:
    market, deposits, _ = history
    values = np.abs(np.array([market, market[::-1]])) * 100
    together, track = [], TrackRecord.new(2)
    for day in range(len(market)):
        linked = chain_day(track, day, values[:, day], np.full(2, deposits[day]), np.zeros(2))
        track = linked.track
        together.append(linked.twr_index)
    for at in range(2):
        alone = indices(chain(values[at].tolist(), deposits, days=list(range(len(market)))))
        np.testing.assert_array_equal(alone, [index[at] for index in together])
