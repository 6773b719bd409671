{# The conventions that investments and portfolios share, written once. A result is null where a leg has no price:
   an incomplete value beside a complete cost would read as a loss. #}
{% macro pnl_usd() -%} case when unpriced_legs = 0 then value_usd - invested_usd end {%- endmacro %}

{% macro roi() -%} case when unpriced_legs = 0 and invested_usd > 0 then (value_usd - invested_usd) / invested_usd end {%- endmacro %}

{# Share of the expected worth that rests on fresh prices. #}
{% macro coverage() -%}
    (coalesce(value_usd, 0) - stale_usd) / nullif(coalesce(value_usd, 0) + missing_usd, 0)
{%- endmacro %}

{# Documented as DECIMAL(20,8) and DECIMAL(30,18): served wider, so that nothing overflows and cheap tokens keep their
   digits. A figure beyond even that is null, and the test figures_fit_their_types names it. #}
{% macro usd(expression) -%} try_cast({{ expression }} as decimal(38, 8)) {%- endmacro %}
{# By way of its shortest text: a direct cast multiplies as a double and shows 50,000 as 49999.999999999995805696. #}
{% macro units(expression) -%} try_cast(cast({{ expression }} as varchar) as decimal(38, 18)) {%- endmacro %}
{% macro percent(expression) -%} try_cast({{ expression }} as decimal(18, 4)) {%- endmacro %}

{# A stable id: the same row has the same UUID in every build. #}
{% macro stable_id(table_name, columns) -%}
    cast(md5(concat_ws('|', '{{ table_name }}'{% for column in columns %}, {{ column }}{% endfor %})) as uuid)
{%- endmacro %}
