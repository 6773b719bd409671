"""The sensor that sends what the outbox owes. Off until turned on, like the schedules.

It sends inside its tick, in seconds: a run of its own would take longer to start than a message to arrive. Who wants
messages at once runs `portfolio outbox dispatch --follow`; both may run side by side.
"""

from typing import Final

import dagster as dg

from portfolio_pipelines.delivery.dispatch import Counts, dispatch
from portfolio_pipelines.resources.database import Database

TICK_SECONDS: Final = 20.0
"""Nothing more is taken after it; what is left is taken by the next tick. Dagster ends a tick after 60 seconds."""


@dg.sensor(minimum_interval_seconds=10)
def outbox_dispatcher(database: dg.ResourceParam[Database]) -> dg.SkipReason:
    """Send every message that is due."""
    counts = dispatch(database, seconds=TICK_SECONDS)
    if counts == Counts():
        return dg.SkipReason("nothing is due")
    return dg.SkipReason(
        f"{counts.delivered} delivered, {counts.failed} to be tried again, {counts.dead} given up, "
        f"{counts.abandoned} abandoned"
    )
