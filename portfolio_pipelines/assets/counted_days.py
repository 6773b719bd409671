"""Days of counted returns, read from the lake for all boards of a run. What is made of them is in `finance`."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

import polars as pl

from portfolio_pipelines.finance.counted_holdings import CountedDay
from portfolio_pipelines.leaderboard_tables import COUNTED_RETURNS, COUNTED_RETURNS_SCHEMA
from portfolio_pipelines.resources.lake import Lake

READ_AHEAD: Final = 8
"""Days that are decoded beside the computation."""
KEPT_ROWS: Final = 8_000_000
"""Portfolio days that stay in memory for the next board, 44 bytes each; more are read again."""
FIGURES: Final = [name for name in COUNTED_RETURNS_SCHEMA.names() if name not in {"user_key", "date"}]


@dataclass(slots=True)
class CountedDays:
    """Counted returns by day; those of the last boards stay in memory while there is room."""

    lake: Lake
    _kept: dict[date, CountedDay | None] = field(default_factory=dict)
    _rows: int = 0

    def day(self, day: date) -> CountedDay | None:
        """One day; None when nothing was counted on it."""
        if day not in self._kept:
            self._keep(day, self._read(day))
        return self._kept[day]

    def back_from(self, day: date, count: int) -> Iterator[CountedDay | None]:
        """`count` days, from `day` back."""
        days = [day - timedelta(days=back) for back in range(count)]
        with ThreadPoolExecutor(2, thread_name_prefix="counted") as threads:
            waiting: dict[date, Future[CountedDay | None]] = {}
            for at, one in enumerate(days):
                for ahead in days[at : at + READ_AHEAD]:
                    if ahead not in self._kept and ahead not in waiting:
                        waiting[ahead] = threads.submit(self._read, ahead)
                if one in waiting:
                    found = waiting.pop(one).result()
                    self._keep(one, found)
                    yield found
                else:
                    yield self.day(one)

    def _keep(self, day: date, found: CountedDay | None) -> None:
        rows = 0 if found is None else len(found.user_key)
        while self._kept and self._rows + rows > KEPT_ROWS:
            newest = self._kept.pop(max(self._kept))  # boards are made in ascending order and read backwards
            self._rows -= 0 if newest is None else len(newest.user_key)
        self._kept[day] = found
        self._rows += rows

    def _read(self, day: date) -> CountedDay | None:
        path = self.lake.path(COUNTED_RETURNS, day)
        if not path.is_file():
            return None
        # One thread a file: two files at once are decoded in half the processor time of one file by all threads.
        frame = pl.read_parquet(path, columns=["user_key", *FIGURES], hive_partitioning=False, parallel="none")
        return CountedDay(
            frame["user_key"].to_numpy(), *(frame[name].fill_null(float("nan")).to_numpy() for name in FIGURES)
        )


def frame_of_day(day: CountedDay) -> pl.DataFrame:
    """Rows of COUNTED_RETURNS_SCHEMA without the date."""
    frame = pl.DataFrame({name: getattr(day, name) for name in ("user_key", *FIGURES)}, nan_to_null=True)
    return frame.cast({name: COUNTED_RETURNS_SCHEMA[name] for name in frame.columns})
