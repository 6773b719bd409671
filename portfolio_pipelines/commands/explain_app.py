"""The command `portfolio explain`, as `cli` mounts it: parse, call, print. Heavy parts are imported inside."""

from typing import Annotated

import typer


def explain_command(
    user: Annotated[str, typer.Argument(help="Whose figure.")],
    day: Annotated[str, typer.Argument(metavar="DAY", help="YYYY-MM-DD.")],
    metric: Annotated[str, typer.Argument(help="Its name, as the mart's column: sharpe, beta, hhi, value_usd …")],
    window: Annotated[int, typer.Option("--window", help="30, 90 or 365 days; 0 is since the start.")] = 0,
    benchmark: Annotated[str, typer.Option("--benchmark", help="BTC, ETH, SP500 or an asset id.")] = "BTC",
) -> None:
    """Print the inputs and the formula of a served figure, and work it out again from them.

    Example: `portfolio explain ann 2026-01-31 sharpe --window 90`
    """
    from portfolio_pipelines.commands.console import open_platform, parse_day, readable_errors, today
    from portfolio_pipelines.commands.explain import explain

    with readable_errors():
        explain(open_platform(), user, parse_day(day, today()), metric, window, benchmark)
