"""Published numbers. That the arithmetic is the contracts' own is proved on a chain, in the integration tests."""

from math import isqrt

import pytest

from portfolio_pipelines.chains.protocols.concentrated_liquidity import (
    amounts_of_liquidity,
    growth_inside,
    liquidity_of_amount0,
    liquidity_of_amount1,
    liquidity_of_amounts,
    owed,
)
from portfolio_pipelines.chains.protocols.tick_math import sqrt_price_at_tick, tick_at_sqrt_price

# Uniswap v3-sdk, position.test.ts: DAI and USDC at 100e18 to 100e6, fee 0.05 %.
DAI_USDC = isqrt((100 * 10**6 << 192) // (100 * 10**18))
NEAREST = -276_320


@pytest.mark.parametrize(
    ("liquidity", "lower", "upper", "amounts"),
    [
        (100 * 10**12, 10, 20, (49_949_961_958_869_841, 0)),
        (100 * 10**18, -20, -10, (0, 49_970_077_052)),
        (100 * 10**18, -20, 20, (120_054_069_145_287_995_769_396, 79_831_926_242)),
    ],
)
def test_amounts_are_those_of_the_uniswap_sdk(liquidity: int, lower: int, upper: int, amounts: tuple[int, int]) -> None:
    bounds = sqrt_price_at_tick(NEAREST + lower), sqrt_price_at_tick(NEAREST + upper)
    assert tick_at_sqrt_price(DAI_USDC) in range(NEAREST - 10, NEAREST + 10)
    assert amounts_of_liquidity(DAI_USDC, *bounds, liquidity) == amounts


def test_amounts_of_a_real_position() -> None:
    bounds = sqrt_price_at_tick(193_380), sqrt_price_at_tick(201_660)
    amounts = amounts_of_liquidity(
        1_771_595_571_142_957_102_961_017_161_607_260, *bounds, 1_517_882_343_751_509_868_544
    )
    assert amounts == (4_426_771_589_694_997, 9_940_313_623_075_444_287_327_704)


def test_fees_are_those_of_the_uniswap_sdk() -> None:
    # getTokensOwed(1e35, 2e35, 1e18, 5e35, 7e35)
    assert owed(0, 10**18, 5 * 10**35, 10**35) == 1_175_494_350_822_287
    assert owed(0, 10**18, 7 * 10**35, 2 * 10**35) == 1_469_367_938_527_859


def sqrt_price(price: float) -> int:
    """Of whole ETH (18 decimals) in whole USDC, taken with 18 decimals too."""
    return isqrt(round(price * 10**9) * 2**192 // 10**9)


ETH = 10**18


def test_elsts_first_example_two_eth_at_2000_between_1500_and_2500_take_5076_usdc() -> None:
    low, now, high = sqrt_price(1_500), sqrt_price(2_000), sqrt_price(2_500)
    liquidity = liquidity_of_amount0(now, high, 2 * ETH)
    _, usdc = amounts_of_liquidity(now, low, high, liquidity)
    assert usdc / 10**18 == pytest.approx(5_076.10, abs=0.005)


def test_elsts_second_example_two_eth_and_4000_usdc_up_to_3000_reach_down_to_1333() -> None:
    now, high = sqrt_price(2_000), sqrt_price(3_000)
    liquidity = liquidity_of_amount0(now, high, 2 * ETH)
    low = now - (4_000 * ETH << 96) // liquidity
    assert (low / 2**96) ** 2 == pytest.approx(1_333.33, abs=0.005)
    assert liquidity_of_amount1(low, now, 4_000 * ETH) == pytest.approx(liquidity, rel=1e-15)


def test_elsts_third_example_at_2500_the_same_position_is_worth_less_than_holding() -> None:
    now, high = sqrt_price(2_000), sqrt_price(3_000)
    low = sqrt_price(4_000 / 3)
    liquidity = liquidity_of_amounts(now, low, high, 2 * ETH, 4_000 * ETH)
    eth, usdc = (raw / 10**18 for raw in amounts_of_liquidity(sqrt_price(2_500), low, high, liquidity))
    assert (eth, usdc) == (pytest.approx(0.8494, abs=5e-5), pytest.approx(6_572.90, abs=0.05))
    assert (eth * 2_500 + usdc) / (2 * 2_500 + 4_000) - 1 == pytest.approx(-0.03374, abs=5e-5)


def test_a_price_outside_of_the_range_leaves_one_token() -> None:
    low, high = sqrt_price(1_500), sqrt_price(2_500)
    assert amounts_of_liquidity(sqrt_price(1_000), low, high, 10**20)[1] == 0
    assert amounts_of_liquidity(sqrt_price(3_000), low, high, 10**20)[0] == 0
    assert amounts_of_liquidity(low, low, high, 10**20)[1] == 0
    assert amounts_of_liquidity(high, low, high, 10**20)[0] == 0


def test_growth_counters_may_pass_zero() -> None:
    """Growth inside starts anywhere and wraps; only the difference counts."""
    before = growth_inside(0, 10, 20, 0, 5, 100)
    after = growth_inside(0, 10, 20, 7, 5, 100)
    assert before > 2**255
    assert (after - before) % 2**256 == 7
    assert owed(1, 2**128, after, before) == 8
    assert owed(2**128 - 1, 2**128 - 1, 2**128, 0) == 2**128 - 2
