"""Files that appear whole or not at all. What is in them is none of this module's business."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from uuid import uuid4

import polars as pl


@contextmanager
def appears_whole(target: Path) -> Iterator[Path]:
    """Yield a path beside `target`; rename it over `target` when the body succeeds, remove it when the body fails.

    Readers see the old file or the new one. The temporary name starts with a dot: no glob of the lake matches it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{uuid4().hex}")  # same folder: the rename stays on one file system
    try:
        yield beside
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def parquet_bytes(frame: pl.DataFrame) -> bytes:
    """The bytes of a frame as Parquet with fixed options: same rows in the same order, same bytes.

    Text is dictionary-encoded and numbers are not: dictionaries of prices and values cost time and save nothing.
    """
    import pyarrow.parquet as pq

    buffer = BytesIO()
    text = [name for name, kind in frame.schema.items() if kind == pl.String]
    pq.write_table(
        frame.rechunk().to_arrow(),
        buffer,
        compression="lz4",
        use_dictionary=text,
        write_statistics=False,
        row_group_size=1_000_000,
    )
    return buffer.getvalue()


def content_hash(data: bytes) -> str:
    """A short fingerprint of file content: 128 bits of SHA-256, which processors compute in hardware."""
    return hashlib.sha256(data).hexdigest()[:32]
