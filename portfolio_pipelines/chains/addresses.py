"""Addresses of EVM chains: as people spell them, as everything here keeps them, and as bytes.

Belongs here: text, bytes and arrays of addresses, and the EIP-55 checksum. Addresses of other families are in
`solana.addresses` and `bitcoin.addresses`; ids of assets in `asset_ids`.

Inside, an address is `0x` and 40 lower-case hex digits, always: two spellings of one address would be two keys.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

ADDRESS_BYTES: Final = 20
ZERO_ADDRESS: Final = "0x" + "00" * ADDRESS_BYTES
_HEX_DIGITS: Final = 2 * ADDRESS_BYTES


class AddressError(ValueError):
    """A text is no address of an EVM chain; the message says why and, where it can, how it is spelled."""


def keccak(data: bytes) -> bytes:
    """Keccak-256 as Ethereum uses it (not the SHA-3 of the standard library: the padding differs)."""
    from eth_hash.auto import keccak as keccak_256

    return keccak_256(data)


def checksum_address(address: str) -> str:
    """The spelling for people, with the EIP-55 checksum in the case of its letters.

    Args:
        address: 0x and 40 hex digits of any case.
    """
    digits = address[2:].lower()
    nibbles = keccak(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if int(nibble, 16) >= 8 else digit for digit, nibble in zip(digits, nibbles, strict=False)
    )


def parse_address(text: str) -> str:
    """The address that somebody wrote, in the spelling used inside.

    Blanks around it are ignored. All lower case and all upper case carry no checksum and are accepted; mixed case
    must be the EIP-55 spelling, because a wrong one means that a letter was mistyped.

    Raises:
        AddressError: If it is no address, or its checksum is wrong (with the right spelling).
    """
    written = text.strip()
    if written[:2] not in ("0x", "0X"):
        raise AddressError(_without_prefix(written))
    digits = written[2:]
    if wrong := [place for place, digit in enumerate(digits, 3) if digit not in "0123456789abcdefABCDEF"]:
        msg = f"{written!r} is no address: {written[wrong[0] - 1]!r} at place {wrong[0]} is no hex digit"
        raise AddressError(msg)
    if len(digits) != _HEX_DIGITS:
        msg = f"{written!r} is no address: it has {len(digits)} hex digits after 0x, an address {_HEX_DIGITS}"
        raise AddressError(msg)
    if digits not in (digits.lower(), digits.upper()):
        right = checksum_address(written)
        if digits != right[2:]:
            msg = f"{written!r} has a wrong checksum: a letter was mistyped, or it should be spelled {right}"
            raise AddressError(msg)
    return "0x" + digits.lower()


def address_bytes(address: str) -> bytes:
    """The 20 bytes of an address.

    Raises:
        AddressError: If it is not 0x and 40 hex digits.
    """
    return address_array([address]).tobytes()


def address_text(raw: bytes) -> str:
    """The address of 20 bytes, or of a 32-byte word that holds one on the right as answers and topics do.

    Raises:
        AddressError: If there are neither 20 nor 32 bytes, or the word holds more than an address.
    """
    if len(raw) == 32 and not any(raw[:12]):
        raw = raw[12:]
    if len(raw) != ADDRESS_BYTES:
        msg = f"{len(raw)} bytes (0x{raw.hex()}) are no address: it has {ADDRESS_BYTES}, in a word after 12 zeros"
        raise AddressError(msg)
    return "0x" + raw.hex()


def address_array(addresses: Sequence[str]) -> NDArray[np.uint8]:
    """Many addresses as an array of shape (n, 20).

    Raises:
        AddressError: If one of them is not 0x and 40 hex digits; says which.
    """
    if all(len(address) == 2 + _HEX_DIGITS and address[:2] == "0x" for address in addresses):
        try:
            raw = bytes.fromhex("".join([address[2:] for address in addresses]))
        except ValueError:
            raw = b""
        if len(raw) == ADDRESS_BYTES * len(addresses):
            return np.frombuffer(raw, dtype=np.uint8).reshape(-1, ADDRESS_BYTES).copy()
    for place, address in enumerate(addresses):
        try:
            parse_address(address.lower())
        except AddressError as error:
            msg = f"address {place} of {len(addresses)}: {error}"
            raise AddressError(msg) from error
    return address_array([parse_address(address.lower()) for address in addresses])


def address_texts(array: NDArray[np.uint8]) -> list[str]:
    """The addresses of an array of shape (n, 20).

    Raises:
        AddressError: If it has another shape or type.
    """
    if array.ndim != 2 or array.shape[1] != ADDRESS_BYTES or array.dtype != np.uint8:
        msg = f"an array of {array.dtype} {array.shape} holds no addresses: uint8 (n, {ADDRESS_BYTES}) does"
        raise AddressError(msg)
    digits = np.ascontiguousarray(array).tobytes().hex()
    return ["0x" + digits[start : start + _HEX_DIGITS] for start in range(0, len(digits), _HEX_DIGITS)]


def _without_prefix(written: str) -> str:
    if not written:
        return "an address is missing"
    if len(written) == _HEX_DIGITS and all(digit in "0123456789abcdefABCDEF" for digit in written):
        return f"{written!r} lacks the 0x of an address: write 0x{written}"
    if "." in written:
        return f"{written!r} is no address but looks like a name: resolve it first"
    return f"{written!r} is no address: it does not begin with 0x"
