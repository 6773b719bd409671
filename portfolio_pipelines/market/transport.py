"""What the HTTP libraries raise, told apart once: no connection, silence, or a status.

Belongs here: translating the exceptions of requests, httpx and curl_cffi. Their texts are never passed on: they contain
whole addresses. Not here: what to do about a failure (`conversation`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from portfolio_pipelines.market.conversation import NoAnswerError

LONGEST_CONNECT_SECONDS: Final = 5.0  # a network without a route answers nothing: do not wait longer to learn that


def connect_timeout(timeout_seconds: float) -> float:
    """Seconds to wait for a connection when a reply may take `timeout_seconds`."""
    return min(timeout_seconds, LONGEST_CONNECT_SECONDS)


def checked_url(url: str, provider: str) -> str:
    """The base URL without a slash at its end.

    Raises:
        ValueError: If it is not an http or https address.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        msg = f"the URL of {provider} must begin with http:// or https:// and name a host: {url!r}"
        raise ValueError(msg)
    return url.rstrip("/")


@contextmanager
def requests_failures() -> Iterator[None]:
    """Turn what requests (under pycoingecko) raises into NoAnswerError."""
    from requests import exceptions
    from urllib3.exceptions import ProtocolError

    try:
        yield
    except exceptions.JSONDecodeError:
        raise
    except exceptions.ConnectTimeout as error:
        raise unreached(error) from error
    except (exceptions.Timeout, exceptions.ChunkedEncodingError, exceptions.ContentDecodingError) as error:
        raise silent(error) from error
    except exceptions.ConnectionError as error:
        broken = bool(error.args) and isinstance(error.args[0], ProtocolError)  # connected, then cut off
        raise (silent(error) if broken else unreached(error)) from error
    except exceptions.RequestException as error:
        raise unreached(error) from error


@contextmanager
def httpx_failures() -> Iterator[None]:
    """Turn what httpx raises into NoAnswerError."""
    import httpx

    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.UnsupportedProtocol) as error:
        raise unreached(error) from error
    except httpx.HTTPError as error:
        raise silent(error) from error


@contextmanager
def yahoo_failures() -> Iterator[None]:
    """Turn what yfinance's HTTP library (curl_cffi, else requests: the same names) raises into NoAnswerError."""
    from yfinance._http import requests as backend

    try:
        yield
    except (
        backend.exceptions.ConnectTimeout,
        backend.exceptions.ConnectionError,
        backend.exceptions.ProxyError,
    ) as error:
        raise unreached(error) from error
    except backend.exceptions.RequestException as error:
        raise silent(error) from error


def unreached(error: Exception) -> NoAnswerError:
    """No connection came about."""
    return NoAnswerError(f"no connection ({type(error).__name__}); check the network and the URL", connected=False)


def silent(error: Exception) -> NoAnswerError:
    """A connection came about, a whole reply did not."""
    return NoAnswerError(f"no reply in time, or a broken one ({type(error).__name__})", connected=True)
