"""The command `portfolio explain`, as `cli` mounts it: parse, call, print. Heavy parts are imported inside."""

from enum import StrEnum
from typing import Annotated

import typer


class Method(StrEnum):
    """How lots are chosen."""

    FIFO = "fifo"
    LIFO = "lifo"
    HIFO = "hifo"
    AVERAGE = "average"


class Scope(StrEnum):
    """Who shares lots."""

    UNIVERSAL = "universal"
    PER_VENUE = "per_venue"


def explain_command(
    user: Annotated[str, typer.Argument(help="Whose figure.")],
    day: Annotated[str, typer.Argument(metavar="DAY", help="YYYY-MM-DD.")],
    metric: Annotated[
        str,
        typer.Argument(
            help="Its name, as the mart's column: sharpe, beta, hhi, value_usd, realised_usd, il_pct, rank …; "
            "MART.COLUMN where several marts have it and another one is meant."
        ),
    ],
    window: Annotated[
        int | None, typer.Option("--window", help="30, 90 or 365 days; 0, as without it, is since the start.")
    ] = None,
    benchmark: Annotated[str, typer.Option("--benchmark", help="BTC, ETH, SP500 or an asset id.")] = "BTC",
    method: Annotated[Method, typer.Option("--method", help="Of a ledger: which lots are used first.")] = Method.FIFO,
    scope: Annotated[Scope, typer.Option("--scope", help="Of a ledger: venues share lots, or not.")] = Scope.UNIVERSAL,
    position: Annotated[
        str | None, typer.Option("--position", help="Id of a position in a pool; all of them without it.")
    ] = None,
    of: Annotated[
        list[str] | None,
        typer.Option("--of", metavar="COLUMN=VALUE", help="Which row, where a day has several; may be repeated."),
    ] = None,
) -> None:
    """Print the inputs and the formula of a served figure, and work it out again from them.

    A name alone is of the portfolio on the day (portfolio_performance_daily) where that has such a figure; with
    `--window`, of portfolio_metrics. Others of that name take the mart before it: profit_and_loss.pnl_usd,
    portfolio_metrics.coverage, leaderboard.max_drawdown. The answer names its mart, and the others that have the name.
    Where a mart has several rows of a user and day, `--of` chooses: investment_performance_daily.roi --of
    investment_id=first. What a rank is made of is told of the user alone.

    Example: `portfolio explain ann 2026-01-31 sharpe --window 90`
    """
    from portfolio_pipelines.commands.console import open_platform, parse_day, readable_errors, today
    from portfolio_pipelines.commands.explain import explain

    with readable_errors():
        explain(
            open_platform(), user, parse_day(day, today()), metric, window, benchmark,
            of=of or (), method=method.value, scope=scope.value, position=position,
        )  # fmt: skip
