"""Files that appear whole or not at all. What is in them is none of this module's business."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
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
    """The bytes of a frame as Parquet with fixed options: same rows in the same order, same bytes."""
    from io import BytesIO

    buffer = BytesIO()
    frame.rechunk().write_parquet(
        buffer, compression="zstd", compression_level=1, statistics=False, row_group_size=1_000_000
    )
    return buffer.getvalue()


def content_hash(data: bytes) -> str:
    """A short fingerprint of file content: 128 bits of SHA-256, which processors compute in hardware."""
    return hashlib.sha256(data).hexdigest()[:32]
