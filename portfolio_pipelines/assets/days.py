"""The partitions of every table: one UTC day, from the first day of the settings to the running one."""

from datetime import date, timedelta
from typing import Protocol

import dagster as dg

from portfolio_pipelines.settings import Settings

DAILY = dg.DailyPartitionsDefinition(start_date=Settings().first_day.isoformat(), timezone="UTC", end_offset=1)
"""`end_offset=1`: the running day is a partition too; its figures are provisional until it is closed."""

ONE_RUN = dg.BackfillPolicy.single_run()
"""A range of days is one run, computed vectorised over the range."""


RETRY = dg.RetryPolicy(max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""For what talks to the outside: the database, the price providers. A failed computation fails again, a lost
connection does not."""


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
