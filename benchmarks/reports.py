"""Reports a second: a cold process against a warm one, a report said again, and reportlab where it is installed.

python -m benchmarks.reports               a year of users with 60 holdings each
python -m benchmarks.reports --days 1826   five years

Processor time is measured: what else the machine does counts for less. Trust the ratios: they come from one run on one
machine.
"""

import argparse
import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from portfolio_pipelines.delivery.reports.build import build_report
from portfolio_pipelines.resources.dbt_build import DbtProject
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.warehouse import Warehouse

FIRST = date(2020, 1, 1)
HOLDINGS = 60
USERS = 8
"""The first warms the process up; a report that was set before is remembered by typst, so each is of another user."""
TARGET_SECONDS = 0.5
"""Of one report in a warm process; 125,000 monthly reports are then 9 hours on 2 cores at worst."""
COLD = """
import sys, time
started = time.process_time()
from benchmarks.reports import one, opened
one(opened(sys.argv[1]), int(sys.argv[2]))
print(time.process_time())
"""


def opened(folder: str) -> Warehouse:
    """The warehouse of a folder."""
    path = Path(folder)
    return Warehouse(
        path / "warehouse.duckdb", Lake(path / "lake"), DbtProject(path / "dbt", path / "build" / "warehouse.duckdb")
    )


def one(warehouse: Warehouse, days: int, user: int = 0) -> bytes:
    """The report that is measured."""
    return build_report(warehouse, f"user {user}", "performance", FIRST, FIRST + timedelta(days=days - 1))


def fill(folder: Path, days: int) -> None:
    """The marts of some users, with the columns that their contracts name."""
    from tests.integration.reports.report_marts import ReportMarts

    marts = ReportMarts(folder)
    chains = ("ethereum", "solana", "base")
    for user in range(USERS):
        returns = [float(gain) for gain in np.random.default_rng(user).normal(0.001, 0.03, days)]
        holdings = [(f"TOKEN{n}", chains[n % 3], 10.0 + user, 100.0 / (n + 1)) for n in range(HOLDINGS)]
        deposits = {days // 2: 5_000.0}
        marts.add_portfolio(f"user {user}", returns, first=FIRST, deposits=deposits, holdings=holdings)
    marts.add_benchmarks(FIRST - timedelta(days=3), FIRST + timedelta(days=days))


def seconds_of(works: Sequence[Callable[[], object]]) -> float:
    """Processor seconds of one call, the mean of all."""
    started = time.process_time()
    for work in works:
        work()
    return (time.process_time() - started) / len(works)


def cold(folder: str, days: int) -> float:
    """Processor seconds of a process that writes one report and ends."""
    command = [sys.executable, "-c", COLD, folder, str(days)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def with_reportlab() -> Callable[[], object] | None:
    """As many holdings as a bare table of reportlab, without charts and conventions; None when it is not installed."""
    if importlib.util.find_spec("reportlab") is None:
        return None
    from io import BytesIO

    from reportlab.platypus import SimpleDocTemplate
    from reportlab.platypus import Table as PdfTable

    rows = [[f"{row * column:,.2f}" for column in range(1, 9)] for row in range(1, HOLDINGS + 1)]
    return lambda: SimpleDocTemplate(BytesIO()).build([PdfTable(rows, repeatRows=1)])


def measured(folder: str, days: int) -> list[tuple[str, float]]:
    """Ways, and processor seconds of one report by each; the warm process is the second."""
    warehouse = opened(folder)
    alone = cold(folder, days)
    one(warehouse, days)
    warm = seconds_of([partial(one, warehouse, days, user) for user in range(1, USERS)])
    again = seconds_of([partial(one, warehouse, days, user) for user in range(1, USERS)])
    ways = [("a cold process", alone), ("a warm process", warm), ("the same reports again", again)]
    peer = with_reportlab()
    if peer is not None:
        ways.append(("reportlab, the table of holdings alone", seconds_of([peer] * USERS)))
    return ways


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reports", description=__doc__)
    parser.add_argument("--days", type=int, default=365)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="portfolio-bench-") as folder:
        fill(Path(folder), options.days)
        ways = measured(folder, options.days)
    warm = ways[1][1]
    table = Table(title=f"One performance report, {options.days:,} days, {HOLDINGS} holdings")
    for column in ("way", "processor seconds", "reports a second and core", "times the warm one"):
        table.add_column(column, justify="left" if column == "way" else "right")
    for way, seconds in ways:
        table.add_row(way, f"{seconds:.3f}", f"{1 / seconds:.1f}", f"{seconds / warm:.2f}")
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table)
    console.print(f"target: under {TARGET_SECONDS:g} s: {'met' if warm < TARGET_SECONDS else 'missed'}")


if __name__ == "__main__":
    main()
