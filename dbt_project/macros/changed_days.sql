{# The days of a lake table whose files are not the ones this warehouse was built from, as a literal list: only a
   literal lets DuckDB skip the files of all other days. #}
{% macro changed_days(table_name) -%}
    {%- if not execute -%} true
    {%- else -%}
        {%- set days = run_query("select date from meta.changed_partitions where chain is null and table_name = '" ~ table_name ~ "' order by date").columns[0].values() -%}
        {%- if not days -%} false
        {%- else -%} date in ({% for day in days %}date '{{ day.strftime("%Y-%m-%d") }}'{{ ", " if not loop.last }}{% endfor %})
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{# The filter of an incremental model: the changed days, or everything when the table is made anew. #}
{% macro days_to_load(table_name) -%}
    {{ changed_days(table_name) if is_incremental() else "true" }}
{%- endmacro %}

{# The pre-hook of an incremental model: removes the changed days, also those that vanished from the lake. #}
{% macro delete_changed_days(table_name) -%}
    {% if is_incremental() %}delete from {{ this }} where {{ changed_days(table_name) }}{% endif %}
{%- endmacro %}
