"""Transactions of a ledger: what their types mean, in which order they happened, which halves are one transfer.

Belongs here: the shape of a ledger before anything is valued. What transactions were worth is `transaction_values`,
what they do to lots is `lot_movements`. No I/O, no clock, no Dagster.

A row is one leg of a transaction: what came in, what went out, what was paid as a fee. Quantities are gross: the
balance changes by +in − out − fee. Money is an asset like `fiat:usd`; it is never held as lots.
"""

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import polars as pl

from portfolio_pipelines.finance.lots import QUANTITY_DIGITS, USD_DIGITS

QUANTITY: Final = pl.Decimal(38, QUANTITY_DIGITS)
USD: Final = pl.Decimal(38, USD_DIGITS)
US_DOLLAR: Final = "fiat:usd"
FIAT: Final = "fiat:"


class Type(StrEnum):
    """What happened."""

    TRADE = "trade"  # something for something: bought, sold or swapped
    DEPOSIT = "deposit"  # arrived from somewhere; a withdrawal may explain it
    WITHDRAWAL = "withdrawal"  # left for somewhere; a deposit may explain it
    TRANSFER = "transfer"  # both halves in one row: from venue to to_venue
    INCOME = "income"  # wages and what has no better name
    REWARD = "reward"  # staking rewards, interest, liquidity fees
    AIRDROP = "airdrop"
    MINING = "mining"
    FORK = "fork"  # a new asset for those who held the old one
    REBASE = "rebase"  # the quantity changed by itself
    GIFT_RECEIVED = "gift_received"
    GIFT_SENT = "gift_sent"
    SPEND = "spend"
    LOSS = "loss"  # stolen, lost, liquidated, lost in margin trading
    FEE = "fee"  # gas of a failed or other transaction; only the fee columns count
    WRAP = "wrap"  # wrapped, bridged, staked for a receipt: the same thing in another form
    ADD_LIQUIDITY = "add_liquidity"
    REMOVE_LIQUIDITY = "remove_liquidity"


NEEDS: Final[dict[Type, tuple[bool | None, bool | None]]] = {
    Type.TRADE: (None, None),  # legs of one trade may stand in several rows
    Type.DEPOSIT: (True, False),
    Type.WITHDRAWAL: (False, True),
    Type.TRANSFER: (True, True),
    Type.INCOME: (True, False),
    Type.REWARD: (True, False),
    Type.AIRDROP: (True, False),
    Type.MINING: (True, False),
    Type.FORK: (True, False),
    Type.REBASE: (None, None),
    Type.GIFT_RECEIVED: (True, False),
    Type.GIFT_SENT: (False, True),
    Type.SPEND: (False, True),
    Type.LOSS: (False, True),
    Type.FEE: (False, False),
    Type.WRAP: (True, True),
    Type.ADD_LIQUIDITY: (None, None),
    Type.REMOVE_LIQUIDITY: (None, None),
}
"""Whether a row of each type has something that came in, and something that went out; None where it may."""

TRANSACTIONS: Final = pl.Schema(
    {
        "user_key": pl.Int32(),
        "transaction_key": pl.Int64(),  # of the row: a number of its own for each leg
        "transaction_id": pl.String(),  # legs of one transaction share it
        "leg": pl.Int16(),
        "at": pl.Datetime("us", "UTC"),
        "type": pl.String(),
        "venue": pl.String(),  # the wallet or exchange
        "to_venue": pl.String(),  # of transfers
        "in_asset": pl.String(),
        "in_quantity": QUANTITY,
        "out_asset": pl.String(),
        "out_quantity": QUANTITY,
        "fee_asset": pl.String(),
        "fee_quantity": QUANTITY,
        "value_usd": USD,  # of what was traded, without the fee, where the file says it
        "fee_value_usd": USD,
        "tx_hash": pl.String(),
        "block_number": pl.Int64(),
        "transaction_index": pl.Int32(),
        "log_index": pl.Int32(),
    }
)
ORDERED: Final = pl.Schema(
    {
        **TRANSACTIONS,
        "day": pl.Date(),  # on which it counts
        "rank": pl.Int32(),  # among the transactions of the user at the same moment
        "matched_key": pl.Int64(),  # the other half of a transfer; null when there is none
        "role": pl.String(),  # sent or received, of the halves of a transfer that belong together; else null
    }
)


@dataclass(frozen=True, slots=True)
class TransferMatching:
    """When a withdrawal and a deposit are taken for one transfer without a transaction hash that says so."""

    window: timedelta = timedelta(hours=24)  # the deposit arrives so much later at most
    skew: timedelta = timedelta(minutes=10)  # or, where clocks differ, so much earlier
    tolerance: float = 0.02  # share that may be lost on the way


