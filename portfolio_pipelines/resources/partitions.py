"""Partitions that know what they were made from: a day is written again only when its inputs, or the code, changed.

Belongs here: comparing and recording fingerprints. What a table means, and how it is computed, is not.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

import polars as pl

from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.tables import PARTITION_LOG_SCHEMA

FLUSH_EVERY = 100
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


@dataclass(slots=True)
class PartitionWriter:
    """Writes the partitions of one run and records them.

    Args:
        lake: Where the files are.
        run_id: The run that writes.
        records: What is known, by (table, partition).
        save: Stores rows of PARTITION_LOG_SCHEMA in the database.
    """

    lake: Lake
    run_id: str
    records: dict[tuple[str, str], PartitionRecord]
    save: Callable[[pl.DataFrame], None]
    _unsaved: list[dict[str, object]] = field(default_factory=list)

    @staticmethod
    def records_of(log: pl.DataFrame) -> dict[tuple[str, str], PartitionRecord]:
        """The log, rows of PARTITION_LOG_SCHEMA, as a dictionary."""
        columns = log.select("table", "partition", "code_version", "input_hash", "content_hash")
        return {(row[0], row[1]): PartitionRecord(*row[2:]) for row in columns.iter_rows()}

    def content(self, table: str, day: date | None = None) -> str:
        """Fingerprint of what a partition holds; ABSENT when it was never written or its file is gone."""
        record = self.records.get((table, _name(day)))
        return record.content_hash if record and self.lake.path(table, day).is_file() else ABSENT

    def is_current(self, table: str, day: date | None, input_hash: str, code_version: str) -> bool:
        """Whether the partition exists and was made from exactly these inputs by this code."""
        record = self.records.get((table, _name(day)))
        return (
            record is not None
            and record.input_hash == input_hash
            and record.code_version == code_version
            and self.lake.path(table, day).is_file()
        )

    def write(self, table: str, day: date | None, frame: pl.DataFrame, input_hash: str, code_version: str) -> bool:
        """Replace a partition and record it; whether its bytes changed."""
        if day is None:
            content, changed = self.lake.replace_table(table, frame)
        else:
            content, changed = self.lake.replace(table, day, frame)
        self.records[table, _name(day)] = PartitionRecord(code_version, input_hash, content)
        self._unsaved.append(
            {
                "table": table,
                "partition": _name(day),
                "run_id": self.run_id,
                "code_version": code_version,
                "input_hash": input_hash,
                "content_hash": content,
                "written_at": datetime.now(UTC),
            }
        )
        if len(self._unsaved) >= FLUSH_EVERY:
            self.flush()
        return changed

    def flush(self) -> None:
        """Save the records of what was written; a partition that is written but not recorded is simply made again."""
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


def _name(day: date | None) -> str:
    return WHOLE if day is None else day.isoformat()
