{# Status of a price that was derived: `derived` when the ratio and the price below are fresh, else what is wrong. #}
{% macro derived_status(ratios, below) -%}
    case
        when {{ ratios }}.is_stale then 'stale'
        when {{ is_fresh(below ~ '.status') }} then 'derived'
        else {{ below }}.status
    end
{%- endmacro %}

{# Whether a price of that status is of its day and undisputed. #}
{% macro is_fresh(status) -%}
    {{ status }} in ('ok', 'manual', 'derived')
{%- endmacro %}
