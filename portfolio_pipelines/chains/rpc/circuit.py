"""How an endpoint has been doing, and whether it may be asked at all.

Belongs here: the circuit breaker, latencies, the health that is shown. Pure: time is passed in. Not here: asking.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final, Literal

from portfolio_pipelines.chains.rpc.policy import Policy

State = Literal["closed", "open", "half_open"]

REMEMBERED_LATENCIES: Final = 128
ENOUGH_LATENCIES: Final = 20  # before a 95th percentile means anything
WEIGHT_OF_THE_LATEST: Final = 0.1  # in the moving averages
UNKNOWN_LATENCY_SECONDS: Final = 0.2


class Circuit:
    """Closed while an endpoint answers; open after failures in a row; half open to one try when the pause is over."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._failures = 0
        self._pause = 0.0
        self._opens_again_at: float | None = None
        self._trying = False

    def state(self, now: float) -> State:
        """Closed, open, or half open at `now`."""
        if self._opens_again_at is None:
            return "closed"
        return "open" if now < self._opens_again_at or self._trying else "half_open"

    def retry_at(self) -> float | None:
        """When the next try is due; None while closed."""
        return self._opens_again_at

    def begin(self, now: float) -> bool:
        """Whether a request may go out; while half open this takes the one try, which must be ended."""
        state = self.state(now)
        if state == "half_open":
            self._trying = True
        return state != "open"

    def abandoned(self) -> None:
        """The request was given up without learning anything."""
        self._trying = False

    def succeeded(self) -> None:
        """It answered: close."""
        self._failures, self._pause, self._opens_again_at, self._trying = 0, 0.0, None, False

    def failed(self, now: float, jitter: float) -> None:
        """It did not answer properly; `jitter` is a number in [0, 1)."""
        self._failures += 1
        was_trying, self._trying = self._trying, False
        already_open = self._opens_again_at is not None
        if was_trying or (not already_open and self._failures >= self._policy.failures_to_open):
            longer = self._pause * 2 or self._policy.circuit_first_seconds
            self._pause = min(longer, self._policy.circuit_longest_seconds)
            self._opens_again_at = now + self._pause * (0.75 + 0.25 * jitter)

    def shut(self, until: float) -> None:
        """Leave it alone until then."""
        self._trying = False
        self._opens_again_at = max(self._opens_again_at or until, until)


class Record:
    """Latencies and successes of an endpoint."""

    def __init__(self) -> None:
        self.requests = self.failures = self.refusals = self.hedges = 0
        self.score = 1.0  # moving share of requests that were answered
        self.typical_seconds = UNKNOWN_LATENCY_SECONDS
        self.last_error: str | None = None
        self.last_error_at: float | None = None
        self.last_success_at: float | None = None
        self._latencies: dict[str, deque[float]] = {}

    def took(self, method: str, seconds: float) -> None:
        """Remember how long a request took, or how long it was waited for in vain."""
        first = not self._latencies
        self._latencies.setdefault(method, deque(maxlen=REMEMBERED_LATENCIES)).append(seconds)
        weight = 1.0 if first else WEIGHT_OF_THE_LATEST
        self.typical_seconds += weight * (seconds - self.typical_seconds)

    def judged(self, *, good: bool) -> None:
        """Move the score."""
        self.score += WEIGHT_OF_THE_LATEST * (float(good) - self.score)

    def percentile(self, share: float, method: str | None = None) -> float | None:
        """Latency in seconds below which this share of requests was answered; None with too few of them."""
        if method is None:
            known = [latency for latencies in self._latencies.values() for latency in latencies]
        else:
            known = list(self._latencies.get(method, ()))
        if len(known) < ENOUGH_LATENCIES:
            return None
        return sorted(known)[min(int(share * len(known)), len(known) - 1)]


@dataclass(frozen=True, slots=True)
class EndpointHealth:
    """How one endpoint is doing, for people and for the database. Times in seconds, dates in seconds since the epoch.

    Args:
        chain: Slug of the chain.
        chain_id: EIP-155 id.
        endpoint: Its name, without secrets.
        state: Of its circuit; `half_open` is due for a try.
        in_step: False when its height does not agree with the others, or its chain is another one.
        score: Moving share of requests that it answered, 0 to 1.
        height: Newest block that it told; None before the first look.
        blocks_behind: Blocks between the agreed head and its own; negative when it is ahead.
        typical_seconds: Moving mean of its latency.
        p95_seconds: 95th percentile of its latency; None with fewer than 20 requests.
        requests_per_second: Present pace, after refusals.
        requests: Sent so far, elements of batches apart.
        failures: Without a proper answer.
        refusals: Answered by a rate limit.
        hedges: Sent because another endpoint was slow.
        last_error: In words.
        last_error_at: When.
        last_success_at: When.
        retry_in_seconds: Until its circuit lets a try through; None while closed.
    """

    chain: str
    chain_id: int
    endpoint: str
    state: State
    in_step: bool
    score: float
    height: int | None
    blocks_behind: int | None
    typical_seconds: float
    p95_seconds: float | None
    requests_per_second: float
    requests: int
    failures: int
    refusals: int
    hedges: int
    last_error: str | None
    last_error_at: float | None
    last_success_at: float | None
    retry_in_seconds: float | None
