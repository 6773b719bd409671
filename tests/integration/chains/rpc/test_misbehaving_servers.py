"""The client against real HTTP servers on this machine that fail in every way we know."""

import asyncio
from collections.abc import Iterator

import orjson
import pytest
from aiohttp import web

from portfolio_pipelines.chains.protocols.calls import call_many, view
from portfolio_pipelines.chains.rpc.capabilities import MemoryCapabilityStore
from portfolio_pipelines.chains.rpc.client import JsonRpcNode, open_node
from portfolio_pipelines.chains.rpc.endpoints import EndpointSettings
from portfolio_pipelines.chains.rpc.errors import BadAnswer, RateLimited, RpcError, TooMuch, Unreachable
from portfolio_pipelines.chains.rpc.policy import Policy
from tests.contracts.anvil import MULTICALL3, Anvil
from tests.contracts.faulty_proxy import (
    Fault,
    FaultyProxies,
    FaultyProxy,
    broken_off,
    dropped,
    held,
    html,
    most_in_a_second,
    oversized,
    refusing,
    truncated,
)

CHAIN_ID = 31337
QUICK = Policy(
    first_backoff_seconds=0.001,
    longest_backoff_seconds=0.002,
    circuit_first_seconds=0.01,
    circuit_patience_seconds=0.0,
    largest_answer_bytes=1 << 20,
    hedge_first_seconds=0.05,
    hedge_late_seconds=0.1,
)
FAULTS: dict[str, tuple[Fault, type[RpcError], str]] = {
    "a 502": (refusing(502), Unreachable, "HTTP 502"),
    "a page": (html, Unreachable, "not JSON"),
    "half an answer": (truncated, BadAnswer, "cut off"),
    "a connection that breaks": (broken_off, Unreachable, "broke off"),
    "no connection": (dropped, Unreachable, "ServerDisconnectedError"),
    "too much, announced": (oversized(4 << 20, announced=True), BadAnswer, "more than 1048576"),
    "too much, flowing": (oversized(4 << 20, announced=False), BadAnswer, "more than 1048576"),
    "a redirect": (refusing(302), Unreachable, "HTTP 302"),
}


@pytest.fixture(scope="module")
def proxies() -> Iterator[FaultyProxies]:
    with FaultyProxies() as running:
        yield running


@pytest.fixture
def proxy(proxies: FaultyProxies, session_chain: Anvil) -> FaultyProxy:
    return proxies.in_front_of(session_chain.url)


def node_at(*urls: str, policy: Policy = QUICK, per_second: float = 1_000.0) -> JsonRpcNode:
    return open_node(
        CHAIN_ID,
        "local",
        [EndpointSettings(url, per_second) for url in urls],
        capabilities=MemoryCapabilityStore(),
        policy=policy,
    )


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_an_error_that_names_chain_and_endpoint(name: str, proxy: FaultyProxy) -> None:
    fault, kind, words = FAULTS[name]

    async def main() -> None:
        async with node_at(proxy.url) as node:
            assert await node.request("eth_chainId", []) == hex(CHAIN_ID)
            proxy.fault = fault
            for asked in (node.request("eth_gasPrice", []), node.eth_call("0x" + "11" * 20, b"", 0), node.block(0)):
                with pytest.raises(RpcError) as caught:
                    await asked
                assert str(caught.value).startswith(f"local at {proxy.url[7:-1]}: ")
            assert words in (node.health()[0].last_error or "")
            assert type(caught.value) is kind or "left alone" in str(caught.value)

    asyncio.run(main())


async def other_tokens(proxy: FaultyProxy, _: web.Request, body: bytes) -> web.StreamResponse:
    """The node itself, except that calls of contracts give words that nobody asked for."""
    status, answer = await proxy.forward(body)
    asked, said = orjson.loads(body), orjson.loads(answer)
    if isinstance(asked, dict) and asked["method"] == "eth_call":
        said = {"jsonrpc": "2.0", "id": asked["id"], "result": "0x" + "ab" * 96}
    return web.Response(status=status, body=orjson.dumps(said), content_type="application/json")


def test_an_answer_that_only_its_reader_finds_untrue_is_charged_to_the_endpoint_that_gave_it(
    proxy: FaultyProxy, proxies: FaultyProxies, session_chain: Anvil
) -> None:
    other = proxies.in_front_of(session_chain.url)
    proxy.fault, other.fault = refusing(502), other_tokens

    async def main() -> None:
        async with node_at(proxy.url, other.url) as node:
            block = await node.block()
            calls = [view(MULTICALL3, "getChainId()"), view(MULTICALL3, "getBasefee()")]
            with pytest.raises(BadAnswer, match="aggregate3") as caught:
                await call_many(node, calls, block, multicall3=MULTICALL3)
        assert caught.value.endpoint == other.url[7:-1]

    asyncio.run(main())


