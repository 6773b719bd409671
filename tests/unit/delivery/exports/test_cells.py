"""Cells: exact amounts, and text that nobody's spreadsheet, console or page runs."""

import csv
import io
import json
import re
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.delivery.exports.cells import (
    UNSEEN,
    exact_amount,
    exact_text,
    guarded,
    inert_json,
    plain_number,
)
from portfolio_pipelines.delivery.exports.reading import ExportColumn, Kind, kind_of
from portfolio_pipelines.delivery.exports.workbooks import LONGEST_TEXT, letters, rows_of


@pytest.mark.parametrize(
    ("raw", "decimals", "expected"),
    [
        ("1", 18, "0.000000000000000001"),
        ("1500000", 6, "1.5"),
        ("0", 18, "0"),
        ("-250", 2, "-2.5"),
        ("7", 0, "7"),
        ("100", 0, "100"),
        (f"0x{2**256 - 1:064x}", 18, "115792089237316195423570985008687907853269984665640564039457.584007913129639935"),
        ("-0x" + f"{10**40:064x}", 38, "-100"),
        (None, 18, None),
        ("5", None, None),
    ],
)  # fmt: skip
def test_an_amount_has_all_its_digits_and_no_more(raw: str | None, decimals: int | None, expected: str | None) -> None:
    assert exact_amount(raw, decimals) == expected


@given(st.integers(-(2**256), 2**256), st.integers(0, 77))
def test_an_amount_is_the_integer_over_a_power_of_ten_whatever_its_size(number: int, decimals: int) -> None:
    raw = str(number) if abs(number) < 10**38 else f"{'-' if number < 0 else ''}0x{abs(number):064x}"
    text = exact_amount(raw, decimals)
    assert text is not None
    assert re.fullmatch(r"-?\d+(\.\d*[1-9])?", text)
    whole, _, fraction = text.partition(".")
    assert int(whole + fraction.ljust(decimals, "0")) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_without_exponent_is_the_same_number(value: float) -> None:
    plain = plain_number(repr(value))
    assert plain is not None
    assert float(plain) == value
    assert "e" not in plain


def test_decimals_lose_their_zeros_and_nothing_else() -> None:
    column = pl.Series(
        [Decimal("0.010"), Decimal("5.000"), Decimal("-120.100"), Decimal(0), None], dtype=pl.Decimal(38, 18)
    )
    assert exact_text(column).to_list() == ["0.01", "5", "-120.1", "0", None]
    assert exact_text(pl.Series([1200, 0], dtype=pl.Int64)).to_list() == ["1200", "0"]


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
FORMULAS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
SPREADSHEETS = (",", ";", "\t")  # what ends a cell depends on the country


@given(ANY_TEXT | st.from_regex(r"[=+\-@\t\r\n;,\"' a1]{1,12}", fullmatch=True))
def test_no_cell_of_a_csv_begins_a_formula_in_any_country(text: str) -> None:
    """Each spreadsheet cuts lines by its own separator; whatever it makes of our file, no piece is a formula."""
    line = pl.DataFrame({"before": ["x"], "text": guarded(pl.Series([text])), "after": [1]}).write_csv()
    for separator in SPREADSHEETS:
        for row in csv.reader(io.StringIO(line, newline=""), delimiter=separator):
            for cell in row:
                assert not cell.lstrip("\t\r\n").startswith(FORMULAS), (separator, cell)
                assert separator != "," or not cell.startswith(("\t", "\r", "\n"))


@given(ANY_TEXT)
def test_harmless_text_stays_as_it_is(text: str) -> None:
    seen = "".join(sign for sign in text if sign not in UNSEEN and sign not in "=+-@＝＋－＠\t\r\n")
    assert guarded(pl.Series([seen])).item() == seen


def test_what_cannot_be_seen_is_written_out() -> None:
    assert guarded(pl.Series(["a\u202eb\x00c\x1b[31m"])).item() == "a\\u202eb\\u0000c\\u001b[31m"


@given(ANY_TEXT)
def test_json_means_the_same_and_holds_nothing_a_page_or_terminal_would_act_on(text: str) -> None:
    made = inert_json(json.dumps({"name": text}, ensure_ascii=False).encode())
    assert json.loads(made) == {"name": text}
    shown = made.decode()
    assert not re.search("[<>&\x00-\x1f\x7f\u2028\u2029\u202a-\u202e\u2066-\u2069]", shown)


def test_columns_of_a_sheet_are_named_as_spreadsheets_do() -> None:
    assert [letters(at) for at in (0, 25, 26, 51, 52, 701, 702)] == ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]


def test_a_cell_is_never_longer_than_a_workbook_allows() -> None:
    long = pl.Series("t", ["x" * LONGEST_TEXT, "x" * (LONGEST_TEXT + 1), "🚀" * LONGEST_TEXT])
    rows = rows_of(long.to_frame(), [ExportColumn("t", Kind.TEXT, "")], 2).decode()
    texts = re.findall(r"<t[^>]*>(.*?)</t>", rows)
    assert [len(text.encode("utf-16-le")) // 2 <= LONGEST_TEXT for text in texts] == [True] * 3
    assert texts[0] == "x" * LONGEST_TEXT
    assert texts[1].endswith("(cut)")


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("VARCHAR", Kind.TEXT), ("UUID", Kind.TEXT), ("JSON", Kind.TEXT), ("DECIMAL(38,18)", Kind.DECIMAL),
        ("DOUBLE", Kind.NUMBER), ("SMALLINT", Kind.INTEGER), ("BIGINT", Kind.INTEGER), ("INTEGER", Kind.INTEGER),
        ("BOOLEAN", Kind.FLAG), ("DATE", Kind.DAY), ("TIMESTAMP", Kind.MOMENT),
    ],
)  # fmt: skip
def test_every_type_of_the_marts_has_a_kind(sql: str, kind: Kind) -> None:
    assert kind_of(sql) is kind
