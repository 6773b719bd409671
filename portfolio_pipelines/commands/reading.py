"""`portfolio query`: the marts, read-only; and rows of whatever command as a table, CSV or JSON."""

import json
import sys
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
from rich.markup import escape
from rich.table import Table

from portfolio_pipelines.commands.console import OUT, CommandError
from portfolio_pipelines.resources.warehouse import Warehouse

MOST_ROWS_SHOWN = 200


def query(warehouse: Warehouse, statement: str, form: str) -> None:
    """Run one SQL statement on the marts and print its rows.

    Raises:
        CommandError: If DuckDB refuses the statement.
    """
    import duckdb

    with warehouse.connect() as connection:
        try:
            connection.execute("use marts")
            cursor = connection.execute(statement)
            names = [column[0] for column in cursor.description or []]
            rows = cursor.fetchall() if names else []
        except duckdb.Error as error:
            raise CommandError(str(error)) from error
    print_rows(names, rows, form)


def print_rows(names: list[str], rows: list[tuple[Any, ...]], form: str) -> None:
    """Print rows as table, csv or json."""
    {"table": _table, "csv": _csv, "json": _json}[form](names, rows)


def print_frame(frame: pl.DataFrame, form: str, nothing: str) -> None:
    """Print a frame; a table without rows is the sentence `nothing`."""
    if frame.is_empty() and form == "table":
        OUT.print(nothing, markup=False)
    else:
        print_rows([name.replace("_", " ") if form == "table" else name for name in frame.columns], frame.rows(), form)


def _table(names: list[str], rows: list[tuple[Any, ...]]) -> None:
    table = Table()
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows[:MOST_ROWS_SHOWN]:
        # Escaped: a token may call itself anything, also something that colours the console.
        table.add_row(*("–" if cell is None else escape(_text(cell)) for cell in row))
    OUT.print(table)
    if len(rows) > MOST_ROWS_SHOWN:
        OUT.print(f"… {len(rows) - MOST_ROWS_SHOWN} more rows: add a limit, or --format csv")


def _csv(names: list[str], rows: list[tuple[Any, ...]]) -> None:
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(["" if cell is None else _text(cell) for cell in row] for row in rows)


def _json(names: list[str], rows: list[tuple[Any, ...]]) -> None:
    json.dump([dict(zip(names, row, strict=True)) for row in rows], sys.stdout, default=_text, indent=2)
    sys.stdout.write("\n")


def _text(cell: object) -> str:
    if isinstance(cell, date | datetime):
        return cell.isoformat()
    if isinstance(cell, Decimal):
        return format(cell, "f")
    return str(cell)
