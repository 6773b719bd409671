"""Reading a table that somebody handed in (CSV, JSON or Parquet) into text cells, and saying what is broken.

Belongs here: encodings, line structure, column names. What cells mean is decided by the readers of prices and
investments. Every cell stays text until then, so that no digit of an amount is lost.
"""

import csv
import hashlib
import io
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from portfolio_pipelines.market.file_faults import Faults, FileRefusedError
from portfolio_pipelines.market.json_tables import LIST_MARK, json_rows

BLANK: Final = " \t\r,"
PARQUET_NAMES: Final = (".parquet", ".pq")


@dataclass(frozen=True, slots=True)
class TableFile:
    """A file's wanted columns as text.

    `cells` has the column `row` (as a spreadsheet counts: the header of a CSV file is row 1; without header the first
    row is 1) and those of the wanted columns that the file has; cells are stripped, empty ones null.
    """

    name: str
    sha256: str  # of the whole content, hexadecimal
    columns: tuple[str, ...]  # all of the file, in lower case
    cells: pl.DataFrame
    faults: Faults


def read_table(
    source: Path | bytes,
    wanted: Collection[str],
    *,
    name: str | None = None,
    json_too: bool = False,
    lists: Collection[str] = (),
) -> TableFile:
    """Read the wanted columns of a file. Column names are compared without case; other columns are ignored.

    Args:
        source: The file, or its content.
        wanted: Column names in lower case.
        name: Name for messages; the file's own when not given.
        json_too: Whether JSON is welcome.
        lists: Wanted columns in which JSON and Parquet may hold lists of texts; they are joined by LIST_MARK.

    Returns:
        The cells, and the faults of the structure: lines with too few or too many fields, repeated columns.

    Raises:
        FileRefusedError: If nothing can be read at all: missing, empty, compressed, not UTF-8, broken quotes.
    """
    name = name or (source.name if isinstance(source, Path) else "file")
    faults = Faults(name)
    data = _content(source, faults)
    if data[:4] == b"PAR1":
        columns, cells = _read_parquet(data, wanted, lists, faults)
    elif data and name.lower().endswith(PARQUET_NAMES):
        raise refuse(faults, "is not a Parquet file, although its name says so")
    else:
        text = _decode(data, faults)
        first = text.lstrip()[:1]
        if first in {"[", "{"} and json_too:
            columns, cells = _keep_wanted(*json_rows(text, faults, lists), wanted, faults)
        elif first in {"[", "{", "<"}:
            faults.add(f"this looks like {'HTML' if first == '<' else 'JSON'}, not like a CSV or Parquet file")
            raise faults.refusal()
        else:
            columns, cells = _read_csv(text, wanted, faults)
    stripped = cells.with_columns(pl.exclude("row").str.strip_chars()).with_columns(
        pl.when(pl.exclude("row") != "").then(pl.exclude("row"))
    )
    return TableFile(name, hashlib.sha256(data).hexdigest(), columns, stripped, faults)


def refuse(faults: Faults, message: str, row: int | None = None) -> FileRefusedError:
    """The error for a file of which nothing can be read."""
    faults.add(message, row)
    return faults.refusal()


def _content(source: Path | bytes, faults: Faults) -> bytes:
    if isinstance(source, bytes):
        data = source
    else:
        try:
            data = source.read_bytes()
        except OSError as error:
            raise refuse(faults, f"cannot be read: {error.strerror}") from error
    if data[:2] == b"\x1f\x8b":
        raise refuse(faults, "is compressed (gzip): unpack it first")
    if data[:4] == b"PK\x03\x04":
        raise refuse(faults, "is a zip archive or an Excel workbook: export the table as CSV (UTF-8)")
    return data


def _decode(data: bytes, faults: Faults) -> str:
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"} or (data[:200].count(0) * 3 > len(data[:200]) > 1):
        raise refuse(faults, "is encoded in UTF-16: save it as UTF-8")
    nul = data.find(b"\0")
    if nul >= 0:
        raise refuse(faults, "contains NUL bytes: damaged, or not a text file", data.count(b"\n", 0, nul) + 1)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        message = f"is not UTF-8 (byte 0x{data[error.start]:02X}), probably Latin-1 or Windows-1252: save it as UTF-8"
        raise refuse(faults, message, row) from error
    if not text.strip():
        raise refuse(faults, "is empty")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read_csv(text: str, wanted: Collection[str], faults: Faults) -> tuple[tuple[str, ...], pl.DataFrame]:
    lines = text.split("\n")
    header_row = next(number for number, line in enumerate(lines) if line.strip())
    if '"' in text:
        header, frame = _read_quoted(text, faults)
    else:
        header = lines[header_row].split(",")
        frame = _split_lines(lines[header_row + 1 :], header_row + 2, len(header), faults)
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        mark = "semicolons" if ";" in header[0] else "tabs"
        raise refuse(faults, f"separates its columns by {mark}: use commas, and a point in numbers")
    return _keep_wanted(header, frame, wanted, faults)


