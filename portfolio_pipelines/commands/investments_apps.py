"""The commands below `portfolio investments`, as `cli` mounts them. Each parses, calls one function and prints."""

from typing import Annotated

import typer

from portfolio_pipelines.commands.watched_apps import Form, OfUser, RowFormat

investments = typer.Typer(invoke_without_command=True)


@investments.callback()
def list_investments(context: typer.Context, user: OfUser = None, form: Form = RowFormat.TABLE) -> None:
    """List the investments that were entered, a row for each coin.

    Example: `portfolio investments --user ann --format csv`
    """
    from portfolio_pipelines.commands.console import open_platform, readable_errors
    from portfolio_pipelines.commands.investments import show_investments

    if context.invoked_subcommand is None:
        with readable_errors():
            show_investments(open_platform(), user, form.value)


@investments.command("remove")
def remove_investment(
    user: str,
    investment: Annotated[str, typer.Argument(help="Its id in the list.")],
    asset: Annotated[
        str | None, typer.Option("--asset", metavar="ID", help="This coin of it alone, as the list names it.")
    ] = None,
) -> None:
    """Take back an investment that was entered by mistake; its history stays, importing it again brings it back.

    Example: `portfolio investments remove ann i3`
    """
    from portfolio_pipelines.commands import investments as commands
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        commands.remove_investment(open_platform(), user, investment, asset)
