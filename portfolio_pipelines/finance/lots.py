"""Lots: which purchase a sale sells, what it cost, what is left. Exact integers; no I/O, no clock, no Dagster.

Belongs here: matching movements of pools by FIFO, LIFO, HIFO or average cost. What a transaction means for pools (the
edge cases of fees, transfers, wraps) is `movements`; the order of transactions is `transactions`.

Quantities are integers in units of 10^-18, money in units of 10^-12 US dollars. A part of a lot costs
`cost * part // quantity`, and whoever takes the rest of a lot takes the rest of its cost: quantities and basis are
conserved to the last unit. Every method visits a lot at most once for each time it is opened or used: O(n log n).
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from heapq import heappop, heappush
from typing import Final, Literal, get_args

Method = Literal["fifo", "lifo", "hifo", "average"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)
QUANTITY_DIGITS: Final = 18
USD_DIGITS: Final = 12

_UNIT_SHIFT: Final = 128
"""Unit costs are compared with so many binary places: no two lots that differ look equal."""


class Kind(IntEnum):
    """What a movement does to its pool."""

    ACQUIRE = 0  # a new lot of `usd` cost
    DISPOSE = 1  # lots go for `usd` of proceeds
    MOVE = 2  # lots go to another pool with their cost and the day of their acquisition
    LEAVE = 3  # lots go to where nobody sees them: no proceeds, no gain
    CARRY_OUT = 4  # lots go into what the same transaction acquires
    CARRY_IN = 5  # a new lot of `usd` plus the cost that was carried out


_ACQUIRE: Final = int(Kind.ACQUIRE)
_DISPOSE: Final = int(Kind.DISPOSE)


class Flag(IntFlag):
    """Why a figure that rests on a lot or a movement is incomplete."""

    MISSING = 1  # more went than ever came: its acquisition is missing, cost 0 is assumed
    UNPRICED = 2  # nobody knows what it was worth
    UNKNOWN_SOURCE = 4  # a deposit that no withdrawal explains
    SHORT = 8  # sold before it was bought, on purpose


@dataclass(slots=True)
class Movements:
    """Movements in the order in which they happened, as parallel lists.

    `to_quantity` is what arrives for MOVE, the weight of a CARRY_IN, and for CARRY_OUT the sum of the weights of what
    the transaction acquires. `order` tells when what is acquired counts as acquired: integers that rise with time.
    """

    kind: list[int] = field(default_factory=list)
    pool: list[int] = field(default_factory=list)
    quantity: list[int] = field(default_factory=list)
    usd: list[int] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    flags: list[int] = field(default_factory=list)
    to_pool: list[int] = field(default_factory=list)
    to_quantity: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.kind)


@dataclass(slots=True)
class Lots:
    """Lots as parallel lists; a short position is a lot with negative quantity and cost.

    A lot is known by the movement that opened it and, where one movement opens several, by its part. Lots that were
    open before have a negative `movement`.
    """

    pool: list[int] = field(default_factory=list)
    movement: list[int] = field(default_factory=list)
    part: list[int] = field(default_factory=list)
    order: list[int] = field(default_factory=list)  # when it was acquired, which a move does not change
    opened_quantity: list[int] = field(default_factory=list)  # with average cost: when its first part was acquired
    opened_cost: list[int] = field(default_factory=list)
    quantity: list[int] = field(default_factory=list)  # what is left
    cost: list[int] = field(default_factory=list)  # what that cost
    flags: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.pool)

    def add(self, pool: int, movement: int, part: int, order: int, quantity: int, cost: int, flags: int) -> int:
        """Open a lot and return its number."""
        self.pool.append(pool)
        self.movement.append(movement)
        self.part.append(part)
        self.order.append(order)
        self.opened_quantity.append(quantity)
        self.opened_cost.append(cost)
        self.quantity.append(quantity)
        self.cost.append(cost)
        self.flags.append(flags)
        return len(self.pool) - 1


@dataclass(slots=True)
class Matches:
    """What became of movements.

    `opened_*`: quantity and cost that entered a lot; with average cost one lot is entered many times. `used_*`:
    quantity, cost and proceeds that left it; of a short position all three are negative, so that the gain is always
    proceeds − cost and what is left is always entered − left.
    """

    lots: Lots
    opened_movement: list[int] = field(default_factory=list)
    opened_lot: list[int] = field(default_factory=list)
    opened_quantity: list[int] = field(default_factory=list)
    opened_cost: list[int] = field(default_factory=list)
    opened_flags: list[int] = field(default_factory=list)
    used_movement: list[int] = field(default_factory=list)
    used_lot: list[int] = field(default_factory=list)
    used_quantity: list[int] = field(default_factory=list)
    used_cost: list[int] = field(default_factory=list)
    used_proceeds: list[int] = field(default_factory=list)
    used_flags: list[int] = field(default_factory=list)  # of the lot, when it was used


def match(
    movements: Movements,
    method: Method,
    *,
    dust: Sequence[int] = (),
    opened: Lots | None = None,
    shorts_allowed: bool = False,
) -> Matches:
    """Match movements with lots.

    What goes without ever having come is a lot of its own, cost 0 and flagged MISSING, or with `shorts_allowed` a short
    position that later acquisitions close, oldest first.

    Args:
        movements: In the order in which they happened.
        method: fifo (oldest first), lifo (newest first), hifo (highest unit cost first, then oldest) or average.
        dust: For each pool the quantity below which a rest is no rest: one unit of the last decimal of its asset. Pools
            beyond its end have none.
        opened: Lots that are open when the movements begin; they are changed.
        shorts_allowed: What negative inventory means.

    Raises:
        ValueError: If a quantity is not positive or money is negative.
    """
    if min(movements.quantity, default=1) <= 0 or min(movements.usd, default=0) < 0:
        msg = "movements need positive quantities and no negative money"
        raise ValueError(msg)
    matcher = _Matcher(method, opened or Lots(), dust, shorts_allowed)
    return matcher.run(movements)


class _Matcher:
    """The pools while movements pass by. A pool is a heap of (priority, number of the lot)."""

    def __init__(self, method: Method, lots: Lots, dust: Sequence[int], shorts_allowed: bool) -> None:
        self.method, self.lots, self.dust, self.shorts_allowed = method, lots, dust, shorts_allowed
        self.heaps: dict[int, list[tuple[int, int, int]]] = {}
        self.shorts: dict[int, deque[int]] = {}
        self.result = Matches(lots)
        self.carried, self.carried_flags, self.weight = 0, 0, 0
        for lot in sorted(range(len(lots)), key=lots.order.__getitem__):
            if lots.quantity[lot] < 0:
                self.shorts.setdefault(lots.pool[lot], deque()).append(lot)
            elif lots.quantity[lot] > 0:
                heappush(self.heaps.setdefault(lots.pool[lot], []), self._priority(lot))

    def run(self, movements: Movements) -> Matches:
        """Purchases and sales without anything special are handled here: a call for each would take twice as long."""
        heaps, lots, dust, result = self.heaps, self.lots, self.dust, self.result
        lot_quantity, lot_cost = lots.quantity, lots.cost
        use_movement, use_lot = result.used_movement.append, result.used_lot.append
        use_quantity, use_cost = result.used_quantity.append, result.used_cost.append
        use_proceeds, use_flags = result.used_proceeds.append, result.used_flags.append
        plain_disposals = not self.shorts_allowed
        for at, (kind, pool, quantity, usd) in enumerate(
            zip(movements.kind, movements.pool, movements.quantity, movements.usd, strict=True)
        ):
            heap = heaps.get(pool)
            if kind == _ACQUIRE and not self.shorts:
                self._open(at, 0, pool, quantity, usd, movements.flags[at], movements.order[at])
            elif kind == _DISPOSE and heap and plain_disposals and quantity < lot_quantity[lot := heap[0][2]]:
                there, cost = lot_quantity[lot], lot_cost[lot]
                if pool < len(dust) and there - quantity < dust[pool]:
                    self._take(at, pool, quantity, usd, movements.order[at])
                    continue
                cost = cost * quantity // there
                lot_quantity[lot] = there - quantity
                lot_cost[lot] -= cost
                use_movement(at)
                use_lot(lot)
                use_quantity(quantity)
                use_cost(cost)
                use_proceeds(usd)
                use_flags(lots.flags[lot])
            else:
                self._special(movements, at, kind, pool, quantity, usd)
        return result

    def _special(self, movements: Movements, at: int, kind: int, pool: int, quantity: int, usd: int) -> None:
        order, flags = movements.order[at], movements.flags[at]
        if kind == Kind.DISPOSE:
            self._dispose(at, pool, quantity, usd, flags, order)
        elif kind == Kind.ACQUIRE:
            self._acquire(at, pool, quantity, usd, flags, order)
        elif kind == Kind.MOVE:
            self._move(at, pool, quantity, movements.to_pool[at], movements.to_quantity[at], order)
        elif kind == Kind.CARRY_IN:
            weight = movements.to_quantity[at]
            cost = self.carried * weight // max(self.weight, weight)
            self.carried, self.weight = self.carried - cost, self.weight - weight
            self._acquire(at, pool, quantity, usd + cost, flags | self.carried_flags, order)
            if self.weight <= 0:
                self.carried_flags = 0
        else:
            slices = self._take(at, pool, quantity, 0, order)
            if kind == Kind.CARRY_OUT:
                self.carried += sum(cost for _, _, cost in slices)
                for lot, _, _ in slices:
                    self.carried_flags |= self.lots.flags[lot]
                self.weight = movements.to_quantity[at]

    def _priority(self, lot: int) -> tuple[int, int, int]:
        order = self.lots.order[lot]
        if self.method == "lifo":
            return -order, 0, lot
        if self.method == "hifo":
            return -((self.lots.opened_cost[lot] << _UNIT_SHIFT) // self.lots.opened_quantity[lot]), order, lot
        return order, 0, lot

    def _acquire(self, at: int, pool: int, quantity: int, cost: int, flags: int, order: int) -> None:
        shorts = self.shorts.get(pool)
        while shorts and quantity:
            quantity, cost = self._cover(at, shorts, quantity, cost)
        if quantity:
            self._open(at, 0, pool, quantity, cost, flags, order)

    def _open(self, at: int, part: int, pool: int, quantity: int, cost: int, flags: int, order: int) -> None:
        heap = self.heaps.get(pool)
        if heap is None:
            heap = self.heaps[pool] = []
        lots = self.lots
        if heap and self.method == "average":
            lot = heap[0][2]
            lots.quantity[lot] += quantity
            lots.cost[lot] += cost
            lots.flags[lot] |= flags
        else:
            lot = lots.add(pool, at, part, order, quantity, cost, flags)
            heappush(heap, self._priority(lot))
        self._record_opening(at, lot, quantity, cost, flags)

    def _record_opening(self, at: int, lot: int, quantity: int, cost: int, flags: int) -> None:
        result = self.result
        result.opened_movement.append(at)
        result.opened_lot.append(lot)
        result.opened_quantity.append(quantity)
        result.opened_cost.append(cost)
        result.opened_flags.append(flags)

    def _record_use(self, at: int, lot: int, quantity: int, cost: int, proceeds: int) -> None:
        result = self.result
        result.used_movement.append(at)
        result.used_lot.append(lot)
        result.used_quantity.append(quantity)
        result.used_cost.append(cost)
        result.used_proceeds.append(proceeds)
        result.used_flags.append(self.lots.flags[lot])

    def _cover(self, at: int, shorts: deque[int], quantity: int, cost: int) -> tuple[int, int]:
        """Close the oldest short position, or a part of it; what is left of quantity and cost."""
        lots, lot = self.lots, shorts[0]
        owed = -lots.quantity[lot]
        taken = min(owed, quantity)
        paid = cost * taken // quantity
        received = -lots.cost[lot] * taken // owed
        lots.quantity[lot] += taken
        lots.cost[lot] += received
        self._record_use(at, lot, -taken, -received, -paid)
        if taken == owed:
            shorts.popleft()
        return quantity - taken, cost - paid

    def _dispose(self, at: int, pool: int, quantity: int, proceeds: int, flags: int, order: int) -> None:
        if self.shorts_allowed:
            held = sum(self.lots.quantity[lot] for _, _, lot in self.heaps.get(pool, ()))
            short = quantity - held
            if short > 0:
                owed = proceeds * short // quantity
                lot = self.lots.add(pool, at, 0, order, -short, -owed, flags | Flag.SHORT)
                self.shorts.setdefault(pool, deque()).append(lot)
                self._record_opening(at, lot, -short, -owed, flags | Flag.SHORT)
                quantity, proceeds = held, proceeds - owed
        if quantity:
            self._take(at, pool, quantity, proceeds, order)

    def _take(self, at: int, pool: int, quantity: int, proceeds: int, order: int) -> list[tuple[int, int, int]]:
        """Take a quantity out of a pool: (lot, quantity, cost) of each slice. What is not there is a missing lot."""
        lots = self.lots
        heap = self.heaps.get(pool)
        if heap is None:
            heap = self.heaps[pool] = []
        dust = self.dust[pool] if pool < len(self.dust) else 0
        slices: list[tuple[int, int, int]] = []
        left = quantity
        while left > 0 and (heap or left >= dust or not slices):
            if not heap:  # nobody knows where the rest came from
                self._open(at, 0, pool, left, 0, Flag.MISSING, order)
            lot = heap[0][2]
            there, cost = lots.quantity[lot], lots.cost[lot]
            if there < left + dust or there == left:
                taken = there
                heappop(heap)
            else:
                taken = left
                cost = cost * left // there
            is_last = taken >= left or (not heap and left - taken < dust)
            part = proceeds if is_last else proceeds * taken // left
            lots.quantity[lot] = there - taken
            lots.cost[lot] -= cost
            self._record_use(at, lot, taken, cost, part)
            slices.append((lot, taken, cost))
            proceeds -= part
            left -= taken
        return slices

    def _move(self, at: int, pool: int, quantity: int, to_pool: int, to_quantity: int, order: int) -> None:
        """Each slice arrives as a lot of its own that keeps cost and day; a ratio scales the quantities."""
        lots = self.lots
        slices = self._take(at, pool, quantity, 0, order)
        total = sum(taken for _, taken, _ in slices)
        before, arrived, waiting, flags = 0, 0, 0, 0
        for part, (lot, taken, cost) in enumerate(slices):
            before += taken
            arriving = to_quantity * before // total - arrived
            waiting, flags = waiting + cost, flags | lots.flags[lot]
            if arriving:  # the cost of a slice too small to arrive goes with the next one
                self._open(at, part, to_pool, arriving, waiting, flags, lots.order[lot])
                arrived, waiting, flags = arrived + arriving, 0, 0
