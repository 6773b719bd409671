"""`portfolio alerts …`: rules are added, changed, listed, tried and deleted here; what they found is shown."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from portfolio_pipelines.commands.alert_terms import refuse_faults, subject_of, terms_with
from portfolio_pipelines.commands.console import OUT, CommandError
from portfolio_pipelines.commands.importing import whoami
from portfolio_pipelines.commands.reading import print_rows
from portfolio_pipelines.database.alert_versions import RuleTerms
from portfolio_pipelines.resources.platform import Platform

NO_RULES: Final = "there is no alert rule; `portfolio alerts add value --user USER --span 1 --beyond 5` makes one"
NO_EVENTS: Final = "no alert rule found anything yet"
_LEVELS: Final = ("armed", "info", "warning", "critical")


def add_alert(
    platform: Platform, metric: str, subject: str | None, user: str | None, options: Mapping[str, str | None]
) -> None:
    """Add a rule of a user, or of the operators where `user` is None.

    Args:
        platform: The installation.
        metric: What it watches.
        subject: Which one; the portfolio or everything of the user when not given.
        user: Whose rule it is.
        options: above, below, beyond, info, critical, span, hysteresis, cooldown, min_coverage and note as they were
            written; None where they were not.

    Raises:
        CommandError: With all that is wrong.
    """
    from portfolio_pipelines.database.alert_versions import RuleRefusedError, add_rule
    from portfolio_pipelines.delivery.alerts.rules import usual_subject

    faults: list[str] = []
    subject = subject or usual_subject(metric, of_operators=user is None)
    start = RuleTerms(metric, subject_of(platform, metric, subject, faults), "")
    terms = terms_with(start, options, faults)
    refuse_faults(terms, faults, of_operators=user is None)
    try:
        rule_id = add_rule(platform.database.engine, user, terms, who=whoami())
    except RuleRefusedError as error:
        raise CommandError(str(error)) from error
    whose = "the operators" if user is None else user
    OUT.print(f"Rule {rule_id} of {whose} is set. `portfolio alerts test {rule_id}` shows what it sees.", markup=False)
    _warn_without_figure(platform, rule_id, metric)
    _warn_without_channel(platform, user)


def edit_alert(
    platform: Platform, rule_id: int, subject: str | None, options: Mapping[str, str | None], *, paused: bool | None
) -> None:
    """Change a rule; what is not given stays.

    Raises:
        CommandError: With all that is wrong, or if there is no such rule.
    """
    from portfolio_pipelines.database.alert_versions import RuleRefusedError, change_rule, rule_of

    engine = platform.database.engine
    faults: list[str] = []
    try:
        user, before = rule_of(engine, rule_id)
        if subject is not None:
            before = replace(before, subject=subject_of(platform, before.metric, subject, faults))
        terms = terms_with(before, options, faults)
        terms = terms if paused is None else replace(terms, paused=paused)
        refuse_faults(terms, faults, of_operators=user is None)
        version = change_rule(engine, rule_id, terms, who=whoami())
    except RuleRefusedError as error:
        raise CommandError(str(error)) from error
    OUT.print(f"Rule {rule_id} is version {version}{' and paused' if terms.paused else ''}.")


def delete_alert(platform: Platform, rule_id: int) -> None:
    """Let a rule no longer hold.

    Raises:
        CommandError: If there is none.
    """
    from portfolio_pipelines.database.alert_versions import RuleRefusedError, delete_rule

    try:
        delete_rule(platform.database.engine, rule_id, who=whoami())
    except RuleRefusedError as error:
        raise CommandError(str(error)) from error
    OUT.print(f"Rule {rule_id} no longer holds; its history stays.")


def show_alerts(platform: Platform, user: str | None, form: str, *, operators: bool) -> None:
    """Rules with where they stand."""
    from portfolio_pipelines.database.alert_versions import list_rules

    rules = list_rules(platform.database.engine, user, operators=operators)
    if form == "table":
        rules = [
            {
                "rule": each["rule_id"], "user": each["user_id"] or "(operators)", "metric": each["metric"],
                "subject": each["subject"], "span": each["span_days"], "fires": _bounds(each),
                "back by": f"{each['hysteresis']:g}", "cooldown": each["cooldown_minutes"], "now": _standing(each),
                "told": each["told_at"],
            }
            for each in rules
        ]  # fmt: skip
    _print(rules, form, NO_RULES)


def show_metrics(form: str) -> None:
    """What rules can watch."""
    from portfolio_pipelines.delivery.alerts.metrics import METRICS

    rows = [
        {
            "metric": each.name, "meaning": each.meaning, "unit": str(each.unit), "subject": each.subject,
            "span": _spans(each.spans), "for": str(each.owner),
        }
        for each in METRICS.values()
    ]  # fmt: skip
    _print(rows, form, "")


def show_history(platform: Platform, rule_id: int | None, user: str | None, last: int, form: str) -> None:
    """What rules found, the newest first."""
    from portfolio_pipelines.database.alert_versions import list_events

    events = list_events(platform.database.engine, rule_id=rule_id, user_id=user, last=last)
    rows = [each | {"level": _LEVELS[each["level"]]} for each in events]
    if form == "table":
        names = ("at", "rule_id", "user_id", "metric", "subject", "kind", "level", "value", "threshold", "was_told")
        rows = [{name: each[name] for name in names} for each in rows]
    _print(rows, form, NO_EVENTS)


def try_alert(platform: Platform, rule_id: int, *, send: bool) -> None:
    """Say what a rule sees and what it would do now; nothing changes. With `send` a test message goes out.

    Raises:
        CommandError: If there is no such rule, or nothing of it was published yet.
    """
    from portfolio_pipelines.database.alert_versions import RuleRefusedError, rule_of
    from portfolio_pipelines.delivery.alerts.evaluation import preview
    from portfolio_pipelines.delivery.alerts.messages import trial_message, verdict_of
    from portfolio_pipelines.delivery.outbox import put

    engine = platform.database.engine
    now = datetime.now(UTC)
    try:
        user, terms = rule_of(engine, rule_id)
    except RuleRefusedError as error:
        raise CommandError(str(error)) from error
    events = preview(engine, rule_id, terms.metric, now=now)
    if events is None:
        msg = f"nothing that {terms.metric} rests on was published yet: `portfolio run` does it"
        raise CommandError(msg)
    bounds = _bounds({name: getattr(terms, name) for name in ("comparison", "info_at", "warning_at", "critical_at")})
    OUT.print(f"Rule {rule_id} fires {bounds}; it wants a coverage of at least {terms.min_coverage:g}.", markup=False)
    for event in events:
        OUT.print(f"{event.figure}: {verdict_of(event)}", markup=False)
    if not events:
        OUT.print("It sees nothing that it could watch.")
    if send and events:
        with engine.begin() as connection:
            put(connection, [trial_message(events, rule_id, now)], now=now)
        OUT.print("A test message lies in the outbox. `portfolio outbox dispatch` sends it now.")
        _warn_without_channel(platform, user)


def evaluate_alerts(platform: Platform) -> None:
    """Evaluate all rules of which the data is new.

    Raises:
        CommandError: If a metric could not be evaluated.
    """
    from portfolio_pipelines.delivery.alerts.evaluation import EvaluationError, evaluate

    try:
        found = evaluate(platform.database.engine)
    except EvaluationError as error:
        raise CommandError(str(error)) from error
    events, told = sum(each.events for each in found), sum(each.told for each in found)
    if found:
        OUT.print(f"Alerts: {len(found)} metrics with news, {events} changes, {told} messages.")
    else:
        OUT.print("Alerts: no data and no rule is new.")


def tell_alerts(platform: Platform) -> None:
    """Evaluate what a run has published: many installations have no daemon that would. Silent without a change.

    A failure is said and is none of the run's, which has published everything: the next evaluation tries again.
    """
    from portfolio_pipelines.delivery.alerts.evaluation import EvaluationError, evaluate

    try:
        told = sum(each.told for each in evaluate(platform.database.engine))
    except EvaluationError as error:
        OUT.print(str(error), style="red", markup=False)
        return
    if told:
        OUT.print(f"Alerts: {told} new messages. `portfolio outbox dispatch` sends them, `portfolio alerts history` "
                  "shows what was found.", markup=False)  # fmt: skip


def _warn_without_figure(platform: Platform, rule_id: int, metric: str) -> None:
    """A subject that is written in another way than the marts write it would be watched in vain."""
    from portfolio_pipelines.delivery.alerts.evaluation import preview

    events = preview(platform.database.engine, rule_id, metric)
    if events is not None and all(each.row["value"] is None for each in events):
        OUT.print("It sees no figure yet: is the subject written as the marts write it?", markup=False)


def _warn_without_channel(platform: Platform, user: str | None) -> None:
    """An alert that reaches nobody is a surprise that can be spared."""
    import sqlalchemy as sa

    query = """
        select count(*) from app.notification_channels c left join app.users u using (user_key)
        where u.user_id is not distinct from cast(:user as text) and c.verified_at is not null
            and c.deleted_at is null and c.disabled_at is null and c.paused_at is null
    """
    with platform.database.engine.connect() as connection:
        if not connection.scalar(sa.text(query), {"user": user}):
            whose = "The operators have" if user is None else f"{user} has"
            OUT.print(f"{whose} no verified channel yet: `portfolio channels add` makes one.", markup=False)


def _bounds(rule: Mapping[str, Any]) -> str:
    levels = (("info", rule["info_at"]), ("warning", rule["warning_at"]), ("critical", rule["critical_at"]))
    return f"{rule['comparison']} " + ", ".join(f"{value:g} ({name})" for name, value in levels if value is not None)


def _standing(rule: Mapping[str, Any]) -> str:
    if rule["paused"]:
        return "paused"
    parts = [f"{rule['firing']} firing"] if rule["firing"] else []
    parts += [f"{rule['cannot_tell']} cannot tell"] if rule["cannot_tell"] else []
    return ", ".join(parts) or "armed"


def _spans(spans: range | Sequence[int]) -> str:
    return f"1 to {spans[-1]} days" if isinstance(spans, range) else ", ".join(map(str, spans))


def _print(rows: Sequence[Mapping[str, Any]], form: str, nothing: str) -> None:
    if not rows and form == "table":
        OUT.print(nothing, markup=False)
        return
    names = list(rows[0]) if rows else []
    print_rows([name.replace("_", " ") if form == "table" else name for name in names],
               [tuple(row.values()) for row in rows], form)  # fmt: skip
