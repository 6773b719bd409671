"""Reading balances: the project's reader against what else reads them in Python, on one local chain, in one run.

Runs in a process of its own: python -m benchmarks.balances. Every value that an engine gives is compared with what was
put on the chain. The measure is balances per second of processor time of the client, all its processes together: the
chain's own work is the same for everybody and not the client's.
"""

import asyncio
import json
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from portfolio_pipelines.chains.reader.balances import ReaderLimits, read_balances
from portfolio_pipelines.chains.rpc.capabilities import MemoryCapabilityStore
from portfolio_pipelines.chains.rpc.client import open_node
from portfolio_pipelines.chains.rpc.endpoints import EndpointSettings
from tests.contracts.anvil import MULTICALL3, Anvil
from tests.contracts.artifacts import place_multicall3
from tests.integration.chains.reader.odd_tokens import PLAIN, stored

WALLETS: Final = 10_000
TOKENS: Final = 50
SHARE: Final = 0.05  # of the balances is not zero
STORED_AT_ONCE: Final = 1_000  # balances in one transaction, 22,000 gas each
CHAIN_ID: Final = 1  # the package multicall knows where the contract lies by the id of the chain
WITHOUT_PACE: Final = 1e6  # requests a second: this is about processor time
ABI: Final = [
    {
        "name": "balanceOf",
        "type": "function",
        "stateMutability": "view",
        "inputs": [{"name": "account", "type": "address"}],
        "outputs": [{"name": "", "type": "uint256"}],
    }
]

Table = NDArray[np.int64]


@dataclass(frozen=True)
class World:
    """A chain, and what lies on it."""

    url: str
    wallets: NDArray[np.uint8]
    tokens: NDArray[np.uint8]
    truth: Table  # balances, shape (wallets, tokens)

    def pairs(self) -> Iterator[tuple[str, str, int]]:
        """Token, wallet and balance, one after the other, with addresses in the spelling that web3.py wants."""
        from eth_utils.address import to_checksum_address

        tokens = [to_checksum_address(token.tobytes()) for token in self.tokens]
        for wallet, row in zip(self.wallets, self.truth.tolist(), strict=True):
            holder = to_checksum_address(wallet.tobytes())
            for token, balance in zip(tokens, row, strict=True):
                yield token, holder, balance


@dataclass(frozen=True, slots=True)
class Measured:
    """How much an engine read in how much time."""

    engine: str
    balances: int
    processor_seconds: float
    seconds: float

    @property
    def per_core_second(self) -> float:
        """Balances per second of processor time."""
        return self.balances / self.processor_seconds


def compare() -> list[Measured]:
    """Every engine on the same chain; those that are slow read fewer balances.

    Raises:
        AssertionError: If an engine gives a balance that is not the one on the chain.
    """
    engines: dict[str, tuple[Callable[[World, int], None], int]] = {
        "web3.py, one call after the other": (_web3_calls, 300),
        "web3.py, batches of 500": (_web3_batches, 3_000),
        "multicall 0.15": (_multicall_package, 30_000),
        "ours without state override or creation code: NumPy aggregate3": (_our_aggregate, 200_000),
        "ours, creation code answered by revert": (_our_creation_code, WALLETS * TOKENS),
        "ours, state override": (_our_override, WALLETS * TOKENS),
    }
    with Anvil(CHAIN_ID) as chain:
        world = _populated(chain)
        measured = []
        for name, (engine, balances) in engines.items():
            engine(world, min(balances, 100))  # imports and connections are not what is measured
            with _spent() as spent:
                engine(world, balances)
            measured.append(Measured(name, balances, *spent))
    return measured


@contextmanager
def _spent() -> Iterator[list[float]]:
    """Seconds of the processor, then of the clock; processes that were started and have ended are included."""
    spent: list[float] = []
    before, started = _processor(), time.perf_counter()
    yield spent
    spent += [_processor() - before, time.perf_counter() - started]


