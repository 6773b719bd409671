"""One endpoint of a chain: one exchange with it, and what is learnt from that.

Belongs here: the way of one request through pace, circuit, connection, decoding and classification, and the facts that
fall off on the way. Not here: whom to ask, and how often (`failover`).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, TypeVar

from portfolio_pipelines.chains.rpc.abilities import Abilities
from portfolio_pipelines.chains.rpc.answers import encode, encode_batch
from portfolio_pipelines.chains.rpc.capabilities import CapabilityStore
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
from portfolio_pipelines.chains.rpc.questions import Question
from portfolio_pipelines.chains.rpc.replies import ReplyReader
from portfolio_pipelines.chains.rpc.transport import AnswerTooLong, Reply, Transport, TransportFault

WORST_SCORE: Final = 0.05
LOOK_AGAIN_SECONDS: Final = 1.0  # a height older than this is asked again before an endpoint counts as behind

T = TypeVar("T")

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
        self.abilities = Abilities(
            surroundings.chain_id, self.where, surroundings.store, surroundings.policy, surroundings.clock
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
        ours = self._around.policy.batch
        return min(self.abilities.facts.batch or ours, ours, self.pacer.largest_batch)

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
            self.abilities.doubt_override()
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
            # Refused as a whole for other reasons than pace or failure: it was too big.
            self.abilities.learn_batch(refused=len(questions))
            words = f"refused a batch of {len(questions)}: {error.message}"
            raise TooMuch(self.where.chain, self.name, words) from None

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
                self.abilities.learn_log_range(error.largest)

    async def _prepare(self, question: Question, effort: Effort) -> None:
        """Make sure that it is the right chain, has the block and can do what the question needs."""
        if not self._is_of_this_chain or self.abilities.are_unknown_for(question):
            self._preparing = self._preparing or asyncio.Lock()
            async with self._preparing:
                if not self._is_of_this_chain:
                    await self._check_chain(effort)
                await self.abilities.find_out(question, lambda probe: self._ask(probe, effort))
        refusal = self.abilities.refusal_of(question)
        if refusal is not None:
            raise refusal
        block = question.block
        if block is not None and self.height is not None and self.height < block:
            if self._around.clock.monotonic() - self.height_at > LOOK_AGAIN_SECONDS:
                self.height = int(await self._ask(Question("eth_blockNumber", []), effort), 16)
                self.height_at = self._around.clock.monotonic()
            if self.height < block:
                message = f"has no block {block} yet, only {self.height}"
                raise StateUnavailable(self.where.chain, self.name, message)

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
