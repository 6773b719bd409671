{% test known_wallets_and_tokens(model) %}
select balances.date, balances.chain, balances.wallet_key, balances.token_key
from {{ model }} as balances
left join {{ ref('dim_wallets') }} as wallets on balances.wallet_key = wallets.wallet_key
left join {{ ref('dim_chain_tokens') }} as tokens on balances.token_key = tokens.token_key
where wallets.wallet_key is null or tokens.token_key is null
{% endtest %}
