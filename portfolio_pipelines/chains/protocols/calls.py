"""Many views of contracts at one block, in few requests.

Belongs here: calldata of static arguments, Multicall3's `aggregate3`, and the tests that an answer must pass before a
number is taken from it. Not here: balances of many wallets (`chains.reader` is far cheaper) and what a view means.
"""

import asyncio
from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple

from portfolio_pipelines.chains.rpc.errors import BadAnswer, InvalidRequest, Reverted, RpcError, TooMuch, Unsupported
from portfolio_pipelines.chains.rpc.node import ANSWERED_BY, Block, Node

CALLS_PER_REQUEST: Final = 400  # views of 20,000 to 60,000 gas: within the 50 million gas that nodes allow a call
CONCURRENCY: Final = 8  # requests under way at once; the node's client keeps the pace
MOST_ITEMS: Final = 4_096  # of a list that a contract answers: no protocol has more markets or assets

_WORD: Final = 32
_AGGREGATE3: Final = bytes.fromhex("82ad56cb")  # aggregate3((address target, bool allowFailure, bytes callData)[])
_BLOCK_TIME: Final = bytes.fromhex("0f28c97d")  # getCurrentBlockTimestamp()


class Call(NamedTuple):
    """One view."""

    to: str
    data: bytes


class CallFailed(ValueError):  # noqa: N818 (a verdict on one view, returned as often as raised)
    """A view gave nothing that can be used: it reverted, there is no contract, or the answer cannot be true.

    Args:
        to: Address of the contract.
        message: What happened, in words.
        data: What a reverted call returned: its reason.
    """

    def __init__(self, to: str, message: str, data: bytes = b"") -> None:
        super().__init__(f"{to}: {message}")
        self.to = to
        self.message = message
        self.data = data


Answer = bytes | CallFailed


def view(to: str, signature: str, *arguments: str | int) -> Call:
    """The call of a function whose arguments are addresses and numbers.

    Args:
        to: Address of the contract.
        signature: For example `getReserveData(address)`.
        arguments: Addresses as text, numbers as int, negative ones in two's complement.
    """
    words = [
        int(argument, 16).to_bytes(_WORD) if isinstance(argument, str) else (argument % 2**256).to_bytes(_WORD)
        for argument in arguments
    ]
    return Call(to, selector(signature) + b"".join(words))


@cache
def selector(signature: str) -> bytes:
    """The four bytes by which a function is called."""
    from eth_hash.auto import keccak

    return keccak(signature.encode())[:4]


async def call_many(node: Node, calls: Sequence[Call], block: Block, *, multicall3: str | None = None) -> list[Answer]:
    """What many views answer at a block, in their order; a view that fails costs only itself.

    Args:
        node: The chain.
        calls: The views.
        block: The block to read at.
        multicall3: Address of Multicall3, where the chain has it. Without it, or at a block before it was deployed,
            the views go as a batch of requests. Views that may burn all their gas (array getters of contracts of
            2020 read past the end) are asked without it: one such view takes the gas of its neighbours.

    Returns:
        The answers; `CallFailed` for a view that reverted.

    Raises:
        RpcError: If the node cannot be read.
    """
    if multicall3 is None:
        return await _batch(node, calls, block)
    limit = asyncio.Semaphore(CONCURRENCY)

    async def part(start: int) -> list[Answer]:
        async with limit:
            return await _aggregate(node, calls[start : start + CALLS_PER_REQUEST], block, multicall3)

    try:
        async with asyncio.TaskGroup() as group:
            parts = [group.create_task(part(start)) for start in range(0, len(calls), CALLS_PER_REQUEST)]
    except ExceptionGroup as several:
        raise several.exceptions[0] from several
    return [answer for task in parts for answer in task.result()]


def numbers(call: Call, answer: Answer, least: int = 1) -> tuple[int, ...]:
    """The words of an answer as unsigned numbers.

    Args:
        call: What was asked; errors name its contract.
        answer: What came back.
        least: Words that there must be. More are allowed: newer versions of a contract append to their answers.

    Raises:
        CallFailed: If the view failed, there is no contract, or the answer is cut.
    """
    if isinstance(answer, CallFailed):
        raise answer
    if not answer:
        raise CallFailed(call.to, "no contract answers at this address")
    if len(answer) % _WORD or len(answer) < least * _WORD:
        raise CallFailed(call.to, f"an answer of {len(answer)} bytes where {least * _WORD} or more are due")
    return tuple(int.from_bytes(answer[at : at + _WORD]) for at in range(0, len(answer), _WORD))


def number(call: Call, answer: Answer, bits: int = 256) -> int:
    """The only word of an answer, of at most so many bits.

    Raises:
        CallFailed: As `numbers`, and if the number is larger than its type.
    """
    (word, *more) = numbers(call, answer)
    if more or word >> bits:
        raise CallFailed(call.to, f"not one number of {bits} bits: {word:#x} and {len(more)} further words")
    return word


def flag(call: Call, answer: Answer) -> bool:
    """The answer of a yes-or-no view.

    Raises:
        CallFailed: As `number`.
    """
    return number(call, answer, bits=1) == 1


