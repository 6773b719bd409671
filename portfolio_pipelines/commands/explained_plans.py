"""What figures of allocations, plans, correlations and benchmarks are made of. See `explained_rows`."""

from typing import Final

from portfolio_pipelines.commands.explained_rows import Figure, Mart, total
from portfolio_pipelines.tables import ASSETS

HELD: Final = """
    select concat_ws(' ', held.token, held.asset_type, 'on', held.chain) as name, {value} as value, null as kind
    from chosen
    inner join marts.portfolio_assets as held
        on held.user_id = chosen.user_id and held.price_asset_id = chosen.asset_id
"""
DRIFT: Final = Mart(
    {
        "value_usd": Figure(
            "sum of what the holdings of the asset are worth; unknown where one has no price",
            f"case when (select count(*) = count(value) from parts) then coalesce({total()}, 0) end",
            parts=HELD.format(value="cast(held.value_usd as double)"),
        ),
        "sellable_usd": Figure(
            "sum of what plain tokens of the asset are worth",
            f"coalesce({total()}, 0)",
            parts=HELD.format(value="cast(held.value_usd as double)")
            + " where held.asset_type = 'token' and held.value_usd > 0",
        ),
        "total_usd": Figure(
            "sum of value_usd over the assets of the strategy",
            "case when (select count(*) = count(value) from parts) then (select sum(value) from parts) end",
            parts="select one.token as name, one.value_usd as value, null as kind from chosen "
            "inner join marts.allocation_drift as one on one.strategy_key = chosen.strategy_key",
        ),
        "weight": Figure("value_usd / total_usd", "value_usd / total_usd", ("value_usd", "total_usd")),
        "drift": Figure(
            "value_usd / total_usd - target", "value_usd / total_usd - target", ("value_usd", "total_usd", "target")
        ),
        "drift_usd": Figure(
            "value_usd - target * total_usd", "value_usd - target * total_usd", ("value_usd", "target", "total_usd")
        ),
        "price_usd": Figure(
            "close of the day",
            total(),
            parts="select 'close of ' || prices.asset_id || ', USD' as name, prices.close_usd as value, null as kind "
            "from chosen inner join marts.prices_daily as prices using (asset_id, date)",
        ),
    },
    ("strategy", "asset_id"),
)

STEPS: Final = """
    select 'step ' || steps.step || ', ' || {label} as name, {value} as value, '{kind}' as kind
    from chosen inner join marts.rebalancing_plan as steps on steps.plan_id = chosen.plan_id
"""
PRICE: Final = """
    select 'close of ' || prices.asset_id || ', USD' as name, prices.close_usd as value, null as kind
    from chosen
    inner join marts.prices_daily as prices on prices.asset_id = chosen.{asset} and prices.date = chosen.as_of
"""
SLIPPAGE: Final = (
    "0.0005 * abs({usd}) + 0.001 * greatest(abs({usd}) - 10000, 0) + 0.0035 * greatest(abs({usd}) - 100000, 0)"
)
"""USD that a leg is expected to lose: 0.05 % up to 10,000 USD, 0.15 % up to 100,000 and 0.5 % beyond."""
LEG: Final = """
    select 'all that the plan trades of ' || chosen.{asset} || ', USD' as name, sum(steps.{amount}) as value,
        '{kind}' as kind
    from chosen inner join marts.rebalancing_plan as steps
        on steps.plan_id = chosen.plan_id and steps.{asset} = chosen.{asset}
    group by chosen.{asset}
"""
LEGS: Final = (
    LEG.format(asset="asset", amount="amount_usd", kind="sold")
    + " union all "
    + LEG.format(asset="into_asset", amount="into_amount_usd", kind="bought")
)

DISTANCES: Final = """
    select 'distance of ' || one.token || ' before, USD' as name,
        abs(one.value_usd - one.target * chosen.portfolio_usd) as value, 'before' as kind
    from chosen inner join marts.allocation_drift as one
        on one.user_id = chosen.user_id and one.strategy = chosen.strategy and one.date = chosen.as_of
        and one.version = chosen.version
    union all
    select 'distance of ' || one.token || ' after, USD',
        abs(
            one.value_usd - coalesce((
                select sum(steps.amount_usd) from marts.rebalancing_plan as steps, chosen as plan
                where steps.plan_id = plan.plan_id and steps.action = 'swap' and steps.asset = one.asset_id
            ), 0) + coalesce((
                select sum(coalesce(steps.into_amount_usd, steps.amount_usd))
                from marts.rebalancing_plan as steps, chosen as plan
                where steps.plan_id = plan.plan_id and coalesce(steps.into_asset, steps.asset) = one.asset_id
            ), 0) - one.target * chosen.portfolio_usd
        ),
        'after'
    from chosen inner join marts.allocation_drift as one
        on one.user_id = chosen.user_id and one.strategy = chosen.strategy and one.date = chosen.as_of
        and one.version = chosen.version
"""
COVERED: Final = """
    select one.token as name, one.value_usd as value, null as kind
    from chosen inner join marts.allocation_drift as one
        on one.user_id = chosen.user_id and one.strategy = chosen.strategy and one.date = chosen.as_of
        and one.version = chosen.version
"""
WITH_NEW_MONEY: Final = """exists (
    select 1 from marts.rebalancing_plan as steps, chosen as plan
    where steps.plan_id = plan.plan_id and steps.action = 'buy'
)"""
"""New money is no part of what is held: how much there was is not served, so such a total cannot be told again."""

