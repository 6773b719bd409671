"""Whatever a node answers, readers of positions give positions, or an error that names the chain; nothing else."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portfolio_pipelines.chains.protocols import aave_v3, compound_v3, curve, erc721
from portfolio_pipelines.chains.protocols.calls import Call, CallFailed, decode_aggregate3
from portfolio_pipelines.chains.protocols.faults import PositionFault
from portfolio_pipelines.chains.protocols.positions import Position
from portfolio_pipelines.chains.rpc.errors import RpcError
from portfolio_pipelines.chains.rpc.node import Block
from tests.contracts.aave import STABLE, deploy_aave
from tests.contracts.anvil import MULTICALL3, Anvil
from tests.contracts.artifacts import Artifact, deploy
from tests.contracts.plain_node import PlainNode

Reader = Callable[[PlainNode, Block, str | None, list[PositionFault]], Coroutine[Any, Any, list[Position]]]


class Replay(PlainNode):
    """Answers from memory once it knows the answer, except the one call that is to be answered with something else."""

    def __init__(self, chain: Anvil) -> None:
        super().__init__(chain.url, chain.chain_id)
        self.known: dict[bytes, Any] = {}
        self.asked = 0
        self.place = -1
        self.change: Callable[[bytes], bytes] = bytes

    async def batch(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        keys = [orjson.dumps(request) for request in requests]
        new = [(key, request) for key, request in zip(keys, requests, strict=True) if key not in self.known]
        for (key, _), answer in zip(new, await super().batch([request for _, request in new]), strict=True):
            self.known[key] = answer
        return [self._answer(key) for key in keys]

    def _answer(self, key: bytes) -> Any:
        self.asked += 1
        answer = self.known[key]
        if self.asked - 1 == self.place and isinstance(answer, str):
            return "0x" + self.change(bytes.fromhex(answer[2:])).hex()
        return answer


@pytest.fixture(scope="module")
def readers(module_chain: Anvil, sources: dict[str, Artifact]) -> dict[str, Reader]:
    """A reader of each protocol, with positions of accounts 1 and 2 in each."""
    chain, (one, two) = module_chain, module_chain.accounts[1:3]
    aave = deploy_aave(chain, sources)
    aave.supply(one, "WETH", 10**19)
    aave.supply(two, "DAI", 10**24)
    aave.borrow(one, "DAI", 10**20)
    aave.borrow(one, "DAI", 10**20, STABLE)
    base, weth = "0x" + "a" * 40, "0x" + "b" * 40
    feed = deploy(chain, sources["PriceFeedStandIn"], 2_000 * 10**8)
    names = "offset asset priceFeed scale borrowCollateralFactor liquidateCollateralFactor liquidationFactor supplyCap"
    asset = (0, weth, feed.address, 10**18, 825 * 10**15, 895 * 10**15, 95 * 10**16, 2**100)
    structs = [dict(zip(names.split(), asset, strict=True))]
    comet = deploy(chain, sources["CometStandIn"], base, feed.address, 10**6, structs)
    rewards = deploy(chain, sources["CometRewardsStandIn"])
    rewards.send("support", comet.address, weth)
    comet.send("supply", base, 10**9, sender=two)
    comet.send("supply", weth, 10**19, sender=one)
    comet.send("withdraw", base, 10**6, sender=one)
    pool = deploy(chain, sources["CurvePoolStandIn"], [base, weth], [10**20, 10**21], 10**18)
    pool.send("mint", one, 10**18)
    collection = deploy(chain, sources["TestCollection"])
    collection.send("mint", two, 1)
    wallets = [one, two]
    market = compound_v3.CompoundMarket("usdc", comet.address, rewards.address)
    places: dict[str, tuple[Any, list[Any]]] = {
        "aave_v3": (aave_v3.read_positions, [aave_v3.AaveMarket("Test", aave.pool.address)]),
        "compound_v3": (compound_v3.read_positions, [market]),
        "curve": (curve.read_positions, [curve.CurvePool("pool", pool.address, pegged=True)]),
        "erc721": (erc721.read_positions, [erc721.Collection("nfts", collection.address)]),
    }

    def reader(read: Any, where: list[Any]) -> Reader:
        return lambda node, block, multicall3, faults: read(
            node, wallets, block, where, multicall3=multicall3, faults=faults
        )

    return {protocol: reader(*each) for protocol, each in places.items()}


@pytest.fixture(scope="module")
def replay(module_chain: Anvil, readers: dict[str, Reader]) -> Replay:
    return Replay(module_chain)


words = st.sampled_from([bytes(32), b"\xff" * 32, (1).to_bytes(32), (2**160).to_bytes(32), (2**255).to_bytes(32)])


@st.composite
def changes(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Cut it, lengthen it, put something else in the place of a word, or replace it as a whole."""
    kind = draw(st.sampled_from(["cut", "longer", "word", "other"]))
    place, word, noise = draw(st.integers(0, 40)), draw(words), draw(st.binary(max_size=200))
    if kind == "cut":
        return lambda answer: answer[: max(0, len(answer) - 1 - place)]
    if kind == "longer":
        return lambda answer: answer + (noise or b"\x00")
    if kind == "word":
        at = 32 * place
        return lambda answer: answer[: at % max(32, len(answer))] + word + answer[at % max(32, len(answer)) + 32 :]
    return lambda _: noise


