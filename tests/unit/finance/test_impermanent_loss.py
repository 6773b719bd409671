"""Impermanent loss of pools: the reference values row by row, the edges, and what holds for any price."""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.finance.impermanent_loss import (
    concentrated_loss,
    constant_product_loss,
    range_amounts,
    range_share,
    uneven_deposit,
    weighted_amounts,
    weighted_loss,
)
from portfolio_pipelines.finance.impermanent_loss_stable import (
    StableSwapTable,
    composition,
    stable_swap_loss,
    stable_swap_price,
    stable_swap_share,
)

ROOT = Path(__file__).parents[3]
SHARED = (ROOT / os.environ.get("PORTFOLIO_SHARED_DATA", "../shared/data")).resolve() / "uniswap"
ratios = st.floats(1e-6, 1e6)


def of_the_document(ratio: float) -> float:
    return 2 * math.sqrt(ratio) / (1 + ratio) - 1


@pytest.mark.parametrize(
    ("ratio", "percent"),
    [(1.25, -0.6192), (1.5, -2.0204), (1.75, -3.7909), (2, -5.7191), (3, -13.3975), (5, -25.4644), (10, -42.504)],
)
def test_a_constant_product_loses_what_the_usual_table_says(ratio: float, percent: float) -> None:
    assert 100 * constant_product_loss(ratio) == pytest.approx(percent, abs=5e-5)
    assert constant_product_loss(ratio) == pytest.approx(of_the_document(ratio), abs=1e-15)


def test_four_times_or_a_quarter_of_the_price_loses_a_fifth_exactly() -> None:
    assert constant_product_loss([4.0, 0.25]).tolist() == [-0.2, -0.2]


def test_the_loss_keeps_its_digits_where_the_form_of_the_document_has_none() -> None:
    assert of_the_document(1 + 1e-9) == 0
    assert constant_product_loss(1 + 1e-9) == pytest.approx(-1.25e-19, rel=1e-6)
    assert constant_product_loss(1 + 1e-6) == pytest.approx(-1.25e-13 * (1 - 1e-6), rel=1e-9)


def test_impossible_and_extreme_ratios() -> None:
    found = constant_product_loss([0.0, math.inf, 1.0, -1.0, math.nan])
    assert found[:3].tolist() == [-1, -1, 0]
    assert np.isnan(found[3:]).all()


@given(ratios)
def test_up_and_down_by_the_same_factor_lose_the_same(ratio: float) -> None:
    loss = constant_product_loss(ratio)
    assert -1 <= loss <= 0
    assert loss == pytest.approx(constant_product_loss(1 / ratio), abs=1e-15)


def test_weighted_pools_lose_what_was_calculated_by_hand() -> None:
    assert 100 * weighted_loss([[2, 1], [4, 1]], [0.8, 0.2]) == pytest.approx([-3.27216, -10.8402], abs=5e-5)
    assert weighted_loss([2, 1, 0.5], [1 / 3] * 3) == pytest.approx(-1 / 7, abs=1e-15)


@given(ratios, ratios)
def test_a_weighted_pool_of_halves_is_a_constant_product(first: float, second: float) -> None:
    assert weighted_loss([first, second], [0.5, 0.5]) == pytest.approx(constant_product_loss(first / second), abs=1e-12)


@given(st.floats(1e-6, 1e6), st.floats(0.01, 0.99))
def test_what_a_weighted_pair_holds_has_its_price_and_one_unit_of_liquidity(price: float, weight: float) -> None:
    first, second = (float(amount) for amount in weighted_amounts(price, weight))
    assert (second / (1 - weight)) / (first / weight) == pytest.approx(price)
    assert first**weight * second ** (1 - weight) == pytest.approx(1)


def test_a_weighted_pair_without_a_price_or_with_an_impossible_weight_holds_nobody_knows_what() -> None:
    found = weighted_amounts([0, -1, math.nan, 1, 1], [0.5, 0.5, 0.5, 0, 1])
    assert all(math.isnan(amount) for amounts in found for amount in amounts)


