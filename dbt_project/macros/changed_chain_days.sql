{# The same as changed_days for tables with a file for each chain on each day: the changed files of one table, or of
   several that are made into one. Literals again, so that DuckDB skips all other files; days on which the same chains
   changed are named together, because every file is held against every condition. #}
{% macro changed_chain_days(table_names) -%}
    {%- if not execute -%} true
    {%- else -%}
        {%- set names = [table_names] if table_names is string else table_names -%}
        {%- set query -%}
            with quoted as (
                select distinct
                    'date ''' || date || '''' as day,
                    '''' || replace(chain, '''', '''''') || '''' as chain
                from meta.changed_partitions
                where table_name in ('{{ names | join("', '") }}') and chain is not null
            ),

            days as (
                select day, string_agg(chain, ', ' order by chain) as chains
                from quoted
                group by day
            )

            select string_agg(day, ', ' order by day), chains
            from days
            group by chains
            order by min(day)
        {%- endset -%}
        {%- set groups = run_query(query).rows -%}
        {%- if not groups -%} false
        {%- else -%}
            ({% for days, chains in groups %}(date in ({{ days }}) and chain in ({{ chains }})){{ " or " if not loop.last }}{% endfor %})
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{# The filter of an incremental model: the changed files, or everything when the table is made anew. #}
{% macro chain_days_to_load(table_names) -%}
    {{ changed_chain_days(table_names) if is_incremental() else "true" }}
{%- endmacro %}

{# The pre-hook of an incremental model: removes the rows of changed files, also of those that vanished. #}
{% macro delete_changed_chain_days(table_names) -%}
    {% if is_incremental() %}delete from {{ this }} where {{ changed_chain_days(table_names) }}{% endif %}
{%- endmacro %}
