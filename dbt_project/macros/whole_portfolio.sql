{# Investments and wallets of a user as one portfolio. The columns are those of the snapshots: invested_usd, stale_usd,
   missing_usd and daily_return of the investments (null without any), and `wallets`, a row of chain_portfolios or null. #}

{# Null when nothing is priced. Empty wallets that were read are worth 0: that is known. #}
{% macro total_of_all() -%}
    case
        when coalesce(invested_usd, wallets.value_usd) is not null
            then coalesce(invested_usd, 0) + coalesce(wallets.value_usd, 0)
        when missing_usd is null and wallets.unpriced = 0 and wallets.chains_read > 0 then 0
    end
{%- endmacro %}

{# Share of the expected worth that is priced and fresh, times the share of the watched chains that were ever read. #}
{% macro coverage_of_all() -%}
    case
        when wallets is null
            then (coalesce(invested_usd, 0) - stale_usd) / nullif(coalesce(invested_usd, 0) + missing_usd, 0)
        else
            {{ coverage_of(
                'coalesce(invested_usd, 0) - coalesce(stale_usd, 0) + wallets.fresh_usd',
                'coalesce(invested_usd, 0) + coalesce(missing_usd, 0) + wallets.gross_usd',
                'wallets.missing_usd',
                'wallets.unpriced'
            ) }}
            * case when wallets.chains_watched > 0 then wallets.chains_read / wallets.chains_watched else 1 end
    end
{%- endmacro %}

{# The return of the investments, and what the prices did to the wallets of the day before, weighted by their worth.
   Deposits and withdrawals count in neither. Null where a part is unknown. #}
{% macro return_of_all() -%}
    case
        when wallets is null or (wallets.before_usd is null and wallets.before_unknown = 0) then daily_return
        when
            wallets.before_unknown > 0
            or (wallets.was_invested_before and wallets.invested_before_usd is null)
            or (coalesce(wallets.invested_before_usd, 0) > 0 and daily_return is null)
            or coalesce(wallets.invested_before_usd, 0) + wallets.before_usd <= 0
            then null
        else
            (coalesce(wallets.invested_before_usd, 0) * (1 + coalesce(daily_return, 0)) + wallets.before_now_usd)
            / (coalesce(wallets.invested_before_usd, 0) + wallets.before_usd)
            - 1
    end
{%- endmacro %}
