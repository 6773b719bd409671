"""Endpoints of a chain that is no EVM chain: paced, tried again, one standing in for another.

Belongs here: which endpoint is asked when, and what follows from a failure. Not here: connections, and what an answer
means: both are passed in by the client of the family.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from portfolio_pipelines.chains.rpc.circuit import Circuit
from portfolio_pipelines.chains.rpc.endpoints import Address, EndpointSettings, names_of
from portfolio_pipelines.chains.rpc.errors import (
    BadAnswer,
    QuotaExhausted,
    RateLimited,
    RpcError,
    StateUnavailable,
    TooMuch,
    Unreachable,
    Unsupported,
)
from portfolio_pipelines.chains.rpc.pacing import PACERS_OF_THIS_PROCESS, Pacer, Pacers, TooLongToWait
from portfolio_pipelines.chains.rpc.policy import STANDARD_POLICY, SYSTEM_CLOCK, Clock, Policy
from portfolio_pipelines.chains.rpc.transport import AnswerTooLong, Reply, TransportFault

T = TypeVar("T")
Send = Callable[[Address], Awaitable[Reply]]

JOBS_AT_ONCE: Final = 64  # enough for 100 requests a second that take half a second each
POLL_SECONDS: Final = 0.25  # how often it is looked whether the one try at a resting endpoint has ended

_ELSEWHERE: Final = (BadAnswer, QuotaExhausted, RateLimited, StateUnavailable, Unreachable, Unsupported)


@dataclass(frozen=True, slots=True)
class Where:
    """Who answered: what an error needs to name it without a secret."""

    chain: str
    endpoint: str
    address: Address

    def words(self, text: object) -> str:
        """What the endpoint said, cleaned of secrets and cut to a line."""
        return self.address.hide(" ".join(str(text).split())[:1_000])[:200]


@dataclass(frozen=True, slots=True)
class _Line:
    """One endpoint and how it has been doing."""

    where: Where
    pacer: Pacer
    circuit: Circuit


class EndpointPool:
    """The endpoints of one chain."""

    def __init__(
        self,
        chain: str,
        endpoints: Sequence[EndpointSettings],
        *,
        clock: Clock = SYSTEM_CLOCK,
        policy: Policy = STANDARD_POLICY,
        pacers: Pacers = PACERS_OF_THIS_PROCESS,
    ) -> None:
        """Take the endpoints of a chain.

        Args:
            chain: Its slug; errors carry it.
            endpoints: At least one; of those that are equally free, earlier ones are preferred.
            clock: Time.
            policy: How patient to be.
            pacers: Paces towards addresses, shared with everybody else who talks to them.

        Raises:
            ValueError: If there is no endpoint, or one without a proper URL.
        """
        if not endpoints:
            msg = f"{chain}: a chain without an endpoint cannot be read"
            raise ValueError(msg)
        self.chain = chain
        self._clock, self._policy = clock, policy
        addresses = [Address(endpoint.url) for endpoint in endpoints]
        self._lines = [
            _Line(
                Where(chain, name, address),
                pacers.of(address, endpoint.requests_per_second, clock),
                Circuit(policy),
            )
            for name, address, endpoint in zip(names_of(addresses), addresses, endpoints, strict=True)
        ]

    def names(self) -> list[str]:
        """Names of the endpoints: those that are well first, then in the order they were given."""
        now = self._clock.monotonic()
        return [line.where.endpoint for line in sorted(self._lines, key=lambda line: line.circuit.state(now) == "open")]

    async def ask(self, send: Send, read: Callable[[Reply, Where], T], *, at: str | None = None) -> T:
        """The answer of an endpoint.

        Args:
            send: Brings the request to an address and the reply back.
            read: Makes the answer out of a reply; raises an RpcError that says what is wrong with it.
            at: Name of the only endpoint to ask; all of them when None.

        Raises:
            RpcError: The failure of the last endpoint tried; at once when asking elsewhere cannot help.
        """
        lines = [line for line in self._lines if at is None or line.where.endpoint == at]
        policy = self._policy
        untried, rested = list(lines), 0.0
        last: RpcError | None = None
        hopeless: set[str] = set()
        failures = 0
        while failures < policy.attempts + len(lines) - 1 and len(hopeless) < len(lines):
            line = self._free_line([line for line in untried or lines if line.where.endpoint not in hopeless])
            if line is None and untried and len(untried) < len(lines):
                untried = []  # the rest is resting: back to those that failed once
                continue
            if line is None:
                wait = self._rest_of(lines)
                rested += wait
                if rested > policy.patience_seconds:
                    break
                await self._clock.sleep(wait)
                continue
            try:
                return await self._once(line, send, read)
            except _ELSEWHERE as error:
                last = error
                failures += 1
                if isinstance(error, QuotaExhausted | Unsupported):
                    hopeless.add(line.where.endpoint)
            untried = [other for other in untried if other is not line]
            if not untried:
                await self._clock.sleep(self._pause(failures))
        if last is None:
            endpoint = "all endpoints" if at is None else at
            last = Unreachable(self.chain, endpoint, "left alone for now after failures in a row")
        raise last

    def _free_line(self, lines: Sequence[_Line]) -> _Line | None:
        """The line whose turn comes soonest, with its circuit entered; None if every one rests."""
        now = self._clock.monotonic()
        for line in sorted(lines, key=lambda line: line.pacer.expected_wait()):
            if line.circuit.begin(now):
                return line
        return None

    def _rest_of(self, lines: Sequence[_Line]) -> float:
        now = self._clock.monotonic()
        return max(POLL_SECONDS, min((line.circuit.retry_at() or now) - now for line in lines))

    def _pause(self, failures: int) -> float:
        longest = min(self._policy.first_backoff_seconds * 2.0**failures, self._policy.longest_backoff_seconds)
        return longest * (0.5 + 0.5 * self._clock.random())

    async def _once(self, line: _Line, send: Send, read: Callable[[Reply, Where], T]) -> T:
        """One exchange; the circuit was entered, and is left here in every case."""
        where, circuit, ended = line.where, line.circuit, False
        names = (where.chain, where.endpoint)
        try:
            await line.pacer.acquire(patience=self._policy.patience_seconds)
            try:
                reply = await send(where.address)
            finally:
                line.pacer.release()
            _refuse_failures(reply, where)
            answer = read(reply, where)
            circuit.succeeded()
            ended = True
        except TooLongToWait as error:
            raise RateLimited(*names, str(error), error.seconds) from None
        except RateLimited as error:
            line.pacer.refused(error.retry_after, error.allowed_per_second)
            raise
        except AnswerTooLong as fault:
            raise TooMuch(*names, str(fault)) from None
        except QuotaExhausted:
            circuit.shut(self._clock.monotonic() + self._policy.quota_seconds)
            ended = True
            raise
        except TransportFault as fault:
            circuit.failed(self._clock.monotonic(), self._clock.random())
            ended = True
            raise Unreachable(*names, str(fault)) from None
        except (BadAnswer, Unreachable):
            circuit.failed(self._clock.monotonic(), self._clock.random())
            ended = True
            raise
        finally:
            if not ended:
                circuit.abandoned()
        line.pacer.succeeded()
        return answer


def _refuse_failures(reply: Reply, where: Where) -> None:
    """Raise what the status alone says; 400, 404 and their like are left to the reader of the answer."""
    status, names = reply.status, (where.chain, where.endpoint)
    if status == 429:
        raise RateLimited(*names, "too many requests (HTTP 429)", _seconds(reply.retry_after))
    if status in (401, 402, 403):
        raise QuotaExhausted(*names, f"the key is refused or its plan is used up (HTTP {status})")
    if status == 413:
        raise TooMuch(*names, "the request is too long (HTTP 413)")
    if status >= 500 or status == 408:
        retry_after = _seconds(reply.retry_after)
        if status == 503 and retry_after is not None:
            raise RateLimited(*names, "unavailable for now (HTTP 503)", retry_after)
        raise Unreachable(*names, f"HTTP {status}: {where.words(reply.body[:300].decode('utf-8', 'replace'))}")
    if 300 <= status < 400:
        raise Unreachable(*names, f"it points elsewhere (HTTP {status}), which is not followed")


def _seconds(retry_after: str | None) -> float | None:
    """Seconds of a Retry-After header; None where it is missing, a date or nonsense (then the pace decides)."""
    try:
        seconds = float(retry_after or "")
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None


async def in_parallel(jobs: Iterable[Callable[[], Awaitable[None]]], width: int = JOBS_AT_ONCE) -> None:
    """Run many jobs, `width` at a time, taking each from the iterable only when its turn has come.

    Raises:
        Exception: What the first job that failed raised; the others are cancelled.
    """
    waiting = iter(jobs)

    async def worker() -> None:
        for job in waiting:
            await job()

    workers = [asyncio.ensure_future(worker()) for _ in range(width)]
    try:
        await asyncio.gather(*workers)
    finally:
        for each in workers:
            each.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
