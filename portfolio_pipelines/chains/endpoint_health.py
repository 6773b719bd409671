"""Whether the endpoints of chains are well: each is asked who it is and how far it is. Nothing is read from chains.

Belongs here: the question and the verdict, for people and for start-up. During a run the client (`rpc`) judges its
endpoints itself, from the answers that it gets anyway.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import httpx

from portfolio_pipelines.chains.endpoint_urls import shown_names
from portfolio_pipelines.chains.registry import Chain
from portfolio_pipelines.chains.rpc.endpoints import Address

Status = Literal["ok", "lagging", "stale", "wrong_chain", "refused", "rate_limited", "unreachable", "no_node"]

TIMEOUT_SECONDS: Final = 10.0
AT_ONCE: Final = 64
LARGEST_ANSWER: Final = 8 << 20  # bytes; the newest block names all its transactions
OLDEST_BLOCK_SECONDS: Final = 600.0  # a chain that is alive makes a block within ten minutes
OLDEST_BLOCK_TIMES: Final = 20.0  # and within twenty of its block times: Bitcoin takes hours now and then
LAG_SECONDS: Final = 60.0  # behind the best endpoint of the chain
BLOCKS_OF_LAG: Final = 5  # a slow chain is not lagging for a block or two
SOLANA_GENESIS: Final = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d"
BITCOIN_GENESIS: Final = "000000000019d6689c085ae165831e93"


@dataclass(frozen=True, slots=True)
class EndpointHealth:
    """The verdict on one endpoint. What could not be learnt is None."""

    chain: str  # slug
    chain_id: int
    endpoint: str  # name, without keys
    status: Status
    detail: str = ""  # what is wrong, in words; empty when nothing is
    height: int | None = None  # newest block (slot on Solana)
    block_time: float | None = None  # of that block, seconds since 1970
    block_age_seconds: float | None = None
    latency_seconds: float | None = None  # of one request


class _FaultError(Exception):
    """Why an endpoint is not well."""

    def __init__(self, *, status: Status, detail: str) -> None:
        super().__init__(detail)
        self.status: Status = status
        self.detail = detail


async def check_endpoints(
    chains: Iterable[Chain],
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
    clock: Callable[[], float] = time.time,
) -> list[EndpointHealth]:
    """Ask every endpoint of some chains, all at the same time.

    Args:
        chains: Their endpoints are resolved URLs.
        timeout_seconds: For each request.
        clock: Seconds since 1970, to tell the age of blocks.

    Returns:
        One verdict an endpoint, in the order of the chains and their endpoints. Never raises for an endpoint.
    """
    slots = asyncio.Semaphore(AT_ONCE)
    async with httpx.AsyncClient(timeout=timeout_seconds, limits=httpx.Limits(max_connections=AT_ONCE)) as client:

        async def one(chain: Chain, url: str, name: str) -> EndpointHealth:
            async with slots:
                return await _ask(_Conversation(client, url), chain, name, clock)

        found = await asyncio.gather(
            *(
                asyncio.gather(
                    *(
                        one(chain, url, name)
                        for url, name in zip(chain.endpoints, shown_names(chain.endpoints), strict=True)
                    )
                )
                for chain in chains
            )
        )
    return [health for of_chain in found for health in _compared(of_chain)]


class _Conversation:
    """Requests to one endpoint; every failure becomes a verdict without secrets."""

    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self._client, self._url, self.address = client, url, Address(url)
        self.latency: float | None = None

    async def call(self, method: str, *params: object) -> Any:
        """The result of a JSON-RPC request."""
        question = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = _json(await self._request("POST", self._url, question))
        if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
            raise _FaultError(status="no_node", detail="it answers JSON, but no JSON-RPC")
        if answer.get("error"):
            error = answer["error"]
            words = str(error.get("message", error) if isinstance(error, dict) else error)
            raise _FaultError(status="refused", detail=f"{method}: {self.address.hide(words)[:200]}")
        return answer["result"]

    async def get(self, path: str) -> bytes:
        """The body of a page below the endpoint."""
        return await self._request("GET", self._url.rstrip("/") + path, None)

    async def _request(self, verb: str, url: str, question: object) -> bytes:
        began = time.perf_counter()
        try:
            async with self._client.stream(verb, url, json=question) as response:
                body = b""
                async for part in response.aiter_bytes():
                    body += part
                    if len(body) > LARGEST_ANSWER:
                        raise _FaultError(
                            status="no_node", detail=f"its answer is longer than {LARGEST_ANSWER >> 20} MB"
                        )
        except httpx.TimeoutException as error:
            raise _FaultError(status="unreachable", detail="no answer in time") from error
        except httpx.HTTPError as error:
            words = self.address.hide(str(error))[:200]
            raise _FaultError(status="unreachable", detail=words or error.__class__.__name__) from error
        self.latency = time.perf_counter() - began
        _refuse_status(response.status_code)
        return body


def _refuse_status(status: int) -> None:
    if status == 429:
        raise _FaultError(status="rate_limited", detail="it wants fewer requests (HTTP 429)")
    if status in (401, 402, 403):
        raise _FaultError(status="refused", detail=f"the key is missing, wrong or used up (HTTP {status})")
    if status >= 500:
        raise _FaultError(status="unreachable", detail=f"its server has a fault (HTTP {status})")
    if status >= 300:
        raise _FaultError(status="no_node", detail=f"there is no node at this path (HTTP {status})")


def _json(body: bytes) -> Any:
    import orjson

    try:
        return orjson.loads(body)
    except ValueError as error:
        page = body.lstrip()[:1] == b"<"
        what = "a web page" if page else "nothing" if not body.strip() else "something that is no JSON"
        raise _FaultError(status="no_node", detail=f"it answers {what}") from error


async def _ask(conversation: _Conversation, chain: Chain, name: str, clock: Callable[[], float]) -> EndpointHealth:
    health = EndpointHealth(chain.slug, chain.chain_id, name, "ok")
    newest = {"evm": _newest_evm, "solana": _newest_solana, "bitcoin": _newest_bitcoin}[chain.family]
    try:
        height, block_time = await newest(conversation, chain)
    except _FaultError as fault:
        return replace(health, status=fault.status, detail=fault.detail, latency_seconds=conversation.latency)
    age = clock() - block_time
    health = replace(
        health,
        height=height,
        block_time=block_time,
        block_age_seconds=age,
        latency_seconds=conversation.latency,
    )
    oldest = max(OLDEST_BLOCK_SECONDS, OLDEST_BLOCK_TIMES * (chain.block_time_seconds or 0))
    if age > oldest and chain.category != "local":  # a local chain makes blocks when it is used
        return replace(health, status="stale", detail=f"its newest block is {_words(age)} old")
    return health


async def _newest_evm(conversation: _Conversation, chain: Chain) -> tuple[int, float]:
    chain_id = _quantity(await conversation.call("eth_chainId"), "eth_chainId")
    if chain_id != chain.chain_id:
        raise _FaultError(status="wrong_chain", detail=f"it is chain {chain_id}, not {chain.chain_id}")
    block = await conversation.call("eth_getBlockByNumber", "latest", False)
    if not isinstance(block, dict):
        raise _FaultError(status="no_node", detail="it has no newest block")
    return _quantity(block.get("number"), "number"), float(_quantity(block.get("timestamp"), "timestamp"))


async def _newest_solana(conversation: _Conversation, _chain: Chain) -> tuple[int, float]:
    if await conversation.call("getGenesisHash") != SOLANA_GENESIS:
        raise _FaultError(status="wrong_chain", detail="it is another cluster than mainnet")
    slot = await conversation.call("getSlot", {"commitment": "finalized"})
    block_time = await conversation.call("getBlockTime", slot)
    return _number(slot, "slot"), float(_number(block_time, "block time"))


async def _newest_bitcoin(conversation: _Conversation, _chain: Chain) -> tuple[int, float]:
    genesis = (await conversation.get("/block-height/0")).decode(errors="replace").strip()
    if not genesis.startswith(BITCOIN_GENESIS):
        page = genesis.startswith("<")
        raise _FaultError(
            status="no_node" if page else "wrong_chain", detail="it is no Esplora server of Bitcoin's main network"
        )
    blocks = _json(await conversation.get("/blocks"))
    if not isinstance(blocks, list) or not blocks or not isinstance(blocks[0], dict):
        raise _FaultError(status="no_node", detail="it has no newest block")
    return _number(blocks[0].get("height"), "height"), float(_number(blocks[0].get("timestamp"), "timestamp"))


def _quantity(value: object, name: str) -> int:
    try:
        if isinstance(value, str) and value.startswith("0x"):
            return int(value, 16)
    except ValueError:
        pass
    raise _FaultError(status="no_node", detail=f"its {name} is no hex number")


def _number(value: object, name: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise _FaultError(status="no_node", detail=f"its {name} is no whole number")


def _compared(endpoints: Iterable[EndpointHealth]) -> list[EndpointHealth]:
    """The endpoints of one chain, those far behind the best one marked."""
    endpoints = list(endpoints)
    known = [health for health in endpoints if health.status == "ok" and health.block_time is not None]
    if not known:
        return endpoints
    best = max(known, key=lambda health: health.height or 0)
    return [_lag(health, best) if health in known else health for health in endpoints]


def _lag(health: EndpointHealth, best: EndpointHealth) -> EndpointHealth:
    blocks = (best.height or 0) - (health.height or 0)
    seconds = (best.block_time or 0) - (health.block_time or 0)
    if blocks <= BLOCKS_OF_LAG or seconds <= LAG_SECONDS:
        return health
    return replace(health, status="lagging", detail=f"{blocks} blocks ({_words(seconds)}) behind {best.endpoint}")


def _words(seconds: float) -> str:
    for unit, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} seconds"
