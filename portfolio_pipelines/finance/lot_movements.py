"""What transactions do to pools of lots: the rules for fees, transfers, wraps, liquidity, income. No I/O, no clock.

Belongs here: one rule for each edge case. How lots are matched is `lots`.

- A fee in coins is a disposal of its own at market. It is added to the cost of what the trade bought, or where it
  bought nothing taken from the proceeds, once. Fees of transfers and of transactions that bought and sold nothing are
  only disposals; paid in money they are an expense.
- A transfer between own venues gains nothing; what was lost on the way is a disposal at market.
- What a withdrawal takes to an unknown place leaves with its basis, without a gain. What a deposit brings from an
  unknown place has cost 0 and is flagged, unless the file says what it cost.
- Money is never held as lots: paying it is a contribution, receiving it a withdrawal.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, Literal

import polars as pl

from portfolio_pipelines.finance.lots import Flag, Kind, Movements
from portfolio_pipelines.finance.transaction_values import Values
from portfolio_pipelines.finance.transactions import FIAT, Type

Scope = Literal["universal", "per_venue"]
SCOPES: Final[tuple[Scope, ...]] = ("universal", "per_venue")
INCOME: Final = frozenset({Type.INCOME, Type.REWARD, Type.AIRDROP, Type.MINING, Type.REBASE})
_RANK_BITS: Final = 36
_LEGS: Final = 4


@dataclass(frozen=True, slots=True)
class LedgerPolicy:
    """What is a matter of tax law or taste. The defaults follow rotki and rp2."""

    wraps_keep_basis: bool = True  # false: wrapping, bridging and staking for a receipt is a swap at market
    liquidity_keeps_basis: bool = True  # false: adding liquidity is a swap at market
    forks_are_income: bool = False  # true: a forked asset costs its close; false: nothing
    shorts_allowed: bool = False  # true: selling what was never bought opens a short position


class Leg(IntEnum):
    """Which part of a transaction row a movement comes from."""

    OUT = 0
    IN = 1
    FEE = 2
    LOST = 3  # between the two halves of a transfer


@dataclass(frozen=True, slots=True)
class PoolKey:
    """What shares lots."""

    user_key: int
    asset_id: str
    venue: str | None  # null where all venues of a user share


@dataclass(slots=True)
class Ledger:
    """Movements of one scope, and where each comes from. All lists but `pools` are parallel to the movements."""

    movements: Movements = field(default_factory=Movements)
    row: list[int] = field(default_factory=list)  # position of the transaction row
    leg: list[int] = field(default_factory=list)
    income: list[int] = field(default_factory=list)  # USD of what was earned
    paid_in: list[int] = field(default_factory=list)  # USD that came from outside; nothing inside a swap
    paid_out: list[int] = field(default_factory=list)  # USD that went outside
    pools: dict[PoolKey, int] = field(default_factory=dict)
    expense: dict[int, tuple[int, int]] = field(default_factory=dict)  # of a row: fees nothing took up; paid in money

    def pool(self, user_key: int, asset_id: str, venue: str | None) -> int:
        """The number of a pool."""
        return self.pools.setdefault(PoolKey(user_key, asset_id, venue), len(self.pools))


def build_ledger(
    transactions: pl.DataFrame,
    values: Values,
    scope: Scope,
    policy: LedgerPolicy | None = None,
    ledger: Ledger | None = None,
) -> Ledger:
    """The movements of transactions (schema `transactions.ORDERED`, in that order) that `values` values.

    Args:
        transactions: Whole users, or for each user whole days.
        values: Of the same rows.
        scope: universal: a user's venues share one pool an asset; per_venue: each has its own.
        policy: How to treat what can be treated in two ways.
        ledger: With pools that are known already; they keep their numbers.
    """
    builder = _Builder(ledger or Ledger(), scope, policy or LedgerPolicy())
    names = (
        "user_key", "transaction_id", "at", "rank", "type", "role", "venue", "to_venue", "in_asset", "out_asset",
        "fee_asset",
    )  # fmt: skip
    columns = [transactions[name].to_list() for name in names]
    columns[2] = transactions["at"].to_physical().to_list()
    columns += [transactions[name].to_physical().to_list() for name in ("in_quantity", "out_quantity", "fee_quantity")]
    names_of_legs = list(zip(columns[0], columns[1], strict=True))
    last_of: dict[tuple[int, str], int] = {key: at for at, key in enumerate(names_of_legs)}
    swaps = _both_ways(names_of_legs, columns[8], columns[9])
    received = _received(transactions)
    for at, row in enumerate(zip(*columns, values.value, values.fee, values.source, strict=True)):
        key = names_of_legs[at]
        builder.add(_Row(at, *row), key in swaps, at == last_of[key], received.get(at))
    return builder.ledger


@dataclass(slots=True)
class _Row:
    at: int
    user_key: int
    transaction_id: str
    moment: int
    rank: int
    type: str
    role: str | None
    venue: str
    to_venue: str | None
    in_asset: str | None
    out_asset: str | None
    fee_asset: str | None
    came: int | None
    went: int | None
    fee: int | None
    value: int | None
    fee_value: int | None
    source: str


def _both_ways(
    keys: list[tuple[int, str]], in_assets: list[str | None], out_assets: list[str | None]
) -> set[tuple[int, str]]:
    """Transactions in which coins went and coins came: a swap, or liquidity."""
    come = {key for key, asset in zip(keys, in_assets, strict=True) if asset and not asset.startswith(FIAT)}
    go = {key for key, asset in zip(keys, out_assets, strict=True) if asset and not asset.startswith(FIAT)}
    return come & go


def _received(transactions: pl.DataFrame) -> dict[int, tuple[str, int]]:
    """For each withdrawal that is half of a transfer: where it arrived, and how much."""
    rows = transactions.with_row_index("position").filter(pl.col("role").is_not_null())
    if rows.is_empty():
        return {}
    sent = rows.filter(pl.col("role") == "sent").select("position", "matched_key")
    into = rows.filter(pl.col("role") == "received").select(
        "venue", matched_key="transaction_key", quantity=pl.col("in_quantity").to_physical()
    )
    return {at: (venue, got) for at, venue, got in sent.join(into, on="matched_key").drop("matched_key").iter_rows()}


class _Builder:
    def __init__(self, ledger: Ledger, scope: Scope, policy: LedgerPolicy) -> None:
        self.ledger, self.policy = ledger, policy
        self.per_venue = scope == "per_venue"
        self.waiting: list[tuple[_Row, int]] = []  # what liquidity acquires, until all that goes in is known
        self.carried: list[int] = []  # positions of what goes into it

    def add(self, row: _Row, is_swap: bool, is_last: bool, received: tuple[str, int] | None) -> None:
        coin_in, coin_out, coin_fee = _coin(row.in_asset), _coin(row.out_asset), _coin(row.fee_asset)
        fee = (row.fee_value or 0) if row.fee_asset else 0
        kind, before = Type(row.type), len(self.ledger.row)
        taken_up = False
        if kind in {Type.TRANSFER, Type.WITHDRAWAL, Type.DEPOSIT}:
            self._transfer(row, coin_in, coin_out, kind, received)
        elif kind is Type.WRAP and self.policy.wraps_keep_basis and coin_in and coin_out:
            to_pool = self._pool(row, coin_in, row.to_venue or row.venue)
            if to_pool != self._pool(row, coin_out, row.venue):
                self._put(row, Leg.OUT, Kind.MOVE, coin_out, row.went, 0, to=(to_pool, row.came or 0))
        elif kind is Type.ADD_LIQUIDITY and self.policy.liquidity_keeps_basis:
            self._add_liquidity(row, coin_in, coin_out, fee, is_swap)
            taken_up = coin_in is not None
        else:
            self._exchange(row, kind, coin_in, coin_out, fee, is_swap)
            taken_up = len(self.ledger.row) > before
        if coin_fee:
            flags = 0 if row.fee_value is not None else Flag.UNPRICED
            out = 0 if taken_up else fee
            self._put(row, Leg.FEE, Kind.DISPOSE, coin_fee, row.fee, fee, flags, paid_out=out)
        elif fee and not taken_up:
            self._expense(row, fee, fee)
        if is_last:
            self._open_waiting()

    def _expense(self, row: _Row, amount: int, paid: int) -> None:
        before = self.ledger.expense.get(row.at, (0, 0))
        self.ledger.expense[row.at] = (before[0] + amount, before[1] + paid)

    def _transfer(
        self, row: _Row, coin_in: str | None, coin_out: str | None, kind: Type, received: tuple[str, int] | None
    ) -> None:
        went = row.went or 0
        if kind is Type.DEPOSIT:
            if coin_in and row.role != "received":
                is_known = row.source == "given"
                cost, flags = (row.value or 0, 0) if is_known else (0, Flag.UNKNOWN_SOURCE)
                self._put(row, Leg.IN, Kind.ACQUIRE, coin_in, row.came, cost, flags, paid_in=cost)
            return
        if coin_out is None:
            return
        to_venue, got = received or (row.to_venue, row.came if kind is Type.TRANSFER else None)
        if got is None:
            self._put(row, Leg.OUT, Kind.LEAVE, coin_out, went, 0)
            return
        got = min(got, went)
        if self.per_venue and to_venue and to_venue != row.venue:
            to_pool = self._pool(row, coin_in or coin_out, to_venue)
            self._put(row, Leg.OUT, Kind.MOVE, coin_out, got, 0, to=(to_pool, got))
        if went > got:
            worth = None if row.value is None else row.value * (went - got) // went
            flags = 0 if worth is not None else Flag.UNPRICED
            worth = worth or 0
            self._put(row, Leg.LOST, Kind.DISPOSE, coin_out, went - got, worth, flags, paid_out=worth)

    def _exchange(
        self, row: _Row, kind: Type, coin_in: str | None, coin_out: str | None, fee: int, is_swap: bool
    ) -> None:
        """What came and what went at their common value, with the fee in one of them."""
        value, unpriced = row.value or 0, 0 if row.value is not None else int(Flag.UNPRICED)
        in_money = fee if _coin(row.fee_asset) is None else 0
        if coin_out and kind in {Type.LOSS, Type.REBASE}:
            self._put(row, Leg.OUT, Kind.DISPOSE, coin_out, row.went, 0)
            self._expense_of_loss(row, fee, in_money)
        elif coin_out and coin_in:
            self._put(row, Leg.OUT, Kind.DISPOSE, coin_out, row.went, value, unpriced)
        elif coin_out:
            if fee > value:
                self._expense(row, fee - value, max(0, in_money - value))
            out = 0 if is_swap else max(0, value - in_money)
            more = in_money if is_swap else 0  # money paid for a leg of a swap
            proceeds = max(0, value - fee)
            self._put(
                row, Leg.OUT, Kind.DISPOSE, coin_out, row.went, proceeds, unpriced,
                paid_in=min(more, value), paid_out=out,
            )  # fmt: skip
        if coin_in:
            is_income = kind in INCOME or (kind is Type.FORK and self.policy.forks_are_income)
            cost, flags = (0, 0) if kind is Type.FORK and not is_income else (value, unpriced)
            paid = in_money if is_income or is_swap else cost + in_money
            self._put(
                row, Leg.IN, Kind.ACQUIRE, coin_in, row.came, cost + fee, flags,
                income=cost if is_income else 0, paid_in=paid,
            )  # fmt: skip

    def _expense_of_loss(self, row: _Row, fee: int, in_money: int) -> None:
        if fee:
            self._expense(row, fee, in_money)

    def _add_liquidity(self, row: _Row, coin_in: str | None, coin_out: str | None, fee: int, is_swap: bool) -> None:
        if coin_out:
            kind = Kind.CARRY_OUT if is_swap else Kind.LEAVE  # without a share in return nobody knows where it went
            self._put(row, Leg.OUT, kind, coin_out, row.went, 0)
            if is_swap:
                self.carried.append(len(self.ledger.row) - 1)
        if coin_in:
            self.waiting.append((row, fee))

    def _open_waiting(self) -> None:
        """Several shares split the basis by what they are worth, else equally."""
        worths = [row.value for row, _ in self.waiting]
        weights = [worth or 1 for worth in worths] if all(worths) else [1] * len(worths)
        for position in self.carried:
            self.ledger.movements.to_quantity[position] = sum(weights)
        for (row, fee), weight in zip(self.waiting, weights, strict=True):
            paid = fee if _coin(row.fee_asset) is None else 0
            self._put(row, Leg.IN, Kind.CARRY_IN, row.in_asset or "", row.came, fee, to=(0, weight), paid_in=paid)
        self.waiting.clear()
        self.carried.clear()

    def _pool(self, row: _Row, asset: str, venue: str) -> int:
        return self.ledger.pool(row.user_key, asset, venue if self.per_venue else None)

    def _put(
        self, row: _Row, leg: Leg, kind: Kind, asset: str, quantity: int | None, usd: int, flags: int = 0, *,
        to: tuple[int, int] = (0, 0), income: int = 0, paid_in: int = 0, paid_out: int = 0,
    ) -> None:  # fmt: skip
        if not quantity:
            return
        ledger, moves = self.ledger, self.ledger.movements
        moves.kind.append(int(kind))
        moves.pool.append(self._pool(row, asset, row.venue))
        moves.quantity.append(quantity)
        moves.usd.append(usd)
        moves.order.append(order_of(row.moment, row.rank, leg))
        moves.flags.append(int(flags))
        moves.to_pool.append(to[0])
        moves.to_quantity.append(to[1])
        ledger.row.append(row.at)
        ledger.leg.append(int(leg))
        ledger.income.append(income)
        ledger.paid_in.append(paid_in)
        ledger.paid_out.append(paid_out)


def _coin(asset: str | None) -> str | None:
    """The asset, unless it is money."""
    return asset if asset and not asset.startswith(FIAT) else None


def order_of(moment: int, rank: int, leg: int) -> int:
    """When a lot counts as acquired: microseconds since 1970, rank at that moment, leg."""
    return (moment << _RANK_BITS) + rank * _LEGS + leg


def moment_of(order: int) -> tuple[int, int]:
    """Microseconds since 1970, and the rest, of an order."""
    return order >> _RANK_BITS, order & ((1 << _RANK_BITS) - 1)
