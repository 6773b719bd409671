import os
from datetime import date, timedelta
from pathlib import Path
from threading import Event

import polars as pl
import pytest

from portfolio_pipelines.resources import partitions
from portfolio_pipelines.resources.files import content_hash
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.partitions import (
    ABSENT,
    FLUSH_EVERY,
    PartitionWriter,
    chained,
    fingerprint,
    frame_fingerprint,
)
from portfolio_pipelines.tables import PARTITION_LOG_SCHEMA

DAY = date(2024, 3, 1)
TABLE = "core/things"
ROWS = pl.DataFrame({"name": ["a", "b"], "value": [1.0, None]})


class Log:
    """The database's side: keeps what it is given."""

    def __init__(self) -> None:
        self.saved: list[pl.DataFrame] = []
        self.asked: list[str] = []

    def __call__(self, rows: pl.DataFrame) -> None:
        self.saved.append(rows)

    @property
    def rows(self) -> pl.DataFrame:
        return pl.concat(self.saved) if self.saved else pl.DataFrame(schema=PARTITION_LOG_SCHEMA)

    def of_table(self, table: str) -> pl.DataFrame:
        self.asked.append(table)
        return self.rows.filter(pl.col("table") == table)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def writer(lake: Lake, log: Log) -> PartitionWriter:
    return PartitionWriter(lake, "run-1", log.of_table, log)


def test_a_written_partition_is_current_for_these_inputs_and_this_code_alone(writer: PartitionWriter) -> None:
    assert not writer.is_current(TABLE, DAY, "inputs", "1")
    writer.write(TABLE, DAY, ROWS, "inputs", "1")
    assert writer.is_current(TABLE, DAY, "inputs", "1")
    assert not writer.is_current(TABLE, DAY, "other inputs", "1")
    assert not writer.is_current(TABLE, DAY, "inputs", "2")
    assert not writer.is_current(TABLE, DAY + timedelta(days=1), "inputs", "1")


def test_a_partition_whose_file_was_deleted_is_not_current_and_holds_nothing(
    writer: PartitionWriter, lake: Lake
) -> None:
    writer.write(TABLE, DAY, ROWS, "inputs", "1")
    writer.flush()
    assert writer.content(TABLE, DAY) != ABSENT
    lake.path(TABLE, DAY).unlink()
    assert not writer.is_current(TABLE, DAY, "inputs", "1")
    assert writer.content(TABLE, DAY) == writer.inputs(TABLE, DAY) == ABSENT


def test_content_tells_other_rows_apart_and_equal_rows_not(writer: PartitionWriter) -> None:
    for offset, rows in enumerate([ROWS, ROWS, ROWS.reverse()]):
        writer.write(TABLE, DAY + timedelta(days=offset), rows, f"inputs {offset}", "1")
    first, same, other = (writer.content(TABLE, DAY + timedelta(days=n)) for n in range(3))
    assert first == same != other


