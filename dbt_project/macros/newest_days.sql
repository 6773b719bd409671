{# The newest valued day and those so many days before it, as a literal list: only a literal lets DuckDB skip all other
   days below an aggregate. The model that asks must also name `ref('days')` in its text. #}
{% macro newest_and_before(spans) -%}
    {%- set newest = run_query("select max(date) from " ~ ref('days') ~ " where is_newest").columns[0].values()[0] if execute -%}
    {%- if not newest -%} cast(null as date)
    {%- else -%}
        {%- for span in spans -%}
            date '{{ (newest - modules.datetime.timedelta(days=span)).strftime("%Y-%m-%d") }}'{{ ", " if not loop.last }}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
