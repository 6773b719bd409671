"""All ledgers at once: going on from any day is the same as beginning at the first one, and the money adds up."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio_pipelines.finance.lot_movements import SCOPES
from portfolio_pipelines.finance.lots import METHODS, Kind
from portfolio_pipelines.finance.lots_ledger import compute_lots, exact, open_at_end
from portfolio_pipelines.finance.transactions import in_order
from tests.unit.finance.ledgers import price_frame, prices, transactions

CLOSES = prices(ETH=2000.0, UNI=7.3, BNB=311.17)
COINS = ("ETH", "UNI", "BNB")
VENUES = ("kraken", "ledger")
AMOUNT = st.decimals("0.001", "50", places=3)


@st.composite
def ledger_rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    rows = []
    for number in range(draw(st.integers(1, 25))):
        kind = draw(
            st.sampled_from(
                ["buy", "buy", "sell", "swap", "transfer", "withdrawal", "deposit", "reward", "fee", "wrap"]
            )
        )
        coin, other = draw(st.permutations(COINS))[:2]
        venue, elsewhere = draw(st.permutations(VENUES))
        quantity, money = draw(AMOUNT), draw(st.decimals("1", "9999", places=2))
        at = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=draw(st.integers(0, 200)))
        row: dict[str, Any] = {"at": at, "venue": venue, "type": kind, "transaction_id": f"{number:03}"}
        if kind in {"buy", "sell", "swap"}:
            row["type"] = "trade"
        if kind in {"buy", "reward", "deposit", "swap", "wrap"}:
            row |= {"in_asset": coin, "in_quantity": quantity}
        if kind == "buy":
            row |= {"out_asset": "fiat:usd", "out_quantity": money}
        if kind == "sell":
            row |= {"in_asset": "fiat:usd", "in_quantity": money, "out_asset": coin, "out_quantity": quantity}
        if kind in {"swap", "wrap"}:
            row |= {"out_asset": other, "out_quantity": draw(AMOUNT)}
        if kind == "transfer":
            row |= {"out_asset": coin, "out_quantity": quantity, "to_venue": elsewhere}
            row |= {"in_asset": coin, "in_quantity": quantity * Decimal("0.5")}
        if kind == "withdrawal":
            row |= {"out_asset": coin, "out_quantity": quantity}
        if kind == "fee" or draw(st.booleans()):
            fee = draw(st.sampled_from(["fiat:usd", "BNB"]))
            row |= {"fee_asset": fee, "fee_quantity": draw(st.decimals("0.001", "20", places=3))}
        rows.append(row)
    return rows


@settings(max_examples=60, deadline=None)
@given(ledger_rows(), st.integers(0, 8))
def test_beginning_at_any_day_gives_the_same_rows(rows: list[dict[str, Any]], cut: int) -> None:
    ordered = in_order(transactions(*rows))
    first_day = datetime(2024, 1, 1 + cut, tzinfo=UTC).date()
    closes = price_frame(ordered, CLOSES)
    whole = compute_lots(ordered, closes)
    before, after = (compute_lots(part, closes) for part in ((ordered.filter(pl.col("day") < first_day)), ordered[:0]))
    later = compute_lots(
        ordered.filter(pl.col("day") >= first_day),
        closes,
        entries_before=before.entries,
        uses_before=before.uses,
    )
    assert after.entries.is_empty()
    for name in ("entries", "uses", "values"):
        expected = getattr(whole, name)
        found = pl.concat([getattr(before, name), getattr(later, name)])
        assert found.sort(pl.all()).equals(expected.sort(pl.all()))


@settings(max_examples=60, deadline=None)
@given(ledger_rows())
def test_realised_and_unrealised_are_value_and_withdrawals_less_contributions_to_the_cent(
    rows: list[dict[str, Any]],
) -> None:
    ordered = in_order(transactions(*rows))
    found = compute_lots(ordered, price_frame(ordered, CLOSES))
    worth = pl.col("asset_id").replace_strict({name: Decimal(str(close)) for name, close, _, _ in CLOSES})
    left = open_at_end(found.entries, found.uses).with_columns(value=pl.col("quantity") * worth.cast(pl.Decimal(20, 6)))
    paid_in, paid_out, income, expense = (
        found.values[name].sum() or Decimal(0) for name in ("paid_in_usd", "paid_out_usd", "income_usd", "expense_usd")
    )
    for scope in SCOPES:
        for method in METHODS:
            mine = (pl.col("scope") == scope) & (pl.col("method") == method)
            uses, lots = found.uses.filter(mine), left.filter(mine)
            sold = uses.filter(pl.col("kind") == int(Kind.DISPOSE))
            gone = uses.filter(pl.col("kind") == int(Kind.LEAVE))["cost_usd"].sum()
            value, cost = lots["value"].sum() or Decimal(0), lots["cost_usd"].sum() or Decimal(0)
            realised = (sold["proceeds_usd"].sum() or Decimal(0)) - (sold["cost_usd"].sum() or Decimal(0))
            assert abs(realised + income - expense + value - cost - (value + paid_out + gone - paid_in)) < Decimal(
                "0.005"
            )


@given(st.lists(st.one_of(st.none(), st.integers(-(10**37), 10**37)), max_size=20))
def test_integers_become_decimals_without_rounding(numbers: list[int | None]) -> None:
    assert exact(numbers, 18).to_physical().to_list() == numbers
