"""When a rule fires, is held back, resolves or cannot tell: one statement over all rules of a metric.

Belongs here: the state machine, as SQL because it runs over hundreds of thousands of rules beside the figures. There is
no second one. Only what changes is written: a rule that stays as it is costs no row, and a subject without a row is
armed. What people are told is in `messages`, when this runs in `evaluation`.

How it works, for each rule and subject:
- Data of a coverage below the rule's minimum, or without a value, changes no level: the rule *cannot tell*, which is
  told once and again only after the cooldown. A figure that is no longer there counts as such data, if the rule names
  it or fired on it.
- A level (1 info, 2 warning, 3 critical) begins when the figure is beyond its threshold, and ends only when it has come
  back to the threshold by the hysteresis. `beyond` looks at the size of the figure, `above` and `below` at the figure.
- A level above what the owner was told is told when no alert was told within the cooldown of that level, or when it is
  more severe than that alert. Else it is held back and counted, and told when the cooldown is over and it still stands.
- Level 0 after an alert that was told is told once, as resolved. A held-back alert that is over is told by nobody.
"""

# ruff: noqa: S608 (every name and number in these texts is one of ours)
from typing import Final

from portfolio_pipelines.delivery.alerts.metrics import Metric, Owner

COOLDOWNS: Final = {1: 24 * 60, 2: 60, 3: 15}
"""Minutes by level, where a rule has none of its own."""
BLIND_COOLDOWN: Final = 24 * 60
"""Minutes between two notices that a rule cannot tell, where it has no cooldown of its own."""

_COOLDOWN: Final = (
    "coalesce(cooldown_minutes, case next_level "
    + " ".join(f"when {level} then {minutes}" for level, minutes in COOLDOWNS.items())
    + " end) * interval '1 minute'"
)
_RULES: Final = """
    rules as not materialized (
        select *, coalesce(span_days, -1) as span from app.alert_rule_versions
        where metric = :metric and superseded_at is null and change_number > :seen
            and (:rule_id is null and not paused or rule_id = :rule_id)
    ),
    wanted as materialized (select distinct span_days from rules)"""
# Of a user's only figure the user and the span say all. Else a rule names a subject, what it lies in, or everything.
_KEYED: Final = """
    keyed as (
        select f.*, coalesce(f.span_days, -1) as span, u.user_key from figures f join app.users u using (user_id)
    )"""
_KEYED_BY_SUBJECT: Final = """
    keyed as (
        select f.*, coalesce(f.span_days, -1) as span, u.user_key, s.selector
        from figures f left join app.users u using (user_id)
        cross join lateral (values (f.subject), (f.within), ('*')) as s (selector)
        where s.selector is not null
    )"""
# Most rules are armed and stay so: they are let go here, before anything else is asked of them. What is left carries
# the terms of its rule, looked up one by one.
_FACED: Final = """
    matched as not materialized (
        select r.rule_id, coalesce(k.subject, r.subject) as subject, r.comparison, r.min_coverage,
            case r.comparison when 'below' then greatest(r.info_at, r.warning_at, r.critical_at)
                else least(r.info_at, r.warning_at, r.critical_at) end as first_line,
            k.as_of, k.value, k.coverage, k.now_value, k.before_value, k.reason
        from rules r left join keyed k on {join}
        where k.subject is not null or r.subject <> '*'
    ),
    standing as (
        select s.* from app.alert_states s
        where exists (select from rules r where r.rule_id = s.rule_id)
    ),
    found as materialized (
        select coalesce(m.rule_id, s.rule_id) as rule_id, coalesce(m.subject, s.subject) as subject, m.as_of, m.value,
            m.coverage, m.now_value, m.before_value,
            case when m.rule_id is null then 'it is no longer there' else m.reason end as reason,
            coalesce(s.level, 0) as level, coalesce(s.shown_level, 0) as shown_level, s.since, s.told_at, s.told_level,
            coalesce(s.suppressed, 0) as suppressed, s.blind_since, s.blind_told_at
        from matched m full join standing s on s.rule_id = m.rule_id and s.subject = m.subject
        where case
            when m.rule_id is null then s.level > 0
            when s.rule_id is not null or m.value is null or m.value = 'NaN' then true
            when coalesce(m.coverage, 0) < m.min_coverage or :rule_id is not null then true
            when m.comparison = 'below' then m.value < m.first_line
            when m.comparison = 'above' then m.value > m.first_line
            else abs(m.value) > m.first_line end
    ),
    faced as (
        select f.*, r.version, r.user_key, u.user_id, r.span_days, r.comparison, r.info_at, r.warning_at, r.critical_at,
            r.hysteresis, r.cooldown_minutes, r.min_coverage, r.note,
            f.value is null or f.value = 'NaN' or coalesce(f.coverage, 0) < r.min_coverage - 1e-9 as is_blind,
            case r.comparison when 'below' then -f.value when 'beyond' then abs(f.value) else f.value end as facing,
            case r.comparison when 'below' then -1 else 1 end as side
        from found f
        cross join lateral (
            select * from app.alert_rule_versions v where v.rule_id = f.rule_id and v.superseded_at is null offset 0
        ) r
        left join lateral (select user_id from app.users where user_key = r.user_key offset 0) u on true
    )"""
