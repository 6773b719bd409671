"""The lake: hive-partitioned Parquet, one file a day, or a day and chain, replaced whole.

What a table means is none of its business.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from portfolio_pipelines.resources.files import appears_whole, content_hash, parquet_bytes

PATH: Final = "path of the file"
READERS: Final = 2
READ_AHEAD: Final = 4
"""Days that are decoded beside the work on one."""


@dataclass(frozen=True, slots=True)
class Lake:
    """Tables under one root.

    `<layer>/<table>/data.parquet`, or a file for each day in `date=YYYY-MM-DD/`, or for each chain on each day in
    `date=YYYY-MM-DD/chain=<slug>/`.
    """

    root: Path

    def path(self, table: str, day: date | None = None, chain: str | None = None) -> Path:
        """Where the file of a table, of one day of it, or of one chain on one day, lies."""
        folder = self.root / table
        if day is not None:
            folder /= f"date={day.isoformat()}"
        if chain is not None:
            folder /= f"chain={chain}"
        return folder / "data.parquet"

    def days(self, table: str) -> set[date]:
        """The days that have a file."""
        try:
            folders = os.scandir(self.root / table)
        except FileNotFoundError:
            return set()
        with folders:  # asked dozens of times in a run: paths as objects would take three times as long
            return {
                date.fromisoformat(folder.name.removeprefix("date="))
                for folder in folders
                if folder.name.startswith("date=") and os.path.isfile(f"{folder.path}/data.parquet")  # noqa: PTH113
            }

    def chain_days(self, table: str) -> set[tuple[date, str]]:
        """The (day, chain) that have a file."""
        return {
            (date.fromisoformat(path.parts[-3].removeprefix("date=")), path.parts[-2].removeprefix("chain="))
            for path in (self.root / table).glob("date=*/chain=*/data.parquet")
        }

    def days_of_chain(self, table: str, chain: str) -> set[date]:
        """The days on which a chain has a file."""
        return {
            date.fromisoformat(path.parts[-3].removeprefix("date="))
            for path in (self.root / table).glob(f"date=*/chain={chain}/data.parquet")
        }

    def read_chain(
        self, table: str, day: date, chain: str, schema: pl.Schema, columns: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """Rows of one chain on one day; none when there is no file."""
        path, wanted = self.path(table, day, chain), list(columns or schema.names())
        if path.is_file():
            return pl.read_parquet(path, columns=wanted, hive_partitioning=False)
        return pl.DataFrame(schema=pl.Schema({name: schema[name] for name in wanted}))

    def read(
        self, table: str, days: Iterable[date], schema: pl.Schema, columns: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """Rows of the given days, in order of day, as `schema` (which names `date`); days without a file add nothing.

        Raises:
            polars.exceptions.PolarsError: If a file does not have the columns of `schema`.
        """
        wanted = list(columns) if columns is not None else schema.names()
        days_by_path = {str(path): day for day in sorted(set(days)) if (path := self.path(table, day)).is_file()}
        if not days_by_path:
            return pl.DataFrame(schema=pl.Schema({name: schema[name] for name in wanted}))
        # One scan of all files: a scan for each costs 2 ms, which is more than most files hold.
        rows = pl.scan_parquet(
            list(days_by_path),
            schema={name: schema[name] for name in wanted if name != "date"},
            extra_columns="ignore",
            hive_partitioning=False,
            include_file_paths=PATH if "date" in wanted else None,
            glob=False,
        ).collect()
        if "date" in wanted:
            runs = rows[PATH].rle().struct.unnest()
            dates = np.array([days_by_path[path] for path in runs["value"]], dtype="datetime64[D]")
            rows = rows.with_columns(date=pl.Series(np.repeat(dates, runs["len"])))
        return rows.select(wanted)

    def read_each(
        self, table: str, days: Iterable[date], schema: pl.Schema, columns: Sequence[str] | None = None
    ) -> Iterator[pl.DataFrame]:
        """Rows of each of the days, one frame for a day without the column `date`, empty where there is no file.

        The next days are decoded beside the caller's work: one thread a file, which takes half the processor time of
        one file by all threads.
        """
        wanted = [name for name in columns or schema.names() if name != "date"]
        nothing = pl.DataFrame(schema=pl.Schema({name: schema[name] for name in wanted}))

        def read(day: date) -> pl.DataFrame:
            path = self.path(table, day)
            if not path.is_file():
                return nothing
            return pl.read_parquet(path, columns=wanted, hive_partitioning=False, parallel="none")

        with ThreadPoolExecutor(READERS, thread_name_prefix="lake-read") as threads:
            ahead: deque[Future[pl.DataFrame]] = deque()
            for day in days:
                ahead.append(threads.submit(read, day))
                if len(ahead) > READ_AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    def replace(self, table: str, day: date, frame: pl.DataFrame) -> tuple[str, bool]:
        """Replace the file of one day by `frame` (without the column `date`), unless it already holds these bytes.

        Returns:
            The content hash, and whether the file changed.
        """
        return self._put(self.path(table, day), frame.drop("date", strict=False))

    def replace_chain(self, table: str, day: date, chain: str, frame: pl.DataFrame) -> tuple[str, bool]:
        """Replace the file of one chain on one day; same promise as `replace`."""
        return self._put(self.path(table, day, chain), frame)

    def replace_table(self, table: str, frame: pl.DataFrame) -> tuple[str, bool]:
        """Replace an unpartitioned table; same promise as `replace`."""
        return self._put(self.path(table), frame)

    def read_table(self, table: str, schema: pl.Schema, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """All rows of an unpartitioned table, or some of its columns; empty when it was never written."""
        path, wanted = self.path(table), list(columns or schema.names())
        if path.is_file():
            return pl.read_parquet(path, columns=wanted)
        return pl.DataFrame(schema=pl.Schema({name: schema[name] for name in wanted}))

    @staticmethod
    def place(path: Path, data: bytes) -> bool:
        """Put a file where it belongs, unless it already holds these bytes; whether it changed."""
        if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
            return False
        with appears_whole(path) as beside:
            beside.write_bytes(data)
        return True

    def _put(self, path: Path, frame: pl.DataFrame) -> tuple[str, bool]:
        data = parquet_bytes(frame)
        return content_hash(data), self.place(path, data)
