"""The partitions of every table: one UTC day, from the first day of the settings to the running one."""

from collections.abc import Collection, Sequence
from datetime import date, timedelta
from typing import Final, Protocol

import dagster as dg

from portfolio_pipelines.settings import Settings

DAILY = dg.DailyPartitionsDefinition(start_date=Settings().first_day.isoformat(), timezone="UTC", end_offset=1)
"""`end_offset=1`: the running day is a partition too; its figures are provisional until it is closed."""

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
