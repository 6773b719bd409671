"""Reads over several endpoints that fail, refuse, delay and lie, in virtual time."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from portfolio_pipelines.chains.rpc.errors import (
    BadAnswer,
    InvalidRequest,
    QuotaExhausted,
    RateLimited,
    Reverted,
    RpcError,
    StateUnavailable,
    TooMuch,
    Unreachable,
    Unsupported,
)
from portfolio_pipelines.chains.rpc.node import ANSWERED_BY
from portfolio_pipelines.chains.rpc.policy import Policy
from tests.unit.chains.rpc.virtual_time import FakeEndpoint, HttpSays, NodeSays, most_in_a_second, node_over, run

GAS_PRICE = ("eth_gasPrice", [])


def says(error: Exception, *, on: str = "eth_gasPrice", times: int = 10**9) -> Any:
    """A behaviour: the first so many requests of a method fail in this way."""
    left = times

    async def behave(endpoint: FakeEndpoint, method: str, params: list[Any]) -> Any:
        nonlocal left
        if method == on and left > 0:
            left -= 1
            raise error
        return NotImplemented

    return behave


def asked(endpoint: FakeEndpoint, method: str = "eth_gasPrice") -> int:
    return endpoint.methods.count(method)


@pytest.mark.parametrize(
    "fault",
    [
        HttpSays(500),
        HttpSays(502, b"<html>bad gateway</html>"),
        HttpSays(200, b"<html>busy</html>"),
        HttpSays(200, b'{"jsonrpc":"2.0","id":1,"resu'),
        HttpSays(429, b"", "60"),
        HttpSays(402),
        NodeSays(-32603, "internal error"),
        NodeSays(-32601, "method not found"),
        NodeSays(-32000, "something nobody has seen before"),
        NodeSays(-32005, "project ID request rate exceeded"),
    ],
    ids=str,
)
def test_what_one_endpoint_cannot_answer_another_one_does(fault: Exception) -> None:
    async def main() -> None:
        first, second = FakeEndpoint(behave=says(fault)), FakeEndpoint()
        async with node_over(first, second) as node:
            assert await node.request(*GAS_PRICE) == "0x1"
        assert asked(first) == 1
        assert asked(second) == 1

    run(main())


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (Reverted, NodeSays(3, "execution reverted", "0x08c379a0")),
        (InvalidRequest, NodeSays(-32602, "invalid argument 0")),
        (TooMuch, NodeSays(-32000, "out of gas")),
    ],
)
def test_what_is_final_is_asked_once_and_of_one_endpoint(kind: type[RpcError], fault: Exception) -> None:
    async def main() -> None:
        first, second = (FakeEndpoint(behave=says(fault, on="eth_call")) for _ in range(2))
        async with node_over(first, second) as node:
            with pytest.raises(kind, match=r"testchain at node0\.example"):
                await node.eth_call("0x" + "11" * 20, b"\x01", 5)
        assert asked(first, "eth_call") + asked(second, "eth_call") == 1

    run(main())


def test_a_sent_transaction_goes_out_once_whatever_happens() -> None:
    async def main() -> None:
        faults = (HttpSays(502), HttpSays(429), NodeSays(-32603, "internal error"), HttpSays(200, b"<html>"))
        for fault in faults:
            first, second = (FakeEndpoint(behave=says(fault, on="eth_sendRawTransaction")) for _ in range(2))
            async with node_over(first, second) as node:
                with pytest.raises(RpcError, match=r"testchain at node0\.example"):
                    await node.send_raw_transaction(b"\x02signed")
            assert asked(first, "eth_sendRawTransaction") == 1
            assert asked(second, "eth_sendRawTransaction") == 0

    run(main())


def test_a_slow_send_is_not_hedged() -> None:
    async def main() -> None:
        first, second = FakeEndpoint(seconds=5.0), FakeEndpoint()
        async with node_over(first, second) as node:
            assert await node.request("eth_sendRawTransaction", ["0x02"]) == "0x1"
        assert asked(second, "eth_sendRawTransaction") == 0

    run(main())


def test_a_single_endpoint_is_asked_again_with_growing_pauses_and_then_given_up() -> None:
    async def main() -> None:
        only = FakeEndpoint(behave=says(HttpSays(502)))
        async with node_over(only) as node:
            with pytest.raises(Unreachable, match=r"testchain at node0\.example: HTTP 502"):
                await node.request(*GAS_PRICE)
        times = only.times[-5:]
        pauses = [later - earlier for earlier, later in pairwise(times)]
        assert asked(only) == 5
        assert pauses == sorted(pauses)
        assert pauses[-1] > 1.0

    run(main())


def test_a_hiccup_of_the_only_endpoint_is_lived_through() -> None:
    async def main() -> None:
        only = FakeEndpoint(behave=says(HttpSays(502), times=3))
        async with node_over(only) as node:
            assert await node.request(*GAS_PRICE) == "0x1"

    run(main())


def test_a_pause_that_an_endpoint_asks_for_is_kept_when_there_is_no_other() -> None:
    async def main() -> None:
        only = FakeEndpoint(behave=says(HttpSays(429, b"", "7"), times=1))
        async with node_over(only) as node:
            assert await node.request(*GAS_PRICE) == "0x1"
        assert only.times[-1] - only.times[-2] >= 7.0

    run(main())


def test_a_pause_of_an_hour_is_reported_instead_of_waited_for() -> None:
    async def main() -> None:
        only = FakeEndpoint(behave=says(HttpSays(429, b"", "3600")))
        async with node_over(only) as node:
            for _ in range(2):
                with pytest.raises(RateLimited) as caught:
                    await node.request(*GAS_PRICE)
                assert caught.value.retry_after == pytest.approx(3600, abs=1)
        assert asked(only) == 1
        assert asyncio.get_running_loop().time() < 1.0

    run(main())


def test_when_all_fail_the_error_says_what_each_one_said() -> None:
    async def main() -> None:
        first = FakeEndpoint(behave=says(HttpSays(502)))
        second = FakeEndpoint(behave=says(NodeSays(-32601, "method not found")))
        async with node_over(first, second) as node:
            with pytest.raises(Unreachable) as caught:
                await node.request(*GAS_PRICE)
        assert caught.value.endpoint == "all endpoints"
        assert "node0.example: HTTP 502" in str(caught.value)
        assert "node1.example: method not found" in str(caught.value)

    run(main())


def test_when_all_fail_in_one_way_the_error_is_of_that_kind() -> None:
    async def main() -> None:
        unknown = says(NodeSays(-32601, "method not found"))
        async with node_over(FakeEndpoint(behave=unknown), FakeEndpoint(behave=unknown)) as node:
            with pytest.raises(Unsupported, match="testchain at all endpoints"):
                await node.request(*GAS_PRICE)
        spent = says(HttpSays(402))
        async with node_over(FakeEndpoint(behave=spent), FakeEndpoint(behave=spent)) as node:
            with pytest.raises(QuotaExhausted):
                await node.request(*GAS_PRICE)

    run(main())


def test_an_endpoint_that_is_unusually_slow_is_overtaken_by_another() -> None:
    async def main() -> None:
        slow_now = False

        async def behave(endpoint: FakeEndpoint, method: str, params: list[Any]) -> Any:
            if slow_now and method == "eth_gasPrice":
                await asyncio.sleep(5.0)
            return NotImplemented

        first, second = FakeEndpoint(seconds=0.02, behave=behave), FakeEndpoint(seconds=0.03)
        async with node_over(first, second) as node:
            for _ in range(30):
                await node.request(*GAS_PRICE)
            assert node.health()[1].hedges == 0
            slow_now = True
            before = asyncio.get_running_loop().time()
            await node.request(*GAS_PRICE)
            took = asyncio.get_running_loop().time() - before
            assert took < 0.3  # the 95th percentile of the first, and one exchange with the second
            assert node.health()[1].hedges == 1

    run(main())


def test_hedges_are_a_small_part_of_the_reads() -> None:
    async def main() -> None:
        async with node_over(FakeEndpoint(seconds=3.0), FakeEndpoint(seconds=3.0)) as node:
            for _ in range(100):
                await node.request(*GAS_PRICE)
            assert sum(endpoint.hedges for endpoint in node.health()) <= 16

    run(main())


def test_a_stuck_endpoint_holds_up_nobody_for_long_even_when_all_hedges_are_spent() -> None:
    async def main() -> None:
        stuck = False

        async def behave(endpoint: FakeEndpoint, method: str, params: list[Any]) -> Any:
            if stuck:
                await asyncio.sleep(10**6)
            return NotImplemented

        async with node_over(FakeEndpoint(seconds=0.01, behave=behave), FakeEndpoint(seconds=0.06)) as node:
            for _ in range(30):
                await node.request(*GAS_PRICE)
            stuck = True
            before = asyncio.get_running_loop().time()
            assert await asyncio.gather(*(node.request(*GAS_PRICE) for _ in range(40))) == ["0x1"] * 40
            assert asyncio.get_running_loop().time() - before < 8.0

    run(main())


def test_new_reads_avoid_an_endpoint_that_is_silent_now() -> None:
    async def main() -> None:
        async def behave(endpoint: FakeEndpoint, method: str, params: list[Any]) -> Any:
            if method == "eth_gasPrice":
                await asyncio.sleep(10**6)
            return NotImplemented

        silent, other = FakeEndpoint(seconds=0.01, behave=behave), FakeEndpoint(seconds=0.3)
        async with node_over(silent, other, policy=Policy(hedge_first_seconds=50.0)) as node:
            stuck = asyncio.ensure_future(node.request(*GAS_PRICE))
            await asyncio.sleep(2.0)
            assert await node.request("net_version", []) == "0x1"
            assert silent.methods.count("net_version") == 0
            stuck.cancel()

    run(main())


def test_whoever_gives_up_leaves_nothing_running() -> None:
    async def main() -> None:
        first, second = FakeEndpoint(seconds=10.0), FakeEndpoint(seconds=10.0)
        async with node_over(first, second) as node:
            read = asyncio.ensure_future(node.request(*GAS_PRICE))
            await asyncio.sleep(15.0)
            read.cancel()
            with pytest.raises(asyncio.CancelledError):
                await read
            assert len(asyncio.all_tasks()) == 1
            assert await node.request(*GAS_PRICE) == "0x1"  # turns and circuits were given back

    run(main())


def test_an_endpoint_that_keeps_failing_is_left_alone_then_tried_by_one_and_taken_back() -> None:
    async def main() -> None:
        only = FakeEndpoint()
        async with node_over(only) as node:
            await node.request(*GAS_PRICE)
            only.down = True
            with pytest.raises(Unreachable):
                await node.request(*GAS_PRICE)
            assert node.health()[0].state == "open"
            sent = len(only.bodies)
            await asyncio.sleep(node.health()[0].retry_in_seconds or 0)
            assert node.health()[0].state == "half_open"
            only.down, only.seconds = False, 0.2
            reads = [asyncio.ensure_future(node.request(*GAS_PRICE)) for _ in range(5)]
            await asyncio.sleep(0.15)
            assert len(only.bodies) == sent + 1  # one try; the others wait for how it ends
            assert await asyncio.gather(*reads) == ["0x1"] * 5
            assert node.health()[0].state == "closed"

    run(main())


def test_while_a_circuit_stays_open_reads_fail_at_once_and_say_why() -> None:
    async def main() -> None:
        only = FakeEndpoint(down=True)
        async with node_over(only, policy=Policy(circuit_patience_seconds=0.0)) as node:
            with pytest.raises(Unreachable):
                await node.request(*GAS_PRICE)
            sent, before = len(only.bodies), asyncio.get_running_loop().time()
            with pytest.raises(Unreachable, match=r"left alone .*connection refused"):
                await node.request(*GAS_PRICE)
            assert len(only.bodies) == sent
            assert asyncio.get_running_loop().time() == before

    run(main())


def test_an_endpoint_that_never_answers_costs_its_time_and_no_more() -> None:
    async def main() -> None:
        only = FakeEndpoint(seconds=10**6)
        async with node_over(only, policy=Policy(attempt_seconds=10.0, deadline_seconds=25.0)) as node:
            with pytest.raises(Unreachable, match="no answer within"):
                await node.request(*GAS_PRICE)
            assert asyncio.get_running_loop().time() <= 26.0

    run(main())


def test_waiting_for_turns_does_not_count_against_the_deadline() -> None:
    async def main() -> None:
        only = FakeEndpoint(seconds=0.01)
        async with node_over(only, per_second=1.0, policy=Policy(deadline_seconds=5.0)) as node:
            results = await asyncio.gather(*(node.request(*GAS_PRICE) for _ in range(40)))
        assert results == ["0x1"] * 40
        assert asyncio.get_running_loop().time() >= 40.0

    run(main())


def test_reads_in_numbers_are_spread_over_the_endpoints() -> None:
    async def main() -> None:
        first, second = FakeEndpoint(), FakeEndpoint()
        async with node_over(first, second, per_second=20.0) as node:
            await asyncio.gather(*(node.request(*GAS_PRICE) for _ in range(200)))
            assert min(asked(first), asked(second)) > 60
            assert asyncio.get_running_loop().time() < 7.5  # one alone takes ten seconds

    run(main())


def test_an_endpoint_of_another_chain_is_not_believed() -> None:
    async def main() -> None:
        wrong, right = FakeEndpoint(chain_id=5), FakeEndpoint()
        async with node_over(wrong, right) as node:
            assert await node.request(*GAS_PRICE) == "0x1"
            assert asked(wrong) == 0
            assert not node.health()[0].in_step
        async with node_over(FakeEndpoint(chain_id=5)) as node:
            with pytest.raises(BadAnswer, match=r"node0\.example: is of chain 5, not 77"):
                await node.request(*GAS_PRICE)

    run(main())


def test_a_block_that_is_just_coming_is_waited_for_and_an_old_one_is_not() -> None:
    async def main() -> None:
        missing = says(NodeSays(-32000, "header not found"), on="eth_getBalance", times=1)
        only = FakeEndpoint(behave=missing)
        async with node_over(only) as node:
            head = await node.block()
            assert await node.request("eth_getBalance", ["0x" + "11" * 20, hex(head.number)]) == "0x1"
        only.behave = says(NodeSays(-32000, "missing trie node 00"), on="eth_getBalance")
        async with node_over(only) as node:
            await node.block()
            before = asked(only, "eth_getBalance")
            with pytest.raises(StateUnavailable):
                await node.request("eth_getBalance", ["0x" + "11" * 20, hex(3)])
            assert asked(only, "eth_getBalance") == before + 1

    run(main())


def test_an_archive_node_answers_what_others_have_forgotten() -> None:
    async def main() -> None:
        pruned = FakeEndpoint(behave=says(NodeSays(-32000, "missing trie node 00"), on="eth_getBalance"))
        async with node_over(pruned, FakeEndpoint()) as node:
            await node.block()
            assert await node.request("eth_getBalance", ["0x" + "11" * 20, hex(3)]) == "0x1"

    run(main())


def test_no_key_of_a_url_is_in_errors_health_or_names() -> None:
    async def main() -> None:
        leaking = says(NodeSays(-32000, "key a-secret-key-0 of https://node0.example/v2/a-secret-key-0 is tired"))
        async with node_over(FakeEndpoint(behave=leaking)) as node:
            with pytest.raises(RpcError) as caught:
                await node.request(*GAS_PRICE)
            shown = f"{caught.value!r} {node!r} {node.health()!r} {caught.value.__cause__!r}"
        assert "secret" not in shown
        assert "is tired" in shown

    run(main())


def test_no_second_sees_more_requests_than_the_rate_even_with_retries_hedges_and_batches() -> None:
    async def main() -> None:
        flaky = says(HttpSays(502), times=40)
        endpoints = [FakeEndpoint(seconds=0.3, behave=flaky), FakeEndpoint(seconds=1.5)]
        async with node_over(*endpoints, per_second=10.0) as node:
            reads = [node.request(*GAS_PRICE) for _ in range(60)]
            await asyncio.gather(node.batch([GAS_PRICE] * 60), *reads, return_exceptions=True)
        for endpoint in endpoints:
            assert most_in_a_second(endpoint.times) <= 10

    run(main())


def test_who_answered_is_known_after_a_failure_a_hedge_a_revert_and_a_batch() -> None:
    async def main() -> None:
        bad, good = FakeEndpoint(behave=says(HttpSays(502))), FakeEndpoint()
        async with node_over(bad, good) as node:
            await node.request(*GAS_PRICE)
            assert ANSWERED_BY.get() == "node1.example"
        slow, quick = FakeEndpoint(seconds=9.0), FakeEndpoint()
        async with node_over(slow, quick) as node:
            await node.request(*GAS_PRICE)
            assert slow.bodies
            assert ANSWERED_BY.get() == "node1.example"
        async with node_over(FakeEndpoint(behave=says(NodeSays(3, "execution reverted"), on="eth_call"))) as node:
            with pytest.raises(Reverted):
                await node.eth_call("0x" + "11" * 20, b"\x01", 5)
            assert ANSWERED_BY.get() == "node0.example"
        async with node_over(bad, good) as node:
            await node.batch([("eth_chainId", [])] * 2)
            assert ANSWERED_BY.get() in {"node0.example", "node1.example"}
            await node.batch([("eth_chainId", [])] * 1_000)  # in several bodies, to both
            assert ANSWERED_BY.get() == "all endpoints"

    run(main())
