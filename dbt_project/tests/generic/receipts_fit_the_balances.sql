{% test receipts_fit_the_balances(model) %}
select date, chain, wallet_key, token_key, raw_double, explained_double
from {{ model }}
where
    {{ changed_chain_days(['wallet_balances', 'defi_positions']) }}
    and explained_double > raw_double * (1 + 1e-9)
{% endtest %}
