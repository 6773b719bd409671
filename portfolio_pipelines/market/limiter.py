"""Pacing: evenly spaced requests to each provider, and what a refusal changes about the pace.

Belongs here: when the next request may go out. Not here: sending it, or deciding whether to try again (`conversation`).

Requests are spaced evenly (the generic cell rate algorithm with a burst of one) instead of sent in bursts: providers
count in windows that we cannot see, and an even pace stays below the rate in every window.
"""

import math
import threading
import time
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from random import SystemRandom
from typing import Final, Protocol

FIRST_BACKOFF_SECONDS: Final = 4.0  # five doubling pauses, even halved by jitter, outlast a window of a minute
LONGEST_BACKOFF_SECONDS: Final = 120.0
LARGEST_SLOWDOWN: Final = 8.0  # a pace eight times slower is as far as refusals push it
ROUNDING_SECONDS: Final = 0.001  # epoch seconds in a double are good to a quarter of a microsecond; clocks are coarser
RECOVERY: Final = 0.9  # each answer takes a tenth off the slowdown: about 20 answers undo the worst one

JITTER: Final = SystemRandom().random


class Reservations(Protocol):
    """Where the next free slot of each provider is kept. Times are seconds since the epoch."""

    def reserve(self, name: str, interval_seconds: float, now: float) -> float:
        """Take the next free slot of `name` and move the following one `interval_seconds` behind it.

        Returns:
            Seconds from `now` until the slot, 0 when it is free at once. Atomic: no two callers get the same slot.
        """
        ...

    def block_until(self, name: str, until: float) -> None:
        """Give out no slot of `name` before `until`. An earlier `until` than the one in force changes nothing."""
        ...


class MemoryReservations:
    """Slots kept in this process, shared by its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next_free: dict[str, float] = {}

    def reserve(self, name: str, interval_seconds: float, now: float) -> float:
        """See `Reservations.reserve`."""
        with self._lock:
            slot = max(now, self._next_free.get(name, now))
            self._next_free[name] = slot + interval_seconds
            return slot - now

    def block_until(self, name: str, until: float) -> None:
        """See `Reservations.block_until`."""
        with self._lock:
            self._next_free[name] = max(self._next_free.get(name, until), until)


class Limiter:
    """The pace towards one provider. One instance, or instances on the same reservations, for all who talk to it."""

    def __init__(
        self,
        name: str,
        per_minute: float,
        reservations: Reservations | None = None,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = JITTER,
        patience_seconds: float = 300.0,
    ) -> None:
        """Pace requests to `name`.

        Args:
            name: The provider; equal names on the same reservations share one pace.
            per_minute: Requests a minute while nothing is refused.
            reservations: Where slots are kept; in this object alone when not given.
            clock: Seconds since the epoch.
            sleep: Waits so many seconds.
            random: A number in [0, 1) for the jitter.
            patience_seconds: A longer wait than this is not waited for: `acquire` says no instead.

        Raises:
            ValueError: If the rate is not a positive number.
        """
        if not (math.isfinite(per_minute) and per_minute > 0):
            msg = f"{name}: requests a minute must be a positive number, not {per_minute}"
            raise ValueError(msg)
        self.name = name
        self._interval = 60.0 / per_minute
        self._reservations = reservations or MemoryReservations()
        self._clock, self._sleep, self._random = clock, sleep, random
        self._patience = patience_seconds
        self._lock = threading.Lock()
        self._slowdown = 1.0
        self._refusals = 0  # in a row
        self._blocked_until = -math.inf

    @property
    def interval_seconds(self) -> float:
        """Seconds between two requests at the present pace."""
        with self._lock:
            return self._interval * self._slowdown

    def acquire(self) -> bool:
        """Wait for the next free slot.

        Returns:
            True when the request may go out now; False, without waiting, when the slot is further away than our
            patience. The caller then reports `rate_limited` instead of asking.
        """
        while True:
            asked_at = self._clock()
            with self._lock:
                blocked_until = self._blocked_until
            if blocked_until - asked_at > self._patience:
                return False
            wait = self._reservations.reserve(self.name, self.interval_seconds, asked_at)
            if wait > self._patience:
                return False
            if wait > 0:
                self._sleep(wait)
            with self._lock:
                if self._blocked_until <= max(self._clock(), asked_at + wait) + ROUNDING_SECONDS:
                    return True
            # Somebody was refused while we slept: our slot lies inside the block, so queue again behind it.

    def refused(self, retry_after: str | None = None) -> float:
        """The provider refused: nobody asks before its Retry-After, or before a growing, jittered pause without one.

        Args:
            retry_after: Value of the header as it came: seconds or an HTTP date. Unreadable counts as absent.

        Returns:
            Seconds of the pause.
        """
        now = self._clock()
        asked_for = parse_retry_after(retry_after, now)
        with self._lock:
            self._refusals += 1
            self._slowdown = min(self._slowdown * 2, LARGEST_SLOWDOWN)
            longest = min(FIRST_BACKOFF_SECONDS * 2.0 ** min(self._refusals - 1, 16), LONGEST_BACKOFF_SECONDS)
            # Half of the pause is jitter, so that several processes refused together do not return together.
            pause = longest * (0.5 + 0.5 * self._random()) if asked_for is None else asked_for
            self._blocked_until = max(self._blocked_until, now + pause)
        self._reservations.block_until(self.name, now + pause)
        return pause

    def succeeded(self) -> None:
        """The provider answered: forget the refusals and recover the pace bit by bit."""
        with self._lock:
            self._refusals = 0
            self._slowdown = max(1.0, self._slowdown * RECOVERY)


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Seconds to wait that a Retry-After header asks for, seen from `now` (seconds since the epoch).

    Returns:
        At least 0; None when there is no header or it is neither a number nor an HTTP date.
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            when = parsedate_to_datetime(value)
        except (ValueError, IndexError, TypeError, OverflowError):
            return None
        seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now
    return max(seconds, 0.0) if math.isfinite(seconds) else None
