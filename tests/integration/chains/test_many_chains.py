"""Twenty chains read at once, five of which fail in five ways: the others never notice."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from portfolio_pipelines.chains.rpc.capabilities import MemoryCapabilityStore
from portfolio_pipelines.chains.rpc.client import JsonRpcNode, open_node
from portfolio_pipelines.chains.rpc.endpoints import EndpointSettings
from portfolio_pipelines.chains.rpc.errors import RateLimited, RpcError, StateUnavailable, Unreachable
from portfolio_pipelines.chains.rpc.policy import Policy
from tests.contracts.anvil import Anvil
from tests.contracts.faulty_proxy import (
    FaultyProxies,
    FaultyProxy,
    held,
    html,
    lying_height,
    most_in_a_second,
    refusing,
)

CHAINS = 20
FIRST_CHAIN_ID = 910_000
KILLED, REFUSING, SLOW, LYING, PAGE = range(5)
WALLET = "0x" + "ab" * 20
PLACE = "0x" + "11" * 20
BALANCE_OF_CALLDATA = bytes.fromhex("6000353160005260206000f3")  # BALANCE(CALLDATALOAD(0))
PER_SECOND = 100.0
READS = 120  # of each chain: more than a second's worth

# The tries are those of production; only the pauses between them are short, so that the test is.
POLICY = Policy(
    first_backoff_seconds=0.01,
    longest_backoff_seconds=0.02,
    circuit_first_seconds=60.0,
    hedge_first_seconds=0.2,
    heights_grace_seconds=0.2,
)


@dataclass
class World:
    """The chains and a proxy in front of each. The first chain's own node can be killed without its neighbours."""

    chains: list[Anvil]
    proxies: FaultyProxies

    def in_front(self) -> list[FaultyProxy]:
        return [self.proxies.in_front_of(chain.url) for chain in self.chains]


def balance_of(place: int) -> int:
    """Each chain has another truth, so that no answer can come from the wrong one."""
    return 10**18 + place


@pytest.fixture(scope="module")
def world(contracts_folder: Path) -> Iterator[World]:
    with ExitStack() as stack:
        chains = [stack.enter_context(Anvil(FIRST_CHAIN_ID + place)) for place in range(CHAINS)]
        for place, chain in enumerate(chains):
            chain.set_balance(WALLET, balance_of(place))
            chain.mine()
            chain.mine()
        yield World(chains, stack.enter_context(FaultyProxies()))


def node_of(place: int, *proxies: FaultyProxy) -> JsonRpcNode:
    return open_node(
        FIRST_CHAIN_ID + place,
        f"chain-{place}",
        [EndpointSettings(proxy.url, PER_SECOND) for proxy in proxies],
        capabilities=MemoryCapabilityStore(),
        policy=POLICY,
    )


async def read(node: JsonRpcNode) -> int:
    """The balance of the wallet, read in many ways at one block of one chain; they must agree."""
    block = await node.block()
    pinned = hex(block.number)
    word = bytes(12) + bytes.fromhex(WALLET[2:])
    called = await node.eth_call(PLACE, word, block.number, code={PLACE: BALANCE_OF_CALLDATA})
    singles = await asyncio.gather(*(node.request("eth_getBalance", [WALLET, pinned]) for _ in range(READS // 2)))
    batched = await node.batch([("eth_getBalance", [WALLET, pinned])] * (READS // 2))
    for result in batched:
        if isinstance(result, RpcError):
            raise result
    found = {int.from_bytes(called), *(int(result, 16) for result in [*singles, *batched])}
    (balance,) = found
    return balance


def set_faults(proxies: list[FaultyProxy]) -> None:
    proxies[REFUSING].fault = refusing(429, retry_after="60")
    proxies[SLOW].fault = held
    proxies[LYING].fault = lying_height()
    proxies[PAGE].fault = html


def test_chains_with_a_second_endpoint_are_all_read_right_whatever_the_first_one_does(world: World) -> None:
    faulty, sound = world.in_front(), world.in_front()
    set_faults(faulty)
    faulty[KILLED].fault = refusing(502)  # what a gateway says when the node behind it is dead

    async def main() -> list[int]:
        nodes = [node_of(place, *pair) for place, pair in enumerate(zip(faulty, sound, strict=True))]
        try:
            return await asyncio.gather(*(read(node) for node in nodes))
        finally:
            await asyncio.gather(*(node.aclose() for node in nodes))

    assert asyncio.run(main()) == [balance_of(place) for place in range(CHAINS)]
    for proxy in [*faulty, *sound]:
        assert most_in_a_second(proxy.arrivals) <= PER_SECOND
        proxy.release()


def test_of_twenty_chains_only_those_that_fail_are_missing_and_each_says_why(world: World) -> None:
    """Runs last: it kills a node."""
    proxies = world.in_front()
    set_faults(proxies)
    world.chains[KILLED].kill()

    async def main() -> tuple[list[int | BaseException], list[str]]:
        nodes = [node_of(place, proxy) for place, proxy in enumerate(proxies)]
        try:
            reads = [asyncio.ensure_future(read(node)) for node in nodes]
            others = [task for place, task in enumerate(reads) if place != SLOW]
            await asyncio.gather(*others, return_exceptions=True)
            await asyncio.to_thread(proxies[SLOW].wait_until_held)
            assert not reads[SLOW].done()  # the others did not wait for it, nor it for them
            await asyncio.to_thread(proxies[SLOW].release)
            results = await asyncio.gather(*reads, return_exceptions=True)
            return results, [repr(node.health()) for node in nodes]
        finally:
            await asyncio.gather(*(node.aclose() for node in nodes))

    results, health = asyncio.run(main())
    for place, kind in ((KILLED, Unreachable), (REFUSING, RateLimited), (LYING, StateUnavailable), (PAGE, Unreachable)):
        error = results[place]
        assert isinstance(error, kind), (place, error)
        assert str(error).startswith(f"chain-{place} at {proxies[place].url[7:-1]}: ")
    sound = [place for place in range(CHAINS) if place not in {KILLED, REFUSING, LYING, PAGE}]
    assert [results[place] for place in sound] == [balance_of(place) for place in sound]
    assert "has no block 1000002" in str(results[LYING])
    assert "not JSON" in health[PAGE]
    assert len(proxies[REFUSING].arrivals) == 1  # it asked for a minute of silence and has it
    for proxy in proxies:
        assert most_in_a_second(proxy.arrivals) <= PER_SECOND
