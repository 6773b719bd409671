"""What endpoints can do is found out once, when it is needed, and remembered."""

import asyncio
from typing import Any

import pytest

from portfolio_pipelines.chains.rpc.capabilities import Facts, MemoryCapabilityStore
from portfolio_pipelines.chains.rpc.errors import BadAnswer, TooMuch, Unreachable, Unsupported
from tests.unit.chains.rpc.virtual_time import CHAIN_ID, EPOCH, FakeEndpoint, HttpSays, NodeSays, node_over, run

CONTRACT = "0x" + "11" * 20
PROGRAM = {CONTRACT: b"\x60\x00"}
DATA = b"\x00" * 31 + b"\x07"


def facts_of(store: MemoryCapabilityStore, place: int = 0) -> dict[str, Any]:
    return dict(store.load(CHAIN_ID, f"node{place}.example") or {})


def test_replaced_code_goes_only_to_endpoints_that_proved_to_honour_it() -> None:
    async def main() -> None:
        store = MemoryCapabilityStore()
        ignorant, able = FakeEndpoint(honours_override=False, seconds=0.01), FakeEndpoint()
        async with node_over(ignorant, able, store=store) as node:
            for _ in range(3):
                assert await node.eth_call(CONTRACT, DATA, 5, code=PROGRAM) == DATA
            assert node.gas_cap() == 50_000_000
        assert facts_of(store, 0)["override"] is False
        assert facts_of(store, 1)["override"] is True
        assert facts_of(store, 1)["gas_cap"] == 50_000_000
        assert ignorant.methods.count("eth_call") == 1  # the probe

    run(main())


async def refuses_the_third_parameter(endpoint: FakeEndpoint, method: str, params: list[Any]) -> Any:
    if method == "eth_call" and len(params) > 2:
        raise NodeSays(-32602, "too many arguments, want at most 2")
    return NotImplemented


async def makes_something_up(endpoint: FakeEndpoint, method: str, params: list[Any]) -> Any:
    return "0x" + "ff" * 64 if method == "eth_call" else NotImplemented


async def answers_with_the_question(endpoint: FakeEndpoint, method: str, params: list[Any]) -> Any:
    return params[0]["data"] + "00" * 32 if method == "eth_call" else NotImplemented


@pytest.mark.parametrize("behave", [refuses_the_third_parameter, makes_something_up, answers_with_the_question])
def test_a_node_that_refuses_or_pretends_is_seen_through(behave: Any) -> None:
    async def main() -> None:
        store = MemoryCapabilityStore()
        async with node_over(FakeEndpoint(behave=behave), store=store) as node:
            with pytest.raises(Unsupported, match=r"testchain at node0\.example: does not honour replaced code"):
                await node.eth_call(CONTRACT, DATA, 5, code=PROGRAM)
        assert facts_of(store)["override"] is False

    run(main())


def test_what_could_not_be_found_out_is_not_remembered() -> None:
    async def main() -> None:
        async def broken(endpoint: FakeEndpoint, method: str, params: list[Any]) -> Any:
            if method == "eth_call":
                raise HttpSays(502)
            return NotImplemented

        store, only = MemoryCapabilityStore(), FakeEndpoint(behave=broken)
        async with node_over(only, store=store) as node:
            with pytest.raises(Unreachable):
                await node.eth_call(CONTRACT, DATA, 5, code=PROGRAM)
        assert facts_of(store) == {}
        only.behave = None
        async with node_over(only, store=store) as node:
            assert await node.eth_call(CONTRACT, DATA, 5, code=PROGRAM) == DATA

    run(main())


def test_many_calls_at_once_need_one_probe() -> None:
    async def main() -> None:
        only = FakeEndpoint()
        async with node_over(only) as node:
            await asyncio.gather(*(node.eth_call(CONTRACT, DATA, 5, code=PROGRAM) for _ in range(20)))
        assert only.methods.count("eth_call") == 21
        assert only.methods.count("eth_chainId") == 1

    run(main())


def test_what_is_remembered_is_not_probed_again_until_it_is_old() -> None:
    async def main() -> None:
        store = MemoryCapabilityStore()
        store.save(CHAIN_ID, "node0.example", {"override": True, "learnt_at": EPOCH - 3_600})
        only = FakeEndpoint()
        async with node_over(only, store=store) as node:
            await node.eth_call(CONTRACT, DATA, 5, code=PROGRAM)
        assert only.methods.count("eth_call") == 1
        store.save(CHAIN_ID, "node0.example", {"override": False, "learnt_at": EPOCH - 10 * 86_400})
        async with node_over(only, store=store) as node:
            await node.eth_call(CONTRACT, DATA, 5, code=PROGRAM)
        assert only.methods.count("eth_call") == 3

    run(main())


def test_an_endpoint_that_stops_honouring_replaced_code_is_probed_again_and_never_believed() -> None:
    async def main() -> None:
        store = MemoryCapabilityStore()
        only = FakeEndpoint()
        async with node_over(only, store=store) as node:
            assert await node.eth_call(CONTRACT, DATA, 5, code=PROGRAM) == DATA
            only.honours_override = False
            with pytest.raises(Unsupported):
                await node.eth_call(CONTRACT, DATA, 5, code=PROGRAM)
        assert facts_of(store)["override"] is False

    run(main())


