"""The rules of the house: which way imports point, how long files are, what a start may cost."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "portfolio_pipelines"
CODE = sorted(
    path for folder in ("portfolio_pipelines", "tests", "benchmarks", "docs") for path in (ROOT / folder).rglob("*.py")
)
SQL = sorted(
    path for folder in ("models", "macros", "tests") for path in (ROOT / "dbt_project" / folder).rglob("*.sql")
)
PUBLIC = [path for path in CODE if path.is_relative_to(PACKAGE) and not path.name.startswith("_")]
LONGEST_FILE = 500

# Seconds and hundreds of megabytes each; every command and every run of Dagster would pay for them.
HEAVY = ("dbt", "great_expectations", "pandas", "pycoingecko", "scipy", "yfinance")
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "base"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_imports_point_one_way() -> None:
    """The contracts are in pyproject.toml under [tool.importlinter]."""
    result = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-4_000:] + result.stderr[-1_000:]


@pytest.mark.parametrize("path", CODE + SQL, ids=name_of)
def test_no_file_is_longer_than_a_person_can_hold_in_mind(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_FILE


def test_every_module_says_what_belongs_in_it() -> None:
    silent = [name_of(path) for path in PUBLIC if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def test_no_module_has_a_name_that_could_hold_anything() -> None:
    assert [name_of(path) for path in PUBLIC if path.stem in VAGUE or path.parent.name in VAGUE] == []


def heavy_imports_of(module: str, folder: Path) -> list[str]:
    """The heavy packages that a process has after importing a module, in an installation below `folder`."""
    code = f"import sys, {module}; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    environment = {**os.environ, "PORTFOLIO_HOME": os.fspath(folder / "home"), "PYTHONPATH": os.fspath(ROOT)}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2_000:]
    return result.stdout.split()


def test_the_command_line_starts_without_anything_heavy_and_writes_nothing(tmp_path: Path) -> None:
    assert heavy_imports_of("portfolio_pipelines.cli", tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_dagster_loads_the_definitions_without_anything_heavy(tmp_path: Path) -> None:
    heavy_imports_of("portfolio_pipelines.definitions", tmp_path)  # the first time dbt writes its manifest
    assert heavy_imports_of("portfolio_pipelines.definitions", tmp_path) == []


@pytest.mark.parametrize("package", ["finance", "market"])
def test_computation_reads_neither_the_clock_nor_the_environment(package: str) -> None:
    """What it computes depends on its arguments alone; only the limiter and the transport may wait and ask."""
    waiting = {"conversation.py", "limiter.py", "transport.py"}
    forbidden = ("datetime.now(", "date.today(", "time.time(", "os.environ", "getenv(")
    found = [
        f"{name_of(path)}: {call}"
        for path in sorted((PACKAGE / package).rglob("*.py"))
        if path.name not in waiting
        for call in forbidden
        if call in path.read_text()
    ]
    assert found == []


def test_settings_are_read_in_one_place() -> None:
    reads = re.compile(r"""(environ(\.get\(|\[)|getenv\()\s*["']PORTFOLIO_""")
    assert [name_of(path) for path in PUBLIC if path.name != "settings.py" and reads.search(path.read_text())] == []


def test_continuous_integration_runs_what_the_readme_says() -> None:
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    assert "exec make test" in script.read_text()
    readme = (ROOT / "README.md").read_text()
    assert "make run" in readme
    assert "make test" in readme
