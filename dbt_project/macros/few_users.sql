{# The users that a small table names, as a literal list: only a literal lets DuckDB leave out everybody else before it
   adds up their holdings. Beyond `most` a list is no help, and all are named by a query. #}
{% macro few_users(relation, most=1000) -%}
    {%- set asked = "select distinct user_id from " ~ relation -%}
    {%- set found = run_query(asked ~ " limit " ~ (most + 1)).columns[0].values() if execute else [] -%}
    {%- if found | length > most -%} {{ asked }}
    {%- elif not found -%} cast(null as varchar)
    {%- else -%}
        {%- for user in found | sort -%} '{{ user | replace("'", "''") }}'{{ ", " if not loop.last }} {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