@pytest.mark.parametrize("name", FAULTS)
def test_behind_each_fault_another_endpoint_answers(
    name: str, proxy: FaultyProxy, proxies: FaultyProxies, session_chain: Anvil
) -> None:
    other = proxies.in_front_of(session_chain.url)

    async def main() -> None:
        async with node_at(proxy.url, other.url) as node:
            await node.block()
            proxy.fault = FAULTS[name][0]
            results = await asyncio.gather(*(node.request("eth_chainId", []) for _ in range(20)))
            assert results == [hex(CHAIN_ID)] * 20

    asyncio.run(main())


def test_a_node_that_is_not_there_is_unreachable_and_says_so() -> None:
    async def main() -> None:
        async with node_at("http://127.0.0.1:9/secret-key-of-mine") as node:
            with pytest.raises(Unreachable, match=r"local at 127\.0\.0\.1:9: .*ClientConnectorError") as caught:
                await node.block()
        assert "secret" not in f"{caught.value} {caught.value.__cause__} {caught.value.__context__}"

    asyncio.run(main())


def test_a_logs_answer_that_is_too_long_asks_for_less(proxy: FaultyProxy) -> None:
    async def main() -> None:
        async with node_at(proxy.url) as node:
            await node.block()
            proxy.fault = oversized(4 << 20, announced=True)
            with pytest.raises(TooMuch):
                await node.request("eth_getLogs", [{"fromBlock": "0x0", "toBlock": "0x0"}])

    asyncio.run(main())


def test_a_pause_asked_for_by_header_reaches_the_caller_and_is_kept(proxy: FaultyProxy) -> None:
    async def main() -> None:
        async with node_at(proxy.url) as node:
            await node.block()
            proxy.fault = refusing(429, retry_after="3600")
            with pytest.raises(RateLimited) as caught:
                await node.request("eth_gasPrice", [])
            assert caught.value.retry_after == pytest.approx(3600, abs=5)
            proxy.fault = None
            before = len(proxy.arrivals)
            with pytest.raises(RateLimited):
                await node.request("eth_gasPrice", [])
            assert len(proxy.arrivals) == before

    asyncio.run(main())


def test_a_slow_endpoint_is_overtaken_while_it_still_thinks(
    proxy: FaultyProxy, proxies: FaultyProxies, session_chain: Anvil
) -> None:
    other = proxies.in_front_of(session_chain.url)

    async def main() -> None:
        async with node_at(proxy.url, other.url) as node:
            await asyncio.gather(*(node.request("eth_chainId", []) for _ in range(30)))
            proxy.fault = held
            results = await asyncio.gather(*(node.request("eth_gasPrice", []) for _ in range(5)))
            assert len(set(results)) == 1
            assert int(results[0], 16) > 0

    asyncio.run(main())
    proxy.release()


def test_an_endpoint_that_comes_back_is_used_again(proxy: FaultyProxy) -> None:
    async def main() -> None:
        async with node_at(proxy.url) as node:
            await node.block()
            proxy.fault = html
            with pytest.raises(RpcError):
                await node.request("eth_gasPrice", [])
            assert node.health()[0].state != "closed"
            proxy.fault = None
            for _ in range(1_000):  # until the pause of the circuit is over; it is a hundredth of a second
                try:
                    await node.request("eth_gasPrice", [])
                    break
                except Unreachable:
                    await asyncio.sleep(0)
            assert node.health()[0].state == "closed"

    asyncio.run(main())


def test_the_server_never_sees_more_than_the_limit_in_any_second(proxy: FaultyProxy) -> None:
    """Two nodes on the same endpoint, single reads and batches, all at once; counted by the server's own clock."""

    async def main() -> None:
        async with node_at(proxy.url, per_second=50.0) as first, node_at(proxy.url, per_second=50.0) as second:
            reads = [node.request("eth_chainId", []) for node in (first, second) for _ in range(30)]
            await asyncio.gather(first.batch([("eth_chainId", [])] * 20), *reads)

    asyncio.run(main())
    assert len(proxy.arrivals) >= 80
    assert most_in_a_second(proxy.arrivals) <= 50


def test_nodes_of_one_loop_share_their_connections_and_close_them_last(proxy: FaultyProxy) -> None:
    from portfolio_pipelines.chains.rpc import transport

    async def main() -> None:
        loop = asyncio.get_running_loop()
        first, second = node_at(proxy.url), node_at(proxy.url)
        await asyncio.gather(first.request("eth_chainId", []), second.request("eth_chainId", []))
        assert transport._SHARED[loop].users == 2
        await first.aclose()
        assert await second.request("eth_chainId", []) == hex(CHAIN_ID)
        await second.aclose()
        await second.aclose()
        assert loop not in transport._SHARED
        async with node_at(proxy.url) as third:
            assert await third.request("eth_chainId", []) == hex(CHAIN_ID)

    asyncio.run(main())
