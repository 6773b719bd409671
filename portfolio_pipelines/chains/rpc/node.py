"""One chain as its readers see it: who answers, at which pace and after how many tries is not their concern.

Belongs here: the interface. The client that implements it over HTTP is `client`.
"""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Protocol

ANSWERED_BY: Final[ContextVar[str]] = ContextVar("ANSWERED_BY", default="all endpoints")
"""Name of the endpoint that gave the latest answer to this task: a reader that finds it untrue names who gave it.

"all endpoints" while none answered, and after a batch that was answered in parts.
"""


@dataclass(frozen=True, slots=True)
class Block:
    """A block, and the proof which one: two blocks of the same number differ in their hash."""

    number: int
    hash: str  # 0x and 64 lower-case hex digits
    timestamp: int  # seconds since 1970, UTC
    parent_hash: str = ""


class Node(Protocol):
    """A chain that answers JSON-RPC requests."""

    @property
    def chain_id(self) -> int:
        """EIP-155 id."""
        ...

    @property
    def name(self) -> str:
        """Slug of the chain in the registry; errors carry it."""
        ...

    async def request(self, method: str, params: Sequence[Any]) -> Any:
        """The result of a read.

        Raises:
            RpcError: After every allowed try and endpoint; see its subclasses.
        """
        ...

    async def batch(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Results of many reads, in their order; a read that failed gives its RpcError as the element.

        Cut to what the endpoint takes in one body. Every element counts against the pace.
        """
        ...

    async def eth_call(
        self,
        to: str | None,
        data: bytes,
        block: int,
        *,
        code: Mapping[str, bytes] | None = None,
        gas: int | None = None,
    ) -> bytes:
        """What a contract answers at a block.

        Args:
            to: Address of the contract; None runs `data` as creation code (a deployless call).
            data: Calldata.
            block: Number of the block the whole chain run is pinned to.
            code: Runtime code that stands at these addresses for this call (state override). Sent only to endpoints
                that were probed to honour it; `Unsupported` when there is none.
            gas: Gas of the call; the endpoint's own limit when None.

        Raises:
            Reverted: If the call failed on chain; `data` holds the answer.
            TooMuch: If the endpoint ran out of gas, time or room; ask for less.
            RpcError: See its other subclasses.
        """
        ...

    async def block(self, number: int | None = None) -> Block:
        """A block by number, or the newest one that the endpoints agree on."""
        ...
