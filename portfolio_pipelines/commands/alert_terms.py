"""What the options of `portfolio alerts add` and `edit` say, read as terms of a rule with all their faults at once."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from portfolio_pipelines.commands.console import CommandError, today
from portfolio_pipelines.commands.overriding import asset_of
from portfolio_pipelines.database.alert_versions import RuleTerms
from portfolio_pipelines.resources.platform import Platform


def terms_with(terms: RuleTerms, options: Mapping[str, str | None], faults: list[str]) -> RuleTerms:
    """The terms with what the options say."""
    from portfolio_pipelines.delivery.alerts.rules import usual_hysteresis

    sides = {side: options.get(side) for side in ("above", "below", "beyond") if options.get(side) is not None}
    if len(sides) > 1:
        faults.append(f"one of --above, --below and --beyond is enough, not {len(sides)}")
    changes: dict[str, Any] = {}
    for side, text in sides.items():
        changes |= {"comparison": side, "warning_at": _number(text, f"--{side}", faults)}
    for name, field in (
        ("info", "info_at"), ("critical", "critical_at"), ("min_coverage", "min_coverage"), ("hysteresis", "hysteresis")
    ):  # fmt: skip
        if (text := options.get(name)) is not None:
            changes[field] = _number(text, f"--{name.replace('_', '-')}", faults)
    for name, field in (("span", "span_days"), ("cooldown", "cooldown_minutes")):
        if (text := options.get(name)) is not None:
            changes[field] = _whole(text, f"--{name}", faults)
    if options.get("note") is not None:
        changes["note"] = options["note"]
    terms = replace(terms, **{name: value for name, value in changes.items() if value is not None})
    if sides and "hysteresis" not in changes:
        usual = usual_hysteresis(terms.comparison, terms.info_at, terms.warning_at, terms.critical_at)
        terms = replace(terms, hysteresis=usual)
    return terms


def refuse_faults(terms: RuleTerms, faults: list[str], *, of_operators: bool) -> None:
    """Judge the terms.

    Raises:
        CommandError: With what was wrong before and what is wrong with them.
    """
    from portfolio_pipelines.delivery.alerts.rules import NO_THRESHOLD, faults_of

    found = faults_of(terms, of_operators=of_operators)
    faults += [each for each in found if each != NO_THRESHOLD or not faults]  # one that is no number was told already
    if faults:
        raise CommandError("\n".join(dict.fromkeys(faults)))


def subject_of(platform: Platform, metric: str, subject: str, faults: list[str]) -> str:
    """The subject; of a price the id of the asset that people call by its symbol."""
    from portfolio_pipelines.database.held_assets import held_assets_frame

    if metric != "price" or subject in {"", "*"}:
        return subject
    try:
        return asset_of(platform, subject, today())
    except CommandError as error:
        if subject not in set(held_assets_frame(platform.database.engine)["asset_id"]):
            faults.append(str(error))
        return subject


def _number(text: str | None, what: str, faults: list[str]) -> float | None:
    try:
        return float((text or "").removesuffix("%").replace(",", ""))
    except ValueError:
        faults.append(f"{what} is no number: {text!r}")
        return None


def _whole(text: str, what: str, faults: list[str]) -> int | None:
    if text.isdecimal():
        return int(text)
    faults.append(f"{what} is no whole number: {text!r}")
    return None
