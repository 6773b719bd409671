"""Reading Uniswap v3 positions of one user: the project's reader against web3.py, on one local chain, in one run.

Runs in a process of its own: python -m benchmarks.positions. Every amount is compared with what web3.py is told by the
contracts. Seconds are of the clock, the chain's own work included: a user waits for both.
"""

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from portfolio_pipelines.chains.deployments import UniswapV3
from portfolio_pipelines.chains.protocols.uniswap_v3 import read_positions
from portfolio_pipelines.chains.rpc.capabilities import MemoryCapabilityStore
from portfolio_pipelines.chains.rpc.client import open_node
from portfolio_pipelines.chains.rpc.endpoints import EndpointSettings
from tests.contracts.anvil import MULTICALL3, Anvil
from tests.contracts.artifacts import place_multicall3
from tests.contracts.solidity import compiled
from tests.contracts.uniswap import FOREVER, UniswapV3Contracts, deploy_uniswap_v3

POSITIONS: Final = 50  # what a user may have
REPEATED: Final = 20  # times that our reader reads them, for a figure that means something
FEES: Final = {500: 10, 3_000: 60, 10_000: 200}
MOST: Final = 2**128 - 1
WITHOUT_PACE: Final = 1e6  # requests a second

Amounts = dict[int, tuple[int, int, int, int]]  # by token id: principal 0 and 1, fees 0 and 1


@dataclass(frozen=True, slots=True)
class World:
    """A chain with a user who has positions."""

    url: str
    chain_id: int
    uniswap: UniswapV3Contracts
    owner: str


@dataclass(frozen=True, slots=True)
class Measured:
    """How long an engine took for all positions of the user, and in how many requests."""

    engine: str
    seconds: float
    requests: int


def compare() -> list[Measured]:
    """Every engine on the same chain; the first is the truth.

    Raises:
        AssertionError: If the engines disagree.
    """
    engines: list[tuple[str, Callable[[World], tuple[Amounts, int, float]]]] = [
        ("web3.py, one call after the other", _web3),
        ("ours without state override: Multicall3", lambda world: _ours(world, overrides=False)),
        ("ours, state override", lambda world: _ours(world, overrides=True)),
    ]
    with Anvil(arguments=["--gas-limit", "2000000000"]) as chain:
        world = _populated(chain)
        measured, truth = [], None
        for name, engine in engines:
            amounts, requests, seconds = engine(world)
            truth = truth or amounts
            assert amounts == truth
            assert len(amounts) == POSITIONS
            measured.append(Measured(name, seconds, requests))
    return measured


def _populated(chain: Anvil) -> World:
    chance = random.Random(50)
    place_multicall3(chain)
    uniswap = deploy_uniswap_v3(chain, compiled())
    for fee in FEES:
        uniswap.pool(fee, 2**96)
    owner = chain.accounts[1]
    fees = [chance.choice(list(FEES)) for _ in range(POSITIONS)]
    uniswap.mint([(owner, fee, -FEES[fee] * chance.randrange(1, 50), FEES[fee] * 50, 10**20, 10**20) for fee in fees])
    uniswap.swap([(chance.choice(list(FEES)), chance.random() < 0.5, 10**19) for _ in range(50)])
    return World(chain.url, chain.chain_id, uniswap, owner)


def _web3(world: World) -> tuple[Amounts, int, float]:
    from web3 import HTTPProvider, Web3

    w3 = Web3(HTTPProvider(world.url))
    owner = w3.to_checksum_address(world.owner)
    address = w3.to_checksum_address(world.uniswap.manager.address)
    manager = w3.eth.contract(address=address, abi=world.uniswap.manager.abi)
    manager.functions.balanceOf(owner).call()  # the connection is not what is measured
    started = time.perf_counter()
    amounts: Amounts = {}
    for index in range(manager.functions.balanceOf(owner).call()):
        token_id = manager.functions.tokenOfOwnerByIndex(owner, index).call()
        liquidity = manager.functions.positions(token_id).call()[7]
        decrease = manager.functions.decreaseLiquidity((token_id, liquidity, 0, 0, FOREVER))
        collect = manager.functions.collect((token_id, owner, MOST, MOST))
        amounts[token_id] = (*decrease.call({"from": owner}), *collect.call({"from": owner}))
    seconds = time.perf_counter() - started
    return amounts, 3 * (1 + 4 * POSITIONS), seconds  # its contract calls send three requests each


def _ours(world: World, *, overrides: bool) -> tuple[Amounts, int, float]:
    deployment = UniswapV3(world.uniswap.factory.address, world.uniswap.manager.address)
    asked = 0

    async def read() -> tuple[Amounts, float]:
        nonlocal asked
        endpoint = EndpointSettings(world.url, WITHOUT_PACE)
        async with open_node(world.chain_id, "local", [endpoint], capabilities=MemoryCapabilityStore()) as node:
            ask = node.eth_call

            async def counted(to, data, block, *, code=None, gas=None):  # type: ignore[no-untyped-def]
                nonlocal asked
                if code and not overrides:
                    return b""  # as nodes answer that ignore the program
                asked += 1
                return await ask(to, data, block, code=code, gas=gas)

            node.eth_call = counted
            block = await node.block()
            await read_positions(node, [world.owner], block, deployment, multicall3=MULTICALL3)
            asked = 0
            started = time.perf_counter()
            for _ in range(REPEATED):
                positions = await read_positions(node, [world.owner], block, deployment, multicall3=MULTICALL3)
            seconds = (time.perf_counter() - started) / REPEATED
        amounts: Amounts = {}
        for position in positions:
            raw = {(amount.token, amount.role): amount.raw for amount in position.amounts}
            tokens = [str(position.facts[name]) for name in ("token0", "token1")]
            first, second, third, fourth = (
                raw.get((token, role), 0) for role in ("principal", "fee") for token in tokens
            )
            amounts[int(position.facts["token_id"])] = first, second, third, fourth
        return amounts, seconds

    amounts, seconds = asyncio.run(read())
    return amounts, asked // REPEATED, seconds


if __name__ == "__main__":
    print(json.dumps([[m.engine, POSITIONS, m.requests, m.seconds] for m in compare()]))
