"""The reader's program on a real Ethereum virtual machine, with tokens of every kind, against single calls."""

import asyncio
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from portfolio_pipelines.chains.reader.balances import Balances, ReaderLimits, read_balances
from portfolio_pipelines.chains.reader.encoding import OutOfGas, decode_answer, encode_question
from portfolio_pipelines.chains.reader.program import READER_ADDRESS, reader_program
from portfolio_pipelines.chains.rpc.capabilities import MemoryCapabilityStore
from portfolio_pipelines.chains.rpc.client import open_node
from portfolio_pipelines.chains.rpc.endpoints import EndpointSettings
from portfolio_pipelines.chains.rpc.node import Block
from portfolio_pipelines.chains.rpc.policy import STANDARD_POLICY
from tests.contracts.anvil import MULTICALL3, Anvil
from tests.contracts.artifacts import Artifact, deploy
from tests.contracts.plain_node import PlainNode
from tests.integration.chains.reader.odd_tokens import (
    EVERYBODY,
    HATES_ODD_WALLETS,
    HOLDER,
    ODD,
    PLAIN,
    SECOND_TIME,
    stored,
)

WAYS = ["state override", "creation code, reverted", "creation code", "Multicall3", "one by one"]
WALLETS = np.frombuffer(b"".join((10**9 + 7 * number).to_bytes(20, "big") for number in range(60)), np.uint8)
WALLETS = WALLETS.reshape(-1, 20)
LARGEST = 2**256 - 1


@dataclass(frozen=True)
class World:
    """A chain with good and odd tokens, and a block of its past."""

    chain: Anvil
    node: PlainNode
    tokens: np.ndarray
    names: list[str]
    past: Block


def rows(*addresses: str) -> np.ndarray:
    return np.frombuffer(b"".join(bytes.fromhex(address[2:]) for address in addresses), np.uint8).reshape(-1, 20)


def hexed(address: np.ndarray) -> str:
    return "0x" + address.tobytes().hex()


def without(way: str) -> ReaderLimits:
    """Limits that leave this way to ask as the first."""
    return ReaderLimits(unsupported=set(WAYS[: WAYS.index(way)]))


@pytest.fixture(scope="module")
def world(module_chain: Anvil, sources: dict[str, Artifact]) -> World:
    chain = module_chain
    real = deploy(chain, sources["TestToken"], "Coin", "COIN", 6)
    placed = {"plain": PLAIN, **ODD}
    addresses = {name: f"0x{0xA0000 + number:040x}" for number, name in enumerate(placed)}
    for name, code in placed.items():
        chain.set_code(addresses[name], code)
    holders = [wallet.tobytes() for wallet in WALLETS]
    chain.send(addresses["plain"], stored({holders[3]: 1, holders[4]: 10**18, holders[5]: LARGEST}))
    chain.send(real.address, real.encode("mint", hexed(WALLETS[0]), 123_456_789))
    chain.set_balance(hexed(WALLETS[7]), 10**19)
    chain.mine(seconds=100)
    node = PlainNode(chain.url, chain.chain_id)
    past = asyncio.run(node.block())
    chain.mine(seconds=1_000)
    chain.send(addresses["plain"], stored({holders[3]: 0, holders[9]: 77}))
    chain.send(real.address, real.encode("mint", hexed(WALLETS[0]), 1))
    chain.set_balance(hexed(WALLETS[8]), 5)
    chain.mine(seconds=1_000)
    names = [*placed, "has no code", "real"]
    tokens = rows(*addresses.values(), "0x" + "0b" * 20, real.address)
    return World(chain, node, tokens, names, past)


def read(world: World, block: Block, **settings: Any) -> Balances:
    return asyncio.run(
        read_balances(world.node, WALLETS, world.tokens, block, **({"multicall": MULTICALL3} | settings))
    )


def by_pair(found: Balances) -> dict[tuple[int, int], int | None]:
    """What was found: balances, and None for pairs that failed; zeros are left out."""
    balances = zip(found.wallet.tolist(), found.column.tolist(), (word.tobytes() for word in found.words), strict=True)
    failed = zip(found.failed_wallet.tolist(), found.failed_column.tolist(), strict=True)
    return {(wallet, column): int.from_bytes(word, "big") for wallet, column, word in balances} | dict.fromkeys(failed)


