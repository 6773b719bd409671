"""Files appear whole or not at all, whatever happens while they are written."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from portfolio_pipelines.resources.files import appears_whole, content_hash, parquet_bytes


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_with_its_folder_when_the_writing_succeeds(tmp_path: Path) -> None:
    with appears_whole(tmp_path / "new" / "file.txt") as beside:
        beside.write_text("whole")
        assert not (tmp_path / "new" / "file.txt").exists()
    assert (tmp_path / "new" / "file.txt").read_text() == "whole"
    assert names(tmp_path / "new") == ["file.txt"]


def test_an_exception_while_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    target.write_text("old")
    with pytest.raises(OSError, match="disk full"), appears_whole(target) as beside:  # noqa: PT012
        beside.write_text("ha")
        raise OSError("disk full")  # noqa: EM101
    assert target.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_a_body_that_writes_nothing_is_an_error_and_not_an_empty_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), appears_whole(tmp_path / "file.txt"):
        pass
    assert names(tmp_path) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from portfolio_pipelines.resources.files import appears_whole
with appears_whole(Path(sys.argv[1])) as beside:
    with beside.open("wb") as file:
        file.write(b"half")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_killed_while_writing_leaves_the_old_file_and_no_half_one(tmp_path: Path) -> None:
    target = tmp_path / "data.parquet"
    target.write_bytes(b"old")
    killed = subprocess.run([sys.executable, "-c", KILLED, os.fspath(target)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.glob("*.parquet")] == ["data.parquet"]


def test_the_same_rows_give_the_same_bytes_however_the_frame_came_about() -> None:
    frame = pl.DataFrame({"name": ["a", "b", None], "usd": [1.0, None, 3.0]})
    in_pieces = pl.concat([frame.head(1), frame.tail(2)], rechunk=False)
    assert parquet_bytes(in_pieces) == parquet_bytes(frame)
    assert content_hash(parquet_bytes(in_pieces)) == content_hash(parquet_bytes(frame))
    assert content_hash(parquet_bytes(frame.reverse())) != content_hash(parquet_bytes(frame))


def test_the_bytes_are_the_same_in_another_process() -> None:
    code = (
        "import polars as pl; from portfolio_pipelines.resources.files import content_hash, parquet_bytes;"
        "print(content_hash(parquet_bytes(pl.DataFrame({'n': range(100_000)}))))"
    )
    elsewhere = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert elsewhere.stdout.strip() == content_hash(parquet_bytes(pl.DataFrame({"n": range(100_000)})))
