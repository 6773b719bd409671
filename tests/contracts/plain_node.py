"""A chain of the tests as the project's readers see it (`Node`), without pace, failover or retries."""

import ssl
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import orjson

from portfolio_pipelines.chains.rpc.errors import (
    InvalidRequest,
    Reverted,
    RpcError,
    StateUnavailable,
    TooMuch,
    Unreachable,
    Unsupported,
)
from portfolio_pipelines.chains.rpc.node import Block

ENDPOINT = "127.0.0.1"
WITHOUT_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # unused; a client that makes its own takes 0.1 s for it


class PlainNode:
    """One endpoint, asked as it is. `requests` counts HTTP requests, `calls` their elements.

    Args:
        url: Where the node answers.
        chain_id: EIP-155 id.
        name: Slug of the chain.
        overrides: Whether to claim that the endpoint honours state overrides.
    """

    def __init__(self, url: str, chain_id: int = 31337, name: str = "local", *, overrides: bool = True) -> None:
        self.url = url
        self.overrides = overrides
        self.requests = 0
        self.calls = 0
        self._chain_id = chain_id
        self._name = name

    @property
    def chain_id(self) -> int:
        return self._chain_id

    @property
    def name(self) -> str:
        return self._name

    async def request(self, method: str, params: Sequence[Any]) -> Any:
        result = (await self.batch([(method, params)]))[0]
        if isinstance(result, RpcError):
            raise result
        return result

    async def batch(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        if not requests:
            return []
        self.requests += 1
        self.calls += len(requests)
        body = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
            for number, (method, params) in enumerate(requests)
        ]
        try:
            async with httpx.AsyncClient(timeout=120, trust_env=False, verify=WITHOUT_TLS) as client:
                response = await client.post(
                    self.url, content=orjson.dumps(body), headers={"Content-Type": "application/json"}
                )
            answer = orjson.loads(response.content)
        except (httpx.HTTPError, orjson.JSONDecodeError) as error:
            raise Unreachable(self._name, ENDPOINT, str(error)) from error
        if isinstance(answer, dict):
            raise self._error(answer.get("error", {}))
        by_id = {element["id"]: element for element in answer}
        return [
            by_id[number]["result"] if "result" in by_id[number] else self._error(by_id[number]["error"])
            for number in range(len(requests))
        ]

    async def eth_call(
        self,
        to: str | None,
        data: bytes,
        block: int,
        *,
        code: Mapping[str, bytes] | None = None,
        gas: int | None = None,
    ) -> bytes:
        if code and not self.overrides:
            raise Unsupported(self._name, ENDPOINT, "state override")
        transaction = {"data": "0x" + data.hex()}
        if to is not None:
            transaction["to"] = to
        if gas is not None:
            transaction["gas"] = hex(gas)
        params: list[Any] = [transaction, hex(block)]
        if code:
            params.append({address: {"code": "0x" + runtime.hex()} for address, runtime in code.items()})
        return bytes.fromhex((await self.request("eth_call", params))[2:])

    async def block(self, number: int | None = None) -> Block:
        found = await self.request("eth_getBlockByNumber", ["latest" if number is None else hex(number), False])
        if found is None:
            raise StateUnavailable(self._name, ENDPOINT, f"no block {number}")
        return Block(int(found["number"], 16), found["hash"], int(found["timestamp"], 16), found["parentHash"])

    def _error(self, error: Mapping[str, Any]) -> RpcError:
        message = str(error.get("message", "no answer"))
        kinds = (("OutOfGas", TooMuch), ("BlockOutOfRange", StateUnavailable), ("EVM error", Reverted))
        if error.get("code") == 3:
            return Reverted(self._name, ENDPOINT, message, bytes.fromhex(str(error.get("data") or "0x")[2:]))
        for text, kind in kinds:
            if text in message:
                return kind(self._name, ENDPOINT, message)
        return InvalidRequest(self._name, ENDPOINT, message)
