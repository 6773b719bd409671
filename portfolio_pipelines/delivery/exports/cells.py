"""Cells of exports: amounts as exact text, and text that no spreadsheet, console or page can take for a command.

Whoever mints a token chooses its name, and it ends up in files that people open. In files for people (CSV, workbooks)
text is guarded and what cannot be seen is written out; JSON escapes it, and Parquet keeps text as it is.
"""

import re
from decimal import Decimal
from typing import Final

import polars as pl

GUARDED: Final = "=+\\-@＝＋－＠"  # the last four are what East Asian spreadsheets take for the first four
"""What begins a formula; as it stands in a character class. Source: OWASP, CSV Injection."""
_FORMULA: Final = rf"(^|[;\t\r\n])(\"*)([{GUARDED}])"
"""Also behind what another country's spreadsheet takes for the end of a cell, where our quotes do not hold."""
_BLANK_FIRST: Final = r"^([\t\r\n])"

_CONTROLS: Final = [*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), *range(0x7F, 0xA0), 0xFFFE, 0xFFFF]
_DIRECTIONS: Final = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
"""They make text read in another order than it is stored: `exe.gpj` for jpg.exe."""
UNSEEN: Final = {chr(code): f"\\u{code:04x}" for code in (*_CONTROLS, *_DIRECTIONS)}
"""Characters that cannot be seen, and how they are written out."""
_UNSEEN_CLASS: Final = "[" + "".join(f"\\x{{{ord(sign):x}}}" for sign in UNSEEN) + "]"
_IN_JSON: Final = [
    (sign.encode(), f"\\u{ord(sign):04x}".encode())
    for sign in ("<", ">", "&", "\x7f", "\u2028", "\u2029", *(chr(code) for code in _DIRECTIONS))
]


def guarded(column: pl.Series) -> pl.Series:
    """Text that no spreadsheet calculates: an apostrophe stands before what would begin a formula.

    What cannot be seen (control characters, changes of direction) is written out as a backslash, u and four digits.
    """
    return shown(column).str.replace_all(_FORMULA, "${1}${2}'${3}").str.replace(_BLANK_FIRST, "'${1}")


def shown(column: pl.Series) -> pl.Series:
    """Text whose unseen characters are written out; line ends and tabs stay."""
    if not column.str.contains(_UNSEEN_CLASS).any():
        return column
    return column.str.replace_many(list(UNSEEN), list(UNSEEN.values()))


def inert_json(data: bytes) -> bytes:
    r"""JSON that means the same and does nothing inside of a page or a terminal: < > & and unseen signs as \uXXXX.

    Outside of strings JSON has none of these, so that replacing bytes is enough.
    """
    for sign, escaped in _IN_JSON:
        if sign in data:
            data = data.replace(sign, escaped)
    return data


def exact_text(column: pl.Series) -> pl.Series:
    """Decimals as text, all their digits and no zeros behind the last one: 0.010 is 0.01, 5.000 is 5."""
    text = column.cast(pl.String)
    if not isinstance(column.dtype, pl.Decimal) or not column.dtype.scale:
        return text
    return text.str.strip_chars_end("0").str.strip_chars_end(".")


def exact_amount(raw: str | None, decimals: int | None) -> str | None:
    """Whole units of an integer in the smallest unit, to the last digit.

    Args:
        raw: Decimal digits, or beyond 38 of them 0x and hex digits; a minus may stand in front.
        decimals: Places of the smallest unit.

    Returns:
        Plain digits such as 1234.5; None where one of both is not known.
    """
    if raw is None or decimals is None:
        return None
    number = int(raw, 16) if "0x" in raw else int(raw)
    digits = str(abs(number)).zfill(decimals + 1)
    whole, fraction = digits[: len(digits) - decimals], digits[len(digits) - decimals :].rstrip("0")
    return ("-" if number < 0 else "") + whole + (f".{fraction}" if fraction else "")


def plain_number(text: str | None) -> str | None:
    """A number without exponent: 1e-7 is 0.0000001, 1000.0 is 1000. All its digits stay."""
    if text is None:
        return None
    plain = format(Decimal(text), "f")
    return re.sub(r"\.?0+$", "", plain) if "." in plain else plain
