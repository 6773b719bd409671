"""How patient and how suspicious the client is. Values only."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import SystemRandom
from typing import Final

MEGABYTE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Clock:
    """Time, as tests may replace it.

    Args:
        monotonic: Seconds of a clock that never goes back.
        wall: Seconds since the epoch.
        sleep: Waits so many seconds.
        random: A number in [0, 1) for jitter.
    """

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = SystemRandom().random


@dataclass(frozen=True, slots=True)
class Policy:
    """The numbers behind tries, hedges and doubts. Times in seconds."""

    attempt_seconds: float = 30.0  # one exchange, once it has its turn
    deadline_seconds: float = 90.0  # all tries of one read together, waiting for turns apart
    attempts: int = 5  # of one read; one more for each further endpoint
    first_backoff_seconds: float = 0.25
    longest_backoff_seconds: float = 5.0
    patience_seconds: float = 30.0  # a pause that an endpoint asks for is waited for up to this
    circuit_patience_seconds: float = 6.0  # an open circuit is waited for up to this, then the read fails

    hedge_first_seconds: float = 1.0  # before an endpoint's own 95th percentile is known
    hedge_shortest_seconds: float = 0.05
    hedge_share: float = 0.1  # of the reads at most, so that a slow hour does not double the load
    hedge_late_seconds: float = 5.0  # whoever waits so long is hedged whatever the share

    failures_to_open: int = 5  # in a row
    circuit_first_seconds: float = 5.0
    circuit_longest_seconds: float = 300.0
    quota_seconds: float = (
        900.0  # an endpoint whose plan is used up, or that is of another chain, is left alone so long
    )

    largest_answer_bytes: int = 64 * MEGABYTE
    batch: int = 25  # elements; an endpoint that refuses them gets half

    out_of_step_seconds: float = 30.0  # blocks of so much time may lie between endpoints that agree
    fewest_blocks_apart: int = 4
    heights_grace_seconds: float = 1.0  # after the first height, others have so long to tell theirs
    future_seconds: float | None = 900.0  # a block may be dated so far ahead of our clock; None: any date
    disputes: int = 8  # steps back from the head until endpoints agree on a hash
    facts_seconds: float = 3 * 86_400.0  # what was learnt about an endpoint is learnt anew after this


SYSTEM_CLOCK: Final = Clock()
STANDARD_POLICY: Final = Policy()
