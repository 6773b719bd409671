"""The commands below `portfolio wallets`, `portfolio liquidity` and `portfolio tokens`, as `cli` mounts them.

Each parses, calls one function of `commands` and prints. Heavy parts are imported inside the commands.
"""

from enum import StrEnum
from typing import Annotated

import typer

wallets = typer.Typer(invoke_without_command=True)
liquidity = typer.Typer(invoke_without_command=True)
tokens = typer.Typer(help="Tokens added by hand, quarantined, vouched for.", no_args_is_help=True)


class RowFormat(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


Form = Annotated[RowFormat, typer.Option("--format", help="How rows are printed.")]
OfUser = Annotated[str | None, typer.Option("--user", metavar="USER", help="Of this user alone.")]
ForUser = Annotated[str | None, typer.Option("--user", metavar="USER", help="For this user; default everyone.")]
ChainArgument = Annotated[str, typer.Argument(metavar="CHAIN", help="Slug, id or name.")]
Why = Annotated[str, typer.Option("--why", help="The reason, kept with your name.")]


@wallets.callback()
def list_wallets(context: typer.Context, user: OfUser = None, form: Form = RowFormat.TABLE) -> None:
    """List the wallets that are watched.

    Example: `portfolio wallets --user ann`
    """
    from portfolio_pipelines.commands.console import open_platform, readable_errors
    from portfolio_pipelines.commands.watching import show_wallets

    if context.invoked_subcommand is None:
        with readable_errors():
            show_wallets(open_platform(), user, form.value)


@wallets.command("remove")
def remove_wallet(user: str, address: str) -> None:
    """Stop watching a wallet; what is known of it stays, and importing it again goes on.

    Example: `portfolio wallets remove ann 0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045`
    """
    from portfolio_pipelines.commands import watching
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        watching.remove_wallet(open_platform(), user, address)


@liquidity.callback()
def list_positions(context: typer.Context, user: OfUser = None, form: Form = RowFormat.TABLE) -> None:
    """List the liquidity positions that users entered.

    Example: `portfolio liquidity --user ann --format csv`
    """
    from portfolio_pipelines.commands.console import open_platform, readable_errors
    from portfolio_pipelines.commands.watching import show_positions

    if context.invoked_subcommand is None:
        with readable_errors():
            show_positions(open_platform(), user, form.value)


@liquidity.command("remove")
def remove_position(user: str, position: Annotated[int, typer.Argument(help="Its key in the list.")]) -> None:
    """Stop following a liquidity position; what is known of it stays.

    Example: `portfolio liquidity remove ann 3`
    """
    from portfolio_pipelines.commands import watching
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        watching.remove_position(open_platform(), user, position)


@tokens.command("add")
def add_token(
    chain: ChainArgument,
    address: str,
    symbol: Annotated[str | None, typer.Option(help="Default: what the contract says.")] = None,
    decimals: Annotated[int | None, typer.Option(min=0, max=255, help="Default: what the contract says.")] = None,
    name: Annotated[str | None, typer.Option(help="Default: what the contract says.")] = None,
    coingecko_id: Annotated[str | None, typer.Option("--coingecko-id", help="CoinGecko's id, for its price.")] = None,
    rebasing: Annotated[bool, typer.Option("--rebasing", help="Balances change without transfers.")] = False,
    unchecked: Annotated[bool, typer.Option("--unchecked", help="Do not ask the contract.")] = False,
) -> None:
    """Have a token read in every wallet of a chain. The contract is asked, and contradictions are refused.

    Example: `portfolio tokens add ethereum 0xae7ab96520DE3A18E5e111B5EaAb095312D7fE84 --symbol stETH --rebasing`
    """
    from portfolio_pipelines.commands.console import open_platform, readable_errors
    from portfolio_pipelines.commands.tokens import add

    with readable_errors():
        add(
            open_platform(), chain, address, symbol, decimals,
            name=name, coingecko_id=coingecko_id, is_rebasing=rebasing, unchecked=unchecked,
        )  # fmt: skip


@tokens.command("list")
def list_tokens(
    everything: Annotated[bool, typer.Option("--all", help="All tokens that were ever met.")] = False,
    form: Form = RowFormat.TABLE,
) -> None:
    """List the tokens that were added by hand.

    Example: `portfolio tokens list --all --format csv`
    """
    from portfolio_pipelines.commands.console import open_platform, readable_errors
    from portfolio_pipelines.commands.tokens import show

    with readable_errors():
        show(open_platform(), form.value, everything=everything)


@tokens.command("quarantined")
def list_quarantined(form: Form = RowFormat.TABLE) -> None:
    """List the tokens that look like spam and count in no total.

    Example: `portfolio tokens quarantined`
    """
    from portfolio_pipelines.commands.console import open_platform, readable_errors
    from portfolio_pipelines.commands.tokens import show_quarantined

    with readable_errors():
        show_quarantined(open_platform(), form.value)


@tokens.command("whitelisted")
def list_whitelisted(form: Form = RowFormat.TABLE) -> None:
    """List the tokens that somebody vouches for.

    Example: `portfolio tokens whitelisted`
    """
    from portfolio_pipelines.commands.console import open_platform, readable_errors
    from portfolio_pipelines.commands.tokens import show_whitelist

    with readable_errors():
        show_whitelist(open_platform(), form.value)


@tokens.command("whitelist")
def whitelist_token(chain: ChainArgument, address: str, why: Why, user: ForUser = None) -> None:
    """Let a token count although it looks like spam.

    Example: `portfolio tokens whitelist base 0x4ed4E862860beD51a9570b96d89aF5E1B0Efefed --why "bought" --user ann`
    """
    from portfolio_pipelines.commands.console import open_platform, readable_errors
    from portfolio_pipelines.commands.tokens import whitelist

    with readable_errors():
        whitelist(open_platform(), chain, address, why, user)


@tokens.command("distrust")
def distrust_token(chain: ChainArgument, address: str, why: Why, user: ForUser = None) -> None:
    """Take an entry of the whitelist back.

    Example: `portfolio tokens distrust base 0x4ed4E862860beD51a9570b96d89aF5E1B0Efefed --why "it cannot be sold"`
    """
    from portfolio_pipelines.commands.console import open_platform, readable_errors
    from portfolio_pipelines.commands.tokens import distrust

    with readable_errors():
        distrust(open_platform(), chain, address, why, user)
