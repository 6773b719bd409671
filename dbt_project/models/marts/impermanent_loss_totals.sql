-- All positions of a user at each close. A position whose dollars are unknown is in no total and is counted beside it;
-- fees that are unknown make the net unknown, not smaller.
with positions as (
    select
        *,
        case when il_usd is not null then hodl_value_usd end as known_hodl_usd,
        case when il_usd is not null then position_value_usd end as known_position_usd,
        il_usd is not null and fees_usd is null as lacks_fees
    from {{ ref('fct_impermanent_loss') }}
    where is_last_of_day
)

select
    date,
    user_id,
    100 * sum(il_usd) / nullif(sum(known_hodl_usd), 0) as il_pct,
    sum(il_usd) as il_usd,
    case when not bool_or(lacks_fees) then sum(fees_usd) filter (where il_usd is not null) end as fees_usd,
    case when not bool_or(lacks_fees) then sum(net_usd) end as net_usd,
    sum(known_hodl_usd) as hodl_value_usd,
    sum(known_position_usd) as position_value_usd,
    cast(count(*) as integer) as positions,
    cast(count(*) filter (where il_usd is null) as integer) as positions_without_usd,
    cast(count(*) filter (where not in_range) as integer) as positions_out_of_range,
    bool_or(is_stale) as is_stale
from positions
group by date, user_id
