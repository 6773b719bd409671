"""Integers of 256 bits survive the way into columns, and sums of them are exact."""

import io

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.chains.raw_amounts import LARGEST, RAW, approximate, integers, raw_columns, sums

AMOUNTS = st.integers(-(2**256) + 1, 2**256 - 1) | st.integers(-(10**40), 10**40) | st.integers(0, 2**64) | st.just(0)


@given(st.lists(AMOUNTS | st.none(), max_size=20))
def test_integers_come_back_as_they_went_also_through_a_file(values: list[int | None]) -> None:
    raw, raw_hex = raw_columns(values)
    file = io.BytesIO()
    pl.DataFrame([raw, raw_hex]).write_parquet(file)
    file.seek(0)
    assert integers(pl.read_parquet(file)) == values


@pytest.mark.parametrize(
    ("value", "raw", "raw_hex"),
    [
        (LARGEST, LARGEST, None),
        (LARGEST + 1, None, f"0x{LARGEST + 1:064x}"),
        (-LARGEST - 1, None, f"-0x{LARGEST + 1:064x}"),
        (None, None, None),
    ],
)
def test_only_what_has_more_than_38_digits_is_text(value: int | None, raw: int | None, raw_hex: str | None) -> None:
    columns = raw_columns([value])
    assert (columns[0].dtype, columns[1].dtype) == (RAW, pl.String)
    assert (columns[0][0], columns[1][0]) == (raw, raw_hex)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["in", "out", "x"]), AMOUNTS), max_size=30))
def test_sums_are_those_of_integers(rows: list[tuple[str, str, int]]) -> None:
    raw, raw_hex = raw_columns([value for *_, value in rows])
    keys = {"key": [key for key, *_ in rows], "part": [part for _, part, _ in rows]}
    frame = pl.DataFrame(keys, schema={"key": pl.String, "part": pl.String}).hstack([raw, raw_hex])
    found = sums(frame, ["key"], {"net": {"in": 1, "out": -1}, "sent": {"out": 1}})
    for name, signs in {"net": {"in": 1, "out": -1}, "sent": {"out": 1}}.items():
        assert dict(zip(found["key"], integers(found, name), strict=True)) == {
            key: sum(signs.get(part, 0) * value for k, part, value in rows if k == key) for key, *_ in rows
        }


@given(st.lists(AMOUNTS | st.none(), max_size=20))
def test_approximations_are_near_and_zero_only_for_zero(values: list[int | None]) -> None:
    near = approximate(pl.DataFrame(raw_columns(values))).to_list()
    for value, number in zip(values, near, strict=True):
        assert number == (None if value is None else pytest.approx(float(value), rel=1e-12))
        assert (number == 0) == (value == 0)