def test_an_empty_answer_to_replaced_code_is_not_an_answer() -> None:
    async def main() -> None:
        async def empty(endpoint: FakeEndpoint, method: str, params: list[Any]) -> Any:
            probe = len(params) > 2 and params[0]["data"].startswith("0x5a")
            return "0x" if method == "eth_call" and not probe else NotImplemented

        async with node_over(FakeEndpoint(behave=empty)) as node:
            with pytest.raises(BadAnswer, match="answered nothing to a call with replaced code"):
                await node.eth_call(CONTRACT, DATA, 5, code=PROGRAM)
            assert await node.eth_call(CONTRACT, DATA, 5) == b""  # without it, an address without code says nothing

    run(main())


def runs_creation_code(*, returns: bool, reverts: bool) -> Any:
    """A node that runs the two probes, as far as it can."""

    async def behave(endpoint: FakeEndpoint, method: str, params: list[Any]) -> Any:
        if method != "eth_call" or "to" in params[0]:
            return NotImplemented
        code = bytes.fromhex(params[0]["data"][2:])
        if code[:1] != b"\x7f":
            return "0x01"
        answer = "0x" + bytes(byte ^ 0xFF for byte in code[1:33]).hex() + f"{30_000_000:064x}"
        if code[-1] == 0xFD:
            raise NodeSays(3, "execution reverted", answer if reverts else None)
        return answer if returns else "0x"

    return behave


@pytest.mark.parametrize(("returns", "reverts"), [(True, True), (True, False), (False, True)])
def test_creation_code_runs_where_its_answer_can_come_back(returns: bool, reverts: bool) -> None:
    async def main() -> None:
        store = MemoryCapabilityStore()
        only = FakeEndpoint(behave=runs_creation_code(returns=returns, reverts=reverts))
        async with node_over(only, store=store) as node:
            assert await node.eth_call(None, b"\x60\x00", 5) == b"\x01"
        assert facts_of(store)["deployless"] is returns
        assert facts_of(store)["deployless_revert"] is reverts
        assert facts_of(store)["gas_cap"] == 30_000_000

    run(main())


def test_creation_code_is_refused_where_no_answer_comes_back() -> None:
    async def main() -> None:
        only = FakeEndpoint(behave=runs_creation_code(returns=False, reverts=False))
        async with node_over(only) as node:
            with pytest.raises(Unsupported, match="does not run creation code"):
                await node.eth_call(None, b"\x60\x00", 5)

    run(main())


def logs_of_at_most(blocks: int) -> Any:
    async def behave(endpoint: FakeEndpoint, method: str, params: list[Any]) -> Any:
        if method != "eth_getLogs":
            return NotImplemented
        span = int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) + 1
        if span > blocks:
            raise NodeSays(-32602, f"block range {span} exceeds limit of {blocks}")
        return []

    return behave


def logs(first: int, last: int) -> tuple[str, list[Any]]:
    return "eth_getLogs", [{"fromBlock": hex(first), "toBlock": hex(last)}]


def test_a_limit_on_log_ranges_is_learnt_once() -> None:
    async def main() -> None:
        store, only = MemoryCapabilityStore(), FakeEndpoint(behave=logs_of_at_most(100))
        async with node_over(only, store=store) as node:
            assert node.log_range() is None
            with pytest.raises(TooMuch) as caught:
                await node.request(*logs(1, 1_000))
            assert caught.value.suggested == (1, 100)
            assert node.log_range() == 100
        async with node_over(only, store=store) as node:
            with pytest.raises(TooMuch) as caught:
                await node.request(*logs(1, 1_000))
            assert caught.value.suggested == (1, 100)
            assert await node.request(*logs(1, 100)) == []
        assert only.methods.count("eth_getLogs") == 2

    run(main())


def test_a_wide_search_goes_to_the_endpoint_that_takes_it() -> None:
    async def main() -> None:
        store = MemoryCapabilityStore()
        store.save(CHAIN_ID, "node0.example", {"log_range": 100, "learnt_at": EPOCH})
        narrow, wide = FakeEndpoint(behave=logs_of_at_most(100)), FakeEndpoint(behave=logs_of_at_most(10**6))
        async with node_over(narrow, wide, store=store) as node:
            assert await node.request(*logs(1, 900)) == []
        assert "eth_getLogs" not in narrow.methods

    run(main())


def test_a_store_that_fails_loses_a_note_and_not_the_read(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(MemoryCapabilityStore):
        def save(self, chain_id: int, endpoint: str, facts: Any) -> None:  # noqa: ARG002
            msg = "database is away"
            raise OSError(msg)

    async def main() -> None:
        async with node_over(FakeEndpoint(), store=Broken()) as node:
            assert await node.eth_call(CONTRACT, DATA, 5, code=PROGRAM) == DATA

    run(main())
    assert "testchain at node0.example: what was learnt could not be saved" in caplog.text


@pytest.mark.parametrize(
    "stored",
    [
        None,
        {},
        {"override": True},
        {"override": "yes", "batch": "many", "log_range": -5, "gas_cap": True, "learnt_at": EPOCH},
        {"override": True, "learnt_at": "yesterday"},
        {"override": True, "learnt_at": EPOCH + 10**6},
    ],
)
def test_what_makes_no_sense_in_a_store_is_learnt_anew(stored: dict[str, Any] | None) -> None:
    facts = Facts.load(stored, EPOCH, 86_400.0)
    assert {name: value for name, value in facts.to_json().items() if name != "learnt_at"} == {}