_STEPS: Final = """
    levelled as materialized (
        select *, case
            when is_blind then level
            when facing > side * critical_at - case when level >= 3 then hysteresis else 0 end then 3
            when facing > side * warning_at - case when level >= 2 then hysteresis else 0 end then 2
            when facing > side * info_at - case when level >= 1 then hysteresis else 0 end then 1
            else 0 end as next_level
        from faced
    ),
    weighed as (
        select *, not is_blind and next_level > shown_level and (
                told_at is null or told_at + {cooldown} <= :now or next_level > told_level
            ) as passes
        from levelled
    ),
    steps as (
        select *, least(shown_level, next_level) as still_shown,
            not is_blind and next_level > level and not passes as is_held,
            not is_blind and next_level = 0 and level > 0 as is_over,
            is_blind and blind_since is null as turns_blind,
            is_blind and blind_since is null and coalesce(
                blind_told_at + coalesce(cooldown_minutes, {blind_cooldown}) * interval '1 minute' <= :now, true
            ) as tells_blind
        from weighed
    ),
    judged as (
        select *, case
                when turns_blind then 'cannot_tell' when passes and still_shown = 0 then 'fired'
                when passes then 'raised' when is_held then 'held_back' when is_over then 'resolved' end as kind,
            passes or tells_blind or (is_over and shown_level > 0) as is_told,
            case when turns_blind or is_over then coalesce(info_at, warning_at, critical_at)
                else case next_level when 3 then critical_at when 2 then warning_at when 1 then info_at end
                end as threshold,
            suppressed + is_held::int as held_back
        from steps
    )"""
_SAVED: Final = """
    changes as materialized (
        select * from judged
        where kind is not null or next_level <> level or still_shown <> shown_level
            or (not is_blind and blind_since is not null)
    ),
    saved as (
        insert into app.alert_states as known (
            rule_id, subject, level, shown_level, since, value, coverage, told_at, told_level, suppressed, blind_since,
            blind_told_at, data_version, evaluated_at
        )
        select rule_id, subject, next_level, case when passes then next_level else still_shown end,
            case when next_level = level and since is not null then since else :now end, nullif(value, 'NaN'), coverage,
            case when passes then :now else told_at end, case when passes then next_level else told_level end,
            case when passes or (is_over and shown_level > 0) then 0 else held_back end,
            case when is_blind then coalesce(blind_since, :now) end,
            case when tells_blind then :now else blind_told_at end, :data_version, :now
        from changes
        on conflict (rule_id, subject) do update set
            level = excluded.level, shown_level = excluded.shown_level, since = excluded.since,
            value = excluded.value, coverage = excluded.coverage, told_at = excluded.told_at,
            told_level = excluded.told_level, suppressed = excluded.suppressed, blind_since = excluded.blind_since,
            blind_told_at = excluded.blind_told_at, data_version = excluded.data_version,
            evaluated_at = excluded.evaluated_at
    ),
    events as (
        insert into app.alert_events
            (rule_id, version, subject, at, kind, level, value, threshold, coverage, as_of, was_told)
        select rule_id, version, subject, :now, kind, next_level, nullif(value, 'NaN'), threshold, coverage, as_of,
            is_told
        from changes where kind is not null order by rule_id, subject
        returning event_id, rule_id, subject
    )
    select c.*, e.event_id from changes c join events e using (rule_id, subject) order by e.event_id"""


_KINDS: Final = {"now": "timestamptz", "rule_id": "int", "seen": "bigint", "metric": "text", "data_version": "text"}


def advance(metric: Metric) -> str:
    """The statement that moves every rule of a metric on, and gives what happened, one row an event.

    Parameters of the statement: metric, seen (only rules with a higher change_number), rule_id (one rule alone, also a
    paused one; null for all), now and data_version.
    """
    return _typed(f"{_judge(metric)}, {_SAVED}")


def look(metric: Metric) -> str:
    """The statement that says of each subject what would happen, and changes nothing; parameters as `advance`."""
    return _typed(f"{_judge(metric)} select * from judged order by rule_id, subject")


def _judge(metric: Metric) -> str:
    if metric.has_one_subject:
        keyed, join = _KEYED, "k.user_key = r.user_key and k.span = r.span"
    else:
        of_the_user = "k.user_key = r.user_key and " if metric.owner is Owner.USERS else ""
        keyed, join = _KEYED_BY_SUBJECT, f"{of_the_user}k.selector = r.subject and k.span = r.span"
    steps = _STEPS.format(cooldown=_COOLDOWN, blind_cooldown=BLIND_COOLDOWN)
    return f"with {_RULES}, figures as ({metric.query}), {keyed}, {_FACED.format(join=join)}, {steps}"


def _typed(text: str) -> str:
    """Every parameter with its type: Postgres cannot guess that of a null."""
    for name, kind in _KINDS.items():
        typed = f"cast(:{name} as {kind})"
        text = text.replace(typed, f":{name}").replace(f":{name}", typed)
    return text