def in_order(transactions: pl.DataFrame, matching: TransferMatching | None = None) -> pl.DataFrame:
    """Match the halves of transfers, and put everything in the order in which it happened.

    Order: moment; block, transaction index, log index; acquisitions before exchanges before disposals; id; leg. Legs of
    one transaction stay together. The halves of a transfer happen together, at the earlier of their moments.

    Args:
        transactions: Schema TRANSACTIONS.
        matching: When halves belong together.

    Returns:
        Schema ORDERED. Source of the rules: portfolio-performance #4446, rp2, rotki.
    """
    sent = match_transfers(transactions, matching or TransferMatching())
    received = sent.select(
        transaction_key="matched_key", matched_key="transaction_key", role=pl.lit("received"), moment="moment"
    )
    halves = pl.concat([sent.with_columns(role=pl.lit("sent")).select(received.columns), received])
    group = ["user_key", "transaction_id"]
    rows = transactions.join(halves, on="transaction_key", how="left", maintain_order="left").with_columns(
        at=pl.coalesce("moment", "at"), comes=_is_coin("in_asset"), goes=_is_coin("out_asset")
    )
    places = ["at", "block_number", "transaction_index", "log_index"]
    rows = rows.with_columns(pl.col(name).alias(f"_{name}") for name in places)
    has_legs = pl.struct(group).is_duplicated()
    legs = rows.filter(has_legs).with_columns(  # windows over millions of groups are slow, and most have one leg
        pl.col("comes", "goes").any().over(group),
        *(pl.col(name).first().over(group, order_by="leg").alias(f"_{name}") for name in places),
    )
    rows = pl.concat([rows.filter(~has_legs), legs]).with_columns(
        side=pl.when(pl.col("comes") & ~pl.col("goes"))
        .then(0)
        .when(pl.col("comes") | (pl.col("role") == "sent"))
        .then(1)
        .otherwise(2),
    )
    ordered = rows.sort(
        "user_key", "_at", "_block_number", "_transaction_index", "_log_index", "side", "transaction_id", "leg",
        "transaction_key", nulls_last=False,
    ).with_row_index("rank")  # fmt: skip
    is_first = pl.struct("user_key", "_at").rle_id().diff().fill_null(1) != 0
    return ordered.with_columns(
        at="_at",
        day=pl.col("_at").dt.date(),
        rank=(pl.col("rank") - pl.when(is_first).then("rank").forward_fill()).cast(pl.Int32),
    ).select(ORDERED.names())


def _is_coin(asset: str) -> pl.Expr:
    return pl.col(asset).is_not_null() & ~pl.col(asset).str.starts_with(FIAT).fill_null(value=True)


_MATCHED: Final = {"transaction_key": "transaction_key", "matched_key": "matched_key", "moment": "at"}


def match_transfers(transactions: pl.DataFrame, matching: TransferMatching) -> pl.DataFrame:
    """Which withdrawal a deposit is the other half of: transaction_key, matched_key (the deposit), moment.

    By transaction hash first; the rest by asset, amount and time, nearest in time first, each half once. Where that
    says nothing the ids decide, not the order of imports. What stays alone is nobody's guess: it stays an unknown
    source or destination.
    """
    halves = transactions.filter(
        (pl.col("type").is_in([Type.DEPOSIT.value, Type.WITHDRAWAL.value]))
        & ~pl.coalesce("in_asset", "out_asset").str.starts_with(FIAT)
    ).sort("user_key", "at", "transaction_id", "leg", "transaction_key").with_row_index("place").select(
        "place", "user_key", "transaction_key", "venue", "at", "tx_hash",
        asset=pl.coalesce("in_asset", "out_asset"),
        quantity=pl.coalesce("in_quantity", "out_quantity").to_physical(),
        is_out=pl.col("type") == Type.WITHDRAWAL.value,
    )  # fmt: skip
    rows = [_Half(*row) for row in halves.rows()]
    pairs: list[tuple[_Half, _Half]] = []
    by_asset: dict[tuple[int, str], tuple[list[_Half], list[_Half]]] = defaultdict(lambda: ([], []))
    for half in rows:
        by_asset[half.user_key, half.asset][0 if half.is_out else 1].append(half)
    for outs, ins in by_asset.values():
        if outs and ins:
            pairs += _match_one_asset(outs, ins, matching)
    schema = pl.Schema({name: ORDERED[key] for name, key in _MATCHED.items()})
    found = [(out.transaction_key, into.transaction_key, min(out.at, into.at)) for out, into in pairs]
    return pl.DataFrame(found, schema=schema, orient="row")


@dataclass(slots=True)
class _Half:
    place: int
    user_key: int
    transaction_key: int
    venue: str
    at: datetime
    tx_hash: str | None
    asset: str
    quantity: int
    is_out: bool


def _match_one_asset(outs: list[_Half], ins: list[_Half], matching: TransferMatching) -> list[tuple[_Half, _Half]]:
    pairs: list[tuple[_Half, _Half]] = []
    taken: set[int] = set()
    by_hash: dict[str, list[_Half]] = defaultdict(list)
    for into in ins:
        if into.tx_hash:
            by_hash[into.tx_hash.lower()].append(into)
    alone = []
    for out in outs:
        same = [
            into
            for into in by_hash.get((out.tx_hash or "").lower(), ())
            if into.transaction_key not in taken and into.quantity <= out.quantity
        ]
        if same:
            best = max(same, key=lambda into: (into.quantity, -into.place))
            taken.add(best.transaction_key)
            pairs.append((out, best))
        else:
            alone.append(out)
    moments = [into.at for into in ins]
    candidates = []
    for out in alone:
        least = int(out.quantity * (1 - matching.tolerance))
        for into in ins[bisect_left(moments, out.at - matching.skew) :]:
            if into.at > out.at + matching.window:
                break
            other_hash = bool(into.tx_hash and out.tx_hash and into.tx_hash.lower() != out.tx_hash.lower())
            if into.transaction_key not in taken and least <= into.quantity <= out.quantity and not other_hash:
                lost = out.quantity - into.quantity
                candidates.append((abs(into.at - out.at), lost, out.place, into.place, out, into))
    used: set[int] = set()
    for *_, out, into in sorted(candidates, key=lambda found: found[:4]):
        if out.transaction_key not in used and into.transaction_key not in taken and out.venue != into.venue:
            used.add(out.transaction_key)
            taken.add(into.transaction_key)
            pairs.append((out, into))
    return pairs
