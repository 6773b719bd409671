{{ config(materialized='table') }}
with price_counts as (
    select
        date,
        count(*) as n,
        count(*) filter (where status in ('ok', 'manual')) as fresh,
        count(*) filter (where status = 'stale') as stale,
        count(*) filter (where status = 'disagreement') as disagreement,
        count(*) filter (where close_usd is null) as missing
    from {{ ref('prices_daily') }}
    group by date
),

portfolios as (
    select
        date,
        value_usd,
        stale_usd,
        missing_usd,
        unpriced_legs,
        portfolios_below_95 as below_95,
        investments
    from {{ ref('fct_day_sums') }}
    where portfolios > 0
),

purchases as (
    select invested_on, count(*) as n
    from {{ ref('dim_investments') }}
    group by invested_on
),

expected as (
    select
        portfolios.date,
        sum(purchases.n) as n,
        any_value(portfolios.investments) as found
    from portfolios
    inner join purchases on portfolios.date >= purchases.invested_on
    group by portfolios.date
),

newest as (
    select
        (select min(invested_on) from {{ ref('dim_investments') }}) as first_date,
        (select max(date) from {{ ref('days') }} where is_closed) as closed_date,
        (select max(date) from {{ ref('days') }} where is_final) as final_date,
        (select max(date) from {{ ref('days') }}) as valued_date,
        (select min(date) from {{ ref('days') }}) as first_valued_date
),

chains as (
    select
        date,
        count(*) as n,
        count(*) filter (where is_stale) as stale
    from {{ ref('chain_calendar') }}
    group by date
),

wallet_values as (
    select
        holdings.date,
        sum(holdings.gross_usd) as gross_usd,
        coalesce(sum(holdings.gross_usd) filter (where holdings.is_stale), 0) as stale_usd,
        count(distinct holdings.token_key) filter (where holdings.is_unpriced) as unpriced_tokens
    from {{ ref('days') }} as days
    inner join {{ ref('chain_values') }} as holdings on days.date = holdings.date
    where days.is_newest
    group by holdings.date
),

unreconciled as (
    select
        date,
        count(*) filter (where reason not in ('ok', 'stale', 'not_traceable')) as n,
        count(*) as compared
    from {{ ref('fct_balance_reconciliation') }}
    group by date
),

checks as (
    select distinct on (check_name, asset) check_name, asset, severity, passed, checked_at, details
    from {{ source('lake', 'check_results') }}
    order by check_name, asset, checked_at desc
),

