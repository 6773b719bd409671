"""One call's talk with a provider: pace, retry, give up. Every failure ends as an outcome, none as an exception.

Belongs here: what statuses and lost connections mean, alike for all providers. Not here: what a reply says.

Failures are typed by what asking again would change: a lost connection ends the whole call at once (there is no
network, and hundreds of time-outs would follow), so does a second silence of a connected server; a 5xx is tried again
and ends the call when one request after another meets it; 429 waits as told.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from portfolio_pipelines.market.answers import Answer
from portfolio_pipelines.market.limiter import Limiter
from portfolio_pipelines.market.quotes import Outcome

MOST_REFUSALS: Final = 6  # 429 for one request; the pauses between them add up to one or two minutes
MOST_FAILURES: Final = 3  # 5xx for one request; one is enough right after a request that failed so often
PAUSE_AFTER_FAILURE: Final = "5"  # seconds; growing pauses are for a provider that counts, not for one that is down
MOST_FAILED_REQUESTS: Final = 3  # so many requests in a row that ended with 5xx: the provider is down
MOST_SILENCES: Final = 2  # time-outs or broken connections for one request; each may have cost the whole time-out
DETAIL_LENGTH: Final = 200
_SPACES: Final = re.compile(r"\s+")


class NoAnswerError(Exception):
    """Nothing came back.

    Attributes:
        connected: False when not even a connection came about: the rest of the call is then not asked.
    """

    def __init__(self, reason: str, *, connected: bool) -> None:
        super().__init__(reason)
        self.connected = connected


class StatusError(Exception):
    """The provider answered with another status than 200."""

    def __init__(self, status: int, body: bytes = b"", retry_after: str | None = None) -> None:
        super().__init__(f"status {status}")
        self.status, self.body, self.retry_after = status, body, retry_after

    @property
    def detail(self) -> str:
        """Status and the beginning of what the provider said, on one line."""
        said = _SPACES.sub(" ", self.body[:4000].decode("utf-8", "replace")).strip()
        return f"status {self.status}: {said}"[:DETAIL_LENGTH] if said else f"status {self.status}"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request has no reply."""

    outcome: Outcome
    detail: str
    status: int | None = None
    body: bytes = b""

    def answer(self, source: str) -> Answer:
        """The same for one (symbol, day)."""
        return Answer(source, self.outcome, detail=self.detail)


class Conversation:
    """The requests of one `fetch` call, one after another."""

    def __init__(
        self,
        limiter: Limiter,
        secret: str | None = None,
        refuses_this_alone: Callable[["Failure"], bool] = lambda _failure: False,
    ) -> None:
        """Talk at the limiter's pace.

        Args:
            limiter: The pace.
            secret: Cut out of whatever the provider says back.
            refuses_this_alone: Whether an unauthorised request says nothing about the others; without it, it does:
                a wrong key is wrong for all.
        """
        self._limiter, self._secret, self._refuses_this_alone = limiter, secret, refuses_this_alone
        self._over: Failure | None = None
        self._failed_in_a_row = 0

    def ask(self, send: Callable[[], object]) -> object | Failure:
        """Send one request, again where that can help.

        Args:
            send: Sends it and returns the decoded JSON. Raises NoAnswerError, StatusError, or ValueError for a body
                that is not JSON.

        Returns:
            The decoded reply, or why there is none.
        """
        if self._over is not None:
            return self._over
        refusals = failures = silences = 0
        while True:
            if not self._limiter.acquire():
                return self.give_up(Failure(Outcome.RATE_LIMITED, "the provider asked for a longer pause than we wait"))
            try:
                reply = send()
            except NoAnswerError as error:
                failure = Failure(Outcome.UNREACHABLE, str(error))
                silences += 1
                if not error.connected or silences >= MOST_SILENCES:
                    return self.give_up(failure)
                self._limiter.refused()
            except StatusError as error:
                failure = Failure(outcome_of_status(error.status), self._clean(error.detail), error.status, error.body)
                if failure.outcome is Outcome.RATE_LIMITED:
                    refusals += 1
                    self._limiter.refused(error.retry_after)
                elif failure.outcome is Outcome.UNREACHABLE:
                    failures += 1
                    self._limiter.refused(error.retry_after or PAUSE_AFTER_FAILURE)
                else:
                    self._answered()
                    refused = failure.outcome is Outcome.UNAUTHORISED and not self._refuses_this_alone(failure)
                    return self.give_up(failure) if refused else failure
            except ValueError as error:
                self._answered()
                return Failure(Outcome.INVALID, self._clean(f"the reply is not JSON: {error}")[:DETAIL_LENGTH])
            else:
                self._answered()
                return reply
            if refusals >= MOST_REFUSALS:
                return self.give_up(failure)
            if failures >= (1 if self._failed_in_a_row else MOST_FAILURES):
                self._failed_in_a_row += 1
                return self.give_up(failure) if self._failed_in_a_row >= MOST_FAILED_REQUESTS else failure

    def give_up(self, failure: Failure) -> Failure:
        """Ask nothing more in this call: the same failure answers the rest."""
        self._over = Failure(failure.outcome, f"not asked after: {failure.detail}"[:DETAIL_LENGTH], failure.status)
        return failure

    def _answered(self) -> None:
        self._limiter.succeeded()
        self._failed_in_a_row = 0

    def _clean(self, text: str) -> str:
        return text.replace(self._secret, "…") if self._secret else text


def outcome_of_status(status: int) -> Outcome:
    """What an HTTP status that is not 200 means for the days that were asked for."""
    if status == 429:
        return Outcome.RATE_LIMITED
    if status in {401, 402, 403, 451}:
        return Outcome.UNAUTHORISED
    if status in {404, 410, 422}:
        return Outcome.NO_DATA
    if status == 408 or status >= 500 or 300 <= status < 400:
        return Outcome.UNREACHABLE
    return Outcome.INVALID
