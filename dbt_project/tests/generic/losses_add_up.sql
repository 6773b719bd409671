{% test losses_add_up(model) %}
select *
from {{ model }}
where
    {{ changed_days('impermanent_loss') }}
    and not coalesce(
        (hodl_value_usd >= 0 and position_value_usd >= 0) is not false
        and (il_usd is null) = (hodl_value_usd is null or position_value_usd is null)
        and (net_usd is null) = (il_usd is null or fees_usd is null)
        and coalesce(abs(position_value_usd - hodl_value_usd - il_usd) <= 1e-9 * (hodl_value_usd + position_value_usd), true)
        and coalesce(abs(il_usd + fees_usd - net_usd) <= 1e-9 * (hodl_value_usd + abs(fees_usd)), true)
        and coalesce(il_pct >= -100.000001 and isfinite(il_pct), true),
        false
    )
{% endtest %}
