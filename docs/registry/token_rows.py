"""The tokens that are shipped: those of Aave's list (MIT), the debt tokens and Comets behind them, wrapped coins."""

import csv
import io
import re
from pathlib import Path
from typing import Any

from lists import corrections, mainnets, read_list

MIT_LIST = "aave-address-book"
COLUMNS = (
    "chain_id", "address", "symbol", "name", "decimals", "category", "rebasing", "coingecko_id", "priced_as",
    "receipt_of",
)  # fmt: skip
STABLECOINS = {
    "AUSD", "BUSD", "crvUSD", "cUSD", "cEUR", "DAI", "DAI.e", "EURA", "EURC", "EURe", "EURS", "FDUSD", "FEI",
    "FRAX", "GHO", "GUSD", "jEUR", "LUSD", "m.DAI", "m.USDC", "m.USDT", "MAI", "miMATIC", "mUSD", "PYUSD",
    "RAI", "RLUSD", "sUSD", "TUSD", "USDbC", "USDC", "USDC.e", "USDe", "USDG", "USDm", "USDP", "USDS", "USDT",
    "USDt", "USDT.e", "USDT0", "USDtb", "USD₮", "USD₮0", "UST",
}  # fmt: skip
STAKED = {
    "cbETH", "eBTC", "ETHx", "eUSDe", "ezETH", "LBTC", "MaticX", "osETH", "rETH", "rsETH", "sAVAX", "sDAI",
    "stcUSD", "stETH", "stMATIC", "stS", "sUSDe", "syrupUSDC", "syrupUSDT", "tETH", "weETH", "wrsETH", "wstETH",
    "xBETH", "xOKSOL", "xSUSHI",
}  # fmt: skip
BITCOIN = {"BTC.b", "BTCB", "cbBTC", "FBTC", "kBTC", "SolvBTC", "tBTC", "WBTC", "WBTC.e", "xBTC"}
FUNDS = {"ACRED", "JAAA", "JTRSY", "mGLOBAL", "USCC", "USTB", "USYC", "VBILL"}
POOL_SHARES = {"BPT", "G-UNI", "UNI-V2"}
CATEGORIES = {
    "stablecoin": STABLECOINS,
    "staked": STAKED,
    "bitcoin": BITCOIN,
    "fund": FUNDS,
    "pool_share": POOL_SHARES,
}
REBASING = {
    (1, "0xae7ab96520de3a18e5e111b5eaab095312d7fe84"),  # stETH
    (1, "0xd46ba6d942050d489dbd938a2c909a5d5039a161"),  # AMPL
    (81457, "0x4300000000000000000000000000000000000004"),  # WETH on Blast earns yield in place
}
Rows = dict[tuple[int, str], dict[str, Any]]


def token_rows(folder: Path) -> str:
    """The text of the token file, sorted by chain and address."""
    facts = corrections()
    chains = {row["chain_id"]: row for row in mainnets(folder)}
    rows: Rows = {}
    for token in read_list(folder, "tokens")["tokens"]:
        if MIT_LIST in token["sources"] and token["chain_id"] in chains:
            _add(rows, token["chain_id"], token["address"], token, _category(token), _rebases(token))
    _add_wrapped_coins(rows, read_list(folder, "uniswap_addresses")["weth9"], chains)
    _mark_wrapped_coins(rows, chains, {int(key): coin for key, coin in facts["coingecko_native"].items()})
    _add_aave(rows, read_list(folder, "aave_v3_markets")["markets"], chains)
    _add_comets(rows, read_list(folder, "compound_v3_markets")["comets"], chains)
    _add_coins(rows, facts["native_as_token"], chains)
    _add_market_ids(rows, facts["coingecko_token"])
    return _text(rows)


def _add(rows: Rows, chain_id: int, address: str, token: dict[str, Any], category: str, rebasing: bool) -> None:
    key = (chain_id, address.lower())
    rows.setdefault(key, {
        "chain_id": chain_id, "address": key[1], "symbol": token["symbol"], "name": token["name"],
        "decimals": token["decimals"], "category": category, "rebasing": int(rebasing or key in REBASING),
    })  # fmt: skip


