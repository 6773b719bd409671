"""Marts of a few columns with figures that a test sets, and rules on them: what the evaluation of alerts reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from portfolio_pipelines.database.alert_versions import RuleTerms, add_rule
from portfolio_pipelines.delivery.alerts.evaluation import evaluate

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
SPANS = (1, 7, 30, 90, 365)


@dataclass
class Totals:
    """The mart portfolio_totals, and the clock."""

    engine: sa.Engine
    publications: int = 0
    told: int = 0
    rules: dict[str, int] = field(default_factory=dict)

    def prepare(self, *users: str) -> None:
        columns = ", ".join(f"value_{n}d_usd float8, coverage_{n}d float8" for n in SPANS)
        with self.engine.begin() as connection:
            for statement in (
                "create schema marts",
                "create table marts.published_partitions (table_name text, partition text, fingerprint text)",
                f"create table marts.portfolio_totals (user_id text primary key, known_at timestamp, "
                f"value_usd float8, coverage float8, {columns})",
            ):
                connection.execute(sa.text(statement))
            for user in users:
                connection.execute(sa.text("insert into app.users (user_id) values (:user)"), {"user": user})

    def add(self, user: str, **terms: Any) -> int:
        """A rule on the worth of a user's portfolio: below 100, critical below 80, back at 5 more, 60 minutes."""
        usual: dict[str, Any] = {
            "metric": "value", "subject": "portfolio", "comparison": "below", "warning_at": 100, "critical_at": 80,
            "hysteresis": 5, "cooldown_minutes": 60,
        }  # fmt: skip
        self.rules[user] = add_rule(self.engine, user, RuleTerms(**(usual | terms)), who="test", now=START)
        return self.rules[user]

    def publish(self, values: Mapping[str, tuple[float | None, float | None]], minute: float = 0) -> None:
        """Other worths and coverages by user; a user that is not named has no row."""
        self.publications += 1
        rows = [
            {"user": user, "value": value, "coverage": coverage, "at": self.at(minute).replace(tzinfo=None)}
            for user, (value, coverage) in values.items()
        ]
        with self.engine.begin() as connection:
            connection.execute(sa.text("truncate marts.portfolio_totals, marts.published_partitions"))
            if rows:
                connection.execute(
                    sa.text(
                        "insert into marts.portfolio_totals (user_id, known_at, value_usd, coverage, value_1d_usd, "
                        "coverage_1d) values (:user, :at, :value, :coverage, 200, 1)"
                    ),
                    rows,
                )
            connection.execute(
                sa.text("insert into marts.published_partitions values ('portfolio_totals', 'all', :content)"),
                {"content": str(self.publications)},
            )

    def evaluate(self, minute: float) -> list[dict[str, Any]]:
        """Evaluate at a minute of the clock; the messages that are new, as they lie in the outbox."""
        evaluate(self.engine, now=self.at(minute))
        return self.new_messages()

    def new_messages(self) -> list[dict[str, Any]]:
        query = """
            select m.*, u.user_id from app.outbox_messages m left join app.users u using (user_key)
            order by message_id offset :told
        """
        with self.engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(sa.text(query), {"told": self.told}).mappings()]
        self.told += len(rows)
        return rows

    @staticmethod
    def at(minute: float) -> datetime:
        return START + timedelta(minutes=minute)


@pytest.fixture
def totals(database: sa.Engine) -> Totals:
    """Two users, Ann and Bob, and no rule."""
    found = Totals(database)
    found.prepare("ann", "bob")
    return found
