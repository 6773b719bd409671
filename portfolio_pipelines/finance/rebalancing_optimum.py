"""The cheapest plan for one portfolio with wishes of its own, as a mixed-integer linear program.

Belongs here: gas that differs by asset, smallest trades, what must not be sold or bought, new money. Each asset trades
with a hub (cash), which takes milliseconds where pairs of assets take minutes; sales and purchases are paired
afterwards. Everybody else is planned for in closed form in `rebalancing`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from portfolio_pipelines.finance.rebalancing import DEFAULT_SLIPPAGE, TRADE_PRICE_USD, Slippage
from portfolio_pipelines.finance.rebalancing_swaps import CENT, paired_by_place

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]
Edges = tuple[Floats, Floats]
_Block = tuple[list[tuple[Integers, Floats]], Floats, Floats]
"""Terms (column, factor), lower and upper ends."""

TIME_LIMIT_SECONDS: Final = 5.0
"""7 ms are usual for 20 assets and 70 ms for 500; what takes seconds is given up, never waited for."""
OUTSIDE_PRICE: Final = 10.0
"""What a USD outside its band costs where not everything can be brought inside: more than any trade."""
MOST_COSTS: Final = 0.1
"""No plan costs more than a tenth of the portfolio: one that does is worth nobody's while."""
EXACT_UPTO: Final = 8
"""Up to so many assets the bands move with the costs in the program itself; it takes 20 ms, and seconds beyond 50."""
IDLE_PRICE: Final = 0.5
"""What a USD of new money costs that is not invested: more than any slippage, less than a broken band."""

_LEFT_OUT: Final = CENT / 4
"""What may be left outside a band: a trade of less than a cent is none, and a cent outside is inside."""


