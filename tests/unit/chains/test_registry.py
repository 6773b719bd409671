import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from portfolio_pipelines.chains.asset_ids import parse_asset_id
from portfolio_pipelines.chains.endpoint_urls import resolve_url
from portfolio_pipelines.chains.registry import CATEGORIES, Chain, Registry, UnknownChainError, load_registry

ROOT = Path(__file__).parents[3]
LISTS = (ROOT / os.environ.get("PORTFOLIO_SHARED_DATA", "../shared/data") / "chains").resolve()
lists = pytest.mark.skipif(not LISTS.is_dir(), reason="needs chains/ in PORTFOLIO_SHARED_DATA")


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


def viem() -> list[dict[str, Any]]:
    rows = json.loads((LISTS / "chains.json").read_text())["chains"]
    return [row for row in rows if not row["testnet"]]


@lists
def test_all_185_mainnets_with_multicall3_are_there_with_its_address(registry: Registry) -> None:
    expected = {row["chain_id"]: row["multicall3"].lower() for row in viem() if row["multicall3"]}
    assert len(expected) == 185
    assert {chain_id: registry.by_id[chain_id].multicall3 for chain_id in expected} == expected


@lists
def test_deployments_of_multicall3_that_viem_lacks_are_there_too(registry: Registry) -> None:
    rows = json.loads((LISTS / "multicall3_deployments.json").read_text())["deployments"]
    added = {row["chainId"] for row in rows} & {row["chain_id"] for row in viem() if not row["multicall3"]}
    assert len(added) == 15
    assert all(registry.by_id[chain_id].multicall3 for chain_id in added)
    assert registry.find("tron").multicall3 == "0x32a4f47a74a6810bd0bf861cabab99656a75de9e"  # base 58 at the source


@lists
def test_every_mainnet_of_viem_is_there_with_its_own_coin_and_endpoints(registry: Registry) -> None:
    for row in viem():
        chain = registry.by_id[row["chain_id"]]
        assert (chain.native_symbol, chain.native_decimals) == (row["native_symbol"], row["native_decimals"])
        assert list(chain.endpoints) == [url.rstrip("/") for url in row["rpc_http"]]
    assert {chain.slug for chain in registry if chain.native_decimals not in (18,)} == {
        "tempo", "nautilus", "tron", "solana", "bitcoin",
    }  # fmt: skip


def test_every_shipped_chain_is_sound(registry: Registry) -> None:
    assert len(registry) == len(registry.by_id) == len({chain.native_asset_id for chain in registry})
    for chain in registry:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", chain.slug), chain
        assert chain.category in CATEGORIES
        assert chain.multicall3 is None or re.fullmatch(r"0x[0-9a-f]{40}", chain.multicall3)
        assert 0 <= chain.native_decimals <= 36
        assert parse_asset_id(chain.native_asset_id).coin_type == chain.slip44
        assert all(resolve_url(url, {}) == url for url in chain.endpoints)
        assert registry.find(chain.slug) is registry.find(chain.chain_id) is chain


def test_what_is_enabled_can_be_read_and_priced(registry: Registry) -> None:
    for chain in registry.enabled("evm"):
        assert chain.endpoints
        assert all(url.startswith("https://") for url in chain.endpoints)
        assert chain.multicall3
        assert chain.defillama_slug
        assert chain.coingecko_native
        assert chain.category != "local"
    slugs = {chain.slug for chain in registry.enabled()}
    assert slugs >= {"ethereum", "optimism", "bsc", "polygon", "base", "arbitrum", "avalanche", "linea", "scroll"}
    assert slugs >= {"solana", "bitcoin"}
    assert not slugs & {"tron", "polygon-zkevm", "moonbeam", "anvil", "localhost"}


