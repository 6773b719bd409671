"""Matching lots: properties that hold for every ledger, against a slow matcher that only does what the words say."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.finance.lots import METHODS, Flag, Kind, Matches, Method, Movements, match

Entry = tuple[str, int, int, int]  # buy, sell or move; pool; quantity; money
ENTRIES = st.lists(
    st.tuples(
        st.sampled_from(["buy", "buy", "sell", "move"]), st.integers(0, 2), st.integers(1, 60), st.integers(0, 10**6)
    ),
    max_size=40,
)


def movements(entries: list[Entry]) -> Movements:
    made = Movements()
    kinds = {"buy": Kind.ACQUIRE, "sell": Kind.DISPOSE, "move": Kind.MOVE}
    for at, (what, pool, quantity, usd) in enumerate(entries):
        made.kind.append(int(kinds[what]))
        made.pool.append(pool)
        made.quantity.append(quantity)
        made.usd.append(0 if what == "move" else usd)
        made.order.append(at)
        made.flags.append(0)
        made.to_pool.append((pool + 1) % 3)
        made.to_quantity.append(quantity)
    return made


def slowly(entries: list[Entry], method: Method) -> Fraction:
    """The gain by the words of the method: pick the lot, take what is needed, start again."""
    pools: dict[int, list[list[Fraction]]] = {0: [], 1: [], 2: []}  # acquired, quantity, unit cost
    gain = Fraction(0)

    def take(pool: int, quantity: Fraction) -> list[list[Fraction]]:
        taken = []
        while quantity:
            lots = pools[pool]
            if not lots:
                taken.append([Fraction(10**9), quantity, Fraction(0)])
                break
            best = {
                "fifo": lambda lot: lot[0],
                "average": lambda lot: lot[0],
                "lifo": lambda lot: -lot[0],
                "hifo": lambda lot: (-lot[2], lot[0]),
            }[method]
            lot = min(lots, key=best)
            part = min(lot[1], quantity)
            taken.append([lot[0], part, lot[2]])
            lot[1] -= part
            quantity -= part
            if not lot[1]:
                lots.remove(lot)
        return taken

    def put(pool: int, lot: list[Fraction]) -> None:
        lots = pools[pool]
        if method == "average" and lots:
            total = lots[0][1] + lot[1]
            lots[0] = [lots[0][0], total, (lots[0][1] * lots[0][2] + lot[1] * lot[2]) / total]
        else:
            lots.append(lot)

    for at, (what, pool, quantity, usd) in enumerate(entries):
        if what == "buy":
            put(pool, [Fraction(at), Fraction(quantity), Fraction(usd, quantity)])
        elif what == "sell":
            gain += usd - sum(part * unit for _, part, unit in take(pool, Fraction(quantity)))
        else:
            for lot in take(pool, Fraction(quantity)):
                put((pool + 1) % 3, lot if lot[0] < 10**9 else [Fraction(at), lot[1], lot[2]])
    return gain


def gain_of(entries: list[Entry], found: Matches) -> int:
    sold = {at for at, entry in enumerate(entries) if entry[0] == "sell"}
    uses = zip(found.used_movement, found.used_proceeds, found.used_cost, strict=True)
    return sum(proceeds - cost for at, proceeds, cost in uses if at in sold)


@pytest.mark.parametrize("method", METHODS)
@given(ENTRIES)
def test_the_gain_is_that_of_the_words_up_to_a_unit_for_each_use(method: Method, entries: list[Entry]) -> None:
    scale = 10**15  # one US dollar is many units, so that rounding shows only where it must
    scaled = [(what, pool, quantity, usd * scale) for what, pool, quantity, usd in entries]
    found = match(movements(scaled), method)
    difference = abs(gain_of(entries, found) - slowly(scaled, method))
    assert difference <= 60 * (len(found.used_lot) + 1) ** 2


@pytest.mark.parametrize("method", METHODS)
@given(ENTRIES)
def test_quantity_and_basis_are_conserved_to_the_last_unit(method: Method, entries: list[Entry]) -> None:
    found = match(movements(entries), method)
    lots = found.lots
    for lot in range(len(lots)):
        entered = [at for at, known in enumerate(found.opened_lot) if known == lot]
        left = [at for at, known in enumerate(found.used_lot) if known == lot]
        for opened, used, rest in (
            (found.opened_quantity, found.used_quantity, lots.quantity),
            (found.opened_cost, found.used_cost, lots.cost),
        ):
            assert sum(opened[at] for at in entered) == sum(used[at] for at in left) + rest[lot]
    bought = sum(usd for what, _, _, usd in entries if what == "buy")
    sold = {at for at, entry in enumerate(entries) if entry[0] == "sell"}
    consumed = sum(cost for at, cost in zip(found.used_movement, found.used_cost, strict=True) if at in sold)
    assert bought == consumed + sum(lots.cost)
    proceeds = sum(usd for what, _, _, usd in entries if what == "sell")
    assert proceeds == sum(found.used_proceeds)


@given(ENTRIES)
def test_all_methods_sell_the_same_quantities_and_miss_the_same_ones(entries: list[Entry]) -> None:
    outcomes = []
    for method in METHODS:
        found = match(movements(entries), method)
        missing = [
            (at, quantity)
            for at, quantity, flags in zip(
                found.opened_movement, found.opened_quantity, found.opened_flags, strict=True
            )
            if flags & Flag.MISSING and entries[at][0] == "sell"
        ]
        outcomes.append((sum(found.used_quantity), sum(found.lots.quantity), missing))
    assert all(outcome == outcomes[0] for outcome in outcomes)


@pytest.mark.parametrize("method", METHODS)
@given(ENTRIES, st.integers(0, 40))
def test_going_on_from_open_lots_is_the_same_as_going_all_the_way(
    method: Method, entries: list[Entry], cut: int
) -> None:
    whole = match(movements(entries), method)
    first = match(movements(entries[:cut]), method)
    rest = movements(entries)
    for name in ("kind", "pool", "quantity", "usd", "order", "flags", "to_pool", "to_quantity"):
        setattr(rest, name, getattr(rest, name)[cut:])
    second = match(rest, method, opened=first.lots)
    assert first.used_cost + second.used_cost == whole.used_cost
    assert first.used_quantity + second.used_quantity == whole.used_quantity
    assert sorted(zip(second.lots.quantity, second.lots.cost, strict=True)) == sorted(
        zip(whole.lots.quantity, whole.lots.cost, strict=True)
    )


@given(ENTRIES)
def test_shorts_gain_what_the_money_says_when_everything_is_closed(entries: list[Entry]) -> None:
    trades = [(what, pool, quantity, usd) for what, pool, quantity, usd in entries if what != "move"]
    for pool in range(3):
        balance = sum(q if what == "buy" else -q for what, at, q, _ in trades if at == pool)
        if balance:
            trades.append(("buy" if balance < 0 else "sell", pool, abs(balance), 1000))
    money = sum(usd if what == "sell" else -usd for what, _, _, usd in trades)
    for method in METHODS:
        found = match(movements(trades), method, shorts_allowed=True)
        assert sum(found.used_proceeds) - sum(found.used_cost) == money
        assert not any(found.lots.quantity)


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="positive quantities"):
        match(movements([("buy", 0, 0, 1)]), "fifo")
    with pytest.raises(ValueError, match="no negative money"):
        match(movements([("buy", 0, 1, -1)]), "fifo")
