"""Reading paths below the address of an Esplora server.

Belongs here: connections, time-outs, the limit on the size of an answer. Not here: pace, tries, what answers mean.
"""

from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit, urlunsplit

from portfolio_pipelines.chains.rpc.endpoints import Address
from portfolio_pipelines.chains.rpc.transport import AnswerTooLong, Reply, TransportFault

if TYPE_CHECKING:
    import aiohttp

CONNECT_SECONDS: Final = 10.0
CONNECTIONS_PER_HOST: Final = 64


class GetTransport(Protocol):
    """How paths are read."""

    async def get(self, address: Address, path: str, *, seconds: float, largest: int) -> Reply:
        """Read a path and the whole answer.

        Args:
            address: The server; its own path and query are kept.
            path: What to read, with a leading slash.
            seconds: How long sending, waiting and reading may take together.
            largest: Bytes of an answer beyond which it is not read on.

        Raises:
            AnswerTooLong: If there are more bytes than `largest`.
            TransportFault: If nothing came, too late, or only a part. The text names no part of the URL.
        """
        ...

    async def aclose(self) -> None:
        """Give back the connections."""
        ...


class AiohttpGetTransport:
    """Connections of aiohttp, kept alive. Belongs to the event loop that it is first used in."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def get(self, address: Address, path: str, *, seconds: float, largest: int) -> Reply:
        """See `GetTransport.get`."""
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS)
        session = self._session or self._open()
        try:
            async with session.get(below(address.reveal(), path), timeout=timeout, allow_redirects=False) as response:
                body = bytearray()
                async for piece in response.content.iter_any():
                    body += piece
                    if len(body) > largest:
                        response.close()
                        msg = f"the answer has more than {largest} bytes"
                        raise AnswerTooLong(msg)
                return Reply(response.status, bytes(body), response.headers.get("Retry-After"))
        except TimeoutError:
            msg = f"no answer within {seconds:g} s"
            raise TransportFault(msg) from None
        except aiohttp.ClientPayloadError:
            msg = "the answer broke off"
            raise TransportFault(msg) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise TransportFault(type(error).__name__) from None  # its own text may hold the URL

    async def aclose(self) -> None:
        """See `GetTransport.aclose`."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> "aiohttp.ClientSession":
        import aiohttp

        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, limit_per_host=CONNECTIONS_PER_HOST),
            headers={"Accept": "application/json"},
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=True,
        )
        return self._session


def below(base: str, path: str) -> str:
    """The URL of a path below a base URL, whose own path and query (where keys may be) are kept."""
    parts = urlsplit(base)
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") + path, parts.query, ""))
