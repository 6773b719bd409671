"""Days in words, as the notes of a report name them."""

from datetime import date, timedelta

import pytest

from portfolio_pipelines.delivery.reports.coverage_notes import listed, period_notes, spans
from portfolio_pipelines.delivery.reports.portfolio_days import Period

MARCH = [date(2025, 3, 1) + timedelta(days=n) for n in range(31)]


@pytest.mark.parametrize(
    ("days", "words"),
    [
        ([], ""),
        ([MARCH[3]], "4 Mar 2025"),
        ([MARCH[4], MARCH[3], MARCH[5]], "4–6 Mar 2025"),
        ([MARCH[0], MARCH[2]], "1 Mar 2025, 3 Mar 2025"),
        ([*MARCH[28:], date(2025, 4, 1)], "29 Mar – 1 Apr 2025"),
        ([date(2024, 12, 31), date(2025, 1, 1)], "31 Dec 2024 – 1 Jan 2025"),
    ],
)
def test_neighbouring_days_are_joined(days: list[date], words: str) -> None:
    assert spans(days) == words


def test_what_is_too_many_is_counted() -> None:
    assert spans(MARCH[::2], most=2) == "1 Mar 2025, 3 Mar 2025 and 14 more spans"
    assert listed(["a", "b", "c"], most=2) == "a, b and 1 more"


def test_a_wish_that_was_met_needs_no_note() -> None:
    assert period_notes(Period(MARCH[0], MARCH[5], MARCH[0], MARCH[5])) == []
    first, last = period_notes(Period(MARCH[1], MARCH[4], MARCH[0], MARCH[5]))
    assert "there is nothing before 2 Mar 2025" in first
    assert "no day after 5 Mar 2025" in last
