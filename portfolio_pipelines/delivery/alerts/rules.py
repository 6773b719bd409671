"""What makes sense as an alert rule: every fault of one at once, and what is usual where nothing is said.

Belongs here: judging terms. They are kept by `database.alert_versions`; metrics are described in `metrics`.
"""

import math
from difflib import get_close_matches
from itertools import pairwise
from typing import Final

from portfolio_pipelines.database.alert_models import COMPARISONS
from portfolio_pipelines.database.alert_versions import RuleTerms
from portfolio_pipelines.delivery.alerts.figures import PORTFOLIO
from portfolio_pipelines.delivery.alerts.metrics import EVERYTHING, METRICS, Metric, Owner

USUAL_HYSTERESIS: Final = 0.05
"""Share of the first threshold by which a figure has to come back, where a rule does not say: noise is less."""
LONGEST_COOLDOWN: Final = 366 * 24 * 60
LONGEST_NOTE: Final = 200
LONGEST_SUBJECT: Final = 300
NO_THRESHOLD: Final = "a rule has at least one threshold: --above, --below or --beyond"


def usual_subject(metric: str, *, of_operators: bool) -> str:
    """What a rule without a subject watches: the portfolio, all of a user's own, or nothing that could be guessed."""
    known = METRICS.get(metric)
    if known is None or known.has_one_subject:
        return PORTFOLIO
    return EVERYTHING if known.owner is Owner.USERS or of_operators else ""


def usual_hysteresis(comparison: str, *thresholds: float | None) -> float:
    """A twentieth of the first threshold that is crossed, in its unit; 0 without one."""
    given = [each for each in thresholds if each is not None and math.isfinite(each)]
    if not given:
        return 0.0
    return USUAL_HYSTERESIS * abs(max(given) if comparison == "below" else min(given))


def faults_of(terms: RuleTerms, *, of_operators: bool) -> list[str]:
    """Everything that is wrong with a rule, in words for its owner; empty when it can be kept.

    Args:
        terms: What it says.
        of_operators: Whether it is a rule of the operators; else of a user.
    """
    metric = METRICS.get(terms.metric)
    if metric is None:
        near = get_close_matches(terms.metric, METRICS, 1, 0.5)
        hint = f"did you mean {near[0]}? " if near else ""
        faults = [f"there is no metric {terms.metric!r}: {hint}`portfolio alerts metrics` lists them"]
    else:
        faults = [*_owner_faults(metric, terms, of_operators=of_operators), *_span_faults(metric, terms.span_days)]
    faults += _threshold_faults(terms)
    if not (math.isfinite(terms.hysteresis) and terms.hysteresis >= 0):
        faults.append(f"the hysteresis must not be negative: {terms.hysteresis:g}")
    if terms.cooldown_minutes is not None and not 0 <= terms.cooldown_minutes <= LONGEST_COOLDOWN:
        faults.append(f"the cooldown is in minutes, from 0 to {LONGEST_COOLDOWN}: {terms.cooldown_minutes}")
    if not 0 <= terms.min_coverage <= 1:
        faults.append(f"the least coverage is a share from 0 to 1, such as 0.95: {terms.min_coverage:g}")
    if len(terms.note or "") > LONGEST_NOTE:
        faults.append(f"a note has at most {LONGEST_NOTE} characters, this one {len(terms.note or '')}")
    return faults


def _owner_faults(metric: Metric, terms: RuleTerms, *, of_operators: bool) -> list[str]:
    faults = []
    if of_operators and metric.owner is Owner.USERS:
        faults.append(f"{metric.name} is a user's own figure: say --user")
    if not of_operators and metric.owner is Owner.OPERATORS:
        faults.append(f"{metric.name} is for the operators: say --operators")
    if metric.has_one_subject and terms.subject != PORTFOLIO:
        faults.append(f"{metric.name} has one figure a user, so it takes no subject: {terms.subject!r}")
    is_broad = terms.subject == EVERYTHING or (metric.name.startswith("pool_") and "/" not in terms.subject)
    if not terms.subject or (is_broad and metric.owner is Owner.ANYBODY and not of_operators):
        faults.append(f"say what to watch: {metric.name} needs a subject, {metric.subject.removesuffix(' or a chain')}")
    if len(terms.subject) > LONGEST_SUBJECT or not terms.subject.isprintable():
        faults.append(f"a subject has at most {LONGEST_SUBJECT} characters on one line")
    return faults


def _span_faults(metric: Metric, span: int | None) -> list[str]:
    what = "window" if metric.is_window else "span"
    if isinstance(metric.spans, range):
        choices = f"from {metric.spans.start} to {metric.spans.stop - 1}"
    else:
        choices = "one of " + ", ".join(map(str, metric.spans))
    if span is None:
        return [f"{metric.name} needs a {what} in days, {choices}: --span"] if metric.needs_span else []
    if not metric.spans:
        return [f"{metric.name} takes no span: {span}"]
    return [] if span in metric.spans else [f"the {what} of {metric.name} is in days, {choices}: {span}"]


def _threshold_faults(terms: RuleTerms) -> list[str]:
    faults = []
    if terms.comparison not in COMPARISONS:
        return [NO_THRESHOLD]
    named = {"--info": terms.info_at, "the threshold": terms.warning_at, "--critical": terms.critical_at}
    given = [(name, value) for name, value in named.items() if value is not None]
    if not given:
        faults.append(NO_THRESHOLD)
    faults += [f"{name} must be a number that is not infinite" for name, value in given if not math.isfinite(value)]
    sign = -1 if terms.comparison == "below" else 1
    for (before, low), (after, high) in pairwise(given):
        if not sign * low < sign * high:
            more = "below" if sign < 0 else "above"
            faults.append(f"{after} must be {more} {before}, it is more severe: {high:g} and {low:g}")
    if terms.comparison == "beyond":
        faults += [f"{name} of --beyond is a size and not negative: {value:g}" for name, value in given if value < 0]
    return faults
