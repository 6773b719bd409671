"""How many NFTs of a collection a wallet holds.

Belongs here: counts. Which ones they are and what they are worth is not known here. Positions of Uniswap v3 are NFTs
too: who reads them with `uniswap_v3` does not name their contract as a collection.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from portfolio_pipelines.chains.protocols.calls import Answer, Call, CallFailed, call_many, flag, number, view
from portfolio_pipelines.chains.protocols.faults import Faults, PositionFault
from portfolio_pipelines.chains.protocols.held_tokens import held_tokens
from portfolio_pipelines.chains.protocols.positions import Amount, Position
from portfolio_pipelines.chains.reader.balances import ReaderLimits
from portfolio_pipelines.chains.rpc.node import Block, Node

PROTOCOL: Final = "erc721"
INTERFACE: Final = 0x80AC58CD << 224  # of ERC-721, as ERC-165 asks for it
MOST_NFTS: Final = 10_000_000  # in one wallet: more than the largest collections have; beyond it, a token or a lie

_COUNT: Final = "balanceOf(address)"


@dataclass(frozen=True, slots=True)
class Collection:
    """One collection: its name for people (empty where it is not known), and its address."""

    name: str
    address: str


async def read_positions(
    node: Node,
    wallets: Sequence[str],
    block: Block,
    collections: Sequence[Collection],
    *,
    multicall3: str | None = None,
    limits: ReaderLimits | None = None,
    faults: list[PositionFault] | None = None,
) -> list[Position]:
    """Counts of NFTs of wallets in collections, at a block.

    A contract that does not say that it is a collection (ERC-165), claims NFTs for addresses of nobody, or more of
    them than can be, is a fault; so is one that reverts. The others are counted.

    Args:
        node: The chain.
        wallets: Addresses.
        block: The block to read at.
        collections: The collections.
        multicall3: Address of Multicall3, where the chain has it.
        limits: What is known about the node, see `read_balances`.
        faults: Takes what could not be read, so that the rest is returned. When None, the first fault is raised.

    Returns:
        One position for each wallet and collection with a count that is not zero; the only amount is the count, of
        the collection as token. There is no receipt token. Fact: `collection`, its name.

    Raises:
        PositionFault: If `faults` is None and something could not be read.
        RpcError: If the node cannot be read.
    """
    noted = Faults(node.name, PROTOCOL, faults)
    real = await _confirmed(node, collections, block, noted, multicall3)
    held = await held_tokens(node, wallets, list(real), block, multicall3=multicall3, limits=limits)
    for address in sorted(held.lying | held.unreadable):
        why = "it claims NFTs for addresses of nobody" if address in held.lying else "its counts cannot be read"
        noted.add(address, why, name=real[address].name)
    for wallet, address in held.failed:
        noted.add(address, "the count cannot be read", name=real[address].name, wallet=wallet)
    positions = []
    for (wallet, address), count in held.amounts.items():
        if count > MOST_NFTS:
            noted.add(address, f"a count of {count} cannot be", name=real[address].name, wallet=wallet)
        else:
            positions.append(_position(real[address], wallet, count))
    return positions


async def read_counts(
    node: Node,
    pairs: Sequence[tuple[str, Collection]],
    block: Block,
    *,
    multicall3: str | None = None,
    faults: list[PositionFault] | None = None,
) -> list[Position]:
    """The same for single pairs of wallet and collection: where each wallet has collections of its own.

    Raises:
        PositionFault: If `faults` is None and something could not be read.
        RpcError: If the node cannot be read.
    """
    noted = Faults(node.name, PROTOCOL, faults)
    collections = list(dict.fromkeys(collection for _, collection in pairs))
    real = await _confirmed(node, collections, block, noted, multicall3)
    nobody = "0x" + sha256(f"the address of nobody at {block.hash}".encode()).hexdigest()[:40]
    nobodys = [view(address, _COUNT, nobody) for address in real]
    for call, answer in zip(nobodys, await call_many(node, nobodys, block, multicall3=multicall3), strict=True):
        if _count(call, answer):
            noted.add(call.to, "it claims NFTs for addresses of nobody", name=real.pop(call.to).name)
    wanted = [(wallet, collection) for wallet, collection in dict.fromkeys(pairs) if collection.address in real]
    asked = [view(collection.address, _COUNT, wallet) for wallet, collection in wanted]
    answers = await call_many(node, asked, block, multicall3=multicall3)
    positions = []
    for (wallet, collection), call, answer in zip(wanted, asked, answers, strict=True):
        count = _count(call, answer)
        if count is None:
            noted.add(collection.address, "the count cannot be read", name=collection.name, wallet=wallet)
        elif count > MOST_NFTS:
            noted.add(collection.address, f"a count of {count} cannot be", name=collection.name, wallet=wallet)
        elif count:
            positions.append(_position(collection, wallet, count))
    return positions


async def _confirmed(
    node: Node, collections: Sequence[Collection], block: Block, noted: Faults, multicall3: str | None
) -> dict[str, Collection]:
    """Those that say of themselves that they are collections, by address."""
    asked = [view(each.address, "supportsInterface(bytes4)", INTERFACE) for each in collections]
    answers = await call_many(node, asked, block, multicall3=multicall3)
    real: dict[str, Collection] = {}
    for collection, call, answer in zip(collections, asked, answers, strict=True):
        try:
            says_so, why = flag(call, answer), "it says that it is no ERC-721 contract"
        except CallFailed as error:
            says_so, why = False, f"it does not say that it is an ERC-721 contract: {error.message}"
        if says_so:
            real[collection.address] = collection
        else:
            noted.add(collection.address, why, name=collection.name)
    return real


def _count(call: Call, answer: Answer) -> int | None:
    try:
        return number(call, answer)
    except CallFailed:
        return None


def _position(collection: Collection, wallet: str, count: int) -> Position:
    return Position(
        protocol=PROTOCOL,
        position_id=collection.address,
        wallet=wallet,
        pool=collection.address,
        amounts=(Amount(collection.address, "principal", count),),
        facts={"collection": collection.name} if collection.name else {},
    )
