{% test every_day_since_purchase(model) %}
select investments.user_id, investments.investment_id, suspects.date, investments.invested_on
from ({{ days_with_other_investments(ref('fct_day_sums'), ref('dim_investments')) }}) as suspects
inner join {{ ref('dim_investments') }} as investments on suspects.date >= investments.invested_on
left join {{ model }} as daily
    on
        investments.user_key = daily.user_key
        and investments.investment_key = daily.investment_key
        and suspects.date = daily.date
where daily.date is null
{% endtest %}
