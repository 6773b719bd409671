"""`portfolio explain USER DAY METRIC`: the inputs and the formula of a served figure, and the figure again.

Belongs here: finding the served figure and printing. The definitions are in `explained_*`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Final

from portfolio_pipelines.commands.console import OUT, CommandError
from portfolio_pipelines.commands.explained_books import BOOK_MARTS
from portfolio_pipelines.commands.explained_chains import CHAIN_MARTS
from portfolio_pipelines.commands.explained_comparisons import (
    COMPARED,
    OF_THE_DAY,
    SPREAD,
    explain_comparison,
    explain_day,
    explain_spread,
)
from portfolio_pipelines.commands.explained_deposits import OF_DEPOSITS, explain_deposit
from portfolio_pipelines.commands.explained_holdings import HOLDING_MARTS
from portfolio_pipelines.commands.explained_inputs import why_not
from portfolio_pipelines.commands.explained_leaderboard import BOARD, OF_BOARD, OF_RANKS, RANKS, explain_standing
from portfolio_pipelines.commands.explained_ledgers import MART as LEDGERS
from portfolio_pipelines.commands.explained_ledgers import OF_LEDGERS, explain_ledger
from portfolio_pipelines.commands.explained_liquidity import OF_ONE, OF_POSITIONS, TOTALS, explain_loss
from portfolio_pipelines.commands.explained_metrics import (
    EXPLAINED,
    Explanation,
    Question,
    Value,
    days_of_window,
    explain_metric,
)
from portfolio_pipelines.commands.explained_plans import PLAN_MARTS
from portfolio_pipelines.commands.explained_portfolios import PORTFOLIO_MARTS
from portfolio_pipelines.commands.explained_rows import Mart, explain_row

if TYPE_CHECKING:
    import duckdb

    from portfolio_pipelines.resources.lake import Lake
    from portfolio_pipelines.resources.platform import Platform

DAILY: Final = "portfolio_performance_daily"
"""The mart that a name alone is of, where it has a figure of that name: the portfolio at the close of the day."""
OF_A_WINDOW: Final = "portfolio_metrics"
"""The mart that is meant where a window is chosen."""
SOURCES: Final[Mapping[str, str]] = {
    **dict.fromkeys(OF_THE_DAY, DAILY),
    **dict.fromkeys(SPREAD, "diversification"),
    **dict.fromkeys(COMPARED, "benchmark_comparison"),
    **dict.fromkeys(EXPLAINED, OF_A_WINDOW),
    **dict.fromkeys(OF_LEDGERS, LEDGERS),
    **dict.fromkeys(OF_POSITIONS, TOTALS),
}
"""Figures with an explanation of their own, and the mart that serves them."""
MARTS: Final[Mapping[str, Mart]] = {
    **PORTFOLIO_MARTS, **HOLDING_MARTS, **BOOK_MARTS, **CHAIN_MARTS, **PLAN_MARTS,
}  # fmt: skip
"""Marts whose other figures are explained from their row."""
BOARDS: Final = {RANKS: OF_RANKS, BOARD: OF_BOARD}
AGREEMENT: Final = 1e-6
OF_A_DAY: Final = (DAILY, LEDGERS, TOTALS, OF_ONE)
"""Marts whose day is the column `date`; that of the others is `as_of`."""


def figures() -> set[tuple[str, str]]:
    """Mart and column of every figure that is explained."""
    own = {(mart, name.rpartition(".")[2]) for name, mart in SOURCES.items() if name != "price_ratio"}
    of_one = {(OF_ONE, name) for name in OF_POSITIONS}
    rows = {(name, column) for name, mart in MARTS.items() for column in mart.figures}
    return own | of_one | rows | {(mart, column) for mart, columns in BOARDS.items() for column in columns}


def namesakes(metric: str) -> list[str]:
    """Figures of other marts that have the name, where it was given without a mart."""
    if "." in metric:
        return []
    mine = named(metric)[0]
    return sorted(f"{mart}.{column}" for mart, column in figures() if column == metric and mart != mine)


def named(metric: str) -> tuple[str, str]:
    """The mart and the name of the figure within its explanation that a person means.

    A name alone is of the day's portfolio where that has such a figure; `namesakes` are the others.

    Raises:
        CommandError: If there is no such figure, if it is none, or if several marts have it.
    """
    mart, _, column = metric.rpartition(".")
    if not mart and (column in OF_THE_DAY or column in MARTS[DAILY].figures):
        return DAILY, column
    if metric in SOURCES:
        return SOURCES[metric], metric
    if SOURCES.get(column) == mart or (mart == OF_ONE and column in OF_POSITIONS):
        return mart, column
    of_rows = [name for name, one in MARTS.items() if column in one.figures and mart in {"", name}]
    of_boards = [name for name, columns in BOARDS.items() if column in columns and mart in {"", name}]
    found = of_rows + (of_boards[:1] if not of_rows else of_boards)  # both boards say the same of a user
    if len(found) == 1:
        return found[0], column
    if found:
        msg = f"several marts have {column}: choose from {', '.join(f'{name}.{column}' for name in found)}"
        raise CommandError(msg)
    known = sorted({name for _, name in figures()})
    msg = why_not(metric) or f"no figure {metric!r}; choose from {', '.join(known)}"
    raise CommandError(msg)


def explain(
    platform: "Platform",
    user: str,
    day: date,
    metric: str,
    window: int | None,
    benchmark: str,
    of: Sequence[str] = (),
    **which: str | None,
) -> None:
    """Print where a figure comes from.

    Args:
        platform: Whose marts are asked.
        user: Whose figure.
        day: Of which day.
        metric: Its name.
        window: Of a metric, in days; 0 is since the start. Where none is chosen, a name that a figure of the day and
            one of a window share is that of the day.
        benchmark: Of a comparison.
        of: Which row of several, as COLUMN=VALUE.
        which: scope and method of a ledger, position in a pool.

    Raises:
        CommandError: If the figure is unknown, was not computed for the day, or the inputs are not there.
    """
    chosen = {name: value for name, value in which.items() if value is not None}
    wrong = [text for text in of if not all(text.partition("=")[::2])]
    if wrong:
        msg = f"a row is chosen as COLUMN=VALUE, not {', '.join(map(repr, wrong))}"
        raise CommandError(msg)
    if window is not None and "." not in metric and (OF_A_WINDOW, metric) in figures():
        metric = f"{OF_A_WINDOW}.{metric}"
    question = Question(
        user, day, metric, window or 0, benchmark, platform.settings.risk_free_rate, **chosen,
        of=tuple((name, value) for name, _, value in (text.partition("=") for text in of)),
        bucket_users=platform.settings.leaderboard_bucket_users,
    )  # fmt: skip
    with platform.warehouse.connect() as marts:
        found = explanation(marts, question, platform.lake)
    _show(question, found)


def explanation(marts: "duckdb.DuckDBPyConnection", question: Question, lake: "Lake | None" = None) -> Explanation:
    """The served figure, its formula, its inputs, and what they give.

    Args:
        marts: The warehouse.
        question: What is asked.
        lake: For figures that rest on what no mart has; without it they are refused.

    Raises:
        CommandError: As `explain`.
    """
    mart, name = named(question.metric)
    if mart in BOARDS:
        return explain_standing(marts, lake, mart, question)
    if not _is_own(mart, name):
        return explain_row(marts, lake, mart, MARTS[mart], question)
    question = replace(question, metric=name)
    of_positions = explain_loss(marts, question) if name in OF_POSITIONS else None  # names them if need be
    if of_positions is not None and question.position is not None and name in OF_DEPOSITS:
        of_positions = explain_deposit(marts, lake, question)
    served, reason = _served(marts, question)
    if served is None and reason is not None:
        return Explanation("it cannot be told", [], None, None, reason)
    if name in OF_LEDGERS:
        found = explain_ledger(marts, question)
    elif of_positions is not None:
        found = of_positions
    elif name in SPREAD:
        found = explain_spread(marts, question)
    elif name in OF_THE_DAY:
        found = explain_day(marts, question)
    else:
        days = days_of_window(marts, question)
        found = explain_comparison(marts, days, question) if name in COMPARED else explain_metric(days, question)
    return Explanation(found.formula, found.inputs, _known(found.recomputed), served, reason)


def _known(value: Value) -> Value:
    """A figure that came out of something unknown is null."""
    return None if isinstance(value, float) and not isfinite(value) else value


def _is_own(mart: str, name: str) -> bool:
    """Whether the figure has an explanation of its own, beside those that are made row by row."""
    return name in SOURCES and mart in {SOURCES[name], OF_ONE}


def _served(marts: "duckdb.DuckDBPyConnection", question: Question) -> tuple[Value, str | None]:
    """The figure as it is served, and why it is null."""
    table = _source(question)
    column = question.metric.rpartition(".")[2]
    day = "date" if table in OF_A_DAY else "as_of"
    reason = "reason" if table in {OF_A_WINDOW, OF_ONE} else "null"
    conditions = [f"user_id = ? and {day} = ?"]
    values: list[object] = [question.user, question.day]
    if table in {OF_A_WINDOW, "benchmark_comparison"}:
        conditions.append("window_days = ?")
        values.append(question.window)
    if table == "benchmark_comparison":
        conditions.append("benchmark = ?")
        values.append(question.benchmark)
    if table == LEDGERS:
        conditions.append("scope = ? and method = ?")
        values += [question.scope, question.method]
    if table == OF_ONE:
        conditions.append("is_last_of_day and position_id = ?")
        values.append(question.position)
    row = marts.execute(
        f'select "{column}", {reason} from marts.{table} where {" and ".join(conditions)}',  # noqa: S608 ours
        values,
    ).fetchone()
    if row is None:
        days = marts.execute(
            f"select distinct {day} from marts.{table} where user_id = ? order by 1 desc limit 5",  # noqa: S608
            [question.user],
        ).fetchall()
        known = ", ".join(str(found[0]) for found in days) or "none"
        msg = (
            f"{table} has no row of {question.user} on {question.day} for what was chosen beside it; its newest days "
            f"are: {known}"
        )
        if day == "as_of":
            msg += (
                ". Metrics are computed for month ends and the last day of a run; "
                "`portfolio run --metrics every-day` computes all"
            )
        raise CommandError(msg)
    return (float(row[0]) if isinstance(row[0], Decimal) else row[0]), row[1]


def _source(question: Question) -> str:
    """The mart that serves the figure."""
    table = SOURCES[question.metric]
    return OF_ONE if table == TOTALS and (question.position is not None or question.metric == "price_ratio") else table


def _show(question: Question, found: Explanation) -> None:
    mart, name = named(question.metric)
    if _is_own(mart, name):
        mart = _source(replace(question, metric=name))
    whose = f" of {question.user}" if mart not in MARTS or MARTS[mart].is_personal else ""
    title = f"{name.rpartition('.')[2]}{whose} on {question.day} ({mart})"
    OUT.print(title, style="bold", markup=False)
    if others := namesakes(question.metric):
        OUT.print(f"  others      {', '.join(others)}", markup=False)
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
