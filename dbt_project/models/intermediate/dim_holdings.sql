-- What each user holds from when until when: the current legs, converted by the successions of their asset. A number of
-- coins that rests on an invented close is not known, which is null.
select
    legs.user_key,
    lines.asset_id,
    lines.price_asset_id,
    lines.token,
    lines.chain,
    case when lines.asset_id = lines.price_asset_id then legs.quantity * lines.units end as quantity,
    legs.amount_usd as cost_usd,
    legs.invested_on,
    greatest(legs.invested_on, lines.valid_from) as held_from,
    lines.valid_until as held_until
from {{ source('lake', 'investment_legs') }} as legs
inner join {{ ref('dim_asset_lines') }} as lines on legs.asset_id = lines.bought_asset_id
where legs.invested_on < lines.valid_until
