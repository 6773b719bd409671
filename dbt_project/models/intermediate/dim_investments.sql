-- One row per investment, from its current legs.
select
    user_key,
    investment_key,
    any_value(user_id) as user_id,
    any_value(investment_id) as investment_id,
    min(invested_on) as invested_on
from {{ source('lake', 'investment_legs') }}
group by user_key, investment_key
