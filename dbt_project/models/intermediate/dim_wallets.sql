-- One row per wallet that was ever watched, whose it is, and from when until when.
select
    wallet_key,
    user_key,
    user_id,
    address,
    family,
    label,
    coalesce(chains, '') as chains,
    is_watched,
    added_on,
    removed_on
from {{ source('lake', 'wallets') }}
