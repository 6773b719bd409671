"""What alert rules say over a sequence of publications: a table of golden sequences, and a model that they all follow.

The rule of the table is: worth below 100 USD warns, below 80 is critical; over when 5 more; 60 minutes of cooldown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from portfolio_pipelines.database.alert_versions import delete_rule
from portfolio_pipelines.database.connection import create_engine
from portfolio_pipelines.delivery.alerts import evaluation
from portfolio_pipelines.delivery.alerts.evaluation import evaluate

Step = tuple[float, float | None, float | None, str]  # minute, worth, coverage, what is told

SEQUENCES: dict[str, Sequence[Step]] = {
    "a crossing is told once and its end once": [
        (0, 120, 1, ""), (10, 99, 1, "alert warning 0"), (20, 98, 1, ""), (130, 97, 1, ""),
        (140, 106, 1, "alert.resolved warning 0"), (150, 107, 1, ""),
    ],
    "the threshold itself is not below it": [(0, 100, 1, ""), (10, 99.99, 1, "alert warning 0")],
    "flapping around the threshold is one crossing": [
        (0, 99, 1, "alert warning 0"), (100, 101, 1, ""), (200, 99, 1, ""), (300, 104.9, 1, ""), (400, 99, 1, ""),
        (500, 105, 1, "alert.resolved warning 0"), (600, 104, 1, ""),
    ],
    "crossings within the cooldown are counted and told of in the next message": [
        (0, 99, 1, "alert warning 0"), (10, 110, 1, "alert.resolved warning 0"), (20, 99, 1, ""), (30, 110, 1, ""),
        (40, 99, 1, ""), (50, 110, 1, ""), (70, 99, 1, "alert warning 2"), (80, 110, 1, "alert.resolved warning 0"),
    ],
    "what was held back is told when the cooldown is over and it still stands": [
        (0, 99, 1, "alert warning 0"), (10, 110, 1, "alert.resolved warning 0"), (20, 99, 1, ""), (59, 98, 1, ""),
        (60, 97, 1, "alert warning 1"), (70, 96, 1, ""),
    ],
    "a raise of severity passes at once": [
        (0, 99, 1, "alert warning 0"), (1, 79, 1, "alert critical 0"), (2, 70, 1, ""),
        (3, 110, 1, "alert.resolved critical 0"),
    ],
    "a crossing to a severity that was told already waits for the cooldown": [
        (0, 99, 1, "alert warning 0"), (5, 79, 1, "alert critical 0"), (10, 90, 1, ""), (12, 79, 1, ""),
        (66, 78, 1, "alert critical 1"), (70, 84.9, 1, ""), (71, 85, 1, ""),
        (72, 105, 1, "alert.resolved warning 0"),
    ],
    "after a resolved warning a critical crossing passes at once": [
        (0, 99, 1, "alert warning 0"), (10, 110, 1, "alert.resolved warning 0"), (20, 70, 1, "alert critical 0"),
    ],
    "the first look may find it critical": [
        (0, 50, 1, "alert critical 0"), (200, 90, 1, ""), (300, 79, 1, "alert critical 0"),
    ],
    "poor coverage neither fires nor resolves, and that is told once": [
        (0, 99, 1, "alert warning 0"), (10, 50, 0.94, "alert.cannot_tell warning 0"), (20, None, None, ""),
        (30, 500, 0.5, ""), (40, 99, 0.95, ""), (50, 110, 1, "alert.resolved warning 0"),
    ],
    "poor coverage that comes and goes is told once a cooldown": [
        (0, 50, 0.5, "alert.cannot_tell info 0"), (10, 120, 1, ""), (20, 120, 0.5, ""), (30, 120, 1, ""),
        (70, 120, 0.5, "alert.cannot_tell info 0"),
    ],
    "a crossing behind poor coverage is told when there is better data": [
        (0, 120, 1, ""), (10, 70, 0.2, "alert.cannot_tell info 0"), (20, 70, 1, "alert critical 0"),
    ],
    "missing data is not a worth of nothing": [
        (0, 120, 1, ""), (10, None, None, "alert.cannot_tell info 0"), (20, 120, 1, ""),
    ],
    "a portfolio of nothing is": [(0, 120, 1, ""), (10, 0, 1, "alert critical 0")],
}  # fmt: skip


def said(messages: Sequence[dict[str, Any]]) -> str:
    return ", ".join(f"{each['kind']} {each['severity']} {each['data']['held_back']}" for each in messages)


@pytest.mark.parametrize("name", SEQUENCES)
def test_golden_sequences(totals: Any, name: str) -> None:
    totals.add("ann")
    for minute, value, coverage, expected in SEQUENCES[name]:
        totals.publish({"ann": (value, coverage)}, minute)
        assert said(totals.evaluate(minute)) == expected, f"minute {minute}"
        # The same data once more changes nothing, whatever the clock says.
        assert evaluate(totals.engine, now=totals.at(minute + 1e5)) == []
        assert totals.new_messages() == []


def test_a_restart_in_between_changes_nothing(totals: Any) -> None:
    """All sequences, one after the other, each step by an engine that has seen nothing before."""
    for sequence in SEQUENCES.values():
        rule = totals.add("ann")
        for minute, value, coverage, expected in sequence:
            totals.publish({"ann": (value, coverage)}, minute)
            totals.engine.dispose()
            totals.engine = create_engine(totals.engine.url)
            assert said(totals.evaluate(minute)) == expected, f"minute {minute}"
        delete_rule(totals.engine, rule, who="test")


def test_an_evaluation_that_is_killed_leaves_everything_for_the_next(
    totals: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        """Nothing catches it, as nothing catches a kill."""

    def kill(*_: object, **__: object) -> int:
        raise KilledError

    totals.add("ann")
    totals.publish({"ann": (99, 1)})
    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "put", kill)
        with pytest.raises(KilledError):
            totals.evaluate(0)
    with totals.engine.connect() as connection:
        for table in ("alert_states", "alert_events", "alert_evaluations", "outbox_messages"):
            assert connection.scalar(sa.text(f"select count(*) from app.{table}")) == 0
    assert said(totals.evaluate(1)) == "alert warning 0"
    assert totals.evaluate(2) == []


@dataclass
class Model:
    """The rule of the table for one subject, as a person would write it down."""

    hysteresis: float
    cooldown: float
    level: int = 0
    shown: int = 0
    told_at: float | None = None
    told_level: int = 0
    held: int = 0
    blind: bool = False
    blind_told_at: float | None = None

    def step(self, minute: float, value: float | None, coverage: float) -> str:
        if value is None or coverage < 0.95:
            was_blind, self.blind = self.blind, True
            if was_blind or (self.blind_told_at is not None and minute < self.blind_told_at + self.cooldown):
                return ""
            self.blind_told_at = minute
            return f"alert.cannot_tell {self.severity(self.level or 1)} {self.held}"
        self.blind = False
        before, self.level = self.level, self.level_of(value)
        was_shown = self.shown
        self.shown = min(self.shown, self.level)
        if self.level > self.shown:
            cooling = self.told_at is not None and minute < self.told_at + self.cooldown
            if not cooling or self.level > self.told_level:
                # A crossing that is told is none that was held back.
                self.shown, self.told_at, self.told_level, held, self.held = (
                    self.level,
                    minute,
                    self.level,
                    self.held,
                    0,
                )
                return f"alert {self.severity(self.level)} {held}"
            self.held += self.level > before
        if self.level == 0 and was_shown:
            held, self.held = self.held, 0
            return f"alert.resolved {self.severity(was_shown)} {held}"
        return ""

    def level_of(self, value: float) -> int:
        for level, line in ((3, 80), (2, 100)):
            if value < line + (self.hysteresis if self.level >= level else 0):
                return level
        return 0

    @staticmethod
    def severity(level: int) -> str:
        return {1: "info", 2: "warning", 3: "critical"}[level]


WORTHS = st.one_of(st.none(), st.sampled_from([60, 79, 80, 84, 86, 95, 99, 100, 103, 106, 130]))
COVERAGES = st.sampled_from([1.0, 1.0, 1.0, 0.95, 0.9])
PATHS = st.lists(st.tuples(st.sampled_from([1.0, 20.0, 45.0, 70.0]), WORTHS, COVERAGES), min_size=4, max_size=16)
USERS = 8
RULES = st.tuples(st.sampled_from([0, 5, 20]), st.sampled_from([0, 30, 60]))


@settings(max_examples=10, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rules=st.lists(RULES, min_size=USERS, max_size=USERS), paths=st.lists(PATHS, min_size=USERS, max_size=USERS))
def test_every_sequence_follows_the_model(totals: Any, rules: list[Any], paths: list[Any]) -> None:
    """Users with rules and worths of their own, evaluated together; a path that has ended stays as it is."""
    with totals.engine.begin() as connection:
        connection.execute(sa.text("truncate app.alert_rules, app.alert_evaluations, app.outbox_messages cascade"))
        connection.execute(
            sa.text("insert into app.users (user_id) select 'user ' || n from generate_series(0, 7) n "
                    "on conflict (user_id) do nothing")
        )  # fmt: skip
    totals.told = 0
    users = [f"user {number}" for number in range(USERS)]
    models = [Model(hysteresis, cooldown) for hysteresis, cooldown in rules]
    for user, (hysteresis, cooldown) in zip(users, rules, strict=True):
        totals.add(user, hysteresis=hysteresis, cooldown_minutes=cooldown)
    minute = 0.0
    for at in range(max(map(len, paths))):
        now = [path[min(at, len(path) - 1)] for path in paths]
        minute += now[0][0]
        totals.publish({user: step[1:] for user, step in zip(users, now, strict=True)}, minute)
        found = {message["user_id"]: said([message]) for message in totals.evaluate(minute)}
        wanted = {
            user: text
            for user, model, step in zip(users, models, now, strict=True)
            if (text := model.step(minute, step[1], step[2]))
        }
        assert found == wanted, f"step {at}"
