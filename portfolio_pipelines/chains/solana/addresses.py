"""Addresses of Solana: 32 bytes in base 58. They carry no checksum, so only form can be checked.

Addresses of wallets and of programs' accounts (multisigs, vaults) have the same form; both may hold balances.
"""

from portfolio_pipelines.chains.base58 import decode_base58

ADDRESS_BYTES = 32
SYSTEM_PROGRAM = "1" * 32  # the address of 32 zero bytes: owns plain wallets, is nobody's wallet
_LETTERS = range(32, 45)  # 32 bytes need 32 to 44 letters


def parse_solana_address(text: str) -> str:
    """The address in `text`, without surrounding blanks.

    Raises:
        ValueError: If it is no address of Solana; says why.
    """
    address = text.strip()
    solana_address_bytes(address)
    if address == SYSTEM_PROGRAM:
        msg = f"{address!r} is the system program, not a wallet"
        raise ValueError(msg)
    return address


def solana_address_bytes(address: str) -> bytes:
    """The 32 bytes of an address.

    Raises:
        ValueError: If it is no address of Solana; says why.
    """
    if address[:2].lower() == "0x":
        msg = f"{address!r} is no address of Solana: it begins like an address of an EVM chain"
        raise ValueError(msg)
    try:
        data = decode_base58(address)
    except ValueError as error:
        msg = f"{address!r} is no address of Solana: {error}"
        raise ValueError(msg) from error
    if len(data) != ADDRESS_BYTES:
        letters = "" if len(address) in _LETTERS else " (an address has 32 to 44 letters)"
        msg = f"{address!r} is no address of Solana: it holds {len(data)} bytes, an address {ADDRESS_BYTES}{letters}"
        raise ValueError(msg)
    return data
