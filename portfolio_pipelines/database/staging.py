"""Getting many rows into temporary tables and out of them, and what all imports of files share: lock and record.

Belongs here: COPY, and rows of a query as a frame inside the caller's transaction. What the rows mean is decided by the
imports. Reading whole tables for the lake is `connection.read_frame`.
"""

from datetime import datetime
from io import BytesIO
from typing import Final

import polars as pl
import sqlalchemy as sa

COPY_BYTES: Final = 1 << 20


def lock_imports(connection: sa.Connection) -> None:
    """One import of things that users own at a time, whatever their kind: each may add users. The others wait."""
    connection.execute(sa.text("select pg_advisory_xact_lock(hashtextextended('import_investments', 0))"))


def copy_frame(connection: sa.Connection, table: str, frame: pl.DataFrame) -> None:
    """Send a frame by COPY into the first columns of a temporary table; times must be UTC."""
    buffer = BytesIO()
    frame.write_csv(buffer, include_header=False, datetime_format="%Y-%m-%dT%H:%M:%S%.6f+00:00")
    driver = connection.connection.driver_connection
    data = buffer.getbuffer()
    with driver.cursor() as cursor, cursor.copy(f"copy {table} from stdin (format csv)") as copy:  # type: ignore[union-attr]
        for start in range(0, len(data), COPY_BYTES):
            copy.write(data[start : start + COPY_BYTES])


def read_rows(connection: sa.Connection, query: str, parameters: dict[str, object] | None = None) -> pl.DataFrame:
    """Rows of a query as a frame, with the types of their values."""
    result = connection.execute(sa.text(query), parameters or {})
    rows = [tuple(row) for row in result]
    return pl.DataFrame(rows, schema=list(result.keys()), orient="row", infer_schema_length=None)


def read_copied(connection: sa.Connection, query: str, schema: pl.Schema) -> pl.DataFrame:
    """Rows of a query by COPY, as texts of `schema`: millions of rows inside the caller's transaction."""
    buffer = BytesIO()
    driver = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"copy ({query}) to stdout (format csv)") as copy:  # type: ignore[union-attr]
        for block in copy:
            buffer.write(block)
    if not buffer.tell():
        return pl.DataFrame(schema=schema)
    return pl.read_csv(buffer.getvalue(), has_header=False, schema=schema)


def record_import(
    connection: sa.Connection, kind: str, name: str, sha256: str, n_rows: int, now: datetime, who: str
) -> int:
    """Remember a file that changes something; its number."""
    number = connection.scalar(
        sa.text("""
            insert into app.imports (kind, file_name, file_hash, n_rows, imported_at, imported_by)
            values (:kind, :name, :hash, :rows, :now, :who) returning import_id
        """),
        {"kind": kind, "name": name, "hash": sha256, "rows": n_rows, "now": now, "who": who},
    )
    return int(number or 0)
