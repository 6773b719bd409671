"""Exports of exchanges: recognised by their header and turned into the cells of our own transaction files.

Belongs here: reading lines, telling formats apart, times and amounts as exchanges write them, ids for what has none.
What the rows of each format mean is in `transaction_export_rows` and `transaction_export_groups`. Every row of a file
becomes part of a transaction, is left out with a reason, or is a fault: none disappears.
"""

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final

import polars as pl

from portfolio_pipelines.market.file_faults import Faults
from portfolio_pipelines.market.table_files import whole_fields

LONGEST_CELL: Final = 255
CELLS: Final = (
    "transaction_id", "leg", "at", "type", "venue", "in_asset", "in_quantity", "out_asset", "out_quantity", "fee_asset",
    "fee_quantity", "tx_hash",
)  # fmt: skip
"""Columns of our own transaction files that an export can fill."""
HEADER_WITHIN: Final = 10
"""Lines in which a header may come: some exports begin with a name and a date."""
Line = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Export:
    """What an export says, as cells of `transaction_files.COLUMNS` (all text) and `row`."""

    format: str
    sha256: str
    cells: pl.DataFrame
    ignored: tuple[tuple[str, int], ...]
    faults: Faults


@dataclass(slots=True)
class Reading:
    """Collects what the rows of one export mean."""

    format: str
    faults: Faults
    skip_faulty: bool = False
    day_first: bool | None = None
    rows: list[dict[str, str | None]] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    ids: Counter[str] = field(default_factory=Counter)
    seen: set[int] = field(default_factory=set)

    def add(self, row: int, kind: str, at: datetime, **cells: object) -> None:
        """One leg. Quantities of nothing are left out; an id that comes again gets a number behind it."""
        self.seen.add(row)
        made = {name: _text(value) for name, value in cells.items() if value is not None and _text(value)}
        for side in ("in", "out", "fee"):
            if Decimal(made.get(f"{side}_quantity") or 0) == 0:
                made.pop(f"{side}_quantity", None)
                made.pop(f"{side}_asset", None)
        self.rows.append({"row": str(row), "type": kind, "at": at.astimezone(UTC).isoformat(), **made})

    def ignore(self, row: int, reason: str) -> None:
        """A row that says nothing of a ledger."""
        self.seen.add(row)
        self.ignored[reason] += 1

    def fault(self, row: int, message: str) -> None:
        """A row that makes no sense."""
        self.seen.add(row)
        if self.skip_faulty:
            self.ignored[f"row {row}: {message}"] += 1
        else:
            self.faults.add(message, row)

    def id_of(self, *parts: str) -> str:
        """An id that is the same in every export of the same row; equal rows are counted."""
        name = f"{self.format}:{hashlib.blake2b('|'.join(parts).encode(), digest_size=8).hexdigest()}"
        self.ids[name] += 1
        return name if self.ids[name] == 1 else f"{name}#{self.ids[name]}"


Parser = Callable[[Sequence[tuple[int, Line]], Reading], None]


@dataclass(frozen=True, slots=True)
class Format:
    """A format by the names of its columns, in lower case and in their order."""

    name: str
    header: tuple[str, ...]
    parse: Parser
    separator: str = ","


def read_export(
    source: Path | bytes, *, name: str | None = None, skip_faulty: bool = False, day_first: bool | None = None
) -> Export | None:
    """Read an export; None when the header is of no known format (which is no fault).

    Args:
        source: The file, or its content.
        name: Name for messages; the file's own when not given.
        skip_faulty: Whether rows that make no sense are left out, with their reason; else they are faults.
        day_first: What 5/9/2017 means; None to find out from the file.
    """
    from portfolio_pipelines.database.transaction_export_groups import FORMATS as GROUPS
    from portfolio_pipelines.database.transaction_export_rows import FORMATS as ROWS

    data = source if isinstance(source, bytes) else source.read_bytes()
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        return None
    lines = text.split("\n")
    for start, line in enumerate(lines[:HEADER_WITHIN]):
        if len(line) > 2000:
            return None
        for form in (*ROWS, *GROUPS):
            header = tuple(cell.strip().strip('"').lower() for cell in line.split(form.separator))
            if header == form.header:
                faults = Faults(name or (source.name if isinstance(source, Path) else "file"))
                reading = Reading(form.name, faults, skip_faulty, day_first)
                _parse(form, "\n".join(lines[start:]), start, reading)
                return _export(form, hashlib.sha256(data).hexdigest(), reading)
    return None


