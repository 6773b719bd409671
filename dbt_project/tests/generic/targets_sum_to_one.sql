{% test targets_sum_to_one(model) %}
    select strategy_key, sum(target) as total
    from {{ model }}
    where is_named
    group by strategy_key
    having abs(sum(target) - 1) > 1e-9
{% endtest %}
