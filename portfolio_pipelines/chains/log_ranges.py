"""Reading event logs over block ranges that endpoints may find too long, without asking the same thing twice.

Belongs here: how ranges and lists of wallets are cut when an endpoint refuses. What the logs mean is in `discovery`;
telling a refusal from other errors is the client's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from portfolio_pipelines.chains.rpc.errors import TooMuch

# Some endpoints cut a long answer at a round number and say nothing. Asking again in halves costs two requests.
_ROUND_NUMBER = 1_000

Log = dict[str, Any]
Read = Callable[[Sequence[str], int, int], Awaitable[list[Log]]]


@dataclass(slots=True)
class Reach:
    """What one request to the endpoints of a chain may cover. Learned; keep it between scans to save refusals.

    Attributes:
        blocks: Blocks to ask for first.
        most_blocks: Blocks never to exceed.
        wallets: Wallets to name in one request.
    """

    blocks: int = 10_000
    most_blocks: int = 100_000
    wallets: int = 1_000
    _ends: list[tuple[int, int, bool]] = field(default_factory=list, repr=False)

    def note(self, blocks: int, wallets: int, *, cut: bool) -> None:
        """Remember with how many blocks a request a list of wallets was read, and whether the list had to be cut."""
        self._ends.append((blocks, wallets, cut))

    def settle(self) -> None:
        """Begin the next window with what served most wallets in this one: a few busy wallets do not slow the rest."""
        if not self._ends:
            return
        self.blocks = min(_typical([(blocks, wallets) for blocks, wallets, _ in self._ends]), self.most_blocks)
        cut = [(wallets, wallets) for _, wallets, was_cut in self._ends if was_cut]
        if 2 * sum(wallets for wallets, _ in cut) > sum(wallets for _, wallets, _ in self._ends):
            self.wallets = min(_typical(cut), self.wallets)
        self._ends.clear()


async def read_range(
    read: Read, wallets: Sequence[str], first: int, last: int, reach: Reach, *, cut: bool = False
) -> list[Log]:
    """Every log of some wallets in blocks `first` to `last`, both included.

    A refused range is cut to what the endpoint suggests, if that begins where we asked and is really shorter, else in
    half; a range that was refused is never asked again, nor one as long. One block that is still too much is asked
    for with half of the wallets.

    Args:
        read: Asks for the logs of wallets in a range.
        wallets: Whose logs.
        first: First block.
        last: Last block.
        reach: Where to begin; updated.
        cut: Whether the wallets are part of a longer list that an endpoint refused.

    Raises:
        TooMuch: If one block of one wallet is refused.
        RpcError: Whatever else `read` raises.
    """
    logs: list[Log] = []
    start, width, refused = first, max(reach.blocks, 1), reach.most_blocks + 1
    while start <= last:
        end = min(start + width - 1, last)
        try:
            found = await read(wallets, start, end)
        except TooMuch as refusal:
            if start == end:
                if len(wallets) == 1:
                    raise
                middle = len(wallets) // 2
                halves = await asyncio.gather(
                    *(
                        read_range(read, half, start, last, reach, cut=True)
                        for half in (wallets[:middle], wallets[middle:])
                    )
                )
                return logs + [log for half in halves for log in half]
            refused = end - start + 1
            width = _shorter(start, end, refusal.suggested)
            continue
        if end > start and found and len(found) % _ROUND_NUMBER == 0:
            refused = end - start + 1
            width = _shorter(start, end, None)
            continue
        logs += found
        whole, start = end - start + 1 == width, end + 1
        if whole and width * 2 < refused:
            width *= 2
    reach.note(width, len(wallets), cut=cut)
    return logs


def _typical(weighted: list[tuple[int, int]]) -> int:
    """The weighted median of (value, weight) pairs, the upper one of two; never below 1."""
    half, passed = sum(weight for _, weight in weighted) / 2, 0
    for value, weight in sorted(weighted):
        passed += weight
        if passed > half:
            return max(value, 1)
    return 1


def _shorter(start: int, end: int, suggested: tuple[int, int] | None) -> int:
    """How many blocks to ask for instead of start..end; at least one, and always fewer."""
    if suggested and suggested[0] == start and start <= suggested[1] < end:
        return suggested[1] - start + 1
    return (end - start + 1) // 2
