"""The pace towards one endpoint: never more than its rate in any one second, as the endpoint itself counts.

Belongs here: when the next request may go out, and what a refusal changes about that. Not here: sending it.

Two rules together. Requests leave one interval apart, so there are no bursts. And a request leaves only while fewer
than a second's worth are under way or were answered less than a second ago: it reaches the endpoint after it left, the
others reached it before their answers came back, so no window of one second at the endpoint can hold more than the
rate, whatever the network delays. A slow endpoint is thereby asked less: `rate / (1 + latency)` requests a second.
"""

import asyncio
import threading
from collections import deque
from typing import Final
from weakref import WeakKeyDictionary

from portfolio_pipelines.chains.rpc.endpoints import Address
from portfolio_pipelines.chains.rpc.policy import SYSTEM_CLOCK, Clock

WINDOW_SECONDS: Final = 1.005  # half a percent for clocks that do not run alike
POLL_SECONDS: Final = 0.005  # how often the first in the queue looks whether an answer came
ROUNDING_SECONDS: Final = 1e-6  # sums of times are not exact
LATE_SECONDS: Final = 0.02  # what a busy event loop is late
SLOWEST_SHARE: Final = 1 / 64  # of the rate: as far as refusals push it down
RECOVERY_SHARE: Final = 0.05  # of the rate, won back each second without refusal
ADJUSTMENT_SECONDS: Final = 1.0  # refusals of requests that were under way together count once
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 60.0


class TooLongToWait(Exception):  # noqa: N818 (see errors)
    """The endpoint asked for a pause that is longer than our patience."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"asked to pause for another {seconds:.0f} s")
        self.seconds = seconds


class Pacer:
    """The pace towards one endpoint, for all nodes, threads and event loops of this process that talk to it."""

    def __init__(self, per_second: float, clock: Clock = SYSTEM_CLOCK) -> None:
        """Pace requests.

        Args:
            per_second: Requests a second that the endpoint allows; elements of a batch count each.
            clock: Time.

        Raises:
            ValueError: If the rate is not a positive number.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
        self._allowed = self._rate = _checked(per_second)
        self._next_slot = 0.0
        self._under_way = 0
        self._answered: deque[tuple[float, int]] = deque()  # when, and how many requests
        self._answered_recently = 0
        self._queued = 0
        self._paused_until = 0.0
        self._refusals = 0  # in a row
        self._adjusted_at = float("-inf")

    @property
    def per_second(self) -> float:
        """Requests a second at the present pace."""
        return self._rate

    @property
    def largest_batch(self) -> int:
        """Elements of one batch that fit into a second."""
        return max(1, int(self._allowed))

    def limit_to(self, per_second: float) -> None:
        """Never be faster than this, from now on."""
        with self._lock:
            self._allowed = min(self._allowed, _checked(per_second))
            self._rate = min(self._rate, self._allowed)

    def expected_wait(self) -> float:
        """Seconds until a request that joined the queue now might go out."""
        now = self._clock.monotonic()
        return max(self._paused_until - now, self._next_slot - now, 0.0) + self._queued / self._rate

    async def acquire(self, requests: int = 1, *, patience: float = float("inf")) -> None:
        """Wait for a turn. Whoever gets it calls `release` when the answer has come, or will not come.

        Args:
            requests: How many elements go out together.
            patience: Longest pause, in seconds, that is waited for when the endpoint asked for one.

        Raises:
            TooLongToWait: If the pause is longer. Nothing may be sent.
        """
        with self._lock:
            self._queued += requests
        try:
            async with self._turn_of_this_loop():
                while (wait := self._start(requests, patience)) > 0:
                    await self._clock.sleep(wait)
        finally:
            with self._lock:
                self._queued -= requests

    def release(self, requests: int = 1) -> None:
        """The requests of a turn are over: from now on they count for another second."""
        with self._lock:
            self._under_way -= requests
            self._answered.append((self._clock.monotonic(), requests))
            self._answered_recently += requests

    def refused(self, retry_after: float | None = None, allowed_per_second: float | None = None) -> float:
        """The endpoint refused: half the pace, after a pause.

        Args:
            retry_after: Seconds that it asks for; a growing, jittered pause when it says nothing.
            allowed_per_second: The pace that it names.

        Returns:
            Seconds of the pause.
        """
        now = self._clock.monotonic()
        if allowed_per_second is not None:
            self.limit_to(max(allowed_per_second, self._allowed * SLOWEST_SHARE))
        with self._lock:
            if now - self._adjusted_at >= ADJUSTMENT_SECONDS:
                self._rate = max(self._rate / 2, self._allowed * SLOWEST_SHARE)
                self._adjusted_at = now
                self._refusals += 1
            longest = min(FIRST_PAUSE_SECONDS * 2.0 ** min(self._refusals - 1, 16), LONGEST_PAUSE_SECONDS)
            # Half of the pause is jitter, so that processes refused together do not return together.
            pause = longest * (0.5 + 0.5 * self._clock.random()) if retry_after is None else retry_after
            self._paused_until = max(self._paused_until, now + pause)
        return pause

    def succeeded(self) -> None:
        """The endpoint answered: forget the refusals and win back a bit of the pace, once a second."""
        now = self._clock.monotonic()
        with self._lock:
            self._refusals = 0
            if self._rate < self._allowed and now - self._adjusted_at >= ADJUSTMENT_SECONDS:
                self._rate = min(self._rate + self._allowed * RECOVERY_SHARE, self._allowed)
                self._adjusted_at = now

    def _turn_of_this_loop(self) -> asyncio.Lock:
        """First come, first served; only the first in the queue looks at the clock."""
        with self._lock:
            return self._turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())

    def _start(self, requests: int, patience: float) -> float:
        """Take the turn and return 0, or return how many seconds to wait before trying again."""
        now = self._clock.monotonic()
        with self._lock:
            while self._answered and self._answered[0][0] <= now - WINDOW_SECONDS:
                self._answered_recently -= self._answered.popleft()[1]
            pause = self._paused_until - now
            if pause > patience:
                raise TooLongToWait(pause)
            if pause > ROUNDING_SECONDS:
                return pause
            if self._next_slot > now + ROUNDING_SECONDS:
                return self._next_slot - now
            used = self._under_way + self._answered_recently
            # A batch made before the pace went down may be bigger than a second's worth now: it goes alone.
            if used and used + requests > max(1, int(self._rate)):
                oldest = self._answered[0][0] + WINDOW_SECONDS - now if self._answered else POLL_SECONDS
                return max(min(oldest, POLL_SECONDS) if self._under_way else oldest, 0.0005)
            # Timers come late: who took a slot a moment too late does not move the slots after it.
            interval = 1 / self._rate
            slot = self._next_slot if now - self._next_slot <= max(interval, LATE_SECONDS) else now
            self._next_slot = slot + requests * interval
            self._under_way += requests
        return 0.0


def _checked(per_second: float) -> float:
    if not 0 < per_second < float("inf"):
        msg = f"requests a second must be a positive number, not {per_second}"
        raise ValueError(msg)
    return per_second


class Pacers:
    """One pacer for each address."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pacers: dict[Address, Pacer] = {}

    def of(self, address: Address, per_second: float, clock: Clock = SYSTEM_CLOCK) -> Pacer:
        """The pacer of an address; of several rates asked for, the lowest holds."""
        with self._lock:
            pacer = self._pacers.get(address)
            if pacer is None:
                pacer = self._pacers[address] = Pacer(per_second, clock)
        pacer.limit_to(per_second)
        return pacer


PACERS_OF_THIS_PROCESS: Final = Pacers()
"""Endpoints count our process, not our objects."""
