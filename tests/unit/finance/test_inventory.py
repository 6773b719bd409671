"""What a ledger takes without having it: worked examples, and the lots themselves as the other opinion."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio_pipelines.finance.inventory import SHORTFALLS, InventoryRules, find_shortfalls
from portfolio_pipelines.finance.lot_movements import SCOPES, LedgerPolicy, Scope
from portfolio_pipelines.finance.lots import Flag, Kind
from portfolio_pipelines.finance.lots_ledger import compute_lots
from portfolio_pipelines.finance.transaction_values import PRICES
from portfolio_pipelines.finance.transactions import Type, in_order
from tests.unit.finance.ledgers import buy, row, sell, transactions

PER_VENUE = InventoryRules(scope="per_venue")
START = datetime(2024, 1, 1, tzinfo=UTC)


def shortfalls(*rows: dict[str, Any], rules: InventoryRules | None = None, **options: Any) -> list[tuple[Any, ...]]:
    """Key of the row, asset, held, taken, missing of each."""
    found = find_shortfalls(transactions(*rows), rules, **options)
    assert found.schema == SHORTFALLS
    return found.select("transaction_key", "asset_id", "held", "taken", "missing").rows()


def test_selling_all_that_was_bought_is_possible_and_one_unit_more_is_not() -> None:
    bought = buy("2024-01-01", "0.100000000000000001 BTC", "4000 USD")
    assert shortfalls(bought, sell("2024-01-02", "5000 USD", "0.100000000000000001 BTC")) == []
    assert shortfalls(bought, sell("2024-01-02", "5000 USD", "0.100000000000000002 BTC")) == [
        (2, "BTC", Decimal("0.100000000000000001"), Decimal("0.100000000000000002"), Decimal("1e-18"))
    ]


def test_an_impossible_order_is_a_shortfall_although_the_sum_is_right() -> None:
    rows = (sell("2024-01-01", "5000 USD", "2 BTC"), buy("2024-01-02", "3 BTC", "4000 USD"))
    assert shortfalls(*rows) == [(1, "BTC", 0, 2, 2)]


def test_what_was_missing_once_is_not_missing_again() -> None:
    rows = [
        buy("2024-01-01", "1 BTC", "1 USD"),
        sell("2024-01-02", "1 USD", "3 BTC"),  # 2 are missing
        buy("2024-01-03", "1 BTC", "1 USD"),
        sell("2024-01-04", "1 USD", "1 BTC"),
        sell("2024-01-05", "1 USD", "1 BTC"),
    ]
    assert shortfalls(*rows) == [(2, "BTC", 1, 3, 2), (5, "BTC", 0, 1, 1)]


def test_a_fee_in_coins_needs_the_coins_too_and_may_be_paid_from_what_was_bought() -> None:
    assert shortfalls(buy("2024-01-01", "1 BTC", "9 USD", fee="1 BTC")) == []
    assert shortfalls(buy("2024-01-01", "1 BTC", "9 USD", fee="0.1 BNB")) == [
        (1, "BNB", 0, Decimal("0.1"), Decimal("0.1"))
    ]
    assert shortfalls(row("2024-01-01", "fee", fee="0.1 ETH"))[0][1] == "ETH"


def test_money_is_never_short() -> None:
    assert shortfalls(buy("2024-01-01", "1 BTC", "9 USD"), row("2024-01-02", "withdrawal", went="9 USD")) == []


def test_a_transfer_between_own_venues_takes_from_one_venue_and_from_nothing_over_all() -> None:
    rows = (
        buy("2024-01-01", "1 BTC", "1 USD"),
        row("2024-01-02", "transfer", went="1 BTC", came="0.9 BTC", to_venue="ledger"),
        sell("2024-01-03", "1 USD", "0.5 BTC"),
    )
    assert shortfalls(*rows) == []
    assert shortfalls(*rows, rules=PER_VENUE) == [(3, "BTC", 0, Decimal("0.5"), Decimal("0.5"))]
    elsewhere = (*rows[:2], sell("2024-01-03", "1 USD", "0.9 BTC", venue="ledger"))
    assert shortfalls(*elsewhere, rules=PER_VENUE) == []


def test_two_halves_that_belong_together_are_one_transfer_at_the_earlier_moment() -> None:
    rows = (
        buy("2024-01-01", "1 BTC", "1 USD"),
        row("2024-01-02T12:00", "withdrawal", went="1 BTC"),
        row("2024-01-02T14:00", "deposit", came="1 BTC", venue="ledger"),
        sell("2024-01-02T13:00", "1 USD", "1 BTC", venue="ledger"),
    )
    for rules in (InventoryRules(), PER_VENUE):
        assert shortfalls(*rows, rules=rules) == []
    assert shortfalls(*rows[:2], rows[3]) == [(3, "BTC", 0, 1, 1)], "alone, the withdrawal took it away"


def test_less_than_the_last_decimal_of_an_asset_is_never_missing() -> None:
    rows = (buy("2024-01-01", "1 USDC", "1 USD"), sell("2024-01-02", "1 USD", "1.0000009 USDC"))
    assert shortfalls(*rows, decimals={"USDC": 6}) == []
    assert len(shortfalls(*rows, decimals={"USDC": 7})) == 1


def test_going_short_is_possible_where_it_is_allowed_but_not_by_withdrawing() -> None:
    rows = (sell("2024-01-01", "5 USD", "2 BTC"), buy("2024-01-02", "3 BTC", "4 USD"))
    rules = InventoryRules(policy=LedgerPolicy(shorts_allowed=True))
    assert shortfalls(*rows, rules=rules) == []
    gone = row("2024-01-03", "withdrawal", went="2 BTC")
    assert shortfalls(*rows, gone, rules=rules) == [(3, "BTC", 1, 2, 1)]


def test_quantities_beyond_what_128_bits_add_up_to_stay_exact() -> None:
    much = "99999999999999999999"
    rows = [buy(f"2024-01-0{day}", f"{much}.000000000000000001 X", "1 USD") for day in range(1, 6)]
    rows += [sell(f"2024-02-0{day}", "1 USD", f"{much}.000000000000000001 X") for day in range(1, 6)]
    assert shortfalls(*rows) == []
    one_more = shortfalls(*rows, sell("2024-03-01", "1 USD", "0.000000000000000001 X"))
    assert one_more == [(11, "X", 0, Decimal("1e-18"), Decimal("1e-18"))]


def test_users_hold_their_own() -> None:
    mine = transactions(buy("2024-01-01", "1 BTC", "1 USD"))
    sold = transactions(sell("2024-01-02", "1 USD", "1 BTC") | {"transaction_key": 2}, user_key=2)
    assert find_shortfalls(pl.concat([mine, sold]))["transaction_key"].to_list() == [2]


COINS = st.sampled_from(["A", "B"])
QUANTITIES = st.integers(1, 4).map(str)
SIDES = {
    Type.TRADE: (True, True), Type.DEPOSIT: (True, False), Type.WITHDRAWAL: (False, True), Type.TRANSFER: (True, True),
    Type.REWARD: (True, False), Type.GIFT_SENT: (False, True), Type.LOSS: (False, True), Type.FEE: (False, False),
    Type.WRAP: (True, True), Type.ADD_LIQUIDITY: (True, True), Type.REMOVE_LIQUIDITY: (True, True),
    Type.REBASE: (False, True),
}  # fmt: skip


@st.composite
def ledger_rows(draw: st.DrawFn) -> dict[str, Any]:
    """One row: few moments, coins, venues and ids, so that ties, several legs and matches happen."""
    kind = draw(st.sampled_from(sorted(SIDES)))
    comes, goes = SIDES[kind]
    if kind in {Type.TRADE, Type.ADD_LIQUIDITY, Type.REMOVE_LIQUIDITY} and draw(st.booleans()):
        comes, goes = draw(st.sampled_from([(True, False), (False, True)]))
    made: dict[str, Any] = {"venue": draw(st.sampled_from(["x", "y"]))}
    money = draw(st.sampled_from(["", "came", "went"])) if kind is Type.TRADE else ""
    coin = draw(COINS)
    if comes:
        other = coin if kind is Type.TRANSFER else draw(COINS)
        made["came"] = f"{draw(QUANTITIES)} {'USD' if money == 'came' else other}"
    if goes:
        made["went"] = f"{draw(QUANTITIES)} {'USD' if money == 'went' else coin}"
    if kind is Type.FEE or draw(st.booleans()):
        made["fee"] = f"{draw(QUANTITIES)} {draw(st.sampled_from(['A', 'B', 'USD']))}"
    if kind in {Type.TRANSFER, Type.WRAP}:
        made["to_venue"] = draw(st.sampled_from(["x", "y"]))
    at = START + timedelta(hours=3 * draw(st.integers(0, 6)))
    return row(at.replace(tzinfo=None).isoformat(), kind.value, **made)


@st.composite
def whole_ledgers(draw: st.DrawFn) -> pl.DataFrame:
    """Rows of one user, two of which may be legs of one transaction."""
    rows = draw(st.lists(ledger_rows(), min_size=1, max_size=14))
    if len(rows) > 2 and draw(st.booleans()):
        rows[0] |= {"transaction_id": "legs", "leg": 1}
        rows[1] |= {"transaction_id": "legs", "leg": 2, "at": rows[0]["at"]}
    return transactions(*rows)


def missing_lots(ledger: pl.DataFrame, rules: InventoryRules) -> list[tuple[Any, ...]]:
    """What the lots of a ledger lack by FIFO: row, part, asset, quantity."""
    ordered = in_order(ledger, rules.matching)
    entries = compute_lots(ordered, pl.DataFrame(schema=PRICES), policy=rules.policy, methods=("fifo",)).entries
    opened = entries.join(ledger.select("transaction_key", "out_asset", home="venue"), on="transaction_key")
    from_here = (pl.col("asset_id") == pl.col("out_asset")) & (
        pl.col("venue").is_null() | (pl.col("venue") == pl.col("home"))
    )
    is_taken = pl.col("kind").is_in([int(Kind.DISPOSE), int(Kind.LEAVE), int(Kind.CARRY_OUT)]) | (
        (pl.col("kind") == int(Kind.MOVE)) & from_here
    )
    lacking = opened.filter(
        (pl.col("scope") == rules.scope) & (pl.col("flags") & int(Flag.MISSING) != 0) & is_taken
    )  # what arrives elsewhere inherits the mark
    return sorted(lacking.select("transaction_key", "leg", "asset_id", "quantity").rows())


@settings(max_examples=100)
@given(
    ledger=whole_ledgers(), scope=st.sampled_from(SCOPES),
    policy=st.builds(LedgerPolicy, st.booleans(), st.booleans(), st.booleans(), st.booleans()),
)  # fmt: skip
def test_shortfalls_are_the_missing_lots_whatever_the_ledger_and_the_policy(
    ledger: pl.DataFrame, scope: Scope, policy: LedgerPolicy
) -> None:
    rules = InventoryRules(scope, policy)
    found = find_shortfalls(ledger, rules)
    assert sorted(found.select("transaction_key", "part", "asset_id", "missing").rows()) == missing_lots(ledger, rules)
    assert (found["taken"] - found["held"] - found["missing"] == 0).all()
    assert (found["missing"] > 0).all()


@settings(max_examples=40)
@given(ledger=whole_ledgers(), seed=st.integers(0, 99))
def test_the_order_of_imports_changes_nothing(ledger: pl.DataFrame, seed: int) -> None:
    """Keys are given out in the order of imports: only they differ."""
    names = ["transaction_id", "leg", "part", "asset_id", "held", "missing"]
    shuffled = ledger.sample(fraction=1, shuffle=True, seed=seed).with_columns(
        transaction_key=pl.int_range(1000, 1000 + pl.len(), dtype=pl.Int64)
    )
    first, second = (
        find_shortfalls(frame).join(frame, on="transaction_key", maintain_order="left").select(names).rows()
        for frame in (ledger, shuffled)
    )
    assert first == second


@pytest.mark.parametrize("scope", SCOPES)
def test_an_empty_ledger_lacks_nothing(scope: Scope) -> None:
    assert find_shortfalls(transactions(), InventoryRules(scope)).is_empty()


@settings(max_examples=60)
@given(
    ledger=whole_ledgers(), coin=COINS, quantity=st.integers(1, 9), hour=st.integers(0, 20),
    scope=st.sampled_from(SCOPES), shorts=st.booleans(),
)  # fmt: skip
def test_one_more_acquisition_makes_no_shortfall_larger(
    ledger: pl.DataFrame, coin: str, quantity: int, hour: int, scope: Scope, shorts: bool
) -> None:
    """So that a file may repair a part of what is missing, in whatever order files come."""
    rules = InventoryRules(scope, LedgerPolicy(shorts_allowed=shorts))
    at = (START + timedelta(hours=hour)).replace(tzinfo=None).isoformat()
    more = transactions(row(at, "reward", came=f"{quantity} {coin}", venue="x", transaction_id="more"))
    before, after = (
        {(key, part, asset): missing for key, part, asset, _, _, _, missing in find_shortfalls(frame, rules).rows()}
        for frame in (ledger, pl.concat([ledger, more.with_columns(transaction_key=pl.lit(99, pl.Int64))]))
    )
    assert all(missing <= before.get(key, 0) for key, missing in after.items())
