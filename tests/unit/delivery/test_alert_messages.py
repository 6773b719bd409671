"""What people read of an alert: figures with their units, what happened, and names that strangers wrote."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest

from portfolio_pipelines.delivery.alerts.messages import Event, message_of, shown, title_of, trial_message, verdict_of
from portfolio_pipelines.delivery.alerts.metrics import METRICS, Unit
from portfolio_pipelines.delivery.outbox import Severity
from portfolio_pipelines.delivery.templates import page

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
ROW: Mapping[str, Any] = MappingProxyType(
    {
        "event_id": 5,
        "rule_id": 17,
        "user_id": "ann",
        "subject": "coingecko:bitcoin",
        "span_days": 7,
        "comparison": "beyond",
        "threshold": 5.0,
        "value": -10.0,
        "coverage": 1.0,
        "min_coverage": 0.95,
        "now_value": 90_000.0,
        "before_value": 100_000.0,
        "reason": None,
        "as_of": NOW,
        "kind": "fired",
        "level": 0,
        "next_level": 2,
        "shown_level": 0,
        "is_blind": False,
        "is_told": True,
        "held_back": 2,
        "note": None,
    }
)


def event(metric: str = "price", **changes: Any) -> Event:
    return Event(METRICS[metric], {**ROW, **changes}, {"coingecko:bitcoin": "BTC"})


def test_an_alert_says_value_change_time_and_what_to_look_at() -> None:
    message = message_of(event(), NOW)
    assert (message.key, message.subject, message.kind) == ("alert:5", "alert:17:coingecko:bitcoin", "alert")
    assert message.severity is Severity.WARNING
    assert message.title == "Warning: change of price of BTC over 7 days is -10 %, beyond 5 %"
    text = page(message.title, message.text, message.severity, message.data, NOW).text
    for line in (
        "Threshold: beyond 5 %", "Fresh data behind the figure: 100 %",
        "Crossings that the cooldown held back before: 2", "Value now: 90,000.00 USD",
        "Change: -10.00 % in 7 days, from 100,000.00 USD", "Time: 2026-03-01 12:30 UTC",
        "Look at: its closes and sources in prices_daily",
    ):  # fmt: skip
        assert line in text.splitlines()
    assert (message.data["value"], message.data["threshold"], message.data["unit"]) == (-10.0, 5.0, "%")


@pytest.mark.parametrize(
    ("metric", "changes", "title"),
    [
        ("value", {"subject": "portfolio", "span_days": None, "value": 9500.5, "threshold": 10_000,
                   "comparison": "below", "next_level": 3},
         "Critical: value of the portfolio is 9,500.50 USD, below 10,000.00 USD"),
        ("max_drawdown", {"subject": "portfolio", "span_days": 0, "value": -21.25, "threshold": -20.0,
                          "comparison": "below"},
         "Warning: max drawdown of the portfolio since the start is -21.25 %, below -20 %"),
        ("sharpe", {"subject": "portfolio", "span_days": 30, "value": 0.5, "threshold": 1.0, "comparison": "below"},
         "Warning: sharpe of the portfolio over 30 days is 0.5, below 1"),
        ("allocation_drift", {"subject": "core/coingecko:bitcoin", "span_days": None, "value": 16.67},
         "Warning: allocation drift of BTC in core is 16.67 percentage points, beyond 5 percentage points"),
        ("price", {"kind": "resolved", "next_level": 0, "shown_level": 2, "value": 1.0},
         "Resolved: change of price of BTC over 7 days is 1 %, no longer beyond 5 %"),
        ("price", {"kind": "cannot_tell"}, "Cannot tell: change of price of BTC over 7 days"),
    ],
)  # fmt: skip
def test_titles(metric: str, changes: dict[str, Any], title: str) -> None:
    assert title_of(event(metric, **changes)) == title


def test_figures_are_written_as_people_read_them() -> None:
    assert shown(1234567.891, Unit.USD) == "1,234,567.89 USD"
    assert shown(0.00001234567, Unit.USD) == "0.0000123457 USD"
    assert shown(0, Unit.USD) == "0.00 USD"
    assert shown(float("inf"), Unit.RATIO) == "without limit"
    assert shown(None, Unit.PERCENT) == shown(float("nan"), Unit.PERCENT) == "unknown"


def test_a_loan_without_a_limit_is_no_number_for_machines() -> None:
    loan = event("health_factor", subject="ethereum/aave_v3/0x01/0xaa", span_days=None, value=float("inf"),
                 now_value=None, before_value=None, kind="resolved", shown_level=3, next_level=0)  # fmt: skip
    message = message_of(loan, NOW)
    assert message.data["value"] is None
    assert message.severity is Severity.CRITICAL
    assert "is without limit, no longer" in message.title


def test_what_cannot_be_told_says_why() -> None:
    poor = event(kind="cannot_tell", coverage=0.4, is_blind=True, next_level=0)
    message = message_of(poor, NOW)
    assert "Only 40 % of the data behind it is fresh, the rule wants at least 95 %." in message.text
    assert (message.kind, message.severity) == ("alert.cannot_tell", Severity.INFO)
    unknown = event(kind="cannot_tell", value=None, now_value=None, reason="nothing is priced", is_blind=True)
    assert "The figure is unknown: nothing is priced." in message_of(unknown, NOW).text
    assert verdict_of(unknown) == "cannot tell: the figure is unknown: nothing is priced"


def test_names_of_strangers_are_harmless() -> None:
    name = "<script>alert(1)</script>\r\n\u202eBcc: all@example.org " + "x" * 10_000
    hostile = Event(METRICS["price"], ROW, {"coingecko:bitcoin": name})
    message = message_of(hostile, NOW)
    shown_page = page(message.title, message.text, message.severity, message.data, NOW)
    assert len(shown_page.title) <= 150
    assert not set("\r\n\u202e") & set(shown_page.title)
    assert "<script>" not in shown_page.html


def test_a_test_message_says_that_nothing_fired() -> None:
    message = trial_message([event(kind=None, next_level=0)], 17, NOW)
    assert message.kind == "alert.test"
    assert "nothing has fired" in message.text
    assert "-10 % with a coverage of 100 %: nothing new, armed" in message.text
