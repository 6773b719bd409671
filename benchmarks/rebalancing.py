"""Plans for everybody: the closed form against the optimum one by one, and against what people do by hand.

python -m benchmarks.rebalancing                 125,000 users x 12 assets
python -m benchmarks.rebalancing --users 10000   fewer

The optimum is solved for a sample and extrapolated. All ways use one thread, so processor time is measured: what else
the machine does counts for less. Trust the ratios: they come from one run on one machine.
"""

import argparse
import sys
import time

import numpy as np
from rich.console import Console
from rich.table import Table

from portfolio_pipelines.finance.rebalancing import DEFAULT_SLIPPAGE, Portfolios, Proposals, naive_trades, propose
from portfolio_pipelines.finance.rebalancing_optimum import Wishes, cheapest_plan
from portfolio_pipelines.finance.rebalancing_swaps import paired

ASSETS = 12
BAND = 0.03
GAS_USD = 0.5
SAMPLE = 200
SIZES = (5, 20, 100, 500)
TARGET_SECONDS = 1.0


def portfolios_of(users: int, assets: int = ASSETS, seed: int = 20261121) -> Portfolios:
    """Portfolios that strayed for a while: log-normal worth around 8,000 USD, prices moved by about a fifth."""
    random = np.random.default_rng(seed)
    targets = random.dirichlet(np.full(assets, 3.0), users)
    values = targets * random.lognormal(0.0, 0.2, (users, assets))
    values *= (random.lognormal(9.0, 1.5, users) / values.sum(axis=1))[:, None]
    return Portfolios(values, targets, np.full((users, assets), BAND))


def one_by_one(portfolios: Portfolios, rows: range) -> list[int]:
    """How many assets the optimum trades, for some of the portfolios."""
    traded = []
    for row in rows:
        values = portfolios.values[row]
        count = len(values)
        wishes = Wishes(
            values, portfolios.targets[row], portfolios.bands[row], np.full(count, GAS_USD), (0,) * count, values,
            np.ones(count, bool),
        )  # fmt: skip
        traded.append(int((np.abs(cheapest_plan(wishes).trades) > 0.01).sum()))
    return traded


def timed(users: int) -> tuple[Table, bool]:
    """Processor seconds of each way, how they compare, and whether the target is met."""
    book, gas = portfolios_of(users), np.full(users, GAS_USD)
    started = time.process_time()
    found = propose(book, gas)
    decided = time.process_time() - started
    swaps = paired(np.where(found.is_worth_it[:, None], found.trades, 0.0))
    ours = time.process_time() - started
    started = time.process_time()
    naive = naive_trades(book)
    by_hand = time.process_time() - started
    due = np.flatnonzero(book.outside().any(axis=1))
    sample = range(min(SAMPLE, len(due)))
    one_by_one(book.of(due), range(1))  # the solver is imported before it is measured
    started = time.process_time()
    traded = one_by_one(book.of(due), sample)
    solved = (time.process_time() - started) / len(sample) * len(due)
    same = np.mean([int((np.abs(found.trades[due[n]]) > 0.01).sum()) == traded[n] for n in sample])

    table = Table(title=f"Plans for {users:,} users x {ASSETS} assets, {len(due):,} of them outside a band")
    for column in ("way", "processor seconds", "times ours"):
        table.add_column(column, justify="left" if column == "way" else "right")
    rows = (
        ("closed form, costs and decision", decided),
        (f"the same with {swaps.row.size:,} swaps", ours),
        ("every asset to its target, no costs counted", by_hand),
        (f"scipy.optimize.milp one by one, from {len(sample)}", solved),
    )
    for name, seconds in rows:
        table.add_row(name, f"{seconds:.2f}", f"{seconds / ours:.2f}")
    table.caption = (
        f"As many trades as the optimum in {100 * same:.1f} of 100 cases; "
        f"costs {_costs(found, due):,.0f} USD against {_naive_costs(naive, due):,.0f} by hand"
    )
    return table, ours < TARGET_SECONDS


def sizes() -> Table:
    """Milliseconds of one optimum by number of assets."""
    table = Table(title="One plan on request (scipy.optimize.milp)")
    for column in ("assets", "milliseconds"):
        table.add_column(column, justify="right")
    for assets in SIZES:
        book = portfolios_of(3, assets, seed=assets)
        narrow = Portfolios(book.values * 100, book.targets, np.full(book.values.shape, 0.1 / assets))
        started = time.process_time()
        one_by_one(narrow, range(3))
        table.add_row(str(assets), f"{(time.process_time() - started) / 3 * 1000:.1f}")
    return table


def _costs(found: Proposals, due: np.ndarray) -> float:
    return float(found.costs_usd[due].sum())


def _naive_costs(trades: np.ndarray, due: np.ndarray) -> float:
    swaps = paired(trades[due])
    return float(DEFAULT_SLIPPAGE.of(trades[due]).sum() + GAS_USD * swaps.row.size)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rebalancing", description=__doc__)
    parser.add_argument("--users", type=int, default=125_000)
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 140)
    table, is_met = timed(options.users)
    console.print(table)
    console.print(f"target for 125,000 users: under {TARGET_SECONDS:g} s: {'met' if is_met else 'missed'}")
    console.print(sizes())


if __name__ == "__main__":
    main()
