"""Numbers of 18 decimals as Balancer's contracts count with them: products, quotients and powers, to the last digit.

Belongs here: arithmetic of integers alone. What is multiplied with what is in `balancer_math`.

Source: FixedPoint.sol and LogExpMath.sol of Balancer v2 (the latter MIT, by F. Martinelli, S. Yuhjtman, D. Fernandez).
A contract's division of signed numbers cuts towards zero, Python's rounds down: `_cut` stands wherever one can be
negative.
"""

from typing import Final

ONE: Final = 10**18
_ONE_20, _ONE_36 = 10**20, 10**36
_LARGEST_EXPONENT: Final = 130 * ONE
_SMALLEST_EXPONENT: Final = -41 * ONE
_CLOSE_TO_ONE: Final = ONE // 10  # within this of 1 logarithms have 36 decimals
_POWER_ERROR: Final = 10_000  # of a power, relative, in 18 decimals: what its rounding may be wrong by

_WHOLE: Final = (
    (128 * ONE, 38877084059945950922200000000000000000000000000000000000),
    (64 * ONE, 6235149080811616882910000000),
)
"""x of 18 decimals, and e^x without decimals."""
_PARTS: Final = (
    (3_200 * ONE, 7896296018268069516100000000000000),
    (1_600 * ONE, 888611052050787263676000000),
    (800 * ONE, 298095798704172827474000),
    (400 * ONE, 5459815003314423907810),
    (200 * ONE, 738905609893065022723),
    (100 * ONE, 271828182845904523536),
    (50 * ONE, 164872127070012814685),
    (25 * ONE, 128402541668774148407),
    (12_500_000_000_000_000_000, 113314845306682631683),
    (6_250_000_000_000_000_000, 106449445891785942956),
)
"""x of 20 decimals, from 2^5 down to 2^-4, and e^x of 20 decimals."""
_PARTS_OF_EXP: Final = _PARTS[:8]  # the smallest two are not needed there


def times_down(first: int, second: int) -> int:
    """Product, rounded down."""
    return first * second // ONE


def over_down(first: int, second: int) -> int:
    """Quotient, rounded down."""
    return first * ONE // second


def over_up(first: int, second: int) -> int:
    """Quotient, rounded up."""
    return -(-first * ONE // second)


def power_up(base: int, exponent: int) -> int:
    """A power, rounded up by more than it can be wrong by.

    Args:
        base: From 0 on, 18 decimals.
        exponent: From 0 on, 18 decimals.

    Raises:
        ValueError: If the contract would refuse it: a power too large or too small to be written.
    """
    raw = power(base, exponent)
    return raw + -(-raw * _POWER_ERROR // ONE) + 1


def power(base: int, exponent: int) -> int:
    """A power as e^(exponent * ln(base)).

    Args:
        base: From 0 on, 18 decimals.
        exponent: From 0 on, 18 decimals.

    Raises:
        ValueError: As `power_up`.
    """
    if exponent == 0:
        return ONE
    if base == 0:
        return 0
    if ONE - _CLOSE_TO_ONE < base < ONE + _CLOSE_TO_ONE:
        precise = _ln_36(base)
        whole = _cut(precise, ONE)
        product = whole * exponent + _cut((precise - whole * ONE) * exponent, ONE)
    else:
        product = _ln(base) * exponent
    return exp(_cut(product, ONE))


def exp(exponent: int) -> int:
    """A power of e.

    Args:
        exponent: From -41 to 130, 18 decimals.

    Raises:
        ValueError: If it is not within that.
    """
    if not _SMALLEST_EXPONENT <= exponent <= _LARGEST_EXPONENT:
        msg = f"e^({exponent} / 10^18) cannot be written with 18 decimals"
        raise ValueError(msg)
    if exponent < 0:
        return ONE * ONE // exp(-exponent)
    rest, first = exponent, 1
    for part, value in _WHOLE:
        if rest >= part:
            rest, first = rest - part, value
            break
    rest *= 100
    product = _ONE_20
    for part, value in _PARTS_OF_EXP:
        if rest >= part:
            rest, product = rest - part, product * value // _ONE_20
    term = rest
    total = _ONE_20 + term
    for divisor in range(2, 13):
        term = term * rest // _ONE_20 // divisor
        total += term
    return product * total // _ONE_20 * first // 100


def _ln(value: int) -> int:
    """Natural logarithm of a number above 0, 18 decimals each."""
    if value < ONE:
        return -_ln(ONE * ONE // value)
    total = 0
    for part, power_of_e in _WHOLE:
        if value >= power_of_e * ONE:
            value, total = value // power_of_e, total + part
    total, value = total * 100, value * 100
    for part, power_of_e in _PARTS:
        if value >= power_of_e:
            value, total = value * _ONE_20 // power_of_e, total + part
    return (total + _series(value, _ONE_20, 11)) // 100


def _ln_36(value: int) -> int:
    """Natural logarithm, of 36 decimals, of a number of 18 decimals close to 1."""
    return _series(value * ONE, _ONE_36, 15)


def _series(value: int, one: int, last: int) -> int:
    """Logarithm of a number close to 1: 2 (z + z^3/3 + z^5/5 + … + z^last/last) with z = (value - 1) / (value + 1)."""
    z = _cut((value - one) * one, value + one)
    squared = z * z // one
    term = total = z
    for divisor in range(3, last + 1, 2):
        term = _cut(term * squared, one)
        total += _cut(term, divisor)
    return 2 * total


def _cut(dividend: int, divisor: int) -> int:
    """Quotient with a positive divisor, cut towards zero."""
    return dividend // divisor if dividend >= 0 else -(-dividend // divisor)
