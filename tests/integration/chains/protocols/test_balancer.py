"""Shares of real weighted pools of Balancer v2: equal to the contracts' own exits to the smallest unit."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from eth_hash.auto import keccak

from portfolio_pipelines.chains.deployments import BalancerV2
from portfolio_pipelines.chains.protocols.balancer import read_positions
from portfolio_pipelines.chains.protocols.balancer_pools import MOST_COINS
from portfolio_pipelines.chains.protocols.faults import PositionFault
from portfolio_pipelines.chains.protocols.pool_states import PoolRequest, PoolState, read_pool_states
from portfolio_pipelines.chains.protocols.positions import Position
from tests.contracts.anvil import MULTICALL3, Anvil
from tests.contracts.artifacts import Artifact, Contract, deploy, place_multicall3
from tests.contracts.balancer import ONE, Balancer, Pool, coins, deploy_balancer
from tests.contracts.plain_node import PlainNode

GONE = "0x" + "22" * 20
WEIGHTS = {
    "WeightedPool": [ONE // 2, ONE // 4, ONE // 4],
    "WeightedPool2Tokens": [ONE // 5, ONE // 5 * 4],
    "of 2023": [ONE // 3, ONE // 3, ONE - 2 * (ONE // 3)],
}
VERSIONS = list(WEIGHTS)


@dataclass
class World:
    """A pool of each version in which Ana and Bob have shares, and of whose fees the protocol takes a half."""

    balancer: Balancer
    tokens: list[Contract]
    pools: dict[str, Pool]
    past: int  # a block before the swaps

    @property
    def chain(self) -> Anvil:
        return self.balancer.chain

    @property
    def ana(self) -> str:
        return self.chain.accounts[1]

    @property
    def bob(self) -> str:
        return self.chain.accounts[2]

    def trade(self, pool: Pool) -> None:
        for sold, bought, part in ((0, 1, 7), (1, 0, 5), (len(pool.tokens) - 1, 0, 3)):
            amount = 10 ** pool.tokens[sold].call("decimals") * 1_000 // part
            self.balancer.swap(pool, self.ana, sold, bought, amount)


@pytest.fixture(scope="module")
def world(contracts_folder: object, sources: dict[str, Artifact]) -> Iterator[World]:
    with Anvil() as chain:
        place_multicall3(chain)
        balancer = deploy_balancer(chain)
        balancer.take_of_fees(ONE // 2)
        tokens = coins(chain, sources, (18, 6, 8))
        pools = {
            version: balancer.pool(version, tokens[: len(weights)], weights) for version, weights in WEIGHTS.items()
        }
        made = World(balancer, tokens, pools, 0)
        for pool in pools.values():
            balancer.begin(pool, made.ana, [10_007 * 10 ** token.call("decimals") + 7 for token in pool.tokens])
            pool.contract.send(
                "transfer", made.bob, pool.contract.call("balanceOf", made.ana) // 3 + 1, sender=made.ana
            )
        made.past = chain.height
        for pool in pools.values():
            made.trade(pool)
        yield made


def read(
    world: World,
    wallets: Sequence[str],
    *shares: str,
    named: Sequence[str] = (),
    known: BalancerV2 | None = None,
    block: int | None = None,
    multicall3: str | None = MULTICALL3,
    faults: list[PositionFault] | None = None,
    node: PlainNode | None = None,
) -> list[Position]:
    async def run() -> list[Position]:
        asked = node or PlainNode(world.chain.url, world.chain.chain_id)
        at = await asked.block(block)
        return await read_positions(
            asked, wallets, at, known or world.balancer.known, shares,
            named=named, multicall3=multicall3, faults=faults,
        )  # fmt: skip

    return asyncio.run(run())


def amounts(pool: Pool, position: Position) -> list[int]:
    assert {amount.role for amount in position.amounts} <= {"principal"}
    held = {amount.token: amount.raw for amount in position.amounts}
    return [held.get(token.address, 0) for token in pool.tokens]


@pytest.mark.parametrize("multicall3", [MULTICALL3, None], ids=["multicall3", "batch"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_share_is_what_leaving_with_it_pays_the_protocols_part_of_fees_gone(
    world: World, version: str, multicall3: str | None
) -> None:
    pool = world.pools[version]
    positions = read(world, [world.ana, world.bob], pool.address, multicall3=multicall3)
    assert [position.wallet for position in positions] == [world.ana, world.bob]
    for position in positions:
        shares = pool.contract.call("balanceOf", position.wallet)
        with world.chain.reverted():
            paid = world.balancer.leave(pool, position.wallet, shares)
        assert amounts(pool, position) == paid == world.balancer.would_pay(pool, position.wallet, shares)
        assert (position.receipt_token, position.receipt_raw) == (pool.address, shares)
        assert (position.protocol, position.position_id) == ("balancer_v2", pool.address)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_protocols_part_is_not_the_holders(world: World, version: str) -> None:
    """What the pool holds by shares alone, which a reader who forgets the protocol would show, is more than is paid."""
    pool = world.pools[version]
    (position,) = read(world, [world.bob], pool.address)
    held = world.balancer.vault.call("getPoolTokens", pool.pool_id)[1]
    supply = pool.contract.call("totalSupply")
    naive = [position.receipt_raw * balance // supply for balance in held]
    assert naive != amounts(pool, position)
    assert all(mine <= most for mine, most in zip(amounts(pool, position), naive, strict=True))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("shares", [1, 10**6, 10**18 + 1])
def test_small_shares_are_rounded_as_the_contract_rounds_them(world: World, version: str, shares: int) -> None:
    pool, cleo = world.pools[version], world.chain.accounts[3]
    with world.chain.reverted():
        pool.contract.send("transfer", cleo, shares, sender=world.ana)
        (position,) = read(world, [cleo], pool.address)
        assert amounts(pool, position) == world.balancer.leave(pool, cleo, shares)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_past_is_read_as_it_was_and_who_has_left_has_nothing(world: World, version: str) -> None:
    pool = world.pools[version]
    (before,) = read(world, [world.bob], pool.address, block=world.past)
    assert amounts(pool, before) == world.balancer.would_pay(pool, world.bob, before.receipt_raw, block=world.past)
    with world.chain.reverted():
        world.balancer.leave(pool, world.bob, before.receipt_raw)
        assert read(world, [world.bob], pool.address) == []


def test_a_paused_pool_of_2021_pays_without_the_protocol(world: World) -> None:
    pool = world.pools["WeightedPool"]
    with world.chain.reverted():
        role = pool.contract.call("getActionId", bytes.fromhex("16c38b3c"))  # setPaused(bool)
        world.balancer.authorizer.send("grantRole", role, world.chain.accounts[0])
        pool.contract.send("setPaused", True)
        (position,) = read(world, [world.bob], pool.address)
        assert amounts(pool, position) == world.balancer.leave(pool, world.bob, position.receipt_raw)


def test_facts_say_coins_weights_and_what_all_shares_stand_for(world: World) -> None:
    pool = world.pools["of 2023"]
    (position,) = read(world, [world.bob], pool.address)
    facts = position.facts
    places = range(len(pool.tokens))
    assert [facts[f"token{place}"] for place in places] == [token.address for token in pool.tokens]
    assert [int(facts[f"weight{place}"]) for place in places] == WEIGHTS["of 2023"]
    assert int(facts["supply"]) == pool.contract.call("getActualSupply") > pool.contract.call("totalSupply")
    balances = world.balancer.vault.call("getPoolTokens", pool.pool_id)[1]
    assert [int(facts[f"held{place}"]) for place in places] == list(balances)
    assert facts["pool_id"] == "0x" + pool.pool_id.hex()


def test_only_what_a_factory_made_is_a_share_unless_somebody_names_it(world: World) -> None:
    """Anybody may register a contract with the Vault and send its shares around."""
    pool = world.pools["WeightedPool"]
    strangers = BalancerV2(world.balancer.vault.address, (world.balancer.factories["of 2023"].address, GONE))
    other = [pool.address, world.tokens[0].address, GONE, world.balancer.vault.address]
    assert read(world, [world.ana], *other, known=strangers) == []
    assert read(world, [world.ana], pool.address, known=BalancerV2(GONE, world.balancer.known.factories)) == []
    named = read(world, [world.ana], *other, named=[pool.address], known=strangers)
    assert named == read(world, [world.ana], pool.address)


def test_a_contract_with_the_id_of_another_pool_is_no_pool(world: World, sources: dict[str, Artifact]) -> None:
    pool = world.pools["WeightedPool"]
    with world.chain.reverted():
        copy = "0x" + "33" * 20
        world.chain.set_code(copy, bytes.fromhex(world.chain.rpc("eth_getCode", pool.address, "latest")[2:]))
        assert read(world, [world.ana], copy) == []
        faults: list[PositionFault] = []
        assert read(world, [world.ana], named=[copy], faults=faults) == []
    assert [str(fault) for fault in faults] == [
        f"local: balancer_v2 {copy}: it does not say that it is a pool of Balancer v2"
    ]


def test_what_cannot_be_read_is_named_and_the_others_are_read(world: World) -> None:
    good, bad = world.pools["of 2023"], world.pools["WeightedPool"]
    expected = read(world, [world.ana], good.address)
    with world.chain.reverted():
        world.chain.set_code(world.balancer.collector.address, bytes.fromhex("60006000fd"))
        faults: list[PositionFault] = []
        assert read(world, [world.ana], bad.address, good.address, named=[GONE], faults=faults) == expected
        assert {fault.place for fault in faults} == {bad.address, GONE}
        assert "what it owes the protocol is unknown" in str(next(each for each in faults if each.place == bad.address))
        with pytest.raises(PositionFault, match=f"local: balancer_v2 {bad.address}: what it owes"):
            read(world, [world.ana], bad.address)


def test_many_pools_cost_as_many_requests_as_one(world: World) -> None:
    node = PlainNode(world.chain.url, world.chain.chain_id)
    read(world, [world.ana], world.pools["WeightedPool"].address, node=node)
    alone, node.requests = node.requests, 0
    others = [f"0x{number:040x}" for number in range(2**90, 2**90 + MOST_COINS)]
    found = read(world, [world.ana, world.bob], *others, *(pool.address for pool in world.pools.values()), node=node)
    assert len(found) == 2 * len(VERSIONS)
    assert node.requests == alone


@pytest.mark.parametrize("version", VERSIONS)
def test_the_state_of_a_pool_is_that_of_the_vault(world: World, version: str) -> None:
    pool = world.pools[version]

    async def run(block: int, request: PoolRequest) -> list[PoolState]:
        node = PlainNode(world.chain.url, world.chain.chain_id)
        return await read_pool_states(node, [request], await node.block(block), multicall3=MULTICALL3)

    for block in (world.past, world.chain.height):
        tokens, balances, _ = world.balancer.vault.call("getPoolTokens", pool.pool_id, block=block)
        supply = pool.contract.call("getActualSupply" if version == "of 2023" else "totalSupply", block=block)
        assert asyncio.run(run(block, PoolRequest("balancer_v2", pool.address))) == [
            PoolState("balancer_v2", pool.address, tuple(tokens), tuple(balances), total_supply=supply, fee_pips=10_000)
        ]
    with pytest.raises(PositionFault, match=f"balancer_v2 {GONE}: it does not say that it is a pool of Balancer v2"):
        asyncio.run(run(world.past, PoolRequest("balancer_v2", GONE)))


def test_shares_that_lie_are_named(world: World, sources: dict[str, Artifact]) -> None:
    pool = world.pools["WeightedPool2Tokens"]
    with world.chain.reverted():
        key = world.bob[2:].zfill(64) + "0" * 64  # balances are the first thing that the contract stores
        slot = "0x" + keccak(bytes.fromhex(key)).hex()
        world.chain.rpc("anvil_setStorageAt", pool.address, slot, "0x" + f"{2**200:064x}")
        assert pool.contract.call("balanceOf", world.bob) == 2**200
        faults: list[PositionFault] = []
        found = read(world, [world.ana, world.bob], pool.address, faults=faults)
    assert [position.wallet for position in found] == [world.ana]
    assert [(fault.wallet, f"{2**200} shares of" in str(fault)) for fault in faults] == [(world.bob, True)]


def test_a_reading_without_factories_asks_nothing_of_strangers(world: World, sources: dict[str, Artifact]) -> None:
    token = deploy(world.chain, sources["TestToken"], "any", "ANY", 18)
    assert read(world, [world.ana], token.address, known=BalancerV2(world.balancer.vault.address, ())) == []