def one_after_another(world: World, block: Block) -> dict[tuple[int, int], int | None]:
    """The same by plain requests of the test's own client: what the chain itself says."""
    found: dict[tuple[int, int], int | None] = {}
    for number, wallet in enumerate(WALLETS):
        found[number, 0] = int(world.chain.rpc("eth_getBalance", hexed(wallet), hex(block.number)), 16)
    good = {name: 1 + world.names.index(name) for name in ("plain", "real")}
    for column in good.values():
        token = hexed(world.tokens[column - 1])
        calls = [
            world.chain.call_parameters(
                token, bytes.fromhex("70a08231") + bytes(12) + wallet.tobytes(), block=block.number
            )
            for wallet in WALLETS
        ]
        for number, answer in enumerate(world.chain.batch([("eth_call", call) for call in calls])):
            found[number, column] = int(answer, 16)
    bad = [1 + column for column, name in enumerate(world.names) if name not in good]
    found |= dict.fromkeys((wallet, column) for wallet in range(len(WALLETS)) for column in bad)
    return {pair: value for pair, value in found.items() if value != 0}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_ask_gives_what_the_chain_says_now_and_at_a_past_block(world: World, way: str) -> None:
    for block in (world.past, asyncio.run(world.node.block())):
        found = read(world, block, limits=without(way))
        assert found.technique == way
        assert by_pair(found) == one_after_another(world, block)


def test_balances_of_the_past_are_not_those_of_today(world: World) -> None:
    plain, today = 1 + world.names.index("plain"), asyncio.run(world.node.block())
    then, now = by_pair(read(world, world.past)), by_pair(read(world, today))
    assert (then[3, plain], then[5, plain], then.get((9, plain))) == (1, LARGEST, None)
    assert (now.get((3, plain)), now[5, plain], now[9, plain]) == (None, LARGEST, 77)


@pytest.mark.parametrize("way", WAYS[:3])
def test_a_token_that_uses_up_its_gas_does_so_once_in_a_call(world: World, way: str) -> None:
    """8 tokens x 60 wallets x 250,000 gas are four times what the node gives a call."""
    burner = world.tokens[world.names.index("uses up its gas")]
    tokens = np.tile(burner, (8, 1))
    limits = without(way)
    found = asyncio.run(read_balances(world.node, WALLETS, tokens, world.past, limits=limits))
    assert found.technique == way
    assert limits.pairs == {}  # the call was never too much
    assert len(found.failed_wallet) == len(WALLETS) * 8


def test_the_gas_that_a_token_may_use_is_a_setting(world: World) -> None:
    plain = 1 + world.names.index("plain")
    found = by_pair(read(world, world.past, token_gas=500))  # a first reading of storage costs 2,100
    assert found[3, plain] is None
    assert found[7, 0] == 10**19


@pytest.mark.parametrize("way", WAYS)
def test_a_token_that_everybody_holds_is_reported_as_a_liar(world: World, way: str) -> None:
    with world.chain.reverted() as chain:
        liar = rows("0x" + "0c" * 20)
        chain.set_code(hexed(liar[0]), EVERYBODY)
        chain.mine()
        block = asyncio.run(world.node.block())
        tokens = np.concatenate([world.tokens[:1], liar])
        found = asyncio.run(
            read_balances(world.node, WALLETS, tokens, block, multicall=MULTICALL3, limits=without(way))
        )
        assert found.lying_columns.tolist() == [2]
        assert set(found.failed_column.tolist()) == {2}
        assert len(found.failed_wallet) == len(WALLETS)


def test_a_token_that_answers_otherwise_when_asked_again_is_reported_as_a_liar(world: World) -> None:
    with world.chain.reverted() as chain:
        liar = rows("0x" + "0d" * 20)
        chain.set_code(hexed(liar[0]), SECOND_TIME)
        chain.mine()
        found = asyncio.run(read_balances(world.node, WALLETS, liar, asyncio.run(world.node.block())))
        assert found.lying_columns.tolist() == [1]


@pytest.mark.parametrize("way", WAYS)
def test_a_token_that_fails_for_some_wallets_is_read_for_the_others(world: World, way: str) -> None:
    with world.chain.reverted() as chain:
        moody = rows("0x" + "0e" * 20)
        chain.set_code(hexed(moody[0]), HATES_ODD_WALLETS)
        chain.mine()
        block = asyncio.run(world.node.block())
        limits = without(way)
        found = asyncio.run(read_balances(world.node, WALLETS, moody, block, multicall=MULTICALL3, limits=limits))
        values = {HOLDER: 1}
        numbers = enumerate(int.from_bytes(wallet.tobytes(), "big") for wallet in WALLETS)
        expected = {
            (at, 1): None if wallet & 1 else values.get(wallet)
            for at, wallet in numbers
            if wallet & 1 or wallet in values
        }
        assert by_pair(found) == expected | {(7, 0): 10**19, (8, 0): 5}


