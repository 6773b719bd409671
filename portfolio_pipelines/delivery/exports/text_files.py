"""Exports as text: CSV for spreadsheets and people, JSON and newline-delimited JSON for programs. A batch at a time.

What is exact in the marts is text of digits; floating point is its shortest form; unknown is empty in CSV and null in
JSON; times are ISO 8601 in UTC.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from portfolio_pipelines.delivery.exports.cells import exact_text, guarded, inert_json
from portfolio_pipelines.delivery.exports.reading import ExportColumn, Kind, Table

MOMENT_FORMAT = "%Y-%m-%dT%H:%M:%S%.fZ"


def write_csv(tables: Sequence[Table], folder: Path) -> None:
    """One file a table, with a header; UTF-8, commas, line feeds. Text is guarded against spreadsheets."""
    for table in tables:
        with (folder / f"{table.dataset.name}.csv").open("wb") as file:
            pl.DataFrame(schema={column.name: pl.String for column in table.columns}).write_csv(file)
            for batch in table.batches:
                printed(batch, table.columns, guard=True).write_csv(file, include_header=False)


def write_ndjson(tables: Sequence[Table], folder: Path) -> None:
    """One file a table, one JSON object a line."""
    for table in tables:
        with (folder / f"{table.dataset.name}.ndjson").open("wb") as file:
            for batch in table.batches:
                file.write(_lines(batch, table.columns))


def write_json(tables: Sequence[Table], folder: Path, head: Mapping[str, str]) -> None:
    """One document of all tables: the head, and in `tables` a list of objects for each, one a line.

    Args:
        tables: In their order.
        folder: Where `portfolio.json` is written.
        head: What stands before the tables: whose, from when until when.
    """
    with (folder / "portfolio.json").open("wb") as file:
        start = json.dumps(dict(head), ensure_ascii=False, indent=1).removesuffix("\n}")
        file.write(inert_json(start.encode()) + b',\n "tables": {')
        for at, table in enumerate(tables):
            file.write((b"," if at else b"") + f'\n  "{table.dataset.name}": ['.encode())
            is_first = True
            for batch in table.batches:
                if not batch.is_empty():
                    rows = _lines(batch, table.columns).rstrip(b"\n").replace(b"\n", b",\n")
                    file.write((b"\n" if is_first else b",\n") + rows)
                    is_first = False
            file.write(b"]" if is_first else b"\n  ]")
        file.write(b"\n }\n}\n")


def printed(batch: pl.DataFrame, columns: Sequence[ExportColumn], *, guard: bool) -> pl.DataFrame:
    """A batch as it is written down: exact amounts and times as text, text guarded where a spreadsheet may read it."""
    return pl.DataFrame([_printed(batch[column.name], column.kind, guard=guard) for column in columns])


def _printed(values: pl.Series, kind: Kind, *, guard: bool) -> pl.Series:
    if kind is Kind.TEXT:
        return guarded(values) if guard else values
    if kind is Kind.DECIMAL:
        return exact_text(values)
    if kind is Kind.MOMENT:
        return values.dt.strftime(MOMENT_FORMAT)
    if kind is Kind.DAY:
        return values.dt.strftime("%Y-%m-%d")
    if kind is Kind.NUMBER:  # CSV and JSON have no word for what is no number
        return values.set(~values.is_finite().fill_null(value=True), None)
    return values


def _lines(batch: pl.DataFrame, columns: Sequence[ExportColumn]) -> bytes:
    return inert_json(printed(batch, columns, guard=False).write_ndjson().encode())
