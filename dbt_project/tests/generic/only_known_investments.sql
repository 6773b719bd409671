{% test only_known_investments(model) %}
select
    daily.user_key,
    daily.investment_key,
    daily.date,
    count(*) as rows_of_this_key,
    any_value(investments.user_id) as user_id,
    any_value(investments.investment_id) as investment_id,
    any_value(investments.invested_on) as invested_on
from {{ model }} as daily
inner join ({{ days_with_other_investments(ref('fct_day_sums'), ref('dim_investments')) }}) as suspects on daily.date = suspects.date
left join {{ ref('dim_investments') }} as investments
    on daily.user_key = investments.user_key and daily.investment_key = investments.investment_key
group by daily.user_key, daily.investment_key, daily.date
having count(*) > 1 or any_value(investments.invested_on) is null or any_value(investments.invested_on) > daily.date
{% endtest %}
