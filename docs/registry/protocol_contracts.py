"""Where protocols are deployed, one object a chain: Uniswap, Sushiswap, Aave v3, Compound v3, Curve, Balancer v2."""

import json
from pathlib import Path
from typing import Any

from lists import corrections, mainnets, read_list


def protocol_contracts(folder: Path) -> str:
    """The text of the deployments file; one line a chain, in the order of their ids."""
    facts, chain_ids = corrections(), [row["chain_id"] for row in mainnets(folder)]
    found: dict[int, dict[str, Any]] = {chain_id: {} for chain_id in chain_ids}
    uniswap = read_list(folder, "uniswap_addresses")
    for key, contracts in uniswap["chains"].items():
        _put(found, int(key), "uniswap_v3", {
            "factory": contracts["v3CoreFactoryAddress"].lower(),
            "position_manager": contracts["nonfungiblePositionManagerAddress"].lower(),
        })  # fmt: skip
    for key, factory in uniswap["v2_factories"].items():
        _put(found, int(key), "uniswap_v2", [factory.lower()])
    for factory, deployed in facts["sushiswap"].items():
        for chain_id in deployed:
            _put(found, chain_id, "sushiswap", [factory])
    for market in read_list(folder, "aave_v3_markets")["markets"]:
        _append(found, market["chain_id"], "aave_v3", _aave(market))
    for comet in read_list(folder, "compound_v3_markets")["comets"]:
        _append(found, comet["chain_id"], "compound_v3", _compound(comet))
    for provider, deployed in facts["curve"].items():
        for chain_id in deployed:
            _put(found, chain_id, "curve_address_provider", provider)
    for vault, deployed in facts["balancer_v2_vaults"].items():
        for chain_id in deployed:
            made = [factory for factory, where in facts["balancer_v2_factories"].items() if chain_id in where]
            _put(found, chain_id, "balancer_v2", {"vault": vault, "factories": made})
    lines = [f'"{chain_id}": {json.dumps(contracts)}' for chain_id, contracts in found.items() if contracts]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _aave(market: dict[str, Any]) -> dict[str, Any]:
    return {
        "market": market["market"],
        "pool": market["pool"].lower(),
        "addresses_provider": market["pool_addresses_provider"].lower(),
        "data_provider": market["data_provider"].lower(),
        "oracle": market["oracle"].lower(),
        "reserves": [
            {"symbol": reserve["symbol"], "decimals": reserve["decimals"]}
            | {name: reserve[name].lower() for name in ("underlying", "a_token", "v_token")}
            for reserve in market["reserves"]
        ],
    }


def _compound(comet: dict[str, Any]) -> dict[str, Any]:
    names = {"comet": "comet", "rewards": "rewards", "base_token": "base_token_address"}
    return {"market": comet["market"]} | {
        name: comet[theirs].lower() for name, theirs in names.items() if comet[theirs]
    }


def _put(found: dict[int, dict[str, Any]], chain_id: int, name: str, value: Any) -> None:
    if chain_id in found:
        found[chain_id][name] = value


def _append(found: dict[int, dict[str, Any]], chain_id: int, name: str, value: Any) -> None:
    if chain_id in found:
        found[chain_id].setdefault(name, []).append(value)
