-- What receipts are worth by what they stand for: ratio times the close of the underlying, which may be a receipt, too,
-- in up to three layers. A market price of the underlying comes before one that is derived again. What rests on a token
-- that is distrusted has no price from here.
{%- set layers = 3 %}
with ratios as (
    select
        calendar.date,
        ratios.token_key,
        ratios.underlying_token_key,
        tokens.price_asset_id as asset_id,
        below.price_asset_id as underlying_id,
        tokens.token,
        ratios.ratio,
        ratios.is_stale or calendar.is_stale as is_stale
    from {{ ref('chain_calendar') }} as calendar
    inner join {{ ref('fct_receipt_ratios') }} as ratios
        on calendar.state_date = ratios.date and calendar.chain = ratios.chain
    inner join {{ ref('dim_chain_tokens') }} as tokens on ratios.token_key = tokens.token_key
    inner join {{ ref('dim_chain_tokens') }} as below on ratios.underlying_token_key = below.token_key
    where
        ratios.ratio is not null
        and tokens.price_asset_id is not null
        and tokens.price_asset_id is distinct from below.price_asset_id
        and (not below.is_quarantined or below.whitelisted_by = '*')
),

market as (
    select date, asset_id, close_usd, status
    from {{ ref('prices_daily') }}
    where
        asset_id in (
            select ratios.asset_id from ratios
            union
            select ratios.underlying_id from ratios
        )
),

layer_1 as (
    select
        ratios.*,
        1 as layers,
        ratios.ratio * market.close_usd as close_usd,
        {{ derived_status('ratios', 'market') }} as status
    from ratios
    inner join market
        on ratios.underlying_id = market.asset_id and ratios.date = market.date and market.close_usd is not null
),
{%- for layer in range(2, layers + 1) %}

layer_{{ layer }} as (
    select
        ratios.*,
        {{ layer }} as layers,
        ratios.ratio * below.close_usd as close_usd,
        {{ derived_status('ratios', 'below') }} as status
    from ratios
    inner join layer_{{ layer - 1 }} as below
        on ratios.underlying_token_key = below.token_key and ratios.date = below.date
    {%- for nearer in range(1, layer) %}
    anti join layer_{{ nearer }}
        on ratios.token_key = layer_{{ nearer }}.token_key and ratios.date = layer_{{ nearer }}.date
    {%- endfor %}
),
{%- endfor %}

found as (
    {%- for layer in range(1, layers + 1) %}
    select * from layer_{{ layer }}
    {{- "\n    union all" if not loop.last }}
    {%- endfor %}
)

select
    found.date,
    found.asset_id,
    found.token_key,
    found.token,
    found.underlying_token_key,
    found.ratio,
    found.layers,
    found.close_usd,
    found.status,
    market.close_usd as market_close_usd,
    market.status as market_status,
    market.asset_id is not null as is_listed
from found
left join market on found.asset_id = market.asset_id and found.date = market.date
-- One asset may be a receipt on several chains: the one nearest to a market counts.
qualify row_number() over (partition by found.asset_id, found.date order by found.layers, found.token_key) = 1
