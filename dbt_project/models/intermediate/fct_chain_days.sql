-- How the reads of each chain on each day ended. A day without a good read carries the balances of an earlier one.
{{ config(
    materialized='incremental', incremental_strategy='append',
    pre_hook="{{ delete_changed_chain_days('chain_reads') }}",
) }}
select
    date,
    chain,
    count(*) as reads,
    arg_max(status, file_row_number) as status,
    arg_max_null(reason, file_row_number) as reason,
    count(*) filter (where status != 'failed') > 0 as was_read,
    arg_max(as_of, file_row_number) filter (where status != 'failed') as as_of,
    arg_max(block_number, file_row_number) filter (where status != 'failed') as block_number,
    arg_max(block_hash, file_row_number) filter (where status != 'failed') as block_hash,
    coalesce(arg_max(is_close, file_row_number) filter (where status != 'failed'), false) as is_close
from {{ source('lake', 'chain_reads') }}
where {{ chain_days_to_load('chain_reads') }}
group by date, chain
