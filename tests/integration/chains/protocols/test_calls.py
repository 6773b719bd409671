"""Many views at one block: each answers or fails for itself, through Multicall3 and without it."""

import asyncio

import pytest

from portfolio_pipelines.chains.protocols.calls import (
    Answer,
    Call,
    CallFailed,
    addresses,
    call_many,
    flag,
    number,
    numbers,
    view,
)
from portfolio_pipelines.chains.rpc.errors import BadAnswer, RpcError, Unreachable
from portfolio_pipelines.chains.rpc.node import Block
from tests.contracts.anvil import MULTICALL3, Anvil
from tests.contracts.artifacts import Artifact, deploy
from tests.contracts.plain_node import PlainNode

NOBODY = "0x" + "00" * 19 + "aa"
ways = pytest.mark.parametrize("multicall3", [None, MULTICALL3], ids=["batch", "multicall3"])


@pytest.fixture
def views(chain: Anvil, sources: dict[str, Artifact]) -> str:
    return deploy(chain, sources["ViewsOfAllKinds"]).address


def ask(node: PlainNode, calls: list[Call], multicall3: str | None, block: Block | None = None) -> list[Answer]:
    async def run() -> list[Answer]:
        return await call_many(node, calls, block or await node.block(), multicall3=multicall3)

    return asyncio.run(run())


@ways
def test_every_view_answers_or_fails_for_itself(node: PlainNode, views: str, multicall3: str | None) -> None:
    calls = [
        view(views, "answer(uint256)", 2**256 - 1),
        view(views, "reverts()"),
        view(views, "revertsSilently()"),
        view(NOBODY, "answer(uint256)", 1),
        view(views, "half()"),
        view(views, "nothing()"),
        view(views, "burnsItsGas()"),
        view(views, "expensive(uint256)", 1),
        view(views, "answer(uint256)", 5),
    ]
    answers = ask(node, calls, multicall3)
    assert number(calls[0], answers[0]) == 2**256 - 1
    assert number(calls[7], answers[7]) == 7  # although its neighbour took nearly all gas
    assert number(calls[8], answers[8]) == 5
    assert [place for place, answer in enumerate(answers) if isinstance(answer, CallFailed)] == [1, 2, 6]
    for place in (3, 4, 5):
        with pytest.raises(CallFailed, match=calls[place].to):
            numbers(calls[place], answers[place])
    assert isinstance(answers[1], CallFailed)
    assert answers[1].data[-1] == 3  # the reason came along


def test_hundreds_of_views_are_one_request(node: PlainNode, views: str) -> None:
    calls = [view(views, "answer(uint256)", value) for value in range(399)]
    block = asyncio.run(node.block())
    before = node.requests
    answers = ask(node, calls, MULTICALL3, block)
    assert [number(call, answer) for call, answer in zip(calls, answers, strict=True)] == list(range(399))
    assert node.requests - before == 1


def test_more_gas_than_a_call_may_use_is_asked_in_parts(node: PlainNode, views: str) -> None:
    calls = [view(views, "expensive(uint256)", value) for value in range(40)]  # 84 million gas
    assert [number(*pair) for pair in zip(calls, ask(node, calls, MULTICALL3), strict=True)] == [7] * 40


def test_a_block_before_multicall3_is_read_in_a_batch(node: PlainNode, chain: Anvil, views: str) -> None:
    block = asyncio.run(node.block())
    chain.set_code(MULTICALL3, b"")
    calls = [view(views, "answer(uint256)", value) for value in range(3)]
    assert [number(*pair) for pair in zip(calls, ask(node, calls, MULTICALL3, block), strict=True)] == [0, 1, 2]


def test_an_answer_of_another_block_is_refused(node: PlainNode, views: str) -> None:
    block = asyncio.run(node.block())
    wrong = Block(block.number, block.hash, block.timestamp - 12)
    with pytest.raises(BadAnswer, match=r"local at .*aggregate3 answers at time"):
        ask(node, [view(views, "answer(uint256)", 1)] * 2, MULTICALL3, wrong)


@ways
def test_a_dead_node_is_an_error_of_the_chain(chain: Anvil, multicall3: str | None) -> None:
    nowhere = PlainNode("http://127.0.0.1:9", 1, "ethereum")
    with pytest.raises(Unreachable, match="ethereum"):
        ask(nowhere, [view(NOBODY, "a()")] * 900, multicall3, Block(1, "0x" + "00" * 32, 1))


def test_a_list_of_addresses_is_read_and_an_absurd_one_refused(node: PlainNode, views: str) -> None:
    calls = [view(views, "list(uint256)", count) for count in (0, 3)]
    empty, three = ask(node, calls, None)
    assert addresses(calls[0], empty) == []
    assert addresses(calls[1], three) == [f"0x{i:040x}" for i in (1, 2, 3)]
    assert isinstance(three, bytes)
    for hostile in (
        three[:-32],
        three + bytes(32),
        three[:32] + (2**255).to_bytes(32) + three[64:],
        (64).to_bytes(32) + three[32:],
        three[:-32] + b"\xff" * 32,
        b"",
        three[:40],
    ):
        with pytest.raises(CallFailed, match=views):
            addresses(calls[1], hostile)


def test_a_number_beyond_its_type_and_a_flag_that_is_none_are_refused(views: str) -> None:
    call = Call(views, b"")
    assert number(call, (2**128 - 1).to_bytes(32), bits=128) == 2**128 - 1
    with pytest.raises(CallFailed, match="128 bits"):
        number(call, (2**128).to_bytes(32), bits=128)
    with pytest.raises(CallFailed, match="further words"):
        number(call, bytes(64))
    assert [flag(call, value.to_bytes(32)) for value in (0, 1)] == [False, True]
    with pytest.raises(CallFailed):
        flag(call, (2).to_bytes(32))


class HostileNode(PlainNode):
    """Answers every call with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        super().__init__("http://127.0.0.1:9", 1, "hostile")
        self.answer = answer

    async def eth_call(self, *_: object, **__: object) -> bytes:
        return self.answer


@pytest.mark.parametrize(
    "answer",
    [
        b"\x01",
        bytes(31),
        bytes(4096),
        b"\xff" * 4096,
        (32).to_bytes(32) + (3).to_bytes(32),
        (32).to_bytes(32) + (3).to_bytes(32) + (96).to_bytes(32) * 3,
        (32).to_bytes(32) + (3).to_bytes(32) + (2**64).to_bytes(32) * 30,
        (32).to_bytes(32) + (2).to_bytes(32) + (96).to_bytes(32) * 300,
    ],
)
def test_a_hostile_answer_of_multicall3_names_the_chain(answer: bytes) -> None:
    with pytest.raises(RpcError, match="hostile at"):
        ask(HostileNode(answer), [Call(NOBODY, b"1234")] * 2, MULTICALL3, Block(1, "0x" + "00" * 32, 1))
