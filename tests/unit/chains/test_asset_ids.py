import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.chains.asset_ids import (
    BITCOIN_COIN,
    SOLANA_COIN,
    AssetId,
    AssetIdError,
    is_on_chain,
    native_asset_id,
    nft_asset_id,
    parse_asset_id,
    solana_token_asset_id,
    token_asset_id,
)

USDC = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
MINT = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"


def test_ids_have_the_spelling_that_tables_use() -> None:
    assert native_asset_id(1) == "eip155:1/slip44:60"
    assert native_asset_id(137, 966) == "eip155:137/slip44:966"
    assert token_asset_id(1, USDC) == "eip155:1/erc20:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"
    assert nft_asset_id(1, USDC, 7).endswith("eb48/7")
    assert solana_token_asset_id(MINT) == f"solana:mainnet/token:{MINT}"
    assert SOLANA_COIN == "solana:mainnet/slip44:501"
    assert BITCOIN_COIN == "bip122:000000000019d6689c085ae165831e93/slip44:0"


def test_an_id_is_taken_apart() -> None:
    assert parse_asset_id("eip155:10/slip44:60") == AssetId("eip155:10", "native", 10, coin_type=60)
    assert parse_asset_id(token_asset_id(10, USDC)) == AssetId("eip155:10", "token", 10, USDC.lower())
    assert parse_asset_id(nft_asset_id(1, USDC)) == AssetId("eip155:1", "nft", 1, USDC.lower())
    assert parse_asset_id(solana_token_asset_id(MINT)) == AssetId("solana:mainnet", "token", address=MINT)


@given(
    st.integers(1, 2**63 - 1), st.integers(0, 2**31), st.binary(min_size=20, max_size=20), st.integers(0, 2**256 - 1)
)
def test_every_id_that_is_built_is_read_and_written_alike(chain: int, coin: int, raw: bytes, number: int) -> None:
    address = "0x" + raw.hex()
    for built in (
        native_asset_id(chain, coin),
        token_asset_id(chain, address),
        nft_asset_id(chain, address, number),
        nft_asset_id(chain, address),
        solana_token_asset_id(MINT),
        SOLANA_COIN,
        BITCOIN_COIN,
    ):
        assert str(parse_asset_id(built)) == built
        assert is_on_chain(built)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("coingecko:bitcoin", "has the form"),
        ("eip155:1", "has the form"),
        ("eip155:1/erc20:", "has the form"),
        ("eip155:0/slip44:60", "no EIP-155 number"),
        ("eip155:01/slip44:60", "no EIP-155 number"),
        ("eip155:1/slip44:+60", "no whole number"),
        ("eip155:1/erc1155:0x00", "no kind of asset"),
        (f"eip155:1/erc20:{USDC}", "lower case"),
        (f"eip155:1/erc20:{USDC[:-1]}", "39 hex digits"),
        (f"eip155:1/erc721:{USDC.lower()}/", "no whole number"),
        (f"solana:devnet/token:{MINT}", "no chain"),
        ("solana:mainnet/token:0OIl", "no mint"),
        ("solana:mainnet/slip44:60", "has no slip44:60"),
        ("bip122:000000000019d6689c085ae165831e93/erc20:x", "has no erc20"),
        ("yahoo:^GSPC/a:b", "no chain"),
    ],
)
def test_a_second_spelling_or_another_thing_is_no_id(text: str, why: str) -> None:
    with pytest.raises(AssetIdError, match=why):
        parse_asset_id(text)


def test_ids_of_markets_are_not_on_a_chain() -> None:
    assert not any(is_on_chain(asset) for asset in ("coingecko:bitcoin", "yahoo:^GSPC", "file:gold", "bitcoin", ""))
