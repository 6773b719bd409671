"""A file is brought up to another one by writing only what differs."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.resources.warehouse_spare import bring_up

WINDOW = 16
CONTENT = st.binary(max_size=9 * WINDOW)


@given(wanted=CONTENT, there=CONTENT)
def test_whatever_was_there_the_file_becomes_the_other_one(wanted: bytes, there: bytes) -> None:
    with TemporaryDirectory() as folder:
        source, target = Path(folder, "source"), Path(folder, "target")
        source.write_bytes(wanted)
        target.write_bytes(there)
        bring_up(source, target, WINDOW)
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
