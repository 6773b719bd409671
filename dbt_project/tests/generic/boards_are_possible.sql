{% test boards_are_possible(model, lake_table) %}
with rows as (
    select
        *,
        row_number() over (partition by date, window_days order by rank) as place,
        count(*) over (partition by date, window_days, pseudonym) as n_names,
        lag(roi_twr) over (partition by date, window_days order by rank) as better_roi
    from {{ model }}
    where {{ changed_days(lake_table) }} and rank is not null
)

select date, window_days, rank
from rows
where
    rank <> place
    or rank > n_ranked
    or n_names > 1
    or roi_twr > better_roi
    or roi_twr is null
    or pseudonym is null
    or max_drawdown not between -1 and 0
    or pnl_over_peak_capital is null
{% endtest %}
