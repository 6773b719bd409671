"""The commands about alerts as people type them, against a real database, and rules as they are judged and kept."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from portfolio_pipelines.cli import app
from portfolio_pipelines.database.alert_versions import (
    MOST_RULES,
    RuleRefusedError,
    RuleTerms,
    add_rule,
    change_rule,
    delete_rule,
)
from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.delivery.alerts.evaluation import EvaluationError, evaluate
from portfolio_pipelines.delivery.alerts.rules import faults_of, usual_hysteresis


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, totals: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORTFOLIO_HOME", str(tmp_path))
    monkeypatch.setenv("PORTFOLIO_DATABASE_URL", url_text(totals.engine.url))


def portfolio(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(words))
    return result.exit_code, re.sub(r"\s+", " ", result.output)


@pytest.mark.usefixtures("home")
def test_a_rule_is_added_tried_evaluated_listed_changed_and_deleted(totals: Any) -> None:
    code, said = portfolio(
        "alerts", "add", "value", "--user", "ann", "--below", "100", "--critical", "80", "--info", "120",
        "--cooldown", "30", "--note", "call the bank",
    )  # fmt: skip
    assert (code, said.split(". ")[0]) == (0, "Rule 1 of ann is set")
    assert "ann has no verified channel yet" in said
    assert "It sees no figure yet" in said
    totals.publish({"ann": (150, 0.99)})
    # A try says what would happen, and changes nothing.
    assert (
        "value of the portfolio: 150.00 USD with a coverage of 99 %: nothing new, armed"
        in (portfolio("alerts", "test", "1")[1])
    )
    totals.publish({"ann": (90, 0.99)})
    for _ in range(2):
        code, said = portfolio("alerts", "test", "1")
        assert "Rule 1 fires below 120 (info), 100 (warning), 80 (critical); it wants a coverage of at least" in said
        assert "90.00 USD with a coverage of 99 %: would be fired, below 100.00 USD" in said
    assert totals.new_messages() == []
    totals.publish({"ann": (90, 0.5)})
    assert (
        "cannot tell: only 50 % of the data behind it is fresh, the rule wants at least 95 %"
        in (portfolio("alerts", "test", "1")[1])
    )
    totals.publish({"ann": (90, 0.99)})
    assert portfolio("alerts", "evaluate") == (0, "Alerts: 1 metrics with news, 1 changes, 1 messages. ")
    assert portfolio("alerts", "evaluate") == (0, "Alerts: no data and no rule is new. ")
    (message,) = totals.new_messages()
    assert message["title"] == "Warning: value of the portfolio is 90.00 USD, below 100.00 USD"
    assert "Your note: call the bank" in message["text"]
    assert (message["data"]["value_now"], message["data"]["change"]) == (
        "90.00 USD", "-55.00 % in 1 day, from 200.00 USD",
    )  # fmt: skip
    (listed,) = json.loads(portfolio("alerts", "list", "--user", "ann", "--format", "json")[1])
    assert (listed["firing"], listed["hysteresis"], listed["cooldown_minutes"]) == (1, 6.0, 30)  # 5 % of 120
    assert portfolio("alerts", "edit", "1", "--below", "80", "--critical", "60", "--info", "85")[1] == (
        "Rule 1 is version 2. "
    )  # fmt: skip
    # It watches something else now, so it starts over.
    (listed,) = json.loads(portfolio("alerts", "list", "--format", "json")[1])
    assert (listed["version"], listed["firing"], listed["note"]) == (2, 0, "call the bank")
    assert "Rule 1 is version 3 and paused" in portfolio("alerts", "edit", "1", "--pause")[1]
    totals.publish({"ann": (10, 1)})
    assert portfolio("alerts", "evaluate") == (0, "Alerts: 1 metrics with news, 0 changes, 0 messages. ")
    assert "would be fired" in portfolio("alerts", "test", "1")[1]  # also a paused one can be tried
    history = json.loads(portfolio("alerts", "history", "1", "--format", "json")[1])
    assert [(each["kind"], each["level"], each["value"], each["was_told"]) for each in history] == [
        ("fired", "warning", 90.0, True)
    ]
    assert portfolio("alerts", "delete", "1")[0] == 0
    assert "there is no alert rule" in portfolio("alerts", "list")[1]
    assert json.loads(portfolio("alerts", "history", "--user", "ann", "--format", "json")[1]) == history
    assert portfolio("alerts", "delete", "1")[0] == 1
    assert portfolio("alerts", "edit", "1", "--below", "3")[0] == 1


@pytest.mark.usefixtures("home")
def test_a_test_message_goes_out_only_when_it_is_asked_for(totals: Any) -> None:
    totals.add("ann")
    totals.publish({"ann": (150, 1)})
    assert "A test message lies in the outbox" in portfolio("alerts", "test", "1", "--send")[1]
    (message,) = totals.new_messages()
    assert (message["kind"], message["user_id"]) == ("alert.test", "ann")
    assert "nothing has fired" in message["text"]


@pytest.mark.usefixtures("home")
def test_assets_are_named_by_their_symbols(totals: Any) -> None:
    assert portfolio("alerts", "add", "price", "BTC", "--user", "ann", "--span", "1", "--beyond", "5")[0] == 0
    (listed,) = json.loads(portfolio("alerts", "list", "--format", "json")[1])
    assert (listed["subject"], listed["span_days"], listed["comparison"]) == ("coingecko:bitcoin", 1, "beyond")
    # The very same rule is no second one.
    code, said = portfolio("alerts", "add", "price", "BTC", "--user", "ann", "--span", "1", "--beyond", "5")
    assert (code, said) == (1, "rule 1 says exactly that already ")


@pytest.mark.usefixtures("home")
def test_everything_that_is_wrong_is_told_at_once() -> None:
    code, said = portfolio(
        "alerts", "add", "price", "BITCON", "--user", "ann", "--above", "few", "--critical", "x", "--span", "0",
        "--cooldown", "-3", "--min-coverage", "1.5", "--hysteresis=-1", "--note", "n" * 201,
    )  # fmt: skip
    assert code == 1
    for fault in (
        "unknown asset 'BITCON'", "--above is no number: 'few'", "--critical is no number: 'x'",
        "the span of price is in days, from 1 to 3650: 0", "--cooldown is no whole number: '-3'",
        "the least coverage is a share from 0 to 1", "the hysteresis must not be negative: -1",
        "a note has at most 200 characters, this one 201",
    ):  # fmt: skip
        assert fault in said, said
    assert portfolio("alerts", "list", "--format", "json")[1] == "[] "
    assert "say whose rule it is" in portfolio("alerts", "add", "value", "--below", "1")[1]
    assert "there is no user 'nobody'" in portfolio("alerts", "add", "value", "--user", "nobody", "--below", "1")[1]
    assert "there is no alert rule 77" in portfolio("alerts", "test", "77")[1]


@pytest.mark.parametrize(
    ("terms", "of_operators", "fault"),
    [
        (RuleTerms("valeu", "portfolio", "above", warning_at=1), False, "did you mean value?"),
        (RuleTerms("value", "portfolio", "above", warning_at=1), True, "a user's own figure"),
        (RuleTerms("data_quality", "*", "above", warning_at=1), False, "for the operators"),
        (RuleTerms("value", "BTC", "above", warning_at=1), False, "takes no subject"),
        (RuleTerms("price", "*", "above", warning_at=1), False, "needs a subject"),
        (RuleTerms("pool_tvl", "ethereum", "above", warning_at=1), False, "needs a subject, CHAIN/POOL"),
        (RuleTerms("day_return", "portfolio", "above", 7, warning_at=1), False, "takes no span"),
        (RuleTerms("twr", "portfolio", "above", warning_at=1), False, "needs a window in days, one of 0, 30, 90, 365"),
        (RuleTerms("value", "portfolio", "above", 2, warning_at=1), False, "one of 1, 7, 30, 90, 365: 2"),
        (RuleTerms("value", "portfolio", "above"), False, "at least one threshold"),
        (RuleTerms("value", "portfolio", "", warning_at=1), False, "at least one threshold: --above"),
        (RuleTerms("value", "portfolio", "above", warning_at=float("inf")), False, "not infinite"),
        (RuleTerms("value", "portfolio", "above", warning_at=5, critical_at=4), False, "--critical must be above"),
        (
            RuleTerms("value", "portfolio", "below", info_at=3, warning_at=4),
            False,
            "the threshold must be below --info",
        ),
        (RuleTerms("value", "portfolio", "beyond", warning_at=-4), False, "is a size and not negative"),
        (RuleTerms("price", "a\nb", "above", warning_at=4), False, "on one line"),
    ],
)
def test_rules_that_make_no_sense_are_refused(terms: RuleTerms, of_operators: bool, fault: str) -> None:
    faults = faults_of(terms, of_operators=of_operators)
    assert len(faults) == 1
    assert fault in faults[0]


def test_a_sound_rule_has_no_fault_and_comes_back_by_a_twentieth() -> None:
    sound = RuleTerms("max_drawdown", "portfolio", "below", 90, info_at=-10, warning_at=-20, critical_at=-40)
    assert faults_of(sound, of_operators=False) == []
    assert usual_hysteresis("below", -10, -20, -40) == 0.5
    assert usual_hysteresis("above", None, 200.0, 400.0) == 10


def test_an_edited_rule_starts_over_and_a_changed_cooldown_does_not(totals: Any) -> None:
    rule = totals.add("ann")
    totals.publish({"ann": (99, 1)})
    assert len(totals.evaluate(0)) == 1
    usual: dict[str, Any] = {"hysteresis": 5, "cooldown_minutes": 60, "critical_at": 80}
    quieter = RuleTerms("value", "portfolio", "below", warning_at=100, **(usual | {"cooldown_minutes": 90}))
    assert change_rule(totals.engine, rule, quieter, who="test") == 2
    assert totals.evaluate(1) == []  # it fires already
    assert change_rule(totals.engine, rule, quieter, who="test") == 2
    higher = RuleTerms("value", "portfolio", "below", warning_at=110, **usual)
    assert change_rule(totals.engine, rule, higher, who="test") == 3
    (message,) = totals.evaluate(2)
    assert (message["data"]["threshold"], message["subject"]) == (110, f"alert:{rule}:portfolio")
    delete_rule(totals.engine, rule, who="test")
    totals.publish({"ann": (50, 1)})
    assert totals.evaluate(3) == []


def test_a_rule_that_is_paused_stays_where_it_stood(totals: Any) -> None:
    rule = totals.add("ann")
    totals.publish({"ann": (99, 1)})
    totals.evaluate(0)
    terms = RuleTerms("value", "portfolio", "below", warning_at=100, critical_at=80, hysteresis=5, cooldown_minutes=60)
    change_rule(totals.engine, rule, RuleTerms(**{**_as_dict(terms), "paused": True}), who="test")
    totals.publish({"ann": (120, 1)})
    assert totals.evaluate(10) == []
    change_rule(totals.engine, rule, terms, who="test")
    (message,) = totals.evaluate(20)
    assert message["kind"] == "alert.resolved"


def _as_dict(terms: RuleTerms) -> dict[str, Any]:
    return {name: getattr(terms, name) for name in terms.__slots__}


def test_a_figure_that_vanishes_is_missing_data_and_no_end(totals: Any) -> None:
    totals.add("ann")
    totals.publish({"ann": (99, 1)})
    assert len(totals.evaluate(0)) == 1
    totals.publish({"bob": (1, 1)})
    (message,) = totals.evaluate(10)
    assert (message["kind"], message["title"]) == ("alert.cannot_tell", "Cannot tell: value of the portfolio")
    assert message["data"]["value"] is None
    totals.publish({"ann": (110, 1)})
    assert [each["kind"] for each in totals.evaluate(20)] == ["alert.resolved"]


def test_one_metric_that_fails_leaves_the_others_evaluated(totals: Any) -> None:
    totals.add("ann")
    add_rule(totals.engine, "ann", RuleTerms("day_return", "portfolio", "below", warning_at=0), who="test")
    with totals.engine.begin() as connection:
        connection.execute(sa.text("create table marts.portfolio_snapshots (something_else text)"))
    totals.publish({"ann": (99, 1)})
    with pytest.raises(EvaluationError, match="day_return: column"):
        evaluate(totals.engine, now=totals.at(0))
    assert len(totals.new_messages()) == 1


def test_before_the_first_publication_nothing_is_evaluated(database: sa.Engine) -> None:
    with database.begin() as connection:
        connection.execute(sa.text("insert into app.users (user_id) values ('ann')"))
    add_rule(database, "ann", RuleTerms("value", "portfolio", "below", warning_at=100), who="test")
    assert evaluate(database) == []


def test_a_user_has_a_limit_of_rules(totals: Any) -> None:
    for number in range(MOST_RULES):
        add_rule(totals.engine, "ann", RuleTerms("value", "portfolio", "below", warning_at=number), who="test")
    with pytest.raises(RuleRefusedError, match="at most"):
        add_rule(totals.engine, "ann", RuleTerms("value", "portfolio", "below", warning_at=-1), who="test")
