import json
import os
import re
from pathlib import Path

import pytest

from portfolio_pipelines.chains.asset_ids import is_on_chain, parse_asset_id
from portfolio_pipelines.chains.deployments import load_deployments
from portfolio_pipelines.chains.registry import load_registry
from portfolio_pipelines.chains.tokens import CATEGORIES, COIN, DEBT, Token, TokenList, load_tokens

ROOT = Path(__file__).parents[3]
LISTS = (ROOT / os.environ.get("PORTFOLIO_SHARED_DATA", "../shared/data") / "chains").resolve()
lists = pytest.mark.skipif(not LISTS.is_dir(), reason="needs chains/ in PORTFOLIO_SHARED_DATA")
WETH = "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2"
CELO = "0x471ece3750da237f93b8e339c536989b8978a438"


@pytest.fixture(scope="module")
def tokens() -> TokenList:
    return load_tokens()


def known(tokens: TokenList, chain_id: int, address: str) -> Token:
    token = tokens.get(chain_id, address)
    assert token is not None
    return token


def test_every_shipped_token_is_sound(tokens: TokenList) -> None:
    chains = load_registry().by_id
    assert len(tokens) > 1_000
    for token in tokens:
        assert token.chain_id in chains
        assert re.fullmatch(r"0x[0-9a-f]{40}", token.address)
        assert 0 <= token.decimals <= 36
        assert token.symbol.strip() == token.symbol != ""
        assert token.category in CATEGORIES
        assert parse_asset_id(token.asset_id).address == token.address
        assert token.receipt_of is None or tokens.get(token.chain_id, token.receipt_of) is not None


@lists
def test_only_tokens_of_the_mit_list_are_shipped_and_all_of_those(tokens: TokenList) -> None:
    listed = json.loads((LISTS / "tokens.json").read_text())["tokens"]
    by_licence = {
        licence: {(row["chain_id"], row["address"].lower()): row for row in listed if licence in row["sources"]}
        for licence in ("aave-address-book", "uniswap-default")
    }
    free, copyleft = by_licence["aave-address-book"], by_licence["uniswap-default"]
    shipped = {(token.chain_id, token.address): token for token in tokens}
    assert free.keys() <= shipped.keys()
    for key in free.keys() - {(42220, CELO), (1088, "0xdeaddeaddeaddeaddeaddeaddeaddeaddead0000")}:
        row = free[key]
        assert (shipped[key].symbol, shipped[key].decimals) == (row["symbol"], row["decimals"])
    ours = shipped.keys() & (copyleft.keys() - free.keys())
    assert {shipped[key].category for key in ours} <= {"wrapped_coin", COIN}  # known from elsewhere as well


@lists
def test_every_reserve_of_aave_v3_is_there_with_its_receipt_and_its_debt(tokens: TokenList) -> None:
    chains = load_registry().by_id
    markets = json.loads((LISTS / "aave_v3_markets.json").read_text())["markets"]
    reserves = [(m["chain_id"], r) for m in markets if m["chain_id"] in chains for r in m["reserves"]]
    assert len(reserves) > 300
    for chain_id, reserve in reserves:
        supplied = known(tokens, chain_id, reserve["a_token"].lower())
        owed = known(tokens, chain_id, reserve["v_token"].lower())
        assert (supplied.category, owed.category) == ("receipt", DEBT)
        assert supplied.is_rebasing
        assert owed.is_rebasing
        assert supplied.receipt_of == owed.receipt_of == reserve["underlying"].lower()
        assert supplied.decimals == owed.decimals == reserve["decimals"]
        assert supplied.priced_as == f"eip155:{chain_id}/erc20:{reserve['underlying'].lower()}"


def test_debts_and_the_coin_as_a_token_are_never_among_what_a_wallet_holds(tokens: TokenList) -> None:
    for chain in load_registry():
        held, owed = tokens.of(chain.chain_id), tokens.debts_of(chain.chain_id)
        assert not {token.category for token in held} & {COIN, DEBT}
        assert {token.category for token in owed} <= {DEBT}
        assert [token.address for token in held] == sorted({token.address for token in held})
    assert tokens.is_coin(42220, CELO)
    assert (tokens.coins_of(42220), tokens.coins_of(1)) == ({CELO}, frozenset())
    assert tokens.is_coin(137, "0x0000000000000000000000000000000000001010")
    assert not tokens.is_coin(1, WETH)
    assert not tokens.is_coin(1, "0x" + "ab" * 20)
    assert tokens.of(999_999_999_999) == ()


def test_native_and_bridged_dollars_are_told_apart(tokens: TokenList) -> None:
    native = {
        1: "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48",
        137: "0x3c499c542cef5e3811e1192ce70d8cc03d5c3359",
        42161: "0xaf88d065e77c8cc2239327c5edb3a432268e5831",
    }
    bridged = {
        137: "0x2791bca1f2de4661ed88a30c99a7a9449aa84174",
        42161: "0xff970a61a04b1ca14834a43f5de4533ebddb5cc8",
        100: "0x2a22f9c3b484c3629090feed35f17ff8f88f76f0",
    }
    for chain_id, address in native.items():
        assert known(tokens, chain_id, address).coingecko_id == "usd-coin"
    for chain_id, address in bridged.items():
        token = known(tokens, chain_id, address)
        assert token.symbol in ("USDC", "USDC.e")
        assert token.coingecko_id is None
        assert token.priced_as is None


def test_wrapped_coins_are_worth_the_coin_and_rebasing_ones_are_marked(tokens: TokenList) -> None:
    weth = known(tokens, 1, WETH)
    assert (weth.coingecko_id, weth.priced_as, weth.is_rebasing) == ("weth", "coingecko:ethereum", False)
    wpol = known(tokens, 137, "0x0d500b1d8e8ef31e21c99d1db9a6444d3adf1270")
    assert wpol.priced_as == "coingecko:polygon-ecosystem-token"
    assert known(tokens, 137, "0x7ceb23fd6bc0add59e62ac25578270cff1b9f619").priced_as is None  # bridged, no coin there
    assert known(tokens, 81457, "0x4300000000000000000000000000000000000004").is_rebasing
    assert known(tokens, 1, "0xae7ab96520de3a18e5e111b5eaab095312d7fe84").is_rebasing  # stETH
    assert not known(tokens, 1, "0x7f39c581f595b53c5cb19bd0b3f8da6c935e2ca0").is_rebasing  # wstETH


def test_what_a_token_is_priced_as_is_an_asset(tokens: TokenList) -> None:
    for asset in {token.priced_as for token in tokens if token.priced_as}:
        assert asset.startswith("coingecko:") or (is_on_chain(asset) and parse_asset_id(asset).kind == "token")


def test_comets_are_receipts_of_their_base_token(tokens: TokenList) -> None:
    comets = [market for known in load_deployments() for market in known.compound_v3]
    assert len(comets) == 28
    cusdc = known(tokens, 1, "0xc3d688b66703497daa19211eedff47f25384cdc3")
    assert (cusdc.symbol, cusdc.decimals, cusdc.category) == ("cUSDCv3", 6, "receipt")
    assert cusdc.priced_as == "eip155:1/erc20:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"
    assert cusdc.is_rebasing


def test_tokens_of_one_symbol_live_side_by_side(tokens: TokenList) -> None:
    pairs = [token for token in tokens.of(1) if token.symbol == "UNI-V2"]
    assert len(pairs) > 10
    assert {token.category for token in pairs} == {"pool_share"}
    impostor = Token(1, "0x" + "12" * 20, "USDC", "USD Coin", 6)
    assert len(load_tokens([impostor])) == len(tokens) + 1
