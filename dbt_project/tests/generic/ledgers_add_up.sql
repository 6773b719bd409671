{% test ledgers_add_up(model) %}
select user_id, scope, method, date, pnl_usd as found
from {{ model }}
where abs(pnl_usd - (value_usd + unpriced_cost_usd + paid_out_usd + left_usd - paid_in_usd)) >= 0.01
union all
select totals.user_id, totals.scope, totals.method, totals.date, sum(assets.cost_usd)
from {{ model }} as totals
inner join {{ ref('unrealised_pnl') }} as assets
    on
        totals.user_id = assets.user_id
        and totals.scope = assets.scope
        and totals.method = assets.method
        and totals.date = assets.as_of
group by totals.user_id, totals.scope, totals.method, totals.date
having abs(sum(assets.cost_usd) - any_value(totals.cost_usd)) >= 0.01
    or abs(coalesce(sum(assets.value_usd), 0) - any_value(totals.value_usd)) >= 0.01
{% endtest %}