class NoPlanError(RuntimeError):
    """The solver found no plan within its time; the message says what it said."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """One portfolio, its target and its limits. Arrays have one element an asset.

    Attributes:
        values: Worth, USD, finite, not negative.
        targets: Share that each should have, 0 to 1, summing to 1.
        bands: How far the share may stray to either side.
        gas_usd: Gas of a trade of each asset, USD; nan where it is not known: such an asset is not traded.
        places: Where each asset is traded: a swap within a place is one transaction.
        sellable_usd: Most that may be sold, USD: 0 for what must not be; what is bound in pools cannot be.
        may_buy: Whether more of it may be bought.
        min_trade_usd: Smallest trade, USD.
        new_money_usd: Money that is to be invested besides.
        trade_price_usd: What a trade must be worth beside its gas.
        slippage: What trades lose.
    """

    values: Floats
    targets: Floats
    bands: Floats
    gas_usd: Floats
    places: tuple[int, ...]
    sellable_usd: Floats
    may_buy: Flags
    min_trade_usd: float = 0.0
    new_money_usd: float = 0.0
    trade_price_usd: float = TRADE_PRICE_USD
    slippage: Slippage = field(default=DEFAULT_SLIPPAGE)

    def __post_init__(self) -> None:
        count = len(self.values)
        arrays = (self.targets, self.bands, self.gas_usd, self.places, self.sellable_usd, self.may_buy)
        if any(len(array) != count for array in arrays):
            msg = f"all arrays need {count} elements, one an asset"
            raise ValueError(msg)
        figures = (self.values, self.targets, self.bands, self.sellable_usd)
        if not all((np.isfinite(array) & (array >= 0)).all() for array in figures):
            msg = "values, targets, bands and what may be sold must be finite and not negative"
            raise ValueError(msg)
        if not (np.isfinite(self.new_money_usd) and self.new_money_usd >= 0 and self.min_trade_usd >= 0):
            msg = "new money and the smallest trade must not be negative"
            raise ValueError(msg)

    @property
    def share_low(self) -> Floats:
        """Least share of each asset."""
        low: Floats = np.maximum(self.targets - self.bands, 0.0)
        return low

    @property
    def share_high(self) -> Floats:
        """Greatest share of each asset."""
        high: Floats = np.minimum(self.targets + self.bands, 1.0)
        return high

    @property
    def most_idle_usd(self) -> float:
        """What may be left over of sales and new money: the solver needs some room."""
        return max(1.0, 1e-4 * (float(self.values.sum()) + self.new_money_usd))


@dataclass(frozen=True, slots=True)
class Optimum:
    """The cheapest plan.

    Attributes:
        trades: USD, shape (assets,): negative is sold, positive is bought.
        swaps: (seller, buyer, USD sold); seller -1 is new money.
        gas_usd: Gas of all swaps.
        slippage_usd: What the trades lose.
        objective: What the solver minimised: slippage, and gas and the price of a trade for each traded asset.
        is_complete: Whether every share is inside its band afterwards; the limits may forbid it.
    """

    trades: Floats
    swaps: tuple[tuple[int, int, float], ...]
    gas_usd: float
    slippage_usd: float
    objective: float
    is_complete: bool


def cheapest_plan(wishes: Wishes) -> Optimum:
    """Bring every share into its band at the least cost, or as near as the limits allow.

    An asset inside its band is never pushed out of it, and one outside never further away. The bands are those of what
    is invested after the plan, costs paid.

    Raises:
        NoPlanError: If the solver gives up.
    """
    solved = next((found for edges in _tries(wishes) if (found := _solve(wishes, edges, is_soft=False))), None)
    is_complete = solved is not None
    if solved is None:
        everything = float(wishes.values.sum()) + wishes.new_money_usd
        solved = _solve(wishes, (wishes.share_low * everything, wishes.share_high * everything), is_soft=True)
    if solved is None:
        msg = f"no plan for {len(wishes.values)} assets within {TIME_LIMIT_SECONDS} s"
        raise NoPlanError(msg)
    trades, objective = solved
    swaps = tuple(paired_by_place(trades, wishes.places))
    gas = float(sum(gas_of_swap(wishes, seller, buyer) for seller, buyer, _ in swaps))
    lost = float(wishes.slippage.of(trades).sum())
    return Optimum(trades, swaps, gas, lost, objective, is_complete)


def gas_of_swap(wishes: Wishes, seller: int, buyer: int) -> float:
    """Gas of one swap, USD: one transaction within a place, one on either side across places."""
    if seller < 0:
        return float(wishes.gas_usd[buyer])
    if wishes.places[seller] == wishes.places[buyer]:
        return float(max(wishes.gas_usd[seller], wishes.gas_usd[buyer]))
    return float(wishes.gas_usd[seller] + wishes.gas_usd[buyer])


def _tries(wishes: Wishes) -> Iterator[Edges | None]:
    """Edges of the bands to try, USD; None for those of whatever is left after the costs, which is exact but slow.

    Fixed edges leave room for the costs of the naive plan, so that what meets them meets the true ones.
    """
    total = float(wishes.values.sum()) + wishes.new_money_usd
    naive = wishes.targets * total - wishes.values
    gas = np.where(np.isfinite(wishes.gas_usd) & (np.abs(naive) > CENT), wishes.gas_usd, 0.0).sum()
    costs = float(wishes.slippage.of(naive).sum() + gas) + wishes.most_idle_usd
    low, high = wishes.share_low * total, wishes.share_high * max(total - costs, 0.0)
    if len(naive) > EXACT_UPTO and (low <= high).all():
        yield low, high
    yield None


def _solve(wishes: Wishes, edges: Edges | None, *, is_soft: bool) -> tuple[Floats, float] | None:
    """Trades and objective; None where no plan meets all bands (of the soft problem: where the solver gave up)."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    program = _Program.of(wishes, edges, is_soft=is_soft)
    result = milp(
        program.cost,
        integrality=program.integrality,
        bounds=Bounds(program.least, program.most),
        constraints=LinearConstraint(program.matrix, program.low, program.high),
        options={"time_limit": TIME_LIMIT_SECONDS, "mip_rel_gap": 1e-4},
    )
    if result.x is None:
        return None
    pieces, count = len(wishes.slippage.rates), len(wishes.values)
    sides = result.x[: 2 * pieces * count].reshape(2, pieces, count).sum(axis=1)
    trades = sides[1] - sides[0]
    trades = np.where(np.abs(trades) < CENT / 2, 0.0, trades)
    if not is_soft and not _is_inside(wishes, trades):
        return None
    flags = slice(2 * pieces * count, (2 * pieces + 2) * count)
    untraded = np.tile(trades == 0, 2)  # what was solved as a trade of less than a cent is none, and is not paid for
    return trades, float(result.fun - (program.cost[flags] * result.x[flags])[untraded].sum())


def _is_inside(wishes: Wishes, trades: Floats) -> bool:
    afterwards = wishes.values + trades
    worth = afterwards.sum()
    low, high = wishes.share_low * worth - CENT, wishes.share_high * worth + CENT
    return bool(((afterwards >= low) & (afterwards <= high)).all())


