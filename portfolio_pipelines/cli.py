"""`portfolio`: the command line. Each command parses, calls one function of `commands` and prints.

Heavy parts are imported inside the commands: `portfolio --help` answers at once.
"""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from portfolio_pipelines.commands.alerts_apps import alerts
from portfolio_pipelines.commands.assets_apps import assets
from portfolio_pipelines.commands.delivery_apps import channels as notification_channels
from portfolio_pipelines.commands.delivery_apps import outbox
from portfolio_pipelines.commands.explain_app import explain_command
from portfolio_pipelines.commands.export_apps import export, schedules
from portfolio_pipelines.commands.investments_apps import investments
from portfolio_pipelines.commands.leaderboard_app import leaderboard_command
from portfolio_pipelines.commands.ledger_apps import import_transactions, transactions
from portfolio_pipelines.commands.targets_apps import plan, plans, targets
from portfolio_pipelines.commands.watched_apps import liquidity, tokens, wallets

app = typer.Typer(
    help="The self-hosted portfolio data platform for crypto.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,  # a traceback must not show settings
)
imports = typer.Typer(help="Bring in investments, prices, wallets and pools from files.", no_args_is_help=True)
prices = typer.Typer(help="Set, confirm and review closes by hand.", no_args_is_help=True)
app.add_typer(imports, name="import")
app.add_typer(prices, name="prices")
app.add_typer(assets, name="assets")
app.add_typer(investments, name="investments")
app.add_typer(wallets, name="wallets")
app.add_typer(liquidity, name="liquidity")
app.add_typer(transactions, name="transactions")
imports.command("transactions")(import_transactions)
app.add_typer(tokens, name="tokens")
app.command("explain")(explain_command)
app.command("leaderboard")(leaderboard_command)
app.add_typer(alerts, name="alerts")
app.add_typer(targets, name="targets")
app.add_typer(plans, name="plans")
app.add_typer(notification_channels, name="channels")
app.add_typer(outbox, name="outbox")
app.command()(plan)
app.command()(export)
app.add_typer(schedules, name="schedules")

From = Annotated[str | None, typer.Option("--from", metavar="DAY", help="First day, YYYY-MM-DD.")]
To = Annotated[
    str | None,
    typer.Option(
        "--to", metavar="DAY", help="Last day, YYYY-MM-DD; default yesterday (UTC), or where price files end."
    ),
]
Why = Annotated[str, typer.Option("--why", help="The reason, kept with your name.")]


class Part(StrEnum):
    """Parts of the platform that can be run by themselves."""

    ONCHAIN = "onchain"
    INVESTMENTS = "investments"


class MetricDays(StrEnum):
    """Which days of a run have metrics."""

    MONTH_ENDS = "month-ends"
    EVERY_DAY = "every-day"


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


class ChainFormat(StrEnum):
    """How chains are printed."""

    TABLE = "table"
    JSON = "json"


@app.command()
def init() -> None:
    """Make the home folder and the database, or bring them to the current version.

    Example: `portfolio init`
    """
    from portfolio_pipelines.automation.instance import open_instance
    from portfolio_pipelines.commands.console import OUT, open_platform, readable_errors

    with readable_errors():
        platform = open_platform()
        open_instance(platform.settings)
        OUT.print(f"Ready in {platform.settings.home.absolute()}. Next: portfolio import investments FILE")


@app.command()
def doctor() -> None:
    """Check settings, database, providers and versions, and say what to do.

    Example: `portfolio doctor`
    """
    from portfolio_pipelines.commands.console import readable_errors
    from portfolio_pipelines.commands.doctor import examine
    from portfolio_pipelines.settings import Settings

    with readable_errors():
        if not examine(Settings()):
            raise typer.Exit(1)


