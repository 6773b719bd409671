"""`make bench`: a table of times and ratios. Trust the ratios: they come from one run on one machine.

python -m benchmarks                    10,000 users, a year, all peers; the chains (--chains 5 for less); the rest
python -m benchmarks --only balances    the balance reader against its peers; also: users, positions, chains, metrics,
                                        leaderboard, lots, ledger_import, impermanent_loss, rebalancing, risk,
                                        alerts
python -m benchmarks --users 125000     the size of the requirement; the joins are left out unless --joins
python -m benchmarks --days 1826        five years
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.many_chains import Size
from benchmarks.many_chains import run as run_many_chains
from benchmarks.population import COINS, INVESTMENTS, Population
from benchmarks.valuation import compare

PUBLISHED_DAYS = 5
FIGURES = ("metrics", "leaderboard", "lots", "ledger_import", "impermanent_loss", "rebalancing", "risk", "alerts")
"""Modules that measure and print by themselves."""
OF_USERS: dict[str, list[str]] = {
    "metrics": [], "leaderboard": [], "rebalancing": ["--users"], "risk": ["--users"], "alerts": ["--users"],
}  # fmt: skip
"""Those that take the number of users, and the word before it."""
SUBJECTS = ("users", "balances", "positions", "chains", *FIGURES)
JOINS_UP_TO = 10_000
TARGETS = {
    "prices to marts, 125,000 users x 365 days": "120 s and 4 GB",
    "1 running day after a close: prices to marts": "15 s",
    "1 running day after another: prices to marts": "15 s",
    "1 running day after another: of it our own code, quotes to portfolios": "1 s",
    "1 closed day: publication": "10 s",
    "bookkeeping of 365 days": "10 s",
}
BALANCE_TARGETS = "at least 5,000 times web3.py's calls and 50 times the package multicall"
POSITION_TARGETS = "50 positions of a user in one call, in under 2 s"
CHAIN_TARGETS = (
    "150,000 wallets x 100 chains x 51 columns in 900 s on 2 cores with 8 GB, 100 requests a second and chain"
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--joins", action="store_true", help="run the big joins also above 10,000 users")
    parser.add_argument("--no-pipeline", action="store_true", help="the valuation alone")
    parser.add_argument("--only", choices=SUBJECTS, help="one of the subjects instead of all")
    parser.add_argument("--chains", type=int, default=100, help="simulated chains that are read in full")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 140)
    subjects = [options.only] if options.only else SUBJECTS
    if "users" in subjects:
        _show_users(console, options)
    if options.no_pipeline:
        return
    if "balances" in subjects:
        _show_balances(console)
    if "positions" in subjects:
        _show_positions(console)
    if "chains" in subjects:
        _show_chains(console, options.chains)
    for name in FIGURES:
        if name in subjects:
            _run_module(console, name, options.users)


def _run_module(console: Console, name: str, users: int) -> None:
    """A benchmark in a process of its own, which prints its own table."""
    console.print(f"\n{name.replace('_', ' ').capitalize()}", style="bold")
    arguments = [*OF_USERS[name], str(users)] if name in OF_USERS else []
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *arguments], check=True)


def _show_users(console: Console, options: argparse.Namespace) -> None:
    population = Population(options.users, options.days)
    size = f"{options.users:,} users x {INVESTMENTS} investments x {COINS} coins x {options.days} days"

    table = Table(title=f"Valuation: {size}")
    for column in ("engine", "seconds", "times the NumPy bound"):
        table.add_column(column, justify="left" if column == "engine" else "right")
    for name, seconds, ratio in compare(population, joins=options.joins or options.users <= JOINS_UP_TO):
        table.add_row(name, f"{seconds:.2f}", f"{ratio:.2f}")
    console.print(table)
    if options.no_pipeline:
        return

    table = Table(title=f"The whole job through Dagster: {size}")
    table.add_column("what")
    table.add_column("figure", justify="right")
    for what, figure in _pipeline(options.users, options.days, "marts").items():
        table.add_row(what, f"{figure:.2f}")
    table.add_section()
    published = _pipeline(options.users, PUBLISHED_DAYS, "publish")
    what = "1 closed day: publication"
    table.add_row(f"{what} (after {PUBLISHED_DAYS} published days)", f"{published[what]:.2f}")
    console.print(table)
    console.print("Targets on 2 cores: " + "; ".join(f"{what}: {target}" for what, target in TARGETS.items()))


def _show_balances(console: Console) -> None:
    """The engines that read balances, in a process of their own."""
    command = [sys.executable, "-m", "benchmarks.balances"]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    measured: list[tuple[str, int, float, float]] = json.loads(output.splitlines()[-1])
    rates = {engine: balances / processor for engine, balances, processor, _ in measured}
    calls, package = (next(rate for engine, rate in rates.items() if engine.startswith(peer))
                      for peer in ("web3.py, one", "multicall"))  # fmt: skip
    table = Table(title="Token balances read from one local chain, every value compared with the chain's")
    table.add_column("engine")
    for column in (
        "balances",
        "processor s",
        "s",
        "balances per core-second",
        "times web3.py calls",
        "times multicall",
    ):
        table.add_column(column, justify="right")
    for engine, balances, processor, seconds in measured:
        rate = rates[engine]
        table.add_row(
            engine, f"{balances:,}", f"{processor:.2f}", f"{seconds:.2f}", f"{rate:,.0f}",
            f"{rate / calls:,.0f}", f"{rate / package:,.1f}",
        )  # fmt: skip
    console.print(table)
    console.print(f"Target: {BALANCE_TARGETS}")


def _show_positions(console: Console) -> None:
    """The engines that read the positions of a user, in a process of their own."""
    command = [sys.executable, "-m", "benchmarks.positions"]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    measured: list[tuple[str, int, int, float]] = json.loads(output.splitlines()[-1])
    table = Table(title="Uniswap v3 positions of one user read from one local chain, every amount compared")
    table.add_column("engine")
    for column in ("positions", "requests", "ms", "times web3.py calls"):
        table.add_column(column, justify="right")
    slowest = measured[0][3]
    for engine, positions, requests, seconds in measured:
        table.add_row(engine, f"{positions}", f"{requests:,}", f"{seconds * 1_000:,.1f}", f"{slowest / seconds:,.0f}")
    console.print(table)
    console.print(f"Target: {POSITION_TARGETS}")


def _show_chains(console: Console, chains: int) -> None:
    """All wallets on all chains."""
    size = Size(chains=chains)
    title = f"All wallets on all chains: {size.wallets:,} wallets x {chains} chains x {size.tokens + 1} columns"
    table = Table(title=title)
    table.add_column("what")
    table.add_column("figure", justify="right")
    for what, figure in run_many_chains(size).items():
        table.add_row(what, f"{figure:,.0f}" if figure >= 1_000 else f"{figure:,.4g}")
    console.print(table)
    console.print(f"Target: {CHAIN_TARGETS}")


def _pipeline(users: int, days: int, what: str) -> dict[str, float]:
    """One measurement in a process of its own, in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="portfolio-bench-") as folder:
        command = [sys.executable, "-m", "benchmarks.pipeline", str(Path(folder, "home")), str(users), str(days), what]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    figures: dict[str, float] = json.loads(output.splitlines()[-1])
    return figures


if __name__ == "__main__":
    main()
