"""Names of the Ethereum Name Service, such as vitalik.eth, and the addresses they stand for.

Two calls a name: the registry says which resolver knows it, the resolver says the address. Our own few lines instead of
web3's `ens`: that sends several requests a call, and its normalisation fails with the Unicode library it installs.
"""

import asyncio
import re
from collections.abc import Iterable
from typing import Final

from portfolio_pipelines.chains.addresses import keccak
from portfolio_pipelines.chains.rpc.errors import BadAnswer, Reverted, RpcError
from portfolio_pipelines.chains.rpc.node import Node

REGISTRY: Final = "0x00000000000c2e074ec69a0dfb2997ba6c7d2e1e"
"""Of Ethereum's main network and its test networks. Source: docs.ens.domains, deployments."""
CHAIN_ID: Final = 1
"""The chain whose node resolves names."""

RESOLVER: Final = bytes.fromhex("0178b8bf")  # resolver(bytes32)
ADDRESS: Final = bytes.fromhex("3b3b57de")  # addr(bytes32)
OFFCHAIN_LOOKUP: Final = bytes.fromhex("556f1830")  # OffchainLookup(address,string[],bytes,bytes4,bytes), EIP-3668
LABEL: Final = re.compile(r"_*[a-z0-9-]+")
ADDRESS_BYTES: Final = 20
WORD: Final = 32


class UnresolvedNameError(ValueError):
    """A name that stands for no address; the message says why."""


def normalise(name: str) -> str:
    """The name as it is hashed.

    Letters, digits, hyphens and leading underscores of ASCII only: for them ENSIP-15 comes down to lower case. Other
    names are refused, not guessed: a wrong normalisation is somebody else's name.

    Raises:
        UnresolvedNameError: If it is no name, or one that has other characters.
    """
    lower = name.strip().lower()
    if not lower.isascii():
        msg = f"{name!r} has characters beyond a-z, 0-9 and the hyphen: write the address it stands for"
        raise UnresolvedNameError(msg)
    labels = lower.split(".")
    if len(labels) < 2 or any(not LABEL.fullmatch(label) or label[2:4] == "--" for label in labels):
        msg = f"{name!r} is no name of ENS"
        raise UnresolvedNameError(msg)
    return lower


def namehash(name: str) -> bytes:
    """The 32 bytes under which the registry knows a normalised name. Source: EIP-137."""
    node = bytes(WORD)
    for label in reversed(name.split(".")):
        node = keccak(node + keccak(label.encode()))
    return node


async def resolve_names(
    node: Node, names: Iterable[str], *, registry: str = REGISTRY
) -> dict[str, str | UnresolvedNameError | RpcError]:
    """The address of each name, all at the newest block.

    Args:
        node: A node of Ethereum's main network.
        names: As people wrote them.
        registry: Address of the registry contract.

    Returns:
        For each name 0x and 40 lower-case hex digits, or why there is none: UnresolvedNameError when the name has no
        address, another RpcError when the node could not say.
    """
    asked = list(dict.fromkeys(names))
    try:
        block = (await node.block()).number
    except RpcError as error:
        return dict.fromkeys(asked, error)
    answers = await asyncio.gather(*(_resolve(node, name, registry, block) for name in asked))
    return dict(zip(asked, answers, strict=True))


async def _resolve(node: Node, name: str, registry: str, block: int) -> str | UnresolvedNameError | RpcError:
    try:
        hashed = namehash(normalise(name))
        resolver = await _ask(node, registry, RESOLVER + hashed, block)
        if resolver is None:
            return UnresolvedNameError(f"{name!r} is not registered, or has no resolver")
        address = await _ask(node, resolver, ADDRESS + hashed, block)
    except Reverted as error:
        if error.data[:4] == OFFCHAIN_LOOKUP:
            return UnresolvedNameError(f"{name!r} keeps its address off chain: write the address it stands for")
        return UnresolvedNameError(f"the resolver of {name!r} refuses to answer")
    except (UnresolvedNameError, RpcError) as error:
        return error
    return address or UnresolvedNameError(f"{name!r} stands for no address")


async def _ask(node: Node, contract: str, data: bytes, block: int) -> str | None:
    """The address that a contract answers; None for the zero address or where there is no contract."""
    answer = await node.eth_call(contract, data, block)
    if not answer:
        return None
    if len(answer) != WORD or any(answer[: WORD - ADDRESS_BYTES]):
        raise BadAnswer(node.name, "all endpoints", f"{contract} answered {len(answer)} bytes that are no address")
    return f"0x{answer[-ADDRESS_BYTES:].hex()}" if any(answer) else None
