{{ config(materialized='table') }}
select
    asset_id,
    date,
    known_at,
    old_close_usd,
    new_close_usd,
    old_source,
    new_source,
    cause,
    old_status,
    new_status,
    cause_date
from {{ source('lake', 'price_restatements') }}