def test_a_lack_of_gas_is_never_a_failed_token(world: World) -> None:
    """Whatever gas a call is given: it reads all pairs like a call with plenty, or says how far it came, or fails."""
    tokens = world.tokens[[world.names.index("plain"), world.names.index("real")]]
    question = encode_question(WALLETS, tokens, native=True)
    pairs = 3 * len(WALLETS)

    def call(gas: int | None) -> bytes:
        code = {READER_ADDRESS: reader_program()}
        return asyncio.run(world.node.eth_call(READER_ADDRESS, question, world.past.number, code=code, gas=gas))

    truth = decode_answer(call(None), pairs)
    assert not truth.failed.size
    reached = []
    for gas in range(300_000, 1_000_000, 20_000):
        try:
            answer = decode_answer(call(gas), pairs)
        except OutOfGas as error:
            reached.append(error.pairs)
        else:
            assert answer.pairs.tolist() == truth.pairs.tolist()
            assert not answer.failed.size
            reached.append(pairs)
    assert reached == sorted(reached)
    assert reached[0] < pairs == reached[-1]


def test_a_call_with_too_little_gas_for_all_is_repeated_with_less(world: World) -> None:
    class Poor(PlainNode):
        async def eth_call(self, *arguments: Any, **settings: Any) -> bytes:
            return await super().eth_call(*arguments, **{**settings, "gas": 600_000})

    node = Poor(world.chain.url)
    limits = ReaderLimits()
    tokens = world.tokens[[world.names.index("plain"), world.names.index("real")]]
    found = asyncio.run(read_balances(node, WALLETS, tokens, world.past, limits=limits))
    assert found.technique == "state override"
    assert 0 < limits.pairs["state override"] < 3 * len(WALLETS)
    plenty = asyncio.run(read_balances(world.node, WALLETS, tokens, world.past))
    assert by_pair(found) == by_pair(plenty)


def test_creation_code_carries_as_many_addresses_as_a_node_takes(world: World) -> None:
    """Far more wallets than 49,152 bytes hold: the work is cut, and nothing is refused on the way."""
    wallets = np.random.default_rng(3).integers(0, 256, (6_000, 20), dtype=np.uint8)
    limits = without("creation code, reverted")
    found = asyncio.run(read_balances(world.node, wallets, np.zeros((0, 20), np.uint8), world.past, limits=limits))
    assert (found.technique, found.calls, limits.pairs) == ("creation code, reverted", 3, {})


def test_without_multicall_at_that_block_single_requests_remain(world: World) -> None:
    found = read(world, world.past, multicall="0x" + "0f" * 20, limits=without("Multicall3"))
    assert found.technique == "one by one"
    assert by_pair(found) == one_after_another(world, world.past)


def through_the_client(world: World, way: str, columns: list[int]) -> Balances:
    """Some tokens, read by the project's own client: it probes the endpoint, classifies errors and cuts batches."""

    async def read_them() -> Balances:
        endpoints = [EndpointSettings(world.chain.url, 100_000)]
        patient = replace(STANDARD_POLICY, future_seconds=None)  # time was moved forward on this chain
        async with open_node(
            world.chain.chain_id, "local", endpoints, capabilities=MemoryCapabilityStore(), policy=patient
        ) as node:
            tokens = world.tokens[[column - 1 for column in columns]]
            return await read_balances(node, WALLETS, tokens, world.past, multicall=MULTICALL3, limits=without(way))

    return asyncio.run(read_them())


@pytest.mark.parametrize("way", WAYS)
def test_the_projects_own_client_carries_every_way_to_ask(world: World, way: str) -> None:
    columns = [1 + number for number, name in enumerate(world.names) if name != "is no program"]
    numbers = {0: 0} | {column: 1 + place for place, column in enumerate(columns)}
    found = through_the_client(world, way, columns)
    assert found.technique == way
    truth = one_after_another(world, world.past)
    assert by_pair(found) == {
        (row, numbers[column]): value for (row, column), value in truth.items() if column in numbers
    }


@pytest.mark.parametrize("way", WAYS)
def test_a_token_that_is_no_program_costs_only_itself_through_the_client(world: World, way: str) -> None:
    columns = [1 + world.names.index(name) for name in ("is no program", "plain")]
    found = through_the_client(world, way, columns)
    assert found.failed_column.tolist() == [1] * len(WALLETS)
    assert by_pair(found)[5, 2] == LARGEST
