"""The commands for ledgers: `portfolio import transactions` and below `portfolio transactions`, as `cli` mounts them.

Each parses, calls one function of `commands` and prints. Heavy parts are imported inside the commands.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from portfolio_pipelines.commands.watched_apps import Form, OfUser, RowFormat

transactions = typer.Typer(invoke_without_command=True)

MissingAcquisitions = Annotated[
    Literal["refuse", "list"] | None,
    typer.Option(
        "--missing-acquisitions",
        help="What goes without ever having come: refuse the file, or import it and list what is missing.",
        show_default="refuse in files of our own schema, list in exports",
    ),
]


def import_transactions(
    file: Annotated[Path, typer.Argument(help="CSV, JSON or Parquet of our own schema, or an exchange's export.")],
    user: Annotated[
        str | None, typer.Option("--user", metavar="USER", help="Whose it is, where the file does not say it.")
    ] = None,
    venue: Annotated[
        str | None, typer.Option("--venue", help="Wallet or exchange, where the file does not say it.")
    ] = None,
    keep_unknown: Annotated[
        bool, typer.Option("--keep-unknown", help="Keep tickers that nobody knows, as assets without a price.")
    ] = False,
    skip_faulty: Annotated[
        bool, typer.Option("--skip-faulty", help="Of an export: leave out rows that make no sense, and list them.")
    ] = False,
    day_first: Annotated[
        bool | None, typer.Option("--day-first/--month-first", help="What 5/9/2017 means in an export.")
    ] = None,
    missing_acquisitions: MissingAcquisitions = None,
) -> None:
    """Import transactions: user_id, transaction_id, at, type, venue, in_, out_ and fee_ asset and quantity.

    Exports of Binance, Coinbase Pro, Crypto.com, Nexo, Bitstamp, KuCoin, Bittrex, CoinTracking, CoinLedger, Blockpit
    and others are known by their header. All faults of a file are told at once, and nothing is imported from a file
    that has any: neither when a row takes more than there was, or makes a stored one do so. The same file twice changes
    nothing; a changed row is a correction.

    Example: `portfolio import transactions ledger.csv --user ann`
    """
    from portfolio_pipelines.commands.console import CommandError, open_platform, readable_errors
    from portfolio_pipelines.commands.ledgers import import_transaction_file

    with readable_errors():
        if not file.is_file():
            msg = f"there is no file {file}"
            raise CommandError(msg)
        import_transaction_file(
            open_platform(), file, user, venue,
            keep_unknown=keep_unknown, skip_faulty=skip_faulty, day_first=day_first,
            missing_acquisitions=missing_acquisitions,
        )  # fmt: skip


@transactions.callback()
def list_transactions(context: typer.Context, user: OfUser = None, form: Form = RowFormat.TABLE) -> None:
    """List the transactions of ledgers.

    Example: `portfolio transactions --user ann --format csv`
    """
    from portfolio_pipelines.commands.console import open_platform, readable_errors
    from portfolio_pipelines.commands.ledgers import show_transactions

    if context.invoked_subcommand is None:
        with readable_errors():
            show_transactions(open_platform(), user, form.value)


@transactions.command("questions")
def list_questions(user: OfUser = None, form: Form = RowFormat.TABLE) -> None:
    """List what only a person can answer: missing acquisitions, deposits and withdrawals without a counterpart.

    Example: `portfolio transactions questions --user ann`
    """
    from portfolio_pipelines.commands.console import open_platform, readable_errors
    from portfolio_pipelines.commands.ledgers import show_questions

    with readable_errors():
        show_questions(open_platform(), user, form.value)


@transactions.command("remove")
def remove_transaction(
    user: str,
    transaction: Annotated[str, typer.Argument(help="Its id in the list.")],
    missing_acquisitions: Annotated[
        Literal["refuse", "list"],
        typer.Option(help="What others take of what it brought: refuse, or remove it and list what is missing then."),
    ] = "refuse",
) -> None:
    """Take a transaction out of a ledger, with all its legs; importing it again brings it back.

    Example: `portfolio transactions remove ann t17`
    """
    from portfolio_pipelines.commands import ledgers
    from portfolio_pipelines.commands.console import open_platform, readable_errors

    with readable_errors():
        ledgers.remove_transaction(open_platform(), user, transaction, missing_acquisitions)
