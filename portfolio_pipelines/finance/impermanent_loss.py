"""Impermanent loss of liquidity: what a pool made of a deposit against what holding it would have made. No I/O.

The conventions, used everywhere. A price is that of token 0 in units of token 1, whole units both; `ratio` is the price
now over the price on entry. A loss is worth in the pool without fees / worth of holding - 1, both at the price now, so
-0.2 is a loss of 20 % and it is never above 0. Fees are never part of it. What cannot be said is NaN: a price that is
unknown, below zero, or an entry price of zero.

Belongs here: pools of constant product (Uniswap v2), of weights (Balancer) and of a price range (Uniswap v3). Pools of
pegged coins are `impermanent_loss_stable`; positions with their deposits and dollars are `impermanent_loss_positions`.
Source of the formulas: the whitepapers of Uniswap v2 and v3 and of Balancer.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_BLOCK: Final = 16_384
"""Figures at a time: what is made on the way then stays in the processor's cache, which is four times as fast."""


def constant_product_loss(ratio: ArrayLike) -> Floats:
    """Loss of a pool that keeps x * y.

    The usual form, 2 sqrt(r) / (1 + r) - 1, loses all digits near r = 1 and is NaN at infinity. This one is the same:
    -(sqrt(r) - 1)^2 / (1 + r), with sqrt(r) - 1 = (r - 1) / (sqrt(r) + 1), exact in its difference.

    Args:
        ratio: Price now / price on entry, any shape.

    Returns:
        Same shape, in [-1, 0]; -1 at 0 and at infinity, NaN for a negative or unknown ratio.
    """
    return _in_blocks(_constant_product_loss, ratio)


def _constant_product_loss(given: Floats) -> Floats:
    with np.errstate(all="ignore"):
        root = (given - 1) / (np.sqrt(given) + 1)
        return np.where(np.isposinf(given), -1.0, -(root / (1 + given)) * root)


def weighted_loss(ratios: ArrayLike, weights: ArrayLike) -> Floats:
    """Loss of a pool that keeps prod x_i^w_i: prod r_i^w_i / sum w_i r_i - 1.

    Computed as -s / (1 + s) with s = sum w_i (e^y_i - 1 - y_i) and y_i = ln r_i less its weighted mean: no power
    overflows and nothing cancels near 1.

    Args:
        ratios: Price now / price on entry of each coin in one common unit, shape (..., coins).
        weights: Of the coins, sum 1, shape (coins,) or (..., coins).

    Returns:
        Shape (...), in [-1, 0]; NaN where a ratio is negative or unknown, or all of them are 0 or infinite.
    """
    given, weight = np.broadcast_arrays(np.asarray(ratios, np.float64), np.asarray(weights, np.float64))
    # Coin by coin: sums over the few coins of a pool are far slower than sums of their columns.
    columns = [np.moveaxis(array, -1, 0) for array in (given, weight)]
    return np.asarray(_in_blocks(_weighted_loss, *columns[0], *columns[1]))


def _weighted_loss(*columns: Floats) -> Floats:
    """Of the ratios of all coins and, after them, their weights."""
    half = len(columns) // 2
    given, weight = columns[:half], columns[half:]
    with np.errstate(all="ignore"):
        logs = [np.log(ratio) for ratio in given]
        mean = sum((part * log for part, log in zip(weight, logs, strict=True)), np.zeros(()))
        spread = np.zeros(given[0].shape)
        for part, log in zip(weight, logs, strict=True):
            away = log - mean
            spread += part * (np.expm1(away) - away)
        loss = np.where(np.isinf(spread), -1.0, -spread / (1 + spread))
        if np.isfinite(spread).all():
            return np.minimum(loss, 0.0)
        # A coin that is worth nothing, or everything, takes the others with it.
        known = np.logical_and.reduce([ratio >= 0 for ratio in given])
        extreme = known & np.logical_or.reduce([~np.isfinite(log) for log in logs])
        mixed = extreme & np.logical_or.reduce([np.isfinite(log) for log in logs])
    return np.where(mixed, -1.0, np.where(extreme, np.nan, np.minimum(loss, 0.0)))


def weighted_amounts(price: ArrayLike, weight: ArrayLike) -> tuple[Floats, Floats]:
    """Coins 0 and 1 of a pool of two with x^w y^(1 - w) = 1 at a price: x = (p w1/w0)^-w1, y = (p w1/w0)^w0.

    Args:
        price: Of the pool, (y / w1) / (x / w0).
        weight: Of coin 0, above 0 and below 1.

    Returns:
        Whole units of both, of the broadcast shape; NaN where a price or weight is impossible.
    """
    given, first = np.broadcast_arrays(np.asarray(price, np.float64), np.asarray(weight, np.float64))
    with np.errstate(all="ignore"):
        proportion = given * (1 - first) / first
        is_possible = (given > 0) & (first > 0) & (first < 1)
        amounts = proportion ** (first - 1), proportion**first
        return np.where(is_possible, amounts[0], np.nan), np.where(is_possible, amounts[1], np.nan)


