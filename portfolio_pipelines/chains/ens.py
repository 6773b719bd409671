"""Names of the Ethereum Name Service, such as vitalik.eth, and the addresses they stand for.

Two views a name: the registry says which resolver knows it, the resolver says the address. Our own few lines instead of
web3's `ens`: that sends several requests a view, and its normalisation fails with the Unicode library it installs.
"""

import re
from collections.abc import Iterable
from typing import Final

from portfolio_pipelines.chains.addresses import ZERO_ADDRESS, keccak
from portfolio_pipelines.chains.protocols.calls import Answer, Call, CallFailed, address, call_many, number, view
from portfolio_pipelines.chains.rpc.errors import RpcError
from portfolio_pipelines.chains.rpc.node import Node

REGISTRY: Final = "0x00000000000c2e074ec69a0dfb2997ba6c7d2e1e"
"""Of Ethereum's main network and its test networks. Source: docs.ens.domains, deployments."""
CHAIN_ID: Final = 1
"""The chain whose node resolves names."""

OFFCHAIN_LOOKUP: Final = bytes.fromhex("556f1830")  # OffchainLookup(address,string[],bytes,bytes4,bytes), EIP-3668
LABEL: Final = re.compile(r"_*[a-z0-9-]+")
HASH_BYTES: Final = 32


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
    node = bytes(HASH_BYTES)
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
        address, RpcError when the node could not say.
    """
    asked = list(dict.fromkeys(names))
    found: dict[str, str | UnresolvedNameError | RpcError] = {}
    hashes: dict[str, int] = {}
    for name in asked:
        try:
            hashes[name] = int.from_bytes(namehash(normalise(name)))
        except UnresolvedNameError as error:
            found[name] = error
    if hashes:
        try:
            found |= await _look_up(node, hashes, registry)
        except RpcError as error:
            found |= dict.fromkeys(hashes, error)
    return {name: found[name] for name in asked}


async def _look_up(
    node: Node, hashes: dict[str, int], registry: str
) -> dict[str, str | UnresolvedNameError | RpcError]:
    block = await node.block()
    found: dict[str, str | UnresolvedNameError | RpcError] = {}
    calls = [view(registry, "resolver(bytes32)", hashed) for hashed in hashes.values()]
    resolvers: dict[str, str] = {}
    for name, call, answer in zip(hashes, calls, await call_many(node, calls, block), strict=True):
        try:
            resolver = _address(call, answer)
        except CallFailed as error:
            found[name] = UnresolvedNameError(f"{name!r} cannot be resolved on {node.name}: {error}")
            continue
        if resolver == ZERO_ADDRESS:
            found[name] = UnresolvedNameError(f"{name!r} is not registered, or has no resolver")
        else:
            resolvers[name] = resolver
    calls = [view(resolver, "addr(bytes32)", hashes[name]) for name, resolver in resolvers.items()]
    for name, call, answer in zip(resolvers, calls, await call_many(node, calls, block), strict=True):
        found[name] = _answer_of(name, call, answer)
    return found


def _answer_of(name: str, call: Call, answer: Answer) -> str | UnresolvedNameError:
    try:
        resolved = _address(call, answer)
    except CallFailed as error:
        if error.data[:4] == OFFCHAIN_LOOKUP:
            return UnresolvedNameError(f"{name!r} keeps its address off chain: write the address it stands for")
        return UnresolvedNameError(f"{name!r} has a resolver that gives no address: {error}")
    return resolved if resolved != ZERO_ADDRESS else UnresolvedNameError(f"{name!r} stands for no address")


def _address(call: Call, answer: Answer) -> str:
    return address(call, number(call, answer))
