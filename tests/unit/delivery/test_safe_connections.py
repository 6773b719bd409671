"""Targets that users name: what must never be reached is not, by whatever disguise. Nothing here opens a connection."""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpcore
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.delivery.posting import Answer, NoAnswerError, open_poster
from portfolio_pipelines.delivery.safe_connections import HostNotFoundError, TargetRules, is_public, url_faults

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PUBLIC = "93.184.215.14"


class Connector(httpcore.AsyncNetworkBackend):
    """Connects to nothing: writes down where it should, and plays an answer."""

    def __init__(self, answer: bytes = OK, *, refuses: Sequence[str] = ()) -> None:
        self.answer, self.refuses = answer, refuses
        self.connected: list[tuple[str, int]] = []

    async def connect_tcp(self, host: str, port: int, **_: object) -> httpcore.AsyncNetworkStream:
        self.connected.append((host, port))
        if host in self.refuses:
            raise httpcore.ConnectError
        return httpcore.AsyncMockStream([self.answer])


def post(
    url: str,
    names: Mapping[str, Sequence[Sequence[str]]] | None = None,
    *,
    connector: Connector,
    allowed: Sequence[str] = (),
    times: int = 1,
) -> list[Answer | str]:
    """Post to a URL; `names` says what the resolver answers, each time it is asked. Refusals come back as texts."""
    asked: dict[str, int] = {}

    async def resolver(host: str, port: int) -> Sequence[str]:
        if names is not None and host in names:
            asked[host] = asked.get(host, -1) + 1
            return names[host][min(asked[host], len(names[host]) - 1)]
        try:  # what a system does with numbers, without asking anybody
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except socket.gaierror as error:
            msg = "not found"
            raise HostNotFoundError(msg) from error
        return [str(entry[4][0]) for entry in found]

    async def run() -> list[Answer | str]:
        ended: list[Answer | str] = []
        rules = TargetRules(tuple(map(ip_network, allowed)))
        async with open_poster(rules, seconds=5, resolver=resolver, connector=connector) as poster:
            for _ in range(times):
                try:
                    ended.append(await poster.post(url, {}, b"{}"))
                except NoAnswerError as error:
                    ended.append(str(error))
        return ended

    return asyncio.run(run())


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1", "017700000001", "0.0.0.0", "0",  # noqa: S104
        "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "169.254.169.254", "0xa9fea9fe",
        "192.0.0.8", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
        "239.255.255.250", "240.0.0.1", "255.255.255.255",
        "[::]", "[::1]", "[::127.0.0.1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:a9fe:a9fe]",
        "[64:ff9b::7f00:1]", "[64:ff9b::10.0.0.1]", "[64:ff9b:1::1]", "[2002:7f00:1::]", "[2002:a00:1::1]",
        "[2001::1]", "[2001:db8::1]", "[3fff::1]", "[100::1]", "[5f00::1]", "[fe80::1]", "[fec0::1]", "[fc00::1]",
        "[fd00:ec2::254]", "[ff02::1]", "[ff0e::1]", "[2620:4f:8000::1]",
    ],
)  # fmt: skip
@pytest.mark.parametrize("scheme", ["https", "http"])
def test_no_form_of_an_address_that_is_not_public_is_ever_connected_to(host: str, scheme: str) -> None:
    connector = Connector()
    (ended,) = post(f"{scheme}://{host}/hook", connector=connector)
    assert isinstance(ended, str)
    assert connector.connected == []


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (["10.0.0.7"], "a name that means a private address"),
        ([PUBLIC, "127.0.0.1"], "one of several addresses is private"),
        (["2606:2800:21f:cb07::1", "::1"], "one of several addresses is private"),
        ([PUBLIC, "fe80::1%eth0"], "an address with a zone"),
        ([PUBLIC, "not an address"], "an answer that is none"),
        ([], "a name without any address"),
    ],
)
def test_every_address_of_a_name_must_be_public(answers: Sequence[str], why: str) -> None:
    connector = Connector()
    (ended,) = post("https://hook.example/", {"hook.example": [answers]}, connector=connector)
    assert isinstance(ended, str), why
    assert connector.connected == []


