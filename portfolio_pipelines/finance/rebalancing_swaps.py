"""Which sale pays for which purchase: trades of single assets as swaps of one asset for another.

Belongs here: pairing, and how many swaps it takes. How much of what is traded is decided in `rebalancing`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

CENT: Final = 0.01
"""USD; less than that is nothing to trade."""


@dataclass(frozen=True, slots=True)
class Swaps:
    """Swaps of many portfolios, ordered by portfolio and size. All arrays have one element a swap.

    Attributes:
        row: The portfolio.
        seller: Column of the asset that is sold.
        buyer: Column of the asset that is bought.
        sold_usd: Worth of what is sold.
    """

    row: Integers
    seller: Integers
    buyer: Integers
    sold_usd: Floats


def paired(trades: Floats) -> Swaps:
    """Pair the largest sale with the largest purchase until nothing is left: at most sellers + buyers - 1 swaps.

    Args:
        trades: USD, shape (portfolios, assets): negative is sold, positive is bought. Where more is sold than bought
            (the rest pays the costs), each purchase is paid with its share of the sales.

    Returns:
        The swaps; the sales of each portfolio add up to what it sells. Without purchases there are none.
    """
    sold, bought = _sides(trades)
    everything = bought.sum(axis=1)
    bought *= (sold.sum(axis=1) / np.where(everything > 0, everything, np.inf))[:, None]
    return _matched(sold, bought)


def number_of_swaps(trades: Floats) -> Integers:
    """How many swaps `paired` makes of each portfolio, shape (portfolios,)."""
    return np.bincount(paired(trades).row, minlength=len(trades)).astype(np.int64)


def most_swaps(trades: Floats) -> Integers:
    """The most swaps that `paired` can make of each portfolio, at once: fewer only where amounts match to the cent."""
    sellers, buyers = (trades < -CENT / 2).sum(axis=1), (trades > CENT / 2).sum(axis=1)
    return np.where((sellers > 0) & (buyers > 0), sellers + buyers - 1, 0).astype(np.int64)


def fewest_swaps(trades: Floats) -> Integers:
    """The fewest swaps that any pairing can make of each portfolio: every side takes part in one."""
    sellers, buyers = (trades < -CENT / 2).sum(axis=1), (trades > CENT / 2).sum(axis=1)
    return np.where((sellers > 0) & (buyers > 0), np.maximum(sellers, buyers), 0).astype(np.int64)


def paired_by_place(trades: Floats, places: Sequence[int]) -> list[tuple[int, int, float]]:
    """Pair the trades of one portfolio, first within each place.

    A swap on one chain is one transaction, a swap across chains is two.

    Args:
        trades: USD, shape (assets,): negative is sold, positive is bought.
        places: Where each asset is traded, any numbering.

    Returns:
        (seller, buyer, USD sold), largest first. What new money buys has seller -1; what is sold for the costs alone is
        part of the sales.
    """
    sold, bought = (side[0] for side in _sides(trades[None, :]))
    if sold.sum() > bought.sum() > 0:
        bought *= sold.sum() / bought.sum()
    where = np.asarray(places)
    swaps: list[tuple[int, int, float]] = []
    for members in [*(where == place for place in dict.fromkeys(places)), np.ones(len(where), bool)]:
        found = _matched(np.where(members, sold, 0.0)[None, :], np.where(members, bought, 0.0)[None, :])
        for seller, buyer, amount in zip(
            found.seller.tolist(), found.buyer.tolist(), found.sold_usd.tolist(), strict=True
        ):
            sold[seller] -= amount
            bought[buyer] -= amount
            swaps.append((seller, buyer, amount))
    swaps += [(-1, int(asset), float(bought[asset])) for asset in np.flatnonzero(bought > CENT / 2)]
    return sorted(swaps, key=lambda swap: (-swap[2], swap[0], swap[1]))


def _sides(trades: Floats) -> tuple[Floats, Floats]:
    """What is sold and what is bought, both positive."""
    return np.where(trades < -CENT / 2, -trades, 0.0), np.where(trades > CENT / 2, trades, 0.0)


def _matched(sold: Floats, bought: Floats) -> Swaps:
    """Pair what is left most on both sides, in all portfolios at once: one swap of each a turn of the loop.

    Every swap settles a side, so that sellers + buyers - 1 turns are enough. Both arrays are used up.
    """
    parts: list[tuple[Integers, Integers, Integers, Floats]] = []
    row = np.flatnonzero((sold.max(axis=1) > 0) & (bought.max(axis=1) > 0))
    sold, bought = sold[row], bought[row]
    while row.size:
        here = np.arange(row.size)
        seller, buyer = sold.argmax(axis=1), bought.argmax(axis=1)
        left, wanted = sold[here, seller], bought[here, buyer]
        amount = np.minimum(left, wanted)
        parts.append((row, seller, buyer, amount))
        # What is less than a cent on one side after rounding is not another swap.
        sold[here, seller] = np.where(left - amount < CENT / 2, 0.0, left - amount)
        bought[here, buyer] = np.where(wanted - amount < CENT / 2, 0.0, wanted - amount)
        more = (sold.max(axis=1) > 0) & (bought.max(axis=1) > 0)
        row, sold, bought = row[more], sold[more], bought[more]
    if not parts:
        empty = np.empty(0, np.int64)
        return Swaps(empty, empty, empty, np.empty(0))
    row, seller, buyer, amounts = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((buyer, seller, -amounts, row))
    return Swaps(row[order], seller[order], buyer[order], amounts[order])
