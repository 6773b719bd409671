"""The reference pages say what the code says."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
_spec = importlib.util.spec_from_file_location("build_reference", ROOT / "docs/build_reference.py")
assert _spec is not None
assert _spec.loader is not None
build_reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(build_reference)
PAGES: dict[Path, str] = build_reference.pages()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_page_is_current(path: Path) -> None:
    assert path.is_file(), "run .venv/bin/python docs/build_reference.py"
    assert path.read_text() == PAGES[path], "out of date: run .venv/bin/python docs/build_reference.py"


def test_no_secret_has_a_default_that_could_be_printed() -> None:
    lines = PAGES[ROOT / ".env.example"].splitlines()
    secrets = [line for line in lines if line.startswith(("# PORTFOLIO_DATABASE_URL", "# PORTFOLIO_COINGECKO_API_KEY"))]
    assert secrets == ["# PORTFOLIO_DATABASE_URL=", "# PORTFOLIO_COINGECKO_API_KEY="]


def test_every_column_of_every_mart_is_explained() -> None:
    rows = [line for line in PAGES[ROOT / "docs/reference/marts.md"].splitlines() if line.startswith("| `")]
    assert rows
    assert [row for row in rows if row.endswith("|  |")] == []
