"""Which contracts are weighted pools of Balancer v2: real ones, and what else its Vault knows."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from portfolio_pipelines.chains.deployments import BalancerV2, Deployments
from portfolio_pipelines.chains.protocols.pools import NoPoolError, PoolFacts, Verdict, check_pools
from tests.contracts.anvil import MULTICALL3, Anvil
from tests.contracts.artifacts import Artifact, Contract, place_multicall3
from tests.contracts.balancer import ONE, ZERO, Balancer, coins, deploy_balancer
from tests.contracts.plain_node import PlainNode

NOBODY = "0x" + "77" * 20


@dataclass
class World:
    balancer: Balancer
    tokens: list[Contract]

    @property
    def known(self) -> Deployments:
        return Deployments(31337, balancer_v2=self.balancer.known)

    def check(
        self, *pools: str, known: Deployments | None = None, multicall3: str | None = MULTICALL3
    ) -> list[Verdict]:
        node = PlainNode(self.balancer.chain.url, self.balancer.chain.chain_id)
        found = asyncio.run(check_pools(node, pools, known or self.known, multicall3=multicall3))
        return [found[pool] for pool in pools]


@pytest.fixture(scope="module")
def world(contracts_folder: object, sources: dict[str, Artifact]) -> Iterator[World]:
    with Anvil() as chain:
        place_multicall3(chain)
        yield World(deploy_balancer(chain), coins(chain, sources, (18, 6, 8)))


@pytest.mark.parametrize("multicall3", [MULTICALL3, None], ids=["multicall3", "batch"])
@pytest.mark.parametrize("version", ["WeightedPool", "WeightedPool2Tokens", "of 2023"])
def test_weighted_pools_of_known_factories_are_verified_and_say_their_weights(
    world: World, version: str, multicall3: str | None
) -> None:
    tokens, weights = world.tokens[:2], [ONE // 5 * 4, ONE // 5]
    pool = world.balancer.pool(version, tokens, weights)
    assert world.check(pool.address, multicall3=multicall3) == [
        PoolFacts(
            "balancer_v2",
            tuple(token.address for token in tokens),
            True,
            {
                "vault": world.balancer.vault.address,
                "pool_id": "0x" + pool.pool_id.hex(),
                "weights": "800000000000000000 200000000000000000",
            },
        )
    ]


def test_pools_of_unknown_factories_and_vaults_are_taken_as_unverified(world: World) -> None:
    pool = world.balancer.pool("of 2023", world.tokens, [ONE // 2, ONE // 4, ONE // 4]).address
    known = world.balancer.known
    for strangers in (None, BalancerV2(NOBODY, known.factories), replace(known, factories=known.factories[:1])):
        (found,) = world.check(pool, known=Deployments(31337, balancer_v2=strangers))
        assert isinstance(found, PoolFacts)
        assert (found.protocol, len(found.tokens), found.is_verified) == ("balancer_v2", 3, False)


def test_pools_of_other_kinds_are_refused_with_what_they_are(world: World) -> None:
    addresses = [token.address for token in world.tokens]
    bootstrapping = world.balancer.other_pool(
        "20211202-no-protocol-fee-lbp", "NoProtocolFeeLiquidityBootstrappingPoolFactory",
        "Sale", "LBP", addresses[:2], [ONE // 2, ONE // 2], ONE // 100, world.balancer.chain.accounts[0], True,
    )  # fmt: skip
    stable = world.balancer.other_pool(
        "20220609-stable-pool-v2", "StablePoolFactory", "Stable", "S", addresses, 100, ONE // 1000, ZERO
    )
    first, second = world.check(bootstrapping, stable)
    assert isinstance(first, NoPoolError)
    assert isinstance(second, NoPoolError)
    assert str(first) == (
        f"{bootstrapping} on local is a pool whose weights change (liquidity bootstrapping or managed) of Balancer v2: "
        "weighted pools alone can be valued"
    )
    assert str(second) == f"{stable} on local is a stable pool of Balancer v2: weighted pools alone can be valued"


def test_a_pool_that_the_vault_does_not_know_is_refused(world: World) -> None:
    pool = world.balancer.pool("WeightedPool", world.tokens[:2], [ONE // 2, ONE // 2]).address
    vault, chain = world.balancer.vault.address, world.balancer.chain
    with chain.reverted():
        chain.set_code(vault, bytes.fromhex("60006000fd"))
        (found,) = world.check(pool)
    assert isinstance(found, NoPoolError)
    assert f"{pool} on local claims to be of Balancer v2, whose Vault {vault} does not know it" in str(found)
    (found,) = world.check(vault)
    assert isinstance(found, NoPoolError)
    assert "is a contract, but no pool" in str(found)