@app.command()
def quickstart(
    price_files: Annotated[
        list[Path] | None, typer.Option("--prices", metavar="FILE", help="Price file to import first; repeatable.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, help="How many days to value.")] = 400,
) -> None:
    """Set up, load the sample investments if there are none, value the last days, print a summary.

    Example: `portfolio quickstart --prices my-prices.csv --days 400`
    """
    from portfolio_pipelines.commands.console import readable_errors
    from portfolio_pipelines.commands.quickstart import quickstart as start

    with readable_errors():
        start(price_files or [], days)


@imports.command("investments")
def import_investments(file: Annotated[Path, typer.Argument(help="CSV, JSON or Parquet.")]) -> None:
    """Import investments: user_id, investment_id, invested_at, asset, amount_usd, quantity; one row a coin.

    An empty quantity is derived from that day's close and stored. All faults of a file are told at once, and nothing
    is imported from a file that has any. The same file twice changes nothing; a changed row is a correction.

    Example: `portfolio import investments investments.csv`
    """
    from portfolio_pipelines.commands.console import open_platform, readable_errors
    from portfolio_pipelines.commands.importing import import_investment_file
    from portfolio_pipelines.commands.progress import RunProgress

    with readable_errors(), RunProgress() as progress:
        import_investment_file(open_platform(progress.asked), _existing(file))


@imports.command("prices")
def import_prices(files: Annotated[list[Path], typer.Argument(help="CSV or Parquet.")]) -> None:
    """Import daily closes: date, symbol or asset_id, close_usd and optionally source; other columns are ignored.

    Example: `portfolio import prices prices.csv sp500.csv`
    """
    from portfolio_pipelines.commands.console import open_platform, readable_errors
    from portfolio_pipelines.commands.importing import import_price_files

    with readable_errors():
        import_price_files(open_platform(), [_existing(file) for file in files])


@imports.command("wallets")
def import_wallets(file: Annotated[Path, typer.Argument(help="CSV, JSON or Parquet.")]) -> None:
    """Import wallets: user_id, address, and optionally label and chains; at most 20 a user.

    Addresses of EVM chains (their checksum is verified), Solana and Bitcoin, or ENS names. Chains are slugs, ids or
    names with ; between them; none for all that are enabled. All faults of a file are told at once, and nothing is
    imported from a file that has any. The same file twice changes nothing; a changed row is a new version.

    Example: `portfolio import wallets wallets.csv`
    """
    from portfolio_pipelines.commands.console import open_platform, readable_errors
    from portfolio_pipelines.commands.importing import import_wallet_file

    with readable_errors():
        import_wallet_file(open_platform(), _existing(file))


@imports.command("liquidity-positions")
def import_liquidity_positions(
    file: Annotated[Path, typer.Argument(help="CSV, JSON or Parquet.")],
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Do not ask the chains whether the pools are pools.")
    ] = False,
) -> None:
    """Import liquidity positions: user_id, pool, chain, entry_price, entry_date; at most 50 a user.

    entry_price is what one token0 was worth in token1, or the other way round where price_of says token1. Optional:
    wallet, label, price_of, amount0 and amount1 (what was put in). Pools of Uniswap v2 and v3, Sushiswap, their forks,
    Curve and weighted pools of Balancer v2 are recognised; the chain is asked.

    Example: `portfolio import liquidity-positions pools.csv`
    """
    from portfolio_pipelines.commands.console import open_platform, readable_errors
    from portfolio_pipelines.commands.importing import import_liquidity_file

    with readable_errors():
        import_liquidity_file(open_platform(), _existing(file), unchecked=unchecked)


@app.command()
def run(
    start: From = None,
    end: To = None,
    users: Annotated[
        list[str] | None,
        typer.Option("--users", metavar="USER", help="Start at these users' first purchase and show them; repeatable."),
    ] = None,
    only: Annotated[Part | None, typer.Option("--only", help="Only this part, and the marts.")] = None,
    metrics: Annotated[
        MetricDays, typer.Option("--metrics", help="Days that get metrics: month ends and the last day, or all.")
    ] = MetricDays.MONTH_ENDS,
) -> None:
    """Read the chains, bring every day that is due up to date, then marts and publication.

    Without --from it starts at the first purchase. Days are always computed for everybody. With `--only onchain` the
    wallets are read as they are now, and the running day is valued.

    Example: `portfolio run --from 2026-01-01 --to 2026-01-31`
    """
    from portfolio_pipelines.commands.bringing_up import run as bring_up
    from portfolio_pipelines.commands.console import readable_errors

    with readable_errors():
        bring_up(
            start, end, users or [],
            chains=only is not Part.INVESTMENTS, investments=only is not Part.ONCHAIN,
            every_day=metrics is MetricDays.EVERY_DAY,
        )  # fmt: skip


@app.command()
def backfill(
    start: Annotated[str, typer.Option("--from", metavar="DAY", help="First day, YYYY-MM-DD.")],
    end: Annotated[str, typer.Option("--to", metavar="DAY", help="Last day, YYYY-MM-DD.")],
    only_missing: Annotated[bool, typer.Option("--only-missing", help="Only days that have no files.")] = False,
    only: Annotated[Part, typer.Option("--only", help="Which part; chains need a node that keeps the past.")] = (
        Part.INVESTMENTS
    ),
    again: Annotated[bool, typer.Option("--again", help="Of chains: also days that were read at their close.")] = False,
) -> None:
    """Rebuild past days. What did not change is recognised and left alone.

    Example: `portfolio backfill --from 2025-01-01 --to 2025-12-31 --only-missing`
    """
    from portfolio_pipelines.commands.bringing_up import backfill as rebuild
    from portfolio_pipelines.commands.console import readable_errors

    with readable_errors():
        rebuild(start, end, only_missing=only_missing, chains=only is Part.ONCHAIN, again=again)


@app.command()
def query(
    statement: Annotated[str, typer.Argument(help="SQL on the marts (DuckDB).")],
    form: Annotated[Format, typer.Option("--format", help="How rows are printed.")] = Format.TABLE,
) -> None:
    """Read the marts with SQL.

    Example: `portfolio query "select * from portfolio_performance_daily where user_id = 'ann' limit 5"`
    """
    from portfolio_pipelines.commands.console import readable_errors
    from portfolio_pipelines.commands.reading import query as ask
    from portfolio_pipelines.resources.warehouse import Warehouse
    from portfolio_pipelines.settings import Settings

    with readable_errors():
        ask(Warehouse.from_settings(Settings()), statement, form.value)


@app.command()
def chains(
    names: Annotated[list[str] | None, typer.Argument(metavar="[CHAIN]...", help="Slugs, ids or names.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Chains that are not enabled, too.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Ask each endpoint which chain it is and how far.")] = False,
    form: Annotated[ChainFormat, typer.Option("--format", help="How rows are printed.")] = ChainFormat.TABLE,
) -> None:
    """List the chains that are read, and with --check the health of their endpoints.

    Chains, endpoints and tokens of your own go into chains.toml in the home folder. --check ends with status 1 when a
    chain has no endpoint that is well.

    Example: `portfolio chains --check`
    """
    from portfolio_pipelines.commands.chains import show_chains
    from portfolio_pipelines.commands.console import readable_errors
    from portfolio_pipelines.settings import Settings

    with readable_errors():
        sound = show_chains(Settings(), names or [], everything=everything, check=check, form=form.value)
        if not sound:
            raise typer.Exit(1)


@app.command()
def bi(
    close: Annotated[bool, typer.Option("--close", help="Close the door of the embedded server again.")] = False,
) -> None:
    """Print ready connection settings for Metabase, Superset, DBeaver and psql.

    The embedded server is opened on 127.0.0.1 for the read-only role alone, with a password.

    Example: `portfolio bi`
    """
    from portfolio_pipelines.commands.bi import close_door, open_door
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        platform = open_platform()
        close_door(platform) if close else open_door(platform)


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="Port of Dagster's web page.")] = 3000,
    host: Annotated[str, typer.Option(help="Address it listens on.")] = "127.0.0.1",
) -> None:
    """Open Dagster: the asset graph, runs, checks and schedules.

    Example: `portfolio ui --port 3000`
    """
    from portfolio_pipelines.commands.console import open_platform, readable_errors
    from portfolio_pipelines.commands.ui import serve

    with readable_errors():
        sys.exit(serve(open_platform().settings, host, port))


