"""Real Balancer v2 on a local chain: the Vault, weighted pools of 2021 and of 2023, its own answers to who wants out.

The contracts are those of @balancer-labs/v2-deployments, as they stand on public chains.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from eth_abi.abi import encode
from eth_hash.auto import keccak

from portfolio_pipelines.chains.deployments import BalancerV2
from tests.contracts.anvil import Anvil
from tests.contracts.artifacts import Artifact, Contract, artifact, deploy
from tests.contracts.install import installed
from tests.contracts.uniswap import FOREVER, PLENTY, WETH, ZERO

TASKS: Final = "@balancer-labs/v2-deployments/dist/tasks/"
VAULT, FIRST, THIRD = "20210418-vault", "20210418-weighted-pool", "20230206-weighted-pool-v3"
DAY: Final = 86_400
FIRST_DEPOSIT, ALL_COINS_OUT = 0, 1  # kinds of joining and of leaving
ONE: Final = 10**18


@cache
def of_2021(name: str) -> Artifact:
    """A contract of the task of 2021, whose interface and code are published apart."""
    folder = installed() / "node_modules" / TASKS / FIRST
    code = json.loads((folder / "bytecode" / f"{name}.json").read_text())["creationCode"]
    return Artifact(name, json.loads((folder / "abi" / f"{name}.json").read_text()), code.removeprefix("0x"))


def published(task: str, name: str) -> Artifact:
    """A contract of a task that publishes its whole artifact."""
    return artifact(f"{TASKS}{task}/artifact/{name}.json")


@dataclass(frozen=True)
class Pool:
    """A weighted pool and its coins, sorted by address as the Vault wants them."""

    contract: Contract
    pool_id: bytes
    tokens: tuple[Contract, ...]

    @property
    def address(self) -> str:
        return self.contract.address


@dataclass(frozen=True)
class Balancer:
    """Balancer v2. Account 0 governs it; factories of 2021 have the name of their pools, that of 2023 its year."""

    chain: Anvil
    vault: Contract
    authorizer: Contract
    collector: Contract
    helpers: Contract
    factories: dict[str, Contract]

    @property
    def known(self) -> BalancerV2:
        return BalancerV2(self.vault.address, tuple(factory.address for factory in self.factories.values()))

    def take_of_fees(self, share: int) -> None:
        """The protocol takes so much of all fees from now on, 18 decimals; at most a half."""
        action = keccak(b"setSwapFeePercentage(uint256)")[:4]
        role = self.collector.call("getActionId", action)
        self.authorizer.send("grantRole", role, self.chain.accounts[0])
        self.collector.send("setSwapFeePercentage", share)

    def pool(self, version: str, tokens: Sequence[Contract], weights: Sequence[int], fee: int = ONE // 100) -> Pool:
        """A new pool of coins that are sorted; `version` is one of `factories`."""
        coins = tuple(token.address for token in tokens)
        more: dict[str, list[Any]] = {
            "WeightedPool": [fee, ZERO], "WeightedPool2Tokens": [fee, True, ZERO],
            "of 2023": [[ZERO] * len(coins), fee, ZERO],
        }  # fmt: skip
        arguments = ["Pool", "BPT", coins, list(weights), *more[version]]
        factory = self.factories[version]
        made = factory.call("create", *arguments)
        factory.send("create", *arguments)
        abi = (published(THIRD, "WeightedPool") if version == "of 2023" else of_2021(version)).abi
        contract = Contract(self.chain, made, abi)
        return Pool(contract, contract.call("getPoolId"), tuple(tokens))

    def other_pool(self, task: str, factory: str, *arguments: Any) -> str:
        """A new pool of a kind that has no weights, or none that stay; its address."""
        made = deploy(self.chain, published(task, factory), self.vault.address)
        address = made.call("create", *arguments)
        made.send("create", *arguments)
        return str(address).lower()

    def begin(self, pool: Pool, owner: str, amounts: Sequence[int]) -> None:
        """The first deposit; the owner gets the shares, and has plenty of all coins afterwards."""
        for token in pool.tokens:
            token.send("mint", owner, PLENTY)
            token.send("approve", self.vault.address, 2**256 - 1, sender=owner)
        data = encode(["uint256", "uint256[]"], [FIRST_DEPOSIT, list(amounts)])
        request = ([token.address for token in pool.tokens], list(amounts), data, False)
        self.vault.send("joinPool", pool.pool_id, owner, owner, request, sender=owner)

    def swap(self, pool: Pool, trader: str, sold: int, bought: int, amount: int) -> None:
        """Sell so much of the coin at place `sold` for the one at place `bought`."""
        first, second = (pool.tokens[place].address for place in (sold, bought))
        single = (pool.pool_id, 0, first, second, amount, b"")
        self.vault.send("swap", single, (trader, False, trader, False), 0, FOREVER, sender=trader)

    def out(self, pool: Pool, shares: int) -> tuple[list[str], list[int], bytes, bool]:
        """The request to leave with so many shares in all coins."""
        data = encode(["uint256", "uint256"], [ALL_COINS_OUT, shares])
        return [token.address for token in pool.tokens], [0] * len(pool.tokens), data, False

    def would_pay(self, pool: Pool, owner: str, shares: int, block: int | None = None) -> list[int]:
        """What Balancer's own helper says that leaving pays."""
        answer = self.helpers.call("queryExit", pool.pool_id, owner, owner, self.out(pool, shares), block=block)
        return list(answer[1])

    def leave(self, pool: Pool, owner: str, shares: int) -> list[int]:
        """Leave with so many shares; what was paid."""
        before = [token.call("balanceOf", owner) for token in pool.tokens]
        self.vault.send("exitPool", pool.pool_id, owner, owner, self.out(pool, shares), sender=owner)
        after = [token.call("balanceOf", owner) for token in pool.tokens]
        return [now - then for now, then in zip(after, before, strict=True)]


