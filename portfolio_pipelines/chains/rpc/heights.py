"""How high the chain is, when endpoints tell different heights and some of them lie.

Belongs here: agreement on the newest block and on its hash, and who is out of step. Not here: reading at that block.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from portfolio_pipelines.chains.rpc.classification import Where
from portfolio_pipelines.chains.rpc.effort import Effort
from portfolio_pipelines.chains.rpc.endpoint import Endpoint
from portfolio_pipelines.chains.rpc.errors import BadAnswer, RpcError, StateUnavailable, Unreachable
from portfolio_pipelines.chains.rpc.failover import ALL, Failover
from portfolio_pipelines.chains.rpc.node import Block
from portfolio_pipelines.chains.rpc.policy import Clock, Policy
from portfolio_pipelines.chains.rpc.questions import Question

WITNESSES: Final = 3  # endpoints that are asked for the hash of the newest block

_HASH: Final = re.compile(r"0x[0-9a-f]{64}")
_QUANTITY: Final = re.compile(r"0x[0-9a-fA-F]{1,16}")


def agreed_height(heights: Sequence[int], most_apart: int) -> int | None:
    """The newest height that more than half of the endpoints have reached and agree on.

    Args:
        heights: What each endpoint told.
        most_apart: Blocks that may lie between endpoints that agree.

    Returns:
        None when there is no group of more than half of them within `most_apart` blocks.
    """
    needed = len(heights) // 2 + 1
    ordered = sorted(heights, reverse=True)
    for start in range(len(ordered) - needed + 1):
        if ordered[start] - ordered[start + needed - 1] <= most_apart:
            return ordered[start + needed - 1]
    return None


def read_block(where: Where, result: Any, number: int) -> Block:
    """The block of that number, from the answer of a node.

    Raises:
        StateUnavailable: If the node has none.
        BadAnswer: If it is another block, or none at all.
    """
    if result is None:
        raise StateUnavailable(where.chain, where.endpoint, f"has no block {number}")
    told, date, own, parent = (result.get(key) for key in ("number", "timestamp", "hash", "parentHash"))
    if not all(isinstance(word, str) for word in (told, date, own, parent)):
        raise BadAnswer(where.chain, where.endpoint, f"block {number} without number, hash, parent or timestamp")
    own, parent = own.lower(), parent.lower()
    if not (
        _QUANTITY.fullmatch(told) and _QUANTITY.fullmatch(date) and _HASH.fullmatch(own) and _HASH.fullmatch(parent)
    ):
        raise BadAnswer(where.chain, where.endpoint, f"block {number} with words that are no numbers or hashes")
    if int(told, 16) != number:
        raise BadAnswer(where.chain, where.endpoint, f"block {int(told, 16)} was given for block {number}")
    return Block(number, own, int(date, 16), parent)


class Heights:
    """The head of one chain."""

    def __init__(
        self, chain: str, failover: Failover, policy: Policy, clock: Clock, block_seconds: float | None
    ) -> None:
        self._chain, self._failover = chain, failover
        self._policy, self._clock = policy, clock
        between = block_seconds or 2.0
        self.most_apart = max(policy.fewest_blocks_apart, round(policy.out_of_step_seconds / between))
        self.head: int | None = None

    async def block(self, number: int, *, among: Collection[Endpoint] | None = None) -> Block:
        """A block by its number.

        Raises:
            StateUnavailable: If no endpoint has it.
            RpcError: If no endpoint gave it.
        """
        question = Question("eth_getBlockByNumber", [hex(number), False])
        block: Block = await self._failover.read(
            question, among=among, read=lambda where, result: read_block(where, result, number)
        )
        return block

    async def newest(self, confirmations: int) -> Block:
        """The newest block that endpoints agree on, `confirmations` below the head.

        Raises:
            BadAnswer: If they do not agree, or the only one tells what cannot be true.
            RpcError: If none of them answers.
        """
        told = await self._look()
        head = agreed_height(list(told.values()), self.most_apart)
        if head is None:
            head = await self._settle(told)
        self.head = head
        for endpoint, height in told.items():
            endpoint.in_step = abs(height - head) <= self.most_apart
        fault = None
        for step in range(self._policy.disputes):
            number = max(head - confirmations - step, 0)
            fault = None
            block = await self._witnessed(number, told)
            if block is not None and self._is_dated_right(block):
                return block
            if block is not None:
                fault = f"block {number} is dated {block.timestamp - self._clock.wall():.0f} s ahead of our clock"
            if number == 0:
                break
        raise BadAnswer(
            self._chain, ALL, fault or f"no agreement on a block hash from {head - confirmations} downwards"
        )

    async def _look(self) -> Mapping[Endpoint, int]:
        """Heights of all endpoints that tell theirs before or shortly after the others."""
        for round_ in range(self._policy.attempts):
            told = await self._look_once()
            if told:
                return told
            if not self._reachable():
                break
            await self._clock.sleep(self._policy.first_backoff_seconds * 2**round_)
        # Nobody told: a read through every try and patience either heals that or finds the words.
        await self._failover.read(Question("eth_blockNumber", []), among=self._failover.endpoints)
        told = await self._look_once()
        if not told:
            raise Unreachable(self._chain, ALL, "no endpoint tells its height")
        return told

    def _reachable(self) -> list[Endpoint]:
        return self._failover.in_order(self._failover.endpoints)

    async def _look_once(self) -> dict[Endpoint, int]:
        tasks: dict[asyncio.Future[int], Endpoint] = {
            asyncio.ensure_future(endpoint.look(Effort(self._clock))): endpoint for endpoint in self._reachable()
        }
        told: dict[Endpoint, int] = {}
        waiting: set[asyncio.Future[int]] = set(tasks)
        until: float | None = None
        try:
            while waiting:
                rest = None if until is None else max(until - self._clock.monotonic(), 0.0)
                done, waiting = await asyncio.wait(waiting, timeout=rest, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    break
                for task in done:
                    error = task.exception()
                    if error is None:
                        told[tasks[task]] = task.result()
                    elif not isinstance(error, RpcError):
                        raise error
                if told and until is None:
                    until = self._clock.monotonic() + self._policy.heights_grace_seconds
        finally:
            for task, endpoint in tasks.items():
                endpoint.is_silent = endpoint.is_silent or task in waiting
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return told

    async def _settle(self, told: Mapping[Endpoint, int]) -> int:
        """The head when no majority agrees: the highest that proves its block and shares the others' history."""
        ordered = sorted(told.items(), key=lambda item: item[1], reverse=True)
        doubts = []
        for endpoint, height in ordered:
            try:
                block = await self.block(height, among=[endpoint])
                lower = [(other, told_height) for other, told_height in ordered if told_height < height]
                if not self._is_dated_right(block):
                    doubts.append(f"{endpoint.name}: block {height} is dated ahead of our clock")
                elif not lower or await self._shares_history(endpoint, block, *lower[0]):
                    return height
                else:
                    doubts.append(
                        f"{endpoint.name}: its history up to block {height} is not that of {lower[0][0].name}"
                    )
            except RpcError as error:
                doubts.append(f"{endpoint.name}: {error.message}")
        raise BadAnswer(self._chain, ALL, f"heights that cannot be believed: {'; '.join(doubts)}")

    async def _shares_history(self, endpoint: Endpoint, block: Block, other: Endpoint, height: int) -> bool:
        """Whether it has the same block where the lower one has its head, and time passed since."""
        mine = await self.block(height, among=[endpoint])
        try:
            theirs = await self.block(height, among=[other])
        except RpcError:
            return True  # the lower one cannot prove its own head: nothing speaks against the higher one
        return mine.hash == theirs.hash and mine.timestamp <= block.timestamp

    async def _witnessed(self, number: int, told: Mapping[Endpoint, int]) -> Block | None:
        """The block, if those asked agree on its hash and its parent is the block before it."""
        asked = [endpoint for endpoint in self._failover.in_order() if told.get(endpoint, -1) >= number][:WITNESSES]
        if len(asked) < 2:
            block = await self.block(number)
        else:
            answers = await asyncio.gather(*(self._testimony(endpoint, number) for endpoint in asked))
            blocks = [found for found in answers if found is not None]
            if not blocks:
                return None
            (believed, votes), *rest = Counter(found.hash for found in blocks).most_common()
            if rest and votes * 2 <= len(blocks):
                return None
            for endpoint, found in zip(asked, answers, strict=True):
                if found is not None and found.hash != believed:
                    endpoint.in_step = False
            block = next(found for found in blocks if found.hash == believed)
        if number == 0:
            return block
        parent = await self.block(number - 1)
        return block if parent.hash == block.parent_hash else None

    async def _testimony(self, endpoint: Endpoint, number: int) -> Block | None:
        try:
            return await asyncio.wait_for(
                self.block(number, among=[endpoint]), self._policy.heights_grace_seconds * WITNESSES
            )
        except (RpcError, TimeoutError):
            return None

    def _is_dated_right(self, block: Block) -> bool:
        """Whether its date can be true. The clocks of nodes on this machine are ours, and tests move them."""
        ahead = self._policy.future_seconds
        if ahead is None or all(endpoint.is_local for endpoint in self._failover.endpoints):
            return True
        return block.timestamp <= self._clock.wall() + ahead
