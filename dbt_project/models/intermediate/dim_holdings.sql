-- What each user holds from when until when: the current legs, converted by the successions of their asset.
select
    legs.user_key,
    lines.asset_id,
    lines.token,
    lines.chain,
    legs.quantity * lines.units as quantity,
    legs.amount_usd as cost_usd,
    legs.invested_on,
    greatest(legs.invested_on, lines.valid_from) as held_from,
    lines.valid_until as held_until
from {{ source('lake', 'investment_legs') }} as legs
inner join {{ ref('dim_asset_lines') }} as lines on legs.asset_id = lines.bought_asset_id
where legs.invested_on < lines.valid_until
