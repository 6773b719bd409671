"""A read that ends well if any endpoint can answer it: whom to ask, whom to ask next, when to give up.

Belongs here: order, tries, hedges, and the error at the end. Not here: one exchange (`endpoint`), heights (`heights`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Final

from portfolio_pipelines.chains.rpc.classification import Where
from portfolio_pipelines.chains.rpc.effort import Effort
from portfolio_pipelines.chains.rpc.endpoint import CircuitOpen, Endpoint
from portfolio_pipelines.chains.rpc.errors import (
    InvalidRequest,
    QuotaExhausted,
    RateLimited,
    Reverted,
    RpcError,
    StateUnavailable,
    TooMuch,
    Unreachable,
    Unsupported,
)
from portfolio_pipelines.chains.rpc.node import ANSWERED_BY
from portfolio_pipelines.chains.rpc.policy import Clock, Policy
from portfolio_pipelines.chains.rpc.questions import Question

FINAL: Final = (Reverted, InvalidRequest, TooMuch)  # asking again, or elsewhere, is no use
ALL: Final = "all endpoints"
NEAR_THE_HEAD_BLOCKS: Final = 64  # a block so new may be missing at one machine behind an endpoint, and come
TRIES_FOR_A_NEW_BLOCK: Final = 3
MOST_HEDGE_CREDIT: Final = 5.0
ROUNDING_SECONDS: Final = 1e-6  # sums of times are not exact

Ask = Callable[[Endpoint, Effort], Awaitable[Any]]
Answered = tuple[str, Any]  # name of the endpoint, and what it answered


class _Course:
    """How one read went so far."""

    def __init__(self, question: Question, size: int) -> None:
        self.question, self.size = question, size  # what stands for all, and how many there are
        self.failures: dict[Endpoint, RpcError] = {}
        self.excluded: set[Endpoint] = set()  # no use to ask it again
        self.tried: set[Endpoint] = set()  # in this round
        self._missing: dict[Endpoint, int] = {}

    def note(self, endpoint: Endpoint, error: RpcError, patience: float) -> None:
        self.failures[endpoint] = error
        self.tried.add(endpoint)
        if isinstance(error, QuotaExhausted | Unsupported):
            self.excluded.add(endpoint)
        elif isinstance(error, RateLimited):
            if error.retry_after is not None and error.retry_after > patience:
                self.excluded.add(endpoint)
        elif isinstance(error, StateUnavailable):
            self._missing[endpoint] = self._missing.get(endpoint, 0) + 1
            block, height = self.question.block, endpoint.height
            is_new = block is None or height is None or block > height - NEAR_THE_HEAD_BLOCKS
            if not is_new or self._missing[endpoint] >= TRIES_FOR_A_NEW_BLOCK:
                self.excluded.add(endpoint)


class Failover:
    """The endpoints of a chain as one that answers."""

    def __init__(self, chain: str, endpoints: Sequence[Endpoint], policy: Policy, clock: Clock) -> None:
        self._chain, self.endpoints = chain, endpoints
        self._policy, self._clock = policy, clock
        self._hedge_credit = MOST_HEDGE_CREDIT

    async def read(
        self,
        question: Question,
        *,
        among: Collection[Endpoint] | None = None,
        read: Callable[[Where, Any], Any] | None = None,
    ) -> Any:
        """The result of a read; whatever is no read is sent once, to one endpoint.

        Args:
            question: What to ask.
            among: The endpoints that may be asked; all that are in step when None.
            read: Makes something of the result; its RpcError is that of the endpoint.

        Raises:
            RpcError: After every allowed try and endpoint.
        """

        async def ask(endpoint: Endpoint, effort: Effort) -> Any:
            return await endpoint.ask(question, effort, read)

        if not question.is_read:
            return await self._once(ask)
        return await self._attempts(question, 1, ask, among)

    async def read_many(self, questions: Sequence[Question]) -> list[Any]:
        """Results of reads in one body, RpcErrors among them. The newest block that they need stands for all."""
        newest = max(questions, key=lambda question: -1 if question.block is None else question.block)

        async def ask(endpoint: Endpoint, effort: Effort) -> list[Any]:
            return await endpoint.ask_many(questions, effort)

        results: list[Any] = await self._attempts(newest, len(questions), ask, None)
        return results

    def largest_batch(self) -> int:
        """Elements of a body that every endpoint in step takes."""
        return min((endpoint.largest_batch for endpoint in self.endpoints if endpoint.in_step), default=1)

    def in_order(self, among: Collection[Endpoint] | None = None) -> list[Endpoint]:
        """Endpoints that may be asked now, the one that should answer first in front."""
        now = self._clock.monotonic()
        usable = [
            endpoint
            for endpoint in self.endpoints
            if (endpoint.in_step if among is None else endpoint in among) and endpoint.circuit.state(now) != "open"
        ]
        return sorted(usable, key=Endpoint.expected_seconds)

    async def _once(self, ask: Ask) -> Any:
        order = self.in_order()
        if not order:
            raise self._nobody({})
        answer = await ask(order[0], Effort(self._clock))
        ANSWERED_BY.set(order[0].name)
        return answer

    async def _attempts(self, question: Question, size: int, ask: Ask, among: Collection[Endpoint] | None) -> Any:
        effort, course = Effort(self._clock), _Course(question, size)
        left = self._policy.attempts + len(self.endpoints) - 1
        rounds, circuit_wait = 0, self._policy.circuit_patience_seconds
        while left > 0 and effort.busy() < self._policy.deadline_seconds:
            usable = [endpoint for endpoint in self.in_order(among) if endpoint not in course.excluded]
            # If none of them can, the first one finds the words for it.
            usable = [endpoint for endpoint in usable if endpoint.abilities.refusal_of(question) is None] or usable
            order = [endpoint for endpoint in usable if endpoint not in course.tried]
            if order:
                try:
                    name, answer = await self._hedged(order, ask, effort, course)
                except CircuitOpen:
                    continue  # it opened while we queued: choose again; nothing was sent
                except FINAL as error:
                    ANSWERED_BY.set(error.endpoint)  # what a call reverted with is an answer, too
                    raise
                except RpcError:
                    left -= 1  # noted in the course
                else:
                    ANSWERED_BY.set(name)  # here, where the caller sees it: hedges run in contexts of their own
                    return answer
            elif usable:  # each failed in this round
                await self._clock.sleep(self._backoff(rounds))
                rounds += 1
                course.tried.clear()
            else:
                pause = self._until_a_circuit_opens(among, course.excluded)
                if pause is None or pause > circuit_wait:
                    break
                circuit_wait -= pause
                await self._clock.sleep(pause)
                course.tried.clear()
        raise self._nobody(course.failures, among)

    async def _hedged(self, order: Sequence[Endpoint], ask: Ask, effort: Effort, course: _Course) -> Answered:
        order[0].assigned += course.size  # at once: who chooses next must see it
        try:
            return await self._first_answer(order, ask, effort, course)
        finally:
            order[0].assigned -= course.size

    async def _first_answer(self, order: Sequence[Endpoint], ask: Ask, effort: Effort, course: _Course) -> Answered:
        """Ask the first; if it takes unusually long, the second as well, and take what comes first."""
        primary, second = order[0], self._second(order)
        self._hedge_credit = min(self._hedge_credit + self._policy.hedge_share, MOST_HEDGE_CREDIT)
        if second is None:
            return await self._try(primary, ask, effort, course)
        begun = effort.busy()
        usual = self._hedge_delay(primary, course.question.method)
        first = asyncio.ensure_future(self._try(primary, ask, effort, course))
        running: list[asyncio.Future[Answered]] = [first]
        try:
            while True:
                late = usual if self._hedge_credit >= 1 else max(usual, self._policy.hedge_late_seconds)
                rest = begun + late - effort.busy()
                if rest <= ROUNDING_SECONDS and not effort.is_queueing:
                    break
                done, _ = await asyncio.wait(running, timeout=usual if effort.is_queueing else rest)
                if done:
                    return first.result()
            self._hedge_credit = max(self._hedge_credit - 1, 0.0)
            second.record.hedges += 1
            running.append(asyncio.ensure_future(self._try(second, ask, Effort(self._clock, effort.busy()), course)))
            waiting: set[asyncio.Future[Answered]] = set(running)
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for finished in done:
                    error = finished.exception()
                    if error is None or isinstance(error, FINAL) or not isinstance(error, RpcError):
                        return finished.result()
            return first.result()  # both failed: raises what the first said
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _try(self, endpoint: Endpoint, ask: Ask, effort: Effort, course: _Course) -> Answered:
        try:
            return endpoint.name, await ask(endpoint, effort)
        except CircuitOpen:
            raise
        except RpcError as error:
            course.note(endpoint, error, self._policy.patience_seconds)
            raise

    def _second(self, order: Sequence[Endpoint]) -> Endpoint | None:
        now = self._clock.monotonic()
        return next((endpoint for endpoint in order[1:] if endpoint.circuit.state(now) == "closed"), None)

    def _hedge_delay(self, endpoint: Endpoint, method: str) -> float:
        usual = endpoint.record.percentile(0.95, method)
        return max(self._policy.hedge_first_seconds if usual is None else usual, self._policy.hedge_shortest_seconds)

    def _backoff(self, rounds: int) -> float:
        longest = min(self._policy.first_backoff_seconds * 2.0**rounds, self._policy.longest_backoff_seconds)
        return longest * (0.5 + 0.5 * self._clock.random())

    def _until_a_circuit_opens(self, among: Collection[Endpoint] | None, excluded: set[Endpoint]) -> float | None:
        """Seconds until an endpoint that is left alone may be tried; None when there is none to hope for."""
        now = self._clock.monotonic()
        times = [
            endpoint.circuit.retry_at()
            for endpoint in self.endpoints
            if (endpoint.in_step if among is None else endpoint in among) and endpoint not in excluded
        ]
        due = min((time for time in times if time is not None), default=None)
        return None if due is None else max(due - now, self._policy.first_backoff_seconds)

    def _nobody(self, failures: dict[Endpoint, RpcError], among: Collection[Endpoint] | None = None) -> RpcError:
        """The error of a read that nobody answered: the only one, the common one, or that nobody could be reached."""
        for endpoint in self.endpoints if among is None else among:
            if endpoint not in failures:
                reason = endpoint.record.last_error or "not asked"
                out = "" if endpoint.in_step else "out of step; "
                failures[endpoint] = CircuitOpen(self._chain, endpoint.name, f"left alone ({out}{reason})")
        if len(failures) == 1:
            return next(iter(failures.values()))
        kinds = {type(error) for error in failures.values() if not isinstance(error, CircuitOpen)}
        message = "; ".join(f"{endpoint.name}: {error.message}" for endpoint, error in failures.items())
        kind = kinds.pop() if len(kinds) == 1 else Unreachable
        if issubclass(kind, RateLimited):
            pauses = [error.retry_after for error in failures.values() if isinstance(error, RateLimited)]
            return RateLimited(self._chain, ALL, message, min((pause for pause in pauses if pause), default=None))
        return kind(self._chain, ALL, message)
