-- Weights of the coins of weighted pools that users entered, one row a coin; they never change.
with known as (
    select distinct
        chain,
        pool,
        weights
    from {{ source('lake', 'liquidity_positions') }}
    where weights is not null
),

coins as (
    select
        chain,
        pool,
        unnest(string_split(weights, ' ')) as weight,
        generate_subscripts(string_split(weights, ' '), 1) - 1 as position
    from known
)

select
    chain,
    pool,
    cast(position as smallint) as position,
    cast(weight as double) / 1e18 as weight
from coins
