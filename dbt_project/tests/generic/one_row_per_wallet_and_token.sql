{% test one_row_per_wallet_and_token(model) %}
select date, chain, wallet_key, token_key, count(*) as rows_of_this_key
from {{ model }}
where {{ changed_chain_days(['wallet_balances', 'defi_positions']) }}
group by date, chain, wallet_key, token_key
having count(*) > 1
{% endtest %}
