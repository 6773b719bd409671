"""The node of a chain over HTTP: `open_node` gives one that reads from the endpoints of the chain.

Belongs here: what readers call. Not here: connections (`transport`), names and secrets (`endpoints`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import orjson

from portfolio_pipelines.chains.rpc.capabilities import CapabilityStore
from portfolio_pipelines.chains.rpc.endpoints import Address, EndpointSettings, names_of
from portfolio_pipelines.chains.rpc.errors import BadAnswer, Reverted, RpcError, StateUnavailable, Unreachable
from portfolio_pipelines.chains.rpc.node import Block
from portfolio_pipelines.chains.rpc.transport import SharedTransport, Transport, TransportFault

LARGEST_ANSWER_BYTES = 64 << 20
ATTEMPT_SECONDS = 30.0


class JsonRpcNode:
    """One chain, read through one endpoint."""

    def __init__(self, chain_id: int, name: str, endpoints: Sequence[EndpointSettings], transport: Transport) -> None:
        self.chain_id, self.name = chain_id, name
        self._addresses = [Address(endpoint.url) for endpoint in endpoints]
        self._names = names_of(self._addresses)
        self._transport = transport
        self._last_id = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Give back the connections."""
        await self._transport.aclose()

    async def request(self, method: str, params: Sequence[Any]) -> Any:
        """See `Node.request`."""
        (result,) = await self.batch([(method, params)])
        if isinstance(result, RpcError):
            raise result
        return result

    async def batch(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """See `Node.batch`."""
        if not requests:
            return []
        start = self._last_id + 1
        self._last_id += len(requests)
        body = orjson.dumps(
            [
                {"jsonrpc": "2.0", "id": start + place, "method": method, "params": list(params)}
                for place, (method, params) in enumerate(requests)
            ]
        )
        where = (self.name, self._names[0])
        try:
            reply = await self._transport.post(
                self._addresses[0], body, seconds=ATTEMPT_SECONDS, largest=LARGEST_ANSWER_BYTES
            )
        except TransportFault as fault:
            raise Unreachable(*where, str(fault)) from None
        try:
            answers = {answer["id"]: answer for answer in orjson.loads(reply.body)}
            return [self._result(answers[start + place]) for place in range(len(requests))]
        except (ValueError, KeyError, TypeError):
            raise BadAnswer(*where, f"not an answer (HTTP {reply.status})") from None

    def _result(self, answer: dict[str, Any]) -> Any:
        error = answer.get("error")
        if error is None:
            return answer["result"]
        where = (self.name, self._names[0])
        if error.get("code") == 3:
            return Reverted(*where, error["message"], bytes.fromhex((error.get("data") or "0x")[2:]))
        return RpcError(*where, self._addresses[0].hide(str(error)))

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
        return bytes.fromhex((await self.request("eth_call", params))[2:])

    async def block(self, number: int | None = None) -> Block:
        """See `Node.block`."""
        found = await self.request("eth_getBlockByNumber", ["latest" if number is None else hex(number), False])
        if found is None:
            raise StateUnavailable(self.name, self._names[0], f"no block {number}")
        return Block(int(found["number"], 16), found["hash"], int(found["timestamp"], 16), found["parentHash"])


def open_node(
    chain_id: int,
    name: str,
    endpoints: Sequence[EndpointSettings],
    *,
    capabilities: CapabilityStore,  # noqa: ARG001 (probing comes next)
    transport: Transport | None = None,
) -> JsonRpcNode:
    """A node of a chain; close it with `aclose`, or use it in `async with`.

    Args:
        chain_id: EIP-155 id.
        name: Slug of the chain; errors carry it.
        endpoints: Where to ask, at least one.
        capabilities: Where facts about the endpoints are remembered.
        transport: How requests reach them; connections shared by all nodes of the event loop when None.

    Raises:
        ValueError: If there is no endpoint, or one without a proper URL.
    """
    if not endpoints:
        msg = f"{name}: a chain without an endpoint cannot be read"
        raise ValueError(msg)
    return JsonRpcNode(chain_id, name, endpoints, transport or SharedTransport())
