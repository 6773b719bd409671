"""Metrics against the tables of conventions: golden values, edge cases, flows, and what must not change them."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from portfolio_pipelines.finance.metrics import NO_ROW, WindowMetrics, portfolio_metrics
from portfolio_pipelines.finance.metrics_history import History
from portfolio_pipelines.finance.metrics_reasons import WORDS, Reason, words_of
from portfolio_pipelines.finance.returns import LEAST_INVESTED_USD
from tests.unit.finance.portfolio_days import history_of, metrics_of, metrics_of_returns

GOLDEN = np.random.default_rng(42).standard_t(4, 365) * 0.025 + 0.001
FIGURES = (
    "roi", "twr", "xirr", "volatility", "sharpe", "sortino", "max_drawdown", "calmar", "var_95", "cvar_95",
    "best_day", "worst_day",
)  # fmt: skip


def figure(metrics: WindowMetrics, name: str) -> float:
    return float(getattr(metrics, name)[0])


def reasons(metrics: WindowMetrics) -> Reason:
    return Reason(int(metrics.reason[0]))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("twr", 0.08239),
        ("volatility", 0.6771),
        ("sharpe", 0.4580),
        ("sortino", 0.6377),
        ("max_drawdown", -0.4065),
        ("calmar", 0.2027),
        ("var_95", -0.05769),
        ("cvar_95", -0.0874),
    ],
)
def test_the_golden_series_gives_the_figures_of_a_365_day_year(name: str, expected: float) -> None:
    assert figure(metrics_of_returns(GOLDEN, 365), name) == pytest.approx(expected, rel=1e-3)


def test_a_risk_free_rate_is_annual_and_is_taken_off_by_the_day() -> None:
    assert figure(metrics_of_returns(GOLDEN, 365, risk_free_rate=0.04), "sharpe") == pytest.approx(0.400, rel=2e-3)


def test_the_golden_series_agrees_with_empyrical() -> None:
    empyrical = pytest.importorskip("empyrical")
    ours = metrics_of_returns(GOLDEN, 365)
    year = {"annualization": 365}
    assert figure(ours, "volatility") == pytest.approx(empyrical.annual_volatility(GOLDEN, **year), rel=1e-10)
    assert figure(ours, "sharpe") == pytest.approx(empyrical.sharpe_ratio(GOLDEN, **year), rel=1e-10)
    assert figure(ours, "sortino") == pytest.approx(empyrical.sortino_ratio(GOLDEN, **year), rel=1e-10)
    assert figure(ours, "max_drawdown") == pytest.approx(empyrical.max_drawdown(GOLDEN), rel=1e-10)
    assert figure(ours, "twr") == pytest.approx(empyrical.cum_returns_final(GOLDEN), rel=1e-10)
    assert figure(ours, "calmar") == pytest.approx(empyrical.calmar_ratio(GOLDEN, **year), rel=1e-10)
    assert figure(ours, "var_95") == pytest.approx(empyrical.value_at_risk(GOLDEN), rel=1e-10)
    assert figure(ours, "cvar_95") == pytest.approx(empyrical.conditional_value_at_risk(GOLDEN), rel=1e-10)


def test_the_golden_series_agrees_with_quantstats() -> None:
    stats = pytest.importorskip("quantstats.stats")
    import pandas as pd

    series = pd.Series(GOLDEN, index=pd.date_range("2025-01-01", periods=365))
    ours = metrics_of_returns(GOLDEN, 365)
    assert figure(ours, "volatility") == pytest.approx(stats.volatility(series, periods=365), rel=1e-10)
    assert figure(ours, "sharpe") == pytest.approx(stats.sharpe(series, periods=365), rel=1e-10)
    assert figure(ours, "sortino") == pytest.approx(stats.sortino(series, periods=365), rel=1e-10)
    assert figure(ours, "max_drawdown") == pytest.approx(stats.max_drawdown(series), rel=1e-9)
    assert figure(ours, "twr") == pytest.approx(stats.cagr(series, periods=365), rel=1e-9)


# The table of edge cases: null and a reason where libraries answer with infinity, 2.9e16 or an exception.


def test_a_portfolio_without_a_day_has_no_figure() -> None:
    history = history_of([100.0, np.nan], [100, 0], windows=[30])
    found = portfolio_metrics(history, 1, [30, 0])
    assert all(np.isnan(figure(window, name)) for window in found for name in FIGURES)
    assert all(Reason.INCOMPLETE_DAY in reasons(window) for window in found)


def test_one_day_is_not_extrapolated() -> None:
    found = metrics_of_returns([0.01])
    assert figure(found, "twr") == pytest.approx(0.01)
    assert np.isnan([figure(found, name) for name in ("volatility", "sharpe", "sortino", "xirr", "var_95")]).all()
    assert reasons(found) == (
        Reason.TOO_FEW_RETURNS | Reason.SHORT_SPAN | Reason.NO_TAIL | Reason.NO_DRAWDOWN | Reason.OTHER_WINDOW
    )


def test_a_constant_return_has_no_sharpe_ratio() -> None:
    found = metrics_of_returns([0.001] * 30, 30)
    assert np.isnan([figure(found, "sharpe"), figure(found, "sortino")]).all()
    assert figure(found, "volatility") == pytest.approx(0, abs=1e-9)
    assert {Reason.CONSTANT, Reason.NO_LOSS} <= set(reasons(found))


def test_gains_alone_have_no_sortino_ratio_and_no_drawdown() -> None:
    found = metrics_of_returns(np.linspace(0.001, 0.02, 30), 30)
    assert np.isnan(figure(found, "sortino"))
    assert figure(found, "max_drawdown") == 0
    assert found.drawdown_peak[0] == found.drawdown_trough[0] == found.drawdown_recovered[0] == NO_ROW
    assert {Reason.NO_LOSS, Reason.NO_DRAWDOWN} <= set(reasons(found))


def test_a_gain_of_more_than_100_percent_is_a_return_and_no_price() -> None:
    returns = np.full(30, 0.01)
    returns[10] = 1.5
    found = metrics_of_returns(returns, 30)
    assert figure(found, "best_day") == pytest.approx(1.5)
    assert figure(found, "twr") == pytest.approx(1.01**29 * 2.5 - 1)


def test_missing_days_leave_what_rests_on_the_closes_at_both_ends() -> None:
    values = 10_000 * np.cumprod(1 + GOLDEN[:40])
    expected = values[39] / values[9] - 1
    values[20:25] = np.nan
    found = metrics_of(values, [10_000] + [0] * 39, window=30)
    assert figure(found, "twr") == pytest.approx(expected)
    assert figure(found, "roi") == pytest.approx(expected)
    assert np.isnan([figure(found, name) for name in ("volatility", "sharpe", "max_drawdown", "worst_day")]).all()
    assert found.n_obs[0] == 24, "five days are missing, and the return over the gap is no daily return"
    assert Reason.MISSING_DAYS in reasons(found)


def test_a_gap_at_the_start_of_the_window_leaves_no_return_of_the_window() -> None:
    values = 10_000 * np.cumprod(1 + GOLDEN[:40])
    values[8:12] = np.nan
    found = metrics_of(values, [10_000] + [0] * 39, window=30)
    assert np.isnan([figure(found, "twr"), figure(found, "roi")]).all()


def test_since_the_start_uses_the_days_there_are() -> None:
    values = 10_000 * np.cumprod(1 + GOLDEN[:40])
    gap = values.copy()
    gap[20:25] = np.nan
    inflows = [10_000] + [0] * 39
    found = metrics_of(gap, inflows)
    known = np.delete(GOLDEN[:40], range(20, 26))
    assert figure(found, "volatility") == pytest.approx(known.std(ddof=1) * np.sqrt(365))
    assert figure(found, "twr") == pytest.approx(values[-1] / 10_000 - 1)
    assert found.n_obs[0] == 34


def test_a_first_day_of_minus_50_percent_is_a_drawdown_of_50_percent() -> None:
    found = metrics_of_returns([-0.5, 0.1, 0.1])
    assert figure(found, "max_drawdown") == pytest.approx(-0.5)
    assert (found.drawdown_peak[0], found.drawdown_trough[0], found.drawdown_recovered[0]) == (-1, 0, NO_ROW)


def test_nothing_infinite_leaves_the_kernel() -> None:
    found = metrics_of([100, 0.0, 0.0, 50], [100, 0, 0, 50])
    assert not any(np.isinf(getattr(found, name)).any() for name in FIGURES)


def test_a_history_shorter_than_the_window_has_no_figure_but_its_number_of_days() -> None:
    found = metrics_of_returns(GOLDEN[:29], 30)
    assert np.isnan([figure(found, name) for name in FIGURES]).all()
    assert found.n_obs[0] == 29
    assert reasons(found) == Reason.SHORT_HISTORY


def test_thirty_returns_are_a_window_of_thirty_days() -> None:
    assert figure(metrics_of_returns(GOLDEN[:30], 30), "twr") == pytest.approx(np.prod(1 + GOLDEN[:30]) - 1)


def test_after_a_gap_too_long_to_bridge_a_new_record_begins() -> None:
    values = [100.0, 110] + [np.nan] * 8 + [50.0, 55, 44]
    found = metrics_of(values, [100] + [0] * 12)
    assert figure(found, "twr") == pytest.approx(-0.12)
    assert figure(found, "roi") == pytest.approx(-0.12)
    assert found.n_obs[0] == 2
    assert reasons(metrics_of(values + [44.0] * 27, [100] + [0] * 39, window=30)) == Reason.INTERRUPTED


# The table of pitfalls with flows: values known before, on the day, and after.
FLOWS = {
    "deposit 900 on 100, no move": ([100, 1_000], [100, 900], [0, 0], 0.0, 0.0),
    "1 USD of dust, a deposit of 10,000 gains 5 %": ([1, 10_001 * 1.05], [1, 10_000], [0, 0], 0.05, 0.05),
    "the same, losing 5 %": ([1, 10_001 * 0.95], [1, 10_000], [0, 0], -0.05, -0.05),
    "withdraw 99 %, the rest doubles": ([100, 1, 2], [100, 0, 0], [0, 99, 0], 1.0, 0.01),
    "withdraw to 1 USD, an airdrop of 500 as gain": ([10_000, 1, 501], [10_000, 0, 0], [0, 9_999, 0], 500, 0.05),
    "withdraw to 1 USD, the airdrop counted as inflow": ([10_000, 1, 501], [10_000, 0, 500], [0, 9_999, 0], 0, 0),
    "double 100, deposit 10,000, lose half": ([100, 200, 5_100], [100, 0, 10_000], [0, 0, 0], 0.0, -0.495),
}  # fmt: skip


@pytest.mark.parametrize("name", FLOWS)
def test_the_table_of_flows(name: str) -> None:
    values, inflows, outflows, twr, roi = FLOWS[name]
    found = metrics_of(values, inflows, outflows)
    assert figure(found, "twr") == pytest.approx(twr, abs=1e-12)
    assert figure(found, "roi") == pytest.approx(roi, abs=1e-3)


def test_a_withdrawal_is_no_drawdown() -> None:
    found = metrics_of([100, 10, 10.1], [100, 0, 0], [0, 90, 0])
    assert figure(found, "max_drawdown") == 0


def test_the_drawdown_is_dated_from_its_peak_to_its_recovery() -> None:
    found = metrics_of_returns([0.1, -0.2, 0.05, -0.1, 0.5, 0.1, -0.05])
    assert figure(found, "max_drawdown") == pytest.approx(0.8 * 1.05 * 0.9 - 1)
    assert (found.drawdown_peak[0], found.drawdown_trough[0], found.drawdown_recovered[0]) == (0, 3, 4)


def test_what_was_lost_and_doubled_has_recovered() -> None:
    found = metrics_of_returns([0.1, -0.5, 1.0])
    assert found.drawdown_recovered[0] == 2


def test_a_stale_price_lowers_the_coverage_by_its_share_of_the_worth() -> None:
    history = history_of([100, 100, 100, 100], [100, 0, 0, 0], stale=[0, 0, 50, 0], windows=[0, 2])
    since, two = portfolio_metrics(history, 3, [0, 2])
    assert since.coverage[0] == pytest.approx(350 / 400)
    assert two.coverage[0] == pytest.approx(150 / 200)


def test_each_reason_has_words() -> None:
    assert set(WORDS) == set(Reason)
    text = words_of(np.array([0, int(Reason.CONSTANT | Reason.NO_LOSS), 0], np.int32))
    assert text.to_list() == [None, "sharpe: the returns are constant; sortino: no day below the target", None]


def test_many_portfolios_give_the_figures_of_each_alone() -> None:
    rng = np.random.default_rng(3)
    returns = rng.normal(0.001, 0.03, (120, 7))
    inflows = np.zeros((120, 7))
    starts = [0, 0, 5, 29, 30, 31, 90]
    inflows[starts, range(7)] = 1_000
    values = np.zeros((120, 7))
    for row in range(120):
        values[row] = ((values[row - 1] if row else 0) + inflows[row]) * (1 + returns[row])
    together = portfolio_metrics(history_of(values, inflows), 119, [30, 90, 365, 0])
    for number in range(7):
        alone = portfolio_metrics(history_of(values[:, number], inflows[:, number]), 119, [30, 90, 365, 0])
        for all_of_them, one in zip(together, alone, strict=True):
            for name in (*FIGURES, "n_obs", "coverage", "reason", "drawdown_peak", "drawdown_recovered"):
                np.testing.assert_allclose(getattr(all_of_them, name)[number], getattr(one, name)[0], rtol=1e-12)


def test_a_range_gives_each_day_what_a_run_of_that_day_gives() -> None:
    values = 1_000 * np.cumprod(1 + GOLDEN)
    inflows = np.zeros(365)
    inflows[0] = 1_000
    whole = history_of(values, inflows, as_of=[100, 200, 364])
    for row in (100, 200, 364):
        short = history_of(values[: row + 1], inflows[: row + 1])
        for one, other in zip(portfolio_metrics(whole, row), portfolio_metrics(short, row), strict=True):
            for name in (*FIGURES, "n_obs", "drawdown_peak", "drawdown_trough", "drawdown_recovered", "reason"):
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_returns_that_do_not_fit_in_memory_are_paged() -> None:
    from portfolio_pipelines.finance import metrics_history

    expected = metrics_of_returns(GOLDEN, 365)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics_history, "MATRIX_IN_MEMORY", 100)
        assert isinstance(History(2, 10, frozenset()).returns, np.memmap)
        found = metrics_of_returns(GOLDEN, 365)
    for name in FIGURES:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


SERIES = arrays(float, st.integers(2, 120), elements=st.floats(-0.95, 3.0).map(lambda r: round(r, 6)))


@settings(max_examples=60)
@given(SERIES)
def test_a_drawdown_lies_between_minus_one_and_zero_and_equals_the_plain_definition(series: np.ndarray) -> None:
    index = np.concatenate([[1.0], np.cumprod(1 + series)])
    if 10_000 * index.min() < LEAST_INVESTED_USD:  # a new track record begins: too little to have a return on
        return
    found = metrics_of_returns(series)
    plain = (index / np.maximum.accumulate(index)).min() - 1
    if np.isfinite(figure(found, "max_drawdown")):
        assert -1 <= figure(found, "max_drawdown") <= 0
        assert figure(found, "max_drawdown") == pytest.approx(plain, abs=1e-12)
        peak, trough = found.drawdown_peak[0], found.drawdown_trough[0]
        if peak != NO_ROW:
            assert index[trough + 1] / index[peak + 1] - 1 == pytest.approx(plain, abs=1e-9)


@settings(max_examples=40)
@given(SERIES, st.integers(0, 2**31))
def test_flows_do_not_move_the_time_weighted_figures(series: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, inflows, outflows = np.zeros(len(series)), np.zeros(len(series)), np.zeros(len(series))
    held = 0.0
    for row, change in enumerate(series):
        inflows[row] = rng.uniform(100, 10_000) if row == 0 or rng.random() < 0.3 else 0.0
        worth = (held + inflows[row]) * (1 + change)
        outflows[row] = worth * rng.uniform(0, 0.5) if rng.random() < 0.3 and worth > 1_000 else 0.0
        held = values[row] = worth - outflows[row]
        if held < 100:  # too little to have a return on
            return
    with_flows, without = metrics_of(values, inflows, outflows), metrics_of_returns(series)
    for name in ("twr", "volatility", "sharpe", "max_drawdown", "best_day", "worst_day", "var_95", "cvar_95"):
        np.testing.assert_allclose(figure(with_flows, name), figure(without, name), rtol=1e-6, atol=1e-9)


@settings(max_examples=40)
@example(np.array([0.0] * 70 + [-0.5, -0.5, -0.867188, -0.375, -0.375]), 3.0)  # the same loss twice, but for rounding
@given(SERIES, st.floats(0.5, 1e6))
def test_scaling_a_portfolio_changes_no_figure(series: np.ndarray, factor: float) -> None:
    values, inflows = 10_000 * np.cumprod(1 + series), np.zeros(len(series))
    inflows[0] = 10_000
    if values.min() < 10:
        return
    one, scaled = metrics_of(values, inflows), metrics_of(values * factor, inflows * factor)
    for name in FIGURES:
        np.testing.assert_allclose(figure(scaled, name), figure(one, name), rtol=1e-6, atol=1e-9)
