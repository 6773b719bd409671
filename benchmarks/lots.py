"""Lots: ten thousand and a million transactions by every method, beside rp2 and beancount and a plain loop.

Run by itself: `python -m benchmarks.lots [--transactions 1000000]`. A peer that is not installed is named and left out;
both may live in a folder of their own on PYTHONPATH. Times are of the matching alone, from prepared movements to
matches; rp2 is given its own prepared transactions, beancount has to parse its text, which is how it is used.
"""

import argparse
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec

from rich.console import Console
from rich.table import Table

from portfolio_pipelines.finance.lots import METHODS, Kind, Method, Movements, match

SELLS = 0.44
UNIT = 10**18
DOLLAR = 10**12
TARGETS = {10_000: 0.1, 1_000_000: 5.0}
"""Seconds, by transactions."""


def movements(transactions: int, pools: int, seed: int = 7) -> Movements:
    """Purchases and sales, pool after pool as ledgers of users come, nothing sold that is not there."""
    draw = random.Random(seed)
    made = Movements()
    for pool in range(pools):
        held = 0
        for at in range(transactions // pools):
            is_sale = held > 0 and draw.random() < SELLS
            quantity = min(held, draw.randrange(1, 2 * UNIT)) if is_sale else draw.randrange(1, 2 * UNIT)
            held += -quantity if is_sale else quantity
            made.kind.append(int(Kind.DISPOSE if is_sale else Kind.ACQUIRE))
            made.pool.append(pool)
            made.quantity.append(quantity)
            made.usd.append(quantity * draw.randrange(1_000, 2_000) * DOLLAR // UNIT)
            made.order.append(pool * transactions + at)
            made.flags.append(0)
            made.to_pool.append(0)
            made.to_quantity.append(0)
    return made


def calibration(transactions: int) -> float:
    """Seconds of the least that exact matching costs: one product and one quotient of big integers each."""
    numbers = [(at * 7919 + 3) << 40 for at in range(transactions)]
    found = []
    started = time.perf_counter()
    for number in numbers:
        found.append(number * 12_345_678_901 // 98_765_432_123)  # noqa: PERF401 (a loop is what is measured)
    return time.perf_counter() - started


def _seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def ours(made: Movements, method: Method) -> float:
    """Seconds, and a look at the result: quantities have to be conserved."""
    started = time.perf_counter()
    found = match(made, method)
    seconds = time.perf_counter() - started
    bought = sum(q for kind, q in zip(made.kind, made.quantity, strict=True) if kind == Kind.ACQUIRE)
    assert bought == sum(found.used_quantity) + sum(found.lots.quantity)
    return seconds


def beancount(made: Movements, method: str) -> float | None:
    """Seconds of parsing and booking the same ledger; None when it is not installed."""
    try:
        from beancount.loader import load_string  # type: ignore[import-not-found]
    except ImportError:
        return None
    lines = ['option "operating_currency" "USD"', "2000-01-01 open Assets:Cash", "2000-01-01 open Income:Gains"]
    lines += [f'2000-01-01 open Assets:P{pool} "{method.upper()}"' for pool in sorted(set(made.pool))]
    start = datetime(2001, 1, 1, tzinfo=UTC)
    for at, (kind, pool, quantity, usd) in enumerate(zip(made.kind, made.pool, made.quantity, made.usd, strict=True)):
        day = (start + timedelta(hours=at // 2)).date()
        amount, money = quantity / UNIT, usd / DOLLAR
        lines.append(f'{day} * "t{at}"')
        if kind == Kind.ACQUIRE:
            lines += [f"  Assets:P{pool}  {amount:.9f} COIN {{{money / amount:.6f} USD}}", "  Assets:Cash"]
        else:
            lines += [f"  Assets:P{pool}  -{amount:.9f} COIN {{}}", f"  Assets:Cash  {money:.2f} USD", "  Income:Gains"]
    text = "\n".join(lines)
    return _seconds(lambda: load_string(text))


def rp2(made: Movements, method: str) -> float | None:
    """Seconds of rp2's own engine on each pool; None when it is not installed."""
    if find_spec("rp2") is None:
        return None
    from benchmarks.lots_rp2 import seconds

    return seconds(made, method)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lots", description=__doc__)
    parser.add_argument("--transactions", type=int, action="append", help="default 10,000 and 1,000,000")
    options = parser.parse_args()
    console = Console()
    for transactions in options.transactions or [10_000, 1_000_000]:
        made = movements(transactions, 20 if transactions <= 10_000 else 2_000)
        floor = calibration(transactions)
        table = Table("engine", "method", "seconds", "times the plain loop", title=f"{transactions:,} transactions")
        table.add_row("one product and quotient each", "", f"{floor:.3f}", "1.0")
        for method in METHODS:
            seconds = ours(made, method)
            table.add_row("portfolio_pipelines", method, f"{seconds:.3f}", f"{seconds / floor:.1f}")
        if transactions <= 10_000:
            for name, peer in (("rp2", rp2), ("beancount (parse and book)", beancount)):
                for method in METHODS[:3]:
                    found = peer(made, method)
                    shown = ("not installed", "") if found is None else (f"{found:.3f}", f"{found / floor:.1f}")
                    table.add_row(name, method, *shown)
        console.print(table)
        if transactions in TARGETS:
            console.print(f"target: {TARGETS[transactions]} s a method")


if __name__ == "__main__":
    main()
