"""The queries behind the metrics: SQL over the marts as Postgres serves them, each for everybody at once.

Belongs here: where a figure comes from. What it means and who may watch it is in `metrics`, when it fires in
`transitions`. A query may read the table `wanted` with the spans in days that rules ask for (one null where they ask
for the level itself), and gives these columns:

user_id (null where the figure is nobody's own), subject, within (a broader subject that rules may name, or null),
span_days, as_of (of the data), value (null when unknown), coverage (0..1 of fresh data behind it), now_value and
before_value (the level so many days before; the day before where a rule asks for the level), reason (why there is no
value).
"""

# ruff: noqa: S608 (every name and number in these texts is one of ours)
from typing import Final

PORTFOLIO: Final = "portfolio"
"""The subject of figures of which a user has one."""
TOTAL_SPANS: Final = (1, 7, 30, 90, 365)
"""Days before the newest that the mart portfolio_totals holds."""


def _change(level: str, before: str) -> str:
    """The level, or where a span is asked for its change in percent."""
    return (
        f"case when w.span_days is null then {level} when {before} > 0 then 100 * ({level} / {before} - 1) end::float8"
    )


def _utc(column: str) -> str:
    return f"{column}::timestamp at time zone 'UTC'"


_BEFORE: Final = (
    "case coalesce(w.span_days, 1) " + " ".join(f"when {n} then t.value_{n}d_usd" for n in TOTAL_SPANS) + " end"
)
_COVERED: Final = "case w.span_days " + " ".join(f"when {n} then t.coverage_{n}d" for n in TOTAL_SPANS) + " end"
TOTALS: Final = f"""
    select t.user_id, '{PORTFOLIO}' as subject, null as within, w.span_days, {_utc("t.known_at")} as as_of,
        {_change("t.value_usd", f"({_BEFORE})")} as value,
        case when w.span_days is null then t.coverage else least(t.coverage, {_COVERED}) end as coverage,
        t.value_usd as now_value, {_BEFORE} as before_value,
        case when t.value_usd is null then 'nothing is priced'
            when w.span_days is not null and {_BEFORE} is null then 'its worth then is not known' end as reason
    from marts.portfolio_totals t cross join wanted w
"""
RETURN: Final = f"""
    select s.user_id, '{PORTFOLIO}' as subject, null as within, null::int as span_days,
        {_utc("s.snapshot_timestamp")} as as_of, s.change_24h_pct::float8 as value, s.coverage,
        s.total_value_usd::float8 as now_value, null::float8 as before_value,
        case when s.change_24h_pct is null then 'a part of the return is unknown' end as reason
    from marts.portfolio_snapshots s
    where s.snapshot_timestamp = (select max(snapshot_timestamp) from marts.portfolio_snapshots)
"""
DRIFT: Final = f"""
    select d.user_id, d.strategy || '/' || d.asset_id as subject, d.strategy as within, null::int as span_days,
        {_utc("coalesce(t.known_at, d.date + 1)")} as as_of, 100 * d.drift as value, t.coverage,
        100 * d.weight as now_value, null::float8 as before_value,
        case when d.drift is null then 'a part of the portfolio has no usable price' end as reason
    from marts.allocation_drift d left join marts.portfolio_totals t using (user_id)
"""


def performance(column: str, factor: int) -> str:
    """A figure of the newest day of portfolio_metrics, by window."""
    return f"""
        select m.user_id, '{PORTFOLIO}' as subject, null as within, w.span_days, {_utc("(m.as_of + 1)")} as as_of,
            {factor} * m.{column} as value, m.coverage, {factor} * m.{column} as now_value,
            null::float8 as before_value, case when m.{column} is null then m.reason end as reason
        from marts.portfolio_metrics m join wanted w on w.span_days = m.window_days
        where m.as_of = (select max(as_of) from marts.portfolio_metrics)
    """


def position_loss(column: str) -> str:
    """A loss rests on fresh data when the state or the price behind it is of its day."""
    return f"""
        select l.user_id, l.position_id as subject, l.chain as within, null::int as span_days,
            {_utc("l.as_of")} as as_of, l.{column} as value,
            case when l.is_stale and l.as_of < l.date then 0 else 1 end as coverage, l.{column} as now_value,
            null::float8 as before_value, case when l.{column} is null then l.reason end as reason
        from marts.impermanent_loss l
        where l.is_last_of_day and l.date = (select max(date) from marts.impermanent_loss)
    """


def total_loss(column: str) -> str:
    """A sum over the positions of a user; its coverage is the share of them that is fresh and known in dollars."""
    return f"""
        select l.user_id, '{PORTFOLIO}' as subject, null as within, null::int as span_days,
            {_utc("(l.date + 1)")} as as_of, l.{column} as value,
            p.coverage, l.{column} as now_value, null::float8 as before_value,
            case when l.{column} is null then 'the dollars of every position are unknown' end as reason
        from marts.impermanent_loss_totals l
        join (
            select user_id, date, (count(il_usd) filter (where not is_stale or as_of >= date))::float8 / count(*)
                as coverage
            from marts.impermanent_loss where is_last_of_day group by user_id, date
        ) p using (user_id, date)
        where l.date = (select max(date) from marts.impermanent_loss_totals)
    """


