{# Why a figure of a ledger is incomplete, in words; null when nothing is wrong. The bits are those of finance/lots. #}
{% macro incomplete_because(flags) -%}
    nullif(
        concat_ws(
            ', ',
            case when {{ flags }} & 1 != 0 then 'acquisition is missing' end,
            case when {{ flags }} & 2 != 0 then 'no price' end,
            case when {{ flags }} & 4 != 0 then 'source of the deposit is unknown' end
        ),
        ''
    )
{%- endmacro %}

{# Money and quantities of ledgers: exact, as the lake keeps them. #}
{% macro ledger_usd(expression) -%} cast({{ expression }} as decimal(38, 12)) {%- endmacro %}
{% macro ledger_quantity(expression) -%} cast({{ expression }} as decimal(38, 18)) {%- endmacro %}
