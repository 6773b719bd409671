"""`portfolio explain USER DAY METRIC`: the inputs and the formula of a served figure, and the figure again.

Belongs here: finding the served figure and printing. The definitions are in `explained_*`.
"""

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Final

from portfolio_pipelines.commands.console import OUT, CommandError
from portfolio_pipelines.commands.explained_comparisons import (
    COMPARED,
    OF_THE_DAY,
    SPREAD,
    explain_comparison,
    explain_day,
    explain_spread,
)
from portfolio_pipelines.commands.explained_metrics import (
    EXPLAINED,
    Explanation,
    Question,
    Value,
    days_of_window,
    explain_metric,
)

if TYPE_CHECKING:
    import duckdb

    from portfolio_pipelines.resources.platform import Platform

SOURCES: Final[Mapping[str, str]] = {
    **dict.fromkeys(OF_THE_DAY, "portfolio_performance_daily"),
    **dict.fromkeys(SPREAD, "diversification"),
    **dict.fromkeys(COMPARED, "benchmark_comparison"),
    **dict.fromkeys(EXPLAINED, "portfolio_metrics"),
}
"""Every figure that can be explained, and the mart that serves it."""
AGREEMENT: Final = 1e-6


def explain(platform: "Platform", user: str, day: date, metric: str, window: int, benchmark: str) -> None:
    """Print where a figure comes from.

    Raises:
        CommandError: If the figure is unknown, was not computed for the day, or the inputs are not there.
    """
    question = Question(user, day, metric, window, benchmark, platform.settings.risk_free_rate)
    with platform.warehouse.connect() as marts:
        found = explanation(marts, question)
    _show(question, found)


def explanation(marts: "duckdb.DuckDBPyConnection", question: Question) -> Explanation:
    """The served figure, its formula, its inputs, and what they give.

    Raises:
        CommandError: As `explain`.
    """
    if question.metric not in SOURCES:
        msg = f"no figure {question.metric!r}; choose from {', '.join(sorted(SOURCES))}"
        raise CommandError(msg)
    served, reason = _served(marts, question)
    if served is None and reason is not None:
        return Explanation("it cannot be told", [], None, None, reason)
    if question.metric in SPREAD:
        found = explain_spread(marts, question)
    elif question.metric in OF_THE_DAY:
        found = explain_day(marts, question)
    else:
        days = days_of_window(marts, question)
        is_compared = question.metric in COMPARED
        found = explain_comparison(marts, days, question) if is_compared else explain_metric(days, question)
    return Explanation(found.formula, found.inputs, found.recomputed, served, reason)


def _served(marts: "duckdb.DuckDBPyConnection", question: Question) -> tuple[Value, str | None]:
    """The figure as it is served, and why it is null."""
    table = SOURCES[question.metric]
    day = "date" if table == "portfolio_performance_daily" else "as_of"
    reason = "reason" if table == "portfolio_metrics" else "null"
    conditions, values = [f"user_id = ? and {day} = ?"], [question.user, question.day]
    if table in {"portfolio_metrics", "benchmark_comparison"}:
        conditions.append("window_days = ?")
        values.append(question.window)
    if table == "benchmark_comparison":
        conditions.append("benchmark = ?")
        values.append(question.benchmark)
    row = marts.execute(
        f'select "{question.metric}", {reason} from marts.{table} where {" and ".join(conditions)}',  # noqa: S608 ours
        values,
    ).fetchone()
    if row is None:
        days = marts.execute(
            f"select distinct {day} from marts.{table} where user_id = ? order by 1 desc limit 5",  # noqa: S608
            [question.user],
        ).fetchall()
        known = ", ".join(str(found[0]) for found in days) or "none"
        msg = (
            f"{table} has no row of {question.user} on {question.day} for this window and benchmark; its newest days "
            f"are: {known}. Metrics are computed for month ends and the last day of a run; "
            "`portfolio run --metrics every-day` computes all"
        )
        raise CommandError(msg)
    return row


def _show(question: Question, found: Explanation) -> None:
    title = f"{question.metric} of {question.user} on {question.day} ({SOURCES[question.metric]})"
    OUT.print(title, style="bold", markup=False)
    OUT.print(f"  served      {_text(found.served)}", markup=False)
    if found.reason:
        OUT.print(f"  null        {found.reason}", markup=False)
    OUT.print(f"  formula     {found.formula}", markup=False)
    for name, value in found.inputs:
        OUT.print(f"  input       {name}: {_text(value)}", markup=False)
    if found.recomputed is not None:
        OUT.print(f"  gives       {_text(found.recomputed)}{_verdict(found)}", markup=False)


def _verdict(found: Explanation) -> str:
    served, again = found.served, found.recomputed
    if isinstance(served, int | float) and isinstance(again, int | float):
        same = abs(served - again) <= AGREEMENT * max(1.0, abs(served))
    else:
        same = served == again
    return "  = served" if same else "  DIFFERS from what is served: the marts may be older than their inputs"


def _text(value: Value) -> str:
    if value is None:
        return "null"
    return f"{float(value):,.10g}" if isinstance(value, float) else str(value)
