"""Balances through Multicall3, a contract that most chains have: its `aggregate3`, encoded and decoded in bulk.

Source of the interface: mds1/multicall3 (MIT). Belongs here: bytes. Who is asked is in `techniques`.

A question is one call for the block time, one for the block number and one for each pair, all of one form, so that the
calldata is one array: `getEthBalance(wallet)` of Multicall3 itself for the native coin, `balanceOf(wallet)` of a token.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from portfolio_pipelines.chains.reader.encoding import WORD, Answer, Bytes, Malformed

AGGREGATE3: Final = bytes.fromhex("82ad56cb")  # aggregate3((address target, bool allowFailure, bytes callData)[])
BALANCE_OF: Final = bytes.fromhex("70a08231")
ETH_BALANCE: Final = bytes.fromhex("4d2301cc")  # getEthBalance(address)
BLOCK_TIME: Final = bytes.fromhex("0f28c97d")  # getCurrentBlockTimestamp()
BLOCK_NUMBER: Final = bytes.fromhex("42cbb15c")  # getBlockNumber()
CALL_BYTES: Final = 6 * WORD  # target, allowFailure, offset, length, 36 bytes of calldata in two words
CALLDATA_BYTES: Final = 36
HEAD_CALLS: Final = 2
RESULT_WORDS: Final = 4  # where it is, whether it succeeded, where its bytes are, how many they are
MOST_BYTES: Final = 2**31  # an offset or length beyond this is no answer of a node

Words = NDArray[np.int64]


def encode_question(wallets: Bytes, tokens: Bytes, multicall: Bytes, *, native: bool) -> bytes:
    """Calldata of `aggregate3`; `multicall` is its own address, shape (20,)."""
    targets = np.concatenate([multicall[None], tokens]) if native else tokens
    selectors = np.tile(np.frombuffer(BALANCE_OF, np.uint8), (len(targets), 1))
    if native:
        selectors[0] = np.frombuffer(ETH_BALANCE, np.uint8)
    pairs = len(wallets) * len(targets)
    calls = np.zeros((HEAD_CALLS + pairs, CALL_BYTES), np.uint8)
    calls[:, 2 * WORD - 1] = 1  # a call that fails does not fail the others
    calls[:, 3 * WORD - 1] = 3 * WORD  # where the calldata begins
    calls[:, 4 * WORD - 1] = CALLDATA_BYTES
    calls[:HEAD_CALLS, WORD - 20 : WORD] = multicall
    calls[0, 4 * WORD : 4 * WORD + 4] = np.frombuffer(BLOCK_NUMBER, np.uint8)
    calls[1, 4 * WORD : 4 * WORD + 4] = np.frombuffer(BLOCK_TIME, np.uint8)
    table = calls[HEAD_CALLS:].reshape(len(wallets), len(targets), CALL_BYTES)  # a view: shapes are contiguous
    table[:, :, WORD - 20 : WORD] = targets
    table[:, :, 4 * WORD : 4 * WORD + 4] = selectors
    table[:, :, 4 * WORD + 16 : 5 * WORD + 4] = wallets[:, None]
    count = len(calls)
    offsets = (np.arange(count, dtype=np.uint64) * CALL_BYTES + count * WORD).astype(">u8")
    pointers = np.zeros((count, WORD), np.uint8)
    pointers[:, WORD - 8 :] = offsets.view(np.uint8).reshape(-1, 8)
    head = WORD.to_bytes(WORD, "big") + count.to_bytes(WORD, "big")
    return b"".join([AGGREGATE3, head, pointers.tobytes(), calls.tobytes()])


def decode_answer(answer: bytes, pairs: int) -> Answer:
    """The balances of what `aggregate3` answers to a question of so many pairs.

    The results may lie in any order and have any length, as the encoding allows, but leave no room between them. One
    that does not hold exactly 32 bytes has failed.

    Raises:
        Malformed: If an offset or length points outside of the answer, the count differs, a flag is neither 0 nor 1,
            the results do not fill the answer, or the block's own number and time are missing.
    """
    count = HEAD_CALLS + pairs
    if len(answer) % WORD or len(answer) < WORD * (2 + count):
        msg = f"{len(answer)} bytes are no answer of {count} results"
        raise Malformed(msg)
    words = np.frombuffer(answer, np.uint8).reshape(-1, WORD)
    if _small(words[:1])[0] != WORD or _small(words[1:2])[0] != count:
        msg = f"it does not announce {count} results"
        raise Malformed(msg)
    first = 2  # offsets count from the word after the number of results
    at = first + _places(_small(words[first : first + count]))
    success = _small(_gather(words, at))
    if np.any(success > 1):
        msg = "a flag of success is neither 0 nor 1"
        raise Malformed(msg)
    data = at + _places(_small(_gather(words, at + 1)))
    length = _small(_gather(words, data))
    if np.any(data + 1 + -(-length // WORD) > len(words)):
        msg = "a result reaches beyond the end"
        raise Malformed(msg)
    expected = first + int(np.sum(RESULT_WORDS + -(-length // WORD)))
    if len(words) != expected:
        msg = f"{len(answer)} bytes where the results fill {WORD * expected}"
        raise Malformed(msg)
    read = (success == 1) & (length == WORD)
    if not read[:HEAD_CALLS].all():
        msg = "it lacks the number or the time of the block"
        raise Malformed(msg)
    values = words[np.where(read, data + 1, 0)]
    number, timestamp = (int.from_bytes(values[index].tobytes(), "big") for index in range(HEAD_CALLS))
    values, read = values[HEAD_CALLS:], read[HEAD_CALLS:]
    not_zero = np.flatnonzero(read & values.any(axis=1))
    return Answer(not_zero, values[not_zero], np.flatnonzero(~read), number, timestamp)


def _small(words: Bytes) -> Words:
    """Words as numbers; anything of 2 GB or more is not a place or a length in an answer."""
    numbers = np.ascontiguousarray(words).view(">u8").reshape(-1, 4)
    if numbers[:, :3].any() or np.any(numbers[:, 3] >= MOST_BYTES):
        msg = "an offset or length is larger than any answer"
        raise Malformed(msg)
    return numbers[:, 3].astype(np.int64)


def _places(offsets: Words) -> Words:
    if np.any(offsets % WORD):
        msg = "an offset points into the middle of a word"
        raise Malformed(msg)
    return offsets // WORD


def _gather(words: Bytes, at: Words) -> Bytes:
    if np.any(at >= len(words)):
        msg = "an offset points beyond the end"
        raise Malformed(msg)
    return words[at]
