import json
import os
import re
from pathlib import Path

import pytest

from portfolio_pipelines.chains.deployments import (
    BalancerV2,
    DeploymentList,
    Deployments,
    PairFactory,
    UniswapV3,
    load_deployments,
)
from portfolio_pipelines.chains.registry import load_registry

ROOT = Path(__file__).parents[3]
LISTS = (ROOT / os.environ.get("PORTFOLIO_SHARED_DATA", "../shared/data") / "chains").resolve()
lists = pytest.mark.skipif(not LISTS.is_dir(), reason="needs chains/ in PORTFOLIO_SHARED_DATA")


@pytest.fixture(scope="module")
def deployments() -> DeploymentList:
    return load_deployments()


def test_the_protocols_of_ethereum_are_known(deployments: DeploymentList) -> None:
    found = deployments.of(1)
    assert found.uniswap_v3 == UniswapV3(
        "0x1f98431c8ad98523631ae4a59f267346ea31f984", "0xc36442b4a4522e871399cd717abdd847ab11fe88"
    )
    assert found.uniswap_v2_factories == (
        PairFactory("uniswap_v2", "0x5c69bee701ef814a2b6a3edd4b1652cb9cc5aa6f"),
        PairFactory("sushiswap", "0xc0aee478e3658e2610c5f7a4a2e1777ce9e4f2ac"),
    )
    assert [market.market for market in found.aave_v3] == [
        "AaveV3Ethereum", "AaveV3EthereumLido", "AaveV3EthereumEtherFi", "AaveV3EthereumHorizon",
    ]  # fmt: skip
    assert found.aave_v3[0].pool == "0x87870bca3f3fd6335c3f4ce8392d69350b4fa4e2"
    assert {market.market for market in found.compound_v3} == {"usdc", "usds", "usdt", "wbtc", "weth", "wsteth"}
    assert found.curve_address_provider == "0x5ffe7fb82894076ecb99a30d6a32e969e6e35e98"
    assert found.balancer_v2 is not None
    assert found.balancer_v2.vault == "0xba12222222228d8ba445958a75a0704d566bf2c8"
    assert len(found.balancer_v2.factories) == 5
    assert deployments.of(8453).balancer_v2 == BalancerV2(
        found.balancer_v2.vault, ("0x4c32a8a8fda4e24139b51b456b42290f51d6a1c4",)
    )


def test_a_chain_without_known_protocols_has_none(deployments: DeploymentList) -> None:
    assert deployments.of(31337) == Deployments(31337)


def test_all_addresses_are_addresses_on_known_chains(deployments: DeploymentList) -> None:
    chains = load_registry().by_id
    for found in deployments:
        assert found.chain_id in chains
        addresses = re.findall(r"'(0x[^']*)'", repr(found))
        assert addresses
        assert all(re.fullmatch(r"0x[0-9a-f]{40}", address) for address in addresses)


@lists
def test_no_market_of_aave_and_compound_and_no_uniswap_is_lost(deployments: DeploymentList) -> None:
    chains = load_registry().by_id
    markets = [
        m for m in json.loads((LISTS / "aave_v3_markets.json").read_text())["markets"] if m["chain_id"] in chains
    ]
    comets = [
        c for c in json.loads((LISTS / "compound_v3_markets.json").read_text())["comets"] if c["chain_id"] in chains
    ]
    uniswap = json.loads((LISTS / "uniswap_addresses.json").read_text())
    assert {(m["chain_id"], m["pool"].lower(), m["oracle"].lower(), len(m["reserves"])) for m in markets} == {
        (found.chain_id, market.pool, market.oracle, len(market.reserves))
        for found in deployments
        for market in found.aave_v3
    }
    assert {(c["chain_id"], c["comet"].lower()) for c in comets} == {
        (found.chain_id, market.comet) for found in deployments for market in found.compound_v3
    }
    assert {int(key) for key in uniswap["chains"] if int(key) in chains} == {
        found.chain_id for found in deployments if found.uniswap_v3
    }
