"""What the reader's program is asked and what it answers, as bytes.

Belongs here: encoding, decoding, and every test of form that an answer must pass. Who is asked is in `techniques`.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

WORD: Final = 32
ADDRESS: Final = 20
HEAD: Final = 2 * WORD  # block number and time
NATIVE_COLUMN: Final = 1
ANSWER_BY_REVERT: Final = 2
MOST_TOKENS: Final = 0xFFFF

Bytes = NDArray[np.uint8]
Pairs = NDArray[np.int64]


class Malformed(ValueError):  # noqa: N818 (a verdict on an answer)
    """An answer that cannot be true. The message says why; who sent it is known to the caller."""


class OutOfGas(Exception):  # noqa: N818 (an answer of the program, not a fault)
    """The gas of the call sufficed for `pairs` pairs only."""

    def __init__(self, pairs: int) -> None:
        super().__init__(f"out of gas after {pairs} pairs")
        self.pairs = pairs


@dataclass(frozen=True, slots=True)
class Answer:
    """Balances of wallets x columns; pair = wallet * columns + column.

    Args:
        pairs: The pairs that are not zero, ascending.
        words: Their balances, shape (len(pairs), 32), big-endian.
        failed: The pairs that could not be read, ascending; none of them is in `pairs`.
        number: Block number as the chain's own machine sees it (on Arbitrum that of the parent chain); None if unasked.
        timestamp: Time of the block, seconds since 1970; None if unasked.
    """

    pairs: Pairs
    words: Bytes
    failed: Pairs
    number: int | None = None
    timestamp: int | None = None


def encode_question(wallets: Bytes, tokens: Bytes, *, native: bool, by_revert: bool = False) -> bytes:
    """The input of the program.

    Args:
        wallets: Addresses, shape (wallets, 20).
        tokens: Addresses, shape (tokens, 20), at most 65,535.
        native: Put the balance in the chain's coin before the tokens, as column 0.
        by_revert: Let the program answer by revert, which has no limit of length in creation code.
    """
    if len(tokens) > MOST_TOKENS:
        msg = f"{len(tokens)} tokens are more than one question holds"
        raise ValueError(msg)
    flags = NATIVE_COLUMN * native | ANSWER_BY_REVERT * by_revert
    return bytes([flags]) + len(tokens).to_bytes(2, "big") + tokens.tobytes() + wallets.tobytes()


def decode_answer(answer: bytes, pairs: int) -> Answer:
    """The balances of an answer of the program to a question of so many pairs.

    Raises:
        OutOfGas: If the program says that the gas did not suffice.
        Malformed: If the length, the padding or the bitmaps contradict each other, or a balance that is said not to
            be zero is.
    """
    if len(answer) == WORD:
        reached = int.from_bytes(answer, "big")
        if reached >= pairs:
            msg = f"it says that its gas ended after {reached} of {pairs} pairs"
            raise Malformed(msg)
        raise OutOfGas(reached)
    size = (pairs + 7) // 8
    if len(answer) < HEAD + 2 * size:
        msg = f"{len(answer)} bytes are too few for {pairs} pairs"
        raise Malformed(msg)
    raw = np.frombuffer(answer, np.uint8)
    not_zero = _members(raw[HEAD : HEAD + size], pairs)
    failed = _members(raw[HEAD + size : HEAD + 2 * size], pairs)
    expected = HEAD + 2 * size + WORD * len(not_zero)
    if len(answer) != expected:
        msg = f"{len(answer)} bytes where the bitmap announces {expected}"
        raise Malformed(msg)
    if len(failed) and len(not_zero) and np.any(raw[HEAD : HEAD + size] & raw[HEAD + size : HEAD + 2 * size]):
        msg = "a pair is said to have failed and to have a balance"
        raise Malformed(msg)
    words = raw[HEAD + 2 * size :].reshape(-1, WORD)
    if not all_positive(words):
        msg = "a balance that is said not to be zero is zero"
        raise Malformed(msg)
    return Answer(
        pairs=not_zero,
        words=words,
        failed=failed,
        number=int.from_bytes(answer[:WORD], "big"),
        timestamp=int.from_bytes(answer[WORD:HEAD], "big"),
    )


def all_positive(words: Bytes) -> bool:
    """Whether no word is zero; shape (words, 32)."""
    return bool(np.ascontiguousarray(words).view(np.uint64).any(axis=1).all())


def _members(bitmap: Bytes, pairs: int) -> Pairs:
    members: Pairs = np.flatnonzero(np.unpackbits(bitmap))
    if len(members) and members[-1] >= pairs:
        msg = "bits are set beyond the last pair"
        raise Malformed(msg)
    return members
