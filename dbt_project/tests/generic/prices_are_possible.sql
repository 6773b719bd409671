{% test prices_are_possible(model) %}
select asset_id, date, close_usd, status, reason
from {{ model }}
where
    {{ changed_days('prices_daily') }}
    and (
        not coalesce(close_usd > 0 and isfinite(close_usd), true)
        or (status in ('ok', 'manual', 'stale') and close_usd is null)
        or (status in ('no_source', 'rate_limited') and close_usd is not null)
        or status not in ('ok', 'stale', 'disagreement', 'no_source', 'rate_limited', 'manual')
    )
{% endtest %}
