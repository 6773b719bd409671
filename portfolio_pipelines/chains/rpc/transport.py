"""Bytes to an endpoint and back. What they mean is the business of `client`.

Belongs here: connections, their reuse, time-outs, the limit on the size of an answer. Not here: pace, tries, JSON.
"""
# ruff: noqa: N818 (see errors)

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol
from urllib.request import getproxies, proxy_bypass

from portfolio_pipelines.chains.rpc.endpoints import Address

if TYPE_CHECKING:
    import aiohttp

CONNECTIONS_PER_HOST: Final = 64
CONNECT_SECONDS: Final = 10.0
KEEP_ALIVE_SECONDS: Final = 30.0
NAME_LOOKUP_SECONDS: Final = 300
READ_BUFFER_BYTES: Final = 1 << 20  # answers of megabytes arrive in few pieces


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    status: int
    body: bytes
    retry_after: str | None = None


class TransportFault(Exception):
    """Nothing usable came back. The text names neither the URL nor anything of it."""


class AnswerTooLong(TransportFault):
    """The answer is longer than we are ready to hold."""


class Transport(Protocol):
    """How requests reach an endpoint."""

    async def post(self, address: Address, body: bytes, *, seconds: float, largest: int) -> Reply:
        """Send a JSON body and read the whole answer.

        Args:
            address: Where to.
            body: JSON.
            seconds: How long sending, waiting and reading may take together.
            largest: Bytes of an answer, after decompression, beyond which it is not read on.

        Raises:
            AnswerTooLong: If there are more bytes than `largest`.
            TransportFault: If nothing came, too late, or only a part.
        """
        ...

    async def aclose(self) -> None:
        """Give back the connections."""
        ...


class AiohttpTransport:
    """Connections of aiohttp, kept alive and shared by all chains that were given this object."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._proxies: dict[Address, str | None] = {}

    async def post(self, address: Address, body: bytes, *, seconds: float, largest: int) -> Reply:
        """See `Transport.post`."""
        import aiohttp

        session = self._session or self._open()
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS)
        try:
            async with session.post(
                address.reveal(), data=body, timeout=timeout, proxy=self._proxy(address), allow_redirects=False
            ) as response:
                announced = response.content_length
                if announced is not None and announced > largest:
                    msg = f"the answer has {announced} bytes, more than {largest}"
                    raise AnswerTooLong(msg)
                return Reply(response.status, await _read(response, largest), response.headers.get("Retry-After"))
        except TimeoutError:
            msg = f"no answer within {seconds:g} s"
            raise TransportFault(msg) from None
        except aiohttp.ClientPayloadError:
            msg = "the answer broke off"
            raise TransportFault(msg) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise TransportFault(_in_words(error)) from None  # its own text may hold the URL

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> "aiohttp.ClientSession":
        import aiohttp

        connector = aiohttp.TCPConnector(
            limit=0,
            limit_per_host=CONNECTIONS_PER_HOST,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            ttl_dns_cache=NAME_LOOKUP_SECONDS,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers={"Content-Type": "application/json", "Accept": "application/json"},
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=READ_BUFFER_BYTES,
        )
        return self._session

    def _proxy(self, address: Address) -> str | None:
        """The proxy that the environment names for this address; a node on this machine is reached directly."""
        if address.is_local:
            return None
        if address not in self._proxies:
            scheme = address.reveal().partition(":")[0]
            host = address.reveal().split("://", 1)[1].split("/", 1)[0].rpartition("@")[2]
            self._proxies[address] = None if proxy_bypass(host) else getproxies().get(scheme)
        return self._proxies[address]


async def _read(response: "aiohttp.ClientResponse", largest: int) -> bytes:
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > largest:
            response.close()
            msg = f"the answer has more than {largest} bytes"
            raise AnswerTooLong(msg)
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _in_words(error: Exception) -> str:
    reason = getattr(error, "strerror", None) or getattr(getattr(error, "os_error", None), "strerror", None)
    return f"{type(error).__name__}: {reason}" if isinstance(reason, str) else type(error).__name__


class _Shared:
    """The transport of one event loop and how many nodes use it."""

    def __init__(self) -> None:
        self.transport = AiohttpTransport()
        self.users = 0


_SHARED: "dict[asyncio.AbstractEventLoop, _Shared]" = {}


class SharedTransport:
    """The connections that all nodes of an event loop share; closed when the last of them gives them back."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    async def post(self, address: Address, body: bytes, *, seconds: float, largest: int) -> Reply:
        """See `Transport.post`."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None:
                msg = "a node belongs to the event loop that it was first used in"
                raise RuntimeError(msg)
            for finished in [other for other in _SHARED if other.is_closed()]:
                _SHARED.pop(finished, None)
            self._loop = loop
            _SHARED.setdefault(loop, _Shared()).users += 1
        return await _SHARED[loop].transport.post(address, body, seconds=seconds, largest=largest)

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        loop, self._loop = self._loop, None
        shared = _SHARED.get(loop) if loop is not None else None
        if shared is None or loop is None:
            return
        shared.users -= 1
        if shared.users == 0:
            del _SHARED[loop]
            await shared.transport.aclose()
