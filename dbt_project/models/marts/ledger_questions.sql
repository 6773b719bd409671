-- What only a person can answer: nothing of it was guessed. Missing acquisitions are the same by every method; FIFO
-- over all venues stands for them.
with asked as (
    select
        user_key,
        transaction_key,
        leg,
        date,
        asset_id,
        quantity,
        case
            when flags & 1 != 0 then 'missing acquisition'
            when flags & 4 != 0 then 'unknown source'
            else 'no price'
        end as question
    from {{ ref('fct_lot_entries') }}
    where scope = 'universal' and method = 'fifo' and flags & 7 != 0

    union all

    select
        user_key,
        transaction_key,
        leg,
        date,
        asset_id,
        sum(quantity),
        'unknown destination'
    from {{ ref('fct_lot_uses') }}
    where scope = 'universal' and method = 'fifo' and kind = 3
    group by user_key, transaction_key, leg, date, asset_id
)

select
    users.user_id,
    asked.question,
    asked.date,
    transactions.transaction_id,
    transactions.leg,
    cast(asked.leg as integer) as part,
    transactions.type,
    transactions.venue,
    asked.asset_id,
    {{ ledger_quantity('asked.quantity') }} as quantity
from asked
inner join {{ ref('dim_users') }} as users on asked.user_key = users.user_key
inner join {{ ref('dim_transactions') }} as transactions on asked.transaction_key = transactions.transaction_key
