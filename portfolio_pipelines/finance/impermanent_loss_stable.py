"""Impermanent loss in pools of two pegged coins (Curve's StableSwap). No I/O.

The invariant, with Curve's `A()` and n = 2 coins of D in all, is 2A(x + y) + D = 2AD + D^3 / 4xy. Without amplification
it is the constant product; with much of it, a constant sum: less loss near the peg, and far more away from it.
Conventions and what else there is: `impermanent_loss`. Source: Egorov, StableSwap (2019), in the form of the contracts.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from portfolio_pipelines.finance.impermanent_loss import Floats

COINS: Final = 2
_STEPS: Final = 80  # halvings of a bracket of 160 in ln x: to the last bit of a double
_WIDEST: Final = 80.0  # e^80: no pool is further out of balance
_TABLE_POINTS: Final = 20_001
_TABLE_WIDTH: Final = 14.0  # of ln price: a coin that lost all but a millionth
_TABLE_BEND: Final = 3e-3  # points lie closest around the peg, where the function bends most


@dataclass(frozen=True, slots=True)
class Composition:
    """What a pool of worth 2 at the peg (D = 2) holds at some prices; arrays of the shape of the prices."""

    first: Floats
    second: Floats


def composition(price: ArrayLike, amplification: ArrayLike) -> Composition:
    """Both coins of a pool with D = 2 whose marginal price of coin 0 in coin 1 is `price`.

    Bisection on ln x: of the methods tried, the one that always converges.

    Args:
        price: Units of coin 1 for one of coin 0; NaN where it is not above 0.
        amplification: Curve's A, above 0, of the same shape or one figure.
    """
    given, factor = np.broadcast_arrays(np.asarray(price, np.float64), np.asarray(amplification, np.float64))
    factor = factor * COINS
    low, high = np.full(given.shape, -_WIDEST), np.full(given.shape, _WIDEST)
    with np.errstate(all="ignore"):
        for _ in range(_STEPS):
            middle = (low + high) / 2
            first = np.exp(middle)
            too_dear = _marginal_price(first, _other(first, factor), factor) > given
            low, high = np.where(too_dear, middle, low), np.where(too_dear, high, middle)
        usable = (given > 0) & np.isfinite(given) & (factor > 0)
        first = np.where(usable, np.exp((low + high) / 2), np.nan)
        return Composition(first, _other(first, factor))


def stable_swap_loss(entry_price: ArrayLike, price: ArrayLike, amplification: ArrayLike) -> Floats:
    """Loss of a pool of two pegged coins.

    Args:
        entry_price: Units of coin 1 for one of coin 0 on entry.
        price: The same now.
        amplification: Curve's A, of both times.

    Returns:
        Of the broadcast shape, in [-1, 0].
    """
    before, now = composition(entry_price, amplification), composition(price, amplification)
    return _loss(before, now, np.asarray(price, np.float64))


def stable_swap_share(price: ArrayLike, amplification: ArrayLike) -> Floats:
    """Share of coin 0 in the worth of a pool of two pegged coins, 0..1."""
    pool = composition(price, amplification)
    worth = pool.first * np.asarray(price, np.float64)
    return np.asarray(worth / (worth + pool.second))


def stable_swap_price(first: ArrayLike, second: ArrayLike, amplification: ArrayLike) -> Floats:
    """Marginal price of coin 0 in coin 1 of a pool that holds so much of both, fees apart.

    Args:
        first: Whole units of coin 0 in the pool.
        second: Whole units of coin 1.
        amplification: Curve's A.

    Returns:
        Of the broadcast shape; NaN where the pool holds nothing of a coin.
    """
    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
    factor = np.asarray(amplification, np.float64) * COINS
    with np.errstate(all="ignore"):
        total = _invariant(x, y, factor)
        scale = 2 / total
        return np.asarray(np.where((x > 0) & (y > 0), _marginal_price(x * scale, y * scale, factor), np.nan))


class StableSwapTable:
    """Losses since the peg for one amplification, out of a table: equal to 1e-11, 20 times as fast as bisection."""

    def __init__(self, amplification: float) -> None:
        self._bend = float(np.arcsinh(_TABLE_WIDTH / _TABLE_BEND))
        steps = np.linspace(-1.0, 1.0, _TABLE_POINTS)
        self._losses = stable_swap_loss(1.0, np.exp(_TABLE_BEND * np.sinh(self._bend * steps)), amplification)

    def loss(self, ratio: ArrayLike) -> Floats:
        """Loss since an entry at the peg; NaN for a price outside of e^-14 .. e^14, or that is unknown."""
        with np.errstate(all="ignore"):
            place = np.arcsinh(np.log(np.asarray(ratio, np.float64)) / _TABLE_BEND) / self._bend
        place = (place + 1) / 2 * (_TABLE_POINTS - 1)
        outside = ~((place >= 0) & (place <= _TABLE_POINTS - 1))
        place = np.where(outside, 1.0, place)
        first = np.clip(place.astype(np.int64) - 1, 0, _TABLE_POINTS - 4)
        return np.where(outside, np.nan, _cubic(self._losses, first, place - first))


@lru_cache(maxsize=64)
def table_of(amplification: float) -> StableSwapTable:
    """The table of one amplification, made once (0.2 s)."""
    return StableSwapTable(amplification)


def _loss(before: Composition, now: Composition, price: Floats) -> Floats:
    with np.errstate(all="ignore"):
        held = before.first * price + before.second
        return np.asarray(np.minimum(((now.first - before.first) * price + (now.second - before.second)) / held, 0.0))


def _other(first: Floats, factor: Floats) -> Floats:
    """Coin 1 of a pool with D = 2: the positive root of y^2 + (x + 2/F - 2) y = 2/(x F), F = 2A, without cancellation.

    Source: the invariant times y / F.
    """
    middle = first + 2 / factor - 2
    free = 2 / (first * factor)
    root = np.sqrt(middle * middle + 4 * free)
    return np.asarray(np.where(middle > 0, 2 * free / (middle + root), (root - middle) / 2))


def _marginal_price(first: Floats, second: Floats, factor: Floats) -> Floats:
    """-dy/dx of a pool with D = 2: (F + 2/(x^2 y)) / (F + 2/(x y^2))."""
    common = 2 / (first * second)
    return np.asarray((factor + common / first) / (factor + common / second))


def _cubic(values: Floats, first: NDArray[np.int64], place: Floats) -> Floats:
    """The cubic through four neighbours, `place` counted from the first of them. Source: Lagrange."""
    a, b, c = place - 1, place - 2, place - 3
    return np.asarray(
        -values[first] * a * b * c / 6
        + values[first + 1] * place * b * c / 2
        - values[first + 2] * place * a * c / 2
        + values[first + 3] * place * a * b / 6
    )


def _invariant(x: Floats, y: Floats, factor: Floats) -> Floats:
    """D of a pool, by Newton's method as in the contracts; it converges from above in a handful of steps."""
    total = sum_of_both = np.asarray(x + y)
    for _ in range(64):
        product = total**3 / (4 * x * y)
        following = (factor * sum_of_both + 2 * product) * total / ((factor - 1) * total + 3 * product)
        if np.array_equal(following, total, equal_nan=True):
            break
        total = np.asarray(following)
    return total