metrics as (
    select
        date,
        'prices_fresh_share' as metric,
        fresh / n as value,
        case when fresh / n >= 0.95 then 'ok' else 'warn' end as status,
        'Share of the prices of the day that are ok or set by hand; warn below 0.95' as description
    from price_counts
    union all
    select
        date,
        'prices_stale_share',
        stale / n,
        case when stale / n <= 0.05 then 'ok' else 'warn' end,
        'Share of the prices carried over from an earlier day; warn above 0.05'
    from price_counts
    union all
    select
        date,
        'prices_disagreement_share',
        disagreement / n,
        case when disagreement = 0 then 'ok' else 'warn' end,
        'Share of the prices on which providers disagree; warn above 0'
    from price_counts
    union all
    select
        date,
        'prices_missing_share',
        missing / n,
        case when missing = 0 then 'ok' else 'warn' end,
        'Share of the known assets without a usable price; warn above 0'
    from price_counts
    union all
    select
        date,
        'value_coverage',
        (value_usd - stale_usd) / nullif(value_usd + missing_usd, 0),
        case
            when value_usd + missing_usd = 0 then 'unknown'
            when (value_usd - stale_usd) / (value_usd + missing_usd) >= 0.99 then 'ok'
            when (value_usd - stale_usd) / (value_usd + missing_usd) >= 0.95 then 'warn'
            else 'fail'
        end,
        'Share of all portfolios'' worth that rests on fresh prices; warn below 0.99, fail below 0.95'
    from portfolios
    union all
    select
        date,
        'users_below_95_coverage',
        below_95,
        case when below_95 = 0 then 'ok' else 'warn' end,
        'Users whose own coverage is below 0.95; warn above 0'
    from portfolios
    union all
    select
        date,
        'unpriced_legs',
        unpriced_legs,
        case when unpriced_legs = 0 then 'ok' else 'warn' end,
        'Coins of investments without a usable price: their investments show no result that day; warn above 0'
    from portfolios
    union all
    select
        date,
        'missing_investment_rows',
        n - found,
        case when n = found then 'ok' else 'fail' end,
        'Investments bought on or before the day that have no row on it; fail unless 0'
    from expected
    union all
    select
        date,
        'is_final',
        cast(is_final as int),
        case when is_final then 'ok' else 'provisional' end,
        '1 when no price of the day and no balance can change any more, else 0'
    from {{ ref('days') }}
    union all
    select
        closed_date,
        'latest_closed_day_age',
        valued_date - closed_date,
        case when closed_date is null then 'unknown' else 'ok' end,
        'The date is the newest closed day; the value is by how many days the newest valued day is ahead of it'
    from newest
    union all
    select
        valued_date,
        'non_final_days',
        (select count(*) from {{ ref('days') }} where not is_final),
        case when valued_date - coalesce(final_date, first_valued_date) <= 3 then 'ok' else 'warn' end,
        'Valued days that may still change; warn when the newest final day is more than 3 days back'
    from newest
    union all
    select
        valued_date,
        'missing_days',
        (valued_date - first_date + 1)
        - (select count(*) from portfolios where portfolios.date >= first_date),
        case
            when
                (valued_date - first_date + 1)
                = (select count(*) from portfolios where portfolios.date >= first_date)
                then 'ok'
            else 'fail'
        end,
        'Days since the first purchase that were never valued; fail unless 0'
    from newest
    where first_date is not null
    union all
    select
        date,
        'chains_stale_share',
        stale / n,
        case when stale = 0 then 'ok' else 'warn' end,
        'Share of the chains whose balances of the day are those of an earlier read; warn above 0'
    from chains
    union all
    select
        valued_date,
        'chains_never_read',
        (
            select count(distinct chain)
            from {{ ref('watched_chains') }}
            where removed_on is null and first_read_on is null
        ),
        case
            when exists (
                select 1 from {{ ref('watched_chains') }}
                where removed_on is null and first_read_on is null
            ) then 'warn'
            else 'ok'
        end,
        'Chains that wallets are watched on and that were never read; warn above 0'
    from newest
    where exists (select 1 from {{ ref('dim_wallets') }})
    union all
    select
        date,
        'stale_wallet_value_share',
        stale_usd / nullif(gross_usd, 0),
        case
            when gross_usd = 0 then 'unknown'
            when stale_usd / gross_usd <= 0.01 then 'ok'
            when stale_usd / gross_usd <= 0.05 then 'warn'
            else 'fail'
        end,
        'Share of the worth of all wallets (debts by their size) that rests on earlier balances; warn above 0.01, '
        || 'fail above 0.05'
    from wallet_values
    union all
    select
        date,
        'unpriced_wallet_tokens',
        unpriced_tokens,
        case when unpriced_tokens = 0 then 'ok' else 'warn' end,
        'Tokens in wallets that count and have no usable price; warn above 0'
    from wallet_values
    union all
    select
        valued_date,
        'quarantined_tokens',
        (select count(*) from {{ ref('dim_chain_tokens') }} where is_quarantined),
        'ok',
        'Tokens that count in no total because they look like spam'
    from newest
    where exists (select 1 from {{ ref('dim_chain_tokens') }})
    union all
    select
        date,
        'unreconciled_balances',
        n,
        case when n = 0 then 'ok' else 'warn' end,
        'Balances that do not follow from what moved, out of ' || compared || ' compared; warn above 0'
    from unreconciled
    union all
    select
        cast(checked_at as date),
        'check:' || asset || ':' || check_name,
        cast(passed as int),
        case when passed then 'ok' when severity = 'WARN' then 'warn' else 'fail' end,
        case
            when passed then 'Passed when it ran last, on this date'
            else
                'Failed'
                || case when severity = 'WARN' then ' as a warning' else '' end
                || ' when it ran last, on this date'
                || coalesce('; ' || replace(trim(details, '{}'), '"', ''), '')
        end
    from checks
)

select
    date,
    metric,
    cast(value as double) as value,
    status,
    description
from metrics
where date is not null