def test_the_connection_goes_to_the_address_that_was_checked_whatever_the_name_means_later() -> None:
    connector = Connector()
    rebinding = {"hook.example": [[PUBLIC], ["127.0.0.1"], ["169.254.169.254"]]}
    first, second, third = post("https://hook.example/", rebinding, connector=connector, times=3)
    assert first == Answer(200, None)
    assert set(connector.connected) == {(PUBLIC, 443)}  # the first connection may be used again; no other is opened
    assert all(ended == Answer(200, None) or isinstance(ended, str) for ended in (second, third))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_the_metadata_address_is_an_answer_and_not_followed(status: int) -> None:
    target = b"http://169.254.169.254/latest/meta-data/"
    connector = Connector(b"HTTP/1.1 %d Moved\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % (status, target))
    (ended,) = post("https://hook.example/", {"hook.example": [[PUBLIC]]}, connector=connector)
    assert ended == Answer(status, None)
    assert connector.connected == [(PUBLIC, 443)]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://hook.example:8443/", "port 8443"),
        ("https://hook.example:22/", "port 22"),
        ("http://hook.example/", "https://"),
        ("http://hook.example:443/", "https://"),
    ],
)
def test_public_receivers_are_reached_by_https_on_its_own_port_alone(url: str, reason: str) -> None:
    connector = Connector()
    (ended,) = post(url, {"hook.example": [[PUBLIC]]}, connector=connector)
    assert isinstance(ended, str)
    assert reason in ended
    assert connector.connected == []


@pytest.mark.parametrize("answer", ["10.1.2.3", "::ffff:10.1.2.3"])
def test_networks_that_the_operator_allows_are_reached_on_any_port_without_tls(answer: str) -> None:
    names = {"hook.internal": [[answer]]}
    connector = Connector()
    assert post("http://hook.internal:8080/", names, connector=connector, allowed=["10.1.0.0/16"]) == [
        Answer(200, None)
    ]
    assert connector.connected == [(answer, 8080)]
    connector = Connector()
    (ended,) = post("http://hook.internal:8080/", names, connector=connector, allowed=["10.2.0.0/16", "fd00::/8"])
    assert isinstance(ended, str)
    assert connector.connected == []


def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    connector = Connector(refuses=["2606:2800:21f:cb07::1"])
    names = {"hook.example": [["2606:2800:21f:cb07::1", PUBLIC]]}
    assert post("https://hook.example/", names, connector=connector) == [Answer(200, None)]
    assert connector.connected == [("2606:2800:21f:cb07::1", 443), (PUBLIC, 443)]


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:3128")
    connector = Connector()
    assert post("https://hook.example/", {"hook.example": [[PUBLIC]]}, connector=connector) == [Answer(200, None)]
    assert connector.connected == [(PUBLIC, 443)]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://hook.example/", "file:///etc/passwd", "gopher://hook.example/", "unix:///run/x.sock", "hook.example/x",
        "//hook.example", "https://", "https:///x", "https://user@hook.example/", "https://user:secret@hook.example/",
        "https://hook.example/#part", "https://hook.example:0/", "https://hook.example:99999/", "https://hook.example:x/",
        "https://2130706433/", "https://0x7f000001/", "https://127.1/", "https://0177.0.0.1/", "https://127.0.0.1./",
        "https://1.2.3/", "https://1.2.3.4.5/", "https://256.1.1.1/", "https://hook.0x1/",
        "https://１２７.０.０.１/", "https://ⓛocalhost/", "https://hook。example/", "https://hook.example\\@127.0.0.1/",
        "https://hook.example/\r\nHost: x", "https://hook.example/ x", "https://hook.example/\x00", "https://[::1/",
        "https://[fe80::1%25eth0]/", "https://[::1%lo]/", "https://[hook.example]/", "https://-x.example/",
        "https://a..b/", "https://hook_x.example/", "https://hook.example/" + "x" * 2000,
    ],
)  # fmt: skip
def test_a_url_that_could_mean_two_things_is_refused_as_it_is_written(url: str) -> None:
    assert url_faults(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://hook.example/path?key=value&other=%20", "https://hook.example.:443/", "https://xn--bcher-kva.example/",
        "https://93.184.215.14/", "https://[2606:2800:21f:cb07::1]:8443/x", "http://HOOK.internal:8080/",
    ],
)  # fmt: skip
def test_an_honest_url_is_taken(url: str) -> None:
    assert url_faults(url) == []


def test_faults_of_a_url_are_told_all_at_once_and_repeat_no_password() -> None:
    faults = url_faults("ftp://ann:hunter2@127.1/#x")
    assert len(faults) == 4
    assert "hunter2" not in "".join(faults)


@given(st.ip_addresses(v=4))
def test_what_the_library_calls_private_is_never_public_to_us(address: IPv4Address) -> None:
    assert not (address.is_private and is_public(address))
    assert not (is_public(address) and is_public(ip_address(f"::ffff:{address}")))


@given(st.ip_addresses(v=6))
def test_ipv6_is_public_only_where_it_is_routed_for_all(address: IPv6Address) -> None:
    assert not is_public(address) or (int(address) >> 125 == 1 and not address.is_private)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "172.15.255.255", "172.32.0.0", "2606:4700::1111", "2a00::1"]
)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ip_address(address))
