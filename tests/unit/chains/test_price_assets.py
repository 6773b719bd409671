from dataclasses import replace

import pytest

from portfolio_pipelines.chains.asset_ids import AssetIdError
from portfolio_pipelines.chains.price_assets import price_asset
from portfolio_pipelines.chains.registry import Chain, Registry
from portfolio_pipelines.chains.tokens import Token, TokenList

ETHEREUM = Chain(1, "ethereum", "Ethereum", "ETH", "layer1", coingecko_native="ethereum", defillama_slug="ethereum")
NOWHERE = Chain(900, "nowhere", "Nowhere", "NWH", "layer2")
BITCOIN = Chain(
    2 * 10**13 + 1, "bitcoin", "Bitcoin", "BTC", "layer1", family="bitcoin", slip44=0, coingecko_native="bitcoin"
)
REGISTRY = Registry([ETHEREUM, NOWHERE, BITCOIN])
DAI, ADAI, STAKED, ODD = ("0x" + digit * 40 for digit in "1234")
ID_OF_DAI = f"eip155:1/erc20:{DAI}"
TOKENS = TokenList(
    [
        Token(1, DAI, "DAI", "Dai", 18, coingecko_id="dai"),
        Token(1, ADAI, "aDAI", "Aave DAI", 18, priced_as=ID_OF_DAI, category="receipt"),
        Token(1, STAKED, "waDAI", "Wrapped aDAI", 18, priced_as=f"eip155:1/erc20:{ADAI}", category="receipt"),
    ]
)


def named(asset_id: str, coingecko_id: str | None = None) -> tuple[str, str | None, str | None] | None:
    found = price_asset(REGISTRY, TOKENS, asset_id, coingecko_id)
    return None if found is None else (found.asset_id, found.coingecko_symbol, found.defillama_symbol)


def test_what_coingecko_lists_has_its_price_wherever_it_is_asked() -> None:
    assert named(ID_OF_DAI) == ("coingecko:dai", "dai", "coingecko:dai")


@pytest.mark.parametrize("token", [ADAI, STAKED])
def test_what_is_redeemed_one_for_one_has_the_price_of_what_it_redeems_through_any_layer(token: str) -> None:
    assert named(f"eip155:1/erc20:{token}") == named(ID_OF_DAI)


def test_coins_have_the_price_that_the_registry_names() -> None:
    assert named("eip155:1/slip44:60") == ("coingecko:ethereum", "ethereum", "coingecko:ethereum")
    assert named(BITCOIN.native_asset_id) == ("coingecko:bitcoin", "bitcoin", "coingecko:bitcoin")
    assert named("eip155:900/slip44:60") is None


def test_any_other_contract_is_asked_for_by_its_address() -> None:
    own = f"eip155:1/erc20:{ODD}"
    assert named(own) == (own, None, f"ethereum:{ODD}")
    assert named(f"eip155:900/erc20:{ODD}") is None, "nobody prices that chain"
    assert named(f"eip155:77/erc20:{ODD}") is None, "nobody knows that chain"


def test_what_a_person_says_counts_before_the_list() -> None:
    assert named(f"eip155:1/erc20:{ODD}", "oddity") == ("coingecko:oddity", "oddity", "coingecko:oddity")
    assert named(f"eip155:1/erc20:{ADAI}", "aave-dai") == ("coingecko:aave-dai", "aave-dai", "coingecko:aave-dai")


def test_nfts_have_no_price() -> None:
    assert named(f"eip155:1/erc721:{ODD}/42") is None


def test_a_circle_of_receipts_is_refused_instead_of_followed() -> None:
    circle = [replace(token, priced_as=f"eip155:1/erc20:{other}") for token, other in _pairs()]
    with pytest.raises(AssetIdError, match="circle"):
        price_asset(REGISTRY, TokenList(circle), f"eip155:1/erc20:{ADAI}")


def _pairs() -> list[tuple[Token, str]]:
    return [(Token(1, ADAI, "A", "A", 18), STAKED), (Token(1, STAKED, "B", "B", 18), ADAI)]
