-- One row per leg of a transaction, current versions only.
select
    transaction_key,
    user_key,
    transaction_id,
    leg,
    "at" as happened_at,
    type,
    venue,
    to_venue,
    in_asset,
    in_quantity,
    out_asset,
    out_quantity,
    fee_asset,
    fee_quantity,
    tx_hash
from {{ source('lake', 'transactions') }}
