{{ config(materialized='table') }}
select
    "table",
    partition,
    run_id,
    code_version,
    input_hash,
    written_at,
    content_hash
from {{ source('lake', 'partition_log') }}
