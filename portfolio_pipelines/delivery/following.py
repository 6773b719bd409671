"""A dispatcher that goes on: it sends what is due, then sleeps until something new is stored or the next time comes."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

import psycopg

from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.delivery.dispatch import Counts, dispatch, utc_now
from portfolio_pipelines.delivery.dispatch_queue import next_due
from portfolio_pipelines.delivery.outbox import WAKE
from portfolio_pipelines.resources.database import Database

LONGEST_SLEEP: Final = timedelta(seconds=30)
"""It looks by itself after that, should a notice have been missed."""


def follow(database: Database, send: Callable[[Database], Counts] = dispatch) -> Iterator[Counts]:
    """Send for ever; yields what each round sent.

    Args:
        database: Its outbox is kept empty.
        send: Sends once.
    """
    url = url_text(database.engine.url.set(drivername="postgresql"))
    with psycopg.connect(url, autocommit=True, application_name="portfolio dispatcher") as listener:
        listener.execute(f"listen {WAKE}")
        while True:
            yield send(database)
            due = next_due(database.engine)
            sleep = LONGEST_SLEEP if due is None else min(max(due - utc_now(), timedelta()), LONGEST_SLEEP)
            for _ in listener.notifies(timeout=sleep.total_seconds(), stop_after=1):
                pass
