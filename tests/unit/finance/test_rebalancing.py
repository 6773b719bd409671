"""The closed form for everybody: the example checked by hand, and what must hold of every plan."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.finance.rebalancing import (
    DEFAULT_SLIPPAGE,
    Portfolios,
    Slippage,
    band_trades,
    naive_trades,
    propose,
)
from portfolio_pipelines.finance.rebalancing_swaps import number_of_swaps, paired, paired_by_place
from tests.unit.finance.rebalancing_examples import BANDS, TARGETS, VALUES, by_hand, portfolios, shares_of

TO_THE_CENT = 0.03


def test_the_example_goes_to_the_edges_and_the_rest_into_what_is_bought_anyway() -> None:
    assert band_trades(by_hand())[0] == pytest.approx([-800, 500, 300, 0])


def test_the_example_takes_two_swaps_and_costs_3_80_with_the_price_of_a_trade() -> None:
    found = propose(by_hand(), np.array([0.5]))
    swaps = paired(found.trades)
    assert list(zip(swaps.seller, swaps.buyer, strict=True)) == [(0, 1), (0, 2)]
    assert swaps.sold_usd == pytest.approx([500, 300], abs=1.5)  # a little more is sold, for the costs
    assert found.costs_usd[0] + 2 * 1.0 == pytest.approx(3.80, abs=0.001)
    assert found.is_worth_it[0]


def test_a_portfolio_inside_its_bands_is_left_alone() -> None:
    found = propose(Portfolios(np.array([[5100.0, 2900, 1000, 1000]]), TARGETS[None], BANDS[None]), np.array([0.5]))
    assert not found.trades.any()
    assert not found.is_worth_it[0]


@pytest.mark.parametrize(("total", "gas", "worth_it"), [(10_000, 0.5, True), (10_000, 30.0, False), (20, 0.2, False)])
def test_nothing_is_suggested_when_gas_eats_the_gain(total: float, gas: float, worth_it: bool) -> None:
    found = propose(Portfolios(VALUES[None] / 10_000 * total, TARGETS[None], BANDS[None]), np.array([gas]))
    assert found.is_worth_it[0] == worth_it


def test_money_that_lacks_comes_from_what_is_sold_anyway_and_then_from_the_most_room() -> None:
    # C is 8 points too low, A 2 too high: A gives 2 more than its edge demands, B the rest.
    strayed = Portfolios(np.array([[54.0, 44.0, 2.0]]), np.array([[0.5, 0.4, 0.1]]), np.array([[0.02, 0.05, 0.0]]))
    assert band_trades(strayed)[0] == pytest.approx([-6.0, -2.0, 8.0])


def test_bands_of_nothing_mean_exactly_the_target() -> None:
    strayed = Portfolios(VALUES[None], TARGETS[None], np.zeros((1, 4)))
    found = propose(strayed, np.array([0.5]))
    assert shares_of(VALUES + found.trades[0]) == pytest.approx(TARGETS, abs=1e-5)


def test_slippage_rises_with_the_size_of_a_trade() -> None:
    pieces = Slippage((100.0, 1000.0), (0.001, 0.01, 0.1))
    assert pieces.of(np.array([50.0, -100.0, 500.0, 2000.0])) == pytest.approx([0.05, 0.1, 4.1, 109.1])
    with pytest.raises(ValueError, match="rising rates"):
        Slippage((100.0,), (0.01, 0.001))


@pytest.mark.parametrize("unknown", [np.nan, np.inf, -1.0])
def test_what_is_unknown_is_not_planned_with(unknown: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        propose(Portfolios(np.array([[unknown, 1.0]]), np.full((1, 2), 0.5), np.zeros((1, 2))), np.array([0.5]))


def test_swaps_stay_within_a_chain_where_they_can() -> None:
    trades = np.array([-100.0, -50.0, 90.0, 60.0])
    swaps = paired_by_place(trades, (1, 2, 2, 1))
    assert swaps == [(0, 3, 60.0), (1, 2, 50.0), (0, 2, 40.0)]
    assert paired_by_place(np.array([0.0, 70.0, 30.0]), (0, 0, 0)) == [(-1, 1, 70.0), (-1, 2, 30.0)]


@given(portfolios(), st.sampled_from([0.0, 0.02, 0.5, 5.0]))
def test_no_plan_breaks_a_band(book: Portfolios, gas: float) -> None:
    found = propose(book, np.full(len(book.values), gas))
    planned = found.is_settled & book.outside().any(axis=1)
    afterwards = (book.values + found.trades)[planned]
    worth = afterwards.sum(axis=1, keepdims=True)
    low, high = (edge[planned] * (worth / book.totals[planned, None]) for edge in book.edges())
    assert (afterwards >= low - TO_THE_CENT).all()
    assert (afterwards <= high + TO_THE_CENT).all()
    assert (afterwards >= -TO_THE_CENT).all()


@given(portfolios(), st.sampled_from([0.0, 0.02, 0.5, 5.0]))
def test_no_plan_costs_more_than_the_naive_one(book: Portfolios, gas: float) -> None:
    found = propose(book, np.full(len(book.values), gas))
    costs = np.zeros(len(book.values))
    for _ in range(20):  # the naive plan pays its own costs too
        naive = naive_trades(book, costs)
        costs = DEFAULT_SLIPPAGE.of(naive).sum(axis=1) + gas * number_of_swaps(naive)
    due = found.is_settled & found.is_worth_it
    assert (found.costs_usd[due] <= costs[due] + TO_THE_CENT).all()


@given(portfolios(), st.sampled_from([0.0, 0.5]))
def test_what_is_sold_pays_for_what_is_bought_and_for_the_costs(book: Portfolios, gas: float) -> None:
    found = propose(book, np.full(len(book.values), gas))
    paid = -found.trades.sum(axis=1) - found.costs_usd
    assert (paid[found.is_settled] >= -TO_THE_CENT).all()


@given(portfolios(), st.floats(1.5, 50.0))
def test_a_larger_portfolio_needs_the_same_trades_larger(book: Portfolios, factor: float) -> None:
    flat = Slippage((), (0.0005,))
    free = np.zeros(len(book.values))
    larger = Portfolios(book.values * factor, book.targets, book.bands)
    some = book.outside().any(axis=1) & larger.outside().any(axis=1) & (book.totals > 1_000)
    found, grown = propose(book, free, slippage=flat), propose(larger, free, slippage=flat)
    assert grown.benefit_usd[some] == pytest.approx(found.benefit_usd[some] * factor, rel=1e-3, abs=1.0)


@given(portfolios())
def test_swaps_move_all_that_is_sold_and_are_fewer_than_the_traded_assets(book: Portfolios) -> None:
    trades = band_trades(book)
    swaps = paired(trades)
    sold = np.zeros_like(trades)
    np.add.at(sold, (swaps.row, swaps.seller), swaps.sold_usd)
    bought = np.zeros_like(trades)
    np.add.at(bought, (swaps.row, swaps.buyer), swaps.sold_usd)
    assert sold == pytest.approx(np.maximum(-trades, 0.0), abs=0.2)
    assert bought == pytest.approx(np.maximum(trades, 0.0), abs=0.2)
    traded = (np.abs(trades) > 0.005).sum(axis=1)
    assert (np.bincount(swaps.row, minlength=len(trades)) <= np.maximum(traded - 1, 0)).all()
