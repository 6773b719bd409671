"""The ways to ask a node for balances, from the cheapest to the one that every node knows.

Belongs here: one call each. Cutting the work into calls and changing from one way to the next is in `balances`.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from portfolio_pipelines.chains.reader import aggregate, encoding
from portfolio_pipelines.chains.reader.encoding import ADDRESS, WORD, Answer, Bytes, Malformed, Pairs
from portfolio_pipelines.chains.reader.program import READER_ADDRESS, reader_program
from portfolio_pipelines.chains.reader.questions import Question, of_block, untrue
from portfolio_pipelines.chains.rpc.errors import Reverted, RpcError, TooMuch, Unsupported
from portfolio_pipelines.chains.rpc.node import Node

MOST_CREATION_CODE: Final = 49_152  # bytes, EIP-3860
UNBOUNDED: Final = 1_000_000
QUESTION_HEAD: Final = 3  # bytes before the addresses
TRIALS: Final = 4  # wallets with which a token is tried before Multicall3 asks for it
CALL_GAS: Final = 30_000  # gas of a call of its own: 21,000, its calldata and some room

_HEX: Final = re.compile(r"0x([0-9a-fA-F]{2})*")
_QUANTITY: Final = re.compile(r"0x[0-9a-fA-F]{1,64}")


class Technique(Protocol):
    """A way to ask."""

    @property
    def name(self) -> str:
        """By which it is remembered."""
        ...

    @property
    def pairs(self) -> int:
        """Balances a call to begin with."""
        ...

    @property
    def addresses(self) -> int:
        """Wallets and tokens that one call holds at most."""
        ...

    async def ask(self, node: Node, question: Question) -> Answer:
        """The balances.

        Raises:
            OutOfGas: If the gas sufficed for some only.
            TooMuch: If fewer may pass.
            Unsupported: If the node does not know this way.
            BadAnswer: If the answer cannot be true.
            RpcError: See its other subclasses.
        """
        ...


@dataclass(frozen=True, slots=True)
class Override:
    """The reader's program stands at an address of nobody for the time of the call (state override)."""

    token_gas: int
    pairs: int = 8_000
    addresses: int = UNBOUNDED
    name: str = "state override"

    async def ask(self, node: Node, question: Question) -> Answer:
        """See `Technique.ask`."""
        data = encoding.encode_question(question.wallets, question.tokens, native=question.native)
        program = {READER_ADDRESS: reader_program(self.token_gas)}
        raw = await node.eth_call(READER_ADDRESS, data, question.block.number, code=program)
        if not raw:  # what an address without code answers
            raise Unsupported(node.name, "all endpoints", "the state override was ignored")
        return _checked(node, question, raw, encoding.decode_answer)


@dataclass(frozen=True, slots=True)
class Deployless:
    """The reader's program runs as creation code of a contract that is never created.

    Args:
        token_gas: Gas of one token.
        by_revert: Have the answer by revert, which nothing limits; else as the code of the contract, 24,576 bytes.
    """

    token_gas: int
    by_revert: bool
    pairs: int = 8_000

    @property
    def name(self) -> str:
        """See `Technique.name`."""
        return "creation code, reverted" if self.by_revert else "creation code"

    @property
    def addresses(self) -> int:
        """See `Technique.addresses`."""
        return (MOST_CREATION_CODE - QUESTION_HEAD - len(reader_program(self.token_gas))) // ADDRESS

    async def ask(self, node: Node, question: Question) -> Answer:
        """See `Technique.ask`."""
        data = encoding.encode_question(
            question.wallets, question.tokens, native=question.native, by_revert=self.by_revert
        )
        try:
            raw = await node.eth_call(None, reader_program(self.token_gas) + data, question.block.number)
        except Reverted as error:
            if self.by_revert and error.data:
                return _checked(node, question, error.data, encoding.decode_answer)
            if self.by_revert:
                raise Unsupported(node.name, error.endpoint, "it does not say what a call reverted with") from error
            raise TooMuch(node.name, error.endpoint, f"as much code as that is refused: {error.message}") from error
        return _checked(node, question, raw, encoding.decode_answer)


