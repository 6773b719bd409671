-- One row per valued day: one on which investments were valued, or that has prices while some chain has been read by
-- then. A day counts as closed when a price of it, or of a later day, became known after its end: that is read from the
-- data, so that a rebuild gives the same answer tomorrow.
with invested as (
    select date, is_final
    from {{ ref('fct_day_sums') }}
    where portfolios > 0
),

known as (
    select
        date,
        max(known_at) as known_at,
        -- What nobody was asked for and nobody ever quoted keeps no day open.
        bool_and(
            is_final or (n_quotes = 0 and last_close_usd is null and reason = 'nobody quoted this day')
        ) as is_final,
        coalesce(max(known_at) >= date + interval 1 day, false) as known_after_end
    from {{ ref('prices_daily') }}
    group by date
),

-- A chain that is not read any more changes no day, so only enabled ones are waited for.
chains as (
    select
        states.chain,
        coalesce(any_value(chains.is_enabled), false) as is_enabled,
        min(states.date) as first_read_on,
        max(states.date) as last_read_on
    from {{ ref('fct_chain_days') }} as states
    left join {{ ref('dim_chains') }} as chains on states.chain = chains.chain
    where states.was_read
    group by states.chain
),

-- A chain that does not tell its past is never read at a close: the last read of a day stands for it from the next day
-- on.
settled as (
    select states.date, count(*) as n
    from {{ ref('fct_chain_days') }} as states
    inner join chains on states.chain = chains.chain and chains.is_enabled
    where states.was_read and (states.is_close or (states.status = 'ok' and states.date < chains.last_read_on))
    group by states.date
),

valued as (
    select
        coalesce(invested.date, known.date) as date,
        coalesce(invested.is_final, known.is_final) as is_final,
        known.is_final as prices_are_final,
        count(chains.chain) as chains_read,
        count(chains.chain) filter (where chains.is_enabled) as chains_expected
    from invested
    full join known on invested.date = known.date
    left join chains on chains.first_read_on <= coalesce(invested.date, known.date)
    group by all
    having any_value(invested.date) is not null or count(chains.chain) > 0
),

newest as (
    select
        (select max(date) from valued) as valued_date,
        (select max(date) from known where known_after_end) as closed_date
),

judged as (
    select
        valued.date,
        valued.is_final
        and (
            valued.chains_read = 0
            or (coalesce(valued.prices_are_final, false) and coalesce(settled.n, 0) >= valued.chains_expected)
        ) as is_final
    from valued
    left join settled on valued.date = settled.date
)

select
    judged.date,
    cast(judged.date + 1 as timestamp) as ends_at,
    judged.is_final,
    known.known_at,
    judged.is_final or coalesce(judged.date <= newest.closed_date, true) as is_closed,
    judged.date = newest.valued_date as is_newest
from judged
cross join newest
left join known on judged.date = known.date
