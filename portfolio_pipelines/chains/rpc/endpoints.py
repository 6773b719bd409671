"""Endpoints of a chain: their addresses, and what of them may be shown.

Belongs here: names of endpoints and the removal of secrets from texts. Not here: talking to them (`transport`).

A URL of a provider mostly carries an API key: in its path, its query, its user part, sometimes in a label of its
host. Nothing here shows more of a URL than its host and port, and what a node says about our request is cleaned of
the other parts before it becomes an error.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final
from urllib.parse import unquote, urlsplit

DEFAULT_REQUESTS_PER_SECOND: Final = 100.0
SHORTEST_SECRET: Final = 8  # shorter parts of a path ("v3", "mainnet") are words, not keys
HIDDEN: Final = "***"

_KEY_IN_HOST: Final = re.compile(r"(?=[^.]*\d)[0-9a-z-]{24,}")  # long, with digits: a key, not a word


class Address:
    """The URL of an endpoint, which never shows itself: only `reveal` gives it, and only a transport asks for it."""

    __slots__ = ("_secrets", "_url", "host", "is_local")

    def __init__(self, url: str) -> None:
        """Take a URL.

        Args:
            url: http or https, with a host.

        Raises:
            ValueError: If it is none; the message names no more than the host.
        """
        self._url = url.strip()
        try:
            parts = urlsplit(self._url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            msg = "an endpoint has a URL that cannot be read"
            raise ValueError(msg) from None
        if parts.scheme not in {"http", "https"} or not host:
            msg = f"an endpoint needs an http or https URL with a host, not {parts.scheme or 'no scheme'}://{host}"
            raise ValueError(msg)
        shown = ".".join(HIDDEN if _KEY_IN_HOST.fullmatch(label) else label for label in host.lower().split("."))
        self.host = f"[{shown}]" if ":" in shown else shown
        if port is not None:
            self.host += f":{port}"
        self.is_local = _is_loopback(host)
        pieces = [*parts.path.split("/"), *re.split("[&=]", parts.query), parts.username or "", parts.password or ""]
        pieces += [label for label in host.split(".") if _KEY_IN_HOST.fullmatch(label)]
        spellings = {*pieces, *(unquote(piece) for piece in pieces)}
        self._secrets = sorted((piece for piece in spellings if len(piece) >= SHORTEST_SECRET), key=len, reverse=True)

    def reveal(self) -> str:
        """The URL itself, with its secrets."""
        return self._url

    def hide(self, text: str) -> str:
        """The text without any part of this URL that could be a secret."""
        text = text.replace(self._url, self.host)
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text

    def __repr__(self) -> str:
        return f"Address({self.host})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and other._url == self._url

    def __hash__(self) -> int:
        return hash(self._url)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """What is configured about one endpoint.

    Args:
        url: http or https, secrets included.
        requests_per_second: Pace that its plan allows; every element of a batch counts.
    """

    url: str = field(repr=False)
    requests_per_second: float = DEFAULT_REQUESTS_PER_SECOND


def names_of(addresses: Sequence[Address]) -> list[str]:
    """Name of each endpoint of a chain: its host, with #1, #2 ... behind it where several share one."""
    shared = Counter(address.host for address in addresses)
    seen: Counter[str] = Counter()
    names = []
    for address in addresses:
        seen[address.host] += 1
        names.append(address.host if shared[address.host] == 1 else f"{address.host}#{seen[address.host]}")
    return names