@pytest.mark.parametrize("multicall3", [MULTICALL3, None], ids=["multicall3", "batch"])
@pytest.mark.parametrize("protocol", ["aave_v3", "compound_v3", "curve", "erc721"])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 60), change=changes())
def test_one_hostile_answer_gives_positions_faults_or_an_error_of_the_chain(
    readers: dict[str, Reader],
    replay: Replay,
    protocol: str,
    multicall3: str | None,
    place: int,
    change: Callable[[bytes], bytes],
) -> None:
    async def run() -> list[Position]:
        replay.place = -1
        block = await replay.block()
        replay.asked = 0
        await readers[protocol](replay, block, multicall3, [])
        replay.place, replay.asked, replay.change = place % replay.asked, 0, change
        return await readers[protocol](replay, block, multicall3, faults)

    faults: list[PositionFault] = []
    try:
        positions = asyncio.run(run())
    except RpcError as error:
        faults, positions = [], []
        chain = error.chain
    else:
        chain = replay.name
    assert chain == "local"
    assert all(fault.chain == "local" and fault.protocol == protocol for fault in faults)
    for position in positions:
        assert position.protocol == protocol
        assert all(amount.raw > 0 and len(amount.token) == 42 for amount in position.amounts)


def test_without_hostile_answers_every_reader_finds_its_positions(readers: dict[str, Reader], replay: Replay) -> None:
    async def run(reader: Reader) -> int:
        replay.place = -1
        return len(await reader(replay, await replay.block(), MULTICALL3, faults))

    faults: list[PositionFault] = []
    found = {protocol: asyncio.run(run(reader)) for protocol, reader in readers.items()}
    assert found == {"aave_v3": 4, "compound_v3": 2, "curve": 1, "erc721": 1}
    assert faults == []


CONTENTS = [b"", b"\x01" * 32, b"\x02" * 64, b"\x03" * 5]


def whole_answer() -> bytes:
    tuples = [
        (1).to_bytes(32) + (64).to_bytes(32) + len(each).to_bytes(32) + each + bytes(-len(each) % 32)
        for each in CONTENTS
    ]
    starts = [32 * len(tuples) + sum(map(len, tuples[:place])) for place in range(len(tuples))]
    head = (32).to_bytes(32) + len(tuples).to_bytes(32)
    return head + b"".join(start.to_bytes(32) for start in starts) + b"".join(tuples)


@given(st.integers(0, len(whole_answer())))
def test_a_cut_answer_of_multicall3_is_refused_or_lacks_padding_only(length: int) -> None:
    calls = [Call("0x" + "11" * 20, b"")] * len(CONTENTS)
    try:
        assert decode_aggregate3(whole_answer()[:length], calls) == CONTENTS
    except CallFailed:
        assert length < len(whole_answer())


@given(st.integers(0, len(whole_answer()) - 32), words)
def test_a_changed_word_in_an_answer_of_multicall3_never_leads_outside_of_it(at: int, word: bytes) -> None:
    calls = [Call("0x" + "11" * 20, b"")] * len(CONTENTS)
    changed = whole_answer()[:at] + word + whole_answer()[at + 32 :]
    try:
        answers = decode_aggregate3(changed, calls)
    except CallFailed:
        return
    assert len(answers) == len(calls)
    assert all(answer in changed for answer in answers if isinstance(answer, bytes))
