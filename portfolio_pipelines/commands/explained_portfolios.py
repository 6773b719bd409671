"""What figures of investments, portfolios and holdings are made of. See `explained_rows`."""

from typing import Final

from portfolio_pipelines.commands.explained_rows import END_OF_DAY, Figure, Mart, total
from portfolio_pipelines.tables import INVESTMENT_LEGS

FRESH: Final = "('ok', 'manual')"
"""Statuses of prices that are of their day and undisputed."""
LEGS_OF_INVESTMENT: Final = """
    select lines.asset_id, sum(legs.quantity * lines.units) as quantity, sum(legs.amount_usd) as cost,
        any_value(prices.close_usd) as close_usd, any_value(prices.last_close_usd) as last_close_usd,
        any_value(prices.status) as status
    from chosen
    inner join $legs as legs on legs.user_id = chosen.user_id and legs.investment_id = chosen.investment_id
    inner join intermediate.dim_asset_lines as lines
        on legs.asset_id = lines.bought_asset_id and chosen.date >= lines.valid_from and chosen.date < lines.valid_until
    left join marts.prices_daily as prices on prices.asset_id = lines.asset_id and prices.date = chosen.date
    group by lines.asset_id
"""
LEGS_OF_PORTFOLIO: Final = """
    select held.asset_id, sum(held.quantity) as quantity, sum(held.cost_usd) as cost,
        any_value(prices.close_usd) as close_usd, any_value(prices.last_close_usd) as last_close_usd,
        any_value(prices.status) as status
    from chosen
    inner join intermediate.dim_users as users on users.user_id = chosen.user_id
    inner join intermediate.dim_holdings as held
        on held.user_key = users.user_key and chosen.date >= held.held_from and chosen.date < held.held_until
    left join marts.prices_daily as prices on prices.asset_id = held.asset_id and prices.date = chosen.date
    group by held.asset_id
"""
COVERED: Final = """
    select asset_id || ' at ' || status as name, quantity * close_usd as value,
        case when status in {fresh} then 'fresh' else 'carried or disputed' end as kind
    from ({legs}) where close_usd is not null
    union all
    select asset_id || ' without a price, at its last close or its cost', coalesce(quantity * last_close_usd, cost),
        'missing'
    from ({legs}) where close_usd is null
"""
COVERAGE: Final = f"coalesce({total('fresh')}, 0) / nullif({total()}, 0)"
COVERAGE_IN_WORDS: Final = (
    "worth on fresh prices / worth expected: everything, what has no price at its last close or its cost"
)
WORTH: Final = """
    select printf('%.8g %s at %.8g USD', quantity, asset_id, close_usd) as name, quantity * close_usd as value,
        null as kind
    from ({legs}) where close_usd is not null
"""
LEGS: Final = {"$legs": INVESTMENT_LEGS}
NULL_WITHOUT: Final = "; null when a coin has no usable price"
GAIN: Final = Figure(
    f"value_usd - invested_usd{NULL_WITHOUT}", "value_usd - invested_usd", ("value_usd", "invested_usd")
)
ROI: Final = Figure(
    f"(value_usd - invested_usd) / invested_usd{NULL_WITHOUT}",
    "(value_usd - invested_usd) / invested_usd",
    ("value_usd", "invested_usd"),
)

INVESTMENTS: Final = Mart(
    {
        "value_usd": Figure(
            "sum of quantity * close", total(), parts=WORTH.format(legs=LEGS_OF_INVESTMENT), tables=LEGS
        ),
        "pnl_usd": GAIN,
        "roi": ROI,
        "coverage": Figure(
            COVERAGE_IN_WORDS,
            COVERAGE,
            parts=COVERED.format(legs=LEGS_OF_INVESTMENT, fresh=FRESH),
            tables=LEGS,
        ),
        "invested_usd": Figure(
            "sum of what its coins cost",
            total(),
            parts="select asset_id as name, amount_usd as value, null as kind from $legs as legs "
            "inner join chosen using (user_id, investment_id)",
            tables=LEGS,
        ),
    },
    ("investment_id",),
)

OF_INVESTMENTS: Final = """
    select investments.investment_id as name, daily.invested_usd as value, null as kind
    from chosen
    inner join marts.investment_performance_daily as daily
        on daily.user_id = chosen.user_id and daily.date = chosen.date
    inner join intermediate.dim_investments as investments
        on investments.user_id = daily.user_id and investments.investment_id = daily.investment_id
"""
CHAIN: Final = """
    with days as (
        select daily.* from marts.portfolio_performance_daily as daily, chosen
        where daily.user_id = chosen.user_id and daily.date <= chosen.date
    ), known as (
        select max(days.date) as date from days, chosen where days.date < chosen.date and days.twr_index is not null
    )
    select 'index on ' || days.date as name, days.twr_index as value, 'index' as kind
    from days inner join known on days.date = known.date
    union all
    select 'worth on ' || days.date || ', USD', days.value_usd, 'before'
    from days inner join known on days.date = known.date
    union all
    select 'put in since, USD', sum(flow_in_usd), 'in' from days, known where days.date > known.date
    union all
    select 'taken out since, USD', sum(flow_out_usd), 'out' from days, known where days.date > known.date
"""
BRIDGED: Final = f"(value_usd + {total('out')}) / ({total('before')} + {total('in')})"

