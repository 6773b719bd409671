"""A file is brought up to another one by writing only what differs, and only when nobody has it open."""

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.resources.warehouse_spare import Spare, bring_up, is_read

WINDOW = 16
CONTENT = st.binary(max_size=9 * WINDOW)


@given(wanted=CONTENT, there=CONTENT, threads=st.integers(1, 3))
def test_whatever_was_there_the_file_becomes_the_other_one(wanted: bytes, there: bytes, threads: int) -> None:
    with TemporaryDirectory() as folder:
        source, target = Path(folder, "source"), Path(folder, "target")
        source.write_bytes(wanted)
        target.write_bytes(there)
        bring_up(source, target, WINDOW, threads)
        assert target.read_bytes() == source.read_bytes() == wanted
        assert bring_up(source, target, WINDOW) == 0


@pytest.mark.parametrize("changed", [0, 3, 7])
def test_only_the_window_that_differs_is_written(tmp_path: Path, changed: int) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    target.write_bytes(bytes(8 * WINDOW))
    content = bytearray(8 * WINDOW)
    content[changed * WINDOW + 5] = 1
    source.write_bytes(content)
    assert bring_up(source, target, WINDOW) == WINDOW
    assert target.read_bytes() == bytes(content)


def test_a_longer_file_loses_its_end_and_a_shorter_one_gets_what_is_not_zero(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"x" * (2 * WINDOW) + b"y")
    target.write_bytes(b"x" * (5 * WINDOW))
    assert bring_up(source, target, WINDOW) == 1
    target.write_bytes(b"")
    assert bring_up(source, target, WINDOW) == 2 * WINDOW + 1
    assert target.read_bytes() == source.read_bytes()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "warehouse.duckdb"
    connection = duckdb.connect(str(path))
    connection.execute("create table numbers as select 1 as number")
    connection.close()
    if is_read(path) is None:
        pytest.skip("this system cannot tell who has a file open: no spare is kept there")
    return path


def test_a_file_that_nobody_has_open_may_be_written(file: Path) -> None:
    assert is_read(file) is False
    assert is_read(file) is False  # asking leaves nothing behind


def test_a_file_that_is_copied_is_read_though_it_has_no_lock(file: Path) -> None:
    with file.open("rb"):
        assert is_read(file) is True
    command = [
        sys.executable,
        "-c",
        "import sys; f = open(sys.argv[1], 'rb'); print(flush=True); sys.stdin.read()",
        file,
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as copying:
        assert copying.stdout is not None
        copying.stdout.readline()
        assert is_read(file) is True
        copying.communicate()
    assert is_read(file) is False


def test_a_database_whose_reader_lost_its_lock_is_read(file: Path) -> None:
    with duckdb.connect(str(file), read_only=True) as reader:
        file.read_bytes()  # the system takes all of a process's locks away when it closes the file anywhere
        assert is_read(file) is True
        assert reader.execute("from numbers").fetchall() == [(1,)]
    assert is_read(file) is False


def test_a_process_that_ends_finishes_its_spare_first(file: Path) -> None:
    spare = Spare(file.parent / "spare" / file.name, worth_keeping=0)
    spare.path.parent.mkdir()
    spare.path.write_bytes(b"another one")
    body = f"""
import threading, contextlib
from pathlib import Path
from portfolio_pipelines.resources.warehouse_spare import Spare

@contextlib.contextmanager
def alone():
    threading.main_thread().join()  # the process is ending when this goes on
    yield

Spare(Path({str(spare.path)!r}), worth_keeping=0).follow(Path({str(file)!r}), alone)
"""
    ended = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    assert spare.path.read_bytes() == file.read_bytes()
    assert [path.name for path in spare.path.parent.iterdir()] == [spare.path.name]


def test_where_the_system_cannot_tell_who_reads_a_file_there_is_no_spare(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("fcntl.F_SETLEASE")
    spare = Spare(file.parent / "spare" / file.name, worth_keeping=0)
    spare.keep(file)
    spare.follow(file, nullcontext)
    spare.wait()
    assert not spare.path.exists()
