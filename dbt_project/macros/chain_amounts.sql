{# An integer of up to 256 bits as a double: `raw`, or where 38 digits do not hold it the 64 hex digits of `raw_hex`, in
   four parts that a UBIGINT holds. #}
{% macro as_double(raw, raw_hex) -%}
    case
        when {{ raw_hex }} is null then cast({{ raw }} as double)
        else
            case when starts_with({{ raw_hex }}, '-') then -1 else 1 end
            * (
                {%- for part in range(4) %}
                cast(cast('0x' || substr({{ raw_hex }}, -{{ 64 - 16 * part }}, 16) as ubigint) as double) * pow(2, {{ 192 - 64 * part }})
                {{- " +" if not loop.last }}
                {%- endfor %}
            )
    end
{%- endmacro %}

{# Whole units of an integer in the smallest unit, to the last digit: a quotient of doubles would lose some. Null where
   the token has no decimals, and beyond 38 digits. #}
{% macro exact_units(raw, decimals) -%}
    {%- set text = "cast(" ~ raw ~ " as varchar)" -%}
    {%- set digits = "lpad(" ~ text ~ ", cast(greatest(length(" ~ text ~ "), " ~ decimals ~ " + 1) as integer), '0')" -%}
    try_cast(
        left({{ digits }}, length({{ digits }}) - {{ decimals }}) || '.' || right({{ digits }}, {{ decimals }}) || '0'
        as decimal(38, 18)
    )
{%- endmacro %}

{# Whether a token enters the totals of a user. What is owed is read as a position, and the coin of a chain in the form
   of a token is the coin itself. #}
{% macro counts_in_totals(tokens, user_id) -%}
    (
        {{ tokens }}.category != 'debt'
        and ({{ tokens }}.category != 'coin' or {{ tokens }}.address = 'native')
        and (
            not {{ tokens }}.is_quarantined
            or {{ tokens }}.whitelisted_by = '*'
            or contains(' ' || {{ tokens }}.whitelisted_by || ' ', ' ' || {{ user_id }} || ' ')
        )
    )
{%- endmacro %}

{# Coverage of figures that may be owed: amounts count by their size. Nothing expected is covered, unless it is because
   nobody knows what it is worth. #}
{% macro coverage_of(fresh, gross, missing, unpriced) -%}
    case
        when {{ gross }} + {{ missing }} > 0 then ({{ fresh }}) / ({{ gross }} + {{ missing }})
        when {{ unpriced }} = 0 then 1.0
        else 0.0
    end
{%- endmacro %}
