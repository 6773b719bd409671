"""Names that strangers chose, on paper: one line, no tricks, never too long."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.delivery.reports.names import NO_NAME, UNPRINTABLE, printable, short_asset


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("USDC", "USDC"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("=cmd|' /C calc'!A0", "=cmd|' /C calc'!A0"),
        ("USDC\u202egpj.exe", f"USDC{UNPRINTABLE}gpj.exe"),
        ("two\nlines\tand  spaces", "two lines and spaces"),
        ("\x00bell\x07", f"{UNPRINTABLE}bell{UNPRINTABLE}"),
        ("比特币", "比特币"),
        ("👨\u200d👩\u200d👧", "👨👩👧"),
        ("z\u0301\u0302\u0303\u0304\u0305algo", "z\u0301\u0302algo"),
        ("", NO_NAME),
        (" \n ", NO_NAME),
        (None, NO_NAME),
    ],
)
def test_names_as_they_are_printed(name: str | None, shown: str) -> None:
    assert printable(name) == shown


def test_ten_thousand_characters_end_with_an_ellipsis() -> None:
    assert printable("x" * 10_000, 24) == "x" * 23 + "…"
    assert printable("x" * 24, 24) == "x" * 24


@given(st.text(max_size=600), st.integers(2, 60))
def test_whatever_the_name_it_is_one_short_line_without_controls(name: str, most: int) -> None:
    shown = printable(name, most)
    assert 0 < len(shown) <= max(most, len(NO_NAME))
    assert not any(unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} for letter in shown)
    assert printable(shown, max(most, len(NO_NAME))) == shown


def test_an_asset_without_a_symbol_is_called_by_the_end_of_its_id() -> None:
    assert short_asset("coingecko:bitcoin") == "bitcoin"
    assert short_asset("eip155:1/erc20:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48") == "0xa0b8…eb48"
