"""Returns of months and years, cut out of a chained index."""

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.finance.calendar_returns import CalendarReturn, calendar_returns


def days_from(first: date, count: int) -> list[date]:
    return [first + timedelta(days=n) for n in range(count)]


def never(days: list[date]) -> np.ndarray:
    return np.zeros(len(days), bool)


def test_a_month_goes_from_the_last_close_before_it_to_its_last_close() -> None:
    days = days_from(date(2023, 12, 31), 61)  # to 29 February 2024
    index = np.full(61, 1.5)
    index[0], index[31], index[60] = 2.0, 2.2, 1.98
    assert calendar_returns(days, index, never(days)) == [
        CalendarReturn(2024, 1, pytest.approx(0.1), is_whole=True),
        CalendarReturn(2024, 2, pytest.approx(-0.1), is_whole=True),
        CalendarReturn(2024, None, pytest.approx(-0.01), is_whole=False),
    ]


def test_months_and_years_that_the_days_cover_in_part_say_so() -> None:
    days = days_from(date(2024, 12, 14), 20)  # the first that counts is the 15th; to 2 January 2025
    found = calendar_returns(days, np.linspace(1.0, 1.19, 20), never(days))
    assert [(one.year, one.month, one.is_whole) for one in found] == [
        (2024, 12, False), (2024, None, False), (2025, 1, False), (2025, None, False),
    ]  # fmt: skip
    assert found[0].value == pytest.approx(0.17)  # 31 December is the 17th day after the 14th
    assert found[2].value == pytest.approx(1.19 / 1.17 - 1)


def test_a_close_that_is_unknown_takes_away_both_months_that_meet_there() -> None:
    days = days_from(date(2023, 12, 31), 92)  # to 31 March 2024
    index = np.linspace(1.0, 1.91, 92)
    index[31] = np.nan  # 31 January
    found = {one.month: one.value for one in calendar_returns(days, index, never(days))}
    assert found[1] is None
    assert found[2] is None
    assert found[3] == pytest.approx(1.91 / 1.60 - 1)
    assert found[None] == pytest.approx(0.91)


def test_nothing_is_compared_across_the_start_of_a_new_record() -> None:
    days = days_from(date(2023, 12, 31), 92)
    index, anew = np.full(92, 3.0), never(days)
    index[40:], anew[40] = 1.0, True  # 9 February
    index[-1] = 1.2
    found = {one.month: one.value for one in calendar_returns(days, index, anew)}
    assert found == {1: pytest.approx(0.0), 2: None, 3: pytest.approx(0.2), None: None}


@given(st.lists(st.floats(-0.2, 0.25), min_size=2, max_size=900), st.dates(date(2000, 1, 1), date(2090, 1, 1)))
def test_whole_months_compound_to_the_whole_range(returns: list[float], first: date) -> None:
    days = days_from(first, len(returns))
    index = np.cumprod(1 + np.array(returns))
    found = calendar_returns(days, index, never(days))
    for whole_months in (True, False):
        parts = [one.value for one in found if (one.month is not None) is whole_months]
        assert np.prod([1 + (value or 0) for value in parts]) == pytest.approx(index[-1] / index[0])


def test_days_with_a_hole_are_refused() -> None:
    with pytest.raises(ValueError, match="not consecutive"):
        calendar_returns([date(2024, 1, 1), date(2024, 1, 3)], np.ones(2), np.zeros(2, bool))
    with pytest.raises(ValueError, match="lengths differ: 2, 3, 2"):
        calendar_returns([date(2024, 1, 1), date(2024, 1, 2)], np.ones(3), np.zeros(2, bool))
