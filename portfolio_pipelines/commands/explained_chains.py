"""What figures of wallets, positions and pools are made of. See `explained_rows`, of losses `explained_liquidity`."""

from typing import Final

from portfolio_pipelines.commands.explained_rows import NEWEST, Figure, Mart, total

PRICE: Final = """
    select 'close of ' || prices.asset_id || ', USD' as name, prices.close_usd as value, 'price' as kind
    from chosen
    inner join intermediate.days as days on days.is_newest
    inner join intermediate.chain_prices as prices
        on prices.asset_id = chosen.price_asset_id and prices.date = days.date
"""
DECIMALS: Final = """
    select 'decimals of the token' as name, tokens.decimals as value, 'decimals' as kind
    from chosen inner join intermediate.dim_chain_tokens as tokens on tokens.token_key = chosen.token_key
"""
WHOLE: Final = f"try_cast(raw as double) / pow(10, {total('decimals')})"

WALLETS: Final = Mart(
    {
        "balance": Figure("raw / 10^decimals", WHOLE, ("raw",), DECIMALS),
        "amount": Figure("raw / 10^decimals", WHOLE, ("raw",), DECIMALS),
        "price_usd": Figure("price of its asset on the newest valued day", total(), parts=PRICE),
        "value_usd": Figure("amount * price", f"amount * {total()}", ("amount",), PRICE),
    },
    ("address", "chain", "token_key"),
)

POSITIONS: Final = Mart(
    {
        "amount": Figure(
            "raw / 10^decimals; of NFTs their number",
            f"case when protocol = 'erc721' then try_cast(raw as double) else {WHOLE} end",
            ("raw",),
            DECIMALS,
        ),
        "price_usd": Figure("price of its asset on the newest valued day", total(), parts=PRICE),
        "value_usd": Figure(
            "amount * price, below 0 for a debt",
            f"case when role = 'debt' then -1 else 1 end * amount * {total()}",
            ("role", "amount"),
            PRICE,
        ),
    },
    ("address", "chain", "protocol", "position_id", "role", "token_key"),
)

RECONCILIATION: Final = Mart(
    {
        "difference": Figure(
            "observed - (opening + received - sent - gas)",
            "observed - (opening + received - sent - coalesce(gas, 0))",
            ("observed", "opening", "received", "sent", "gas"),
        )
    },
    ("address", "chain", "token_key"),
)

CURRENT_PRICES: Final = Mart(
    {
        "close_usd": Figure(
            "accepted close, else ratio * close of what it stands for",
            f"coalesce({total('close')}, {total('ratio')} * {total('below')})",
            parts="""
    select 'accepted close of the day, USD' as name, prices.close_usd as value, 'close' as kind
    from chosen inner join marts.prices_daily as prices using (asset_id, date)
    union all
    select 'units that one of it stands for', derived.ratio, 'ratio'
    from chosen inner join intermediate.derived_prices as derived using (asset_id, date)
    union all
    select 'price of ' || prices.asset_id || ', USD', prices.close_usd, 'below'
    from chosen inner join intermediate.derived_prices as derived using (asset_id, date)
    inner join intermediate.dim_chain_tokens as tokens on tokens.token_key = derived.underlying_token_key
    inner join intermediate.chain_prices as prices
        on prices.asset_id = tokens.price_asset_id and prices.date = chosen.date
""",
        )
    },
    ("asset_id",),
    is_personal=False,
)

POOL_PRICE: Final = """
    select 'close of its asset, USD' as name, prices.close_usd as value, 'price' as kind
    from chosen
    inner join intermediate.dim_chain_tokens as tokens on tokens.token_key = chosen.token_key
    inner join intermediate.chain_prices as prices
        on prices.asset_id = tokens.price_asset_id and prices.date = chosen.date
"""
POOL_COINS: Final = Mart(
    {
        "reserve": Figure(
            "reserve_raw / 10^decimals",
            f"try_cast(reserve_raw as double) / pow(10, {total('decimals')})",
            ("reserve_raw",),
            DECIMALS,
        ),
        "price_usd": Figure("close of its asset", total(), parts=POOL_PRICE),
        "reserve_usd": Figure("reserve * price_usd", "reserve * price_usd", ("reserve", "price_usd")),
    },
    ("chain", "pool", "position"),
    is_personal=False,
)

