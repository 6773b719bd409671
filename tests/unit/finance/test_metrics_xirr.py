"""Money-weighted returns: known rates, the pitfalls of solvers, agreement with pyxirr."""

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio_pipelines.finance.metrics_reasons import Reason
from portfolio_pipelines.finance.metrics_xirr import Solution, money_weighted_rates
from tests.unit.finance.portfolio_days import metrics_of


def solve(flows: list[tuple[float, float]], final: float) -> tuple[float, Solution]:
    """Flows as (days before the end, USD put in)."""
    days, money = np.array(flows, float).T
    rates, outcome = money_weighted_rates(np.zeros(len(flows), int), days, money, np.array([final]))
    return float(rates[0]), Solution(int(outcome[0]))


def test_a_year_that_ends_with_ten_percent_more_is_ten_percent() -> None:
    assert solve([(365, 1_000)], 1_100)[0] == pytest.approx(0.1)


def test_two_years_compound() -> None:
    assert solve([(730, 1_000)], 1_210)[0] == pytest.approx(0.1)


def test_a_total_loss_has_no_rate() -> None:
    rate, outcome = solve([(365, 1_000)], 0)
    assert np.isnan(rate)
    assert outcome is Solution.FLOWS_OF_ONE_SIGN


def test_flows_that_two_rates_explain_have_none() -> None:
    rate, outcome = solve([(730, 100), (365, -230)], -132)  # 10 % and 20 %
    assert np.isnan(rate)
    assert outcome in {Solution.SEVERAL_RATES, Solution.FLOWS_OF_ONE_SIGN}
    rate, outcome = solve([(730, 100), (365, -230), (0, 132)], 0.0)
    assert np.isnan(rate)
    assert outcome is Solution.SEVERAL_RATES


def test_flows_of_the_last_day_alone_have_no_rate() -> None:
    assert solve([(0, 1_000)], 1_100)[1] is Solution.NO_RATE


def test_a_deposit_before_a_fall_weighs_more_than_the_gain_before_it() -> None:
    days = 200
    values = np.concatenate([np.linspace(100, 200, 100), np.full(100, 5_100.0)])
    inflows = np.zeros(days)
    inflows[0], inflows[100] = 100, 10_000
    found = metrics_of(values, inflows)
    assert found.xirr[0] < -0.8
    assert found.twr[0] == pytest.approx(2.0 * 0.5 - 1, abs=1e-9)


def test_below_ninety_days_there_is_no_annual_rate() -> None:
    values, inflows = np.full(89, 1_100.0), np.array([1_000.0] + [0.0] * 88)
    found = metrics_of(values, inflows)
    assert np.isnan(found.xirr[0])
    assert int(found.reason[0]) & Reason.SHORT_SPAN
    again = metrics_of(np.append(values, 1_100.0), np.append(inflows, 0.0))
    assert again.xirr[0] == pytest.approx(1.1 ** (365 / 90) - 1)


MONEY = st.lists(st.tuples(st.integers(1, 1_500), st.floats(10, 1e5)), min_size=1, max_size=12)


@settings(max_examples=100)
@given(MONEY, st.floats(1, 1e6))
def test_the_rate_explains_the_flows(flows: list[tuple[int, float]], final: float) -> None:
    rate, outcome = solve([(float(days), money) for days, money in flows], final)
    if outcome is Solution.FOUND:
        grown = sum(money * (1 + rate) ** (days / 365) for days, money in flows)
        assert grown == pytest.approx(final, rel=1e-8)


@settings(max_examples=60)
@given(MONEY, st.floats(0.2, 5))
def test_the_rate_agrees_with_pyxirr(flows: list[tuple[int, float]], growth: float) -> None:
    pyxirr = pytest.importorskip("pyxirr")
    final = growth * sum(money for _, money in flows)
    if max(days for days, _ in flows) < 90:
        return
    rate, outcome = solve([(float(days), money) for days, money in flows], final)
    end = date(2026, 1, 1)
    theirs = pyxirr.xirr(
        [*(end - timedelta(days=days) for days, _ in flows), end], [*(-money for _, money in flows), final]
    )
    if outcome is Solution.FOUND and theirs is not None and abs(theirs) < 1e3:
        assert rate == pytest.approx(theirs, rel=1e-6, abs=1e-8)
