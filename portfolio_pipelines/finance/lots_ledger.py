"""Lots of all scopes and methods as frames, and how to go on from what was computed before. No I/O, no clock.

Belongs here: from transactions and prices to what entered lots, what left them, and what each transaction was worth.
What is open at a moment is what entered by then minus what left by then, so that a computation can begin at any day:
nothing else has to be remembered.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import polars as pl

from portfolio_pipelines.finance.lot_movements import (
    SCOPES,
    Ledger,
    LedgerPolicy,
    build_ledger,
    moment_of,
    order_of,
)
from portfolio_pipelines.finance.lots import METHODS, QUANTITY_DIGITS, USD_DIGITS, Lots, Matches, Method, match
from portfolio_pipelines.finance.transaction_values import Values, value_transactions
from portfolio_pipelines.finance.transactions import QUANTITY, USD

_LEDGER: Final = {"user_key": pl.Int32(), "scope": pl.String(), "method": pl.String()}
_POOL: Final = {"asset_id": pl.String(), "venue": pl.String()}  # venue is null where all venues share
_LOT: Final = {"lot_transaction_key": pl.Int64(), "lot_leg": pl.Int16(), "lot_part": pl.Int32()}
_ACQUIRED: Final = {"acquired_at": pl.Datetime("us", "UTC"), "acquired_rank": pl.Int64()}
_MOVEMENT: Final = {"day": pl.Date(), "transaction_key": pl.Int64(), "leg": pl.Int16(), "kind": pl.Int16()}

ENTRIES: Final = pl.Schema(
    {
        **_LEDGER, **_POOL, **_LOT, **_ACQUIRED, **_MOVEMENT,
        "quantity": QUANTITY, "cost_usd": USD, "flags": pl.Int16(),
    }
)  # fmt: skip
"""What entered lots. A lot is known by its pool and by the transaction, leg and part that opened it."""
USES: Final = pl.Schema(
    {
        **_LEDGER, **_POOL, **_LOT, **_ACQUIRED, **_MOVEMENT,
        "quantity": QUANTITY, "cost_usd": USD, "proceeds_usd": USD, "flags": pl.Int16(),
    }
)  # fmt: skip
"""What left lots."""
TRANSACTION_VALUES: Final = pl.Schema(
    {
        "user_key": pl.Int32(),
        "day": pl.Date(),
        "transaction_key": pl.Int64(),
        "value_usd": USD,  # null where nobody knows
        "value_source": pl.String(),
        "fee_usd": USD,
        "income_usd": USD,
        "expense_usd": USD,
        "paid_in_usd": USD,  # from outside
        "paid_out_usd": USD,
        "matched_key": pl.Int64(),
        "role": pl.String(),
    }
)


@dataclass(frozen=True, slots=True)
class LedgerFrames:
    """ENTRIES, USES and TRANSACTION_VALUES of some days."""

    entries: pl.DataFrame
    uses: pl.DataFrame
    values: pl.DataFrame


def compute_lots(
    transactions: pl.DataFrame,
    prices: pl.DataFrame,
    *,
    entries_before: pl.DataFrame | None = None,
    uses_before: pl.DataFrame | None = None,
    decimals: Mapping[str, int] | None = None,
    policy: LedgerPolicy | None = None,
    methods: Sequence[Method] = METHODS,
) -> LedgerFrames:
    """All ledgers of some days, going on from the days before.

    Args:
        transactions: Schema `transactions.ORDERED`, in that order: whole days.
        prices: Schema `transaction_values.PRICES`, of those days.
        entries_before: ENTRIES of all days before; none for a beginning.
        uses_before: USES of all days before.
        decimals: Of assets whose last decimal is known: what is less is no rest.
        policy: How to treat what can be treated in two ways.
        methods: Which ones.

    Returns:
        Frames of those days alone. Computing days one by one, or all at once, gives the same.
    """
    policy = policy or LedgerPolicy()
    values = value_transactions(transactions, prices)
    open_lots = open_at_end(entries_before, uses_before) if entries_before is not None else None
    entries, uses = [], []
    flows: Ledger | None = None
    for scope in SCOPES:
        ledger = build_ledger(transactions, values, scope, policy)
        flows = flows or ledger
        for method in methods:
            lots, identities = _opened(open_lots, scope, method, ledger)
            dust = [_dust(key.asset_id, decimals) for key in ledger.pools]
            matches = match(ledger.movements, method, dust=dust, opened=lots, shorts_allowed=policy.shorts_allowed)
            made = _Frames(transactions, ledger, matches, identities, scope, method)
            entries.append(made.entries())
            uses.append(made.uses())
    return LedgerFrames(pl.concat(entries), pl.concat(uses), _values_frame(transactions, values, flows or Ledger()))


def _dust(asset_id: str, decimals: Mapping[str, int] | None) -> int:
    places = (decimals or {}).get(asset_id, QUANTITY_DIGITS)
    return int(10 ** max(0, QUANTITY_DIGITS - places))


def open_at_end(entries: pl.DataFrame, uses: pl.DataFrame | None) -> pl.DataFrame:
    """What is left of each lot: the columns of a lot, quantity, cost_usd, flags, and what it opened with."""
    keys = [*_LEDGER, *_POOL, *_LOT]
    entered = entries.group_by(keys).agg(
        pl.col("acquired_at", "acquired_rank").first(),
        pl.col("quantity", "cost_usd").sum(),
        pl.col("quantity").first().alias("opened_quantity"),
        pl.col("cost_usd").first().alias("opened_cost"),
        pl.col("flags").bitwise_or(),
    )
    if uses is None or uses.is_empty():
        return entered.sort(*keys)
    left = uses.group_by(keys).agg(used=pl.col("quantity").sum(), used_cost=pl.col("cost_usd").sum())
    rest = entered.join(left, on=keys, how="left", nulls_equal=True).with_columns(
        quantity=pl.col("quantity") - pl.col("used").fill_null(0),
        cost_usd=pl.col("cost_usd") - pl.col("used_cost").fill_null(0),
    )
    return rest.filter(pl.col("quantity") != 0).drop("used", "used_cost").sort(*keys)


def _opened(
    open_lots: pl.DataFrame | None, scope: str, method: str, ledger: Ledger
) -> tuple[Lots, list[tuple[int, int, int]]]:
    """Lots that were open before, in the numbering of the ledger's pools, and what they are known by."""
    lots = Lots()
    identities: list[tuple[int, int, int]] = []
    if open_lots is None:
        return lots, identities
    mine = open_lots.filter((pl.col("scope") == scope) & (pl.col("method") == method))
    touched = {key.user_key for key in ledger.pools}
    mine = mine.filter(pl.col("user_key").is_in(sorted(touched)))
    numbers = [
        mine[name].to_physical().to_list() for name in ("quantity", "cost_usd", "opened_quantity", "opened_cost")
    ]
    names = ("user_key", "asset_id", "venue", "lot_transaction_key", "lot_leg", "lot_part", "acquired_rank", "flags")
    columns = [mine[name].to_list() for name in names]
    moments = mine["acquired_at"].to_physical().to_list()
    for (user, asset, venue, key, leg, part, rank, flags), moment, (left, cost, opened, opened_cost) in zip(
        zip(*columns, strict=True), moments, zip(*numbers, strict=True), strict=True
    ):
        pool = ledger.pool(user, asset, venue)
        lot = lots.add(pool, -1, part, order_of(moment, 0, 0) + rank, opened, opened_cost, flags)
        lots.quantity[lot], lots.cost[lot] = left, cost
        identities.append((key, leg, part))
    return lots, identities


