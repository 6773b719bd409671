"""The tutorial, executed as it is printed: its commands work, and its tables are what they show."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from portfolio_pipelines.database import embedded

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```\n(.*?)(?=^```sh\n|\Z)", re.MULTILINE | re.DOTALL)
NEXT = "@@@ next block"


class Step(NamedTuple):
    """A block of commands, and the text of the tutorial up to the next one."""

    commands: str
    text: str

    @property
    def table(self) -> list[list[str]]:
        """The cells of the first table in the text, without its head."""
        rows = [line for line in self.text.splitlines() if line.startswith("|")]
        return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


STEPS = [Step(*found) for found in BLOCK.findall((ROOT / "docs/tutorial.md").read_text())]


@pytest.fixture(scope="module")
def printed() -> Iterator[list[str]]:
    """What each block of the tutorial prints."""
    folder = Path(tempfile.mkdtemp(prefix="portfolio-tutorial-"))
    script = "set -e\nshopt -s expand_aliases\n" + f"\necho '{NEXT}'\n".join(step.commands for step in STEPS)
    script = script.replace("/tmp/tutorial", f"{folder}/tutorial")  # noqa: S108
    script = script.replace("$PWD/.venv/bin/portfolio", os.fspath(Path(sys.executable).parent / "portfolio"))
    try:
        result = subprocess.run(
            ["bash", "-c", script],
            cwd=ROOT,
            env={**os.environ, "COLUMNS": "200", "TERM": "dumb"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stdout[-2_000:] + result.stderr[-4_000:]
        yield result.stdout.split(NEXT)
    finally:
        embedded.stop(folder / "tutorial/postgres")
        shutil.rmtree(folder)


@pytest.mark.parametrize("number", [at for at, step in enumerate(STEPS) if step.table])
def test_a_table_of_the_tutorial_is_what_the_query_prints(printed: list[str], number: int) -> None:
    lines = [re.split(r"\s*[│|]\s*", line.strip().strip("│|").strip()) for line in printed[number].splitlines()]
    shown = [cells for cells in lines if cells[0][:4].isdigit()]
    assert shown == STEPS[number].table


def block_with(printed: list[str], text: str) -> str:
    (number,) = [at for at, step in enumerate(STEPS) if text in step.commands]
    return printed[number]


def test_no_day_of_the_investment_is_missing(printed: list[str]) -> None:
    assert re.search(r"\b61\b", block_with(printed, "count(*) as days"))


def test_a_missing_price_is_carried_and_lowers_the_coverage(printed: list[str]) -> None:
    output = block_with(printed, "march-2.csv")
    assert re.search(r"coingecko:solana\W+120\.0\W+stale", output)
    assert re.search(r"1800\.0\W+0\.8666", output)
