"""Many reads in few bodies, and endpoints that take fewer than we would like."""

import asyncio
from typing import Any

import orjson
import pytest

from portfolio_pipelines.chains.rpc.capabilities import MemoryCapabilityStore
from portfolio_pipelines.chains.rpc.errors import InvalidRequest, RateLimited, StateUnavailable, Unreachable
from tests.unit.chains.rpc.virtual_time import CHAIN_ID, FakeEndpoint, HttpSays, NodeSays, node_over, run


def balances(count: int) -> list[tuple[str, list[Any]]]:
    return [("eth_getBalance", [f"0x{place:040x}", "0x5"]) for place in range(count)]


async def own_number(endpoint: FakeEndpoint, method: str, params: list[Any]) -> Any:
    """A balance that tells for whom it was asked."""
    return hex(int(params[0], 16)) if method == "eth_getBalance" else NotImplemented


def refusing_above(most: int, refusal: Exception) -> Any:
    async def behave(endpoint: FakeEndpoint, method: str, params: list[Any]) -> Any:
        if isinstance(endpoint.body, list) and len(endpoint.body) > most:
            raise refusal
        return await own_number(endpoint, method, params)

    return behave


def test_results_come_in_the_order_asked_in_bodies_that_fit() -> None:
    async def main() -> None:
        only = FakeEndpoint(behave=own_number)
        async with node_over(only) as node:
            assert await node.batch(balances(60)) == [hex(place) for place in range(60)]
            assert await node.batch([]) == []
        assert [len(body) for body in only.bodies if isinstance(body, list)] == [25, 25, 10]

    run(main())


@pytest.mark.parametrize(
    "refusal",
    [
        HttpSays(413),
        HttpSays(200, orjson.dumps({"id": None, "error": {"code": -32600, "message": "batch too large"}})),
        HttpSays(200, orjson.dumps([{"id": None, "error": {"code": -32000, "message": "max 10 in a batch"}}])),
        HttpSays(400, orjson.dumps({"error": {"code": -32600, "message": "Invalid Request"}})),
    ],
    ids=["413", "one error", "one error in a list", "400"],
)
def test_a_refused_batch_is_halved_and_the_size_that_passed_is_remembered(refusal: Exception) -> None:
    async def main() -> None:
        only, store = FakeEndpoint(behave=refusing_above(8, refusal)), MemoryCapabilityStore()
        async with node_over(only, store=store) as node:
            assert await node.batch(balances(30)) == [hex(place) for place in range(30)]
        saved = store.load(CHAIN_ID, "node0.example")
        assert saved is not None
        assert 1 <= saved["batch"] <= 8
        only.bodies.clear()
        async with node_over(only, store=store) as node:
            await node.batch(balances(30))
        assert max(len(body) for body in only.bodies if isinstance(body, list)) <= 8

    run(main())


def test_an_endpoint_that_takes_no_batches_gets_single_requests() -> None:
    async def main() -> None:
        refusal = HttpSays(400, orjson.dumps({"error": {"code": -32600, "message": "batches are not supported"}}))
        only = FakeEndpoint(behave=refusing_above(0, refusal))
        async with node_over(only) as node:
            assert await node.batch(balances(10)) == [hex(place) for place in range(10)]

    run(main())


def test_elements_fail_alone() -> None:
    async def main() -> None:
        async def behave(endpoint: FakeEndpoint, method: str, params: list[Any]) -> Any:
            if method == "eth_getBalance" and int(params[0], 16) == 3:
                raise NodeSays(-32602, "invalid argument 0")
            if method == "eth_getBalance" and int(params[0], 16) == 4:
                raise NodeSays(-32000, "missing trie node 00")
            return await own_number(endpoint, method, params)

        async with node_over(FakeEndpoint(behave=behave)) as node:
            results = await node.batch(balances(6))
        assert isinstance(results[3], InvalidRequest)
        assert isinstance(results[4], StateUnavailable)
        assert results[:3] + results[5:] == ["0x0", "0x1", "0x2", "0x5"]

    run(main())


def test_elements_that_were_refused_for_their_pace_are_asked_again() -> None:
    async def main() -> None:
        refused: set[str] = set()

        async def behave(endpoint: FakeEndpoint, method: str, params: list[Any]) -> Any:
            if method == "eth_getBalance" and int(params[0], 16) >= 4 and params[0] not in refused:
                refused.add(params[0])
                raise NodeSays(-32012, "credits limited to 6000/sec")
            return await own_number(endpoint, method, params)

        only = FakeEndpoint(behave=behave)
        async with node_over(only) as node:
            assert await node.batch(balances(8)) == [hex(place) for place in range(8)]
            assert node.health()[0].refusals >= 1
            assert node.health()[0].requests_per_second < 100

    run(main())


def test_elements_without_an_answer_are_asked_again() -> None:
    async def main() -> None:
        async def behave(endpoint: FakeEndpoint, method: str, params: list[Any]) -> Any:
            body = endpoint.body
            if isinstance(body, list):
                first = body[0]
                raise HttpSays(200, orjson.dumps([{"id": first["id"], "result": "0x0"}]))
            return await own_number(endpoint, method, params)

        async with node_over(FakeEndpoint(behave=behave)) as node:
            assert await node.batch(balances(3)) == ["0x0", "0x1", "0x2"]

    run(main())


def test_a_dead_chain_gives_an_error_for_each_element() -> None:
    async def main() -> None:
        async with node_over(FakeEndpoint(down=True)) as node:
            results = await node.batch(balances(3))
        assert [type(result) for result in results] == [Unreachable] * 3

    run(main())


def test_a_long_pause_is_reported_for_each_element() -> None:
    async def main() -> None:
        async with node_over(FakeEndpoint(behave=refusing_above(0, HttpSays(429, b"", "900")))) as node:
            results = await node.batch(balances(3))
        assert [type(result) for result in results] == [RateLimited] * 3

    run(main())


def test_a_batch_with_a_send_in_it_goes_out_one_by_one_and_in_order() -> None:
    async def main() -> None:
        only = FakeEndpoint()
        async with node_over(only) as node:
            results = await node.batch([("eth_gasPrice", []), ("evm_mine", []), ("eth_blockNumber", [])])
        assert results == ["0x1", "0x1", hex(1_000)]
        assert only.methods[-3:] == ["eth_gasPrice", "evm_mine", "eth_blockNumber"]

    run(main())


def test_every_element_counts_against_the_pace() -> None:
    async def main() -> float:
        async with node_over(FakeEndpoint(), per_second=10.0) as node:
            await node.batch(balances(100))
        return asyncio.get_running_loop().time()

    assert run(main()) >= 9.0
