"""Share matching of the United Kingdom: same day, then the thirty days after, then the pool. No I/O, no clock.

Belongs here: the rules of TCGA 1992 ss. 104, 105, 106A as HMRC's manual applies them to tokens (CRYPTO22200 and
following). They look thirty days ahead, so that they are no way of going through a ledger day by day: `lots` has those.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction

THIRTY_DAYS = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class TokenDay:
    """What was acquired and disposed of on one day, of one token, with allowable costs in each amount."""

    day: date
    acquired: Fraction = Fraction(0)
    cost: Fraction = Fraction(0)
    disposed: Fraction = Fraction(0)
    proceeds: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True)
class UkDisposal:
    """The disposals of one day together, as the rules treat them."""

    day: date
    quantity: Fraction
    proceeds: Fraction
    cost: Fraction
    missing: Fraction  # quantity that nothing was acquired for

    @property
    def gain(self) -> Fraction:
        """Proceeds less cost; negative for a loss."""
        return self.proceeds - self.cost


def match_uk(days: Sequence[TokenDay]) -> tuple[list[UkDisposal], Fraction, Fraction]:
    """Match the disposals of one token.

    Args:
        days: In any order, at most one an actual day.

    Returns:
        Disposals by day, and the quantity and cost of the pool at the end.

    Raises:
        ValueError: If a day is there twice.
    """
    ordered = sorted(days, key=lambda entry: entry.day)
    if len({entry.day for entry in ordered}) < len(ordered):
        msg = "a day is there twice: add up what happened on it"
        raise ValueError(msg)
    bought = [entry.acquired for entry in ordered]
    sold = [entry.disposed for entry in ordered]
    costs = [Fraction(0)] * len(ordered)

    def pair(sale: int, purchase: int) -> None:
        quantity = min(sold[sale], bought[purchase])
        if quantity:
            costs[sale] += ordered[purchase].cost * quantity / ordered[purchase].acquired
            sold[sale] -= quantity
            bought[purchase] -= quantity

    for at in range(len(ordered)):
        pair(at, at)
    for sale, entry in enumerate(ordered):
        for purchase in range(sale + 1, len(ordered)):
            if not sold[sale] or ordered[purchase].day > entry.day + THIRTY_DAYS:
                break
            pair(sale, purchase)
    pool, pool_cost = Fraction(0), Fraction(0)
    disposals = []
    for at, entry in enumerate(ordered):
        if bought[at]:
            pool += bought[at]
            pool_cost += entry.cost * bought[at] / entry.acquired
        from_pool = min(sold[at], pool)
        if from_pool:
            cost = pool_cost * from_pool / pool
            costs[at] += cost
            pool, pool_cost = pool - from_pool, pool_cost - cost
        if entry.disposed:
            disposals.append(UkDisposal(entry.day, entry.disposed, entry.proceeds, costs[at], sold[at] - from_pool))
    return disposals, pool, pool_cost
