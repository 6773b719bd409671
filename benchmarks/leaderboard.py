"""The leaderboard of a whole population: our fold and rank beside DuckDB, and a board from the files of the lake.

python -m benchmarks.leaderboard [USERS]        processor seconds, and ratios to our own fold

Both engines find total return, drawdown, gain on the peak capital and who may be ranked over 30, 90 and 365 days, and
rank; ours also names and buckets. DuckDB runs on a part of the users and is scaled up; its ranks must be ours. Times
are those of processors, all threads together: what else the machine does counts for less.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
from pydantic import SecretStr

from portfolio_pipelines.assets.counted_days import CountedDays, frame_of_day
from portfolio_pipelines.assets.leaderboard import boards_of
from portfolio_pipelines.finance.counted_holdings import FOR_EVER, CountedDay, CountedHoldings
from portfolio_pipelines.finance.leaderboard import WINDOWS, Backwards, WindowRecord, ranks
from portfolio_pipelines.finance.leaderboard_privacy import buckets, pseudonym_numbers, pseudonyms
from portfolio_pipelines.finance.valuation import DayPrices
from portfolio_pipelines.leaderboard_tables import COUNTED_RETURNS
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.leaderboard_rules import LeaderboardRules

DAYS = 365
PART = 5_000
LEGS_A_USER = 12
COINS = 500
LAST = date(2025, 12, 31)
KEY = b"k" * 32
TARGET = "a board of 125,000 users from the files of a year in 10 s; a day of their 1.5 million holdings in 0.2 s"
SQL = """
with spans as (
    select n, u, d, opening, gain, gain / opening as r,
        product(1 + gain / opening) over (partition by n, u order by d) as i
    from counted join (values (30), (90), (365)) as w(n) on d >= 365 - n
), peaks as (
    select *, greatest(1, max(i) over (partition by n, u order by d)) as top from spans
), records as (
    select n, u, product(1 + r) - 1 as twr, min(i / top) - 1 as drawdown, sum(gain) / max(opening) as pnl,
        count(*) = n and min(opening) >= 100 and 2 * count(*) filter (opening >= 1000) >= n as eligible
    from peaks group by n, u
)
select n, u, row_number() over (
    partition by n order by round(twr, 9) desc, round(pnl, 9) desc, round(drawdown, 9) desc, u
) as rank
from records where eligible
"""


def main() -> None:
    """Measure and print."""
    users = int(sys.argv[1]) if len(sys.argv) > 1 else 125_000
    figures = measured(users)
    bound = figures["fold and rank"]
    print(f"Leaderboard of {users:,} users, {DAYS} days, windows {WINDOWS}. Target: {TARGET}")
    for name, seconds in figures.items():
        print(f"  {name:<56}{seconds:>10.3f} s {seconds / bound:>10.2f} times our fold")


def measured(users: int) -> dict[str, float]:
    """Seconds of each step and peer."""
    days = population(users)
    figures: dict[str, float] = {}
    started = time.process_time()
    records = folded(days, users)
    placed = {record.window_days: ranks(record, np.arange(users)) for record in records}
    figures["fold and rank"] = time.process_time() - started
    started = time.process_time()
    for record in records:
        eligible = record.eligible
        pseudonyms(pseudonym_numbers(KEY, "2025-12", record.window_days, [str(u) for u in np.flatnonzero(eligible)]))
        buckets(record.value_usd, eligible, 10).texts()
    figures["names and buckets of all who are ranked"] = time.process_time() - started
    part = min(PART, users)
    seconds = duckdb_ranks(days, part, [ranks(r, np.arange(part)) for r in folded(days, part)])
    figures[f"DuckDB, scaled up from {part:,} users"] = seconds * users / part
    figures["one day of all holdings"] = a_day(users)
    with tempfile.TemporaryDirectory(prefix="portfolio-bench-") as folder:
        figures["a board from the files of the lake"] = from_files(days, users, Path(folder))
    assert all((places > 0).any() for places in placed.values())
    return figures


def population(users: int) -> list[CountedDay]:
    """A year of days, the oldest first; worth from 10 USD to a million, a tenth of the users begins on the way."""
    random = np.random.default_rng(7)
    market = random.normal(0.0005, 0.03, DAYS)
    worth = 10 ** random.uniform(1, 6, users)
    begins = np.where(random.random(users) < 0.1, random.integers(0, DAYS, users), 0)
    keys = np.arange(users, dtype=np.int32)
    days = []
    for day in range(DAYS):
        change = market[day] + random.normal(0, 0.02, users)
        gain, there = worth * change, begins <= day
        opening, gained, closing = worth[there], gain[there], (worth + gain)[there]
        days.append(CountedDay(keys[there], opening, opening, gained, closing, closing))
        worth = worth + gain
    return days


def folded(days: list[CountedDay], users: int) -> list[WindowRecord]:
    """The records of all windows, of the first `users` users."""
    fold, records = Backwards(np.arange(users, dtype=np.int32)), []
    for back, day in enumerate(reversed(days)):
        fold.add(day)
        if back + 1 in WINDOWS:
            records.append(fold.record())
    return records


def duckdb_ranks(days: list[CountedDay], part: int, expected: list[np.ndarray]) -> float:
    """Seconds of the SQL on the first users; its ranks must be ours."""
    rows = pl.concat(_long(days, part))
    with duckdb.connect() as connection:
        connection.register("counted", rows.to_arrow())
        connection.execute("create table kept as select * from counted")
        connection.unregister("counted")
        connection.execute("alter table kept rename to counted")
        started = time.process_time()
        found = pl.DataFrame(connection.sql(SQL).to_arrow_table())
        seconds = time.process_time() - started
    for window, own in zip(WINDOWS, expected, strict=True):
        of_window = found.filter(n=window)
        theirs = np.zeros(part, np.int32)
        theirs[of_window["u"].to_numpy()] = of_window["rank"].to_numpy()
        assert (theirs == own).all(), f"DuckDB ranks others over {window} days"
    return seconds


def _long(days: list[CountedDay], part: int) -> Iterator[pl.DataFrame]:
    for number, day in enumerate(days):
        some = day.user_key < part
        yield pl.DataFrame(
            {"u": day.user_key[some], "opening": day.opening_usd[some], "gain": day.gain_usd[some]}
        ).with_columns(d=pl.lit(number, pl.Int32))


def a_day(users: int) -> float:
    """Seconds to find what one day counts, of all holdings of all users."""
    random = np.random.default_rng(8)
    legs = users * LEGS_A_USER
    holdings = CountedHoldings(
        asset_ids=[str(n) for n in range(COINS)],
        user_key=np.arange(users, dtype=np.int32),
        owner=np.repeat(np.arange(users), LEGS_A_USER),
        asset=random.integers(0, COINS, legs).astype(np.int32),
        quantity=random.random(legs),
        first_day=np.zeros(legs, np.int32),
        end_day=np.full(legs, FOR_EVER),
    )
    sure = np.ones(COINS, bool)
    before, now = (DayPrices(p, p, sure, sure) for p in (random.random(COINS), random.random(COINS)))
    started = time.process_time()
    holdings.day(LAST, before, now)
    return time.process_time() - started


def from_files(days: list[CountedDay], users: int, folder: Path) -> float:
    """Seconds of both tables of a day from the lake."""
    lake = Lake(folder)
    for back, day in enumerate(reversed(days)):
        lake.replace(COUNTED_RETURNS, LAST - timedelta(days=back), frame_of_day(day))
    known = pl.DataFrame({"user_key": np.arange(users, dtype=np.int32), "user_id": [f"user-{n}" for n in range(users)]})
    rules = LeaderboardRules(folder, SecretStr(KEY.decode()))
    started = time.process_time()
    board, _ = boards_of(CountedDays(lake), LAST, known, rules)
    assert board.height == 3 * 100
    return time.process_time() - started


if __name__ == "__main__":
    main()
