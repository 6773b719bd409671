"""What liquidity between two prices holds and has earned, in the integer arithmetic of Uniswap v3, exact to the wei.

Source: Uniswap v3-core, `SqrtPriceMath.sol`, `Tick.sol`, `Position.sol`; v3-periphery, `LiquidityAmounts.sol` and
`NonfungiblePositionManager.sol`. Prices are square roots times 2^96 (see `tick_math`), fee growth is per unit of
liquidity times 2^128 and wraps at 2^256, as in the contracts.
"""

from typing import Final

Q96: Final = 1 << 96
Q128: Final = 1 << 128
_256_BITS: Final = (1 << 256) - 1
_128_BITS: Final = (1 << 128) - 1


def amounts_of_liquidity(sqrt_price: int, lower: int, upper: int, liquidity: int) -> tuple[int, int]:
    """Tokens 0 and 1 that withdrawing all liquidity gives, rounded down as the pool does.

    Args:
        sqrt_price: Of the pool.
        lower: Square-root price of the lower bound.
        upper: Square-root price of the upper bound, above `lower`.
        liquidity: Of the position.
    """
    price = min(max(sqrt_price, lower), upper)
    amount0 = (liquidity << 96) * (upper - price) // upper // price
    amount1 = liquidity * (price - lower) >> 96
    return amount0, amount1


def liquidity_of_amount0(low: int, high: int, amount0: int) -> int:
    """Liquidity that so much of token 0 gives between two square-root prices, the price being at or below both."""
    return amount0 * (low * high // Q96) // (high - low)


def liquidity_of_amount1(low: int, high: int, amount1: int) -> int:
    """Liquidity that so much of token 1 gives between two square-root prices, the price being at or above both."""
    return amount1 * Q96 // (high - low)


def liquidity_of_amounts(sqrt_price: int, lower: int, upper: int, amount0: int, amount1: int) -> int:
    """The most liquidity that these amounts give at a price; a part of one of them may be left over."""
    if sqrt_price <= lower:
        return liquidity_of_amount0(lower, upper, amount0)
    if sqrt_price >= upper:
        return liquidity_of_amount1(lower, upper, amount1)
    return min(liquidity_of_amount0(sqrt_price, upper, amount0), liquidity_of_amount1(lower, sqrt_price, amount1))


def growth_inside(tick: int, lower_tick: int, upper_tick: int, lower: int, upper: int, growth: int) -> int:
    """Fee growth between two ticks since ever; only differences between two moments mean something.

    Args:
        tick: Of the pool (its own record: at an exact bound it can be one below the price's).
        lower_tick: Lower bound of the position.
        upper_tick: Upper bound of the position.
        lower: Growth outside of the lower bound.
        upper: Growth outside of the upper bound.
        growth: Growth of the whole pool.
    """
    below = lower if tick >= lower_tick else growth - lower
    above = upper if tick < upper_tick else growth - upper
    return (growth - below - above) & _256_BITS


def owed(recorded: int, liquidity: int, inside: int, inside_before: int) -> int:
    """Tokens owed to liquidity: what was recorded, and its part of the growth since. Wraps at 2^128, as on chain."""
    return (recorded + (((inside - inside_before) & _256_BITS) * liquidity >> 128)) & _128_BITS