class Aggregate:
    """Multicall3.

    It gives no token a limit of gas, so tokens are tried one by one first, with the first wallets that are asked for;
    one that fails for all of them is left out, and whatever fails in spite of that is asked again by itself.

    Args:
        multicall: Address of Multicall3 on this chain, shape (20,).
        single: How single pairs are asked.
    """

    name = "Multicall3"
    pairs = 2_000  # 450 bytes of JSON each
    addresses = UNBOUNDED

    def __init__(self, multicall: Bytes, single: "OneByOne") -> None:
        self._multicall = multicall
        self._single = single
        self._answers: dict[bytes, bool] = {}
        self._trial = asyncio.Lock()  # calls that run at once try a token once

    async def ask(self, node: Node, question: Question) -> Answer:
        """See `Technique.ask`."""
        async with self._trial:
            usable = await self._usable(node, question)
        columns = np.flatnonzero(np.concatenate([np.ones(int(question.native), bool), usable]))
        if len(columns):
            part = Question(question.wallets, question.tokens[usable], question.native, question.block)
            answer = _widened(await self._ask(node, part), columns, question)
        else:
            none = np.empty(0, np.int64)
            answer = Answer(none, np.empty((0, WORD), np.uint8), none)
        hopeless = np.flatnonzero(~usable) + question.native
        lost = np.arange(len(question.wallets))[:, None] * question.columns + hopeless
        return Answer(answer.pairs, answer.words, np.sort(np.concatenate([answer.failed, lost.ravel()])))

    async def _usable(self, node: Node, question: Question) -> NDArray[np.bool_]:
        keys = [token.tobytes() for token in question.tokens]
        new = [at for at, key in enumerate(keys) if key not in self._answers]
        if new:
            trial = Question(question.wallets[:TRIALS], question.tokens[new], native=False, block=question.block)
            answer = await self._single.ask(node, trial)
            failures = np.bincount(answer.failed % len(new), minlength=len(new))
            self._answers |= {keys[at]: bool(failures[number] < len(trial.wallets)) for number, at in enumerate(new)}
        return np.array([self._answers[key] for key in keys], bool)

    async def _ask(self, node: Node, question: Question) -> Answer:
        data = aggregate.encode_question(question.wallets, question.tokens, self._multicall, native=question.native)
        try:
            raw = await node.eth_call("0x" + self._multicall.tobytes().hex(), data, question.block.number)
        except Reverted as error:  # it lets every call fail by itself: only a lack of gas can revert the whole
            raise TooMuch(node.name, error.endpoint, f"Multicall3 reverted: {error.message}") from error
        if not raw:
            raise Unsupported(node.name, "all endpoints", "there is no Multicall3 at this block")
        answer = _checked(node, question, raw, aggregate.decode_answer)
        return await self._retried(node, question, answer) if len(answer.failed) else answer

    async def _retried(self, node: Node, question: Question, answer: Answer) -> Answer:
        """A pair that failed may have lacked gas that another used up: it gets a call of its own."""
        again = await self._single.ask_pairs(node, question, answer.failed)
        pairs = np.concatenate([answer.pairs, again.pairs])
        order = np.argsort(pairs)
        return Answer(pairs[order], np.concatenate([answer.words, again.words])[order], again.failed)


@dataclass(frozen=True, slots=True)
class OneByOne:
    """A request for each balance, many in one body: every node understands it, and most providers count each."""

    token_gas: int
    pairs: int = 500
    addresses: int = UNBOUNDED
    name: str = "one by one"

    async def ask(self, node: Node, question: Question) -> Answer:
        """See `Technique.ask`."""
        return await self.ask_pairs(node, question, np.arange(question.pairs))

    async def ask_pairs(self, node: Node, question: Question, pairs: Pairs) -> Answer:
        """Some pairs of a question only; the rest is neither in the balances nor among the failed."""
        results = await node.batch([self._request(question, *divmod(int(pair), question.columns)) for pair in pairs])
        if len(results) != len(pairs):
            raise untrue(node, f"{len(results)} results for {len(pairs)} requests")
        found, words, failed = [], [], []
        for pair, result in zip(pairs.tolist(), results, strict=True):
            is_native = question.native and pair % question.columns == 0
            if isinstance(result, RpcError):
                if is_native or not isinstance(result, Reverted | TooMuch):
                    raise result
                failed.append(pair)
                continue
            word = _quantity(node, result) if is_native else _returned(node, result)
            if word is None:
                failed.append(pair)
            elif any(word):
                found.append(pair)
                words.append(word)
        return Answer(
            np.array(found, np.int64),
            np.frombuffer(b"".join(words), np.uint8).reshape(-1, WORD),
            np.array(failed, np.int64),
        )

    def _request(self, question: Question, wallet: int, column: int) -> tuple[str, list[Any]]:
        address = question.wallets[wallet].tobytes().hex()
        block = hex(question.block.number)
        if question.native and column == 0:
            return "eth_getBalance", ["0x" + address, block]
        call = {
            "to": "0x" + question.tokens[column - question.native].tobytes().hex(),
            "data": "0x" + aggregate.BALANCE_OF.hex() + address.rjust(2 * WORD, "0"),
            "gas": hex(self.token_gas + CALL_GAS),
        }
        return "eth_call", [call, block]


def _checked(node: Node, question: Question, raw: bytes, decode: Callable[[bytes, int], Answer]) -> Answer:
    try:
        return of_block(decode(raw, question.pairs), question.block)
    except Malformed as error:
        raise untrue(node, str(error)) from error


def _widened(answer: Answer, columns: Pairs, question: Question) -> Answer:
    """The answer to a question for some columns, numbered as those of the whole question."""
    pairs, failed = (
        numbers // len(columns) * question.columns + columns[numbers % len(columns)]
        for numbers in (answer.pairs, answer.failed)
    )
    return Answer(pairs, answer.words, failed)


def _quantity(node: Node, result: object) -> bytes:
    if not isinstance(result, str) or not _QUANTITY.fullmatch(result):
        raise untrue(node, "a balance of the native coin is no number")
    return int(result, 16).to_bytes(WORD, "big")


def _returned(node: Node, result: object) -> bytes | None:
    """The word that a token answered; None if it answered anything else."""
    if not isinstance(result, str) or not _HEX.fullmatch(result):
        raise untrue(node, "what a token answered is not in hexadecimal digits")
    data = bytes.fromhex(result[2:])
    return data if len(data) == WORD else None
