{# The protocols whose positions are liquidity in a pool. #}
{% macro liquidity_protocols() -%} ('uniswap_v2', 'sushiswap', 'uniswap_v3', 'curve', 'balancer_v2') {%- endmacro %}
