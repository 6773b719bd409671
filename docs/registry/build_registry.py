"""Writes the lists that are shipped under `portfolio_pipelines/chains/data`, from public lists.

    .venv/bin/python docs/registry/build_registry.py [--lists FOLDER] [--target FOLDER]

Sources: npm `viem` (MIT): chains, coins, public endpoints, Multicall3; `mds1/multicall3` (MIT): further Multicall3;
Aave's token list and address book (MIT), Uniswap's sdk-core (MIT), addresses of Compound v3; facts of CoinGecko
(platform, id of the native coin) and DefiLlama (name of the chain); and `corrections.toml` beside this file, kept by
hand. Uniswap's token list is GPL and nothing of it is shipped. Same lists, same bytes.
"""

import argparse
from pathlib import Path

from chain_tables import chain_tables
from protocol_contracts import protocol_contracts
from token_rows import token_rows

PROJECT = Path(__file__).parent.parent.parent

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--lists", type=Path, default=PROJECT / "../shared/data/chains")
    parser.add_argument("--target", type=Path, default=PROJECT / "portfolio_pipelines/chains/data")
    asked = parser.parse_args()
    for name, text in (
        ("chains.toml", chain_tables(asked.lists)),
        ("tokens.csv", token_rows(asked.lists)),
        ("deployments.json", protocol_contracts(asked.lists)),
    ):
        (asked.target / name).write_text(text, encoding="utf-8")
