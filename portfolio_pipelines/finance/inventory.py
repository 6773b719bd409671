"""Inventory: which transactions of a ledger take more than was there at their moment. No I/O, no clock, no Dagster.

Belongs here: quantities alone, exact, for ledgers of a million rows. The rules are those by which `lot_movements` moves
lots, and a shortfall is what `lots` opens as a missing lot; tests hold both against each other. What to do about a
shortfall is decided where a ledger is taken in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

import polars as pl

from portfolio_pipelines.finance.lot_movements import LedgerPolicy, Leg, Scope
from portfolio_pipelines.finance.lots import QUANTITY_DIGITS
from portfolio_pipelines.finance.lots_ledger import exact
from portfolio_pipelines.finance.transactions import FIAT, QUANTITY, TransferMatching, Type, in_order

SHORTFALLS: Final = pl.Schema(
    {
        "transaction_key": pl.Int64(),
        "part": pl.Int16(),  # Leg: which part of the row takes it
        "asset_id": pl.String(),
        "at": pl.Datetime("us", "UTC"),  # of a transfer: when its first half happened
        "held": QUANTITY,  # just before
        "taken": QUANTITY,
        "missing": QUANTITY,  # taken − held
    }
)


@dataclass(frozen=True, slots=True)
class InventoryRules:
    """What counts as being there."""

    scope: Scope = "universal"  # per_venue: each venue for itself
    policy: LedgerPolicy = field(default_factory=LedgerPolicy)
    matching: TransferMatching = field(default_factory=TransferMatching)


class _Change(IntEnum):
    """How a movement changes what a pool holds."""

    COMES = 0  # acquired: closes what was sold short before
    ARRIVES = 1  # from another pool
    IS_SOLD = 2  # may be sold short where that is allowed
    GOES = 3  # moved or gone: cannot be short


_MOVING: Final = [Type.TRANSFER.value, Type.WITHDRAWAL.value]


def find_shortfalls(
    transactions: pl.DataFrame, rules: InventoryRules | None = None, decimals: Mapping[str, int] | None = None
) -> pl.DataFrame:
    """What is taken without being there, in the order in which it happens.

    After a shortfall the pool is empty: what is missing is counted once, where it is first missed. More acquisitions
    never make any shortfall larger, and fewer or smaller disposals neither.

    Args:
        transactions: Schema `transactions.TRANSACTIONS`, in any order; whole transactions, and for each asset that
            matters all that touch it.
        rules: What counts as being there.
        decimals: Of assets whose last decimal is known: less than one unit of it is never missing.

    Returns:
        Schema SHORTFALLS.
    """
    rules = rules or InventoryRules()
    ordered = in_order(transactions, rules.matching)
    changes = _changes(ordered, rules)
    keys = ["user_key", "asset_id", "pool_venue"]
    changes = changes.with_columns(pool=pl.struct(keys).rank("dense") - 1)
    pools = changes.select("pool", "asset_id").unique("pool").sort("pool")["asset_id"].to_list()
    units = [int(10 ** max(0, QUANTITY_DIGITS - (decimals or {}).get(asset, QUANTITY_DIGITS))) for asset in pools]
    found = _walk(changes, units, shorts_allowed=rules.policy.shorts_allowed)
    rows = changes[pl.Series([at for at, _, _ in found], dtype=pl.UInt32)]
    moments = ordered["at"].gather(rows["position"])
    return rows.with_columns(
        at=moments,
        held=exact([held for _, held, _ in found], QUANTITY_DIGITS),
        taken=exact(rows["quantity"], QUANTITY_DIGITS),
        missing=exact([missing for _, _, missing in found], QUANTITY_DIGITS),
    ).select(SHORTFALLS.names())


def _walk(changes: pl.DataFrame, units: list[int], *, shorts_allowed: bool) -> list[tuple[int, int, int]]:
    """(position, held before, missing) of each change that takes more than there is. One pass, in whole numbers."""
    held = [0] * len(units)
    short = [0] * len(units)
    found: list[tuple[int, int, int]] = []
    columns = (changes[name].to_list() for name in ("pool", "change", "quantity"))
    comes, sold, goes = int(_Change.COMES), int(_Change.IS_SOLD), int(_Change.GOES)
    for at, (pool, change, quantity) in enumerate(zip(*columns, strict=True)):
        if change >= sold:
            rest = held[pool] - quantity
            if rest >= 0:
                held[pool] = rest
                continue
            if change == goes or not shorts_allowed:
                if -rest >= units[pool]:
                    found.append((at, held[pool], -rest))
            else:
                short[pool] -= rest
            held[pool] = 0
        elif change == comes and short[pool]:
            closed = min(short[pool], quantity)
            short[pool] -= closed
            held[pool] += quantity - closed
        else:
            held[pool] += quantity
    return found


def _changes(ordered: pl.DataFrame, rules: InventoryRules) -> pl.DataFrame:
    """Changes of pools in their order: position of the row, user, asset, venue of the pool, part, change, quantity."""
    policy = rules.policy
    group = ["user_key", "transaction_id"]
    rows = _with_arrivals(ordered.with_row_index("position"))
    kind = pl.col("type")
    coin_in, coin_out, coin_fee = (_coin(f"{side}_asset") for side in ("in", "out", "fee"))
    came, went, fee = (pl.col(f"{side}_quantity").to_physical().fill_null(0) for side in ("in", "out", "fee"))
    is_moving = kind.is_in(_MOVING)
    told = pl.coalesce("arrived", pl.when(kind == Type.TRANSFER.value).then(came))
    arrived = pl.when(told < went).then(told).otherwise(went)
    is_known = is_moving & told.is_not_null()
    to_venue = pl.coalesce(pl.col("arrived_at"), "to_venue")
    is_wrap = (kind == Type.WRAP.value) & coin_in.is_not_null() & coin_out.is_not_null() & policy.wraps_keep_basis
    is_liquidity = (kind == Type.ADD_LIQUIDITY.value) & policy.liquidity_keeps_basis
    here = pl.col("venue")
    if rules.scope == "per_venue":
        wrap_moves = (coin_in != coin_out) | (here != to_venue.fill_null(here))
        other_venue = to_venue.is_not_null() & (to_venue != here)
    else:
        wrap_moves = coin_in != coin_out
        other_venue = pl.lit(value=False)
    received_half = (kind == Type.DEPOSIT.value) & (pl.col("role") == "received").fill_null(value=False)
    gone = is_moving & told.is_null()
    exchanged = ~is_moving & ~is_wrap
    parts = [
        _part(rows, is_known & other_venue, 0, Leg.OUT, _Change.GOES, coin_out, here, arrived),
        _part(rows, is_known & other_venue & coin_out.is_not_null(), 1, Leg.OUT, _Change.ARRIVES,
              pl.coalesce(coin_in, coin_out), to_venue, arrived),
        _part(rows, is_known, 2, Leg.LOST, _Change.IS_SOLD, coin_out, here, went - arrived),
        _part(rows, gone | (exchanged & is_liquidity), 0, Leg.OUT, _Change.GOES, coin_out, here, went),
        _part(rows, is_wrap & wrap_moves, 0, Leg.OUT, _Change.GOES, coin_out, here, went),
        _part(rows, is_wrap & wrap_moves, 1, Leg.OUT, _Change.ARRIVES, coin_in, to_venue.fill_null(here), came),
        _part(rows, exchanged & ~is_liquidity, 0, Leg.OUT, _Change.IS_SOLD, coin_out, here, went),
        _part(rows, exchanged & ~is_liquidity & ~received_half, 1, Leg.IN, _Change.COMES, coin_in, here, came),
        _part(rows, pl.lit(value=True), 3, Leg.FEE, _Change.IS_SOLD, coin_fee, here, fee),
    ]  # fmt: skip
    shares = rows.filter(is_liquidity & coin_in.is_not_null())
    if not shares.is_empty():  # they come when all that goes in is known: with the last leg
        ends = rows.join(shares.select(group).unique(), on=group).group_by(group).agg(last=pl.col("position").max())
        late = shares.join(ends, on=group)
        parts.append(_part(late, pl.lit(value=True), 4, Leg.IN, _Change.COMES, coin_in, here, came, moment="last"))
    made = pl.concat(parts).sort("moment", "step", "position")
    venue = pl.col("pool_venue") if rules.scope == "per_venue" else pl.lit(None, pl.String)
    return made.with_columns(pool_venue=venue)


def _part(
    rows: pl.DataFrame, which: pl.Expr, step: int, leg: Leg, change: _Change, asset: pl.Expr, venue: pl.Expr,
    quantity: pl.Expr, *, moment: str = "position",
) -> pl.DataFrame:  # fmt: skip
    """One kind of change. Within a moment: what goes, what comes, what is lost, the fee, what liquidity acquires."""
    return rows.lazy().filter(which & asset.is_not_null() & (quantity > 0)).select(
        "position", "user_key", "transaction_key",
        asset_id=asset,
        pool_venue=venue,
        part=pl.lit(int(leg), pl.Int16),
        change=pl.lit(int(change), pl.Int8),
        quantity=quantity,
        moment=moment,
        step=pl.lit(step, pl.Int8),
    ).collect()  # fmt: skip


def _with_arrivals(rows: pl.DataFrame) -> pl.DataFrame:
    """Adds where and how much of each withdrawal arrived, where its other half is known: arrived_at, arrived."""
    into = rows.filter(pl.col("role") == "received").select(
        arrived_at="venue", arrived=pl.col("in_quantity").to_physical(), matched_key="transaction_key"
    )
    sent = rows.filter(pl.col("role") == "sent").select("transaction_key", "matched_key").join(into, on="matched_key")
    return rows.join(sent.drop("matched_key"), on="transaction_key", how="left", maintain_order="left")


def _coin(asset: str) -> pl.Expr:
    """The asset, unless it is money."""
    return pl.when(~pl.col(asset).str.starts_with(FIAT)).then(pl.col(asset))
