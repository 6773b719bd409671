"""Ids of assets on chains, `<chain>/<kind>:<reference>` after CAIP-19: built and taken apart here alone.

    eip155:1/slip44:60                                the coin of an EVM chain; the number is that of SLIP-0044
    eip155:1/erc20:0xa0b8…                            a token, lower case
    eip155:1/erc721:0xc364…/42                        one of a collection; without a number the collection
    solana:mainnet/slip44:501, solana:mainnet/token:<mint>
    bip122:000000000019d6689c085ae165831e93/slip44:0

Ids of markets (`coingecko:bitcoin`) are no ids of chains: `is_on_chain` tells them apart.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

from portfolio_pipelines.chains.addresses import AddressError, parse_address

SOLANA: Final = "solana:mainnet"
BITCOIN: Final = "bip122:000000000019d6689c085ae165831e93"
SOLANA_COIN: Final = f"{SOLANA}/slip44:501"
BITCOIN_COIN: Final = f"{BITCOIN}/slip44:0"

Kind = Literal["native", "token", "nft"]
_NAMESPACES: Final = ("eip155", "solana", "bip122")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]*", re.ASCII)
_MINT: Final = re.compile(r"[1-9A-HJ-NP-Za-km-z]{32,44}", re.ASCII)


class AssetIdError(ValueError):
    """A text is no id of an asset on a chain; the message says why."""


@dataclass(frozen=True, slots=True)
class AssetId:
    """An id taken apart.

    `chain` is the part before the slash, `chain_id` its EIP-155 number (None in other families). `address` is the
    token's contract or mint (None for coins), `coin_type` the SLIP-0044 number (None for tokens), `token_id` the number
    within a collection (None for everything else, and for a whole collection).
    """

    chain: str
    kind: Kind
    chain_id: int | None = None
    address: str | None = None
    coin_type: int | None = None
    token_id: int | None = None

    def __str__(self) -> str:
        if self.kind == "native":
            return f"{self.chain}/slip44:{self.coin_type}"
        if self.kind == "nft":
            number = "" if self.token_id is None else f"/{self.token_id}"
            return f"{self.chain}/erc721:{self.address}{number}"
        return f"{self.chain}/{'erc20' if self.chain_id is not None else 'token'}:{self.address}"


def native_asset_id(chain_id: int, coin_type: int = 60) -> str:
    """The coin in which an EVM chain takes its fees; `coin_type` is the `slip44` of the registry."""
    return f"eip155:{chain_id}/slip44:{coin_type}"


def token_asset_id(chain_id: int, address: str) -> str:
    """An ERC-20 token; the address in any case."""
    return f"eip155:{chain_id}/erc20:{address.lower()}"


def nft_asset_id(chain_id: int, collection: str, token_id: int | None = None) -> str:
    """One token of an ERC-721 collection, or the collection."""
    number = "" if token_id is None else f"/{token_id}"
    return f"eip155:{chain_id}/erc721:{collection.lower()}{number}"


def solana_token_asset_id(mint: str) -> str:
    """An SPL token, by its mint. Base 58 has upper and lower case: it stays as it is."""
    return f"{SOLANA}/token:{mint}"


def is_on_chain(asset_id: str) -> bool:
    """Whether an id names an asset on a chain; false for ids of markets."""
    return asset_id.partition(":")[0] in _NAMESPACES


def parse_asset_id(text: str) -> AssetId:
    """Take an id apart. Only the one spelling that is built here is an id: ids are compared as text.

    Raises:
        AssetIdError: If it is none.
    """
    chain, slash, asset = text.partition("/")
    namespace, _, reference = chain.partition(":")
    kind, colon, value = asset.partition(":")
    if not (slash and colon and value):
        raise _refusal(text, "an id has the form <chain>/<kind>:<reference>")
    if namespace == "eip155":
        return _evm(text, chain, reference, kind, value)
    if chain == SOLANA and kind == "token":
        if not _MINT.fullmatch(value):
            raise _refusal(text, f"{value!r} is no mint")
        return AssetId(chain, "token", address=value)
    if text in (SOLANA_COIN, BITCOIN_COIN):
        return AssetId(chain, "native", coin_type=int(value))
    raise _refusal(text, f"{chain} has no {kind}:{value}" if chain in (SOLANA, BITCOIN) else f"{chain!r} is no chain")


def _evm(text: str, chain: str, reference: str, kind: str, value: str) -> AssetId:
    if not _NUMBER.fullmatch(reference) or reference == "0":
        raise _refusal(text, f"{reference!r} is no EIP-155 number")
    chain_id = int(reference)
    if kind == "slip44":
        return AssetId(chain, "native", chain_id, coin_type=_number(text, value))
    if kind == "erc20":
        return AssetId(chain, "token", chain_id, _address(text, value))
    if kind == "erc721":
        collection, slash, number = value.partition("/")
        token_id = _number(text, number) if slash else None
        return AssetId(chain, "nft", chain_id, _address(text, collection), token_id=token_id)
    raise _refusal(text, f"{kind!r} is no kind of asset: slip44, erc20 or erc721")


def _address(text: str, value: str) -> str:
    try:
        address = parse_address(value)
    except AddressError as error:
        raise _refusal(text, str(error)) from error
    if address != value:
        raise _refusal(text, f"write the address in lower case: {address}")
    return address


def _number(text: str, value: str) -> int:
    if not _NUMBER.fullmatch(value):
        raise _refusal(text, f"{value!r} is no whole number")
    return int(value)


def _refusal(text: str, why: str) -> AssetIdError:
    return AssetIdError(f"{text!r} is no id of an asset on a chain: {why}")
