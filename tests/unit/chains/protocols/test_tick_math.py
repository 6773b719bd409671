import csv
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.chains.protocols.tick_math import (
    MAX_SQRT_PRICE,
    MAX_TICK,
    MIN_SQRT_PRICE,
    MIN_TICK,
    sqrt_price_at_tick,
    tick_at_sqrt_price,
)

ROOT = Path(__file__).parents[4]
VECTORS = (ROOT / os.environ.get("PORTFOLIO_SHARED_DATA", "../shared/data") / "uniswap/tickmath_v3core.csv").resolve()


@pytest.mark.skipif(not VECTORS.is_file(), reason="needs uniswap/tickmath_v3core.csv in PORTFOLIO_SHARED_DATA")
def test_prices_of_ticks_are_those_of_the_contracts_own_tests() -> None:
    with VECTORS.open() as file:
        vectors = {int(row["tick"]): int(row["sqrt_price_x96"]) for row in csv.DictReader(file)}
    assert len(vectors) == 28
    assert {tick: sqrt_price_at_tick(tick) for tick in vectors} == vectors


def test_the_outermost_ticks_have_the_outermost_prices() -> None:
    assert sqrt_price_at_tick(MIN_TICK) == MIN_SQRT_PRICE
    assert sqrt_price_at_tick(MAX_TICK) == MAX_SQRT_PRICE
    assert sqrt_price_at_tick(0) == 2**96
    assert tick_at_sqrt_price(MIN_SQRT_PRICE) == MIN_TICK
    assert tick_at_sqrt_price(MAX_SQRT_PRICE - 1) == MAX_TICK - 1


@given(st.integers(MIN_TICK, MAX_TICK - 1))
def test_a_tick_is_found_from_its_price_and_the_one_below_from_a_price_just_below(tick: int) -> None:
    price = sqrt_price_at_tick(tick)
    assert tick_at_sqrt_price(price) == tick
    if tick > MIN_TICK:
        assert tick_at_sqrt_price(price - 1) == tick - 1


@pytest.mark.parametrize("tick", [MIN_TICK - 1, MAX_TICK + 1])
def test_there_is_no_tick_beyond_the_outermost(tick: int) -> None:
    with pytest.raises(ValueError, match=f"tick {tick} is outside"):
        sqrt_price_at_tick(tick)


@pytest.mark.parametrize("price", [0, MIN_SQRT_PRICE - 1, MAX_SQRT_PRICE])
def test_there_is_no_price_beyond_the_outermost(price: int) -> None:
    with pytest.raises(ValueError, match="no pool can have"):
        tick_at_sqrt_price(price)
