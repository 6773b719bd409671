from decimal import Decimal, localcontext

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.chains.reader.amounts import amounts, scaled

NUMBERS = st.one_of(
    st.integers(0, 2**256 - 1),
    st.integers(0, 10**30),
    st.integers(10**38 - 3, 10**38 + 3),
    st.integers(2**127 - 2, 2**128 + 2),
)


def words_of(numbers: list[int]) -> np.ndarray:
    return np.frombuffer(b"".join(number.to_bytes(32, "big") for number in numbers), np.uint8).reshape(-1, 32)


@given(st.lists(NUMBERS, max_size=20))
def test_every_number_is_exact_as_decimal_or_as_hexadecimal_text(numbers: list[int]) -> None:
    raw, raw_hex = amounts(words_of(numbers))
    assert (raw.dtype, raw_hex.dtype) == (pl.Decimal(38, 0), pl.String)
    for number, decimal, text in zip(numbers, raw.to_list(), raw_hex.to_list(), strict=True):
        if number < 10**38:
            assert int(decimal) == number
            assert text is None
        else:
            assert decimal is None
            assert text == f"0x{number:064x}"


@given(st.lists(st.tuples(NUMBERS, st.integers(0, 40)), min_size=1, max_size=20))
def test_whole_coins_are_right_to_fifteen_digits(cases: list[tuple[int, int]]) -> None:
    numbers, decimals = zip(*cases, strict=True)
    got = scaled(words_of(list(numbers)), np.array(decimals, np.int16))
    with localcontext(prec=120):
        for (number, places), value in zip(cases, got.tolist(), strict=True):
            exact = Decimal(number).scaleb(-places)
            assert abs(Decimal(value) - exact) <= exact * Decimal("1e-15")


def test_a_token_of_unknown_decimals_has_no_amount() -> None:
    assert np.isnan(scaled(words_of([5]), np.array([-1], np.int16))).all()


def test_a_token_may_have_as_many_decimals_as_it_can_say() -> None:
    assert scaled(words_of([10**70]), np.array([255], np.int16)).tolist() == [1e70 / 1e255]
