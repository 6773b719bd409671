-- One readable name for each asset that anything is valued as: its symbol in the asset map, else that of the token
-- itself, else the one that most tokens with its price have; many contracts call themselves what they like.
with names as (
    select asset_id, symbol as token, 1 as preference
    from {{ source('lake', 'assets') }}
    where symbol is not null
    union all
    select asset_id, token, 2
    from {{ ref('dim_chain_tokens') }}
    union all
    select price_asset_id, token, case when category in ('receipt', 'debt') then 4 else 3 end
    from {{ ref('dim_chain_tokens') }}
    where price_asset_id is not null and not is_quarantined
    union all
    select asset_id, token, 5
    from {{ ref('dim_asset_lines') }}
),

counted as (
    select asset_id, token, preference, count(*) as n
    from names
    where asset_id is not null
    group by asset_id, token, preference
)

select
    asset_id,
    arg_min(token, (preference, -n, token)) as token
from counted
group by asset_id
