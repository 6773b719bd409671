"""Partitions that know what they were made from: a day is written again only when its inputs, or the code, changed.

Belongs here: comparing and recording fingerprints. What a table means, and how it is computed, is not.
"""

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from portfolio_pipelines.resources.files import content_hash, parquet_bytes
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.tables import PARTITION_LOG_SCHEMA

FLUSH_EVERY = 100
MOST_PENDING = 6  # frames held in memory until they are written
WRITERS = 3  # one waits for the disk while two encode
ABSENT = "absent"
WHOLE = "all"
"""The partition name of a table without days."""


def fingerprint(*parts: object) -> str:
    """One hash of several values; the order counts."""
    return hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=16).hexdigest()


def frame_fingerprint(frame: pl.DataFrame) -> str:
    """A hash of the rows of a frame, in their order."""
    return hashlib.blake2b(frame.write_csv().encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class PartitionRecord:
    """What is known of one written partition."""

    code_version: str
    input_hash: str
    content_hash: str


@dataclass(frozen=True, slots=True)
class _Pending:
    """A partition that is being encoded and written in the background."""

    content: Future[str]  # known once it is encoded
    placed: Future[None]
    input_hash: str
    code_version: str


@dataclass(slots=True)
class PartitionWriter:
    """Writes the partitions of one run and records them. Files are encoded and written beside the computation.

    Args:
        lake: Where the files are.
        run_id: The run that writes.
        known: What the partition log says of a table, rows of PARTITION_LOG_SCHEMA; asked once for each table needed.
        save: Stores rows of PARTITION_LOG_SCHEMA in the database.
    """

    lake: Lake
    run_id: str
    known: Callable[[str], pl.DataFrame]
    save: Callable[[pl.DataFrame], None]
    _records: dict[str, dict[str, PartitionRecord]] = field(default_factory=dict)  # by table and partition
    _unsaved: list[dict[str, object]] = field(default_factory=list)
    _pending: dict[tuple[str, str], _Pending] = field(default_factory=dict)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(WRITERS, thread_name_prefix="lake"))

    def content(self, table: str, day: date | None = None, chain: str | None = None) -> str:
        """Fingerprint of what a partition holds; ABSENT when it was never written or its file is gone.

        Of one that is being written it is known before the file has reached the disk. Should that fail, the run does,
        and whatever rests on this content finds it missing.
        """
        pending = self._pending.get((table, partition_name(day, chain)))
        if pending is not None:
            return pending.content.result()
        record = self._record(table, day, chain)
        return record.content_hash if record else ABSENT

    def inputs(self, table: str, day: date) -> str:
        """Fingerprint of what a partition was made from; ABSENT like `content`, but never waits for a write."""
        pending = self._pending.get((table, partition_name(day)))
        if pending is not None:
            return pending.input_hash
        record = self._record(table, day)
        return record.input_hash if record else ABSENT

    def is_current(
        self, table: str, day: date | None, input_hash: str, code_version: str, chain: str | None = None
    ) -> bool:
        """Whether the partition exists and was made from exactly these inputs by this code."""
        record = self._record(table, day, chain)
        return record is not None and record.input_hash == input_hash and record.code_version == code_version

    def write(
        self,
        table: str,
        day: date | None,
        frame: pl.DataFrame,
        input_hash: str,
        code_version: str,
        chain: str | None = None,
    ) -> None:
        """Replace a partition and record it, in the background; a failure is raised by a later call."""
        key = (table, partition_name(day, chain))
        self._settle(key)
        while len(self._pending) >= MOST_PENDING:
            self._settle(next(iter(self._pending)))
        content: Future[str] = Future()
        if day is not None and chain is None:
            frame = frame.drop("date", strict=False)
        placed = self._pool.submit(self._put, self.lake.path(table, day, chain), frame, content)
        self._pending[key] = _Pending(content, placed, input_hash, code_version)
        if len(self._unsaved) >= FLUSH_EVERY:
            self._save()

    def flush(self) -> None:
        """Wait for the files and save their records; a partition that is not recorded is simply made again."""
        try:
            while self._pending:
                self._settle(next(iter(self._pending)))
        finally:
            self._save()

    def close(self) -> None:
        """Flush, and give the background thread back."""
        try:
            self.flush()
        finally:
            self._pool.shutdown()

    def _put(self, path: Path, frame: pl.DataFrame, content: Future[str]) -> None:
        try:
            data = parquet_bytes(frame)
            content.set_result(content_hash(data))
        except BaseException as error:  # who waits for the content would wait for ever
            content.set_exception(error)
            raise
        self.lake.place(path, data)

    def _record(self, table: str, day: date | None, chain: str | None = None) -> PartitionRecord | None:
        key = (table, partition_name(day, chain))
        self._settle(key)
        record = self._records_of(table).get(key[1])
        return record if record is not None and self.lake.path(table, day, chain).is_file() else None

    def _records_of(self, table: str) -> dict[str, PartitionRecord]:
        if table not in self._records:
            columns = self.known(table).select("partition", "code_version", "input_hash", "content_hash")
            self._records[table] = {row[0]: PartitionRecord(*row[1:]) for row in columns.iter_rows()}
        return self._records[table]

    def _settle(self, key: tuple[str, str]) -> None:
        pending = self._pending.pop(key, None)
        if pending is None:
            return
        pending.placed.result()
        record = PartitionRecord(pending.code_version, pending.input_hash, pending.content.result())
        self._records_of(key[0])[key[1]] = record
        self._unsaved.append(
            {
                "table": key[0],
                "partition": key[1],
                "run_id": self.run_id,
                "code_version": record.code_version,
                "input_hash": record.input_hash,
                "content_hash": record.content_hash,
                "written_at": datetime.now(UTC),
            }
        )

    def _save(self) -> None:
        if self._unsaved:
            self.save(pl.DataFrame(self._unsaved, schema=PARTITION_LOG_SCHEMA))
            self._unsaved.clear()


def chained(parts: Iterable[tuple[date, str]], days: Iterable[date]) -> dict[date, str]:
    """For each day, one hash of all parts up to and including it. Both in ascending order of day."""
    remaining = sorted(parts)
    result: dict[date, str] = {}
    position, current = 0, fingerprint()
    for day in sorted(days):
        while position < len(remaining) and remaining[position][0] <= day:
            current = fingerprint(current, *remaining[position])
            position += 1
        result[day] = current
    return result


def partition_name(day: date | None, chain: str | None = None) -> str:
    """What the partition log calls a partition: a day, a day and chain, or everything."""
    if day is None:
        return WHOLE
    return day.isoformat() if chain is None else f"{day.isoformat()}/{chain}"
