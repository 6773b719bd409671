"""What is wrong with a file that somebody handed in: all of it at once, with row numbers.

Belongs here: collecting and listing. Finding faults is the business of the readers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from portfolio_pipelines.wording import counted

LISTED: Final = 1_000
"""Faults shown in a message, more than anybody mends by hand; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to repair. `row` is the row as a spreadsheet counts it: the header of a CSV file is row 1."""

    message: str
    row: int | None = None

    def __str__(self) -> str:
        return self.message if self.row is None else f"row {self.row}: {self.message}"


class FileRefusedError(ValueError):
    """A file was not imported, nothing was changed. `faults` are the first ones, `total` counts all."""

    def __init__(self, name: str, faults: tuple[Fault, ...], total: int, advice: str | None = None) -> None:
        self.name, self.faults, self.total = name, faults, total
        lines = [f"{name} was refused, nothing was imported: {counted(total, 'fault')}"]
        lines += [f"  {fault}" for fault in faults]
        if total > len(faults):
            lines.append(f"  … and {total - len(faults):,} more")
        if advice:
            lines.append(f"What to do: {advice}.")
        super().__init__("\n".join(lines))


class Faults:
    """Collects the faults of one file. Keeps enough of them to list, counts all."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.total = 0
        self.advice: str | None = None  # what to do where the faults do not say it
        self._kept: list[Fault] = []

    def __bool__(self) -> bool:
        return self.total > 0

    def add(self, message: str, row: int | None = None) -> None:
        """Add one fault."""
        self.total += 1
        self._kept.append(Fault(message, row))

    def add_rows(self, rows: pl.DataFrame, message: Callable[[dict[str, Any]], str]) -> None:
        """Add one fault a row of `rows`, which has a column `row`; `message` is told the row's values."""
        self.total += rows.height
        for row in rows.sort("row").head(LISTED).iter_rows(named=True):
            self._kept.append(Fault(message(row), row["row"]))

    @property
    def first(self) -> tuple[Fault, ...]:
        """The faults to list: those of the whole file, then by row."""
        return tuple(sorted(self._kept, key=lambda fault: fault.row or 0)[:LISTED])

    def refusal(self) -> FileRefusedError:
        """The error that says all of it."""
        return FileRefusedError(self.name, self.first, self.total, self.advice)
