"""The commands below `portfolio targets` and `portfolio plans`, and `portfolio plan`, as `cli` mounts them.

Each parses, calls one function of `commands.targets` and prints. Heavy parts are imported inside the commands.
"""

from typing import Annotated

import typer

from portfolio_pipelines.commands.watched_apps import Form, OfUser, RowFormat

targets = typer.Typer(help="Target allocations: which share each asset should have.", no_args_is_help=True)
plans = typer.Typer(help="Plans back to a target: list them, accept or reject them.", no_args_is_help=True)

PlanId = Annotated[str, typer.Argument(metavar="PLAN", help="Its id, or the first characters of it.")]
BecauseOf = Annotated[str | None, typer.Option("--why", help="The reason, kept with your name.")]


@targets.command("set")
def set_targets(
    user: str,
    strategy: str,
    shares: Annotated[list[str], typer.Argument(metavar="ASSET=PERCENT[:BAND]...", help="They sum to 100.")],
    band: Annotated[str, typer.Option(help="Percentage points that a share may stray to either side.")] = "5",
    keep: Annotated[
        list[str] | None, typer.Option("--keep", metavar="ASSET", help="Never sell it; repeatable.")
    ] = None,
    no_more: Annotated[
        list[str] | None, typer.Option("--no-more", metavar="ASSET", help="Never buy more of it; repeatable.")
    ] = None,
    buy_only: Annotated[
        bool, typer.Option("--buy-only", help="Sell nothing: only new money moves the shares.")
    ] = False,
    sell_others: Annotated[
        bool, typer.Option("--sell-others", help="Sell what the strategy does not name; else it is left out.")
    ] = False,
    min_trade: Annotated[str, typer.Option("--min-trade", metavar="USD", help="Smallest trade.")] = "0",
    max_cost: Annotated[
        str, typer.Option("--max-cost", metavar="PERCENT", help="Greatest costs, of what a plan brings nearer.")
    ] = "2",
) -> None:
    """Make a strategy, or a new version of it. A user may have several, by name.

    Example: `portfolio targets set ann core BTC=50 ETH=30:3 SOL=10 USDC=10 --band 2 --min-trade 50`
    """
    from portfolio_pipelines.commands import targets as commands
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    rules: dict[str, str | bool] = {
        "buy_only": buy_only, "sells_others": sell_others, "min_trade_usd": min_trade, "max_cost_pct": max_cost,
    }  # fmt: skip
    with readable_errors():
        commands.set_targets(
            open_platform(), user, strategy, shares, rules, band=band, keep=keep or [], no_more=no_more or []
        )


@targets.command("list")
def list_targets(user: OfUser = None, form: Form = RowFormat.TABLE) -> None:
    """List strategies with their targets and bands.

    Example: `portfolio targets list --user ann`
    """
    from portfolio_pipelines.commands import targets as commands
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        commands.show_targets(open_platform(), user, form.value)


@targets.command("delete")
def delete_targets(user: str, strategy: str) -> None:
    """Let a strategy no longer hold; what was decided of it stays.

    Example: `portfolio targets delete ann core`
    """
    from portfolio_pipelines.commands import targets as commands
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        commands.delete_targets(open_platform(), user, strategy)


@plans.command("list")
def list_plans(
    user: OfUser = None,
    everything: Annotated[bool, typer.Option("--all", help="Also accepted, rejected and expired ones.")] = False,
    form: Form = RowFormat.TABLE,
) -> None:
    """List the steps of proposed plans, with costs and reasons.

    Example: `portfolio plans list --user ann`
    """
    from portfolio_pipelines.commands import targets as commands
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        commands.show_plans(open_platform(), user, form.value, everything=everything)


@plans.command("accept")
def accept_plan(plan: PlanId, why: BecauseOf = None) -> None:
    """Accept a proposed plan; other proposals for the same strategy expire.

    Example: `portfolio plans accept 3f2a9c01`
    """
    from portfolio_pipelines.commands import targets as commands
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        commands.decide_plan(open_platform(), plan, "accepted", why)


@plans.command("reject")
def reject_plan(plan: PlanId, why: BecauseOf = None) -> None:
    """Reject a proposed plan.

    Example: `portfolio plans reject 3f2a9c01 --why "taxes first"`
    """
    from portfolio_pipelines.commands import targets as commands
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        commands.decide_plan(open_platform(), plan, "rejected", why)


def plan(
    user: str,
    strategy: str,
    deposit: Annotated[str | None, typer.Option(metavar="USD", help="New money to invest.")] = None,
    form: Form = RowFormat.TABLE,
) -> None:
    """Find the cheapest plan for a strategy now: gas of each chain, smallest trades and limits counted.

    Example: `portfolio plan ann core --deposit 1000`
    """
    from portfolio_pipelines.commands import targets as commands
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        commands.make_plan(open_platform(), user, strategy, deposit, form.value)