def _processor() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _populated(chain: Anvil) -> World:
    rng = np.random.default_rng(5)
    wallets = rng.integers(0, 256, (WALLETS, 20), dtype=np.uint8)
    tokens = rng.integers(0, 256, (TOKENS, 20), dtype=np.uint8)
    truth = np.where(rng.random((WALLETS, TOKENS)) < SHARE, rng.integers(1, 10**18, (WALLETS, TOKENS)), 0)
    place_multicall3(chain)
    for column, token in enumerate(tokens):
        address = "0x" + token.tobytes().hex()
        chain.set_code(address, PLAIN)
        held = ((wallets[row].tobytes(), int(truth[row, column])) for row in np.flatnonzero(truth[:, column]))
        while part := dict(islice(held, STORED_AT_ONCE)):
            chain.send(address, stored(part), gas=25_000_000)
    return World(chain.url, wallets, tokens, truth)


def _web3_calls(world: World, balances: int) -> None:
    from web3 import HTTPProvider, Web3

    w3 = Web3(HTTPProvider(world.url))
    block = w3.eth.block_number
    contracts: dict[str, Any] = {}
    for token, wallet, balance in islice(world.pairs(), balances):
        contract = contracts.get(token) or contracts.setdefault(token, w3.eth.contract(address=token, abi=ABI))  # type: ignore[call-overload]
        assert contract.functions.balanceOf(wallet).call(block_identifier=block) == balance


def _web3_batches(world: World, balances: int) -> None:
    from web3 import HTTPProvider, Web3

    w3 = Web3(HTTPProvider(world.url))
    block = w3.eth.block_number
    pairs = islice(world.pairs(), balances)
    contracts: dict[str, Any] = {}
    while part := list(islice(pairs, 500)):
        with w3.batch_requests() as batch:
            for token, wallet, _ in part:
                contract = contracts.get(token) or contracts.setdefault(token, w3.eth.contract(address=token, abi=ABI))  # type: ignore[call-overload]
                batch.add(contract.functions.balanceOf(wallet).call(block_identifier=block))
            answers = batch.execute()
        assert answers == [balance for _, _, balance in part]


def _multicall_package(world: World, balances: int) -> None:
    from multicall import Call, Multicall
    from web3 import HTTPProvider, Web3

    w3 = Web3(HTTPProvider(world.url))
    block = w3.eth.block_number
    pairs = islice(world.pairs(), balances)
    while part := list(islice(pairs, 2_000)):
        calls = [
            Call(token, ["balanceOf(address)(uint256)", wallet], [(number, None)], _w3=w3)
            for number, (token, wallet, _) in enumerate(part)
        ]
        found = Multicall(calls, block_id=block, _w3=w3, gas_limit=30_000_000)()
        assert [found[number] for number in range(len(part))] == [balance for _, _, balance in part]


def _our_override(world: World, balances: int) -> None:
    _ours(world, balances, set())


def _our_creation_code(world: World, balances: int) -> None:
    _ours(world, balances, {"state override"})


def _our_aggregate(world: World, balances: int) -> None:
    _ours(world, balances, {"state override", "creation code, reverted", "creation code"})


def _ours(world: World, balances: int, without: set[str]) -> None:
    rows = balances // TOKENS

    async def read() -> None:
        endpoint = EndpointSettings(world.url, WITHOUT_PACE)
        async with open_node(CHAIN_ID, "ethereum", [endpoint], capabilities=MemoryCapabilityStore()) as node:
            block = await node.block()
            found = await read_balances(
                node,
                world.wallets[:rows],
                world.tokens,
                block,
                native=False,
                multicall=MULTICALL3,
                limits=ReaderLimits(unsupported=without),
            )
        assert not len(found.failed_wallet)
        table = np.zeros((rows, TOKENS), np.int64)
        table[found.wallet, found.column - 1] = found.words[:, -8:].copy().view(">i8").ravel()
        assert not found.words[:, :-8].any()
        assert np.array_equal(table, world.truth[:rows])

    asyncio.run(read())


if __name__ == "__main__":
    print(json.dumps([[m.engine, m.balances, m.processor_seconds, m.seconds] for m in compare()]))