COINS: Final = """
    select coalesce(states.token, 'coin ' || states.position) as name, {value} as value, {kind} as kind
    from chosen
    inner join marts.pool_states_daily as states
        on states.date = chosen.date and states.chain = chosen.chain and states.pool = chosen.pool
"""
V3_PRICE: Final = """
    union all
    select 'square root of the price, times 2^96', try_cast(states.sqrt_price_x96 as double), 'root'
    from chosen
    inner join marts.pool_states_daily as states
        on states.date = chosen.date and states.chain = chosen.chain and states.pool = chosen.pool
        and states.position = 0 and states.sqrt_price_x96 is not null
    union all
    select 'decimals of coin ' || states.position, tokens.decimals, 'decimals' || states.position
    from chosen
    inner join marts.pool_states_daily as states
        on states.date = chosen.date and states.chain = chosen.chain and states.pool = chosen.pool
    inner join intermediate.dim_chain_tokens as tokens on tokens.token_key = states.token_key
"""
WEIGHTS: Final = " union all " + COINS.format(value="states.weight", kind="'weight' || states.position")
RESERVES: Final = COINS.format(value="states.reserve", kind="'coin' || states.position")
POOLS: Final = Mart(
    {
        "coins": Figure("number of its coins", total(), parts=COINS.format(value="1", kind="null")),
        "reserve0": Figure("units of the first coin", total("coin0"), parts=RESERVES),
        "reserve1": Figure("units of the second coin", total("coin1"), parts=RESERVES),
        "price": Figure(
            "reserve of coin 1 / reserve of coin 0, each divided by its weight where it has one; "
            "of Uniswap v3 (root / 2^96)^2 * 10^(decimals 0 - decimals 1)",
            f"case when protocol = 'uniswap_v3' then pow({total('root')} / pow(2, 96), 2) "
            f"* pow(10, {total('decimals0')} - {total('decimals1')}) "
            f"when protocol <> 'curve' and coins = 2 then {total('coin1')} / coalesce({total('weight1')}, 1) "
            f"/ nullif({total('coin0')} / coalesce({total('weight0')}, 1), 0) end",
            parts=RESERVES + V3_PRICE + WEIGHTS,
        ),
        "tvl_usd": Figure(
            "sum of reserve * price of its coins; unknown where one has no price",
            "case when (select count(*) = count(value) from parts) then (select sum(value) from parts) end",
            parts=COINS.format(value="states.reserve * states.price_usd", kind="null"),
        ),
    },
    ("chain", "pool"),
    is_personal=False,
)

COUNTED: Final = """
    select coalesce(losses.label, losses.position_id) as name, {value} as value, null as kind
    from chosen
    inner join marts.impermanent_loss as losses
        on losses.user_id = chosen.user_id and losses.date = chosen.date and losses.is_last_of_day
"""
LOSS_TOTALS: Final = Mart(
    {
        "positions": Figure("number of the positions", total(), parts=COUNTED.format(value="1")),
        "positions_without_usd": Figure(
            "number of those whose loss in dollars is unknown",
            total(),
            parts=COUNTED.format(value="case when losses.il_usd is null then 1 else 0 end"),
        ),
        "positions_out_of_range": Figure(
            "number of those that are out of their range",
            total(),
            parts=COUNTED.format(value="case when not losses.in_range then 1 else 0 end"),
        ),
    }
)

IN_POOLS: Final = """
    with found as (
        select distinct losses.position_id, losses.il_usd, losses.hodl_value_usd, losses.il_pct
        from chosen
        inner join intermediate.days as days on days.is_newest
        inner join marts.impermanent_loss as losses
            on losses.user_id = chosen.user_id and losses.chain = chosen.chain and losses.date = days.date
            and losses.is_last_of_day and losses.chain_position_id is not null
        inner join marts.defi_positions as held
            on held.user_id = losses.user_id and held.chain = losses.chain and held.protocol = losses.protocol
            and held.position_id = losses.chain_position_id and held.asset_id = chosen.asset_id
    )
    select 'loss of ' || position_id || ', USD' as name, il_usd as value, 'usd' as kind from found
    union all
    select 'worth of holding ' || position_id || ', USD', hodl_value_usd, 'held' from found
    union all
    select 'loss of ' || position_id || ', %', il_pct, 'percent' from found
"""
CURRENT_LOSS: Final = Mart(
    {
        "il_pct": Figure(
            "100 * sum of losses / sum of holding, over the positions the coin is in; the percentage of a single one",
            "case when (select count(*) = count(value) from parts where kind = 'usd') "
            f"then 100 * {total('usd')} / nullif({total('held')}, 0) "
            f"when (select count(*) from parts where kind = 'percent') = 1 then {total('percent')} end",
            parts=IN_POOLS,
        )
    },
    ("chain", "asset_id"),
    NEWEST,
)

CHAIN_MARTS: Final = {
    "wallet_balances": WALLETS,
    "defi_positions": POSITIONS,
    "balance_reconciliation": RECONCILIATION,
    "current_prices": CURRENT_PRICES,
    "pool_states_daily": POOL_COINS,
    "pool_states": POOLS,
    "impermanent_loss_totals": LOSS_TOTALS,
    "current_impermanent_loss": CURRENT_LOSS,
}
