"""The node of a chain over HTTP: `open_node` gives one that reads from all endpoints of the chain.

Belongs here: what readers call. Not here: whom to ask (`failover`), how to ask (`endpoint`), the head (`heights`).
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Self

from portfolio_pipelines.chains.rpc.capabilities import CapabilityStore
from portfolio_pipelines.chains.rpc.circuit import EndpointHealth
from portfolio_pipelines.chains.rpc.endpoint import Endpoint, Surroundings
from portfolio_pipelines.chains.rpc.endpoints import Address, EndpointSettings, names_of
from portfolio_pipelines.chains.rpc.errors import RpcError, TooMuch
from portfolio_pipelines.chains.rpc.failover import ALL, FINAL, Failover
from portfolio_pipelines.chains.rpc.heights import Heights
from portfolio_pipelines.chains.rpc.node import ANSWERED_BY, Block
from portfolio_pipelines.chains.rpc.pacing import PACERS_OF_THIS_PROCESS, Pacers
from portfolio_pipelines.chains.rpc.policy import STANDARD_POLICY, SYSTEM_CLOCK, Clock, Policy
from portfolio_pipelines.chains.rpc.questions import Question
from portfolio_pipelines.chains.rpc.transport import SharedTransport, Transport


class JsonRpcNode:
    """One chain, read through its endpoints. Belongs to the event loop that it is first used in."""

    def __init__(self, around: Surroundings, failover: Failover, heights: Heights, confirmations: int) -> None:
        """Use `open_node`."""
        self._around, self._failover, self._heights = around, failover, heights
        self._confirmations = confirmations

    @property
    def chain_id(self) -> int:
        """See `Node.chain_id`."""
        return self._around.chain_id

    @property
    def name(self) -> str:
        """See `Node.name`."""
        return self._around.chain

    def __repr__(self) -> str:
        names = ", ".join(endpoint.name for endpoint in self._failover.endpoints)
        return f"JsonRpcNode({self.name}: {names})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Give back the connections."""
        await self._around.transport.aclose()

    async def request(self, method: str, params: Sequence[Any]) -> Any:
        """See `Node.request`. A method that is not known to be a read goes out once, to one endpoint."""
        return await self._failover.read(Question(method, params))

    async def batch(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """See `Node.batch`. What is not known to be a read goes out alone and in order, with everything else."""
        questions = [Question(method, params) for method, params in requests]
        if not all(question.is_read for question in questions):
            return [await self._alone(question) for question in questions]
        size = self._failover.largest_batch()
        parts = [questions[start : start + size] for start in range(0, len(questions), size)]
        if len(parts) == 1:
            return await self._part(parts[0])
        ANSWERED_BY.set(ALL)  # several may answer
        answered = await asyncio.gather(*(self._part(part) for part in parts))
        return [result for part in answered for result in part]

    async def eth_call(
        self,
        to: str | None,
        data: bytes,
        block: int,
        *,
        code: Mapping[str, bytes] | None = None,
        gas: int | None = None,
    ) -> bytes:
        """See `Node.eth_call`."""
        call: dict[str, str] = {"data": "0x" + data.hex()}
        if to is not None:
            call["to"] = to
        if gas is not None:
            call["gas"] = hex(gas)
        params: list[Any] = [call, hex(block)]
        if code:
            params.append({address: {"code": "0x" + program.hex()} for address, program in code.items()})
        answer: bytes = await self._failover.read(Question("eth_call", params, as_bytes=True))
        return answer

    async def block(self, number: int | None = None) -> Block:
        """See `Node.block`."""
        return await (self._heights.newest(self._confirmations) if number is None else self._heights.block(number))

    async def send_raw_transaction(self, signed: bytes) -> str:
        """Send a signed transaction, once, to one endpoint: whether it arrived is not known when this fails.

        Returns:
            Its hash.

        Raises:
            RpcError: If the endpoint did not take it, or did not answer.
        """
        return str(await self.request("eth_sendRawTransaction", ["0x" + signed.hex()]))

    def gas_cap(self) -> int | None:
        """The least gas that a probed endpoint gives to a call; None before any was probed."""
        return min(
            (found for end in self._in_step() if (found := end.abilities.facts.gas_cap) is not None), default=None
        )

    def log_range(self) -> int | None:
        """The most blocks that one search for logs may span at some endpoint; None while no limit is known."""
        ranges = [endpoint.abilities.facts.log_range for endpoint in self._in_step()]
        return None if not ranges or None in ranges else max(found for found in ranges if found is not None)

    def health(self) -> list[EndpointHealth]:
        """How each endpoint is doing, in the order they are configured."""
        now = self._around.clock.monotonic()
        return [self._health_of(endpoint, now) for endpoint in self._failover.endpoints]

    def _in_step(self) -> list[Endpoint]:
        return [endpoint for endpoint in self._failover.endpoints if endpoint.in_step]

    def _health_of(self, endpoint: Endpoint, now: float) -> EndpointHealth:
        record, head, retry_at = endpoint.record, self._heights.head, endpoint.circuit.retry_at()
        return EndpointHealth(
            chain=self.name,
            chain_id=self.chain_id,
            endpoint=endpoint.name,
            state=endpoint.circuit.state(now),
            in_step=endpoint.in_step,
            score=record.score,
            height=endpoint.height,
            blocks_behind=None if head is None or endpoint.height is None else head - endpoint.height,
            typical_seconds=record.typical_seconds,
            p95_seconds=record.percentile(0.95),
            requests_per_second=endpoint.pacer.per_second,
            requests=record.requests,
            failures=record.failures,
            refusals=record.refusals,
            hedges=record.hedges,
            last_error=record.last_error,
            last_error_at=record.last_error_at,
            last_success_at=record.last_success_at,
            retry_in_seconds=None if retry_at is None else max(retry_at - now, 0.0),
        )

    async def _part(self, questions: Sequence[Question]) -> list[Any]:
        """Results of reads that fit into one body, or into two halves of it."""
        if len(questions) == 1:
            return [await self._alone(questions[0])]
        try:
            results = await self._failover.read_many(questions)
        except TooMuch:
            ANSWERED_BY.set(ALL)
            middle = len(questions) // 2
            halves = await asyncio.gather(self._part(questions[:middle]), self._part(questions[middle:]))
            return [*halves[0], *halves[1]]
        except RpcError as error:
            return [error] * len(questions)
        again = [
            place
            for place, result in enumerate(results)
            if isinstance(result, RpcError) and not isinstance(result, FINAL)
        ]
        if again:
            ANSWERED_BY.set(ALL)
        retried = await asyncio.gather(*(self._alone(questions[place]) for place in again))
        for place, result in zip(again, retried, strict=True):
            results[place] = result
        return results

    async def _alone(self, question: Question) -> Any:
        try:
            return await self._failover.read(question)
        except RpcError as error:
            return error


def open_node(
    chain_id: int,
    name: str,
    endpoints: Sequence[EndpointSettings],
    *,
    capabilities: CapabilityStore,
    confirmations: int = 0,
    block_seconds: float | None = None,
    policy: Policy = STANDARD_POLICY,
    clock: Clock = SYSTEM_CLOCK,
    transport: Transport | None = None,
    pacers: Pacers = PACERS_OF_THIS_PROCESS,
) -> JsonRpcNode:
    """A node of a chain; close it with `aclose`, or use it in `async with`.

    Args:
        chain_id: EIP-155 id; an endpoint of another chain is not used.
        name: Slug of the chain; errors carry it.
        endpoints: Where to ask, at least one; the first ones are preferred while nothing else speaks for others.
        capabilities: Where facts about the endpoints are remembered.
        confirmations: Blocks below the head that `block()` stays.
        block_seconds: Usual time between two blocks: says how many blocks endpoints may lie apart.
        policy: How patient to be.
        clock: Time, replaced by tests.
        transport: How requests reach the endpoints; connections shared by all nodes of the event loop when None.
        pacers: Where the pace towards each endpoint is kept; one place for the process, as endpoints see it.

    Raises:
        ValueError: If there is no endpoint, one twice, or one without a proper URL or pace.
    """
    if not endpoints:
        msg = f"{name}: a chain without an endpoint cannot be read"
        raise ValueError(msg)
    try:
        addresses = [Address(endpoint.url) for endpoint in endpoints]
        paces = [
            pacers.of(address, endpoint.requests_per_second, clock)
            for address, endpoint in zip(addresses, endpoints, strict=True)
        ]
    except ValueError as error:
        msg = f"{name}: {error}"
        raise ValueError(msg) from None
    if len(set(addresses)) < len(addresses):
        msg = f"{name}: the same endpoint stands twice"
        raise ValueError(msg)
    around = Surroundings(chain_id, name, transport or SharedTransport(), capabilities, policy, clock)
    failover = Failover(
        name,
        [Endpoint(around, *facts) for facts in zip(names_of(addresses), addresses, paces, strict=True)],
        policy,
        clock,
    )
    return JsonRpcNode(around, failover, Heights(name, failover, policy, clock, block_seconds), confirmations)