def _split_lines(lines: list[str], first_row: int, width: int, faults: Faults) -> pl.DataFrame:
    """Split lines without any quote at their commas: the fast way, 1.5 million lines in about a second."""
    frame = pl.DataFrame({"line": pl.Series(lines, dtype=pl.String)}).with_row_index("row", first_row)
    frame = frame.filter(pl.col("line").str.strip_chars(BLANK) != "")
    fields = pl.col("line").str.count_matches(",", literal=True) + 1
    faults.add_rows(
        frame.filter(fields != width).with_columns(fields=fields),
        lambda row: f"has {row['fields']} fields instead of {width}",
    )
    cells = frame.filter(fields == width)
    return cells.select(
        "row", pl.col("line").str.split_exact(",", width - 1).struct.rename_fields(_places(width))
    ).unnest("line")


def _read_quoted(text: str, faults: Faults) -> tuple[list[str], pl.DataFrame]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    rows: list[list[str]] = []
    numbers: list[int] = []
    began = 1
    try:
        for row in whole_fields(reader, len(text)):
            if not header:
                header = row if any(cell.strip() for cell in row) else []
            elif len(row) == len(header):
                if any(cell.strip() for cell in row):
                    rows.append(row)
                    numbers.append(began)
            elif any(cell.strip() for cell in row):
                faults.add(f"has {len(row)} fields instead of {len(header)}", began)
            began = reader.line_num + 1
    except csv.Error as error:
        raise refuse(faults, f"has broken quotes ({error})", began) from error
    schema = pl.Schema(dict.fromkeys(_places(len(header)), pl.String()))
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return header, frame.select(pl.Series("row", numbers, dtype=pl.UInt32), *schema.names())


def whole_fields(reader: Iterator[list[str]], longest: int) -> Iterator[list[str]]:
    """Rows of a CSV reader whose cells may be as long as the file: too long a cell is a fault of its row, told later.

    The module's own limit, 131,072, holds for the whole process and ends the reading; it is put back.
    """
    limit = csv.field_size_limit(max(longest, csv.field_size_limit()))
    try:
        yield from reader
    finally:
        csv.field_size_limit(limit)


def _places(width: int) -> list[str]:
    return [f"column_{place}" for place in range(width)]


def _keep_wanted(
    header: list[str], frame: pl.DataFrame, wanted: Collection[str], faults: Faults
) -> tuple[tuple[str, ...], pl.DataFrame]:
    """Name the columns of `frame` (row, column_0, column_1, …) by the header and drop what nobody asked for."""
    names = [" ".join(cell.split()).lower() for cell in header]
    for name in sorted({name for name in names if name in wanted and names.count(name) > 1}):
        faults.add(f"has {names.count(name)} columns named {name}")
    kept = {name: f"column_{names.index(name)}" for name in names if name in wanted}
    return tuple(names), frame.select("row", *(pl.col(place).alias(name) for name, place in kept.items()))


def _read_parquet(
    data: bytes, wanted: Collection[str], lists: Collection[str], faults: Faults
) -> tuple[tuple[str, ...], pl.DataFrame]:
    try:
        schema = pl.read_parquet_schema(io.BytesIO(data))
        needed = [name for name in schema if " ".join(name.split()).lower() in wanted]
        frame = pl.read_parquet(io.BytesIO(data), columns=needed or list(schema)[:1])
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        raise refuse(faults, f"is not a readable Parquet file: {error}") from error
    texts = []
    for place, name in enumerate(schema):
        may_list = " ".join(name.split()).lower() in lists
        text = _as_text(frame.get_column(name), may_list=may_list) if name in needed else pl.lit(None, pl.String)
        if text is None:
            faults.add(f"column {name} holds {schema[name]}, not text, numbers or dates")
            text = pl.lit(None, pl.String)
        texts.append(text.alias(f"column_{place}"))
    cells = frame.with_row_index("row", 1).select("row", *texts)
    return _keep_wanted(list(schema), cells, wanted, faults)


def _as_text(column: pl.Series, *, may_list: bool) -> pl.Series | None:
    """The column as text that reads back as the same value; None for what is no plain value."""
    if column.dtype == pl.List(pl.String) and may_list:
        return column.list.join(LIST_MARK)
    if isinstance(column.dtype, pl.Datetime):
        if column.dtype.time_zone is None:
            return column.dt.strftime("%Y-%m-%dT%H:%M:%S%.6f")
        return column.dt.convert_time_zone("UTC").dt.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00")
    if column.dtype == pl.Date:
        return column.dt.strftime("%Y-%m-%d")
    if column.dtype.is_numeric() or column.dtype in {pl.String, pl.Boolean, pl.Null, pl.Categorical, pl.Enum}:
        return column.cast(pl.String)
    return None
