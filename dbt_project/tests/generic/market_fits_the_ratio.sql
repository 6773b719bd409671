{% test market_fits_the_ratio(model) %}
select prices.token, prices.asset_id, prices.market_close_usd, prices.close_usd as derived_usd, prices.ratio
from {{ model }} as prices
inner join {{ ref('days') }} as days on prices.date = days.date and days.is_newest
where
    prices.status = 'derived'
    and prices.market_status in ('ok', 'disagreement')
    and abs(prices.market_close_usd / prices.close_usd - 1) > 0.1
{% endtest %}
