"""An event loop whose time is virtual, and endpoints that answer in it: minutes pass in no time."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson

from portfolio_pipelines.chains.rpc.capabilities import CapabilityStore, MemoryCapabilityStore
from portfolio_pipelines.chains.rpc.client import JsonRpcNode, open_node
from portfolio_pipelines.chains.rpc.endpoints import Address, EndpointSettings
from portfolio_pipelines.chains.rpc.pacing import Pacers
from portfolio_pipelines.chains.rpc.policy import STANDARD_POLICY, Clock, Policy
from portfolio_pipelines.chains.rpc.transport import Reply, TransportFault

T = TypeVar("T")

EPOCH = 1_795_000_000.0  # the wall clock when a virtual loop starts
CHAIN_ID = 77


class _Jump(selectors.DefaultSelector):  # type: ignore[misc,valid-type]
    """Instead of waiting for sockets, of which there are none, moves the time on."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        assert timeout is not None, "everything waits for something that never comes"
        self.now += max(timeout, 0.0)
        return super().select(0)  # type: ignore[no-any-return]


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time passes only while everybody waits, and then at once."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def clock() -> Clock:
    """The time of the virtual loop that runs now."""

    def now() -> float:
        return asyncio.get_running_loop().time()

    return Clock(monotonic=now, wall=lambda: EPOCH + now(), sleep=asyncio.sleep, random=lambda: 0.5)


Behaviour = Callable[["FakeEndpoint", str, list[Any]], Awaitable[Any]]


class NodeSays(Exception):  # noqa: N818
    """Raised by a behaviour: the node answers with this error object."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message, "data": data}


class HttpSays(Exception):  # noqa: N818
    """Raised by a behaviour: the whole reply is this."""

    def __init__(self, status: int, body: bytes = b"", retry_after: str | None = None) -> None:
        super().__init__(str(status))
        self.reply = Reply(status, body, retry_after)


def block_of(number: int, fork: int = 0, timestamp: int | None = None) -> dict[str, str]:
    """The block of that number on a chain where one comes every two seconds."""
    return {
        "number": hex(number),
        "hash": f"0x{fork:032x}{number:032x}",
        "parentHash": f"0x{fork:032x}{number - 1:032x}" if number else "0x" + "0" * 64,
        "timestamp": hex(int(EPOCH) - 4_000 + 2 * number if timestamp is None else timestamp),
    }


@dataclass
class FakeEndpoint:
    """An endpoint of a chain as tests want it."""

    height: int = 1_000
    chain_id: int = CHAIN_ID
    seconds: float = 0.05  # to answer
    fork: int = 0
    down: bool = False
    honours_override: bool = True
    behave: Behaviour | None = None
    bodies: list[Any] = field(default_factory=list)  # what arrived
    body: Any = None  # the one that is being answered
    times: list[float] = field(default_factory=list)  # when, once for each element

    @property
    def methods(self) -> list[str]:
        """Methods of the single requests that arrived."""
        return [body["method"] for body in self.bodies if isinstance(body, dict)]

    async def answer(self, method: str, params: list[Any]) -> Any:
        if self.behave is not None:
            result = await self.behave(self, method, params)
            if result is not NotImplemented:
                return result
        if method == "eth_chainId":
            return hex(self.chain_id)
        if method == "eth_blockNumber":
            return hex(self.height)
        if method == "eth_getBlockByNumber":
            number = int(params[0], 16)
            return block_of(number, self.fork) if number <= self.height else None
        if method == "eth_call":
            return self._call(params)
        return "0x1"

    def _call(self, params: list[Any]) -> str:
        data = bytes.fromhex(params[0]["data"][2:])
        overridden = len(params) > 2
        if overridden and not self.honours_override:
            return "0x"
        if overridden and len(data) == 32 and data[0] == 0x5A:  # the probe
            return "0x" + bytes(byte ^ 0xFF for byte in data).hex() + f"{49_970_000:064x}"
        return "0x" + data.hex()


class FakeTransport:
    """Carries requests to fake endpoints, by their URL."""

    def __init__(self, endpoints: Mapping[str, FakeEndpoint]) -> None:
        self._endpoints = endpoints

    async def post(self, address: Address, body: bytes, *, seconds: float, largest: int) -> Reply:  # noqa: ARG002
        endpoint = self._endpoints[address.reveal()]
        asked = orjson.loads(body)
        endpoint.bodies.append(asked)
        now = asyncio.get_running_loop().time()
        endpoint.times += [now] * (len(asked) if isinstance(asked, list) else 1)
        if endpoint.down:
            msg = "connection refused"
            raise TransportFault(msg)
        try:
            async with asyncio.timeout(seconds):
                await asyncio.sleep(endpoint.seconds)
                many, endpoint.body = isinstance(asked, list), asked
                answers = [await self._element(endpoint, one) for one in (asked if many else [asked])]
        except TimeoutError:
            msg = f"no answer within {seconds:g} s"
            raise TransportFault(msg) from None
        except HttpSays as said:
            return said.reply
        return Reply(200, orjson.dumps(answers if many else answers[0]))

    async def _element(self, endpoint: FakeEndpoint, asked: dict[str, Any]) -> dict[str, Any]:
        answer = {"jsonrpc": "2.0", "id": asked["id"]}
        try:
            return {**answer, "result": await endpoint.answer(asked["method"], asked["params"])}
        except NodeSays as said:
            return {**answer, "error": said.error}

    async def aclose(self) -> None:
        """Nothing to give back."""


def url(place: int) -> str:
    """URL of the fake endpoint at that place; its name is node0.example and so on."""
    return f"https://node{place}.example/v2/a-secret-key-{place}"


def node_over(
    *endpoints: FakeEndpoint,
    policy: Policy = STANDARD_POLICY,
    store: CapabilityStore | None = None,
    per_second: float = 100.0,
    confirmations: int = 0,
) -> JsonRpcNode:
    """A node over fake endpoints; to be called inside `run`."""
    return open_node(
        CHAIN_ID,
        "testchain",
        [EndpointSettings(url(place), per_second) for place in range(len(endpoints))],
        capabilities=store or MemoryCapabilityStore(),
        confirmations=confirmations,
        policy=policy,
        clock=clock(),
        transport=FakeTransport({url(place): endpoint for place, endpoint in enumerate(endpoints)}),
        pacers=Pacers(),
    )


def most_in_a_second(times: list[float]) -> int:
    """The largest number of instants within any one second."""
    ordered, first, most = sorted(times), 0, 0
    for last, time in enumerate(ordered):
        while time - ordered[first] >= 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most
