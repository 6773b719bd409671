{% test parts_fit_the_whole(model, lake_table) %}
select *
from {{ model }}
where
    {{ changed_days(lake_table) }}
    and not coalesce(
        coalesce(value_usd >= 0 and isfinite(value_usd), unpriced_legs > 0)
        and invested_usd >= 0 and isfinite(invested_usd)
        and stale_usd between 0 and coalesce(value_usd, 0) * (1 + 1e-9)
        and missing_usd >= 0 and isfinite(missing_usd)
        and (unpriced_legs > 0 or missing_usd = 0)
        and unpriced_legs >= 0,
        false
    )
{% endtest %}
