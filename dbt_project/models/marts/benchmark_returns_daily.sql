-- Each return belongs to the day it ends with; over a weekend it is that of three days, and Saturday has none.
select
    benchmark,
    date,
    close_usd,
    close_usd / lag(close_usd) over (partition by benchmark order by date) - 1 as daily_return,
    lag(date) over (partition by benchmark order by date) as since
from {{ ref('benchmarks_daily') }}
where is_trading_day and close_usd is not null