PLANS: Final = Mart(
    {
        "portfolio_usd": Figure(
            "sum of value_usd over the assets of the strategy, on the day the plan was made for, and new money",
            f"case when not {WITH_NEW_MONEY} then {total()} end",
            parts=COVERED,
        ),
        "benefit_usd": Figure(
            "half of: sum of |value - target * portfolio_usd| before - the same after the plan",
            f"case when step > 0 then ({total('before')} - {total('after')}) / 2 end",
            ("portfolio_usd",),
            DISTANCES,
        ),
        "amount_tokens": Figure(
            "amount_usd / close of the day", f"amount_usd / {total()}", ("amount_usd",), PRICE.format(asset="asset")
        ),
        "into_amount_tokens": Figure(
            "into_amount_usd / close of the day",
            f"into_amount_usd / {total()}",
            ("into_amount_usd",),
            PRICE.format(asset="into_asset"),
        ),
        "slippage_usd": Figure(
            "share of the step in what its two legs lose: 0.05 % up to 10,000 USD, 0.15 % up to 100,000, 0.5 % beyond",
            f"({SLIPPAGE.format(usd=total('sold'))}) * amount_usd / {total('sold')} "
            f"+ coalesce(({SLIPPAGE.format(usd=total('bought'))}) * into_amount_usd / {total('bought')}, 0)",
            ("amount_usd", "into_amount_usd"),
            LEGS,
        ),
        "cost_usd": Figure(
            "sum of gas_usd + slippage_usd of all steps",
            f"case when step > 0 then coalesce({total()}, 0) end",
            parts=STEPS.format(label="'gas, USD'", value="steps.gas_usd", kind="gas")
            + " union all "
            + STEPS.format(label="'slippage, USD'", value="steps.slippage_usd", kind="slippage"),
        ),
    },
    ("strategy", "plan_id", "step"),
    "as_of = $day",
)

PAIRS: Final = """
    with closes as (
        select prices.date, prices.asset_id, prices.close_usd
        from chosen inner join marts.prices_daily as prices
            on prices.asset_id in (chosen.asset_a, chosen.asset_b) and prices.date <= chosen.as_of
            and prices.date >= chosen.as_of - chosen.window_days
            and prices.status in ('ok', 'manual', 'disagreement') and prices.close_usd > 0
    ), weekdays as (
        select assets.asset_id from $assets as assets, chosen
        where assets.calendar = 'weekdays' and assets.asset_id in (chosen.asset_a, chosen.asset_b)
    ), days as (
        select cast(unnest(generate_series(as_of - window_days, as_of, interval 1 day)) as date) as date from chosen
    ), grid as (
        select date from days
        where not exists (select 1 from weekdays)
            or date in (select closes.date from closes inner join weekdays using (asset_id))
    ), moves as (
        select a.close_usd / lag(a.close_usd) over (order by grid.date) - 1 as a,
            b.close_usd / lag(b.close_usd) over (order by grid.date) - 1 as b
        from grid cross join chosen
        left join closes as a on a.date = grid.date and a.asset_id = chosen.asset_a
        left join closes as b on b.date = grid.date and b.asset_id = chosen.asset_b
    ), pairs as (
        select * from moves where a is not null and b is not null
    )
    select 'pairs of returns' as name, count(*) as value, 'n' as kind from pairs
    union all select 'covariance', covar_samp(a, b), 'ab' from pairs
    union all select 'variance of the first', var_samp(a), 'a' from pairs
    union all select 'variance of the other', var_samp(b), 'b' from pairs
"""
CORRELATION: Final = f"{total('ab')} / sqrt({total('a')} * {total('b')})"
WIDTH: Final = f"1.959963984540054 / sqrt({total('n')} - 3)"
"""Half of Fisher's interval; the number is the 97.5 % quantile of the normal distribution."""


def _of_pairs(formula: str, again: str) -> Figure:
    return Figure(formula, again, parts=PAIRS, tables={"$assets": ASSETS})


CORRELATIONS: Final = Mart(
    {
        "correlation": _of_pairs("covariance / sqrt(variance * variance)", CORRELATION),
        "lower_95": _of_pairs(
            "tanh(atanh(correlation) - 1.96 / sqrt(pairs - 3))", f"tanh(atanh({CORRELATION}) - {WIDTH})"
        ),
        "upper_95": _of_pairs(
            "tanh(atanh(correlation) + 1.96 / sqrt(pairs - 3))", f"tanh(atanh({CORRELATION}) + {WIDTH})"
        ),
        "n_obs": _of_pairs("number of pairs of returns", total("n")),
    },
    ("window_days", "asset_a", "asset_b"),
    "as_of = $day",
    is_personal=False,
)

BENCHMARK_RETURNS: Final = Mart(
    {
        "daily_return": Figure(
            "close_usd / close of the trading day before - 1",
            f"close_usd / {total()} - 1",
            ("close_usd",),
            "select 'close on ' || before.date || ', USD' as name, before.close_usd as value, null as kind from chosen "
            "inner join marts.benchmarks_daily as before on before.benchmark = chosen.benchmark "
            "and before.date = chosen.since",
        )
    },
    ("benchmark",),
    is_personal=False,
)

PLAN_MARTS: Final = {
    "allocation_drift": DRIFT,
    "rebalancing_plan": PLANS,
    "asset_correlations": CORRELATIONS,
    "benchmark_returns_daily": BENCHMARK_RETURNS,
}
