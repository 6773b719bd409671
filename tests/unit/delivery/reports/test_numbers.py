"""Figures on paper: dashes for what is unknown, minus signs, and nothing that no column holds."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.delivery.reports import numbers


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1234.5, "$1,234.50"), (-1234.567, "−$1,234.57"), (0, "$0.00"), (-0.001, "$0.00"), (None, "–"),
        (float("nan"), "–"), (float("inf"), "–"), (Decimal("12.345"), "$12.35"), 
        (1_234_567_890.5, "$1,234,567,890"), (2e18, "$2.0000e+18"),
    ],
)  # fmt: skip
def test_amounts(value: numbers.Number, shown: str) -> None:
    assert numbers.usd(value) == shown


def test_a_plus_stands_before_gains_alone() -> None:
    assert [numbers.usd(value, signed=True) for value in (1.0, -1.0, 0.0, 0.001)] == [
        "+$1.00",
        "−$1.00",
        "$0.00",
        "$0.00",
    ]
    assert [numbers.percent(value, signed=True) for value in (0.0123, -0.5, 0.0)] == [
        "+1.23\u00a0%", "−50.00\u00a0%", "0.00\u00a0%",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (30.0, "30"), (33.33333333333, "33.333333"), (0.00012345678999, "0.00012346"), (1e-12, "1.0000e-12"),
        (1234567.891, "1,234,567.9"), (-2.5, "−2.5"), (0, "0"), (None, "–"), (3e20, "3.0000e+20"),
    ],
)  # fmt: skip
def test_quantities_show_the_digits_that_count(value: numbers.Number, shown: str) -> None:
    assert numbers.quantity(value) == shown


def test_prices_below_a_dollar_keep_their_digits() -> None:
    assert numbers.price(61_234.567) == "$61,234.57"
    assert numbers.price(0.0000123456) == "$0.00001235"
    assert numbers.price(None) == "–"


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (25_000, "$", "$25k"), (1_250_000, "$", "$1.25M"), (-2.5, "%", "−2.5\u00a0%"), (0, "", "0"),
        (102.5, "", "102.5"),
        (3e9, "$", "$3B"), (1e-5, "", "1e-05"), (5e17, "", "5e+17"),
    ],
)  # fmt: skip
def test_short_forms_for_axes(value: float, unit: str, shown: str) -> None:
    assert numbers.short(value, unit) == shown


def test_days_and_counts() -> None:
    assert numbers.day(date(2025, 3, 5)) == "5 Mar 2025"
    assert numbers.day(None) == "–"
    assert [numbers.counted(n, "day") for n in (0, 1, 1_000)] == ["0 days", "1 day", "1,000 days"]


@given(st.floats())
def test_every_number_has_a_short_text(value: float) -> None:
    texts = [form(value) for form in (numbers.usd, numbers.percent, numbers.ratio, numbers.quantity, numbers.price)]
    assert all(0 < len(text) <= 30 for text in texts)
    assert all("-" not in text.replace("e-", "") for text in texts)
