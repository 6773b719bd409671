"""The project's integers beside those of Uniswap's own libraries on a chain, for whatever numbers are thrown in."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portfolio_pipelines.chains.protocols.concentrated_liquidity import (
    amounts_of_liquidity,
    growth_inside,
    liquidity_of_amount0,
    liquidity_of_amount1,
    liquidity_of_amounts,
    owed,
)
from portfolio_pipelines.chains.protocols.tick_math import (
    MAX_SQRT_PRICE,
    MAX_TICK,
    MIN_SQRT_PRICE,
    MIN_TICK,
    sqrt_price_at_tick,
    tick_at_sqrt_price,
)
from tests.contracts.anvil import Anvil
from tests.contracts.artifacts import Contract, deploy
from tests.contracts.solidity import SOURCES, compiled

CASES = 60  # of one call
several = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

tick = st.integers(MIN_TICK, MAX_TICK)
price = st.integers(MIN_SQRT_PRICE, MAX_SQRT_PRICE - 1) | tick.map(
    lambda each: min(sqrt_price_at_tick(each), MAX_SQRT_PRICE - 1)
)
bounds = st.lists(tick, min_size=2, max_size=2, unique=True).map(sorted)
word = st.integers(0, 2**256 - 1)
half = st.integers(0, 2**128 - 1)


@pytest.fixture(scope="module")
def libraries(session_chain: Anvil) -> Contract:
    source: Path = SOURCES / "solc_0_7" / "V3Libraries.sol"
    return deploy(session_chain, compiled([source], compiler="solc-0.7")["V3Libraries"])


@several
@given(st.lists(tick, min_size=1, max_size=CASES))
def test_prices_of_ticks(libraries: Contract, ticks: list[int]) -> None:
    assert [sqrt_price_at_tick(each) for each in ticks] == list(libraries.call("sqrtPrices", ticks))


@several
@given(st.lists(price, min_size=1, max_size=CASES))
def test_ticks_of_prices(libraries: Contract, prices: list[int]) -> None:
    assert [tick_at_sqrt_price(each) for each in prices] == list(libraries.call("ticks", prices))


@several
@given(st.lists(st.tuples(price, bounds, half), min_size=1, max_size=CASES))
def test_amounts_of_liquidity(libraries: Contract, cases: list[tuple[int, list[int], int]]) -> None:
    ranges = [(now, *map(sqrt_price_at_tick, ticks), liquidity) for now, ticks, liquidity in cases]
    assert [amounts_of_liquidity(*each) for each in ranges] == list(libraries.call("amounts", ranges))


@several
@given(st.lists(st.tuples(tick, bounds, word, word, word, word, half, half), min_size=1, max_size=CASES))
def test_what_is_owed(libraries: Contract, cases: list[tuple[int, list[int], int, int, int, int, int, int]]) -> None:
    asked = []
    expected = []
    for now, (lower_tick, upper_tick), lower, upper, growth, before, liquidity, recorded in cases:
        inside = growth_inside(now, lower_tick, upper_tick, lower, upper, growth)
        if ((inside - before) % 2**256) * liquidity >> 384:
            continue  # FullMath refuses what needs more than 256 bits; no pool can get there
        expected.append(owed(recorded, liquidity, inside, before))
        asked.append((now, lower_tick, upper_tick, lower, upper, growth, before, liquidity, recorded))
    assert expected == list(libraries.call("owed", asked))


@several
@given(st.lists(st.tuples(price, bounds, st.integers(0, 2**96), st.integers(0, 2**96)), min_size=1, max_size=CASES))
def test_liquidity_of_amounts(libraries: Contract, cases: list[tuple[int, list[int], int, int]]) -> None:
    asked = []
    expected = []
    for now, ticks, amount0, amount1 in cases:
        lower, upper = map(sqrt_price_at_tick, ticks)
        halves = []
        if now < upper:
            halves.append(liquidity_of_amount0(max(now, lower), upper, amount0))
        if now > lower:
            halves.append(liquidity_of_amount1(lower, min(now, upper), amount1))
        if max(halves) < 2**128:  # the library refuses what does not fit, for either token
            expected.append(liquidity_of_amounts(now, lower, upper, amount0, amount1))
            asked.append((now, lower, upper, amount0, amount1))
    assert expected == list(libraries.call("liquidity", asked))
