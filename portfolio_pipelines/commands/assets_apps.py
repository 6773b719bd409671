"""The commands below `portfolio assets`, as `cli` mounts them. Each parses, calls one function and prints."""

from typing import Annotated

import typer

from portfolio_pipelines.commands.watched_apps import Form, RowFormat

assets = typer.Typer(help="The coins that can be named in files.", no_args_is_help=True)


@assets.command("add")
def add_asset(
    asset_id: Annotated[str, typer.Argument(metavar="ID", help="coingecko: and CoinGecko's own id of the coin.")],
    symbol: Annotated[str, typer.Option("--symbol", help="Its ticker.")],
    name: Annotated[str, typer.Option("--name", help="Its name, as people are shown it.")],
    defillama: Annotated[
        str | None, typer.Option("--defillama", metavar="NAME", help="DefiLlama's name; default the id.")
    ] = None,
    yahoo: Annotated[
        str | None, typer.Option("--yahoo", metavar="NAME", help="Yahoo's name; without it Yahoo is not asked.")
    ] = None,
) -> None:
    """Make a coin known, so that files can name it. The same twice changes nothing.

    Example: `portfolio assets add coingecko:pendle --symbol PENDLE --name Pendle --yahoo PENDLE-USD`
    """
    from portfolio_pipelines.commands.assets import add
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        add(open_platform(), asset_id, symbol, name, defillama, yahoo)


@assets.command("list")
def list_assets(
    text: Annotated[str | None, typer.Argument(metavar="[TEXT]", help="Part of an id, a ticker or a name.")] = None,
    form: Form = RowFormat.TABLE,
) -> None:
    """List the assets that are known, with what their tickers mean when.

    Example: `portfolio assets list luna`
    """
    from portfolio_pipelines.commands.assets import show
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        show(open_platform(), text, form.value)
