"""Alert rules: adding, changing and deleting them, and reading them; every version stays.

Belongs here: SQL over the tables of rules. What makes sense as a rule is decided in `delivery.alerts.rules`, when it
fires in `delivery.alerts.transitions`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

RULES_LOCK: Final = 0x616C65727473
"""Advisory lock: shared by those who change rules, exclusive for who evaluates. No change is half seen."""
MOST_RULES: Final = 200
"""Rules of one user; enough for every asset and pool that somebody can follow."""


@dataclass(frozen=True, slots=True)
class RuleTerms:
    """What a rule says. Thresholds and hysteresis are in the unit of the metric; at least one threshold is set."""

    metric: str
    subject: str
    comparison: str  # above, below, beyond
    span_days: int | None = None
    info_at: float | None = None
    warning_at: float | None = None
    critical_at: float | None = None
    hysteresis: float = 0.0
    cooldown_minutes: int | None = None  # None: the usual one of the level
    min_coverage: float = 0.95
    paused: bool = False
    note: str | None = None

    def watches_like(self, other: "RuleTerms") -> bool:
        """Whether what it found so far still means the same under the other terms."""
        return all(getattr(self, name) == getattr(other, name) for name in _WATCHED)


_WATCHED: Final = (
    "metric", "subject", "comparison", "span_days", "info_at", "warning_at", "critical_at", "hysteresis",
    "min_coverage",
)  # fmt: skip
_COLUMNS: Final = tuple(field.name for field in fields(RuleTerms))


class RuleRefusedError(ValueError):
    """The rule makes no sense, or is not there; the message says all that is wrong."""


def add_rule(engine: sa.Engine, user_id: str | None, terms: RuleTerms, *, who: str, now: datetime | None = None) -> int:
    """Add a rule of a user, or of the operators where `user_id` is None; its number.

    Raises:
        RuleRefusedError: If there is no such user, the very same rule is there already, or there are too many.
    """
    now = now or datetime.now(UTC)
    with engine.begin() as connection:
        _lock(connection)
        user_key = None
        if user_id is not None:
            user_key = connection.scalar(
                sa.text("select user_key from app.users where user_id = :user for update"), {"user": user_id}
            )
            if user_key is None:
                msg = f"there is no user {user_id!r}: import investments or wallets first"
                raise RuleRefusedError(msg)
        known = _rules(connection, "v.user_key is not distinct from cast(:user_key as int)", {"user_key": user_key})
        same = [number for number, (_, others) in known.items() if others == terms]
        if same:
            msg = f"rule {same[0]} says exactly that already"
            raise RuleRefusedError(msg)
        if user_key is not None and len(known) >= MOST_RULES:
            msg = f"a user has at most {MOST_RULES} alert rules: delete one of {user_id!r} first"
            raise RuleRefusedError(msg)
        rule_id = connection.scalar(
            sa.text("insert into app.alert_rules (user_key, created_at) values (:user, :now) returning rule_id"),
            {"user": user_key, "now": now},
        )
        _insert(connection, int(rule_id or 0), 1, terms, who, now)
    return int(rule_id or 0)


def change_rule(engine: sa.Engine, rule_id: int, terms: RuleTerms, *, who: str, now: datetime | None = None) -> int:
    """Make a new version of a rule; the version that holds now. The same again changes nothing.

    A rule that watches something else now starts over: it is armed, and fires if its figure is beyond the threshold.

    Raises:
        RuleRefusedError: If there is no such rule.
    """
    now = now or datetime.now(UTC)
    with engine.begin() as connection:
        _lock(connection)
        version, before = _current(connection, rule_id)
        if before == terms:
            return version
        _end(connection, rule_id, who, now)
        _insert(connection, rule_id, version + 1, terms, who, now)
        if not before.watches_like(terms):
            connection.execute(sa.text("delete from app.alert_states where rule_id = :rule"), {"rule": rule_id})
    return version + 1


def delete_rule(engine: sa.Engine, rule_id: int, *, who: str, now: datetime | None = None) -> None:
    """Let a rule no longer hold; what it found stays in the history.

    Raises:
        RuleRefusedError: If there is no such rule.
    """
    with engine.begin() as connection:
        _lock(connection)
        _current(connection, rule_id)
        _end(connection, rule_id, who, now or datetime.now(UTC))
        connection.execute(sa.text("delete from app.alert_states where rule_id = :rule"), {"rule": rule_id})


def rule_of(engine: sa.Engine, rule_id: int) -> tuple[str | None, RuleTerms]:
    """Whose a rule is, None for the operators, and what it says.

    Raises:
        RuleRefusedError: If there is no such rule.
    """
    with engine.connect() as connection:
        _current(connection, rule_id)
        row = connection.execute(
            sa.text("select user_id from app.alert_rules left join app.users using (user_key) where rule_id = :rule"),
            {"rule": rule_id},
        ).one()
        return row.user_id, _current(connection, rule_id)[1]


def list_rules(engine: sa.Engine, user_id: str | None = None, *, operators: bool = False) -> list[dict[str, Any]]:
    """Rules with where they stand: those of one user, of the operators, or all, by number."""
    condition = "true" if user_id is None else "u.user_id = :user"
    condition = "v.user_key is null" if operators else condition
    query = f"""
        select v.rule_id, u.user_id, {", ".join(f"v.{name}" for name in _COLUMNS)}, v.version, v.known_at, v.set_by,
            count(s.rule_id) filter (where s.level > 0)::int as firing,
            count(s.rule_id) filter (where s.blind_since is not null)::int as cannot_tell, max(s.told_at) as told_at
        from app.alert_rule_versions v left join app.users u using (user_key)
        left join app.alert_states s on s.rule_id = v.rule_id
        where v.superseded_at is null and {condition} group by v.rule_id, v.version, u.user_id order by v.rule_id
    """  # noqa: S608 (names of our own)
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(sa.text(query), {"user": user_id}).mappings()]


def list_events(
    engine: sa.Engine, *, rule_id: int | None = None, user_id: str | None = None, last: int = 100
) -> list[dict[str, Any]]:
    """What rules found, the newest first: of one rule, of one user, or of all; also of deleted rules."""
    query = """
        select e.event_id, e.at, e.rule_id, u.user_id, v.metric, e.subject, e.kind, e.level, e.value, e.threshold,
            e.coverage, e.as_of, e.was_told
        from app.alert_events e
        join app.alert_rule_versions v using (rule_id, version) left join app.users u using (user_key)
        where (cast(:rule as int) is null or e.rule_id = :rule) and (cast(:user as text) is null or u.user_id = :user)
        order by e.event_id desc limit :last
    """
    with engine.connect() as connection:
        rows = connection.execute(sa.text(query), {"rule": rule_id, "user": user_id, "last": last}).mappings()
        return [dict(row) for row in rows]


def _lock(connection: sa.Connection) -> None:
    connection.execute(sa.text("select pg_advisory_xact_lock_shared(:lock)"), {"lock": RULES_LOCK})


def _rules(connection: sa.Connection, condition: str, values: Mapping[str, object]) -> dict[int, tuple[int, RuleTerms]]:
    """Current rules by number, with their version."""
    rows = connection.execute(
        sa.text(f"""
            select v.rule_id, v.version, {", ".join(f"v.{name}" for name in _COLUMNS)}
            from app.alert_rule_versions v where v.superseded_at is null and {condition} order by v.rule_id
        """),  # noqa: S608 (names of our own)
        values,
    )
    return {row.rule_id: (row.version, RuleTerms(*row[2:])) for row in rows}


def _current(connection: sa.Connection, rule_id: int) -> tuple[int, RuleTerms]:
    found = _rules(connection, "v.rule_id = :rule", {"rule": rule_id})
    if not found:
        msg = f"there is no alert rule {rule_id}: `portfolio alerts list` shows them"
        raise RuleRefusedError(msg)
    return found[rule_id]


def _end(connection: sa.Connection, rule_id: int, who: str, now: datetime) -> None:
    connection.execute(
        sa.text("""
            update app.alert_rule_versions set superseded_at = :now, ended_by = :who
            where rule_id = :rule and superseded_at is null
        """),
        {"rule": rule_id, "now": now, "who": who},
    )


def _insert(connection: sa.Connection, rule_id: int, version: int, terms: RuleTerms, who: str, now: datetime) -> None:
    values = asdict(terms) | {"rule_id": rule_id, "version": version, "known_at": now, "set_by": who}
    query = f"""
        insert into app.alert_rule_versions (user_key, {", ".join(values)})
        select user_key, :{", :".join(values)} from app.alert_rules where rule_id = :rule_id
    """  # noqa: S608 (names of our own)
    connection.execute(sa.text(query), values)
