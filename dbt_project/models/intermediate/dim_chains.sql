-- One row per chain of the registry.
select
    chain_id,
    chain,
    name,
    family,
    category,
    native_symbol,
    explorer,
    is_enabled
from {{ source('lake', 'chains') }}
