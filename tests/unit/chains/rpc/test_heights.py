"""The head of a chain whose endpoints lag, lie and disagree."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.chains.rpc.errors import BadAnswer, RpcError, StateUnavailable
from portfolio_pipelines.chains.rpc.heights import agreed_height
from tests.unit.chains.rpc.virtual_time import EPOCH, FakeEndpoint, NodeSays, block_of, node_over, run


@pytest.mark.parametrize(
    ("heights", "expected"),
    [
        ([100], 100),
        ([100, 101], 100),
        ([100, 101, 103], 101),
        ([100, 101, 5], 100),
        ([100, 101, 10**9], 100),
        ([100, 101, 102, 5, 10**9], 100),
        ([100, 10**9], None),
        ([1, 100, 10**9], None),
        ([100, 100, 10**9, 10**9], None),
    ],
)
def test_the_head_is_what_more_than_half_have_reached_and_agree_on(heights: list[int], expected: int | None) -> None:
    assert agreed_height(heights, 10) == expected


@given(honest=st.lists(st.integers(1_000, 1_010), min_size=1, max_size=6), lies=st.lists(st.integers(0, 2**63)))
def test_a_minority_of_liars_never_moves_the_head_out_of_what_the_honest_say(
    honest: list[int], lies: list[int]
) -> None:
    lies = lies[: (len(honest) - 1) // 2]
    head = agreed_height([*honest, *lies], 10)
    assert head is not None
    assert 1_000 - 10 <= head <= 1_010 + 10


def test_the_newest_block_is_proved_by_hash_and_parent() -> None:
    async def main() -> None:
        only = FakeEndpoint(height=1_000)
        async with node_over(only) as node:
            block = await node.block()
        expected = block_of(1_000)
        assert (block.number, block.hash, block.parent_hash) == (1_000, expected["hash"], expected["parentHash"])
        assert block.timestamp == int(expected["timestamp"], 16)
        assert [hex(1_000), hex(999)] == [body["params"][0] for body in only.bodies[-2:]]

    run(main())


def test_confirmations_stay_below_the_head() -> None:
    async def main() -> None:
        async with node_over(FakeEndpoint(height=1_000), confirmations=12) as node:
            assert (await node.block()).number == 988
        async with node_over(FakeEndpoint(height=5), confirmations=12) as node:
            assert (await node.block()).number == 0

    run(main())


@pytest.mark.parametrize("lie", [10**9, 1_300, 500, 0])
def test_an_endpoint_that_is_far_from_the_others_is_not_used(lie: int) -> None:
    async def main() -> None:
        liar = FakeEndpoint(height=lie, seconds=0.001)
        async with node_over(liar, FakeEndpoint(), FakeEndpoint(height=1_001)) as node:
            block = await node.block()
            assert block.number == 1_000
            assert [endpoint.in_step for endpoint in node.health()] == [False, True, True]
            assert node.health()[0].blocks_behind == 1_000 - lie
            before = len(liar.bodies)
            await node.request("eth_getBalance", ["0x" + "11" * 20, hex(block.number)])
            assert len(liar.bodies) == before

    run(main())


def test_a_liar_is_taken_back_when_it_tells_the_truth() -> None:
    async def main() -> None:
        liar = FakeEndpoint(height=10**9)
        async with node_over(liar, FakeEndpoint(), FakeEndpoint()) as node:
            await node.block()
            liar.height = 1_000
            await node.block()
            assert all(endpoint.in_step for endpoint in node.health())

    run(main())


async def lies_about_its_height(endpoint: FakeEndpoint, method: str, params: list[Any]) -> Any:
    """Says that it is a million blocks further than it is."""
    return hex(endpoint.height + 10**6) if method == "eth_blockNumber" else NotImplemented


def test_of_two_that_disagree_the_one_that_proves_its_block_is_believed() -> None:
    async def main() -> None:
        async with node_over(FakeEndpoint(behave=lies_about_its_height), FakeEndpoint()) as node:
            assert (await node.block()).number == 1_000
            assert [endpoint.in_step for endpoint in node.health()] == [False, True]
        async with node_over(FakeEndpoint(height=200), FakeEndpoint(height=1_000)) as node:
            assert (await node.block()).number == 1_000
            assert [endpoint.in_step for endpoint in node.health()] == [False, True]

    run(main())


def test_of_two_the_higher_one_is_not_believed_if_its_history_is_another() -> None:
    async def main() -> None:
        async with node_over(FakeEndpoint(height=1_500, fork=9), FakeEndpoint(height=1_000)) as node:
            assert await node.block() == await node.block(1_000)
            assert [endpoint.in_step for endpoint in node.health()] == [False, True]

    run(main())


def test_an_only_endpoint_that_lies_about_its_height_is_caught() -> None:
    async def main() -> None:
        async with node_over(FakeEndpoint(behave=lies_about_its_height)) as node:
            with pytest.raises(RpcError, match=r"testchain at node0\.example: has no block 1001000"):
                await node.block()

    run(main())


def test_a_block_dated_ahead_of_our_clock_is_not_believed() -> None:
    async def from_the_future(endpoint: FakeEndpoint, method: str, params: list[Any]) -> Any:
        if method != "eth_getBlockByNumber":
            return NotImplemented
        return block_of(int(params[0], 16), timestamp=int(EPOCH) + 86_400)

    async def main() -> None:
        async with node_over(FakeEndpoint(behave=from_the_future)) as node:
            with pytest.raises(BadAnswer, match="testchain at all endpoints: block 993 is dated 86"):
                await node.block()

    run(main())


def test_two_histories_are_no_head() -> None:
    async def main() -> None:
        async with node_over(FakeEndpoint(fork=1), FakeEndpoint(fork=2)) as node:
            with pytest.raises(BadAnswer, match="no agreement on a block hash from 1000 downwards"):
                await node.block()

    run(main())


def test_a_fork_at_the_head_is_avoided_by_stepping_back() -> None:
    async def forked(endpoint: FakeEndpoint, method: str, params: list[Any]) -> Any:
        if method == "eth_getBlockByNumber" and int(params[0], 16) >= 999:
            block = block_of(int(params[0], 16), fork=9)
            return {**block, "parentHash": block_of(998)["hash"]} if int(params[0], 16) == 999 else block
        return NotImplemented

    async def main() -> None:
        async with node_over(FakeEndpoint(behave=forked), FakeEndpoint()) as node:
            assert (await node.block()).number == 998

    run(main())


def test_the_one_with_another_history_is_outvoted_by_two() -> None:
    async def main() -> None:
        async with node_over(FakeEndpoint(fork=9), FakeEndpoint(), FakeEndpoint()) as node:
            assert (await node.block()).hash == block_of(1_000)["hash"]
            assert [endpoint.in_step for endpoint in node.health()] == [False, True, True]

    run(main())


def test_a_parent_that_does_not_fit_is_no_head() -> None:
    async def broken(endpoint: FakeEndpoint, method: str, params: list[Any]) -> Any:
        if method == "eth_getBlockByNumber" and int(params[0], 16) == 1_000:
            return {**block_of(1_000), "parentHash": "0x" + "ab" * 32}
        return NotImplemented

    async def main() -> None:
        async with node_over(FakeEndpoint(behave=broken)) as node:
            assert (await node.block()).number == 999

    run(main())


def test_a_slow_endpoint_does_not_hold_up_the_head() -> None:
    async def main() -> float:
        async with node_over(FakeEndpoint(seconds=5.0), FakeEndpoint(), FakeEndpoint()) as node:
            await node.block()
        return asyncio.get_running_loop().time()

    assert run(main()) < 2.0


def test_a_chain_whose_only_endpoint_is_slow_is_waited_for() -> None:
    async def main() -> None:
        async with node_over(FakeEndpoint(seconds=5.0)) as node:
            assert (await node.block()).number == 1_000

    run(main())


def test_a_dead_chain_has_no_head_and_says_why() -> None:
    async def main() -> None:
        async with node_over(FakeEndpoint(down=True), FakeEndpoint(down=True)) as node:
            with pytest.raises(RpcError, match=r"testchain at all endpoints: .*connection refused"):
                await node.block()

    run(main())


def test_a_block_by_number_comes_from_whoever_has_it() -> None:
    async def main() -> None:
        async with node_over(FakeEndpoint(height=4), FakeEndpoint(height=10)) as node:
            assert (await node.block(7)).hash == block_of(7)["hash"]
            with pytest.raises(StateUnavailable, match="no block 11"):
                await node.block(11)

    run(main())


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {**block_of(7), "number": "0x8"},
        {**block_of(7), "number": 7},
        {**block_of(7), "hash": "0x12"},
        {**block_of(7), "hash": None},
        {**block_of(7), "parentHash": "0x" + "zz" * 32},
        {**block_of(7), "timestamp": "yesterday"},
        {**block_of(7), "timestamp": "-0x5"},
    ],
)
def test_what_is_not_the_block_asked_for_is_refused(answer: dict[str, Any]) -> None:
    async def behave(endpoint: FakeEndpoint, method: str, params: list[Any]) -> Any:
        return answer if method == "eth_getBlockByNumber" else NotImplemented

    async def main() -> None:
        async with node_over(FakeEndpoint(behave=behave)) as node:
            with pytest.raises(BadAnswer, match=r"testchain at node0\.example"):
                await node.block(7)

    run(main())


def test_logs_are_never_read_from_an_endpoint_that_has_not_come_so_far() -> None:
    async def no_logs(endpoint: FakeEndpoint, method: str, params: list[Any]) -> Any:
        return [] if method == "eth_getLogs" else NotImplemented

    async def main() -> None:
        behind, ahead = (
            FakeEndpoint(height=995, behave=no_logs),
            FakeEndpoint(height=1_000, seconds=0.3, behave=no_logs),
        )
        async with node_over(behind, ahead) as node:
            assert (await node.block()).number == 995
            await node.request("eth_getLogs", [{"fromBlock": hex(990), "toBlock": hex(1_000)}])
            assert "eth_getLogs" not in behind.methods
            behind.height = 1_001
            await asyncio.sleep(2.0)
            await node.request("eth_getLogs", [{"fromBlock": hex(990), "toBlock": hex(1_000)}])
            assert "eth_getLogs" in behind.methods  # asked for its height again first

    run(main())


def test_an_error_while_looking_is_only_that_endpoints_error() -> None:
    async def refuses(endpoint: FakeEndpoint, method: str, params: list[Any]) -> Any:
        if method == "eth_blockNumber":
            raise NodeSays(-32601, "method not found")
        return NotImplemented

    async def main() -> None:
        async with node_over(FakeEndpoint(behave=refuses), FakeEndpoint()) as node:
            assert (await node.block()).number == 1_000

    run(main())
