"""Blocks that are no longer part of their chain: which stored partitions they spoil, and where the fork began.

Belongs here: comparing hashes. Reading the partitions again is the pipeline's. Nothing relies on nodes announcing
removed logs: only hashes of blocks and of their parents count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from portfolio_pipelines.chains.rpc.errors import BadAnswer, RpcError
from portfolio_pipelines.chains.rpc.node import ANSWERED_BY, Block, Node

CANONICAL = {"chain_id": pl.Int64, "block_number": pl.Int64, "canonical_hash": pl.String}


@dataclass(frozen=True, slots=True)
class Fork:
    """Where two branches part.

    Attributes:
        ancestor: The newest block that both have; None when the branches have none of the known blocks in common.
        abandoned: Known blocks that are no longer canonical, oldest first.
        adopted: Canonical blocks after the ancestor, oldest first; they end with the head.
    """

    ancestor: Block | None
    abandoned: tuple[Block, ...]
    adopted: tuple[Block, ...]


def block_of(node: Node, answer: Any) -> Block:
    """A block out of the answer to eth_getBlockByNumber or eth_getBlockByHash.

    Raises:
        BadAnswer: If it is none.
    """
    try:
        block = Block(
            number=int(answer["number"], 16),
            hash=_hash(answer["hash"]),
            timestamp=int(answer["timestamp"], 16),
            parent_hash=_hash(answer["parentHash"]),
        )
    except (TypeError, KeyError, ValueError) as error:
        raise BadAnswer(
            node.name, ANSWERED_BY.get(), "a block without number, hash, timestamp or parent hash"
        ) from error
    return block


def _hash(text: Any) -> str:
    if not isinstance(text, str) or len(text) != 66 or not text.startswith("0x"):
        msg = f"not a hash: {text!r}"
        raise ValueError(msg)
    int(text, 16)
    return text.lower()


async def canonical_hashes(node: Node, numbers: Sequence[int]) -> pl.DataFrame:
    """What the chain now has at some heights: chain_id, block_number, canonical_hash.

    The hash is null where the chain has no block of that number (it became shorter).

    Raises:
        RpcError: If a block could not be read: not knowing is not a reorganisation.
    """
    wanted = sorted(set(numbers))
    answers = await node.batch([("eth_getBlockByNumber", [hex(number), False]) for number in wanted])
    hashes: list[str | None] = []
    for number, answer in zip(wanted, answers, strict=True):
        if isinstance(answer, RpcError):
            raise answer
        block = block_of(node, answer) if answer is not None else None
        if block and block.number != number:
            raise BadAnswer(
                node.name, ANSWERED_BY.get(), f"block {block.number} in answer to the question for {number}"
            )
        hashes.append(block.hash if block else None)
    return pl.DataFrame(
        {"chain_id": [node.chain_id] * len(wanted), "block_number": wanted, "canonical_hash": hashes}, schema=CANONICAL
    )


def to_read_again(stored: pl.DataFrame, canonical: pl.DataFrame) -> pl.DataFrame:
    """The stored rows whose block is no longer canonical.

    Args:
        stored: chain_id, block_number, block_hash, and whatever names the partition (day, hour …).
        canonical: As `canonical_hashes` gives it, of any number of chains.

    Returns:
        Those rows of `stored` whose block was compared and found replaced, with `canonical_hash` (null where the
        chain is shorter now); a block that was not compared is not in it.
    """
    compared = stored.join(canonical, on=["chain_id", "block_number"], how="inner", maintain_order="left")
    return compared.filter(pl.col("block_hash").str.to_lowercase().ne_missing(pl.col("canonical_hash")))


async def newest_canonical(node: Node, checkpoints: Sequence[tuple[int, str]], upto: int) -> int | None:
    """Position of the newest checkpoint that the chain still has; None if it has none.

    Args:
        node: The chain.
        checkpoints: (number, hash) of blocks seen before, oldest first. A canonical block proves all before it.
        upto: Number of the newest block of the chain; checkpoints beyond it cannot be canonical.

    Raises:
        RpcError: If a block could not be read.
    """
    for position in range(len(checkpoints) - 1, -1, -1):
        number, known = checkpoints[position]
        if number <= upto and (await node.block(number)).hash == known:
            return position
    return None


async def find_fork(node: Node, known: Sequence[Block], head: Block) -> Fork:
    """How the chain came from the blocks we know to a new head.

    Walks back over parent hashes, so it needs no announcement of removed blocks, and steps over heads that were
    never announced.

    Args:
        node: The chain.
        known: Blocks followed so far, oldest first, each the parent of the next.
        head: The newest block, with its parent hash.

    Raises:
        BadAnswer: If a block is not the parent it should be.
        RpcError: If a block could not be read.
    """
    place: Mapping[str, int] = {block.hash: position for position, block in enumerate(known)}
    adopted: list[Block] = []
    current = head
    lowest = known[0].number if known else head.number + 1
    while current.hash not in place:
        adopted.append(current)
        if current.number <= lowest:  # below everything known
            return Fork(None, tuple(known), tuple(reversed(adopted)))
        parent = block_of(node, await node.request("eth_getBlockByHash", [current.parent_hash, False]))
        if parent.hash != current.parent_hash or parent.number != current.number - 1:
            message = f"block {parent.number} {parent.hash} is not the parent of {current.number} {current.hash}"
            raise BadAnswer(node.name, ANSWERED_BY.get(), message)
        current = parent
    common = place[current.hash]
    return Fork(known[common], tuple(known[common + 1 :]), tuple(reversed(adopted)))
