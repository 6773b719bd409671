"""The files that a run wrote, for tests of whether another run wrote the same."""

from collections.abc import Iterable
from datetime import date

from portfolio_pipelines.resources.platform import Platform


def bytes_of(platform: Platform, tables: Iterable[str]) -> dict[tuple[str, date], bytes]:
    """The content of each day's file of some tables."""
    return {
        (table, day): platform.lake.path(table, day).read_bytes()
        for table in tables
        for day in platform.lake.days(table)
    }
