"""What figures of lots and disposals are made of. See `explained_rows`; further ones are in `explained_ledgers`."""

from typing import Final

from portfolio_pipelines.commands.explained_ledgers import OPEN_LOTS
from portfolio_pipelines.commands.explained_rows import Figure, Mart, total

LEDGER: Final = ("scope", "method")
MOVED: Final = """
    select transactions.transaction_id || ' on ' || moved.date as name, cast(moved.{column} as double) as value,
        '{kind}' as kind
    from chosen
    inner join intermediate.dim_users as users on users.user_id = chosen.user_id
    inner join intermediate.fct_lot_{table} as moved
        on moved.user_key = users.user_key and moved.scope = chosen.scope and moved.method = chosen.method
        and moved.asset_id = chosen.asset_id and moved.venue is not distinct from chosen.venue
        and moved.acquired_at = chosen.acquired_at
    inner join intermediate.dim_transactions as opened on opened.transaction_key = moved.lot_transaction_key
    inner join intermediate.dim_transactions as transactions on transactions.transaction_key = moved.transaction_key
    where cast(md5(concat_ws(
        '|', 'lot', chosen.user_id, moved.scope, moved.method, moved.asset_id, coalesce(moved.venue, ''),
        opened.transaction_id, opened.leg, moved.lot_leg, moved.lot_part
    )) as uuid) = chosen.lot_id
"""


def _left(column: str, entered: str) -> Figure:
    return Figure(
        f"{entered} - what was used since", f"{entered} - coalesce({total()}, 0)", (entered,),
        MOVED.format(column=column, table="uses", kind="used"),
    )  # fmt: skip


def _entered(column: str) -> Figure:
    return Figure("sum of what entered the lot", total(), parts=MOVED.format(column=column, table="entries", kind="in"))


LOTS: Final = Mart(
    {
        "quantity": _entered("quantity"),
        "cost_usd": _entered("cost_usd"),
        "open_quantity": _left("quantity", "quantity"),
        "open_cost_usd": _left("cost_usd", "cost_usd"),
    },
    (*LEDGER, "asset_id", "venue", "opened_by", "lot_id"),
    "opened_on = $day",
)

DISPOSALS: Final = Mart(
    {
        "gain_usd": Figure("proceeds_usd - cost_usd", "proceeds_usd - cost_usd", ("proceeds_usd", "cost_usd")),
        "held_days": Figure(
            "days from acquisition to disposal",
            "cast(disposed_at as date) - cast(acquired_at as date)",
            ("acquired_at", "disposed_at"),
        ),
    },
    (*LEDGER, "asset_id", "venue", "transaction_id", "leg", "what", "acquired_at", "quantity"),
)

USES: Final = """
    select uses.transaction_id || ' of ' || cast(uses.acquired_at as date) as name, {value} as value, null as kind
    from chosen
    inner join marts.disposals as uses
        on uses.user_id = chosen.user_id and uses.scope = chosen.scope and uses.method = chosen.method
        and uses.asset_id = chosen.asset_id and uses.date = chosen.date
"""


def _sold(formula: str, value: str) -> Figure:
    return Figure(formula, total(), parts=USES.format(value=value))


PROCEEDS: Final = "coalesce(cast(uses.proceeds_usd as double), 0)"
REALISED: Final = Mart(
    {
        "quantity": _sold("sum over the disposals of the day", "cast(uses.quantity as double)"),
        "proceeds_usd": _sold("sum over the disposals; what nobody can price brought nothing", PROCEEDS),
        "cost_usd": _sold("sum of the basis of the disposals", "cast(uses.cost_usd as double)"),
        "realised_usd": _sold(
            "sum of proceeds - basis of the disposals", f"{PROCEEDS} - cast(uses.cost_usd as double)"
        ),
        "incomplete_uses": _sold(
            "number of disposals that rest on something unknown",
            "case when uses.incomplete_because is null then 0 else 1 end",
        ),
    },
    (*LEDGER, "asset_id"),
)

