"""What is an address of Bitcoin, and what only looks like one. Vectors: BIP-173, BIP-350, and well-known addresses."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from portfolio_pipelines.chains.base58 import ALPHABET, decode_base58, encode_base58
from portfolio_pipelines.chains.bitcoin.addresses import parse_bitcoin_address

GENESIS = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"
SCRIPT_HASH = "3P14159f73E4gFr7JterCCQh9QjiTjiZrG"
VALID_SEGWIT = [
    "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
    "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y",
    "BC1SW50QGDZ25J",
    "bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs",
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
]
INVALID_SEGWIT = [
    ("tc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq5zuyut", "is no address"),
    ("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd", "wrong kind for witness version 1"),
    ("BC1S0XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ54WELL", "wrong kind for witness version 16"),
    ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh", "wrong kind for witness version 0"),
    ("bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4", "letter 'o' at place 60"),
    ("BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R", "witness version 17 does not exist"),
    ("bc1pw5dgrnzv", "a program of 1 bytes"),
    ("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v8n0nx0muaewav253zgeav", "a program of 41 bytes"),
    ("BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P", "a program of 16 bytes is not allowed for witness version 0"),
    ("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v07qwwzcrf", "must be zero"),
    ("bc1gmk9yu", "too short"),
    ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kV8F3T4", "mixed"),
]
TEST_NETWORK = [
    "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7",
    "tb1pqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesf3hn0c",
    "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",
    "2MzQwSSnBHWHqSAqtTVQ6v47XtaisrJa1Vc",
]


@pytest.mark.parametrize("address", VALID_SEGWIT)
def test_the_segwit_vectors_of_the_standard_are_addresses_in_small_letters(address: str) -> None:
    assert parse_bitcoin_address(f"  {address}\n") == address.lower()


@pytest.mark.parametrize("address", [GENESIS, SCRIPT_HASH])
def test_older_addresses_keep_their_spelling(address: str) -> None:
    assert parse_bitcoin_address(f" {address} ") == address


@pytest.mark.parametrize(("address", "why"), INVALID_SEGWIT)
def test_the_invalid_vectors_of_the_standard_are_refused_with_the_reason(address: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_bitcoin_address(address)


@pytest.mark.parametrize("address", TEST_NETWORK)
def test_addresses_of_test_networks_are_refused_by_that_name(address: str) -> None:
    with pytest.raises(ValueError, match="test network"):
        parse_bitcoin_address(address)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "holds 0 bytes"),
        ("0xd8da6bf26964af9d7eed9e03e53415d37aa96045", "EVM chain"),
        ("LM2WMpR1Rp6j3Sa59cMXMs1SPzj9eXpGc1", "belongs to another coin"),
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNl", "letter 'l' at place 34"),
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfN", "checksum is wrong"),
        ("FkzRQKW8Mzip4xXHamibLZB28sjqN9ZLFacQdbuVEYxa", "holds 32 bytes"),
        ("bc1" + "q" * 200, "at most 90"),
    ],
)
def test_what_is_no_address_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_bitcoin_address(text)


@given(st.sampled_from([GENESIS, SCRIPT_HASH, *VALID_SEGWIT]), st.data())
def test_one_mistyped_letter_never_passes(address: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(address) - 1))
    letter = data.draw(st.sampled_from(ALPHABET))
    mistyped = address[:place] + letter + address[place + 1 :]
    assume(mistyped != address and mistyped.upper() != address)
    with pytest.raises(ValueError, match="no address of Bitcoin"):
        parse_bitcoin_address(mistyped)


@given(st.text(max_size=100))
def test_any_text_is_an_address_or_refused_as_none(text: str) -> None:
    with pytest.raises(ValueError, match="is no address of Bitcoin"):
        parse_bitcoin_address(text)


@given(st.binary(max_size=40))
def test_base_58_gives_back_the_bytes_it_was_given(data: bytes) -> None:
    assert decode_base58(encode_base58(data)) == data
