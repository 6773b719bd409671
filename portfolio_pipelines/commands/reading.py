"""`portfolio query`: the marts, read-only; and rows of whatever command as a table, CSV or JSON."""

import json
import math
import re
import sys
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import polars as pl
from rich.markup import escape
from rich.table import Table

from portfolio_pipelines.commands.console import OUT, CommandError
from portfolio_pipelines.resources.warehouse import Warehouse

if TYPE_CHECKING:
    import duckdb

MOST_ROWS_SHOWN = 200
EXAMPLE: Final = 'portfolio query "select * from portfolio_assets limit 5"'
EXPLAINED: Final = re.compile(r"\s*explain\b\s*(?:analyze\b\s*)?(?:\([^()]*\)\s*)?(.*)", re.IGNORECASE | re.DOTALL)
"""What an `explain` explains; with `analyze` it runs."""
BEGINNINGS: Final = {
    "PRAGMA": re.compile(r"\s*pragma\b", re.IGNORECASE),  # `import database` is one too
    "MULTI": re.compile(r"\s*(?:pivot|select|with|from)\b", re.IGNORECASE),  # pivots: their columns depend on rows
}
"""How statements begin that only read, where their kind alone does not say so."""


def query(warehouse: Warehouse, statement: str, form: str) -> None:
    """Run one SQL statement on the marts and print its rows.

    Raises:
        CommandError: If it is not one statement that reads, or DuckDB refuses it.
    """
    import duckdb

    with warehouse.connect() as connection:
        try:
            connection.execute("use marts")
            cursor = connection.execute(_one_that_reads(connection, statement))
            names = [column[0] for column in cursor.description or []]
            rows = cursor.fetchall() if names else []
        except duckdb.Error as error:
            raise CommandError(str(error)) from error
    if not names:
        msg = f"the statement has no result to print; for example: {EXAMPLE}"
        raise CommandError(msg)
    print_rows(names, rows, form)


def _one_that_reads(connection: "duckdb.DuckDBPyConnection", text: str) -> "duckdb.Statement":
    """The statement of a query.

    Raises:
        CommandError: If it is none, several, or one that could write: a read-only warehouse does not keep `copy` from
            writing files.
    """
    statements = connection.extract_statements(text)
    if len(statements) != 1:
        many = f"{len(statements)} statements, one is run at a time" if statements else "no statement in it"
        msg = f"the query has {many}; for example: {EXAMPLE}"
        raise CommandError(msg)
    if not _only_reads(connection, statements[0]):
        msg = (
            "`portfolio query` only reads, and this statement does something else: use select, describe, show, "
            "summarize or explain. `portfolio export` and --format csv write files"
        )
        raise CommandError(msg)
    return statements[0]


def _only_reads(connection: "duckdb.DuckDBPyConnection", statement: "duckdb.Statement") -> bool:
    kind = statement.type.name
    if kind == "EXPLAIN":
        explained = EXPLAINED.match(statement.query)
        inner = connection.extract_statements(explained[1]) if explained else []
        return len(inner) == 1 and _only_reads(connection, inner[0])
    if kind in BEGINNINGS:
        return BEGINNINGS[kind].match(statement.query) is not None
    return kind == "SELECT"  # also describe, show, summarize, from and values


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
    document = [dict(zip(names, map(_in_json, row), strict=True)) for row in rows]
    json.dump(document, sys.stdout, default=_text, indent=2, allow_nan=False)
    sys.stdout.write("\n")


def _in_json(cell: object) -> object:
    """A cell without NaN and infinity, which JSON has no word for: null, also inside of lists and structures."""
    if isinstance(cell, float):
        return cell if math.isfinite(cell) else None
    if isinstance(cell, dict):
        return {str(name): _in_json(value) for name, value in cell.items()}
    if isinstance(cell, list | tuple):
        return [_in_json(value) for value in cell]
    return cell


def _text(cell: object) -> str:
    if isinstance(cell, date | datetime):
        return cell.isoformat()
    if isinstance(cell, Decimal):
        return format(cell, "f")
    return str(cell)
