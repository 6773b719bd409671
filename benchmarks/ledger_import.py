"""Importing a ledger of a million rows: what the look at the inventory costs beside the import and beside a plain COPY.

Run by itself: `python -m benchmarks.ledger_import [--rows 1000000]`, in an embedded Postgres of its own. The baseline
is Postgres taking the same rows by COPY into a table without keys: the least that any import costs.
"""

import argparse
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table
from sqlalchemy.engine import make_url

from portfolio_pipelines.database import embedded
from portfolio_pipelines.database.connection import DRIVER, create_engine
from portfolio_pipelines.database.migrate import upgrade
from portfolio_pipelines.database.staging import copy_frame
from portfolio_pipelines.database.transaction_import import TransactionImport, import_transactions
from portfolio_pipelines.database.transaction_versions import load_transactions
from portfolio_pipelines.finance.inventory import find_shortfalls

COINS = ("BTC", "ETH", "SOL", "ADA", "XRP")
USERS_PER_MILLION = 2_000
SALES = 0.44
CENT = 100


def ledger(rows: int, seed: int = 7) -> pl.DataFrame:
    """Purchases and sales of users one after the other, nothing sold that is not there."""
    draw = random.Random(seed)
    users = max(1, rows * USERS_PER_MILLION // 1_000_000)
    start = datetime(2020, 1, 1, tzinfo=UTC)
    held: Counter[tuple[int, str]] = Counter()
    made = []
    for at in range(rows):
        user, coin = at % users, draw.choice(COINS)
        there = held[user, coin]
        is_sale = there > 0 and draw.random() < SALES
        quantity = draw.randint(1, there) if is_sale else draw.randint(1, 10 * CENT)
        held[user, coin] += -quantity if is_sale else quantity
        coins, dollars = f"{quantity / CENT:.2f}", f"{quantity * 3}"
        sides = ("USD", dollars, coin, coins) if is_sale else (coin, coins, "USD", dollars)
        moment = start + timedelta(minutes=at // users * 60)
        made.append((f"user{user}", f"t{at}", moment.strftime("%Y-%m-%d %H:%M"), "trade", "kraken", *sides))
    columns = "user_id transaction_id at type venue in_asset in_quantity out_asset out_quantity"
    return pl.DataFrame(made, schema=columns.split(), orient="row")


def measure(rows: int, home: Path) -> dict[str, float]:
    """Seconds of each step; every result is looked at."""
    frame = ledger(rows)
    file, again, late = home / "ledger.csv", home / "again.csv", home / "late.csv"
    frame.write_csv(file)
    engine = create_engine(make_url(embedded.start(home / "postgres").portfolio).set(drivername=DRIVER))
    try:
        upgrade(engine)
        seconds = {"COPY into a table without keys": _timed(lambda: _plain_copy(engine, frame))}
        seconds["import, inventory included"] = _timed(lambda: _bring(engine, file, added=rows))
        stored = load_transactions(engine)
        seconds["the look at the inventory alone"] = _timed(lambda: _looks_whole(stored))
        frame.write_csv(again)
        seconds["the same file again"] = _timed(lambda: _bring(engine, again, added=0))
        user = frame.filter(pl.col("user_id") == "user0")
        user.head(1).with_columns(transaction_id=pl.lit("late")).write_csv(late)
        seconds[f"one row for a user with {user.height} rows"] = _timed(lambda: _bring(engine, late, added=1))
        engine.dispose()
    finally:
        embedded.stop(home / "postgres")
    return seconds


def _plain_copy(engine: sa.Engine, frame: pl.DataFrame) -> None:
    with engine.begin() as connection:
        columns = ", ".join(f"{name} text" for name in frame.columns)
        connection.execute(sa.text(f"create temporary table plain ({columns}) on commit drop"))
        copy_frame(connection, "plain", frame)


def _bring(engine: sa.Engine, file: Path, added: int) -> TransactionImport:
    report = import_transactions(engine, file, first_day=date(2013, 1, 1), who="benchmark")
    assert (report.added, report.missing) == (added, 0)
    return report


def _looks_whole(stored: pl.DataFrame) -> None:
    assert find_shortfalls(stored).is_empty()


def _timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ledger_import", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="portfolio-bench-") as folder:
        seconds = measure(options.rows, Path(folder))
    floor = next(iter(seconds.values()))
    table = Table("what", "seconds", "times the COPY", title=f"A ledger of {options.rows:,} rows")
    for name, taken in seconds.items():
        table.add_row(name, f"{taken:.2f}", f"{taken / floor:.1f}")
    Console().print(table)
    whole, look = seconds["import, inventory included"], seconds["the look at the inventory alone"]
    Console().print(f"The inventory takes {look / whole:.0%} of the import.")


if __name__ == "__main__":
    main()
