"""Prices of ticks, as the contract TickMath computes them: square roots with 96 binary places, exact to the last bit.

Source: Uniswap v3-core, `libraries/TickMath.sol`. What a position between two ticks holds is in
`concentrated_liquidity`.
"""

import math
from functools import lru_cache
from typing import Final

MIN_TICK: Final = -887_272
MAX_TICK: Final = 887_272
MIN_SQRT_PRICE: Final = 4_295_128_739
MAX_SQRT_PRICE: Final = 1_461_446_703_485_210_103_287_273_052_203_988_822_378_723_970_342

# 2^128 / sqrt(1.0001)^(2^bit), for bit 0 to 19.
_FACTORS: Final = (
    0xFFFCB933BD6FAD37AA2D162D1A594001,
    0xFFF97272373D413259A46990580E213A,
    0xFFF2E50F5F656932EF12357CF3C7FDCC,
    0xFFE5CACA7E10E4E61C3624EAA0941CD0,
    0xFFCB9843D60F6159C9DB58835C926644,
    0xFF973B41FA98C081472E6896DFB254C0,
    0xFF2EA16466C96A3843EC78B326B52861,
    0xFE5DEE046A99A2A811C461F1969C3053,
    0xFCBE86C7900A88AEDCFFC83B479AA3A4,
    0xF987A7253AC413176F2B074CF7815E54,
    0xF3392B0822B70005940C7A398E4B70F3,
    0xE7159475A2C29B7443B29C7FA6E889D9,
    0xD097F3BDFD2022B8845AD8F792AA5825,
    0xA9F746462D870FDF8A65DC1F90E061E5,
    0x70D869A156D2A1B890BB3DF62BAF32F7,
    0x31BE135F97D08FD981231505542FCFA6,
    0x9AA508B5B7A84E1C677DE54F3E99BC9,
    0x5D6AF8DEDB81196699C329225EE604,
    0x2216E584F5FA1EA926041BEDFE98,
    0x48A170391F7DC42444E8FA2,
)


@lru_cache(maxsize=65_536)  # the same few thousand ticks bound most positions of a chain
def sqrt_price_at_tick(tick: int) -> int:
    """Square root of the price 1.0001^tick of token 0 in token 1 (smallest units), times 2^96.

    Raises:
        ValueError: If the tick is outside of ±887,272.
    """
    size = abs(tick)
    if size > MAX_TICK:
        msg = f"tick {tick} is outside of ±{MAX_TICK}"
        raise ValueError(msg)
    ratio = 1 << 128
    for bit, factor in enumerate(_FACTORS):
        if size >> bit & 1:
            ratio = ratio * factor >> 128
    if tick > 0:
        ratio = (2**256 - 1) // ratio
    return (ratio + 0xFFFFFFFF) >> 32  # rounded up


def tick_at_sqrt_price(sqrt_price: int) -> int:
    """The greatest tick whose square-root price (times 2^96) is not above the given one.

    Raises:
        ValueError: If no pool can have that price.
    """
    if not MIN_SQRT_PRICE <= sqrt_price < MAX_SQRT_PRICE:
        msg = f"no pool can have the square-root price {sqrt_price}"
        raise ValueError(msg)
    # The logarithm is off by far less than one tick, so that two comparisons make it exact.
    guess = math.floor((math.log(sqrt_price) - 96 * math.log(2)) / (0.5 * math.log1p(0.0001)))
    tick = min(max(guess, MIN_TICK), MAX_TICK)
    while sqrt_price_at_tick(tick) > sqrt_price:
        tick -= 1
    while tick < MAX_TICK and sqrt_price_at_tick(tick + 1) <= sqrt_price:
        tick += 1
    return tick
