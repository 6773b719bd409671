{# Each dimension adds up to the total of the newest snapshot. It warns: they differ while an import is in the lake and
   the newest day was not computed again. #}
{% test breakdown_adds_up(model) %}
with added_up as (
    select user_id, as_of, dimension, sum(value_usd) as value_usd
    from {{ model }}
    group by user_id, as_of, dimension
)

select
    added_up.user_id,
    added_up.dimension,
    added_up.value_usd as sum_of_parts_usd,
    snapshots.total_value_usd
from added_up
left join {{ ref('portfolio_snapshots') }} as snapshots
    on
        added_up.user_id = snapshots.user_id
        and added_up.as_of = snapshots.snapshot_timestamp
        and snapshots.snapshot_timestamp = (select ends_at from {{ ref('days') }} where is_newest)
where
    abs(coalesce(added_up.value_usd, 0) - coalesce(snapshots.total_value_usd, 0))
    > 0.005 + 1e-9 * abs(coalesce(snapshots.total_value_usd, 0))
{% endtest %}