@app.command()
def stop() -> None:
    """Stop the embedded Postgres; the next command starts it again.

    Example: `portfolio stop`
    """
    from portfolio_pipelines.commands.console import OUT, readable_errors
    from portfolio_pipelines.database import embedded
    from portfolio_pipelines.settings import Settings

    with readable_errors():
        embedded.stop(Settings().postgres)
        OUT.print("The embedded Postgres is stopped.")


@prices.command("override", context_settings={"ignore_unknown_options": True})  # -5 is a price, if a wrong one
def override(
    asset: str,
    day: str,
    close_usd: str,
    why: Why,
    yes: Annotated[bool, typer.Option("--yes", help="The price is meant, however far it is from the others.")] = False,
) -> None:
    """Set the close of an asset on a day.

    A price five times the nearest accepted close or more, or a fifth or less (PORTFOLIO_JUMP_FACTOR), is taken with
    --yes only.

    Example: `portfolio prices override LUNA 2022-05-12 1.0769 --why "exchange print confirmed" --yes`
    """
    from portfolio_pipelines.commands import overriding
    from portfolio_pipelines.commands.console import open_platform, parse_day, readable_errors, today

    with readable_errors():
        overriding.override(open_platform(), asset, parse_day(day, today()), close_usd, why, sure=yes)


@prices.command("confirm")
def confirm(asset: str, day: str, why: Why) -> None:
    """Confirm the quote that the jump guard holds back.

    Example: `portfolio prices confirm LUNA 2022-05-12 --why "the crash is real"`
    """
    from portfolio_pipelines.commands import overriding
    from portfolio_pipelines.commands.console import open_platform, parse_day, readable_errors, today

    with readable_errors():
        overriding.confirm(open_platform(), asset, parse_day(day, today()), why)


@prices.command("withdraw")
def withdraw(number: int, why: Why) -> None:
    """Take an override back; it stays in the history.

    Example: `portfolio prices withdraw 3 --why "typed the wrong day"`
    """
    from portfolio_pipelines.commands import overriding
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        overriding.withdraw(open_platform(), number, why)


@prices.command("overrides")
def overrides() -> None:
    """List all overrides, withdrawn ones included.

    Example: `portfolio prices overrides`
    """
    from portfolio_pipelines.commands import overriding
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        overriding.show_overrides(open_platform())


@prices.command("blocked")
def blocked() -> None:
    """List what the jump guard holds back, since when, and how to confirm it.

    Example: `portfolio prices blocked`
    """
    from portfolio_pipelines.commands import overriding
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        overriding.show_blocked(open_platform())


def _existing(file: Path) -> Path:
    from portfolio_pipelines.commands.console import CommandError

    if not file.is_file():
        msg = f"there is no file {file}"
        raise CommandError(msg)
    return file


def main() -> None:
    """Entry point of the console script."""
    app()
