-- Which chains each wallet is watched on, and since when the chain is tried and was read. A chain that was enabled
-- yesterday is expected from its first try on: it lowers no coverage of the time before.
with reads as (
    select
        chain,
        min(date) as first_tried_on,
        min(date) filter (where was_read) as first_read_on
    from {{ ref('fct_chain_days') }}
    group by chain
)

select
    wallets.wallet_key,
    wallets.user_key,
    wallets.user_id,
    chains.chain,
    wallets.added_on,
    wallets.removed_on,
    reads.first_tried_on,
    reads.first_read_on
from {{ ref('dim_wallets') }} as wallets
inner join {{ ref('dim_chains') }} as chains
    on
        wallets.family = chains.family
        and case
            when wallets.chains = '' then chains.is_enabled
            else contains(' ' || wallets.chains || ' ', ' ' || chains.chain || ' ')
        end
left join reads on chains.chain = reads.chain