@pytest.mark.parametrize(
    ("slug", "asset_id", "coin", "prices"),
    [
        ("ethereum", "eip155:1/slip44:60", "ethereum", "ethereum"),
        ("arbitrum", "eip155:42161/slip44:60", "ethereum", "arbitrum"),
        ("bsc", "eip155:56/slip44:714", "binancecoin", "bsc"),
        ("polygon", "eip155:137/slip44:966", "polygon-ecosystem-token", "polygon"),
        ("avalanche", "eip155:43114/slip44:9005", "avalanche-2", "avax"),
        ("zksync", "eip155:324/slip44:60", "ethereum", "era"),
        ("gnosis", "eip155:100/slip44:700", "xdai", "xdai"),
        ("solana", "solana:mainnet/slip44:501", "solana", "solana"),
        ("bitcoin", "bip122:000000000019d6689c085ae165831e93/slip44:0", "bitcoin", "bitcoin"),
    ],
)
def test_a_coin_has_its_id_and_its_price(registry: Registry, slug: str, asset_id: str, coin: str, prices: str) -> None:
    chain = registry.by_slug[slug]
    assert (chain.native_asset_id, chain.coingecko_native, chain.defillama_slug) == (asset_id, coin, prices)


def test_categories_follow_what_a_chain_settles_on(registry: Registry) -> None:
    expected = {
        "ethereum": "layer1", "bsc": "layer1", "base": "layer2", "arbitrum": "layer2", "opbnb": "layer2",
        "b3": "layer3", "apechain": "layer3", "polygon": "sidechain", "gnosis": "sidechain", "anvil": "local",
    }  # fmt: skip
    assert {slug: registry.by_slug[slug].category for slug in expected} == expected


@pytest.mark.parametrize(
    ("written", "slug"),
    [
        ("ethereum", "ethereum"), (" Ethereum ", "ethereum"), ("1", "ethereum"), (8453, "base"),
        ("OP Mainnet", "optimism"), ("BNB smart chain", "bsc"), ("arbitrumNova", "arbitrum-nova"),
        ("Arbitrum One", "arbitrum"), ("Linea", "linea"), ("Plume", "plume"), ("ZKSYNC", "zksync"),
    ],
)  # fmt: skip
def test_a_chain_is_found_by_slug_id_or_name_however_it_is_written(
    registry: Registry, written: str | int, slug: str
) -> None:
    assert registry.find(written).slug == slug


def test_an_unknown_chain_is_refused_with_those_that_come_close(registry: Registry) -> None:
    with pytest.raises(UnknownChainError, match=r"'etherium'; did you mean ethereum"):
        registry.find("etherium")
    with pytest.raises(UnknownChainError, match="no chain has the id 4"):
        registry.find(4)
    with pytest.raises(UnknownChainError, match=r"there is no chain 'qqqqqq'$"):
        registry.find("qqqqqq")


def test_a_name_that_several_chains_bear_is_refused_with_their_slugs() -> None:
    twins = [Chain(number, f"twin-{number}", "Twin", "TWN", "layer1") for number in (7001, 7002)]
    with pytest.raises(UnknownChainError, match="several chains: twin-7001, twin-7002"):
        Registry(twins).find("twin")


def test_keys_in_endpoints_are_never_shown() -> None:
    urls = (
        "https://node.example/v3/k3y-s3cret-0123456789",
        "https://node.example/other",
        "http://127.0.0.1:8545/key12345",
    )
    chain = Chain(1, "ethereum", "Ethereum", "ETH", "layer1", endpoints=urls)
    assert chain.endpoint_names == ("node.example#1", "node.example#2", "127.0.0.1:8545")
    assert not any(word in repr(chain) + str(chain.endpoint_names) for word in ("k3y", "other", "key12345"))


def test_two_loads_share_nothing_that_can_be_changed(tmp_path: Path) -> None:
    file = tmp_path / "chains.toml"
    file.write_text('[chain.base]\nendpoints = ["https://other.example"]\nenabled = false\n')
    changed, plain = load_registry(file), load_registry()
    assert changed.find("base").endpoints == ("https://other.example",)
    assert plain.find("base").endpoints == ("https://mainnet.base.org",)
    assert plain.find("base").enabled
