"""When a delivery is tried again, and when it is given up. No I/O, no clock: times and chance are handed in.

Source of the schedule: Standard Webhooks 1.0.0, "Retry Schedule".
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Final

DELAYS: Final[Sequence[timedelta]] = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""From each failed attempt to the next."""
MOST_ATTEMPTS: Final = len(DELAYS) + 1
MOST_CLAIMS: Final = 50
"""Times that a delivery is taken; when every dispatcher that takes it dies, it is what kills them."""
LONGEST_TRY: Final = timedelta(days=5)
"""What waits behind others for a receiver that is silent is given up after it, untried; attempts take three days."""
HOLDS: Final[Sequence[timedelta]] = (
    timedelta(seconds=1),
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=5),
)
"""How long a whole channel waits after its receiver was silent or busy once, twice, … in a row; then the last."""
OUTAGE: Final = 3
"""Failures in a row from which on the end of them makes everything due that waits."""
JITTER: Final = 0.2
"""Delays are 20 % longer or shorter, by chance: what failed together does not come back together."""


def next_attempt(attempts: int, now: datetime, wait: timedelta | None, draw: Random) -> datetime | None:
    """When to try again.

    Args:
        attempts: Attempts so far, 1 after the first.
        now: When the last one ended.
        wait: What the receiver asked for; never less than that.
        draw: Source of chance.

    Returns:
        The time of the next attempt; None when that was the last.
    """
    if attempts >= MOST_ATTEMPTS:
        return None
    return now + max(_jittered(DELAYS[attempts - 1], draw), wait or timedelta())


def hold(failures: int, now: datetime, wait: timedelta | None, draw: Random) -> datetime:
    """Until when a channel is left alone.

    Args:
        failures: Times in a row that it was silent or busy, this one included.
        now: When that was.
        wait: What the receiver asked for; never less than that.
        draw: Source of chance.
    """
    return now + max(_jittered(HOLDS[min(failures, len(HOLDS)) - 1], draw), wait or timedelta())


def _jittered(delay: timedelta, draw: Random) -> timedelta:
    return delay * draw.uniform(1 - JITTER, 1 + JITTER)
