-- What only a person can answer: nothing of it was guessed. Missing acquisitions are the same by every method; FIFO
-- over all venues stands for them, and beside it what a venue alone lacks more of than all venues together.
-- Lots that were moved or wrapped inherit their marks; only what was taken or came from outside is asked for.
with entries as (
    select
        entries.user_key,
        entries.transaction_key,
        entries.scope,
        entries.leg,
        entries.date,
        entries.asset_id,
        entries.quantity,
        entries.kind,
        entries.flags,
        entries.flags & 1 != 0
        and (
            entries.kind in (1, 3, 4)
            or (
                entries.kind = 2
                and entries.asset_id = transactions.out_asset
                and coalesce(entries.venue, transactions.venue) = transactions.venue
            )
        ) as is_missing
    from {{ ref('fct_lot_entries') }} as entries
    inner join {{ ref('dim_transactions') }} as transactions on entries.transaction_key = transactions.transaction_key
    where entries.method = 'fifo' and entries.flags & 7 != 0
),

asked as (
    select
        user_key,
        transaction_key,
        leg,
        date,
        asset_id,
        quantity,
        case
            when is_missing then 'missing acquisition'
            when flags & 4 != 0 then 'unknown source'
            else 'no price'
        end as question
    from entries
    where scope = 'universal' and (is_missing or (kind = 0 and flags & 6 != 0))

    union all

    select
        here.user_key,
        here.transaction_key,
        here.leg,
        here.date,
        here.asset_id,
        here.quantity,
        'missing at the venue'
    from entries as here
    left join entries as everywhere
        on
            here.transaction_key = everywhere.transaction_key
            and here.leg = everywhere.leg
            and here.asset_id = everywhere.asset_id
            and everywhere.scope = 'universal'
            and everywhere.is_missing
    where here.scope = 'per_venue' and here.is_missing and here.quantity > coalesce(everywhere.quantity, 0)

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
