"""The manifest of an export: which files, which rows, what the columns mean, how complete it is, which build it is of.

It holds no time of its own making: the same warehouse and the same question give the same manifest.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final

import polars as pl

from portfolio_pipelines.delivery.exports.reading import ExportColumn, Table

NAME: Final = "manifest.json"
VERSION: Final = 1
HOLES_NAMED: Final = 50
MEDIA_TYPES: Final = {
    ".csv": "text/csv; charset=utf-8; header=present",
    ".json": "application/json",
    ".ndjson": "application/x-ndjson",
    ".parquet": "application/vnd.apache.parquet",
    ".pdf": "application/pdf",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".zip": "application/zip",
}
CONVENTIONS: Final = (
    "Days are UTC days and closed at 24:00 UTC; both ends of the range are included; moments are UTC.",
    "Unknown is null or empty, never zero. A total is to be read with its coverage.",
    "Amounts of the kinds amount and decimal are exact; those of the kind number are floating point.",
    "In CSV an apostrophe stands before text that a spreadsheet would take for a formula.",
)


@dataclass
class Tally:
    """What is counted of a table while its rows go by.

    Attributes:
        table: The table; its batches are to be read through `watched` alone.
    """

    table: Table
    rows: int = 0
    days: set[date] = field(default_factory=set)
    lowest_coverage: float | None = None
    rows_below_full_coverage: int = 0
    rows_without_coverage: int = 0
    provisional_rows: int = 0
    stale_rows: int = 0

    def watched(self) -> Table:
        """The same table, counted while it is read."""
        return Table(self.table.dataset, self.table.columns, self._counted())

    def _counted(self) -> Iterator[pl.DataFrame]:
        for batch in self.table.batches:
            self.rows += batch.height
            self.days.update(batch["date"].unique().drop_nulls().to_list())
            if "coverage" in batch.columns:
                known = batch["coverage"].drop_nulls()
                self.rows_without_coverage += batch.height - known.len()
                self.rows_below_full_coverage += int((known < 1 - 1e-9).sum())
                lowest = [float(value) for value in (self.lowest_coverage, known.min()) if isinstance(value, float)]
                self.lowest_coverage = min(lowest, default=None)
            if "is_final" in batch.columns:
                self.provisional_rows += int((~batch["is_final"]).sum())
            if "is_stale" in batch.columns:
                self.stale_rows += int(batch["is_stale"].sum())
            yield batch

    def coverage(self, first: date, last: date) -> dict[str, Any]:
        """How complete the rows are for a range, as the manifest says it."""
        names = {column.name for column in self.table.columns}
        found: dict[str, Any] = {"days_asked_for": (last - first).days + 1, "days_with_rows": len(self.days)}
        if self.days:
            found |= {"first_day": min(self.days).isoformat(), "last_day": max(self.days).isoformat()}
        if self.table.dataset.every_day and self.days:
            every = pl.date_range(min(self.days), max(self.days), eager=True).to_list()
            holes = sorted(set(every) - self.days)
            found |= {"missing_days": len(holes), "missing": [day.isoformat() for day in holes[:HOLES_NAMED]]}
        if "coverage" in names:
            found |= {
                "lowest_coverage": self.lowest_coverage,
                "rows_below_full_coverage": self.rows_below_full_coverage,
                "rows_of_unknown_coverage": self.rows_without_coverage,
            }
        if "is_final" in names:
            found["provisional_rows"] = self.provisional_rows
        if "is_stale" in names:
            found["stale_rows"] = self.stale_rows
        return found


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """One file of an export."""

    name: str
    media_type: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ExportedTable:
    """One table of an export."""

    name: str
    meaning: str
    mart: str
    rows: int
    columns: Sequence[ExportColumn]
    coverage: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an export consists of.

    Attributes:
        folder: Where its files are.
        user_id: Whose it is.
        what: The choice of tables.
        form: The format of the files.
        first: First day, UTC.
        last: Last day, UTC, inclusive.
        build: What identifies the build of the warehouse.
        tables: In their order; none in a PDF.
        files: By name, this manifest aside.
    """

    folder: Path
    user_id: str
    what: str
    form: str
    first: date
    last: date
    build: Mapping[str, str]
    tables: Sequence[ExportedTable]
    files: Sequence[ExportedFile]

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.tables)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def document(self) -> bytes:
        """The manifest as a file: plain ASCII, so that it can be shown anywhere."""
        content = {
            "version": VERSION, "user_id": self.user_id, "what": self.what, "format": self.form,
            "from": self.first.isoformat(), "to": self.last.isoformat(), "time_zone": "UTC", "build": dict(self.build),
            "files": [
                {"name": file.name, "media_type": file.media_type, "bytes": file.size, "sha256": file.sha256}
                for file in self.files
            ],
            "rows": self.rows,
            "tables": [
                {
                    "name": table.name, "meaning": table.meaning, "mart": table.mart, "rows": table.rows,
                    "coverage": dict(table.coverage),
                    "columns": [
                        {"name": column.name, "kind": column.kind.value, "meaning": column.meaning}
                        for column in table.columns
                    ],
                }
                for table in self.tables
            ],
            "conventions": list(CONVENTIONS),
        }  # fmt: skip
        return json.dumps(content, indent=1).encode() + b"\n"


def file_of(path: Path) -> ExportedFile:
    """What a manifest says of a finished file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return ExportedFile(path.name, MEDIA_TYPES[path.suffix], path.stat().st_size, digest)


def table_of(tally: Tally, first: date, last: date) -> ExportedTable:
    """What a manifest says of a table that was written."""
    dataset = tally.table.dataset
    return ExportedTable(
        dataset.name, dataset.meaning, dataset.mart, tally.rows, tally.table.columns, tally.coverage(first, last)
    )