def address(call: Call, word: int) -> str:
    """A word as address.

    Raises:
        CallFailed: If it is none.
    """
    if word >> 160:
        raise CallFailed(call.to, f"not an address: {word:#x}")
    return f"0x{word:040x}"


def addresses(call: Call, answer: Answer) -> list[str]:
    """The answer of a view that gives a list of addresses.

    Raises:
        CallFailed: As `numbers`, and if the list is cut, absurdly long, or holds something else.
    """
    offset, *words = numbers(call, answer, least=2)
    count, *items = words
    if offset != _WORD or count > MOST_ITEMS or len(items) != count:
        raise CallFailed(call.to, f"not a list of addresses: {len(items)} items where {count} are announced")
    return [address(call, item) for item in items]


async def _batch(node: Node, calls: Sequence[Call], block: Block) -> list[Answer]:
    number = hex(block.number)
    requests = [("eth_call", [{"to": call.to, "data": "0x" + call.data.hex()}, number]) for call in calls]
    results = await node.batch(requests)
    answers: list[Answer] = []
    for call, result in zip(calls, results, strict=True):
        if isinstance(result, Reverted | TooMuch | InvalidRequest):  # final for this view: others are not touched
            answers.append(CallFailed(call.to, f"the call failed: {result.message}", getattr(result, "data", b"")))
        elif isinstance(result, RpcError):
            raise result
        else:
            try:
                answers.append(bytes.fromhex(str(result).removeprefix("0x")))
            except ValueError:
                answers.append(CallFailed(call.to, "an answer that is not hex"))
    return answers


async def _aggregate(node: Node, calls: Sequence[Call], block: Block, multicall3: str) -> list[Answer]:
    if len(calls) <= 1:
        return await _batch(node, calls, block)
    asked = [Call(multicall3, _BLOCK_TIME), *calls]
    try:
        answer = await node.eth_call(multicall3, encode_aggregate3(asked), block.number)
    except (TooMuch, Reverted):  # too much gas in all, or one view that takes it from the others
        half = len(calls) // 2
        return [
            *await _aggregate(node, calls[:half], block, multicall3),
            *await _aggregate(node, calls[half:], block, multicall3),
        ]
    except (InvalidRequest, Unsupported):
        return await _batch(node, calls, block)
    if not answer:  # Multicall3 was not there yet
        return await _batch(node, calls, block)
    try:
        time, *answers = decode_aggregate3(answer, asked)
        timestamp = number(asked[0], time)
    except CallFailed as error:
        raise BadAnswer(node.name, ANSWERED_BY.get(), f"aggregate3 at block {block.number}: {error}") from error
    if timestamp != block.timestamp:
        message = f"aggregate3 answers at time {timestamp}, block {block.number} is of {block.timestamp}"
        raise BadAnswer(node.name, ANSWERED_BY.get(), message)
    # A failure without a reason may be the gas that a neighbour took: alone, the view shows whether it is its own.
    doubtful = [place for place, each in enumerate(answers) if isinstance(each, CallFailed) and not each.data]
    again = await _batch(node, [calls[place] for place in doubtful], block)
    for place, each in zip(doubtful, again, strict=True):
        answers[place] = each
    return answers


def encode_aggregate3(calls: Sequence[Call]) -> bytes:
    """Calldata of Multicall3's `aggregate3` that lets every call fail for itself."""
    tuples = []
    for call in calls:
        padding = bytes(-len(call.data) % _WORD)
        head = bytes.fromhex(call.to.removeprefix("0x").zfill(64)) + (1).to_bytes(_WORD) + (3 * _WORD).to_bytes(_WORD)
        tuples.append(head + len(call.data).to_bytes(_WORD) + call.data + padding)
    offsets, at = [], _WORD * len(calls)
    for each in tuples:
        offsets.append(at.to_bytes(_WORD))
        at += len(each)
    count = len(calls).to_bytes(_WORD)
    return b"".join([_AGGREGATE3, _WORD.to_bytes(_WORD), count, *offsets, *tuples])


def decode_aggregate3(answer: bytes, calls: Sequence[Call]) -> list[Answer]:
    """What `aggregate3` answered, one by one.

    Raises:
        CallFailed: If the answer as a whole cannot be true: cut, of another count, or pointing outside of itself.
    """
    to = calls[0].to if calls else ""

    def small(at: int) -> int:
        """The number of the word at a byte; a place or length is never beyond the answer."""
        value = int.from_bytes(answer[at : at + _WORD])
        if not 0 <= at <= len(answer) - _WORD or value > len(answer):
            raise CallFailed(to, f"the answer of {len(answer)} bytes points outside of itself")
        return value

    if small(0) != _WORD or small(_WORD) != len(calls):
        raise CallFailed(to, f"it does not announce {len(calls)} results")
    base = 2 * _WORD
    answers: list[Answer] = []
    for place, call in enumerate(calls):
        start = base + small(base + place * _WORD)
        success = small(start)
        data = start + small(start + _WORD)
        length = small(data)
        content = answer[data + _WORD : data + _WORD + length]
        if success > 1 or len(content) != length:
            raise CallFailed(to, f"result {place} is cut or its flag neither 0 nor 1")
        answers.append(content if success else CallFailed(call.to, "the call reverted", content))
    return answers
