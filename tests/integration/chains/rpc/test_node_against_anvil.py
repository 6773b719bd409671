"""The client against a real node: what it reads, what it learns about it, and what the node says no to."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from portfolio_pipelines.chains.local_chain import LocalChain, find_anvil
from portfolio_pipelines.chains.rpc.capabilities import MemoryCapabilityStore
from portfolio_pipelines.chains.rpc.client import JsonRpcNode, open_node
from portfolio_pipelines.chains.rpc.endpoints import EndpointSettings
from portfolio_pipelines.chains.rpc.errors import (
    InvalidRequest,
    Reverted,
    StateUnavailable,
    TooMuch,
    Unsupported,
)
from tests.contracts.anvil import Anvil

WALLET = "0x" + "ab" * 20
PLACE = "0x" + "11" * 20
ECHO = bytes.fromhex("3660006000373660 00f3".replace(" ", ""))  # gives back its calldata
REVERT_ECHO = bytes.fromhex("366000600037366000fd")
ENDLESS = bytes.fromhex("5b600056")  # burns all gas
BIG_ANSWER = bytes.fromhex("620200006000f3")  # 131,072 zero bytes


def with_node(chain: Anvil, use: Callable[[JsonRpcNode], Coroutine[Any, Any, None]]) -> MemoryCapabilityStore:
    store = MemoryCapabilityStore()

    async def main() -> None:
        endpoint = EndpointSettings(chain.url, 1_000.0)
        async with open_node(chain.chain_id, "local", [endpoint], capabilities=store) as node:
            await use(node)

    asyncio.run(main())
    return store


def facts_of(store: MemoryCapabilityStore, chain: Anvil) -> dict[str, Any]:
    return dict(store.load(chain.chain_id, chain.url.removeprefix("http://")) or {})


def test_blocks_are_those_of_the_chain(chain: Anvil) -> None:
    chain.mine(12)
    expected = chain.rpc("eth_getBlockByNumber", "latest", False)

    async def use(node: JsonRpcNode) -> None:
        newest = await node.block()
        assert hex(newest.number) == expected["number"]
        assert (newest.hash, newest.parent_hash) == (expected["hash"], expected["parentHash"])
        assert newest.timestamp == int(expected["timestamp"], 16)
        assert await node.block(newest.number) == newest
        assert (await node.block(newest.number - 1)).hash == newest.parent_hash
        with pytest.raises(StateUnavailable):
            await node.block(newest.number + 1_000)

    with_node(chain, use)


def test_the_clock_of_a_local_chain_may_run_ahead(chain: Anvil) -> None:
    chain.mine(365 * 86_400)

    async def use(node: JsonRpcNode) -> None:
        assert (await node.block()).timestamp == chain.now

    with_node(chain, use)


def test_balances_are_read_now_and_at_an_earlier_block(chain: Anvil) -> None:
    before = chain.mine()
    chain.send(WALLET, value=10**18 + 1)
    after = chain.mine()

    async def use(node: JsonRpcNode) -> None:
        results = await node.batch([("eth_getBalance", [WALLET, hex(block)]) for block in (before, after)])
        assert [int(result, 16) for result in results] == [0, 10**18 + 1]

    with_node(chain, use)


def test_replaced_code_runs_and_the_node_is_remembered_to_honour_it(chain: Anvil) -> None:
    async def use(node: JsonRpcNode) -> None:
        head = (await node.block()).number
        data = bytes(range(256))
        assert await node.eth_call(PLACE, data, head, code={PLACE: ECHO}) == data
        assert await node.eth_call(PLACE, data, head, code={PLACE: BIG_ANSWER}) == bytes(1 << 17)
        assert node.gas_cap() == 30_000_000
        with pytest.raises(Reverted) as caught:
            await node.eth_call(PLACE, data, head, code={PLACE: REVERT_ECHO})
        assert caught.value.data == data
        with pytest.raises(TooMuch):
            await node.eth_call(PLACE, data, head, code={PLACE: ENDLESS})
        with pytest.raises(TooMuch):
            await node.eth_call(PLACE, data, head, code={PLACE: ENDLESS}, gas=100_000)

    facts = facts_of(with_node(chain, use), chain)
    assert facts["override"] is True
    assert facts["gas_cap"] == 30_000_000


def test_creation_code_runs_and_answers_both_ways(chain: Anvil) -> None:
    answer = bytes.fromhex("600760005260206000f3")
    by_revert = bytes.fromhex("600760005260206000fd")

    async def use(node: JsonRpcNode) -> None:
        head = (await node.block()).number
        assert await node.eth_call(None, answer, head) == (7).to_bytes(32)
        with pytest.raises(Reverted) as caught:
            await node.eth_call(None, by_revert, head)
        assert caught.value.data == (7).to_bytes(32)
        with pytest.raises(TooMuch):
            await node.eth_call(None, bytes(50_000), head)

    facts = facts_of(with_node(chain, use), chain)
    assert facts["deployless"] is True
    assert facts["deployless_revert"] is True


def test_what_the_node_refuses_is_sorted(chain: Anvil) -> None:
    async def use(node: JsonRpcNode) -> None:
        head = (await node.block()).number
        with pytest.raises(Unsupported):
            await node.request("eth_noSuchMethod", [])
        with pytest.raises(InvalidRequest):
            await node.request("eth_getBalance", ["not an address", "latest"])
        with pytest.raises(StateUnavailable):
            await node.request("eth_getBalance", [WALLET, hex(head + 1_000)])

    with_node(chain, use)


def test_a_signed_transaction_that_makes_no_sense_is_refused_once(chain: Anvil) -> None:
    async def use(node: JsonRpcNode) -> None:
        with pytest.raises(InvalidRequest, match="local at 127"):
            await node.send_raw_transaction(b"\x02\x01")

    with_node(chain, use)


def test_a_body_that_is_too_big_for_the_node_is_halved_or_asks_for_less(contracts_folder: Path) -> None:
    program = find_anvil([contracts_folder])
    assert program is not None
    with LocalChain(program) as chain:  # with its usual limit of 2 MB

        async def main() -> None:
            store = MemoryCapabilityStore()
            async with open_node(
                chain.chain_id, "local", [EndpointSettings(chain.url, 1_000.0)], capabilities=store
            ) as node:
                call = {"to": PLACE, "data": "0x" + "00" * 100_000}
                assert await node.batch([("eth_call", [call, "0x0"])] * 25) == ["0x"] * 25
                with pytest.raises(TooMuch):
                    await node.eth_call(PLACE, bytes(2_000_000), 0)

        asyncio.run(main())
