"""Writing an export: the files of one user for some days, and the manifest that says what they are.

A folder appears whole or not at all: it is written beside and renamed. Nothing of a user's id enters a path, but for
letters and digits.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal
from uuid import uuid4

from portfolio_pipelines.delivery.exports.datasets import REPORTED, Form, What, datasets_of
from portfolio_pipelines.delivery.exports.manifest import NAME, Manifest, Tally, file_of, table_of
from portfolio_pipelines.delivery.exports.reading import ExportRefusedError, Reading, Table, open_reading
from portfolio_pipelines.delivery.reports.faults import ReportUnavailableError
from portfolio_pipelines.resources.figure_rules import FigureRules
from portfolio_pipelines.resources.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class ReportStyle:
    """How a report looks and computes; the other formats do not care.

    Attributes:
        paper: Size of the pages.
        rules: Choices of the installation, such as the risk-free rate; None for none.
    """

    paper: Literal["a4", "us-letter"] = "a4"
    rules: FigureRules | None = None


def write_export(
    warehouse: Warehouse,
    user_id: str,
    what: What,
    form: Form,
    first: date,
    last: date,
    folder: Path,
    style: ReportStyle | None = None,
) -> Manifest:
    """Write what the marts say of a user, and a manifest beside it.

    The same question of the same warehouse gives the same bytes.

    Args:
        warehouse: The finished marts.
        user_id: Whose rows.
        what: Which tables.
        form: The format; PDF is a report of performance or il.
        first: First day, UTC.
        last: Last day, UTC, inclusive.
        folder: Where the files shall be. An earlier export there is replaced; anything else is left alone and refused.
        style: Of a PDF.

    Returns:
        What was written.

    Raises:
        ExportRefusedError: If the range is empty, nobody knows the user, the user has nothing in the range, there is
            no report of `what`, or the folder holds something else.
        FileNotFoundError: If no warehouse was built yet.
        OSError: If the files cannot be written; nothing is left behind.
    """
    _require_sense(what, form, first, last, folder)
    with open_reading(warehouse, user_id) as reading, _appears(folder) as beside:
        if form is Form.PDF:
            tallies: list[Tally] = []
            try:
                _write_report(warehouse, user_id, what, first, last, beside, style or ReportStyle())
            except ReportUnavailableError as error:
                raise _nothing(reading, what, first, last) from error
        else:
            tallies = [Tally(reading.table(dataset, first, last)) for dataset in datasets_of(what)]
            head = {"user_id": user_id, "what": what.value, "from": f"{first}", "to": f"{last}", "time_zone": "UTC"}
            _write(form, [tally.watched() for tally in tallies], beside, head)
            if not any(tally.rows for tally in tallies):
                raise _nothing(reading, what, first, last)
        manifest = Manifest(
            folder, user_id, what.value, form.value, first, last, reading.build,
            [table_of(tally, first, last) for tally in tallies],
            [file_of(path) for path in sorted(beside.iterdir())],
        )  # fmt: skip
        (beside / NAME).write_bytes(manifest.document())
    return manifest


def folder_name(user_id: str, what: What, form: Form, first: date, last: date) -> str:
    """A name of a folder that says what is in it; of a strange user id only letters and digits are shown."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", user_id)[:40].strip("-") or "user"
    if readable != user_id:
        readable += "-" + hashlib.sha256(user_id.encode()).hexdigest()[:8]
    return f"{readable}-{what}-{first}-to-{last}-{form}"


def _require_sense(what: What, form: Form, first: date, last: date, folder: Path) -> None:
    faults = []
    if first > last:
        faults.append(f"the range ends before it begins: {first} to {last}")
    if form is Form.PDF and what not in REPORTED:
        others = ", ".join(other for other in Form if other is not Form.PDF)
        faults.append(f"there is no PDF of {what}: take performance or il, or {what} as {others}")
    if folder.exists() and not (folder / NAME).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        faults.append(f"{folder} holds something else: name a folder that is empty, new, or an earlier export")
    if faults:
        raise ExportRefusedError("\n".join(faults))


def _write(form: Form, tables: Sequence[Table], folder: Path, head: Mapping[str, str]) -> None:
    from portfolio_pipelines.delivery.exports import parquet_files, text_files, workbooks

    if form is Form.CSV:
        text_files.write_csv(tables, folder)
    elif form is Form.NDJSON:
        text_files.write_ndjson(tables, folder)
    elif form is Form.JSON:
        text_files.write_json(tables, folder, head)
    elif form is Form.PARQUET:
        parquet_files.write_parquet(tables, folder)
    else:
        workbooks.write_workbook(tables, folder, head)


def _write_report(
    warehouse: Warehouse, user_id: str, what: What, first: date, last: date, folder: Path, style: ReportStyle
) -> None:
    from portfolio_pipelines.delivery.reports.build import build_report

    pdf = build_report(warehouse, user_id, REPORTED[what], first, last, paper=style.paper, rules=style.rules)
    (folder / f"{what}.pdf").write_bytes(pdf)


def _nothing(reading: Reading, what: What, first: date, last: date) -> ExportRefusedError:
    there = [
        f"{dataset.name} from {days[0]} to {days[1]}"
        for dataset in datasets_of(What.ALL)
        if (days := reading.days_there_are(dataset)) is not None
    ]
    found = "; there is " + ", ".join(there) if there else " or of any other day; `portfolio run` values more days"
    return ExportRefusedError(f"there is nothing of {what} of {reading.user_id!r} from {first} to {last}{found}")


@contextmanager
def _appears(folder: Path) -> Iterator[Path]:
    """A folder beside the one that is wanted; takes its place when the body succeeds, and is gone when it fails."""
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.with_name(f".{folder.name}.{uuid4().hex}")
    replaced = beside.with_name(f"{beside.name}.old")
    beside.mkdir()
    try:
        yield beside
        for path in beside.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        if folder.exists():
            folder.rename(replaced)
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)
