"""The last block before a moment: the state in which a day closed.

Belongs here: the search over timestamps. Which moments are wanted is the caller's.
"""

import math
from collections.abc import Sequence

from portfolio_pipelines.chains.rpc.errors import BadAnswer
from portfolio_pipelines.chains.rpc.node import ANSWERED_BY, Block, Node

_RATE_SAMPLE = 1_000  # blocks over which the pace of the chain is measured first
_MARGIN = 0.02  # how far a guess from the pace is moved outwards, so that the next one most likely closes the bracket
_TRUNCATION = 0.01  # of the bracket, at first: how far a look is moved towards the middle


async def last_block_before(node: Node, moment: int, newest: Block, *, first_block: int = 0) -> Block | None:
    """The last block with a timestamp below `moment`.

    Args:
        node: The chain.
        moment: Seconds since 1970, UTC.
        newest: The newest block. It is the answer if it is older than `moment`: the caller knows whether the moment
            has passed, so whether the node is behind, the chain stands still, or the day is not over.
        first_block: The earliest block that may be asked for.

    Returns:
        None if even `first_block` is not older: the chain (or what the node keeps of it) began later.

    Raises:
        BadAnswer: If timestamps fall along the chain, or the block found is not the parent of the one after it.
        RpcError: If a block could not be read.
    """
    return (await last_blocks_before(node, [moment], newest, first_block=first_block))[0]


async def last_blocks_before(
    node: Node, moments: Sequence[int], newest: Block, *, first_block: int = 0
) -> list[Block | None]:
    """As `last_block_before`, for many moments; blocks read for one narrow the search for the others."""
    search = _Search(node, newest, first_block)
    found = {moment: await search.before(moment) for moment in sorted(set(moments), reverse=True)}
    return [found[moment] for moment in moments]


class _Search:
    def __init__(self, node: Node, newest: Block, first_block: int) -> None:
        self.node, self.newest, self.first_block = node, newest, first_block
        self.seen: dict[int, Block] = {newest.number: newest}

    async def before(self, moment: int) -> Block | None:
        if self.newest.timestamp < moment:
            return self.newest
        after = min((b for b in self.seen.values() if b.timestamp >= moment), key=lambda block: block.number)
        before = await self._some_block_before(moment, after)
        if before is None:
            return None
        first_gap, reads = after.number - before.number, 0
        while after.number - before.number > 1:
            middle = await self._read(before.number + _step(before, after, moment, first_gap, reads))
            reads += 1
            if middle.timestamp < moment:
                before = middle
            else:
                after = middle
        if after.parent_hash and after.parent_hash != before.hash:
            self._lie(f"block {before.number} {before.hash} is not the parent of block {after.number} {after.hash}")
        return before

    async def _some_block_before(self, moment: int, after: Block) -> Block | None:
        """A block older than the moment, found by the pace of the chain after it, then in growing steps."""
        known = [block for block in self.seen.values() if block.timestamp < moment]
        if known:
            return max(known, key=lambda block: block.number)
        sample = await self._read(max(after.number - _RATE_SAMPLE, self.first_block))
        step = 0
        while sample.timestamp >= moment:
            if sample.number == self.first_block:
                return None
            elapsed, blocks = after.timestamp - sample.timestamp, after.number - sample.number
            pace = blocks / elapsed if elapsed > 0 else 1.0
            step = max(int((sample.timestamp - moment) * pace * (1 + _MARGIN)) + 1, step * 2)
            # At most half of the way down: the first block often claims to be of 1970, and misleads the search.
            sample = await self._read(max(sample.number - step, (sample.number + self.first_block) // 2))
        return sample

    async def _read(self, number: int) -> Block:
        if number in self.seen:
            return self.seen[number]
        block = await self.node.block(number)
        if block.number != number:
            self._lie(f"block {block.number} in answer to the question for block {number}")
        for other in self.seen.values():
            if (other.number < number) != (other.timestamp < block.timestamp) and other.timestamp != block.timestamp:
                self._lie(
                    f"block {number} of {block.timestamp} and block {other.number} of {other.timestamp}: "
                    "timestamps must not fall along a chain"
                )
        self.seen[number] = block
        return block

    def _lie(self, message: str) -> None:
        raise BadAnswer(self.node.name, ANSWERED_BY.get(), message)


def _step(before: Block, after: Block, moment: int, first_gap: int, reads: int) -> int:
    """How many blocks after `before` to look next.

    The method of Oliveira and Takahashi (ITP, 2020) on whole numbers: where the timestamps say, moved a little towards
    the middle so that the bracket shrinks from both ends, and never so far from the middle that halving would have
    been done sooner.
    """
    gap = after.number - before.number
    share = (moment - before.timestamp) / max(after.timestamp - before.timestamp, 1)
    middle, said = gap / 2, share * gap
    towards = 1 if middle >= said else -1
    moved = _TRUNCATION * gap**2 / first_gap
    guess = said + towards * moved if moved <= abs(middle - said) else middle
    most_reads = math.ceil(math.log2(first_gap)) + 1
    free = max(2.0 ** (most_reads - reads) / 2 - middle, 0.0)
    guess = guess if abs(guess - middle) <= free else middle - towards * free
    return min(max(round(guess), 1), gap - 1)
