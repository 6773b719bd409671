"""One endpoint of a chain: one exchange with it, and what is learnt from that.

Belongs here: the way of one request through pace, circuit, connection, decoding and classification, and the facts that
fall off on the way. Not here: whom to ask, and how often (`failover`).
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, TypeVar

from portfolio_pipelines.chains.rpc.answers import encode, encode_batch
from portfolio_pipelines.chains.rpc.capabilities import CapabilityStore, Facts
from portfolio_pipelines.chains.rpc.circuit import Circuit, Record
from portfolio_pipelines.chains.rpc.classification import Where
from portfolio_pipelines.chains.rpc.effort import Effort
from portfolio_pipelines.chains.rpc.endpoints import Address
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
from portfolio_pipelines.chains.rpc.pacing import Pacer, TooLongToWait
from portfolio_pipelines.chains.rpc.policy import Clock, Policy
from portfolio_pipelines.chains.rpc.probing import probe_deployless, probe_override
from portfolio_pipelines.chains.rpc.questions import Question
from portfolio_pipelines.chains.rpc.replies import ReplyReader
from portfolio_pipelines.chains.rpc.transport import AnswerTooLong, Reply, Transport, TransportFault

WORST_SCORE: Final = 0.05
LOOK_AGAIN_SECONDS: Final = 1.0  # a height older than this is asked again before an endpoint counts as behind

T = TypeVar("T")

_LOGGER: Final = logging.getLogger(__name__)
_IDS: Final = count(1)  # of this process: no two of our requests share one


class CircuitOpen(Unreachable):
    """Nothing was sent: the endpoint failed too often lately."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all endpoints of a chain share."""

    chain_id: int
    chain: str
    transport: Transport
    store: CapabilityStore
    policy: Policy
    clock: Clock


