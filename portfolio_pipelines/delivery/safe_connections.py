"""Connections to hosts that users name: only to public addresses, or to networks that the operator allows.

A name is resolved once, every address that it has must be allowed, and the connection goes to one of the addresses that
were checked: what the name means a moment later does not matter (DNS rebinding). Redirects are never followed, proxies
of the environment not used. TLS names and the Host header keep the name. Belongs here: which addresses are allowed, and
how a connection is opened; requests are made in `posting`.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import httpcore

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Addresses of a host, as text."""

HTTPS_PORT: Final = 443
MOST_ADDRESSES_TRIED: Final = 4
LONGEST_URL: Final = 2_000

# Written out, because what the standard library calls global differs by version and leaves in NAT64, 6to4, multicast
# and more. Sources: the special-purpose registries of IANA for IPv4 and IPv6, RFC 6890 and its successors.
REFUSED_IPV4: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",        # this network
            "10.0.0.0/8",       # private
            "100.64.0.0/10",    # shared by carriers
            "127.0.0.0/8",      # loopback
            "169.254.0.0/16",   # link-local, and the metadata services of clouds
            "172.16.0.0/12",    # private
            "192.0.0.0/24",     # protocol assignments
            "192.0.2.0/24",     # documentation
            "192.31.196.0/24",  # AS112
            "192.52.193.0/24",  # AMT
            "192.88.99.0/24",   # 6to4 relays
            "192.168.0.0/16",   # private
            "192.175.48.0/24",  # AS112
            "198.18.0.0/15",    # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",   # documentation
            "224.0.0.0/4",      # multicast
            "240.0.0.0/4",      # reserved, broadcast
        ),
    )
)  # fmt: skip
GLOBAL_IPV6: Final = IPv6Network("2000::/3")
"""The only part of IPv6 that is routed for all; loopback, mapped, NAT64, local and multicast are outside of it."""
REFUSED_IPV6: Final = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",          # protocol assignments, Teredo among them
            "2001:db8::/32",      # documentation
            "2002::/16",          # 6to4: an IPv4 address in disguise
            "2620:4f:8000::/48",  # AS112
            "3fff::/20",          # documentation
        ),
    )
)  # fmt: skip
_HOST: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*", re.IGNORECASE)
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)


class RefusedTargetError(ValueError):
    """A target that must not be reached; the message says why, and never more than its owner knows already."""


class HostNotFoundError(RefusedTargetError):
    """The resolver knows no such host, perhaps only at this moment."""


@dataclass(frozen=True)
class TargetRules:
    """What may be reached.

    Attributes:
        allowed: Networks of the operator's own: any port, also without TLS.
    """

    allowed: tuple[Network, ...] = ()

    def is_allowed(self, address: Address) -> bool:
        """Whether the operator named its network."""
        plain = _unmapped(address)
        return any(plain.version == network.version and plain in network for network in self.allowed)

    def refusal(self, text: str, port: int, *, encrypted: bool) -> str | None:
        """Why an address must not be reached; None when it may."""
        try:
            address = ip_address(text)
        except ValueError:
            return f"{text!r} is no address"
        if self.is_allowed(address):
            return None
        if not is_public(address):
            return "it leads to an address that is not public (PORTFOLIO_WEBHOOK_ALLOW_NETWORKS lets in your own)"
        if not encrypted:
            return "outside of your own networks it must begin with https://"
        return None if port == HTTPS_PORT else f"port {port} is not open for it: use {HTTPS_PORT}"

    def checked(self, addresses: Iterable[str], port: int, *, encrypted: bool) -> list[str]:
        """The addresses of one host, of which every one may be reached.

        Raises:
            RefusedTargetError: If one of them may not, or there is none.
        """
        known = list(dict.fromkeys(addresses))
        if not known:
            msg = "its host has no address"
            raise RefusedTargetError(msg)
        for each in known:
            if (refusal := self.refusal(each, port, encrypted=encrypted)) is not None:
                raise RefusedTargetError(refusal)
        return known


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet, written as itself."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in REFUSED_IPV4)
    return (
        address.scope_id is None and address in GLOBAL_IPV6 and not any(address in network for network in REFUSED_IPV6)
    )


def url_faults(url: str) -> list[str]:
    """Everything that is wrong with how a URL is written; where it leads is decided when it is resolved."""
    if len(url) > LONGEST_URL:
        return [f"the address is longer than {LONGEST_URL} characters"]
    if not url.isascii() or any(character <= " " or character == "\x7f" or character == "\\" for character in url):
        return ["the address holds blanks, backslashes or letters outside of ASCII (write names as xn--…)"]
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        return [f"the address cannot be read: {error}"]
    faults = []
    if parts.scheme not in {"http", "https"}:
        faults.append("the address must begin with https://")
    if "@" in parts.netloc:
        faults.append("the address must not hold a user or password: the signature tells who we are")
    if parts.fragment:
        faults.append("the address must not hold a #: it would not be sent")
    if port == 0:
        faults.append("port 0 is no port")
    if (fault := _host_fault(host, bracketed="[" in parts.netloc)) is not None:
        faults.append(fault)
    return faults


async def resolve(host: str, port: int) -> Sequence[str]:
    """Ask the system's resolver.

    Raises:
        HostNotFoundError: If it knows no such host.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        msg = f"its host {host!r} is not found"
        raise HostNotFoundError(msg) from error
    return [str(entry[4][0]) for entry in found]


class SafeNetwork(httpcore.AsyncNetworkBackend):
    """Opens connections for httpcore, each to an address that was checked."""

    def __init__(
        self,
        rules: TargetRules,
        *,
        encrypted: bool,
        resolve: Resolve = resolve,
        connector: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        """Prepare; nothing is opened.

        Args:
            rules: What may be reached.
            encrypted: The connections will speak TLS.
            resolve: Asked for the addresses of each host, also of those that look like an address.
            connector: Opens the connection to an address; that of httpcore when not given.
        """
        self.rules = rules
        self.encrypted = encrypted
        self.resolve = resolve
        self.connector = connector or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve, check and connect.

        Raises:
            RefusedTargetError: If one of the host's addresses must not be reached.
            httpcore.ConnectError: If none of them answers.
        """
        addresses = self.rules.checked(await self.resolve(host, port), port, encrypted=self.encrypted)
        failure: Exception | None = None
        for address in addresses[:MOST_ADDRESSES_TRIED]:
            try:
                return await self.connector.connect_tcp(
                    address, port, timeout=timeout, local_address=local_address, socket_options=socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError()

    async def sleep(self, seconds: float) -> None:
        """Wait between attempts of httpcore."""
        await asyncio.sleep(seconds)


def _unmapped(address: Address) -> Address:
    """The IPv4 address inside ::ffff:0:0/96: an allowed network is meant in both forms."""
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def _host_fault(host: str, *, bracketed: bool) -> str | None:
    if bracketed:
        try:
            scope = IPv6Address(host).scope_id
        except ValueError:
            return f"{host!r} is no IPv6 address"
        return None if scope is None else "an address with a zone is one of this machine alone"
    bare = host.removesuffix(".")
    if not _HOST.fullmatch(bare) or len(bare) > 253:
        return "the address names no host"
    # As in the URL standard: a last part that is a number makes the whole an IPv4 address; those have many disguises.
    if _NUMBER.fullmatch(bare.rpartition(".")[2]):
        try:
            IPv4Address(host)
        except ValueError:
            return f"{host!r} is an address in disguise: write it as four decimal numbers"
    return None
