"""How long a read has been at it. Time in the queue for a turn is ours, not the endpoint's, and does not count."""

from collections.abc import Iterator
from contextlib import contextmanager

from portfolio_pipelines.chains.rpc.policy import Clock


class Effort:
    """The seconds that a read has used, the time in queues for a turn apart."""

    def __init__(self, clock: Clock, used: float = 0.0) -> None:
        self._clock = clock
        self._began = clock.monotonic() - used
        self._waited = 0.0
        self._queued_since: float | None = None

    @property
    def is_queueing(self) -> bool:
        """Whether it waits for a turn now."""
        return self._queued_since is not None

    def busy(self) -> float:
        """Seconds so far."""
        now = self._clock.monotonic() if self._queued_since is None else self._queued_since
        return now - self._began - self._waited

    @contextmanager
    def queueing(self) -> Iterator[None]:
        """Time in this block does not count."""
        since = self._queued_since = self._clock.monotonic()
        try:
            yield
        finally:
            self._waited += self._clock.monotonic() - since
            self._queued_since = None
