"""POST requests to receivers of messages: one answer or one failure, within one time limit.

Belongs here: the connections and how failures are named. What is posted is decided in `channels`, which addresses
may be reached in `safe_connections`.
"""

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpcore

from portfolio_pipelines.delivery.safe_connections import (
    HostNotFoundError,
    RefusedTargetError,
    Resolve,
    SafeNetwork,
    TargetRules,
    resolve,
)

CONNECTIONS_A_RECEIVER: Final = 8
RECEIVERS_KEPT: Final = 32
"""Receivers whose connections are kept for the next request."""
MOST_READ: Final = 65_536
"""Bytes of an answer that are read so that its connection can be used again; nobody looks at them."""
SECONDS_FOR_BODY: Final = 2.0
LONGEST_WAIT: Final = timedelta(days=1)
"""A Retry-After beyond it is taken as this."""


@dataclass(frozen=True)
class Answer:
    """What a receiver said.

    Attributes:
        status: HTTP status.
        wait: How long it asks us to wait (Retry-After); None when it does not.
    """

    status: int
    wait: timedelta | None


class NoAnswerError(Exception):
    """Nobody answered, or what did was no HTTP; the message says how it ended.

    Attributes:
        was_refused: The address must not be reached; trying again helps only once a setting or the name changes.
    """

    def __init__(self, reason: str, *, was_refused: bool = False) -> None:
        super().__init__(reason)
        self.was_refused = was_refused


class Poster:
    """Posts to receivers over connections that are kept while it is open."""

    def __init__(self, make_pool: Callable[[bool], httpcore.AsyncConnectionPool], seconds: float) -> None:
        """Prepare; nothing is opened.

        Args:
            make_pool: Makes the connections of one URL; told whether they are encrypted. Each URL has a pool of its
                own, so that one which hangs takes no connection from others at the same host; and a pool of httpcore
                looks at all its connections for each request.
            seconds: Time for one request, from resolving to the status of the answer.
        """
        self._make_pool = make_pool
        self._seconds = seconds
        self._pools: OrderedDict[str, _Connections] = OrderedDict()

    async def post(self, url: str, headers: Mapping[str, str], content: bytes) -> Answer:
        """Post once; redirects are answers like any other.

        Args:
            url: Whose form was checked (`safe_connections.url_faults`).
            headers: Latin-1 texts without line breaks.
            content: The body.

        Raises:
            NoAnswerError: If there was no answer in time.
        """
        sent = [("Host", urlsplit(url).netloc), *headers.items(), ("Content-Length", str(len(content)))]
        request = httpcore.Request("POST", url, headers=sent, content=content)
        async with self._connections(url) as pool:
            try:
                async with asyncio.timeout(self._seconds):
                    response = await pool.handle_async_request(request)
            except (TimeoutError, httpcore.TimeoutException) as error:
                msg = f"no answer within {self._seconds:g} seconds"
                raise NoAnswerError(msg) from error
            except RefusedTargetError as error:
                raise NoAnswerError(str(error), was_refused=not isinstance(error, HostNotFoundError)) from error
            except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError, OSError) as error:
                raise NoAnswerError(_reason(error)) from error
            answer = Answer(response.status, _wait(response.headers))
            await _finish(response)
            return answer

    async def close(self) -> None:
        """Close all connections."""
        while self._pools:
            await self._pools.popitem()[1].pool.aclose()

    @asynccontextmanager
    async def _connections(self, url: str) -> AsyncIterator[httpcore.AsyncConnectionPool]:
        """The connections of a URL; those that were not used for longest are closed when there are many."""
        if url not in self._pools:
            self._pools[url] = _Connections(self._make_pool(urlsplit(url).scheme == "https"))
        kept = self._pools[url]
        self._pools.move_to_end(url)
        kept.users += 1
        try:
            yield kept.pool
        finally:
            kept.users -= 1
            idle = [key for key, each in self._pools.items() if each.users == 0]
            for old in idle[: max(len(self._pools) - RECEIVERS_KEPT, 0)]:
                await self._pools.pop(old).pool.aclose()


@dataclass
class _Connections:
    pool: httpcore.AsyncConnectionPool
    users: int = 0


@asynccontextmanager
async def open_poster(
    rules: TargetRules | None,
    *,
    seconds: float,
    ca_file: Path | None = None,
    resolver: Resolve = resolve,
    connector: httpcore.AsyncNetworkBackend | None = None,
) -> AsyncIterator[Poster]:
    """Open a poster whose connections all keep to the rules.

    Args:
        rules: What may be reached; None for receivers that the operator names in the settings.
        seconds: Time for one request, from resolving to the status of the answer.
        ca_file: Certificate authorities beside the usual ones.
        resolver: Asked for the addresses of hosts.
        connector: Opens connections to addresses.
    """

    def make_pool(encrypted: bool) -> httpcore.AsyncConnectionPool:
        safe = rules and SafeNetwork(rules, encrypted=encrypted, resolve=resolver, connector=connector)
        return httpcore.AsyncConnectionPool(
            ssl_context=_trusting(ca_file) if encrypted else None,
            max_connections=CONNECTIONS_A_RECEIVER,
            keepalive_expiry=30,
            network_backend=safe or connector,
        )

    poster = Poster(make_pool, seconds)
    try:
        yield poster
    finally:
        await poster.close()


@lru_cache(maxsize=2)
def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    """What certificates are checked with; reading the usual authorities takes a tenth of a second, so once only."""
    context = httpcore.default_ssl_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


async def _finish(response: httpcore.Response) -> None:
    """Read the rest, so that the connection can be used again; how that goes does not change what was answered."""
    with suppress(TimeoutError, httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError):
        async with asyncio.timeout(SECONDS_FOR_BODY):
            read = 0
            async for part in response.aiter_stream():
                read += len(part)
                if read > MOST_READ:
                    break
    with suppress(httpcore.NetworkError, httpcore.ProtocolError, OSError):
        await response.aclose()


def _wait(headers: list[tuple[bytes, bytes]]) -> timedelta | None:
    """Retry-After as seconds or as a date, RFC 9110 10.2.3; None when it is missing or makes no sense."""
    text = next((value.decode("latin-1").strip() for name, value in headers if name.lower() == b"retry-after"), "")
    if text.isdecimal() and text.isascii():
        return min(timedelta(seconds=min(int(text[:9]), 10**6)), LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(moment - datetime.now(UTC), timedelta()), LONGEST_WAIT)


def _reason(error: Exception) -> str:
    """How the conversation ended, without addresses: they may be those of a network that the owner cannot see."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return "it speaks no TLS that we understand"
        if isinstance(cause, ConnectionRefusedError):
            return "it refuses the connection"
        if isinstance(cause, ConnectionResetError | BrokenPipeError):
            return "it broke the connection"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpcore.ConnectError):
        return "it cannot be reached"
    return "it ended the conversation without an answer"
