{% test nothing_quarantined_counts(model) %}
select holdings.user_id, holdings.chain, holdings.asset_id, holdings.amount
from {{ model }} as holdings
inner join {{ ref('days') }} as days on holdings.date = days.date and days.is_newest
inner join {{ source('lake', 'chain_tokens') }} as tokens on holdings.token_key = tokens.token_key
where
    tokens.is_quarantined
    and coalesce(tokens.whitelisted_by, '') != '*'
    and not contains(concat(' ', tokens.whitelisted_by, ' '), concat(' ', holdings.user_id, ' '))
{% endtest %}
