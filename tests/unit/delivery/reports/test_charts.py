"""Charts as SVG: well-formed whatever their names, honest about gaps, with round marks on their axes."""

import math
import re
from datetime import date, timedelta
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.delivery.reports.chart_ticks import day_ticks, nice_ticks
from portfolio_pipelines.delivery.reports.charts import BLUE, INK, VERMILION, Bar, Line, bar_chart, line_chart

SVG = "{http://www.w3.org/2000/svg}"
numbers = st.floats(-1e300, 1e300, allow_nan=False)


def days_from(first: date, count: int) -> list[date]:
    return [first + timedelta(days=n) for n in range(count)]


def parts(svg: str | None, tag: str) -> list[ElementTree.Element]:
    assert svg is not None
    return list(ElementTree.fromstring(svg).iter(f"{SVG}{tag}"))  # noqa: S314 our own text


def drawn(svg: str | None, colour: str) -> list[str]:
    """The paths of a line, the mark in the legend aside."""
    return [
        one.attrib["d"] for one in parts(svg, "path") if one.get("stroke") == colour and "h22" not in one.attrib["d"]
    ]


def plain(value: float) -> str:
    return f"{value:g}"


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (0, 43, [0, 10, 20, 30, 40, 50]),
        (-23.4, 0, [-25, -20, -15, -10, -5, 0]),
        (0.94, 1.13, [0.9, 0.95, 1.0, 1.05, 1.1, 1.15]),
        (-1_200, 800, [-1_500, -1_000, -500, 0, 500, 1_000]),
    ],
)
def test_axes_have_round_marks_that_enclose_the_values(low: float, high: float, ticks: list[float]) -> None:
    assert nice_ticks(low, high) == pytest.approx(ticks)


@given(numbers, numbers)
def test_any_two_values_have_an_axis(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    ticks = nice_ticks(low, high)
    slack = 1e-9 * max(abs(low), abs(high), 1e-9)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack
    assert 2 <= len(ticks) <= 13
    assert all(later > earlier for earlier, later in pairwise(ticks))


def test_a_flat_line_gets_an_axis_around_it() -> None:
    assert nice_ticks(100, 100)[0] < 100 < nice_ticks(100, 100)[-1]
    assert nice_ticks(0, 0)[0] < 0 < nice_ticks(0, 0)[-1]


def test_an_axis_needs_finite_ends() -> None:
    with pytest.raises(ValueError, match="no axis from 0 to inf"):
        nice_ticks(0, math.inf)


@pytest.mark.parametrize(
    ("count", "first", "last"),
    [(1, "5 Jan", "5 Jan"), (30, "5 Jan", "2 Feb"), (200, "Feb 2024", "Jul 2024"), (700, "Apr 2024", "Oct 2025"),
     (3_000, "2025", "2032")],
)  # fmt: skip
def test_days_months_or_years_mark_the_axis_of_days(count: int, first: str, last: str) -> None:
    labels = [label for _, label in day_ticks(days_from(date(2024, 1, 5), count))]
    assert (labels[0], labels[-1]) == (first, last)
    assert len(labels) <= 9


def test_no_line_goes_through_days_that_nobody_knows() -> None:
    days = days_from(date(2024, 1, 1), 10)
    values = [1.0, 2.0, 3.0, None, None, 4.0, None, 5.0, math.nan, 6.0]
    svg = line_chart(days, [Line("value", values, BLUE)], plain)
    assert len(drawn(svg, BLUE)) == 1  # the first three days alone follow one another
    assert drawn(svg, BLUE)[0].count("L") == 2
    assert len(parts(svg, "circle")) == 3  # single days are dots


def test_a_step_holds_until_the_next_day() -> None:
    svg = line_chart(days_from(date(2024, 1, 1), 3), [Line("put in", [1.0, 1.0, 2.0], INK, is_step=True)], plain)
    assert re.fullmatch(r"M[\d. ]+(H[\d.]+V[\d.]+){2}", drawn(svg, INK)[0])


def test_nothing_known_is_no_picture() -> None:
    assert line_chart(days_from(date(2024, 1, 1), 2), [Line("value", [None, math.inf], BLUE)], plain) is None
    assert bar_chart([]) is None


def test_a_line_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="'value' has 1 values for 2 days"):
        line_chart(days_from(date(2024, 1, 1), 2), [Line("value", [1.0], BLUE)], plain)


@given(st.text(max_size=300), st.lists(st.none() | st.floats(), min_size=1, max_size=40))
def test_whatever_names_and_values_say_the_picture_is_well_formed(name: str, values: list[float | None]) -> None:
    days = days_from(date(2024, 1, 1), len(values))
    svg = line_chart(days, [Line(name, values, BLUE, is_filled=True)], plain)
    known = [value for value in values if value is not None and abs(value) <= 1e300]
    assert (svg is None) == (not known)
    if svg is not None:
        assert parts(svg, "text")
        places = [float(number) for one in parts(svg, "circle") for number in (one.attrib["cx"], one.attrib["cy"])]
        assert all(0 <= number <= 680 for number in places)


@given(st.text(max_size=300), st.floats(-1, 1))
def test_bars_stay_in_their_picture(name: str, share: float) -> None:
    svg = bar_chart([Bar(name, share, name), Bar("& <b>", 0.5, "50 %")])
    for one in parts(svg, "rect"):
        assert 0 <= float(one.attrib["x"]) <= float(one.attrib["x"]) + float(one.attrib["width"]) <= 341


def test_what_is_owed_goes_to_the_other_side_in_another_colour() -> None:
    debt, worth = parts(bar_chart([Bar("debt", -0.2, ""), Bar("worth", 1.2, "")]), "rect")
    assert debt.attrib["fill"] == VERMILION
    assert worth.attrib["fill"] == BLUE
    assert float(debt.attrib["x"]) < float(worth.attrib["x"])