def test_a_weighted_pool_with_a_coin_that_fell_to_nothing_lost_everything() -> None:
    found = weighted_loss([[0, 1], [math.inf, 1], [-1, 1], [math.nan, 1], [0, 0]], [0.5, 0.5])
    assert found[:2].tolist() == [-1, -1]
    assert np.isnan(found[2:]).all()


@pytest.mark.parametrize(
    ("price", "percent"),
    [
        (1000, -30.3191), (1500, -8.4208), (1600, -5.1025), (1800, -1.15), (2000, 0), (2200, -0.9525), (2400, -3.4949),
        (2500, -5.2388), (4000, -26.9795),
    ],
)  # fmt: skip
def test_a_range_of_1500_to_2500_entered_at_2000(price: float, percent: float) -> None:
    assert 100 * concentrated_loss(2000, price, 1500, 2500) == pytest.approx(percent, abs=5e-5)


@pytest.mark.parametrize(
    ("price", "lower", "upper", "percent"),
    [
        (1.2, 0.5, 2, -1.41376), (0.8, 0.5, 2, -2.11408), (2, 0.5, 2, -19.5262), (3, 0.5, 2, -39.6447),
        (0.4, 0.5, 2, -31.0225), (1.05, 0.9, 1.1, -0.608745),
    ],
)  # fmt: skip
def test_ranges_entered_at_one(price: float, lower: float, upper: float, percent: float) -> None:
    assert 100 * concentrated_loss(1, price, lower, upper) == pytest.approx(percent, abs=5e-5)


@given(ratios)
def test_a_range_without_bounds_is_a_constant_product(ratio: float) -> None:
    assert concentrated_loss(1, ratio, 0, math.inf) == pytest.approx(constant_product_loss(ratio), abs=1e-14)


@given(st.floats(0.01, 100), st.floats(0.01, 100), st.floats(0.01, 50), st.floats(1.01, 100))
def test_the_loss_of_a_range_is_that_of_its_amounts(entry: float, now: float, lower: float, width: float) -> None:
    upper = lower * width
    (x0, y0), (x1, y1) = range_amounts(entry, lower, upper), range_amounts(now, lower, upper)
    held = x0 * now + y0
    assert concentrated_loss(entry, now, lower, upper) == pytest.approx((x1 * now + y1) / held - 1, abs=1e-9)
    assert range_share(entry, lower, upper) == pytest.approx(x0 * entry / (x0 * entry + y0), abs=1e-12)


def test_a_narrow_range_keeps_its_digits_for_a_small_move() -> None:
    exact = -((5e-9) ** 2) / (2 - math.sqrt(0.99) - 1 / math.sqrt(1.01))  # (s - 1)^2 over the deposit
    assert concentrated_loss(1, 1 + 1e-8, 0.99, 1.01) == pytest.approx(exact, rel=1e-6)


def test_a_coin_that_fell_to_nothing_took_the_other_with_it() -> None:
    assert concentrated_loss([1.0, 1.0], 0.0, [0.0, 0.5], [math.inf, 2]).tolist() == [-1, -1]


def test_a_range_with_impossible_bounds_or_prices_has_no_loss() -> None:
    bounds = np.array([[2, 1], [-1, 1], [math.nan, 1], [0.5, 2], [0.5, 2], [0.5, 2]])
    prices = np.array([1.0, 1, 1, -1, math.nan, math.inf])
    assert np.isnan(concentrated_loss(1, prices[:5], bounds[:5, 0], bounds[:5, 1])).all()
    assert np.isnan(concentrated_loss([0, math.nan, -1], 1, 0.5, 2)).all()


def test_many_figures_at_once_are_those_of_each_alone() -> None:
    many = np.random.default_rng(5).lognormal(0, 1, (5, 10_000))
    assert (constant_product_loss(many)[3, :50] == constant_product_loss(many[3, :50])).all()
    assert (concentrated_loss(1, many, 0.5, 2)[4, -50:] == concentrated_loss(1, many[4, -50:], 0.5, 2)).all()


