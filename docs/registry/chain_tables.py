"""The chain registry that is shipped, made from viem's chains, further lists and `corrections.toml`."""

import json
import re
from pathlib import Path
from typing import Any

from lists import corrections, mainnets, read_list

from portfolio_pipelines.chains.base58 import decode_base58

HEADER = """\
# The chains that are known, one table a chain. Made by docs/registry/build_registry.py; do not edit:
# what you want otherwise goes into a chains.toml of your own, in the same words.
# Chains, coins, endpoints and Multicall3: npm viem 2.57.1 (MIT, weth LLC) and mds1/multicall3 (MIT).
"""
ETHEREUM = 1
DEFAULTS = {"native_decimals": 18, "slip44": 60, "enabled": False, "family": "evm"}
ORDER = (
    "chain_id", "family", "name", "native_symbol", "native_decimals", "slip44", "category", "enabled", "endpoints",
    "multicall3", "multicall3_block", "block_time_seconds", "coingecko_platform", "coingecko_native", "defillama_slug",
    "explorer", "requests_per_second", "confirmations",
)  # fmt: skip


def chain_tables(folder: Path) -> str:
    """The text of the registry file."""
    facts, others = corrections(), _Lists(folder)
    chains = [_evm_chain(row, others, facts) for row in mainnets(folder)]
    chains += [{"slug": slug, "family": slug, **row} for slug, row in facts["family"].items()]
    _refuse_duplicates(chains)
    return HEADER + "".join(_table(chain) for chain in chains)


class _Lists:
    """The lists beside viem's, by chain id."""

    def __init__(self, folder: Path) -> None:
        self.multicall3 = {
            row["chainId"]: _contract_of(row["url"])
            for row in read_list(folder, "multicall3_deployments")["deployments"]
            if _contract_of(row["url"])
        }
        self.slugs = {int(key): slug for key, slug in read_list(folder, "llama_slugs")["slugs"].items()}
        self.platforms = {int(key): row for key, row in read_list(folder, "coingecko_platforms")["platforms"].items()}
        uniswap = read_list(folder, "uniswap_addresses")
        self.with_protocols = {int(key) for key in uniswap["chains"]} | {
            row["chain_id"]
            for row in read_list(folder, "aave_v3_markets")["markets"]
            + read_list(folder, "compound_v3_markets")["comets"]
        }


def _evm_chain(row: dict[str, Any], lists: _Lists, facts: dict[str, Any]) -> dict[str, Any]:
    chain_id = row["chain_id"]
    key = str(chain_id)
    chain: dict[str, Any] = {
        "slug": facts["slug"].get(key) or _hyphenated(row["slug"]),
        "chain_id": chain_id,
        "name": row["name"],
        "native_symbol": row["native_symbol"],
        "native_decimals": row["native_decimals"],
        "slip44": facts["slip44"].get(key, 60),
        "category": _category(row, facts["category"]),
        "endpoints": [url.rstrip("/") for url in row["rpc_http"]],
        "multicall3": (row["multicall3"] or lists.multicall3.get(chain_id) or "").lower() or None,
        "multicall3_block": row["multicall3_block"],
        "block_time_seconds": row["block_time_ms"] / 1000 if row["block_time_ms"] else None,
        "defillama_slug": facts["defillama_slug"].get(key) or lists.slugs.get(chain_id),
        "explorer": row["explorer"],
    }
    platform = lists.platforms.get(chain_id, {})
    chain["coingecko_platform"] = facts["coingecko_platform"].get(key) or platform.get("platform")
    chain["coingecko_native"] = facts["coingecko_native"].get(key) or _native(row, chain, platform)
    chain["enabled"] = _enabled(chain, lists, {*facts["not_enabled"]["retired"], *facts["not_enabled"]["unsuited"]})
    if chain["category"] == "local":
        chain["confirmations"] = 0
    return chain


def _native(row: dict[str, Any], chain: dict[str, Any], platform: dict[str, Any]) -> str | None:
    """Ether is ether on whatever chain; else what CoinGecko names, when the coin has a name of its own there."""
    if row["native_symbol"] == "ETH":
        return "ethereum" if chain["defillama_slug"] else None
    return platform.get("native_coin_id")


def _enabled(chain: dict[str, Any], lists: _Lists, excluded: set[int]) -> bool:
    """Whether the chain is read unless somebody decides otherwise: it can be read, priced, and people are there.

    Read: a public endpoint and Multicall3. Priced: DefiLlama knows its tokens and CoinGecko its coin. People: CoinGecko
    keeps it as a platform, or Uniswap, Aave or Compound deployed there. And it is not excluded by hand.
    """
    readable = bool(chain["endpoints"] and chain["multicall3"])
    priced = bool(chain["defillama_slug"] and chain["coingecko_native"])
    known = bool(chain["coingecko_platform"]) or chain["chain_id"] in lists.with_protocols
    return readable and priced and known and chain["chain_id"] not in excluded and chain["category"] != "local"


def _category(row: dict[str, Any], known: dict[str, list[int]]) -> str:
    for category, chain_ids in known.items():
        if row["chain_id"] in chain_ids:
            return category
    if row["source_id"] is not None:
        return "layer2" if row["source_id"] in (ETHEREUM, 56) else "layer3"
    return "layer2" if row["native_symbol"] == "ETH" and row["chain_id"] != ETHEREUM else "layer1"


def _contract_of(url: str) -> str | None:
    """The contract that an explorer's address page shows; Tron spells it in base 58."""
    if found := re.search(r"0x[0-9a-fA-F]{40}\b", url):
        return found[0].lower()
    if found := re.search(r"/(T[1-9A-HJ-NP-Za-km-z]{33})\b", url):
        return "0x" + decode_base58(found[1])[1:21].hex()
    return None


def _hyphenated(key: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", key).lower().removesuffix("-mainnet")


def _refuse_duplicates(chains: list[dict[str, Any]]) -> None:
    for field in ("slug", "chain_id"):
        seen = [chain[field] for chain in chains]
        if twice := {value for value in seen if seen.count(value) > 1}:
            msg = f"{field} is there twice: {sorted(twice)}"
            raise ValueError(msg)


def _table(chain: dict[str, Any]) -> str:
    lines = [f"\n[chain.{chain['slug']}]"]
    for field in ORDER:
        value = chain.get(field)
        if value is not None and value != DEFAULTS.get(field):
            lines.append(f"{field} = {json.dumps(value, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"
