"""What figures of holdings, and of a portfolio cut by chain, asset and category, are made of. See `explained_rows`."""

from typing import Final

from portfolio_pipelines.commands.explained_portfolios import FRESH
from portfolio_pipelines.commands.explained_rows import END_OF_DAY, NEWEST, Figure, Mart, total

OF_HOLDING: Final = """
    select 'units' as name, holdings.quantity as value, 'units' as kind
    from chosen inner join marts.portfolio_holdings as holdings on holdings.id = chosen.id
    union all
    select 'cost, USD', holdings.cost_usd, 'cost'
    from chosen inner join marts.portfolio_holdings as holdings on holdings.id = chosen.id
    union all
    select 'close of ' || prices.asset_id || ', USD', prices.close_usd, 'price'
    from chosen inner join marts.current_prices as prices on prices.asset_id = chosen.price_asset_id
"""
ASSETS: Final = Mart(
    {
        "balance": Figure("units of portfolio_holdings", total("units"), parts=OF_HOLDING),
        "entry_price_usd": Figure("cost / units", f"{total('cost')} / {total('units')}", parts=OF_HOLDING),
        "current_price_usd": Figure("price of current_prices", total("price"), parts=OF_HOLDING),
        "value_usd": Figure("units * price", f"{total('units')} * {total('price')}", parts=OF_HOLDING),
        "pnl_usd": Figure(
            "units * price - cost", f"{total('units')} * {total('price')} - {total('cost')}", parts=OF_HOLDING
        ),
        "il_pct": Figure(
            "loss of current_impermanent_loss for liquidity",
            total(),
            parts="select 'loss of the coin in pools, %' as name, losses.il_pct as value, null as kind from chosen "
            "inner join marts.current_impermanent_loss as losses on chosen.asset_type = 'lp_position' "
            "and losses.user_id = chosen.user_id and losses.chain = chosen.chain "
            "and losses.asset_id = chosen.asset_id",
        ),
    },
    ("origin", "asset_type", "chain", "asset_id"),
    NEWEST,
)

BOUGHT: Final = """
    select 'bought on ' || held.invested_on as name, held.{column} as value, null as kind
    from chosen
    inner join intermediate.dim_users as users on users.user_id = chosen.user_id and chosen.origin = 'investment'
    inner join intermediate.dim_holdings as held on held.user_key = users.user_key and held.asset_id = chosen.asset_id
    inner join intermediate.days as days
        on days.is_newest and days.date >= held.held_from and days.date < held.held_until
"""
HOLDINGS: Final = Mart(
    {
        "quantity": Figure(
            "sum of what was bought, or of what the wallets hold, debts taken off",
            total(),
            parts=BOUGHT.format(column="quantity")
            + """
    union all
    select concat_ws(' ', held.source, held.position_id, held.role), held.amount, null
    from chosen
    inner join intermediate.chain_holdings as held
        on chosen.origin = 'wallet' and held.user_id = chosen.user_id and held.chain = chosen.chain
        and held.asset_id = chosen.asset_id and held.asset_type = chosen.asset_type
    inner join intermediate.days as days on days.is_newest and days.date = held.date
""",
        ),
        "cost_usd": Figure("sum of what was paid", total(), parts=BOUGHT.format(column="cost_usd")),
    },
    ("origin", "asset_type", "chain", "asset_id"),
    NEWEST,
)

IN_A_CUT: Final = f"""
    with held as (
        select coalesce(chains.chain, holdings.chain) as chain,
            coalesce(tokens.price_asset_id, holdings.asset_id) as asset, 'investment' as category,
            holdings.asset_id as name, holdings.quantity as amount, holdings.cost_usd,
            prices.close_usd, prices.last_close_usd,
            prices.status in {FRESH} as is_fresh
        from chosen
        inner join intermediate.dim_users as users on users.user_id = chosen.user_id
        inner join intermediate.dim_holdings as holdings
            on holdings.user_key = users.user_key and cast(chosen.as_of as date) - 1 >= holdings.held_from
            and cast(chosen.as_of as date) - 1 < holdings.held_until
        left join marts.prices_daily as prices
            on prices.asset_id = holdings.asset_id and prices.date = cast(chosen.as_of as date) - 1
        left join intermediate.dim_chains as chains on holdings.chain = 'eip155:' || chains.chain_id
        left join intermediate.dim_chain_tokens as tokens
            on holdings.chain <> 'market' and tokens.asset_id = holdings.asset_id
        union all by name
        select held.chain, coalesce(held.price_asset_id, held.asset_id) as asset, held.category,
            held.asset_id as name, held.amount, held.close_usd, held.gross_usd, held.fresh_usd, held.missing_usd,
            held.is_unpriced
        from chosen
        inner join intermediate.chain_values as held
            on held.user_id = chosen.user_id and held.date = cast(chosen.as_of as date) - 1
    ), cut as (
        select name, amount * close_usd as value, coalesce(gross_usd, abs(amount * close_usd), 0) as gross,
            coalesce(fresh_usd, case when is_fresh then amount * close_usd end, 0) as fresh,
            coalesce(missing_usd, case when close_usd is null then coalesce(amount * last_close_usd, cost_usd) end, 0)
                as missing,
            coalesce(is_unpriced, close_usd is null) as is_unpriced
        from held inner join chosen
            on chosen.key = case chosen.dimension when 'chain' then held.chain when 'asset' then held.asset
                else held.category end
    )
"""
BREAKDOWN: Final = Mart(
    {
        "value_usd": Figure(
            "sum of amount * price over what belongs to it, debts taken off",
            total(),
            parts=IN_A_CUT + "select name, value, null as kind from cut where value is not null",
        ),
        "share": Figure(
            "value_usd / sum of its dimension",
            f"value_usd / {total()}",
            ("value_usd",),
            "select cut.label as name, cut.value_usd as value, null as kind from chosen "
            "inner join marts.portfolio_breakdown as cut "
            "on cut.user_id = chosen.user_id and cut.dimension = chosen.dimension",
        ),
        "coverage": Figure(
            "worth on fresh prices and balances / worth expected; 0 of a chain that was never read",
            f"case when {total('expected')} > 0 then {total('fresh')} / {total('expected')} "
            f"when {total('known')} > 0 and {total('unpriced')} = 0 then 1.0 else 0.0 end",
            parts=IN_A_CUT
            + "select 'worth on fresh prices and balances, USD' as name, sum(fresh) as value, 'fresh' as kind from cut "
            "union all select 'worth expected, USD', sum(gross + missing), 'expected' from cut "
            "union all select 'amounts', count(*), 'known' from cut "
            "union all select 'amounts without a price', count(*) filter (where is_unpriced), 'unpriced' from cut",
        ),
    },
    ("dimension", "key"),
    f"as_of = {END_OF_DAY}",
)

HOLDING_MARTS: Final = {
    "portfolio_assets": ASSETS,
    "portfolio_holdings": HOLDINGS,
    "portfolio_breakdown": BREAKDOWN,
}
