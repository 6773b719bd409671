"""Real Uniswap pools, and what only looks like a pool, on a local chain."""

import asyncio
from dataclasses import dataclass

import pytest

from portfolio_pipelines.chains.deployments import Deployments, PairFactory, UniswapV3
from portfolio_pipelines.chains.protocols.pools import NoPoolError, PoolFacts, Verdict, check_pools
from portfolio_pipelines.chains.rpc.errors import Unreachable
from tests.contracts.anvil import MULTICALL3, Anvil
from tests.contracts.artifacts import Artifact, Contract, artifact, deploy
from tests.contracts.plain_node import PlainNode
from tests.contracts.solidity import HERE, compiled

COIN_A, COIN_B, COIN_C = (f"0x{digit * 40}" for digit in "abc")
NOBODY = "0x" + "77" * 20


@dataclass
class World:
    v2: Contract
    sushi: Contract
    v3: Contract
    curve: Contract
    contracts: dict[str, Artifact]

    @property
    def chain(self) -> Anvil:
        return self.v2.chain

    @property
    def known(self) -> Deployments:
        pairs = (PairFactory("uniswap_v2", self.v2.address), PairFactory("sushiswap", self.sushi.address))
        return Deployments(31337, UniswapV3(self.v3.address, NOBODY), pairs, curve_address_provider=self.curve.address)


@pytest.fixture(scope="module")
def world(module_chain: Anvil) -> World:
    contracts = compiled([HERE / "stand_ins" / "NamesAndPools.sol"])
    v2 = artifact("@uniswap/v2-core/build/UniswapV2Factory.json")
    v3 = artifact("@uniswap/v3-core/artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory.json")
    return World(
        deploy(module_chain, v2, NOBODY), deploy(module_chain, v2, NOBODY), deploy(module_chain, v3),
        deploy(module_chain, contracts["CurveRegistry"]), contracts,
    )  # fmt: skip


@pytest.fixture(params=[MULTICALL3, None], ids=["multicall3", "batch"])
def multicall3(request: pytest.FixtureRequest) -> str | None:
    return request.param


def check(node: PlainNode, known: Deployments, *pools: str, multicall3: str | None = MULTICALL3) -> list[Verdict]:
    found = asyncio.run(check_pools(node, pools, known, multicall3=multicall3))
    return [found[pool] for pool in pools]


def pair_of(factory: Contract) -> str:
    if int(factory.call("getPair", COIN_A, COIN_B), 16) == 0:
        factory.send("createPair", COIN_B, COIN_A)
    return str(factory.call("getPair", COIN_A, COIN_B)).lower()


def pool_of(world: World, fee: int = 3000) -> str:
    if int(world.v3.call("getPool", COIN_A, COIN_B, fee), 16) == 0:
        world.v3.send("createPool", COIN_A, COIN_B, fee)
    return str(world.v3.call("getPool", COIN_A, COIN_B, fee)).lower()


def test_pools_of_known_factories_are_verified(world: World, module_node: PlainNode, multicall3: str | None) -> None:
    pools = [pair_of(world.v2), pair_of(world.sushi), pool_of(world), pool_of(world, 500)]
    coins = (COIN_A, COIN_B)
    assert check(module_node, world.known, *pools, multicall3=multicall3) == [
        PoolFacts("uniswap_v2", coins, True, {"factory": world.v2.address}),
        PoolFacts("sushiswap", coins, True, {"factory": world.sushi.address}),
        PoolFacts("uniswap_v3", coins, True, {"factory": world.v3.address, "fee": 3000, "tick_spacing": 60}),
        PoolFacts("uniswap_v3", coins, True, {"factory": world.v3.address, "fee": 500, "tick_spacing": 10}),
    ]


def test_pools_of_unknown_factories_are_taken_as_unverified(world: World, module_node: PlainNode) -> None:
    found = check(module_node, Deployments(31337), pair_of(world.sushi), pool_of(world))
    assert [(each.protocol, each.is_verified) for each in found if isinstance(each, PoolFacts)] == [
        ("uniswap_v2", False),
        ("uniswap_v3", False),
    ]


def test_a_pair_that_its_factory_does_not_know_is_refused(world: World, module_node: PlainNode) -> None:
    claimed = deploy(world.chain, world.contracts["ClaimedPair"], COIN_A, COIN_C, world.v2.address, False)
    (found,) = check(module_node, world.known, claimed.address)
    assert isinstance(found, NoPoolError)
    assert f"claims to be of uniswap_v2, whose factory {world.v2.address} does not know it" in str(found)


def test_a_stable_pair_of_a_solidly_fork_is_refused(world: World, module_node: PlainNode) -> None:
    stable = deploy(world.chain, world.contracts["ClaimedPair"], COIN_A, COIN_C, NOBODY, True)
    (found,) = check(module_node, world.known, stable.address)
    assert isinstance(found, NoPoolError)
    assert "is a stable pair of a Solidly fork, which cannot be valued" in str(found)


def test_curve_pools_name_all_their_coins_old_and_new(
    world: World, module_node: PlainNode, multicall3: str | None
) -> None:
    chain, coins = world.chain, [COIN_C, COIN_A, COIN_B]
    new = deploy(chain, world.contracts["CurvePool"], coins[:2])
    old = deploy(chain, world.contracts["CurvePoolOf2020"], coins)
    world.curve.send("add", old.address)
    assert check(module_node, world.known, new.address, old.address, multicall3=multicall3) == [
        PoolFacts("curve", (COIN_C, COIN_A), False, {"coins": "coins(uint256)"}),
        PoolFacts("curve", (COIN_C, COIN_A, COIN_B), True, {"coins": "coins(int128)"}),
    ]
    (unknown,) = check(module_node, Deployments(31337), old.address)
    assert isinstance(unknown, PoolFacts)
    assert not unknown.is_verified


def test_what_is_no_pool_says_why(world: World, module_node: PlainNode) -> None:
    one_coin = deploy(world.chain, world.contracts["CurvePool"], [COIN_A])
    found = check(module_node, world.known, NOBODY, world.v2.address, one_coin.address)
    assert all(isinstance(each, NoPoolError) for each in found)
    assert f"{NOBODY} is no pool: there is no contract on local" in str(found[0])
    assert "is a contract, but no pool of Uniswap v2 or v3" in str(found[1])
    assert "names one coin only" in str(found[2])


def test_a_chain_that_does_not_answer_is_no_verdict_on_a_pool() -> None:
    gone = PlainNode("http://127.0.0.1:9")
    assert all(isinstance(each, Unreachable) for each in check(gone, Deployments(31337), COIN_A, COIN_B))


def test_no_pool_costs_no_request() -> None:
    gone = PlainNode("http://127.0.0.1:9")
    assert check(gone, Deployments(31337)) == []
