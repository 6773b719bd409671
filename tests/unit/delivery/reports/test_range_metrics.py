"""Figures over any days of a portfolio: they compound, and what is unknown always has a reason."""

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio_pipelines.delivery.reports.portfolio_days import Period, PortfolioDays
from portfolio_pipelines.delivery.reports.range_metrics import FIGURES, range_figures
from portfolio_pipelines.finance.benchmark_comparison import BenchmarkSeries
from portfolio_pipelines.finance.returns import TrackRecord, chain_day
from portfolio_pipelines.resources.figure_rules import FigureRules

BEGUN = date(2024, 1, 10)
worths = st.lists(st.none() | st.floats(100.0, 10_000.0), min_size=3, max_size=130)


def portfolio(
    values: list[float | None], first: int, last: int, deposits: dict[int, float] | None = None
) -> PortfolioDays:
    """Days `first` to `last` (from 0) of a portfolio whose closes are given; None has no usable price."""
    track, daily, index, flows = TrackRecord.new(1), [], [], []
    for number, value in enumerate(values):
        flow = (values[0] or 1_000.0) if number == 0 else (deposits or {}).get(number, 0.0)
        found = chain_day(track, number, np.array([np.nan if value is None else value]), np.array([flow]), np.zeros(1))
        track = found.track
        daily.append(found.daily_return[0])
        index.append(found.twr_index[0])
        flows.append(flow)
    worth = np.array([np.nan if value is None else value for value in values])
    period = Period(BEGUN + timedelta(days=first), BEGUN + timedelta(days=last), BEGUN, BEGUN)

    def cut(numbers: np.ndarray) -> np.ndarray:
        return np.concatenate([[np.nan], numbers])[first : last + 2]

    there = ~np.isnan(cut(np.array(flows)))
    return PortfolioDays(
        "ann", period, BEGUN, cut(worth), cut(np.ones(len(values))), there, ~there, there, cut(worth), cut(worth),
        cut(worth), cut(np.array(flows)), cut(np.zeros(len(values))), cut(np.array(daily)), cut(np.array(index)),
    )  # fmt: skip


def figures_of(days: PortfolioDays) -> dict[str, float | None]:
    return dict(range_figures(days, [], FigureRules())[0].figures)


@settings(max_examples=40)
@given(st.lists(st.floats(100.0, 10_000.0), min_size=4, max_size=120), st.data())
def test_two_reports_in_a_row_compound_to_the_one_over_both(values: list[float], data: st.DataObject) -> None:
    whole: list[float | None] = list(values)
    first = data.draw(st.integers(0, len(values) - 2))
    middle = data.draw(st.integers(first, len(values) - 2))
    before, after, both = (
        figures_of(portfolio(whole, start, end))["twr"]
        for start, end in ((first, middle), (middle + 1, len(values) - 1), (first, len(values) - 1))
    )
    assert before is not None
    assert after is not None
    assert both is not None
    assert (1 + before) * (1 + after) == pytest.approx(1 + both, rel=1e-9)


@settings(max_examples=60)
@given(worths, st.data())
def test_what_is_unknown_has_a_reason_and_what_is_known_is_a_number(
    values: list[float | None], data: st.DataObject
) -> None:
    last = data.draw(st.integers(0, len(values) - 1))
    first = data.draw(st.integers(0, last))
    own, _ = range_figures(portfolio(values, first, last), [], FigureRules())
    for figure in FIGURES:
        value = own.figures[figure]
        assert (value is not None and np.isfinite(value)) or own.why_unknown(figure), figure
    if values[last] is None:
        assert own.why_unknown("twr") == "a holding has no usable price on the day"
    drawdown = own.figures["max_drawdown"]
    assert drawdown is None or -1 <= drawdown <= 0


def test_a_deposit_in_the_range_is_no_gain() -> None:
    figures = figures_of(portfolio([100.0, 100.0, 1_100.0, 1_100.0], 1, 3, {2: 1_000.0}))
    assert figures["twr"] == pytest.approx(0.0)
    assert figures["roi"] == pytest.approx(0.0)


def test_a_benchmark_is_measured_from_the_close_before_the_first_day() -> None:
    days = portfolio([100.0, 110.0, 121.0, 121.0], 1, 2)
    closes = BenchmarkSeries("BTC", np.array([50.0, 55.0, 60.0]), np.ones(3, bool))
    own, (compared,) = range_figures(days, [closes], FigureRules())
    assert own.figures["twr"] == pytest.approx(0.21)
    assert compared.figures["benchmark_roi"] == pytest.approx(0.2)
    assert compared.figures["excess"] == pytest.approx(0.01)
    assert compared.figures["beta"] is None  # two pairs of returns are no estimate


def test_without_investments_every_figure_says_so() -> None:
    days = portfolio([100.0, 110.0], 0, 1)
    alone = PortfolioDays(**{name: getattr(days, name) for name in days.__slots__} | {"begun": None})
    own, compared = range_figures(alone, [], FigureRules())
    assert compared == []
    assert {own.why_unknown(figure) for figure in FIGURES} == {"no investments in the range"}