def _parse(form: Format, text: str, start: int, reading: Reading) -> None:
    names = [f"{name} {n}" if n else name for name, n in _numbered(form.header)]
    rows: list[tuple[int, Line]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=form.separator)
    try:
        next(reader)
        began = reader.line_num + 1
        for cells in whole_fields(reader, len(text)):
            row, began = start + began, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            cells += [""] * (len(cells) == len(names) - 1)  # spreadsheets drop an empty remark at the end
            if len(cells) != len(names) or any(len(cell) > LONGEST_CELL for cell in cells):
                wrong = f"has {len(cells)} fields instead of {len(names)}"
                reading.fault(row, wrong if len(cells) != len(names) else f"has a cell of more than {LONGEST_CELL}")
                continue
            rows.append((row, dict(zip(names, (cell.strip() for cell in cells), strict=True))))
    except csv.Error as error:
        reading.faults.add(f"has broken quotes ({error})", start + reader.line_num)
        return
    form.parse(rows, reading)
    for row, _ in rows:
        if row not in reading.seen:
            reading.fault(row, "was not understood")


def _numbered(header: Sequence[str]) -> list[tuple[str, int]]:
    seen: Counter[str] = Counter()
    numbered = []
    for name in header:
        numbered.append((name, seen[name]))
        seen[name] += 1
    return numbered


def _export(form: Format, sha256: str, reading: Reading) -> Export:
    schema = pl.Schema(dict.fromkeys(("row", *CELLS), pl.String()))
    cells = pl.DataFrame([dict.fromkeys(schema) | row for row in reading.rows], schema=schema)
    cells = cells.with_columns(pl.col("row").cast(pl.UInt32), pl.col("venue").fill_null(form.name.split()[0]))
    return Export(form.name, sha256, cells, tuple(reading.ignored.items()), reading.faults)


def each(parse: Callable[[int, Line, Reading], None]) -> Parser:
    """A parser of rows that stand for themselves; a cell that cannot be read is a fault of its row."""

    def parse_all(rows: Sequence[tuple[int, Line]], reading: Reading) -> None:
        for row, line in rows:
            try:
                parse(row, line, reading)
            except (ValueError, InvalidOperation) as error:
                reading.fault(row, str(error)[:LONGEST_CELL])

    return parse_all


def amount(text: str) -> Decimal:
    """A number as exchanges write it: thousands, signs and currency marks allowed; empty and - are 0.

    Raises:
        ValueError: If it is none, or not finite.
    """
    plain = text.replace(",", "").replace("$", "").replace(" ", "")
    if plain in {"", "-", "null", "N/A"}:
        return Decimal(0)
    try:
        number = Decimal(plain)
    except InvalidOperation:
        msg = f"{text!r} is no amount"
        raise ValueError(msg) from None
    if not number.is_finite():
        msg = f"{text!r} is no amount"
        raise ValueError(msg)
    return number


def moment(text: str, *formats: str) -> datetime:
    """A time in UTC, in ISO form or one of the given ones.

    Raises:
        ValueError: If it is none.
    """
    for form in formats:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    try:
        found = datetime.fromisoformat(re.sub(r" ([+-]\d{4})$", r"\1", text))
    except ValueError:
        msg = f"{text!r} is no time" if text else "no time"
        raise ValueError(msg) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def ticker(text: str) -> str:
    """A coin's name.

    Raises:
        ValueError: If there is none.
    """
    if not text:
        msg = "no coin"
        raise ValueError(msg)
    return text if ":" in text else text.upper()


def _text(value: object) -> str:
    return f"{abs(value):f}" if isinstance(value, Decimal) else str(value)
