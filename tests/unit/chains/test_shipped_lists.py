"""The shipped lists are what their builder makes of the public ones: nothing in them was changed by hand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LISTS = (ROOT / os.environ.get("PORTFOLIO_SHARED_DATA", "../shared/data") / "chains").resolve()
SHIPPED = ROOT / "portfolio_pipelines/chains/data"


@pytest.mark.skipif(not LISTS.is_dir(), reason="needs chains/ in PORTFOLIO_SHARED_DATA")
def test_the_shipped_lists_are_those_of_the_builder(tmp_path: Path) -> None:
    builder = ROOT / "docs/registry/build_registry.py"
    subprocess.run(
        [sys.executable, "-B", builder, "--lists", LISTS, "--target", tmp_path],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.fspath(ROOT)},
        check=True,
    )
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(made) == {path.name for path in SHIPPED.iterdir() if path.is_file()}
    for name, content in made.items():
        assert content == (SHIPPED / name).read_bytes(), f"{name}: run .venv/bin/python docs/registry/build_registry.py"
