"""What a figure of profit and loss was computed from: disposals, open lots, income. See `explained_metrics`."""

from typing import TYPE_CHECKING, Final

from portfolio_pipelines.commands.explained_metrics import MOST_LISTED, Explanation, Question, Value

if TYPE_CHECKING:
    import duckdb

MART: Final = "profit_and_loss"
OF_LEDGERS: Final = (
    "realised_usd", "unrealised_usd", "income_usd", "expense_usd", "cost_usd", "profit_and_loss.value_usd",
    "profit_and_loss.pnl_usd",
)  # fmt: skip
"""The figures of profit_and_loss; those whose name another mart has, too, with the mart before it."""
OPEN_LOTS: Final = """
    with changes as (
        select user_key, scope, method, asset_id, date, quantity, cost_usd from intermediate.fct_lot_entries
        union all
        select user_key, scope, method, asset_id, date, -quantity, -cost_usd from intermediate.fct_lot_uses
    ), held as (
        select asset_id, cast(sum(quantity) as double) as quantity, cast(sum(cost_usd) as double) as cost_usd
        from changes join intermediate.dim_users as users using (user_key)
        where users.user_id = $user and scope = $scope and method = $method and date <= $day
        group by asset_id
        having sum(quantity) <> 0 or sum(cost_usd) <> 0
    )
    select held.asset_id, held.quantity, held.cost_usd, prices.close_usd * coalesce(lines.units, 1) as close_usd
    from held
    left join intermediate.dim_asset_lines as lines
        on lines.bought_asset_id = held.asset_id and $day >= lines.valid_from and $day < lines.valid_until
    left join marts.prices_daily as prices
        on prices.asset_id = coalesce(lines.asset_id, held.asset_id) and prices.date = $day
    order by held.asset_id
"""
USED: Final = """
    select disposed_at, asset_id, cast(quantity as double), coalesce(cast(proceeds_usd as double), 0),
           cast(cost_usd as double), transaction_id, acquired_at
    from marts.disposals
    where user_id = $user and scope = $scope and method = $method and date <= $day
    order by disposed_at, transaction_id, leg, acquired_at
"""


def explain_ledger(marts: "duckdb.DuckDBPyConnection", question: Question) -> Explanation:
    """Work a figure of profit_and_loss out from the disposals, the open lots and the transactions up to the day."""
    metric = question.metric.removeprefix(f"{MART}.")
    if metric == "realised_usd":
        return _realised(marts, question)
    if metric in {"income_usd", "expense_usd"}:
        return _of_transactions(marts, question, metric)
    lots = _open(marts, question)
    if metric == "cost_usd":
        inputs: list[tuple[str, Value]] = [
            (f"basis of {quantity:,.8g} {name}", cost) for name, quantity, cost, _ in lots
        ]
        return Explanation("sum of the basis of open lots", inputs, sum(cost for _, _, cost, _ in lots))
    priced = [(name, quantity, cost, close) for name, quantity, cost, close in lots if close is not None]
    unpriced: list[tuple[str, Value]] = [
        (f"{quantity:,.8g} {name} without a close: in no sum, at cost", cost)
        for name, quantity, cost, close in lots
        if close is None
    ]
    if metric == "value_usd":
        worth: list[tuple[str, Value]] = [(f"{q:,.8g} {name} at {p:,.8g} USD", q * p) for name, q, _, p in priced]
        return Explanation(
            "sum of quantity * close of open lots", worth + unpriced, sum(q * p for _, q, _, p in priced)
        )
    gains: list[tuple[str, Value]] = [
        (f"{q:,.8g} {name} at {p:,.8g} USD, basis {cost:,.8g} USD", q * p - cost) for name, q, cost, p in priced
    ]
    unrealised = sum(q * p - cost for _, q, cost, p in priced)
    if metric == "unrealised_usd":
        return Explanation("sum of quantity * close - basis of open lots", gains + unpriced, unrealised)
    parts = {
        "realised": _realised(marts, question).recomputed,
        "income": _of_transactions(marts, question, "income_usd").recomputed,
        "expense": _of_transactions(marts, question, "expense_usd").recomputed,
        "unrealised": unrealised,
    }
    numbers = {name: float(value) for name, value in parts.items() if isinstance(value, int | float)}
    total = numbers["realised"] + numbers["income"] - numbers["expense"] + numbers["unrealised"]
    listed: list[tuple[str, Value]] = [(f"{name}, USD", value) for name, value in numbers.items()]
    return Explanation("realised + income - expense + unrealised", listed, total)


def _values(question: Question) -> dict[str, object]:
    return {"user": question.user, "scope": question.scope, "method": question.method, "day": question.day}


def _open(marts: "duckdb.DuckDBPyConnection", question: Question) -> list[tuple[str, float, float, float | None]]:
    """Asset, units, basis and close of what is open at the close of the day."""
    return marts.execute(OPEN_LOTS, _values(question)).fetchall()


def _realised(marts: "duckdb.DuckDBPyConnection", question: Question) -> Explanation:
    uses = marts.execute(USED, _values(question)).fetchall()
    inputs: list[tuple[str, Value]] = [
        (
            f"{at:%Y-%m-%d} {transaction}: {quantity:,.8g} {asset} of {acquired:%Y-%m-%d} for {proceeds:,.8g} USD, "
            f"basis {cost:,.8g} USD",
            proceeds - cost,
        )
        for at, asset, quantity, proceeds, cost, transaction, acquired in uses[-MOST_LISTED:]
    ]
    if len(uses) > MOST_LISTED:
        before = uses[:-MOST_LISTED]
        inputs.insert(0, (f"{len(before)} uses of lots before", sum(row[3] - row[4] for row in before)))
    formula = "sum of proceeds - basis of every lot that was used; what nobody can price brought nothing"
    return Explanation(formula, inputs, sum(row[3] - row[4] for row in uses))


def _of_transactions(marts: "duckdb.DuckDBPyConnection", question: Question, column: str) -> Explanation:
    rows = marts.execute(
        f"select date, transaction_id, type, cast({column} as double) from marts.ledger_transactions "  # noqa: S608 ours
        f"where user_id = $user and date <= $day and {column} is not null and {column} <> 0 order by 1, 2",
        {"user": question.user, "day": question.day},
    ).fetchall()
    inputs: list[tuple[str, Value]] = [
        (f"{day} {transaction} ({kind})", amount) for day, transaction, kind, amount in rows[-MOST_LISTED:]
    ]
    if len(rows) > MOST_LISTED:
        inputs.insert(0, (f"{len(rows) - MOST_LISTED} before", sum(row[3] for row in rows[:-MOST_LISTED])))
    return Explanation("sum of the transactions up to the day", inputs, sum(row[3] for row in rows))