PORTFOLIOS: Final = Mart(
    {
        "invested_usd": Figure("sum over the investments", total(), parts=OF_INVESTMENTS),
        "roi": ROI,
        "flow_in_usd": Figure(
            "what was put into the investments that were bought on the day",
            f"coalesce({total()}, 0)",
            parts=OF_INVESTMENTS + " where investments.invested_on = chosen.date",
        ),
        "twr_index": Figure(
            "index of the last complete day * (value + taken out) / (value then + put in); 1 where a record begins",
            f"case when daily_return is null and twr_index = 1 then 1 "
            f"when {total('index')} is null then 1 + daily_return else {total('index')} * {BRIDGED} end",
            ("value_usd", "daily_return"),
            CHAIN,
        ),
        "coverage": Figure(COVERAGE_IN_WORDS, COVERAGE, parts=COVERED.format(legs=LEGS_OF_PORTFOLIO, fresh=FRESH)),
    }
)

SNAPSHOT_DAY: Final = "cast(chosen.snapshot_timestamp as date) - 1"
WALLETS_THEN: Final = """inner join intermediate.chain_portfolios as wallets
        on wallets.user_id = chosen.user_id and wallets.ends_at = chosen.snapshot_timestamp"""
OF_ALL: Final = f"""
    select 'investments on fresh prices, USD' as name, coalesce(daily.value_usd, 0) - daily.stale_usd as value,
        'fresh' as kind
    from chosen inner join intermediate.dim_users as users on users.user_id = chosen.user_id
    inner join intermediate.fct_portfolio_values as daily
        on daily.user_key = users.user_key and daily.date = {SNAPSHOT_DAY}
    union all
    select 'investments expected, USD', coalesce(daily.value_usd, 0) + daily.missing_usd, 'expected'
    from chosen inner join intermediate.dim_users as users on users.user_id = chosen.user_id
    inner join intermediate.fct_portfolio_values as daily
        on daily.user_key = users.user_key and daily.date = {SNAPSHOT_DAY}
    union all
    select 'wallets on fresh prices and balances, USD', wallets.fresh_usd, 'fresh'
    from chosen {WALLETS_THEN}
    union all
    select 'wallets expected, USD', wallets.gross_usd + wallets.missing_usd, 'expected'
    from chosen {WALLETS_THEN}
    union all
    select 'watched chains', nullif(wallets.chains_watched, 0), 'watched'
    from chosen {WALLETS_THEN}
    union all
    select 'watched chains that were ever read', wallets.chains_read, 'read'
    from chosen {WALLETS_THEN}
    union all
    select 'amounts in wallets that nobody can price', wallets.unpriced, 'unpriced'
    from chosen {WALLETS_THEN}
"""
CHANGE: Final = f"""
    select 'investments the day before, USD' as name, coalesce(before.value_usd, 0) as value, 'before' as kind
    from chosen left join marts.portfolio_performance_daily as before
        on before.user_id = chosen.user_id and before.date = {SNAPSHOT_DAY} - 1
    union all
    select 'return of the investments', coalesce(daily.daily_return, 0), 'return'
    from chosen left join marts.portfolio_performance_daily as daily
        on daily.user_id = chosen.user_id and daily.date = {SNAPSHOT_DAY}
    union all
    select 'what the wallets held the day before, at its prices, USD', wallets.before_usd, 'held'
    from chosen {WALLETS_THEN}
    union all
    select 'the same at the prices of the day, USD', wallets.before_now_usd, 'held now'
    from chosen {WALLETS_THEN}
"""

SNAPSHOTS: Final = Mart(
    {
        "total_value_usd": Figure(
            "sum of what the holdings in assets are worth",
            f"coalesce({total()}, 0)",
            parts="select printf('%s on %s', entry ->> 'token', entry ->> 'chain') as name, "
            "cast(entry ->> 'value_usd' as double) as value, null as kind "
            "from (select unnest(from_json(assets, '[\"json\"]')) as entry from chosen)",
        ),
        "change_24h_pct": Figure(
            "100 * (worth before * (1 + return) + what the wallets held, at the new prices) / worth before - 100",
            f"100 * (case when {total('held')} is null then {total('return')} else "
            f"({total('before')} * (1 + {total('return')}) + {total('held now')}) "
            f"/ nullif({total('before')} + {total('held')}, 0) - 1 end)",
            parts=CHANGE,
        ),
        "coverage": Figure(
            "worth on fresh prices and balances / worth expected * watched chains that were read / watched chains",
            f"case when {total('expected')} > 0 then {total('fresh')} / {total('expected')} "
            f"when {total('unpriced')} = 0 then 1.0 when {total('unpriced')} > 0 then 0.0 end "
            f"* coalesce({total('read')} / {total('watched')}, 1)",
            parts=OF_ALL,
        ),
    },
    day=f"snapshot_timestamp = {END_OF_DAY}",
)


def _earlier(column: str, days: int) -> Figure:
    """A column of the snapshot so many days before."""
    return Figure(
        f"{column} of portfolio_snapshots {f'{days} days before' if days else 'of the day'}",
        total(),
        parts=f"select 'snapshot of ' || (chosen.date - {days}) as name, cast(snapshots.{column} as double) as value, "
        "null as kind from chosen inner join marts.portfolio_snapshots as snapshots "
        f"on snapshots.user_id = chosen.user_id and snapshots.snapshot_timestamp = cast(chosen.date - {days - 1} "
        "as timestamp)",
    )


SPANS: Final = (1, 7, 30, 90, 365)
TOTALS: Final = Mart(
    {
        "value_usd": _earlier("total_value_usd", 0),
        "coverage": _earlier("coverage", 0),
        **{f"value_{days}d_usd": _earlier("total_value_usd", days) for days in SPANS},
        **{f"coverage_{days}d": _earlier("coverage", days) for days in SPANS},
    }
)

PORTFOLIO_MARTS: Final = {
    "investment_performance_daily": INVESTMENTS,
    "portfolio_performance_daily": PORTFOLIOS,
    "portfolio_snapshots": SNAPSHOTS,
    "portfolio_totals": TOTALS,
}