def test_what_a_partition_holds_is_known_before_its_file_has_reached_the_disk(
    writer: PartitionWriter, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_sync, sync = Event(), os.fsync

    def wait_and_sync(descriptor: int) -> None:
        assert may_sync.wait(60), "nobody let the disk go on"
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", wait_and_sync)
    writer.write(TABLE, DAY, ROWS, "inputs", "1")
    early = writer.content(TABLE, DAY)
    assert not lake.path(TABLE, DAY).exists()
    may_sync.set()
    writer.flush()
    assert early == writer.content(TABLE, DAY) == content_hash(lake.path(TABLE, DAY).read_bytes())


def test_rows_that_cannot_be_encoded_are_an_error_and_nobody_waits_for_their_content(
    writer: PartitionWriter, monkeypatch: pytest.MonkeyPatch, log: Log
) -> None:
    def refuse(_: pl.DataFrame) -> bytes:
        msg = "no such type"
        raise TypeError(msg)

    monkeypatch.setattr(partitions, "parquet_bytes", refuse)
    writer.write(TABLE, DAY, ROWS, "inputs", "1")
    with pytest.raises(TypeError, match="no such type"):
        writer.content(TABLE, DAY)
    with pytest.raises(TypeError, match="no such type"):
        writer.close()
    assert log.rows.is_empty()


def test_what_is_written_can_be_read_once_it_is_flushed(writer: PartitionWriter, lake: Lake, log: Log) -> None:
    writer.write(TABLE, DAY, ROWS, "inputs", "1")
    writer.write(TABLE, None, ROWS, "of the whole", "1")
    writer.flush()
    assert lake.read_table(TABLE, ROWS.schema).equals(ROWS)
    assert log.rows.select("table", "partition", "run_id", "input_hash").rows() == [
        (TABLE, "2024-03-01", "run-1", "inputs"),
        (TABLE, "all", "run-1", "of the whole"),
    ]


def test_records_are_saved_while_a_long_run_goes_on_and_each_once(writer: PartitionWriter, log: Log) -> None:
    days = [DAY + timedelta(days=n) for n in range(2 * FLUSH_EVERY + 7)]
    for day in days:
        writer.write(TABLE, day, ROWS, str(day), "1")
    assert log.saved, "nothing was saved before the end"
    writer.close()
    assert log.rows["partition"].to_list() == [str(day) for day in days]


def test_what_the_log_says_is_what_the_next_run_knows(writer: PartitionWriter, lake: Lake, log: Log) -> None:
    writer.write(TABLE, DAY, ROWS, "inputs", "1")
    writer.flush()
    following = PartitionWriter(lake, "run-2", log.of_table, log)
    assert following.is_current(TABLE, DAY, "inputs", "1")
    assert not following.is_current(TABLE, DAY, "inputs", "2")
    assert following.content(TABLE, DAY) == writer.content(TABLE, DAY)
    assert following.inputs(TABLE, DAY) == "inputs"


def test_of_the_log_only_the_tables_that_are_needed_are_read_and_each_once(lake: Lake, log: Log) -> None:
    writer = PartitionWriter(lake, "run-1", log.of_table, log)
    for day in (DAY, DAY + timedelta(days=1)):
        writer.is_current(TABLE, day, "inputs", "1")
        writer.content("core/another", day)
    assert log.asked == [TABLE, "core/another"]


def test_the_newest_of_two_writes_of_a_day_counts(writer: PartitionWriter, lake: Lake) -> None:
    writer.write(TABLE, DAY, ROWS, "old", "1")
    writer.write(TABLE, DAY, ROWS.head(1), "new", "1")
    writer.flush()
    assert writer.is_current(TABLE, DAY, "new", "1")
    assert pl.read_parquet(lake.path(TABLE, DAY)).height == 1


def test_a_file_that_cannot_be_written_is_an_error_and_not_recorded(
    writer: PartitionWriter, lake: Lake, log: Log
) -> None:
    (lake.root / "core").mkdir()
    (lake.root / TABLE).write_text("a file where the folder of the table belongs")
    writer.write(TABLE, DAY, ROWS, "inputs", "1")
    with pytest.raises(OSError, match="things"):
        writer.flush()
    writer.close()
    assert log.rows.is_empty()


def test_a_fingerprint_depends_on_the_order_and_the_borders_of_its_parts() -> None:
    assert fingerprint("a", "b") == fingerprint("a", "b")
    assert len({fingerprint("a", "b"), fingerprint("b", "a"), fingerprint("ab"), fingerprint("a"), fingerprint()}) == 5


def test_a_frame_fingerprint_sees_values_order_and_column_names() -> None:
    others = [ROWS.reverse(), ROWS.rename({"name": "id"}), ROWS.head(1), ROWS.with_columns(value=pl.lit(1.0))]
    assert frame_fingerprint(ROWS) == frame_fingerprint(ROWS.clone())
    assert len({frame_fingerprint(frame) for frame in [ROWS, *others]}) == 5


def test_a_chained_hash_changes_from_the_changed_part_on_and_not_before() -> None:
    days = [DAY + timedelta(days=n) for n in range(5)]
    parts = [(DAY - timedelta(days=9), "first"), (days[2], "second")]
    before, after = chained(parts, days), chained([parts[0], (days[2], "corrected")], days)
    assert [before[day] == after[day] for day in days] == [True, True, False, False, False]
    assert before[days[0]] == before[days[1]] != before[days[2]] == before[days[4]]
    assert chained(reversed(parts), reversed(days)) == before


def test_a_part_after_the_last_day_is_nobodys_business() -> None:
    assert chained([(DAY + timedelta(days=1), "later")], [DAY]) == chained([], [DAY])
