"""Interest and safety in Compound v3 (Comet), in its own integers.

Source: the published formulas of Comet; checked against figures of the real contract. A principal is what a balance
was worth when the index was 10^15: positive for a supply, negative for a debt. Rates are per second with 18 decimals,
prices have 8, factors 18; every division rounds towards zero. No I/O.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

INDEX_SCALE: Final = 10**15
FACTOR_SCALE: Final = 10**18


class Collateral(NamedTuple):
    """So much of one asset, and what it counts for.

    Attributes:
        raw: In the asset's smallest unit.
        price: USD with 8 decimals (or whatever the market's feeds are in; the same for all of a market).
        scale: Smallest units of one whole asset.
        factor: Share of the value that counts, 18 decimals: for liquidation `liquidateCollateralFactor`.
    """

    raw: int
    price: int
    scale: int
    factor: int


def accrued_index(index: int, rate: int, seconds: int) -> int:
    """An index so many seconds after the market was last touched.

    Args:
        index: `baseSupplyIndex` or `baseBorrowIndex`.
        rate: The supply or borrow rate, per second.
        seconds: Since `lastAccrualTime`.
    """
    return index + index * (rate * seconds) // FACTOR_SCALE


def present_value(principal: int, supply_index: int, borrow_index: int) -> int:
    """What a principal is worth now: positive for a supply, negative for a debt, in the base token's smallest unit."""
    if principal >= 0:
        return principal * supply_index // INDEX_SCALE
    return -(-principal * borrow_index // INDEX_SCALE)


def value_of(raw: int, price: int, scale: int) -> int:
    """Value of an amount, with the decimals of the price."""
    return raw * price // scale


def counted_collateral(collaterals: Iterable[Collateral]) -> int:
    """What all collateral counts for, with the decimals of the price."""
    return sum(value_of(each.raw, each.price, each.scale) * each.factor // FACTOR_SCALE for each in collaterals)


def health_factor(collaterals: Iterable[Collateral], debt: int, price: int, scale: int) -> int | None:
    """Collateral that counts over debt, 18 decimals: below 10^18 the account can be liquidated.

    Args:
        collaterals: With their `liquidateCollateralFactor`.
        debt: In the base token's smallest unit, positive.
        price: Of the base token.
        scale: Smallest units of one whole base token.

    Returns:
        None where the debt is worth nothing.
    """
    owed = value_of(debt, price, scale)
    return counted_collateral(collaterals) * FACTOR_SCALE // owed if owed else None
