{{ config(materialized='table') }}
select
    users.user_id,
    changes.scope,
    changes.method,
    changes.restated_day as date,
    changes.known_at,
    changes.old_realised_usd,
    changes.new_realised_usd,
    changes.old_unrealised_usd,
    changes.new_unrealised_usd,
    changes.old_pnl_usd,
    changes.new_pnl_usd,
    changes.cause,
    changes.transactions
from {{ source('lake', 'ledger_restatements') }} as changes
inner join {{ ref('dim_users') }} as users on changes.user_key = users.user_key
