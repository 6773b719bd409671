"""A real HTTP server on this machine for tests of clients, and a clock that does not wait."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from portfolio_pipelines.chains.rpc.policy import Clock


@dataclass
class Answer:
    """What a handler says."""

    body: bytes | str | dict[str, Any] | list[Any]
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None  # bytes after which the connection breaks, though all of them were announced


Handler = Callable[[str, bytes], Awaitable[Answer]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """Serve `handler(path with query, body)`; gives the URL of the server."""

    async def respond(request: web.Request) -> web.StreamResponse:
        answer = await handler(request.path_qs, await request.read())
        body = answer.body
        if isinstance(body, dict | list):
            body = json.dumps(body)
        data = body.encode() if isinstance(body, str) else body
        if answer.cut_after is None:
            return web.Response(body=data, status=answer.status, headers=answer.headers)
        stream = web.StreamResponse(status=answer.status, headers={"Content-Length": str(len(data))})
        await stream.prepare(request)
        await stream.write(data[: answer.cut_after])
        assert request.transport is not None
        request.transport.close()
        return stream

    application = web.Application(client_max_size=1 << 26)
    application.router.add_route("*", "/{path:.*}", respond)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


def virtual_clock() -> Clock:
    """A clock that sleeping moves on, in no time."""
    time = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal time
        time += seconds
        await asyncio.sleep(0)

    return Clock(monotonic=lambda: time, wall=lambda: time, sleep=sleep, random=lambda: 0.5)
