"""What one call asks for, and the tests that every answer must pass whatever way it came.

Belongs here: the question, the marks of a block, the naming of endpoints. The ways to ask are in `techniques`.
"""

from dataclasses import dataclass
from typing import Final

from portfolio_pipelines.chains.reader.encoding import Answer, Bytes, Malformed
from portfolio_pipelines.chains.rpc.errors import BadAnswer
from portfolio_pipelines.chains.rpc.node import ANSWERED_BY, Block, Node

FOREIGN_NUMBER: Final = 10_000
"""On some second layers (Arbitrum) the machine knows the block number of the parent chain. It is nowhere near our own;
a number that is near it, yet not it, is of another block."""


@dataclass(frozen=True, slots=True)
class Question:
    """The balances of some wallets in some columns at a block.

    Args:
        wallets: Addresses, shape (wallets, 20).
        tokens: Addresses, shape (tokens, 20).
        native: Whether the native coin is a column before the tokens.
        block: The block.
    """

    wallets: Bytes
    tokens: Bytes
    native: bool
    block: Block

    @property
    def columns(self) -> int:
        """Tokens, and the native coin if it is asked for."""
        return len(self.tokens) + self.native

    @property
    def pairs(self) -> int:
        """Balances asked for."""
        return len(self.wallets) * self.columns


def of_block(answer: Answer, block: Block) -> Answer:
    """The answer, if it is of that block.

    The time must be equal. The number too, unless it is that of another chain (see `FOREIGN_NUMBER`).

    Raises:
        Malformed: If it is of another block.
    """
    if answer.timestamp is not None and answer.timestamp != block.timestamp:
        msg = f"it is of a block of time {answer.timestamp}, not of block {block.number} of time {block.timestamp}"
        raise Malformed(msg)
    if answer.number is not None and 0 < abs(answer.number - block.number) < FOREIGN_NUMBER:
        msg = f"it is of block {answer.number}, not of block {block.number}"
        raise Malformed(msg)
    return answer


def untrue(node: Node, reason: str) -> BadAnswer:
    """The error for an answer that cannot be true, naming the endpoint that gave it."""
    return BadAnswer(node.name, ANSWERED_BY.get(), f"balances cannot be as answered: {reason}")
