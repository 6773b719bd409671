"""How figures look on paper. Unknown figures are a dash, never a zero; a minus is a minus sign, not a hyphen.

Belongs here: numbers and days to text. What a figure means is decided where it is read.
"""

import math
from datetime import date
from decimal import Decimal
from typing import Final

UNKNOWN: Final = "–"
MINUS: Final = "\N{MINUS SIGN}"
SPACE: Final = "\N{NO-BREAK SPACE}"
READABLE_UP_TO: Final = 1e12
"""Longer numbers are written with an exponent: nobody counts their digits, and no column holds them."""
CENTS_UP_TO: Final = 1e9
"""USD from which on cents are left out."""
SMALLEST_SHOWN: Final = 1e-8
SHORT_UNITS: Final = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

Number = float | int | Decimal | None


def is_known(value: Number) -> bool:
    """Whether there is a finite number."""
    return value is not None and math.isfinite(value)


def usd(value: Number, *, signed: bool = False) -> str:
    """An amount in USD, to the cent: $1,234.50; of billions to the dollar."""
    if value is None or not is_known(value):
        return UNKNOWN
    size = abs(float(value))
    text = f"{size:,.{2 if size < CENTS_UP_TO else 0}f}" if size < READABLE_UP_TO else f"{size:.4e}"
    return f"{_sign(float(value) if text.strip('0.,') else 0.0, signed)}${text}"


def percent(value: Number, *, signed: bool = False, digits: int = 2) -> str:
    """A share as percent: 0.0123 is 1.23 %."""
    if value is None or not is_known(value):
        return UNKNOWN
    size = abs(float(value)) * 100
    text = f"{size:,.{digits}f}" if size < READABLE_UP_TO else f"{size:.4e}"
    return f"{_sign(float(value) if text.strip('0.,') else 0.0, signed)}{text}{SPACE}%"


def ratio(value: Number, digits: int = 2) -> str:
    """A plain number such as a Sharpe ratio."""
    if value is None or not is_known(value):
        return UNKNOWN
    size = abs(float(value))
    text = f"{size:,.{digits}f}" if size < READABLE_UP_TO else f"{size:.4e}"
    return f"{_sign(float(value) if text.strip('0.,') else 0.0, signed=False)}{text}"


def quantity(value: Number) -> str:
    """Units of an asset: eight digits that count, no zeros behind them."""
    if value is None or not is_known(value):
        return UNKNOWN
    size = abs(float(value))
    if size >= READABLE_UP_TO or 0 < size < SMALLEST_SHOWN:
        text = f"{size:.4e}"
    else:
        places = max(0, min(8, 7 - math.floor(math.log10(size)))) if size else 0
        text = f"{size:,.{places}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    return f"{_sign(float(value), signed=False)}{text}"


def price(value: Number) -> str:
    """USD for one unit: cents above a dollar, eight digits that count below."""
    if value is None or not is_known(value):
        return UNKNOWN
    return (
        usd(value) if abs(float(value)) >= 1 else f"{_sign(float(value), signed=False)}${quantity(abs(float(value)))}"
    )


def short(value: float, unit: str = "") -> str:
    """A number for the axis of a chart: 1.2M, 250k, 0.05; `unit` is $ or %."""
    size = abs(value)
    for bound, letter in SHORT_UNITS:
        if bound <= size < 1e15:
            text = f"{size / bound:.4g}{letter}"
            break
    else:
        text = f"{size:.4g}" if size == 0 or 1e-3 <= size < 1e3 else f"{size:.3g}"
    sign = MINUS if value < 0 and text.strip("0.") else ""
    return f"{sign}{'$' if unit == '$' else ''}{text}{SPACE + '%' if unit == '%' else ''}"


def day(value: date | None) -> str:
    """A day as 5 Mar 2025."""
    return UNKNOWN if value is None else f"{value.day} {MONTHS[value.month - 1]} {value.year}"


def counted(number: int, one: str, many: str | None = None) -> str:
    """1 day, 2 days, 1,000 days."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _sign(value: float, signed: bool) -> str:
    if value < 0:
        return MINUS
    return "+" if signed and value > 0 else ""
