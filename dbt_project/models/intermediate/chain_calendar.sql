-- Which state of each chain counts on each valued day: that of the newest day up to it on which the chain has one. A
-- day on which a chain was not read is not a day without money.
with first_reads as (
    select chain, min(date) as first_read_on
    from {{ ref('fct_chain_days') }}
    where was_read
    group by chain
),

expected as (
    select days.date, first_reads.chain
    from {{ ref('days') }} as days
    inner join first_reads on days.date >= first_reads.first_read_on
),

-- Reads before the first good one left no state behind.
states as (
    select states.*
    from {{ ref('fct_chain_days') }} as states
    inner join first_reads on states.chain = first_reads.chain and states.date >= first_reads.first_read_on
)

select
    expected.date,
    expected.chain,
    states.date as state_date,
    states.status,
    states.reason,
    states.is_close,
    states.date < expected.date or not states.was_read or states.status = 'failed' as is_stale
from expected
asof join states on expected.chain = states.chain and expected.date >= states.date