def _category(token: dict[str, Any]) -> str:
    symbol, tags = token["symbol"], token["tags"]
    if tags != ["underlying"]:
        return "receipt"
    for category, symbols in CATEGORIES.items():
        if symbol in symbols:
            return category
    return "fixed_yield" if symbol.startswith("PT-") else "token"


def _rebases(token: dict[str, Any]) -> bool:
    return bool({"aTokenV2", "aTokenV3"} & set(token["tags"]))


def _add_wrapped_coins(rows: Rows, wrapped: dict[str, str], chains: dict[int, dict[str, Any]]) -> None:
    for key, address in wrapped.items():
        chain = chains.get(int(key))
        if chain and chain["native_symbol"] == "ETH":
            token = {"symbol": "WETH", "name": "Wrapped Ether", "decimals": 18}
            _add(rows, int(key), address, token, "token", False)


def _mark_wrapped_coins(rows: Rows, chains: dict[int, dict[str, Any]], coins: dict[int, str]) -> None:
    """Wrapped coins are redeemed one for one by their contract: they are worth the coin."""
    platforms = {"BNB": "binancecoin", "XDAI": "xdai", "AVAX": "avalanche-2", "MNT": "mantle", "OKB": "okb"}
    for (chain_id, _), row in rows.items():
        symbol = chains[chain_id]["native_symbol"].upper()
        if row["category"] == "token" and row["symbol"].upper() == f"W{symbol}":
            coin = "ethereum" if symbol == "ETH" else coins.get(chain_id) or platforms[symbol]
            row |= {"category": "wrapped_coin", "priced_as": f"coingecko:{coin}"}


def _add_aave(rows: Rows, markets: list[dict[str, Any]], chains: dict[int, dict[str, Any]]) -> None:
    for market in markets:
        for reserve in market["reserves"] if market["chain_id"] in chains else ():
            chain_id, underlying = market["chain_id"], reserve["underlying"].lower()
            supplied = rows[chain_id, reserve["a_token"].lower()]
            supplied |= {"category": "receipt", "rebasing": 1, "receipt_of": underlying}
            asset = re.sub(r"^a(?=[A-Z])", "", supplied["symbol"])
            name = f"{supplied['name']} variable debt"
            debt = {"symbol": f"variableDebt{asset}", "name": name, "decimals": reserve["decimals"]}
            _add(rows, chain_id, reserve["v_token"], debt, "debt", True)
            rows[chain_id, reserve["v_token"].lower()]["receipt_of"] = underlying


def _add_comets(rows: Rows, comets: list[dict[str, Any]], chains: dict[int, dict[str, Any]]) -> None:
    """The balance of a Comet is what was supplied of its base token, with interest; it has the same decimals."""
    for comet in comets:
        base = rows.get((comet["chain_id"], (comet["base_token_address"] or "").lower()))
        if comet["chain_id"] in chains and base:
            symbol = base["symbol"]
            token = {"symbol": f"c{symbol}v3", "name": f"Compound {symbol}", "decimals": base["decimals"]}
            _add(rows, comet["chain_id"], comet["comet"], token, "receipt", True)
            rows[comet["chain_id"], comet["comet"].lower()]["receipt_of"] = base["address"]


def _add_coins(rows: Rows, contracts: dict[str, list[str]], chains: dict[int, dict[str, Any]]) -> None:
    for key, addresses in contracts.items():
        chain = chains[int(key)]
        for address in addresses:
            rows.pop((int(key), address), None)
            token = {"symbol": chain["native_symbol"], "name": chain["native_name"], "decimals": 18}
            _add(rows, int(key), address, token, "coin", False)


def _add_market_ids(rows: Rows, ids: dict[str, list[str]]) -> None:
    for coin, contracts in ids.items():
        for contract in contracts:
            chain_id, address = contract.split(":")
            rows[int(chain_id), address]["coingecko_id"] = coin


def _text(rows: Rows) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows[key] for key in sorted(rows))
    return text.getvalue()