class Endpoint:
    """Where one URL of a chain leads, and what is known about it."""

    def __init__(self, surroundings: Surroundings, name: str, address: Address, pacer: Pacer) -> None:
        self._around = surroundings
        self.name, self.pacer = name, pacer
        self._address = address
        self.where = Where(surroundings.chain, name)
        self._replies = ReplyReader(self.where, address, surroundings.clock.wall)
        self.circuit, self.record = Circuit(surroundings.policy), Record()
        self.height: int | None = None
        self.height_at = float("-inf")
        self.in_step = True
        self.assigned = 0  # requests that were given to it and are not over
        self.is_silent = False  # did not tell its height in time when last asked, and has not answered since
        self._under_way: dict[object, float] = {}  # since when, oldest first
        self._is_of_this_chain = False
        self._preparing: asyncio.Lock | None = None
        self.facts = Facts.load(
            surroundings.store.load(surroundings.chain_id, name),
            surroundings.clock.wall(),
            surroundings.policy.facts_seconds,
        )

    def __repr__(self) -> str:
        return f"Endpoint({self.where.chain}, {self.name})"

    @property
    def is_local(self) -> bool:
        """Whether it runs on this machine."""
        return self._address.is_local

    def expected_seconds(self) -> float:
        """How long an answer may take: its queue, its usual time, its failures, and what it is silent about now."""
        queue = max(self.pacer.expected_wait(), self.assigned / self.pacer.per_second)
        typical = self.record.typical_seconds / max(self.record.score, WORST_SCORE)
        now = self._around.clock.monotonic()
        silence = now - next(iter(self._under_way.values()), now)
        return queue + max(typical, silence, self._around.policy.attempt_seconds if self.is_silent else 0.0)

    @property
    def largest_batch(self) -> int:
        """Elements that may go out in one body."""
        return min(self.facts.batch or self._around.policy.batch, self._around.policy.batch, self.pacer.largest_batch)

    def can(self, question: Question) -> bool:
        """Whether nothing that is known about it speaks against asking it this."""
        span, most = question.log_range, self.facts.log_range
        return not (
            (question.overrides_code and self.facts.override is False)
            or (question.is_deployless and not self._runs_creation_code)
            or (span is not None and most is not None and span[1] - span[0] >= most)
        )

    @property
    def _runs_creation_code(self) -> bool:
        known = self.facts.deployless, self.facts.deployless_revert
        return known != (False, False)

    async def ask(self, question: Question, effort: Effort, read: Callable[[Where, Any], Any] | None = None) -> Any:
        """One request, once.

        Args:
            question: What to ask; what it needs is made sure first.
            effort: Of the read that this is a part of.
            read: Makes something of the result; its RpcError counts as the endpoint's.

        Raises:
            RpcError: Whatever happened, sorted.
        """
        await self._prepare(question, effort)
        result = await self._ask(question, effort, read)
        if result == b"" and question.overrides_code and question.params[0].get("to") in question.params[2]:
            self.facts.override = None  # proved once, but whoever answers there now does not honour it
            raise BadAnswer(self.where.chain, self.name, "answered nothing to a call with replaced code")
        return result

    async def ask_many(self, questions: Sequence[Question], effort: Effort) -> list[Any]:
        """Several requests in one body, once; an element that failed is its RpcError.

        Raises:
            TooMuch: If the endpoint takes no batch of this size; nothing is known about the elements.
            RpcError: If the batch as a whole failed.
        """
        for question in questions:
            await self._prepare(question, effort)
        size, first_id = len(questions), next(_IDS)
        if size > self.largest_batch:
            raise TooMuch(self.where.chain, self.name, f"takes no more than {self.largest_batch} elements in a batch")
        for _ in range(size - 1):
            next(_IDS)
        reply = await self._exchange(encode_batch(questions, first_id), questions, effort)
        outcomes = self._judged(lambda: self._read_many(reply, questions, first_id))
        refused = [outcome for outcome in outcomes if isinstance(outcome, RateLimited)]
        if refused:
            self._learn(refused[0])
        return outcomes

    async def look(self, effort: Effort) -> int:
        """Its newest block, asked now."""
        question = Question("eth_blockNumber", [])
        await self._prepare(question, effort)
        self.height = int(await self._ask(question, effort), 16)
        self.height_at = self._around.clock.monotonic()
        return self.height

    async def _ask(self, question: Question, effort: Effort, read: Callable[[Where, Any], Any] | None = None) -> Any:
        request_id = next(_IDS)
        reply = await self._exchange(encode(question, request_id), [question], effort)

        def result() -> Any:
            found = self._replies.one(reply, question, request_id)
            return found if read is None else read(self.where, found)

        return self._judged(result)

    async def _exchange(self, body: bytes, questions: Sequence[Question], effort: Effort) -> Reply:
        policy, clock = self._around.policy, self._around.clock
        size, method = len(questions), questions[0].method if len(questions) == 1 else "batch"
        with effort.queueing():
            try:
                await self.pacer.acquire(size, patience=policy.patience_seconds)
            except TooLongToWait as pause:
                raise RateLimited(self.where.chain, self.name, str(pause), pause.seconds) from None
        try:
            began = clock.monotonic()
            seconds = min(policy.attempt_seconds, policy.deadline_seconds - effort.busy())
            if seconds <= 0:
                raise Unreachable(self.where.chain, self.name, f"no time left of {policy.deadline_seconds:g} s")
            if not self.circuit.begin(began):
                raise CircuitOpen(self.where.chain, self.name, f"left alone after {self.record.last_error}")
            self.record.requests += 1
            exchange = object()
            self._under_way[exchange] = began
            try:
                return await self._around.transport.post(
                    self._address, body, seconds=seconds, largest=policy.largest_answer_bytes
                )
            except AnswerTooLong as fault:
                kind = TooMuch if size > 1 or method == "eth_getLogs" else BadAnswer
                error: RpcError = kind(self.where.chain, self.name, str(fault))
                self._learn(error)
                raise error from None
            except TransportFault as fault:
                error = Unreachable(self.where.chain, self.name, str(fault))
                self._learn(error)
                raise error from None
            except BaseException:
                self.circuit.abandoned()
                raise
            finally:
                del self._under_way[exchange]
                self.record.took(method, clock.monotonic() - began)
        finally:
            self.pacer.release(size)

    def _judged(self, read: Callable[[], T]) -> T:
        try:
            result = read()
        except RpcError as error:
            self._learn(error)
            raise
        except BaseException:
            self.circuit.abandoned()
            raise
        self._learn(None)
        return result

    def _read_many(self, reply: Reply, questions: Sequence[Question], first_id: int) -> list[Any]:
        try:
            return self._replies.many(reply, questions, first_id)
        except (RateLimited, QuotaExhausted, Unreachable, BadAnswer):
            raise
        except RpcError as error:
            raise self._refused_batch(error, len(questions)) from None

    def _refused_batch(self, error: RpcError, size: int) -> RpcError:
        """A batch refused as a whole for other reasons than pace or failure was too big: learn half of it."""
        self.facts.batch = max(1, size // 2)
        self._save_facts()
        return TooMuch(self.where.chain, self.name, f"refused a batch of {size}: {error.message}")

    def _learn(self, error: RpcError | None) -> None:
        """Remember what an outcome says about the endpoint."""
        now, wall = self._around.clock.monotonic(), self._around.clock.wall()
        if error is not None:
            self.record.last_error, self.record.last_error_at = f"{type(error).__name__}: {error.message}", wall
        if isinstance(error, Unreachable | BadAnswer):
            self.record.failures += 1
            self.record.judged(good=False)
            self.circuit.failed(now, self._around.clock.random())
        elif isinstance(error, QuotaExhausted):
            self.record.judged(good=False)
            self.circuit.shut(now + self._around.policy.quota_seconds)
        elif isinstance(error, RateLimited):
            self.record.refusals += 1
            self.circuit.succeeded()
            self.pacer.refused(error.retry_after, error.allowed_per_second)
        else:
            self.record.judged(good=True)
            self.record.last_success_at = wall
            self.is_silent = False
            self.circuit.succeeded()
            self.pacer.succeeded()
            if isinstance(error, TooMuch) and error.largest is not None:
                self.facts.log_range = min(error.largest, self.facts.log_range or error.largest)
                self._save_facts()

    async def _prepare(self, question: Question, effort: Effort) -> None:
        """Make sure that it is the right chain, has the block and can do what the question needs."""
        needs_override = question.overrides_code and self.facts.override is None
        needs_deployless = question.is_deployless and self.facts.deployless is None
        if not self._is_of_this_chain or needs_override or needs_deployless:
            self._preparing = self._preparing or asyncio.Lock()
            async with self._preparing:
                await self._find_out(question, effort)
        if question.overrides_code and not self.facts.override:
            raise Unsupported(self.where.chain, self.name, "does not honour replaced code in a call")
        if question.is_deployless and not self._runs_creation_code:
            raise Unsupported(self.where.chain, self.name, "does not run creation code in a call")
        span, block = question.log_range, question.block
        if span is not None and self.facts.log_range is not None and span[1] - span[0] >= self.facts.log_range:
            most = self.facts.log_range
            raise TooMuch(
                self.where.chain, self.name, f"searches {most} blocks at once", (span[0], span[0] + most - 1), most
            )
        if block is not None and self.height is not None and self.height < block:
            if self._around.clock.monotonic() - self.height_at > LOOK_AGAIN_SECONDS:
                self.height = int(await self._ask(Question("eth_blockNumber", []), effort), 16)
                self.height_at = self._around.clock.monotonic()
            if self.height < block:
                message = f"has no block {block} yet, only {self.height}"
                raise StateUnavailable(self.where.chain, self.name, message)

    async def _find_out(self, question: Question, effort: Effort) -> None:
        async def ask(probe: Question) -> object:
            return await self._ask(probe, effort)

        if not self._is_of_this_chain:
            await self._check_chain(effort)
        before = self.facts.to_json()
        if question.overrides_code and self.facts.override is None:
            await probe_override(ask, self.facts)
        if question.is_deployless and self.facts.deployless is None:
            await probe_deployless(ask, self.facts)
        if self.facts.to_json() != before:
            self._save_facts()

    async def _check_chain(self, effort: Effort) -> None:
        try:
            found = int(await self._ask(Question("eth_chainId", []), effort), 16)
        except Unsupported:
            found = self._around.chain_id  # an old node that does not know the method is believed
        if found != self._around.chain_id:
            self.in_step = False
            self.circuit.shut(self._around.clock.monotonic() + self._around.policy.quota_seconds)
            message = f"is of chain {found}, not {self._around.chain_id}"
            self.record.last_error, self.record.last_error_at = message, self._around.clock.wall()
            raise BadAnswer(self.where.chain, self.name, message)
        self._is_of_this_chain = True

    def _save_facts(self) -> None:
        if self.facts.learnt_at is None:
            self.facts.learnt_at = self._around.clock.wall()
        try:
            self._around.store.save(self._around.chain_id, self.name, self.facts.to_json())
        except Exception:  # whatever a store is made of, losing a note must not lose the read
            _LOGGER.warning("%s at %s: what was learnt could not be saved", *self._names(), exc_info=True)

    def _names(self) -> tuple[str, str]:
        return self.where.chain, self.name
