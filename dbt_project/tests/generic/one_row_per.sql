{% test one_row_per(model, columns, lake_table=none) %}
select {{ columns | join(', ') }}, count(*) as rows_of_this_key
from {{ model }}
{% if lake_table %}where {{ changed_days(lake_table) }}{% endif %}
group by {{ columns | join(', ') }}
having count(*) > 1
{% endtest %}
