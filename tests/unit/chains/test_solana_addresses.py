"""What is an address of Solana, checked against the reference implementation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from portfolio_pipelines.chains.solana.addresses import parse_solana_address, solana_address_bytes

WALLET = "FkzRQKW8Mzip4xXHamibLZB28sjqN9ZLFacQdbuVEYxa"


def test_blanks_around_an_address_are_dropped() -> None:
    assert parse_solana_address(f" {WALLET}\n") == WALLET


@given(st.binary(min_size=32, max_size=32))
def test_every_32_bytes_are_an_address_with_the_reference_spelling(data: bytes) -> None:
    assert solana_address_bytes(str(Pubkey(data))) == data


@given(st.text(alphabet="123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz0OIl", min_size=30, max_size=46))
def test_what_the_reference_refuses_is_refused_and_the_rest_is_not(text: str) -> None:
    try:
        expected = bytes(Pubkey.from_string(text))
    except ValueError:
        with pytest.raises(ValueError, match="is no address of Solana"):
            solana_address_bytes(text)
    else:
        assert solana_address_bytes(text) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "holds 0 bytes, an address 32"),
        ("0xd8da6bf26964af9d7eed9e03e53415d37aa96045", "EVM chain"),
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "holds 25 bytes"),
        (WALLET[:-1] + "0", "letter '0' at place 44"),
        (WALLET + WALLET, "32 to 44 letters"),
        ("1" * 32, "system program"),
        ("x" * 500, "too many"),
    ],
)
def test_what_is_no_wallet_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_solana_address(text)