def pool(column: str) -> str:
    """A figure of a pool, or its change. What a provider tells is as fresh as its answer."""
    level, before = (column.replace("p.", name) for name in ("p.", "b."))
    return f"""
        select null as user_id, p.chain || '/' || p.pool as subject, p.chain as within, w.span_days,
            {_utc("p.as_of")} as as_of, {_change(f"({level})", f"({before})")} as value,
            case when p.is_stale then 0 else 1 end as coverage, ({level})::float8 as now_value,
            ({before})::float8 as before_value,
            case when ({level}) is null then 'neither the chain nor a provider tells it' end as reason
        from marts.pool_states p cross join wanted w
        left join marts.pool_states b
            on b.chain = p.chain and b.pool = p.pool and b.date = p.date - coalesce(w.span_days, 1)
        where p.date = (select max(date) from marts.pool_states)
    """


PRICE: Final = f"""
    select null as user_id, p.asset_id as subject, null as within, w.span_days, {_utc("p.known_at")} as as_of,
        {_change("p.close_usd", "b.close_usd")} as value,
        case when p.status in ('ok', 'manual') and (w.span_days is null or b.status in ('ok', 'manual')) then 1
            else 0 end as coverage,
        p.close_usd as now_value, b.close_usd as before_value,
        coalesce(p.reason, case when w.span_days is not null and b.close_usd is null then 'no price then' end) as reason
    from marts.prices_daily p cross join wanted w
    left join marts.prices_daily b on b.asset_id = p.asset_id and b.date = p.date - coalesce(w.span_days, 1)
    where p.date = (select max(date) from marts.prices_daily)
    union all
    select null, c.asset_id, null, w.span_days, {_utc("c.updated_at")}, c.close_usd, 1, c.close_usd, null, null
    from marts.current_prices c cross join wanted w where c.status = 'derived' and w.span_days is null
"""
HEALTH: Final = f"""
    select d.user_id, concat_ws('/', d.chain, d.protocol, d.pool, d.address) as subject, d.chain as within,
        null::int as span_days, {_utc("min(d.as_of)")} as as_of,
        case when count(d.facts ->> 'health_factor') > 0 then min((d.facts ->> 'health_factor')::numeric / 1e18)::float8
            when not bool_or(d.role = 'debt') then 'infinity'::float8 end as value,
        case when bool_or(d.is_stale) then 0 else 1 end as coverage,
        min((d.facts ->> 'health_factor')::numeric / 1e18)::float8 as now_value, null::float8 as before_value,
        case when count(d.facts ->> 'health_factor') = 0 and bool_or(d.role = 'debt')
            then 'the market did not tell it' end as reason
    from marts.defi_positions d where d.protocol in ('aave_v3', 'compound_v3') and d.role is not null
    group by d.user_id, d.chain, d.protocol, d.pool, d.address
"""
_HOURS: Final = "extract(epoch from cast(:now as timestamptz) - {since})::float8 / 3600"
AGE: Final = f"""
    select null as user_id, a.subject, a.within, null::int as span_days, a.since as as_of,
        {_HOURS.format(since="a.since")} as value, 1 as coverage, {_HOURS.format(since="a.since")} as now_value,
        null::float8 as before_value, null as reason
    from (
        select 'closed-day' as subject, null as within, {_utc("max(snapshot_timestamp)")} as since
        from marts.portfolio_snapshots
        union all
        select 'prices', null, {_utc("max(known_at)")} from marts.prices_daily
        where date >= (select max(date) - 1 from marts.prices_daily)
        union all
        select 'chains/' || chain, 'chains', {_utc("max(as_of)")} from marts.wallet_balances group by chain
    ) a where a.since is not null
"""
QUALITY: Final = f"""
    select null as user_id, q.metric as subject, null as within, null::int as span_days,
        {_utc("(q.date + 1)")} as as_of, q.value, 1 as coverage, q.value as now_value, null::float8 as before_value,
        case when q.value is null then q.status end as reason
    from (select distinct on (metric) * from marts.data_quality_scorecard order by metric, date desc) q
"""
FAILED: Final = """
    select null as user_id, j.job as subject, null as within, w.span_days, cast(:now as timestamptz) as as_of,
        count(f.run_id)::float8 as value, 1 as coverage, count(f.run_id)::float8 as now_value,
        null::float8 as before_value, null as reason
    from wanted w
    cross join (select 'any' as job union select job from app.failed_runs) j
    left join app.failed_runs f
        on (f.job = j.job or j.job = 'any') and f.failed_at > cast(:now as timestamptz) - w.span_days * interval '1 day'
    group by j.job, w.span_days
"""