OPEN: Final = """
    select 'lot of ' || cast(lots.acquired_at as date) || ' by ' || lots.opened_by as name,
        cast(lots.{column} as double) as value, 'lot' as kind
    from chosen
    inner join marts.lots as lots
        on lots.user_id = chosen.user_id and lots.scope = chosen.scope and lots.method = chosen.method
        and lots.asset_id = chosen.asset_id and lots.opened_on <= chosen.as_of
    where lots.{column} <> 0
"""
CLOSE: Final = """
    select 'close of ' || prices.asset_id as name, prices.close_usd as value, 'close' as kind
    from chosen
    left join intermediate.dim_asset_lines as lines
        on lines.bought_asset_id = chosen.asset_id
        and chosen.as_of >= lines.valid_from and chosen.as_of < lines.valid_until
    inner join marts.prices_daily as prices
        on prices.asset_id = coalesce(lines.asset_id, chosen.asset_id) and prices.date = chosen.as_of
    union all
    select 'units of it for one', coalesce(lines.units, 1), 'units'
    from chosen
    left join intermediate.dim_asset_lines as lines
        on lines.bought_asset_id = chosen.asset_id
        and chosen.as_of >= lines.valid_from and chosen.as_of < lines.valid_until
"""
UNREALISED: Final = Mart(
    {
        "quantity": Figure("sum of what is left of the lots", total(), parts=OPEN.format(column="open_quantity")),
        "cost_usd": Figure("sum of the basis that is left", total(), parts=OPEN.format(column="open_cost_usd")),
        "unit_cost_usd": Figure(
            "cost_usd / quantity", "cast(cost_usd as double) / cast(quantity as double)", ("cost_usd", "quantity")
        ),
        "close_usd": Figure("close * units", f"{total('close')} * {total('units')}", parts=CLOSE),
        "value_usd": Figure("quantity * close_usd", "cast(quantity as double) * close_usd", ("quantity", "close_usd")),
        "unrealised_usd": Figure(
            "quantity * close_usd - cost_usd",
            "cast(quantity as double) * close_usd - cast(cost_usd as double)",
            ("quantity", "close_usd", "cost_usd"),
        ),
    },
    (*LEDGER, "asset_id"),
    "as_of = $day",
)


def _of_transactions(column: str) -> Figure:
    return Figure(
        "sum over the transactions up to the day",
        f"coalesce({total()}, 0)",
        parts="select transactions.transaction_id || ' on ' || figures.date as name, "
        f"cast(figures.{column} as double) as value, null as kind from chosen "
        "inner join intermediate.dim_users as users on users.user_id = chosen.user_id "
        "inner join intermediate.fct_transaction_values as figures "
        "on figures.user_key = users.user_key and figures.date <= chosen.date "
        "inner join intermediate.dim_transactions as transactions "
        f"on transactions.transaction_key = figures.transaction_key where figures.{column} <> 0",
    )


def _of_uses(formula: str, value: str, where: str) -> Figure:
    return Figure(
        formula,
        f"coalesce({total()}, 0)",
        parts="select transactions.transaction_id || ' on ' || uses.date as name, "
        f"{value} as value, null as kind from chosen "
        "inner join intermediate.dim_users as users on users.user_id = chosen.user_id "
        "inner join intermediate.fct_lot_uses as uses on uses.user_key = users.user_key "
        "and uses.scope = chosen.scope and uses.method = chosen.method and uses.date <= chosen.date "
        "inner join intermediate.dim_transactions as transactions "
        f"on transactions.transaction_key = uses.transaction_key where {where}",
    )


def _unpriced(formula: str, value: str) -> Figure:
    lots = OPEN_LOTS
    for name in ("user", "scope", "method", "day"):
        column = {"user": "user_id", "day": "date"}.get(name, name)
        lots = lots.replace(f"${name}", f"(select {column} from chosen)")
    return Figure(
        formula,
        f"coalesce({total()}, 0)",
        parts=f"select asset_id || ' without a close' as name, {value} as value, null as kind from ({lots}) "
        "where close_usd is null",
    )


PROFIT_AND_LOSS: Final = Mart(
    {
        "paid_in_usd": _of_transactions("paid_in_usd"),
        "paid_out_usd": _of_transactions("paid_out_usd"),
        "left_usd": _of_uses(
            "sum of the basis of what went to an unknown place", "cast(uses.cost_usd as double)", "uses.kind = 3"
        ),
        "incomplete_uses": _of_uses(
            "number of disposals up to the day that rest on something missing, unpriced or of unknown source",
            "1",
            "uses.kind in (0, 1) and uses.flags & 7 <> 0",
        ),
        "unpriced_cost_usd": _unpriced("sum of the basis of what is open and has no close", "cost_usd"),
        "unpriced_assets": _unpriced("number of open assets without a close", "1"),
    },
    LEDGER,
)

BOOK_MARTS: Final = {
    "lots": LOTS,
    "disposals": DISPOSALS,
    "realised_pnl": REALISED,
    "unrealised_pnl": UNREALISED,
    "profit_and_loss": PROFIT_AND_LOSS,
}
