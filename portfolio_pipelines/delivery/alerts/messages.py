"""What people are told about an alert: title, text and the same for machines.

Belongs here: words. Which event is told is decided in `transitions`; how a channel shows a message in `templates`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from pydantic import JsonValue

from portfolio_pipelines.delivery.alerts.metrics import METRICS, Metric, Unit
from portfolio_pipelines.delivery.outbox import Message, Severity
from portfolio_pipelines.delivery.templates import Facts, shown_name

LEVELS: Final = {1: Severity.INFO, 2: Severity.WARNING, 3: Severity.CRITICAL}
KINDS: Final = {
    "fired": "alert", "raised": "alert", "resolved": "alert.resolved", "cannot_tell": "alert.cannot_tell"
}  # fmt: skip
MOST_SHOWN: Final = 20
"""Subjects of a test message."""
_SIGNIFICANT: Final = 6


@dataclass(frozen=True, slots=True)
class Event:
    """One row of `transitions.advance` or `transitions.look`, with the names of assets that people know."""

    metric: Metric
    row: Mapping[str, Any]
    names: Mapping[str, str]

    @property
    def subject(self) -> str:
        """The subject as people call it."""
        if self.metric.has_one_subject:
            return "the portfolio"
        first, _, rest = self.row["subject"].partition("/")
        if self.metric.name == "allocation_drift" and rest:
            return f"{shown_name(self.names.get(rest, rest))} in {shown_name(first)}"
        return shown_name(self.names.get(self.row["subject"], self.row["subject"]))

    @property
    def figure(self) -> str:
        """Which figure it is about: metric, subject and span."""
        name, span = self.metric.name.replace("_", " "), self.row["span_days"]
        if span is None:
            return f"{name} of {self.subject}"
        if span == 0:
            return f"{name} of {self.subject} since the start"
        days = f"{span} day" if span == 1 else f"{span} days"
        return f"{name} of {self.subject} over {days}" if self.metric.is_window else (
            f"change of {name} of {self.subject} over {days}"
        )  # fmt: skip

    @property
    def unit(self) -> Unit:
        """Unit of value and threshold."""
        return self.metric.unit_of(self.row["span_days"])

    @property
    def change_pct(self) -> float | None:
        """Change of the level in percent, over the span or one day; None when it has none."""
        now, before = self.row["now_value"], self.row["before_value"]
        return 100 * (now / before - 1) if now is not None and before is not None and before > 0 else None

    @property
    def told_level(self) -> int:
        """The level that a message has: of a resolved one that which is over."""
        return int(self.row["next_level"] or self.row["shown_level"] or self.row["level"])


def message_of(event: Event, now: datetime) -> Message:
    """The message of an event, with one key for ever.

    Args:
        event: Something that is told, with its event_id.
        now: When it was found.
    """
    row = event.row
    severity = LEVELS.get(event.told_level, Severity.INFO)
    return Message(
        key=f"alert:{row['event_id']}",
        user_id=row["user_id"],
        subject=f"alert:{row['rule_id']}:{row['subject']}",
        kind=KINDS[row["kind"]],
        severity=severity,
        title=title_of(event),
        text="\n".join(_lines(event)),
        data=_data(event, severity, now),
    )


def trial_message(events: Sequence[Event], rule_id: int, now: datetime) -> Message:
    """A message by which an owner sees that the channels work; it changes no state."""
    event = events[0]
    lines = ["This is a test that was asked for; nothing has fired.", ""]
    lines += [f"{_capital(each.figure)}: {verdict_of(each)}" for each in events[:MOST_SHOWN]]
    return Message(
        key=f"alert-test:{rule_id}:{now.isoformat()}",
        user_id=event.row["user_id"],
        subject=f"alert-test:{rule_id}",
        kind="alert.test",
        severity=Severity.CRITICAL,  # so that it reaches every channel
        title=f"Test of alert rule {rule_id}: {event.figure}",
        text="\n".join(lines),
        data={"rule_id": rule_id, "metric": event.metric.name, "found_at": now.isoformat()},
    )


def title_of(event: Event) -> str:
    """One line: what happened, and by how much."""
    row = event.row
    bound = f"{row['comparison']} {shown(row['threshold'], event.unit)}"
    if row["kind"] == "cannot_tell":
        return f"Cannot tell: {event.figure}"
    if row["kind"] == "resolved":
        return f"Resolved: {event.figure} is {shown(row['value'], event.unit)}, no longer {bound}"
    return f"{_capital(LEVELS[event.told_level])}: {event.figure} is {shown(row['value'], event.unit)}, {bound}"


def verdict_of(event: Event) -> str:
    """What a rule would do with a subject now, in words."""
    row = event.row
    value = f"{shown(row['value'], event.unit)} with a coverage of {_share(row['coverage'])}"
    if row["is_blind"]:
        return f"cannot tell: {_why_blind(event)}"
    if row["kind"] == "held_back":
        return f"{value}: would be held back and counted, the cooldown is not over"
    if row["kind"] in {"fired", "raised", "resolved"}:
        told = "" if row["is_told"] else " without telling: it was held back"
        bound = f"{row['comparison']} {shown(row['threshold'], event.unit)}"
        return f"{value}: would be {row['kind']}{told}, {bound}"
    standing = f"firing as {LEVELS[row['next_level']]}" if row["next_level"] else "armed"
    return f"{value}: nothing new, {standing}"


def shown(value: Any, unit: Unit) -> str:  # a float of the marts or a Decimal of a rule
    """A figure with its unit as people read it; "unknown" for none."""
    if value is None or math.isnan(value):
        return "unknown"
    number = float(value)
    if math.isinf(number):
        return "without limit"
    size = abs(number)
    if unit in {Unit.PERCENT, Unit.POINTS} or (unit in {Unit.USD, Unit.HOURS} and (size >= 1 or size == 0)):
        text = f"{number:,.2f}"
    elif number == round(number):
        text = f"{number:,.0f}"
    elif size >= 1:
        text = f"{number:,.4f}".rstrip("0").rstrip(".")
    else:
        text = f"{Decimal(f'{number:.{_SIGNIFICANT}g}'):f}"  # tiny prices without an exponent
    text = text.removesuffix(".00") if unit is not Unit.USD else text
    return text if unit in {Unit.RATIO, Unit.COUNT, Unit.UNITS} else f"{text} {unit}"


def _lines(event: Event) -> list[str]:
    """What stands above value, change, time and what to look at, which every channel shows of itself."""
    row = event.row
    if row["kind"] == "cannot_tell":
        lines = [f"{_capital(_why_blind(event))}. The rule says nothing until there is better data."]
    else:
        lines = [
            f"Threshold: {row['comparison']} {shown(row['threshold'], event.unit)}",
            f"Fresh data behind the figure: {_share(row['coverage'])}",
        ]
    if row["held_back"]:
        lines.append(f"Crossings that the cooldown held back before: {row['held_back']}")
    if row["note"]:
        lines.append(f"Your note: {row['note']}")
    lines.append(f"Alert rule {row['rule_id']}; `portfolio alerts history {row['rule_id']}` shows what it found.")
    return lines


def _facts(event: Event, now: datetime) -> Facts:
    row, metric = event.row, event.metric
    if metric.name == "allocation_drift" and row["value"] is not None:
        share, target = row["now_value"], row["now_value"] - row["value"]
        value = f"{shown(share, Unit.PERCENT)} of the strategy, target {shown(target, Unit.PERCENT)}"
    else:
        value = shown(row["now_value"], metric.unit)
    change, days = event.change_pct, row["span_days"] or 1
    since = f"in {days} day{'s' if days > 1 else ''}, from {shown(row['before_value'], metric.unit)}"
    return Facts(value, row["as_of"] or now, metric.look_at, None if change is None else f"{change:+,.2f} % {since}")


def _data(event: Event, severity: Severity, now: datetime) -> dict[str, JsonValue]:
    row = event.row
    return {
        **_facts(event, now).as_data(),
        "rule_id": row["rule_id"],
        "metric": event.metric.name,
        "subject": row["subject"],
        "subject_name": event.subject,
        "event": row["kind"],
        "severity": str(severity),
        "span_days": row["span_days"],
        "comparison": row["comparison"],
        "threshold": _number(row["threshold"]),
        "value": _number(row["value"]),
        "unit": str(event.unit),
        "level_now": _number(row["now_value"]),
        "level_before": _number(row["before_value"]),
        "change_pct": _number(event.change_pct),
        "coverage": _number(row["coverage"]),
        "reason": row["reason"],
        "found_at": now.isoformat(),
        "held_back": row["held_back"],
        "note": row["note"],
    }


def _why_blind(event: Event) -> str:
    row = event.row
    if row["value"] is None or math.isnan(row["value"]):
        return f"the figure is unknown: {row['reason'] or 'there is no data of it'}"
    least = f"the rule wants at least {_share(row['min_coverage'])}"
    return f"only {_share(row['coverage'])} of the data behind it is fresh, {least}"


def _share(coverage: float | None) -> str:
    return "0 %" if coverage is None else f"{100 * coverage:.4g} %"


def _number(value: Any) -> float | None:  # a float of the marts or a Decimal of a rule
    return float(value) if value is not None and math.isfinite(value) else None


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def events_of(rows: Sequence[Mapping[str, Any]], metric: str, names: Mapping[str, str]) -> list[Event]:
    """Rows of a statement of `transitions` as events."""
    return [Event(METRICS[metric], row, names) for row in rows]
