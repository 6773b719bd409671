"""The ledger of quotes: everything a price provider ever answered, append-only. It is also the cache of the providers.

Belongs here: storing answers and finding what is still worth asking. Choosing between quotes is `market.consensus`;
the daily partitions `raw/quotes` are views of this ledger and can be rebuilt from it at any time.
"""

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import polars as pl

from portfolio_pipelines.market.quotes import QUOTES, RETRYABLE, Outcome
from portfolio_pipelines.resources.files import appears_whole, parquet_bytes

FOLDER: Final = "raw/price_answers"
KEY: Final = ["asset_id", "date", "provider"]
ORDER: Final = [*KEY, "known_at"]


@dataclass(frozen=True, slots=True)
class QuoteLedger:
    """Quotes under `<lake>/raw/price_answers/provider=P/month=YYYY-MM/data.parquet`."""

    root: Path
    final_after_hours: int = 24

    def append(self, quotes: pl.DataFrame) -> list[date]:
        """Add what is new; an answer that says the same again is kept only when it makes the day more final.

        Args:
            quotes: Rows of schema QUOTES.

        Returns:
            The days of the rows that were added, sorted.
        """
        added: set[date] = set()
        with self._alone():
            for (provider, month), rows in (
                quotes.with_columns(month=pl.col("date").dt.strftime("%Y-%m"))
                .partition_by("provider", "month", as_dict=True, include_key=True)
                .items()
            ):
                path = self._path(str(provider), str(month))
                known = pl.read_parquet(path) if path.is_file() else pl.DataFrame(schema=QUOTES)
                new = self._worth_keeping(known, rows.select(QUOTES.names()))
                if new.is_empty():
                    continue
                merged = pl.concat([known, new]).sort(ORDER)
                with appears_whole(path) as beside:
                    beside.write_bytes(parquet_bytes(merged))
                added.update(new["date"].unique())
        return sorted(added)

    def differing(self, quotes: pl.DataFrame) -> int:
        """How many of these quotes give another price than the newest one that their provider gave before.

        Args:
            quotes: Rows of schema QUOTES that are not added yet, each asset and day once a provider.
        """
        months = quotes.select("provider", month=pl.col("date").dt.strftime("%Y-%m")).unique()
        paths = [path for key in months.sort("provider", "month").iter_rows() if (path := self._path(*key)).is_file()]
        if not paths:
            return 0
        was = (
            pl.scan_parquet(paths, hive_partitioning=False)
            .filter(pl.col("outcome") == Outcome.OK)
            .join(quotes.lazy().select(KEY), on=KEY, how="semi")
            .sort("known_at")
            .group_by(KEY)
            .agg(was_close=pl.col("close_usd").last())
            .collect()
        )
        return quotes.join(was, on=KEY).filter(pl.col("close_usd") != pl.col("was_close")).height

    def read(self, start: date, end: date) -> pl.DataFrame:
        """Every quote of the days [start, end), sorted by asset, day, provider and known_at."""
        months = {
            f"{year:04d}-{month:02d}"
            for year in range(start.year, end.year + 1)
            for month in range(1, 13)
            if (start.year, start.month) <= (year, month) <= (end.year, end.month)
        }
        frames = [pl.read_parquet(path) for path in self._files() if path.parent.name.removeprefix("month=") in months]
        if not frames:
            return pl.DataFrame(schema=QUOTES)
        return pl.concat(frames).filter(pl.col("date").is_between(start, end, closed="left")).sort(ORDER)

    def has_prices(self) -> bool:
        """Whether any provider, live or file, ever gave a price."""
        return self.last_day() is not None

    def first_days(self) -> dict[str, date]:
        """The first day on which each asset has a price."""
        good = self.scan().filter(pl.col("outcome") == Outcome.OK)
        return dict(good.group_by("asset_id").agg(pl.col("date").min()).collect().iter_rows())

    def scan(self) -> pl.LazyFrame:
        """All quotes, schema QUOTES, in no order: for questions that need few columns of all of them."""
        paths = self._files()
        return pl.scan_parquet(paths, hive_partitioning=False) if paths else pl.LazyFrame(schema=QUOTES)

    def last_day(self) -> date | None:
        """The newest day on which any asset has a price; None when there is none at all."""
        for month in sorted({path.parent.name for path in self._files()}, reverse=True):
            paths = [path for path in self._files() if path.parent.name == month]
            good = pl.scan_parquet(paths, hive_partitioning=False).filter(pl.col("outcome") == Outcome.OK)
            newest = good.select(pl.col("date").max()).collect().item()
            if isinstance(newest, date):
                return newest
        return None

    def settled(self, start: date, end: date, *, refusals_count: bool = True) -> pl.DataFrame:
        """The (asset_id, date, provider) of [start, end) that need not be asked for again.

        Settled is what was answered, with a price or with a refusal for good, long enough after the day's close.

        Args:
            start: First day.
            end: The day after the last one.
            refusals_count: Whether `unauthorised` settles a day; not when a better plan may have been bought since.
        """
        newest = self.read(start, end).group_by(KEY, maintain_order=True).last()
        unsettled = [*RETRYABLE] if refusals_count else [*RETRYABLE, Outcome.UNAUTHORISED]
        return newest.filter(
            ~pl.col("outcome").is_in([outcome.value for outcome in unsettled]) & (self._stage() == 2)
        ).select(KEY)

    def _worth_keeping(self, known: pl.DataFrame, quotes: pl.DataFrame) -> pl.DataFrame:
        newest = (
            known.group_by(KEY, maintain_order=True)
            .last()
            .select(*KEY, was_outcome="outcome", was_close="close_usd", was_stage=self._stage())
        )
        fresh = quotes.unique(ORDER, keep="last", maintain_order=True).join(newest, on=KEY, how="left")
        same = (
            pl.col("outcome").eq_missing(pl.col("was_outcome"))
            & pl.col("close_usd").eq_missing(pl.col("was_close"))
            & (self._stage() <= pl.col("was_stage"))
        )
        return fresh.filter(~same.fill_null(False)).select(QUOTES.names())

    def _stage(self) -> pl.Expr:
        """0 while the day runs, 1 after its close, 2 when the answer is final."""
        close = (pl.col("date") + pl.duration(days=1)).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        age = pl.col("requested_at") - close
        return (age >= timedelta()).cast(pl.Int8) + (age >= timedelta(hours=self.final_after_hours)).cast(pl.Int8)

    def _files(self) -> list[Path]:
        return sorted((self.root / FOLDER).glob("provider=*/month=*/data.parquet"))

    def _path(self, provider: str, month: str) -> Path:
        return self.root / FOLDER / f"provider={provider}" / f"month={month}" / "data.parquet"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One writer at a time, also over processes: reading, adding and renaming belong together."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".price_answers.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def missing_ranges(wanted: pl.DataFrame, settled: pl.DataFrame, providers: Sequence[str]) -> pl.DataFrame:
    """What to ask of whom: the wanted days that are not settled, as ranges.

    Args:
        wanted: Columns asset_id, date.
        settled: Columns asset_id, date, provider.
        providers: Names of the live providers.

    Returns:
        Columns provider, asset_id, start, end (half-open), neighbouring days joined into one range.
    """
    open_days = wanted.join(pl.DataFrame({"provider": list(providers)}, schema={"provider": pl.String}), how="cross")
    open_days = open_days.join(settled, on=KEY, how="anti").sort("provider", "asset_id", "date")
    run = (pl.col("date").diff().dt.total_days() != 1).fill_null(True)
    return (
        open_days.with_columns(run=run.over("provider", "asset_id").cum_sum().over("provider", "asset_id"))
        .group_by("provider", "asset_id", "run", maintain_order=True)
        .agg(start=pl.col("date").min(), end=pl.col("date").max() + pl.duration(days=1))
        .drop("run")
    )
