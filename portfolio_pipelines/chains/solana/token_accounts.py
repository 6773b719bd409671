"""What the bytes of a token account and of a mint say, for the programs Token and Token-2022.

Belongs here: decoding of account data, exact or refused. Not here: how it was read (`client`), and which account is
whose (`associated`). Source of the layouts: the state of the SPL token programs; a Token-2022 account carries its
extensions behind the classic 165 bytes, and a mint is filled up to the same length before them.
"""

import struct
from dataclasses import dataclass
from typing import Final

from portfolio_pipelines.chains.base58 import encode_base58

TOKEN_PROGRAM: Final = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"  # noqa: S105 (an address)
TOKEN_2022_PROGRAM: Final = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"  # noqa: S105 (an address)
TOKEN_PROGRAMS: Final = (TOKEN_PROGRAM, TOKEN_2022_PROGRAM)
WRAPPED_NATIVE_MINT: Final = "So11111111111111111111111111111111111111112"

CONFIDENTIAL_TRANSFER: Final = 5  # extension of an account that may hold an encrypted balance beside the open one

_ACCOUNT: Final = struct.Struct("<32s32sQI32sBIQQI32s")  # COption fields are a 32-bit tag and their value
_MINT: Final = struct.Struct("<I32sQBBI32s")
_MULTISIG_BYTES: Final = 355  # the length that tells a multisig; the programs never give it to an account or a mint
_KIND_OF_MINT, _KIND_OF_ACCOUNT = 1, 2
_FROZEN: Final = 2
_HEADER: Final = struct.Struct("<HH")  # type and length of an extension


@dataclass(frozen=True, slots=True)
class TokenAccount:
    """A token account: how much of one mint one wallet holds in it."""

    mint: str
    owner: str
    amount: int  # smallest units, whole: fees withheld by Token-2022 are not part of it
    is_initialized: bool
    is_frozen: bool
    is_native: bool  # wrapped coins of the chain; `amount` leaves the rent out
    extensions: tuple[int, ...]  # types of Token-2022 extensions

    @property
    def may_hide_a_balance(self) -> bool:
        """Whether there may be an encrypted balance that nobody but the owner can read."""
        return CONFIDENTIAL_TRANSFER in self.extensions


@dataclass(frozen=True, slots=True)
class Mint:
    """A token: its decimals and supply, and the program its accounts belong to."""

    program: str
    decimals: int
    supply: int  # smallest units
    is_initialized: bool
    extensions: tuple[int, ...]


def decode_token_account(data: bytes, program: str) -> TokenAccount:
    """A token account from the data of an account that `program` owns.

    Raises:
        ValueError: If these bytes cannot be the state of one.
    """
    extensions = _extensions(data, _ACCOUNT.size, _ACCOUNT.size, _KIND_OF_ACCOUNT, program)
    mint, owner, amount, delegate, _, state, native, _, _, close, _ = _ACCOUNT.unpack_from(data)
    _check_options(delegate, native, close)
    if state > _FROZEN:
        msg = f"state {state} of a token account does not exist"
        raise ValueError(msg)
    return TokenAccount(
        mint=encode_base58(mint),
        owner=encode_base58(owner),
        amount=amount,
        is_initialized=state != 0,
        is_frozen=state == _FROZEN,
        is_native=native == 1,
        extensions=extensions,
    )


def decode_mint(data: bytes, program: str) -> Mint:
    """A mint from the data of an account that `program` owns.

    Raises:
        ValueError: If these bytes cannot be the state of one.
    """
    extensions = _extensions(data, _MINT.size, _ACCOUNT.size, _KIND_OF_MINT, program)
    authority, _, supply, decimals, initialized, freeze, _ = _MINT.unpack_from(data)
    _check_options(authority, freeze)
    if initialized > 1:
        msg = f"{initialized} is no truth value"
        raise ValueError(msg)
    return Mint(program, decimals, supply, initialized == 1, extensions)


def _check_options(*tags: int) -> None:
    for tag in tags:
        if tag > 1:
            msg = f"{tag} is no tag of an optional field"
            raise ValueError(msg)


def _extensions(data: bytes, size: int, padded: int, kind: int, program: str) -> tuple[int, ...]:
    """Check the length, and give the types of the extensions behind the state."""
    if program not in TOKEN_PROGRAMS:
        msg = f"{program} is no token program"
        raise ValueError(msg)
    if len(data) == size:
        return ()
    if program == TOKEN_PROGRAM or len(data) <= padded or len(data) == _MULTISIG_BYTES:
        msg = f"{len(data)} bytes cannot be this state of {program}"
        raise ValueError(msg)
    if any(data[size:padded]) or data[padded] != kind:
        msg = f"the byte that tells accounts from mints is {data[padded]}, not {kind}"
        raise ValueError(msg)
    types: list[int] = []
    place = padded + 1
    while place + 2 <= len(data):
        if data[place : place + 2] == b"\0\0":
            break  # room that no extension uses yet
        if place + _HEADER.size > len(data):
            msg = "an extension breaks off in its header"
            raise ValueError(msg)
        extension, length = _HEADER.unpack_from(data, place)
        place += _HEADER.size + length
        if place > len(data):
            msg = f"extension {extension} of {length} bytes reaches beyond the end"
            raise ValueError(msg)
        types.append(extension)
    return tuple(types)