@dataclass(frozen=True, slots=True)
class _Program:
    """The program of one portfolio.

    Variables: sold (piece, asset), bought (piece, asset), is sold, is bought, short of the band, above it, worth
    afterwards, idle cash. In the soft program shares may stay outside and money idle, at a price.
    """

    cost: Floats
    integrality: NDArray[np.int64]
    least: Floats
    most: Floats
    matrix: "csr_array"
    low: Floats
    high: Floats

    @classmethod
    def of(cls, wishes: Wishes, edges: Edges | None, *, is_soft: bool) -> "_Program":
        from scipy.sparse import coo_array

        n, rates = len(wishes.values), np.asarray(wishes.slippage.rates)
        pieces, identity = len(rates), np.arange(n)
        total = float(wishes.values.sum()) + wishes.new_money_usd
        known = np.isfinite(wishes.gas_usd)
        gas = np.where(known, wishes.gas_usd, 0.0)
        share_low, share_high = wishes.share_low, wishes.share_high
        sold = [k * n + identity for k in range(pieces)]
        bought = [(pieces + k) * n + identity for k in range(pieces)]
        is_sold, is_bought, short, above = ((2 * pieces + k) * n + identity for k in range(4))
        worth, idle = (2 * pieces + 4) * n, (2 * pieces + 4) * n + 1

        cost = np.zeros(idle + 1)
        cost[: 2 * pieces * n] = np.tile(np.repeat(rates, n), 2)
        cost[is_sold] = cost[is_bought] = gas + wishes.trade_price_usd
        cost[short] = cost[above] = OUTSIDE_PRICE
        cost[idle] = IDLE_PRICE if is_soft else 0.0
        integrality = np.zeros(idle + 1, np.int64)
        integrality[is_sold] = integrality[is_bought] = 1

        # Tight ends make the program small: nothing is traded beyond the far edge of its band.
        far = np.maximum(wishes.values - share_low * total * (1 - MOST_COSTS), 0.0)
        most_sold = np.where(known, np.minimum(np.minimum(wishes.sellable_usd, wishes.values), far), 0.0)
        most_bought = np.where(known & wishes.may_buy, np.maximum(share_high * total - wishes.values, 0.0), 0.0)
        ends = np.array([0.0, *wishes.slippage.upto_usd, np.inf])
        least, most = np.zeros(idle + 1), np.full(idle + 1, np.inf)
        for k in range(pieces):
            for side, largest in ((sold, most_sold), (bought, most_bought)):
                most[side[k]] = np.clip(largest - ends[k], 0.0, ends[k + 1] - ends[k])
        most[is_sold], most[is_bought] = most_sold > 0, most_bought > 0
        # What is outside stays at most as far outside as it is.
        most[short] = np.maximum(share_low * total - wishes.values, 0.0) if is_soft else 0.0
        most[above] = np.maximum(wishes.values - share_high * total, 0.0) if is_soft else 0.0
        if not is_soft:
            most[idle] = wishes.most_idle_usd

        free, one, zero = np.full(n, np.inf), np.ones(n), np.zeros(n)
        into = [(bought[k], one) for k in range(pieces)] + [(sold[k], -one) for k in range(pieces)]
        blocks: list[_Block] = []
        if edges is None:
            everywhere = np.full(n, worth)
            blocks.append(([*into, (everywhere, -share_low)], -wishes.values - _LEFT_OUT, free))
            blocks.append(([*into, (everywhere, -share_high)], -free, _LEFT_OUT - wishes.values))
        else:
            blocks.append(([*into, (short, one)], edges[0] - wishes.values - _LEFT_OUT, free))
            blocks.append(([*into, (above, -one)], -free, edges[1] - wishes.values + _LEFT_OUT))
        for side, flag, largest in ((sold, is_sold, most_sold), (bought, is_bought, most_bought)):
            amount = [(side[k], one) for k in range(pieces)]
            blocks.append(([*amount, (flag, -largest)], -free, zero))
            if wishes.min_trade_usd > 0:
                blocks.append(([*amount, (flag, np.full(n, -wishes.min_trade_usd))], zero, free))
        blocks.append(([(is_sold, one), (is_bought, one)], -free, one))
        paid = [(sold[k], np.full(n, 1 - rates[k])) for k in range(pieces)]
        paid += [(bought[k], np.full(n, -1 - rates[k])) for k in range(pieces)]
        paid += [(is_sold, -gas), (is_bought, -gas), (np.array([idle]), np.array([-1.0]))]
        afterwards = [*into, (np.array([worth]), np.array([-1.0]))]
        money = np.array([-wishes.new_money_usd]), np.array([-float(wishes.values.sum())])
        blocks += [(paid, money[0], money[0]), (afterwards, money[1], money[1])]
        row, column, factor, low, high = _stacked(blocks)
        sparse = coo_array((factor, (row, column)), shape=(len(low), idle + 1)).tocsr()
        return cls(cost, integrality, least, most, sparse, low, high)


def _stacked(blocks: Sequence["_Block"]) -> tuple[Integers, Integers, Floats, Floats, Floats]:
    """Blocks of constraints below each other: row, column and factor of each entry, lower and upper ends.

    A block with one end is a single constraint over all its terms; else each of its constraints has one of each term.
    """
    entries, first = [], 0
    for terms, low, _ in blocks:
        for column, factor in terms:
            lines = np.full(len(column), first) if len(low) == 1 else first + np.arange(len(low))
            entries.append((lines, column, factor))
        first += len(low)
    row, column, factor = (np.concatenate(part) for part in zip(*entries, strict=True))
    low, high = (np.concatenate([block[side] for block in blocks]) for side in (1, 2))
    return row, column, factor, low, high