def deploy_balancer(chain: Anvil) -> Balancer:
    """Balancer v2 with three factories of weighted pools, whose protocol takes nothing of the fees yet."""
    weth = deploy(chain, artifact(WETH))
    authorizer = deploy(chain, published("20210418-authorizer", "Authorizer"), chain.accounts[0])
    vault = deploy(chain, published(VAULT, "Vault"), authorizer.address, weth.address, 90 * DAY, 30 * DAY)
    helpers = deploy(chain, published(VAULT, "BalancerHelpers"), vault.address)
    provider = deploy(
        chain, published("20220725-protocol-fee-percentages-provider", "ProtocolFeePercentagesProvider"),
        vault.address, ONE, ONE,
    )  # fmt: skip
    factories = {
        "WeightedPool": deploy(chain, of_2021("WeightedPoolFactory"), vault.address),
        "WeightedPool2Tokens": deploy(chain, of_2021("WeightedPool2TokensFactory"), vault.address),
        "of 2023": deploy(
            chain, published(THIRD, "WeightedPoolFactory"), vault.address, provider.address, "factory", "pool"
        ),
    }
    collector = Contract(chain, vault.call("getProtocolFeesCollector"), COLLECTOR)
    return Balancer(chain, vault, authorizer, collector, helpers, factories)


def coins(chain: Anvil, sources: dict[str, Artifact], places: Sequence[int]) -> list[Contract]:
    """New coins of so many decimals each, sorted by address."""
    made = [
        deploy(chain, sources["TestToken"], f"COIN{number}", f"C{number}", each) for number, each in enumerate(places)
    ]
    return sorted(made, key=lambda token: token.address)


def _function(name: str, inputs: Sequence[str], outputs: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "function", "name": name, "inputs": [{"name": "", "type": kind} for kind in inputs],
        "outputs": [{"name": "", "type": kind} for kind in outputs],
    }  # fmt: skip


COLLECTOR: Final = [
    _function("getActionId", ["bytes4"], ["bytes32"]),
    _function("setSwapFeePercentage", ["uint256"], []),
    _function("getSwapFeePercentage", [], ["uint256"]),
]
"""What is used of the contract that takes the protocol's part of fees; the Vault brings it along."""