class _Frames:
    """Lists of matches as frames: gathered by position, because there may be millions."""

    def __init__(
        self,
        transactions: pl.DataFrame,
        ledger: Ledger,
        matches: Matches,
        identities: list[tuple[int, int, int]],
        scope: str,
        method: str,
    ) -> None:
        lots = matches.lots
        self.matches = matches
        pools = pl.DataFrame(
            [(key.user_key, key.asset_id, key.venue) for key in ledger.pools],
            schema={"user_key": pl.Int32, "asset_id": pl.String, "venue": pl.String},
            orient="row",
        )
        rows = transactions.select("transaction_key", "day")
        moves = rows[pl.Series(ledger.row, dtype=pl.UInt32)].with_columns(
            leg=pl.Series(ledger.leg, dtype=pl.Int16), kind=pl.Series(ledger.movements.kind, dtype=pl.Int16)
        )
        known = len(identities)
        opened_by = pl.Series(lots.movement[known:], dtype=pl.UInt32)
        new = (
            moves[opened_by]
            .select(lot_transaction_key="transaction_key", lot_leg="leg")
            .with_columns(lot_part=pl.Series(lots.part[known:], dtype=pl.Int32))
        )
        old = pl.DataFrame(identities, schema=pl.Schema(_LOT), orient="row")
        moments = [moment_of(order) for order in lots.order]
        self.lots = pl.concat([old, new]).with_columns(
            pools[pl.Series(lots.pool, dtype=pl.UInt32)],
            acquired_at=pl.Series([at for at, _ in moments], dtype=pl.Int64).cast(pl.Datetime("us", "UTC")),
            acquired_rank=pl.Series([rank for _, rank in moments], dtype=pl.Int64),
            scope=pl.lit(scope),
            method=pl.lit(method),
        )
        self.moves = moves.with_columns(flags=pl.Series(ledger.movements.flags, dtype=pl.Int16))

    def entries(self) -> pl.DataFrame:
        matches = self.matches
        moves = self.moves[pl.Series(matches.opened_movement, dtype=pl.UInt32)]
        lots = self.lots[pl.Series(matches.opened_lot, dtype=pl.UInt32)]
        return (
            pl.concat([lots, moves], how="horizontal")
            .with_columns(
                quantity=exact(matches.opened_quantity, QUANTITY_DIGITS),
                cost_usd=exact(matches.opened_cost, USD_DIGITS),
                flags=pl.Series(matches.opened_flags, dtype=pl.Int16),
            )
            .select(ENTRIES.names())
        )

    def uses(self) -> pl.DataFrame:
        matches = self.matches
        moves = self.moves[pl.Series(matches.used_movement, dtype=pl.UInt32)]
        lots = self.lots[pl.Series(matches.used_lot, dtype=pl.UInt32)]
        return (
            pl.concat([lots, moves], how="horizontal")
            .with_columns(
                quantity=exact(matches.used_quantity, QUANTITY_DIGITS),
                cost_usd=exact(matches.used_cost, USD_DIGITS),
                proceeds_usd=exact(matches.used_proceeds, USD_DIGITS),
                flags=pl.col("flags") | pl.Series(matches.used_flags, dtype=pl.Int16),
            )
            .select(USES.names())
        )


