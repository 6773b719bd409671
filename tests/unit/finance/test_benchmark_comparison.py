"""Portfolios beside benchmarks: known betas, the grid of the S&P 500, captures, gaps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio_pipelines.finance.benchmark_comparison import BenchmarkSeries, Comparison, compare
from portfolio_pipelines.finance.metrics_history import History
from tests.unit.finance.portfolio_days import history_of

DAYS = 728


def held(returns: np.ndarray) -> History:
    """A portfolio with these daily returns from the first day on."""
    inflows = np.zeros(len(returns))
    inflows[0] = 10_000
    return history_of(10_000 * np.cumprod(1 + returns), inflows)


def every_day(returns: np.ndarray, name: str = "BTC") -> BenchmarkSeries:
    closes = 100 * np.concatenate([[1.0], np.cumprod(1 + returns)])
    return BenchmarkSeries(name, closes, np.ones(len(closes), bool))


def on_weekdays(returns: np.ndarray) -> BenchmarkSeries:
    """The same, its closes carried over Saturdays and Sundays; row 0 is a Monday and element 0 the Sunday before."""
    closes = every_day(returns).close
    traded = np.array([(n - 1) % 7 < 5 for n in range(len(closes))])
    last = np.maximum.accumulate(np.where(traded, np.arange(len(closes)), 0))
    return BenchmarkSeries("SP500", closes[last], traded)


def against(history: History, benchmark: BenchmarkSeries, window: int) -> Comparison:
    row = history.days - 1
    return compare(history.returns, history.states[row], row, [window], [benchmark])[0]


def test_a_portfolio_of_the_benchmark_has_beta_one_and_no_tracking_error() -> None:
    moves = np.random.default_rng(1).normal(0.001, 0.03, DAYS)
    found = against(held(moves), every_day(moves), 365)
    assert found.beta[0] == pytest.approx(1)
    assert found.correlation[0] == pytest.approx(1)
    assert found.tracking_error[0] == pytest.approx(0, abs=1e-7)
    assert found.up_capture[0] == pytest.approx(1)
    assert found.down_capture[0] == pytest.approx(1)
    assert found.benchmark_roi[0] == pytest.approx(np.prod(1 + moves[-365:]) - 1)
    assert found.n_obs[0] == 365


def test_the_statistics_are_those_of_numpy() -> None:
    rng = np.random.default_rng(2)
    market = rng.normal(0.001, 0.03, DAYS)
    own = 1.5 * market + rng.normal(0, 0.01, DAYS)
    found = against(held(own), every_day(market), 90)
    p, b = own[-90:], market[-90:]
    assert found.beta[0] == pytest.approx(np.cov(p, b)[0, 1] / b.var(ddof=1))
    assert found.correlation[0] == pytest.approx(np.corrcoef(p, b)[0, 1])
    assert found.tracking_error[0] == pytest.approx((p - b).std(ddof=1) * np.sqrt(365))
    up = b > 0
    captured = np.expm1(np.log1p(p[up]).mean()) / np.expm1(np.log1p(b[up]).mean())
    assert found.up_capture[0] == pytest.approx(captured)


def test_the_statistics_agree_with_empyrical() -> None:
    empyrical = pytest.importorskip("empyrical")
    rng = np.random.default_rng(2)
    market = rng.normal(0.001, 0.03, DAYS)
    own = 1.5 * market + rng.normal(0, 0.01, DAYS)
    found = against(held(own), every_day(market), 365)
    assert found.beta[0] == pytest.approx(empyrical.beta(own[-365:], market[-365:]))


def test_the_index_is_compared_on_its_trading_days_with_no_return_lost() -> None:
    """Carried closes on a seven-day grid lower the correlation, one day of shift destroys the beta."""
    rng = np.random.default_rng(8)
    market = np.where(np.arange(DAYS) % 7 < 5, rng.normal(0.0004, 0.01, DAYS), 0.0)  # it moves on weekdays alone
    own = 1.5 * market + rng.normal(0, 0.03, DAYS)
    index = on_weekdays(market)
    found = against(held(own), index, 0)

    closes = index.close[1:][index.traded[1:]]
    worth = np.cumprod(1 + own)[index.traded[1:]]
    b, p = closes[1:] / closes[:-1] - 1, worth[1:] / worth[:-1] - 1
    assert found.n_obs[0] == len(b)
    assert found.beta[0] == pytest.approx(np.cov(p, b)[0, 1] / b.var(ddof=1))
    assert found.correlation[0] == pytest.approx(np.corrcoef(p, b)[0, 1])
    assert found.beta[0] == pytest.approx(1.5, abs=0.3)
    assert found.tracking_error[0] == pytest.approx((p - b).std(ddof=1) * np.sqrt(252)), "252 trading days a year"

    carried = index.close[1:] / index.close[:-1] - 1
    shifted = np.cov(own[:-1], carried[1:])[0, 1] / carried.var(ddof=1)
    assert abs(shifted) < 0.5 < found.beta[0]


def test_the_return_of_a_weekend_is_compounded_onto_monday() -> None:
    market, own = np.zeros(28), np.zeros(28)
    market[[7, 14, 21]] = 0.02, -0.01, 0.03  # Mondays
    market[[1, 9, 16, 22]] = 0.01, -0.02, 0.015, 0.01
    own[[5, 12, 19]] = 0.02, -0.01, 0.03  # the Saturdays before
    own[[1, 9, 16, 22]] = 0.01, -0.02, 0.015, 0.01
    assert against(held(own), on_weekdays(market), 0).correlation[0] == pytest.approx(1)


def test_a_window_that_starts_on_a_weekend_starts_with_the_next_whole_interval() -> None:
    market = np.random.default_rng(3).normal(0, 0.01, 42)
    found = against(held(market), on_weekdays(market), 30)  # days 12 to 41; day 12 is a Saturday
    assert found.n_obs[0] == 20, "Monday's return would begin with Friday's close, before the window"


def test_a_constant_benchmark_has_no_beta_and_no_capture() -> None:
    found = against(held(np.random.default_rng(4).normal(0, 0.02, 60)), every_day(np.zeros(60)), 0)
    assert np.isnan([found.beta[0], found.correlation[0], found.up_capture[0], found.down_capture[0]]).all()
    assert found.benchmark_roi[0] == 0


def test_few_pairs_are_no_statistic() -> None:
    moves = np.random.default_rng(5).normal(0, 0.02, 9)
    found = against(held(moves), every_day(moves), 0)
    assert np.isnan([found.beta[0], found.correlation[0], found.tracking_error[0]]).all()
    assert found.n_obs[0] == 9


def test_days_without_a_close_of_the_benchmark_are_bridged_together() -> None:
    moves = np.random.default_rng(6).normal(0, 0.02, 60)
    series = every_day(moves)
    series.close[20:22] = np.nan
    found = against(held(moves), series, 0)
    assert found.n_obs[0] == 58
    assert found.beta[0] == pytest.approx(1)


def test_days_without_a_value_of_the_portfolio_are_left_out() -> None:
    moves = np.random.default_rng(7).normal(0, 0.02, 60)
    values = 10_000 * np.cumprod(1 + moves)
    values[30:32] = np.nan
    history = history_of(values, [10_000] + [0] * 59)
    found = against(history, every_day(moves), 0)
    assert found.n_obs[0] == 57
    assert found.beta[0] == pytest.approx(1)


def test_a_portfolio_that_began_later_is_compared_from_its_first_day() -> None:
    moves = np.random.default_rng(9).normal(0, 0.02, 60)
    values, inflows = np.zeros((60, 2)), np.zeros((60, 2))
    for number, start in enumerate([0, 40]):
        values[start:, number] = 1_000 * np.cumprod(1 + moves[start:])
        inflows[start, number] = 1_000
    found = against(history_of(values, inflows), every_day(moves), 0)
    assert found.n_obs.tolist() == [60, 20]
    assert found.benchmark_roi[1] == pytest.approx(np.prod(1 + moves[40:]) - 1)


def test_a_benchmark_that_nobody_knows_compares_with_nothing() -> None:
    moves = np.random.default_rng(10).normal(0, 0.02, 30)
    nothing = BenchmarkSeries("ETH", np.full(31, np.nan), np.zeros(31, bool))
    found = against(held(moves), nothing, 30)
    assert found.n_obs[0] == 0
    assert np.isnan(found.benchmark_roi[0])


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.floats(-3, 3))
def test_beta_is_linear_and_correlation_lies_within_one(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    market = rng.normal(0, 0.01, 60)
    found = against(held(np.clip(factor * market, -0.5, 2)), every_day(market), 0)
    assert found.beta[0] == pytest.approx(factor, abs=1e-6)
    assert np.isnan(found.correlation[0]) or abs(found.correlation[0]) <= 1
