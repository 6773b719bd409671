-- One row per valued day. A day counts as closed when a price of it, or of a later day, became known after its end:
-- that is read from the data, so that a rebuild gives the same answer tomorrow.
with valued as (
    select date, bool_and(is_final) as is_final
    from {{ ref('fct_portfolio_values') }}
    group by date
),

known as (
    select
        date,
        max(known_at) as known_at,
        coalesce(max(known_at) >= date + interval 1 day, false) as known_after_end
    from {{ ref('prices_daily') }}
    group by date
),

newest as (
    select
        (select max(date) from valued) as valued_date,
        (select max(date) from known where known_after_end) as closed_date
)

select
    valued.date,
    cast(valued.date + 1 as timestamp) as ends_at,
    valued.is_final,
    known.known_at,
    valued.is_final or coalesce(valued.date <= newest.closed_date, true) as is_closed,
    valued.date = newest.valued_date as is_newest
from valued
cross join newest
left join known on valued.date = known.date
