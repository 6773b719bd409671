-- One row per user. Facts carry the key alone; the text id is stored here once.
select user_key, user_id
from {{ source('lake', 'users') }}
