"""Real HTTP servers in front of real nodes that fail as providers do, and count what arrives.

`with FaultyProxies() as proxies: proxy = proxies.in_front_of(chain.url)`; then readers use `proxy.url`, and
`proxy.fault = refusing(429, retry_after="60")` changes how it behaves from the next request on. All proxies of one
`FaultyProxies` run in one thread of their own, so tests may be synchronous or not.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Self, TypeVar

import aiohttp
import orjson
from aiohttp import web

T = TypeVar("T")

PATIENCE_SECONDS = 30.0  # a test that waits longer for a proxy has failed
MILLION = 1_000_000

Fault = Callable[["FaultyProxy", web.Request, bytes], Awaitable[web.StreamResponse]]


class FaultyProxy:
    """One server in front of one node.

    `arrivals` holds the instant (monotonic seconds) of every request, one for each element of a batch; `methods` what
    they asked.
    """

    def __init__(self, proxies: "FaultyProxies", target: str | None) -> None:
        self._proxies, self._target = proxies, target
        self.url = ""
        self.fault: Fault | None = None
        self.arrivals: list[float] = []
        self.methods: list[str] = []
        self._held = threading.Semaphore(0)
        self._released: asyncio.Event | None = None

    async def forward(self, body: bytes) -> tuple[int, bytes]:
        """What the node itself answers: HTTP status and body."""
        if self._target is None:
            return 200, b""
        try:
            async with self._proxies.session.post(self._target, data=body, headers=JSON) as response:
                return response.status, await response.read()
        except aiohttp.ClientError:
            return 502, b"<html>bad gateway</html>"

    def wait_until_held(self) -> None:
        """Wait until a request is being held (see `held`)."""
        assert self._held.acquire(timeout=PATIENCE_SECONDS), "no request came to be held"

    def release(self) -> None:
        """Let held requests, now and from now on, go through."""
        self._proxies.run(self._release())

    async def hold(self) -> None:
        """Until `release`."""
        self._released = self._released or asyncio.Event()
        self._held.release()
        await self._released.wait()

    async def _release(self) -> None:
        self._released = self._released or asyncio.Event()
        self._released.set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        body = await request.read()
        asked = orjson.loads(body)
        elements = asked if isinstance(asked, list) else [asked]
        self.arrivals += [time.monotonic()] * len(elements)
        self.methods += [element["method"] for element in elements]
        if self.fault is not None:
            return await self.fault(self, request, body)
        status, answer = await self.forward(body)
        return web.Response(status=status, body=answer, content_type="application/json")


class FaultyProxies:
    """A thread with an event loop in which proxies live."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="faulty proxies", daemon=True)
        self._runners: list[web.AppRunner] = []
        self.session: aiohttp.ClientSession

    def __enter__(self) -> Self:
        self._thread.start()
        self.session = self.run(_session())
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def in_front_of(self, target: str | None) -> FaultyProxy:
        """A proxy of the node at a URL; without one it has nothing to give but faults."""
        return self.run(self._start(FaultyProxy(self, target)))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something in the thread of the proxies and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS)

    async def _start(self, proxy: FaultyProxy) -> FaultyProxy:
        application = web.Application(client_max_size=1 << 26)
        application.router.add_post("/{path:.*}", proxy.handle)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        self._runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        proxy.url = f"http://{host}:{port}/"
        return proxy

    async def _close(self) -> None:
        await asyncio.gather(*(runner.cleanup() for runner in self._runners))
        await self.session.close()


async def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession()


JSON = {"Content-Type": "application/json"}


def refusing(status: int, *, retry_after: str | None = None, body: bytes = b"") -> Fault:
    """Every request gets this status."""
    headers = {} if retry_after is None else {"Retry-After": retry_after}

    async def fault(_: FaultyProxy, __: web.Request, ___: bytes) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers=headers)

    return fault


async def html(_: FaultyProxy, __: web.Request, ___: bytes) -> web.StreamResponse:
    """A page instead of an answer, and all is well."""
    return web.Response(text="<!doctype html><title>We will be back soon</title>", content_type="text/html")


async def held(proxy: FaultyProxy, _: web.Request, body: bytes) -> web.StreamResponse:
    """Right, but only when the test says `release`: as slow as it takes."""
    await proxy.hold()
    status, answer = await proxy.forward(body)
    return web.Response(status=status, body=answer, content_type="application/json")


def lying_height(blocks: int = MILLION) -> Fault:
    """The node claims to be so many blocks further than it is."""

    async def fault(proxy: FaultyProxy, _: web.Request, body: bytes) -> web.StreamResponse:
        asked = orjson.loads(body)
        status, answer = await proxy.forward(body)
        said = orjson.loads(answer)
        for question, reply in zip(*(x if isinstance(x, list) else [x] for x in (asked, said)), strict=True):
            if question["method"] == "eth_blockNumber":
                reply["result"] = hex(max(int(reply["result"], 16) + blocks, 0))
        return web.Response(status=status, body=orjson.dumps(said), content_type="application/json")

    return fault


async def dropped(_: FaultyProxy, request: web.Request, __: bytes) -> web.StreamResponse:
    """The connection is gone before anything came."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def broken_off(proxy: FaultyProxy, request: web.Request, body: bytes) -> web.StreamResponse:
    """The connection is gone after half of the announced answer."""
    status, answer = await proxy.forward(body)
    response = web.StreamResponse(status=status, headers={**JSON, "Content-Length": str(len(answer))})
    await response.prepare(request)
    await response.write(answer[: len(answer) // 2])
    assert request.transport is not None
    request.transport.close()
    return response


async def truncated(proxy: FaultyProxy, _: web.Request, body: bytes) -> web.StreamResponse:
    """Proper HTTP around half an answer."""
    status, answer = await proxy.forward(body)
    return web.Response(status=status, body=answer[: len(answer) // 2], content_type="application/json")


def oversized(length: int, *, announced: bool) -> Fault:
    """An answer that goes on and on."""

    async def fault(_: FaultyProxy, request: web.Request, __: bytes) -> web.StreamResponse:
        headers = {**JSON, "Content-Length": str(length)} if announced else JSON
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        try:
            for _piece in range(length >> 16):
                await response.write(b"0" * (1 << 16))
        except ConnectionError:
            pass  # the reader had enough
        return response

    return fault


def most_in_a_second(instants: list[float]) -> int:
    """The largest number of instants within any one second."""
    ordered, first, most = sorted(instants), 0, 0
    for last, instant in enumerate(ordered):
        while instant - ordered[first] >= 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most
