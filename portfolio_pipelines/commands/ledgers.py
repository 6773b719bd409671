"""`portfolio import transactions` and `portfolio transactions …`: ledgers that people hand in."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from portfolio_pipelines.commands.console import OUT, CommandError
from portfolio_pipelines.commands.importing import whoami
from portfolio_pipelines.commands.reading import print_frame
from portfolio_pipelines.resources.ledger_rules import inventory_rules
from portfolio_pipelines.resources.platform import Platform
from portfolio_pipelines.wording import counted

MOST_NAMED: Final = 20
"""Rows that a message lists."""

if TYPE_CHECKING:
    from portfolio_pipelines.database.transaction_import import Missing


def import_transaction_file(
    platform: Platform,
    path: Path,
    user_id: str | None,
    venue: str | None,
    *,
    keep_unknown: bool,
    skip_faulty: bool,
    day_first: bool | None,
    missing_acquisitions: "Missing | None",
) -> None:
    """Import one file of transactions, whole or not at all."""
    from portfolio_pipelines.database.transaction_import import import_transactions

    report = import_transactions(
        platform.database.engine,
        path,
        first_day=platform.settings.first_day,
        who=whoami(),
        user_id=user_id,
        venue=venue,
        keep_unknown=keep_unknown,
        skip_faulty=skip_faulty,
        day_first=day_first,
        missing_acquisitions=missing_acquisitions,
        rules=inventory_rules(platform.settings),
    )
    form = "" if report.format == "own" else f" (export of {report.format})"
    OUT.print(
        f"{report.file_name}{form}: {report.added} new, {report.changed} changed, {report.unchanged} unchanged",
        markup=False,
    )
    for reason, count in report.ignored:
        OUT.print(f"  {counted(count, 'row')} left out: {reason}", style="dim", markup=False)
    if report.new_assets:
        OUT.print(f"  kept without a price: {', '.join(report.new_assets)}", style="yellow", markup=False)
    if report.missing:
        OUT.print(
            f"  amounts that go without ever having come: {report.missing}; nothing is guessed, and after the next run "
            "`portfolio transactions questions` asks for them",
            style="yellow",
            markup=False,
        )
    if report.first_affected_day is not None:
        OUT.print(f"  figures from {report.first_affected_day} on are affected: `portfolio run` brings them up to date")


def show_transactions(platform: Platform, user_id: str | None, form: str) -> None:
    """The current transactions of one user or of all."""
    from portfolio_pipelines.database.transaction_versions import list_transactions

    frame = list_transactions(platform.database.engine, user_id)
    columns = [
        "user_id", "transaction_id", "leg", "at", "type", "venue", "to_venue", "in_quantity", "in_asset",
        "out_quantity", "out_asset", "fee_quantity", "fee_asset", "value_usd",
    ]  # fmt: skip
    print_frame(frame.select(columns), form, "no transactions; `portfolio import transactions FILE` brings some")


def show_questions(platform: Platform, user_id: str | None, form: str) -> None:
    """What only a person can answer, as of the newest build of the marts; venues alone where the setting says so."""
    alone = platform.settings.ledger_inventory_scope == "per_venue"
    with platform.warehouse.connect() as connection:
        cursor = connection.execute(
            """
            select user_id, question, date, transaction_id, type, venue, asset_id, quantity
            from marts.ledger_questions
            where user_id = coalesce(?, user_id) and (? or question <> 'missing at the venue')
            order by user_id, date, transaction_id, question
            """,
            [user_id, alone],
        )
        names = [column[0] for column in cursor.description or []]
        frame = pl.DataFrame(cursor.fetchall(), schema=names, orient="row", infer_schema_length=None)
    print_frame(frame, form, "nothing is missing")


def remove_transaction(
    platform: Platform, user_id: str, transaction_id: str, missing_acquisitions: "Missing | None"
) -> None:
    """Take a transaction out of a ledger.

    Raises:
        CommandError: If the user has no such transaction, or others take what only it brought.
    """
    from portfolio_pipelines.database.chain_tokens import chain_tokens_frame
    from portfolio_pipelines.database.staging import lock_imports
    from portfolio_pipelines.database.transaction_inventory import describe, removal_shortfalls
    from portfolio_pipelines.database.transaction_versions import remove

    rules = inventory_rules(platform.settings)
    tokens = chain_tokens_frame(platform.database.engine).select("asset_id", "decimals").drop_nulls()
    with platform.database.engine.begin() as connection:
        lock_imports(connection)
        found = removal_shortfalls(connection, user_id, transaction_id, rules, dict(tokens.iter_rows()))
        if missing_acquisitions != "list" and not found.is_empty():
            lines = [f"  {describe(row, rules)}" for row in found.head(MOST_NAMED).iter_rows(named=True)]
            more = [f"  … and {found.height - MOST_NAMED} more"] if found.height > MOST_NAMED else []
            what = f"{transaction_id} of {user_id} was not removed: others take what it brought. Remove or correct them"
            raise CommandError("\n".join([f"{what} first, or pass --missing-acquisitions list:", *lines, *more]))
        legs = remove(connection, user_id, transaction_id, datetime.now(UTC), whoami())
    if not legs:
        msg = f"{user_id} has no transaction {transaction_id}"
        raise CommandError(msg)
    OUT.print(f"{transaction_id} of {user_id} is removed ({legs} legs). `portfolio run` follows.", markup=False)
