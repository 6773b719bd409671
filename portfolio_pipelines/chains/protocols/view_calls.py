"""Many questions to contracts in few requests, for protocols: Multicall3 where a chain has it, else a JSON-RPC batch.

Belongs here: sending and taking apart. What to ask and what the answers mean is each protocol's own. Balances of many
wallets have a faster way, `reader.balances`.
"""

from collections.abc import Sequence
from typing import Final

from portfolio_pipelines.chains.rpc.errors import BadAnswer, Reverted, RpcError, TooMuch
from portfolio_pipelines.chains.rpc.node import Node

AGGREGATE3: Final = bytes.fromhex("82ad56cb")  # aggregate3((address target, bool allowFailure, bytes callData)[])
MULTICALL3: Final = "0xca11bde05977b3631167028862be2a173976ca11"  # its address on most chains
CALLS_A_REQUEST: Final = 500  # 30,000 gas each stay below half of the smallest gas limit in use, 30 million
WORD: Final = 32
ENDPOINT: Final = "all endpoints"  # the client has asked as many as it may

Call = tuple[str, bytes]  # address of the contract, calldata


async def ask(
    node: Node, calls: Sequence[Call], block: int, *, multicall3: str | None = MULTICALL3
) -> list[bytes | None]:
    """Answers of contracts, in the order of the calls.

    Args:
        node: The chain.
        calls: Address and calldata of each.
        block: Number of the block.
        multicall3: Where Multicall3 stands; None asks one by one in JSON-RPC batches.

    Returns:
        What each contract answered: nothing (b"") where no contract stands, None where it reverted.

    Raises:
        RpcError: If the chain does not answer, also not to fewer calls at once.
    """
    answers: list[bytes | None] = []
    for start in range(0, len(calls), CALLS_A_REQUEST):
        some = calls[start : start + CALLS_A_REQUEST]
        if multicall3 is None:
            answers += await _one_by_one(node, some, block)
        else:
            answers += await _aggregated(node, some, block, multicall3)
    return answers


def word(value: int | str | bytes) -> bytes:
    """One argument of a call: a number (negative ones in two's complement), an address as text, or 32 bytes."""
    if isinstance(value, bytes):
        return value.rjust(WORD, b"\0")
    number = int(value, 16) if isinstance(value, str) else value
    return (number % 2**256).to_bytes(WORD, "big")


def words(answer: bytes | None, count: int) -> list[int] | None:
    """The first words of an answer as numbers; None if it reverted or is shorter."""
    if answer is None or len(answer) < WORD * count:
        return None
    return [int.from_bytes(answer[at : at + WORD], "big") for at in range(0, WORD * count, WORD)]


def address_of(number: int) -> str | None:
    """A word as an address; None if it is none."""
    return f"0x{number:040x}" if number < 2**160 else None


async def _one_by_one(node: Node, calls: Sequence[Call], block: int) -> list[bytes | None]:
    results = await node.batch(
        [("eth_call", [{"to": to, "data": "0x" + data.hex()}, hex(block)]) for to, data in calls]
    )
    answers: list[bytes | None] = []
    for (to, _), result in zip(calls, results, strict=True):
        if isinstance(result, Reverted):
            answers.append(None)
            continue
        if isinstance(result, RpcError):
            raise result
        try:
            answers.append(bytes.fromhex(result.removeprefix("0x")))
        except (AttributeError, ValueError) as error:
            raise BadAnswer(node.name, ENDPOINT, f"{to} answered {str(result)[:80]!r}, which is not hex") from error
    return answers


async def _aggregated(node: Node, calls: Sequence[Call], block: int, multicall3: str) -> list[bytes | None]:
    try:
        answer = await node.eth_call(multicall3, encode_aggregate(calls), block)
    except TooMuch:
        if len(calls) == 1:
            raise
        middle = len(calls) // 2
        first = await _aggregated(node, calls[:middle], block, multicall3)
        return first + await _aggregated(node, calls[middle:], block, multicall3)
    if not answer:
        # No Multicall3 here, or not yet at that block.
        return await _one_by_one(node, calls, block)
    try:
        return decode_aggregate(answer, len(calls))
    except ValueError as error:
        raise BadAnswer(node.name, ENDPOINT, f"Multicall3 answered what is no list of results: {error}") from error


def encode_aggregate(calls: Sequence[Call]) -> bytes:
    """Calldata of `aggregate3`, in which a call that fails does not fail the others."""
    heads, tails, offset = [], [], WORD * len(calls)
    for to, data in calls:
        padded = data.ljust(-(-len(data) // WORD) * WORD, b"\0")
        tail = word(to) + word(1) + word(3 * WORD) + word(len(data)) + padded
        heads.append(word(offset))
        tails.append(tail)
        offset += len(tail)
    return b"".join([AGGREGATE3, word(WORD), word(len(calls)), *heads, *tails])


def decode_aggregate(answer: bytes, count: int) -> list[bytes | None]:
    """Results of `aggregate3`; None where a call failed.

    Raises:
        ValueError: If the answer is not the encoding of exactly so many results.
    """
    base = 2 * WORD
    if _number(answer, 0) != WORD or _number(answer, WORD) != count:
        msg = f"it does not announce {count} results"
        raise ValueError(msg)
    results: list[bytes | None] = []
    for index in range(count):
        at = base + _number(answer, base + WORD * index)
        succeeded = _number(answer, at)
        data = at + _number(answer, at + WORD)
        length = _number(answer, data)
        if succeeded > 1 or data + WORD + length > len(answer):
            msg = f"result {index} reaches beyond the end"
            raise ValueError(msg)
        results.append(answer[data + WORD : data + WORD + length] if succeeded else None)
    return results


def _number(answer: bytes, at: int) -> int:
    if at + WORD > len(answer):
        msg = f"{len(answer)} bytes are too few"
        raise ValueError(msg)
    return int.from_bytes(answer[at : at + WORD], "big")
