"""Where protocols are deployed: addresses alone. How their positions are read is in `protocols`.

Shipped in `data/deployments.json`: Uniswap from its sdk-core, Aave from its address book (both MIT), addresses of
Compound, Sushiswap, Curve and Balancer as facts. The user's chains.toml may name more in the tables of its chains.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

SHIPPED: Final = Path(__file__).parent / "data/deployments.json"


@dataclass(frozen=True, slots=True)
class PairFactory:
    """Makes the pairs of Uniswap v2 or of a fork of it."""

    protocol: str  # "uniswap_v2", "sushiswap"
    factory: str


@dataclass(frozen=True, slots=True)
class UniswapV3:
    """Uniswap v3 on one chain."""

    factory: str
    position_manager: str  # NonfungiblePositionManager: positions are its ERC-721 tokens


@dataclass(frozen=True, slots=True)
class AaveReserve:
    """One asset of an Aave v3 market."""

    symbol: str
    decimals: int
    underlying: str
    a_token: str
    v_token: str  # variable debt


@dataclass(frozen=True, slots=True)
class AaveV3Market:
    """One market of Aave v3."""

    market: str
    pool: str
    data_provider: str
    oracle: str
    addresses_provider: str | None = None
    reserves: tuple[AaveReserve, ...] = ()  # as known when this was shipped; the chain may have more


@dataclass(frozen=True, slots=True)
class CompoundV3Market:
    """One Comet."""

    market: str
    comet: str
    rewards: str | None = None
    base_token: str | None = None


@dataclass(frozen=True, slots=True)
class BalancerV2:
    """Balancer v2 on one chain."""

    vault: str  # holds the coins of all pools
    factories: tuple[str, ...]  # of weighted pools, all versions


@dataclass(frozen=True, slots=True)
class Deployments:
    """The protocols of one chain; empty where nothing is known."""

    chain_id: int
    uniswap_v3: UniswapV3 | None = None
    uniswap_v2_factories: tuple[PairFactory, ...] = ()
    aave_v3: tuple[AaveV3Market, ...] = ()
    compound_v3: tuple[CompoundV3Market, ...] = ()
    curve_address_provider: str | None = None
    balancer_v2: BalancerV2 | None = None


@dataclass(frozen=True, slots=True)
class DeploymentList:
    """Deployments by chain."""

    by_chain: Mapping[int, Deployments] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Deployments]:
        return iter(self.by_chain.values())

    def of(self, chain_id: int) -> Deployments:
        """What is deployed on a chain, as far as it is known."""
        return self.by_chain.get(chain_id) or Deployments(chain_id)


def load_deployments(additions: Mapping[int, Mapping[str, Any]] | None = None) -> DeploymentList:
    """The shipped deployments, and those of the user's file in the place of the shipped ones of the same protocol.

    Args:
        additions: `Registry.added_deployments`: by chain, the tables of protocols as they were written and checked.
    """
    import orjson

    shipped = {int(key): deployments_from(int(key), row) for key, row in orjson.loads(SHIPPED.read_bytes()).items()}
    for chain_id, row in (additions or {}).items():
        shipped[chain_id] = deployments_from(chain_id, row, shipped.get(chain_id))
    return DeploymentList(shipped)


def deployments_from(chain_id: int, row: Mapping[str, Any], known: Deployments | None = None) -> Deployments:
    """Deployments from the tables of a file, on top of those that are known."""
    found = known or Deployments(chain_id)
    if "uniswap_v3" in row:
        found = replace(found, uniswap_v3=UniswapV3(**row["uniswap_v3"]))
    named = {
        "uniswap_v2": [pair for pair in found.uniswap_v2_factories if pair.protocol == "uniswap_v2"],
        "sushiswap": [pair for pair in found.uniswap_v2_factories if pair.protocol == "sushiswap"],
    }
    named |= {name: [PairFactory(name, factory) for factory in row[name]] for name in named if name in row}
    found = replace(found, uniswap_v2_factories=(*named["uniswap_v2"], *named["sushiswap"]))
    if "aave_v3" in row:
        found = replace(found, aave_v3=tuple(_aave(market) for market in row["aave_v3"]))
    if "compound_v3" in row:
        found = replace(found, compound_v3=tuple(CompoundV3Market(**market) for market in row["compound_v3"]))
    if "curve_address_provider" in row:
        found = replace(found, curve_address_provider=row["curve_address_provider"])
    if "balancer_v2" in row:
        found = replace(
            found, balancer_v2=BalancerV2(row["balancer_v2"]["vault"], tuple(row["balancer_v2"]["factories"]))
        )
    return found


def _aave(row: Mapping[str, Any]) -> AaveV3Market:
    reserves = tuple(AaveReserve(**reserve) for reserve in row.get("reserves", ()))
    return AaveV3Market(**{**row, "reserves": reserves})