@pytest.mark.parametrize(("price", "percent"), [(0.9, -3.3829), (0.95, -1.3321), (0.99, -0.1077), (0.5, -28.94)])
def test_pegged_coins_with_an_amplification_of_100(price: float, percent: float) -> None:
    assert 100 * stable_swap_loss(1, price, 100) == pytest.approx(percent, abs=5e-3 if price == 0.5 else 5e-5)


@given(st.floats(0.05, 20))
def test_pegged_coins_without_amplification_are_a_constant_product(price: float) -> None:
    assert stable_swap_loss(1, price, 1e-10) == pytest.approx(constant_product_loss(price), abs=1e-8)


@given(st.floats(0.3, 3), st.floats(0.3, 3), st.sampled_from([1.0, 20, 100, 2000]))
def test_a_pool_of_pegged_coins_is_what_its_price_says(entry: float, price: float, amplification: float) -> None:
    pool = composition(price, amplification)
    assert stable_swap_price(7 * pool.first, 7 * pool.second, amplification) == pytest.approx(price, rel=1e-9)
    loss = stable_swap_loss(entry, price, amplification)
    assert -1 <= loss <= 0
    worth = pool.first * price
    assert stable_swap_share(price, amplification) == pytest.approx(worth / (worth + pool.second), abs=1e-12)


def test_pegged_coins_with_impossible_prices_have_no_loss() -> None:
    assert np.isnan(stable_swap_loss(1, [0.0, -1.0, math.nan, math.inf], 100)).all()
    assert np.isnan(stable_swap_loss(1, 0.9, [0.0, math.nan])).all()
    assert np.isnan(stable_swap_price([0.0, 1], [1.0, math.nan], 100)).all()


@pytest.mark.parametrize("amplification", [1.0, 100.0, 5000.0])
def test_the_table_of_losses_is_bisection(amplification: float) -> None:
    prices = np.exp(np.random.default_rng(3).normal(0, [[0.005], [0.2], [3]], (3, 500)))
    table = StableSwapTable(amplification)
    assert table.loss(prices) == pytest.approx(stable_swap_loss(1, prices, amplification), abs=1e-10)
    assert np.isnan(table.loss([0, -1, math.nan, math.inf])).all()


def test_an_uneven_deposit_loses_nothing_on_entry_and_is_held_as_it_was_put_in() -> None:
    entry, now = np.array([2000.0] * 3), np.array([2000.0, 8000, 8000])
    first, second = np.array([1.0, 1, 0.5]), np.array([0.0, 0, 1000])
    loss = constant_product_loss(now / entry)
    held, made = uneven_deposit(entry, now, first, second, np.full(3, 0.5), loss)
    assert held.tolist() == [2000, 8000, 5000]  # one coin, and an even deposit of the same worth
    assert made == pytest.approx([2000, 4000, 4000])  # both put 2,000 in: 0.25 and 2,000 at four times the price


def replayed() -> list[Any]:
    file = SHARED / "expected_il_uniswap_v3_dev.json"
    return json.loads(file.read_text())["cases"] if file.is_file() else []


@pytest.mark.skipif(not SHARED.is_dir(), reason="shared data (PORTFOLIO_SHARED_DATA) is absent")
def test_positions_replayed_over_recorded_swaps_lose_what_their_integers_say() -> None:
    cases = replayed()
    assert cases
    for case in cases:
        entry, lower, upper = (1.0001 ** case[name] for name in ("entry_tick", "tick_lower", "tick_upper"))
        for point in case["points"]:
            loss = 100 * float(concentrated_loss(entry, 1.0001 ** point["tick"], lower, upper))
            assert loss == pytest.approx(float(point["il_pct"]), abs=1e-6)
            assert point["in_range"] == (lower <= 1.0001 ** point["tick"] < upper)
