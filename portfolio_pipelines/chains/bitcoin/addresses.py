"""Addresses of Bitcoin's main network: base58check, bech32 (BIP-173) and bech32m (BIP-350), each with its checksum.

Belongs here: whether a text is an address and how it is spelled. Addresses of test networks are refused by name.
"""

from hashlib import sha256
from typing import Final

from portfolio_pipelines.chains.base58 import decode_base58

PREFIX: Final = "bc"
_TEST_PREFIXES: Final = ("tb", "bcrt")
_LETTERS: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATORS: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32: Final = 1
_BECH32M: Final = 0x2BC830A3
_LONGEST: Final = 90  # letters of a bech32 text; beyond, the checksum promises nothing
_CHECKSUM_LETTERS: Final = 6

_BASE58_BYTES: Final = 25  # version, 20 bytes of hash, 4 of checksum
_MAIN_VERSIONS: Final = (0x00, 0x05)  # pay to public key hash, pay to script hash
_TEST_VERSIONS: Final = (0x6F, 0xC4)


def parse_bitcoin_address(text: str) -> str:
    """The address in `text` as it is usually spelled: bech32 in small letters, base 58 as given, no blanks around.

    Raises:
        ValueError: If it is no address of Bitcoin's main network; says why.
    """
    address = text.strip()
    lower = address.lower()
    try:
        if lower.partition("1")[0] in (PREFIX, *_TEST_PREFIXES):
            _check_segwit(address)
            return lower
        _check_base58(address)
    except ValueError as error:
        msg = f"{address!r} is no address of Bitcoin: {error}"
        raise ValueError(msg) from error
    return address


def _check_base58(address: str) -> None:
    if address[:2].lower() == "0x":
        msg = "it begins like an address of an EVM chain"
        raise ValueError(msg)
    data = decode_base58(address)
    if len(data) != _BASE58_BYTES:
        msg = f"it holds {len(data)} bytes, an address {_BASE58_BYTES}"
        raise ValueError(msg)
    if sha256(sha256(data[:-4]).digest()).digest()[:4] != data[-4:]:
        msg = "its checksum is wrong: one or more letters are mistyped"
        raise ValueError(msg)
    if data[0] in _TEST_VERSIONS:
        msg = "it belongs to a test network"
        raise ValueError(msg)
    if data[0] not in _MAIN_VERSIONS:
        msg = f"version {data[0]} is not one of Bitcoin: it belongs to another coin"
        raise ValueError(msg)


def _check_segwit(address: str) -> None:
    """Check a segregated-witness address. Source: BIP-173 and BIP-350."""
    if address not in (address.lower(), address.upper()):
        msg = "small and capital letters are mixed"
        raise ValueError(msg)
    if len(address) > _LONGEST:
        msg = f"it has {len(address)} letters, at most {_LONGEST} are allowed"
        raise ValueError(msg)
    prefix, _, body = address.lower().partition("1")
    for place, letter in enumerate(body, len(prefix) + 2):
        if letter not in _LETTERS:
            msg = f"letter {letter!r} at place {place} is not used in such addresses"
            raise ValueError(msg)
    values = [_LETTERS.index(letter) for letter in body]
    if len(values) <= _CHECKSUM_LETTERS:
        msg = "it is too short"
        raise ValueError(msg)
    version = values[0]
    constant = _polymod(
        [ord(letter) >> 5 for letter in prefix] + [0] + [ord(letter) & 31 for letter in prefix] + values
    )
    expected = _BECH32 if version == 0 else _BECH32M
    if constant != expected:
        other = constant in (_BECH32, _BECH32M)
        msg = (
            f"its checksum is of the wrong kind for witness version {version}"
            if other
            else "its checksum is wrong: one or more letters are mistyped"
        )
        raise ValueError(msg)
    if prefix != PREFIX:
        msg = "it belongs to a test network"
        raise ValueError(msg)
    _check_program(version, values[1:-_CHECKSUM_LETTERS])


def _check_program(version: int, values: list[int]) -> None:
    if version > 16:
        msg = f"witness version {version} does not exist"
        raise ValueError(msg)
    bits = len(values) * 5
    length, padding = divmod(bits, 8)
    number = 0
    for value in values:
        number = number << 5 | value
    if padding > 4 or number & ((1 << padding) - 1):
        msg = "its last letter holds bits that must be zero"
        raise ValueError(msg)
    if (version == 0 and length not in (20, 32)) or not 2 <= length <= 40:
        msg = f"a program of {length} bytes is not allowed for witness version {version}"
        raise ValueError(msg)


def _polymod(values: list[int]) -> int:
    """The remainder of the checksum's polynomial; five bits a value."""
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATORS):
            if top >> bit & 1:
                check ^= generator
    return check
