"""What `make` does before any Python of ours runs: choosing an interpreter, finding price files, installing once."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def program(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def install(folder: Path, python3: str) -> subprocess.CompletedProcess[str]:
    """Run .ci/install where `python3` is the only interpreter."""
    program(folder / "bin/python3", python3)
    return subprocess.run(
        ["/bin/sh", ROOT / ".ci/install", folder / "environment"],
        env={"PATH": os.fspath(folder / "bin")},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_interpreter_that_is_too_old_is_refused_with_what_to_do(tmp_path: Path) -> None:
    result = install(tmp_path, '[ "$1" = --version ] && echo "Python 3.9.2" && exit 0; exit 1')
    assert result.returncode == 1
    assert "Python 3.11, 3.12, 3.13 or 3.14 is needed; found Python 3.9.2." in result.stderr
    assert "sudo apt install python3 python3-venv" in result.stderr
    assert "brew install" in result.stderr


def test_a_python_without_venv_names_the_package_that_is_missing(tmp_path: Path) -> None:
    result = install(tmp_path, 'case "$2" in *ensurepip*) exit 1;; *%d.%d*) echo 3.12;; esac')
    assert result.returncode == 1
    assert "sudo apt install python3.12-venv" in result.stderr


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with our Makefile, an installed environment, and a `portfolio` that prints its arguments."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy2(ROOT / name, folder / name)
    program(folder / ".venv/bin/portfolio", 'printf "%s\\n" "$@"')
    program(folder / ".ci/install", "echo installing")
    (folder / ".venv/.installed").touch()
    return folder


def make(project: Path, target: str, shared: Path, *more: str) -> list[str]:
    environment = {**os.environ, "PORTFOLIO_SHARED_DATA": os.fspath(shared)}
    environment.pop("MAKEFLAGS", None)  # these tests may themselves run below make
    result = subprocess.run(
        ["make", "--no-print-directory", "-s", target, *more],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.splitlines()


def test_make_run_passes_the_price_files_that_are_there(project: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared data"  # a blank in the name is no obstacle
    shared.mkdir()
    assert make(project, "run", shared) == ["quickstart"]
    (shared / "prices_daily.parquet").touch()
    assert make(project, "run", shared) == ["quickstart", "--prices", f"{shared}/prices_daily.parquet"]
    (shared / "sp500").mkdir()
    (shared / "sp500/sp500_daily.csv").touch()
    assert make(project, "run", shared)[-2:] == ["--prices", f"{shared}/sp500/sp500_daily.csv"]


def test_make_run_takes_further_arguments(project: Path, tmp_path: Path) -> None:
    assert make(project, "run", tmp_path, "PRICES=--prices mine.csv") == ["quickstart", "--prices", "mine.csv"]


@pytest.mark.parametrize("changed", ["requirements.lock", "pyproject.toml"])
def test_it_installs_again_only_when_the_pins_changed(project: Path, tmp_path: Path, changed: str) -> None:
    assert make(project, "ui", tmp_path) == ["ui"]
    stamp = (project / ".venv/.installed").stat().st_mtime_ns
    os.utime(project / changed, ns=(stamp + 10**9, stamp + 10**9))
    assert make(project, "ui", tmp_path)[0] == "installing"


def test_make_clean_leaves_the_data_alone(project: Path, tmp_path: Path) -> None:
    (project / ".portfolio").mkdir()
    make(project, "clean", tmp_path)
    assert (project / ".portfolio").is_dir()
    assert not (project / ".venv").exists()