def _values_frame(transactions: pl.DataFrame, values: Values, ledger: Ledger) -> pl.DataFrame:
    n = transactions.height
    sums = {name: [0] * n for name in ("income", "paid_in", "paid_out", "expense")}
    for at, row in enumerate(ledger.row):
        sums["income"][row] += ledger.income[at]
        sums["paid_in"][row] += ledger.paid_in[at]
        sums["paid_out"][row] += ledger.paid_out[at]
    for row, (amount, paid) in ledger.expense.items():
        sums["expense"][row] += amount
        sums["paid_in"][row] += paid
    return transactions.with_columns(
        value_usd=exact(values.value, USD_DIGITS),
        value_source=pl.Series(values.source, dtype=pl.String),
        fee_usd=exact(values.fee, USD_DIGITS),
        **{f"{name}_usd": exact(amounts, USD_DIGITS) for name, amounts in sums.items()},
    ).select(TRANSACTION_VALUES.names())


def exact(numbers: Iterable[int | None], digits: int) -> pl.Series:
    """Integers in units of 10^-digits as decimals, without any rounding."""
    whole = pl.Series(list(numbers), dtype=pl.Int128).cast(pl.Decimal(38, 0))
    unit = pl.Series([Decimal(1).scaleb(-digits)], dtype=pl.Decimal(38, digits))
    return (whole * unit).cast(pl.Decimal(38, digits))
