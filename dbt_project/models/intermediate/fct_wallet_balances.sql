-- What each wallet holds of each token, in its smallest unit, and how much of that no position explains: a receipt (an
-- aToken, a share of a pool, an NFT that is counted as a position) must not count beside what it stands for.
{%- set tables = ['wallet_balances', 'defi_positions'] %}
{{ config(
    materialized='incremental', incremental_strategy='append',
    pre_hook="{{ delete_changed_chain_days(['wallet_balances', 'defi_positions']) }}",
) }}
with receipts as (
    select distinct  -- each row of a position repeats its receipt
        date,
        chain,
        wallet_key,
        protocol,
        position_id,
        case when protocol = 'erc721' then token_key else receipt_token_key end as token_key,
        case when protocol = 'erc721' then raw else receipt_raw end as raw,
        case when protocol = 'erc721' then raw_hex else receipt_raw_hex end as raw_hex
    from {{ source('lake', 'defi_positions') }}
    where {{ chain_days_to_load(tables) }}
),

explained as (
    select
        date,
        chain,
        wallet_key,
        token_key,
        -- Sums of what is larger would not fit 38 digits; they are compared as doubles.
        sum(case when raw < 1e36 then raw end) as raw,
        sum({{ as_double('raw', 'raw_hex') }}) as raw_double,
        bool_and(coalesce(raw < 1e36, raw_hex is null)) as is_exact
    from receipts
    where token_key is not null
    group by date, chain, wallet_key, token_key
),

balances as (
    select
        *,
        {{ as_double('raw', 'raw_hex') }} as raw_double
    from {{ source('lake', 'wallet_balances') }}
    where {{ chain_days_to_load(tables) }}
)

select
    balances.date,
    balances.chain,
    balances.wallet_key,
    balances.token_key,
    balances.raw,
    balances.raw_hex,
    balances.raw_double,
    coalesce(explained.raw_double, 0) as explained_double,
    case
        when explained.raw_double is null then balances.raw_double
        when explained.is_exact and balances.raw is not null
            then cast(greatest(balances.raw - coalesce(explained.raw, 0), 0) as double)
        when explained.raw_double >= balances.raw_double * (1 - 1e-12) then 0
        else balances.raw_double - explained.raw_double
    end as unexplained_double,
    balances.as_of,
    balances.block_number,
    balances.block_hash,
    balances.is_stale
from balances
left join explained
    on
        balances.date = explained.date
        and balances.chain = explained.chain
        and balances.wallet_key = explained.wallet_key
        and balances.token_key = explained.token_key
