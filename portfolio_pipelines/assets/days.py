"""The partitions of every table: one UTC day, from the first day of the settings to the running one."""

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Final, Protocol

import dagster as dg

from portfolio_pipelines.settings import Settings

if TYPE_CHECKING:
    from dagster._core.instance import DynamicPartitionsStore


class UtcDays(dg.DailyPartitionsDefinition):
    """Every UTC day from the first one to the running one, listed at once.

    Dagster lists them by asking an iterator of cron for each next one: 60 ms for 14 years, which it spends once for
    each table of days that a table without days reads, 40 times in a run.

    Args:
        first: The first day.
    """

    def __new__(cls, first: date) -> "UtcDays":  # its base is a record: it is made whole here
        """The days from `first` on; the running day is one too."""
        days: UtcDays = super().__new__(cls, start_date=first.isoformat(), timezone="UTC", end_offset=1)
        return days

    def get_partition_keys(
        self, current_time: datetime | None = None, dynamic_partitions_store: "DynamicPartitionsStore | None" = None
    ) -> Sequence[str]:
        """The days as YYYY-MM-DD, ascending."""
        if current_time is not None:
            return super().get_partition_keys(current_time, dynamic_partitions_store)
        first, last = self.get_first_partition_key(), self.get_last_partition_key()
        return _names(first, last) if first and last else []


@lru_cache(maxsize=4)
def _names(first: str, last: str) -> Sequence[str]:
    start, end = date.fromisoformat(first), date.fromisoformat(last)
    return [(start + timedelta(days=offset)).isoformat() for offset in range((end - start).days + 1)]


DAILY = UtcDays(Settings().first_day)
"""The figures of the running day are provisional until it is closed."""

ONE_RUN = dg.BackfillPolicy.single_run()
"""A range of days is one run, computed vectorised over the range."""


RETRY = dg.RetryPolicy(max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""For what talks to the outside: the database, the price providers. A failed computation fails again, a lost
connection does not."""


WHICH_DAYS_TAG: Final = "portfolio/metrics"
EVERY_DAY: Final = "every-day"
"""Value of that tag of a run: figures of a close are made for all its days."""


class HasWindow(Protocol):
    """An asset's or a check's context: both know the range of days of their run."""

    @property
    def partition_time_window(self) -> dg.TimeWindow:
        """The half-open range."""
        ...


def days_of(context: HasWindow) -> list[date]:
    """The days of a run, ascending."""
    window = context.partition_time_window
    count = (window.end.date() - window.start.date()).days
    return [window.start.date() + timedelta(days=offset) for offset in range(count)]


def consecutive(days: Sequence[date]) -> list[list[date]]:
    """Ascending days, split wherever one is left out."""
    runs = groupby(enumerate(days), lambda numbered: numbered[1] - timedelta(days=numbered[0]))
    return [[day for _, day in run] for _, run in runs]


def days_with_figures(
    days: Sequence[date], there: Collection[date], before: Collection[date], *, every_day: bool
) -> list[date]:
    """The days of a run that get figures of a close: month ends, the last one, those that had them; or all.

    Args:
        days: Of the run, ascending.
        there: Days that have what the figures are made of.
        before: Days that have the figures already.
        every_day: All days that can have them.
    """
    known = [day for day in days if day in there]
    if every_day or not known:
        return known
    return [day for day in known if (day + timedelta(days=1)).day == 1 or day == known[-1] or day in before]
