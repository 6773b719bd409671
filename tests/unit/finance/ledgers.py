"""Ledgers for tests, written as short rows, and what became of them as plain decimals."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl

from portfolio_pipelines.finance.lot_movements import LedgerPolicy
from portfolio_pipelines.finance.lots import METHODS, Kind, Method
from portfolio_pipelines.finance.lots_ledger import LedgerFrames, compute_lots, open_at_end
from portfolio_pipelines.finance.transaction_values import PRICES
from portfolio_pipelines.finance.transactions import TRANSACTIONS, TransferMatching, in_order

ZERO = Decimal(0)


def row(at: str, kind: str, **columns: Any) -> dict[str, Any]:
    """One transaction row; `came`, `went`, `fee` are texts like "1.5 ETH", `value` and `fee_value` US dollars."""
    made: dict[str, Any] = {"at": datetime.fromisoformat(at).replace(tzinfo=UTC), "type": kind, "venue": "kraken"}
    for name, prefix in (("came", "in"), ("went", "out"), ("fee", "fee")):
        if name in columns:
            quantity, asset = columns.pop(name).split()
            made[f"{prefix}_quantity"] = Decimal(quantity)
            made[f"{prefix}_asset"] = "fiat:usd" if asset == "USD" else asset
    for name, column in (("value", "value_usd"), ("fee_value", "fee_value_usd")):
        if name in columns:
            made[column] = Decimal(columns.pop(name))
    return made | columns


def buy(at: str, came: str, went: str, **columns: Any) -> dict[str, Any]:
    return row(at, "trade", came=came, went=went, **columns)


sell = buy


def transactions(*rows: dict[str, Any], user_key: int = 1) -> pl.DataFrame:
    """Rows of schema TRANSACTIONS; keys count from 1, ids are the keys unless given."""
    filled = [
        {"user_key": user_key, "transaction_key": at, "transaction_id": f"{at:04}", "leg": 1, **columns}
        for at, columns in enumerate(rows, start=1)
    ]
    return pl.DataFrame([dict.fromkeys(TRANSACTIONS) | columns for columns in filled], schema=TRANSACTIONS)


def prices(**closes: float | tuple[float, str, int]) -> list[tuple[str, float, str, int]]:
    """Closes on every day: an amount, or an amount with status and number of quotes."""
    return [(name, *(close if isinstance(close, tuple) else (close, "ok", 2))) for name, close in closes.items()]


class Outcome:
    """What `compute_lots` made of a ledger."""

    def __init__(self, frames: LedgerFrames, scope: str, method: str, ordered: pl.DataFrame) -> None:
        mine = (pl.col("scope") == scope) & (pl.col("method") == method)
        self.ordered, self.values = ordered, frames.values
        self.entries, self.uses = frames.entries.filter(mine), frames.uses.filter(mine)
        self.open = open_at_end(self.entries, self.uses)

    @property
    def realised(self) -> Decimal:
        """Gains of disposals, US dollars."""
        sold = self.uses.filter(pl.col("kind").is_in([int(Kind.DISPOSE), int(Kind.ACQUIRE)]))
        return Decimal(sold["proceeds_usd"].sum() or 0) - Decimal(sold["cost_usd"].sum() or 0)

    def total(self, column: str) -> Decimal:
        """Of a column of the transaction values."""
        return Decimal(self.values[column].sum() or 0)

    def held(self, asset: str, venue: str | None = None) -> tuple[Decimal, Decimal]:
        """Quantity and cost of what is open."""
        rows = self.open.filter((pl.col("asset_id") == asset) & (True if venue is None else pl.col("venue") == venue))
        return rows["quantity"].sum() or ZERO, rows["cost_usd"].sum() or ZERO

    def lots(self, asset: str) -> list[tuple[date, Decimal, Decimal]]:
        """Acquired on, quantity, cost of each open lot, oldest first."""
        rows = self.open.filter(pl.col("asset_id") == asset).sort("acquired_at", "acquired_rank")
        return list(rows.select(pl.col("acquired_at").dt.date(), "quantity", "cost_usd").iter_rows())

    def sold(self, asset: str) -> list[tuple[Decimal, Decimal, Decimal]]:
        """Quantity, cost, proceeds of each use of a lot by a disposal."""
        rows = self.uses.filter((pl.col("asset_id") == asset) & (pl.col("kind") == int(Kind.DISPOSE)))
        return list(rows.select("quantity", "cost_usd", "proceeds_usd").iter_rows())


def settle(
    *rows: dict[str, Any],
    closes: list[tuple[str, float, str, int]] | None = None,
    method: Method = "fifo",
    scope: str = "universal",
    policy: LedgerPolicy | None = None,
    decimals: dict[str, int] | None = None,
    matching: TransferMatching | None = None,
) -> Outcome:
    """Order, value and match a ledger."""
    ordered = in_order(transactions(*rows), matching)
    frames = compute_lots(ordered, price_frame(ordered, closes or []), policy=policy, decimals=decimals)
    check_conservation(frames)
    return Outcome(frames, scope, method, ordered)


def price_frame(ordered: pl.DataFrame, closes: list[tuple[str, float, str, int]]) -> pl.DataFrame:
    days = ordered["day"].unique()
    return pl.DataFrame(
        [(name, day, close, status, quotes) for name, close, status, quotes in closes for day in days],
        schema=PRICES,
        orient="row",
    )


def check_conservation(frames: LedgerFrames) -> None:
    """In every ledger, no lot gives more than it got, and all money is somewhere."""
    open_lots = open_at_end(frames.entries, frames.uses)
    for method in METHODS:
        mine = open_lots.filter((pl.col("method") == method) & (pl.col("flags") & 8 == 0))
        assert (mine["quantity"] > 0).all()
        assert (mine["cost_usd"] >= 0).all()