def range_amounts(price: ArrayLike, lower: ArrayLike, upper: ArrayLike) -> tuple[Floats, Floats]:
    """Tokens 0 and 1 of one unit of liquidity between two prices: x = 1/s - 1/sqrt(upper), y = s - sqrt(lower).

    Args:
        price: Of the pool.
        lower: Lower bound of the range, 0 for none.
        upper: Upper bound, infinity for none.

    Returns:
        Whole units of both, of the broadcast shape; NaN where a bound or price is impossible.
    """
    root, root_lower, root_upper = _roots(price, lower, upper)
    with np.errstate(all="ignore"):
        inside = np.clip(root, root_lower, root_upper)
        return np.asarray(1 / inside - 1 / root_upper), np.asarray(inside - root_lower)


def concentrated_loss(entry_price: ArrayLike, price: ArrayLike, lower: ArrayLike, upper: ArrayLike) -> Floats:
    """Loss of liquidity between two prices, also outside of them.

    Worth in the pool less worth of holding is (b - a)(a b - p) / (a b) with a and b the square roots of the prices,
    clipped to the range, on entry and now, and p the price now: differences that are made exact before they are used.
    In range it is (2 sqrt(r) - 1 - r) / (1 + r - sqrt(lower / p0) - r sqrt(p0 / upper)).

    Args:
        entry_price: Of the pool on entry.
        price: Of the pool now.
        lower: Lower bound, 0 for none.
        upper: Upper bound, infinity for none.

    Returns:
        Of the broadcast shape, in [-1, 0]; without bounds that of a constant product.
    """
    return _in_blocks(_concentrated_loss, entry_price, price, lower, upper)


def _concentrated_loss(entry_price: Floats, price: Floats, lower: Floats, upper: Floats) -> Floats:
    with np.errstate(all="ignore"):
        begun, root, root_lower, root_upper = np.sqrt(entry_price), np.sqrt(price), np.sqrt(lower), np.sqrt(upper)
        before = np.minimum(np.maximum(begun, root_lower), root_upper)
        now = np.minimum(np.maximum(root, root_lower), root_upper)
        # (a b - p) / b = a - b + (b - p') (b + p') / b: in range the second part is exactly 0, also at a price of 0
        beyond = np.where(now == root, 0.0, (now - root) * (now + root) / now)
        held = (1 / before - 1 / root_upper) * price + (before - root_lower)
        loss = np.minimum((now - before) * (before - now + beyond) / (before * held), 0.0)
        return np.where((lower < upper) & (begun > 0) & np.isfinite(begun), loss, np.nan)


def range_share(price: ArrayLike, lower: ArrayLike, upper: ArrayLike) -> Floats:
    """Share of token 0 in the worth of a deposit between two prices, 0..1; a half without bounds."""
    first, second = range_amounts(price, lower, upper)
    with np.errstate(all="ignore"):
        worth = first * np.asarray(price, np.float64)
        return np.asarray(worth / (worth + second))


def uneven_deposit(
    entry_price: Floats, price: Floats, amount0: Floats, amount1: Floats, share: Floats, loss: Floats
) -> tuple[Floats, Floats]:
    """Worth of holding a deposit and of what a pool made of it, in units of token 1 and without fees.

    A pool takes its coins in the proportion of its price. Where the deposit was another one, what it was worth on entry
    is taken to be what went in: the part that was too much was exchanged at the entry price. The deposit is compared
    with holding what was put in, not with holding what the pool made of it.

    Args:
        entry_price: On entry, shape (n,).
        price: Now.
        amount0: Whole units of token 0 that were put in.
        amount1: Whole units of token 1.
        share: Share of token 0 in the worth of a deposit that fits the pool on entry.
        loss: Of a deposit that fits (`constant_product_loss` and its likes).

    Returns:
        Worth of holding, and worth in the pool.
    """
    with np.errstate(all="ignore"):
        worth = amount0 * entry_price + amount1
        fitting0 = share * worth / entry_price
        held = amount0 * price + amount1
        fitting = fitting0 * price + (1 - share) * worth
        return held, np.asarray(fitting * (1 + loss))


def _roots(price: ArrayLike, lower: ArrayLike, upper: ArrayLike) -> tuple[Floats, Floats, Floats]:
    price, lower, upper = (np.asarray(value, np.float64) for value in (price, lower, upper))
    possible = (price >= 0) & (lower >= 0) & (lower < upper)
    with np.errstate(invalid="ignore"):
        return np.where(possible, np.sqrt(price), np.nan), np.sqrt(lower), np.sqrt(upper)


def _in_blocks(function: Callable[..., Floats], *given: ArrayLike) -> Floats:
    """A function of each figure by itself, block by block."""
    arrays = np.broadcast_arrays(*(np.asarray(value, np.float64) for value in given))
    if arrays[0].size <= _BLOCK:
        return function(*arrays)
    flat = [array.reshape(-1) for array in arrays]
    result = np.empty(flat[0].size)
    for start in range(0, result.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        result[block] = function(*(array[block] for array in flat))
    return result.reshape(arrays[0].shape)
