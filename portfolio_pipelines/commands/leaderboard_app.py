"""The command `portfolio leaderboard`, as `cli` mounts it: parse, call, print. Heavy parts are imported inside."""

from enum import StrEnum
from typing import Annotated

import typer

from portfolio_pipelines.commands.watched_apps import Form, RowFormat


class Window(StrEnum):
    """The windows of boards, in days."""

    MONTH = "30"
    QUARTER = "90"
    YEAR = "365"


def leaderboard_command(
    window: Annotated[Window, typer.Option("--window", help="30, 90 or 365 days.")] = Window.QUARTER,
    user: Annotated[str | None, typer.Option("--user", metavar="USER", help="Where this user stands, and why.")] = None,
    day: Annotated[str | None, typer.Option("--day", help="YYYY-MM-DD; default the newest.")] = None,
    form: Form = RowFormat.TABLE,
) -> None:
    """Show the best users by return, under pseudonyms that change every month, and where one user stands.

    With --user and --format csv or json only that user's row is printed.

    Example: `portfolio leaderboard --window 90 --user ann`
    """
    from portfolio_pipelines.commands.console import open_platform, parse_day, readable_errors, today
    from portfolio_pipelines.commands.leaderboard import show_leaderboard

    with readable_errors():
        chosen = None if day is None else parse_day(day, today())
        show_leaderboard(open_platform(), int(window.value), user, chosen, form.value)
