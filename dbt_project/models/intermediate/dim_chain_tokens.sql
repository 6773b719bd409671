-- One row per token of a chain, with the answer to everything that may be unknown: what it is called and whether it is
-- trusted. Unknown decimals and prices stay unknown.
select
    tokens.token_key,
    tokens.chain_id,
    chains.chain,
    tokens.address,
    tokens.asset_id,
    tokens.price_asset_id,
    coalesce(
        nullif(trim(tokens.symbol), ''),
        case when length(tokens.address) > 12 then left(tokens.address, 6) || '…' || right(tokens.address, 4) end,
        tokens.address
    ) as token,
    tokens.name,
    tokens.decimals,
    coalesce(tokens.category, case when tokens.address = 'native' then 'coin' else 'token' end) as category,
    coalesce(tokens.is_quarantined, false) as is_quarantined,
    tokens.score,
    tokens.reasons,
    coalesce(tokens.whitelisted_by, '') as whitelisted_by
from {{ source('lake', 'chain_tokens') }} as tokens
left join {{ ref('dim_chains') }} as chains on tokens.chain_id = chains.chain_id
