"""Balances of all wallets of a chain in all tokens, at one block: `read_balances`.

Belongs here: cutting the work into calls, learning how much a node takes, changing to another way to ask when one
fails, and telling tokens that lie. The ways to ask are in `techniques`; nothing here knows of storage.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from portfolio_pipelines.chains.reader.amounts import amounts, scaled
from portfolio_pipelines.chains.reader.encoding import ADDRESS, WORD, Answer, Bytes, OutOfGas
from portfolio_pipelines.chains.reader.program import TOKEN_GAS
from portfolio_pipelines.chains.reader.questions import Question
from portfolio_pipelines.chains.reader.techniques import Aggregate, Deployless, OneByOne, Override, Technique
from portfolio_pipelines.chains.rpc.errors import BadAnswer, InvalidRequest, Reverted, RpcError, TooMuch, Unsupported
from portfolio_pipelines.chains.rpc.node import Block, Node

__all__ = ["Balances", "ReaderLimits", "amounts", "read_balances", "scaled"]

CONCURRENCY: Final = 8  # calls under way at once; the node's client keeps the pace
TRIES: Final = 2  # of one way to ask, when an answer cannot be true
CANARIES: Final = 2

Indexes = NDArray[np.int32]


@dataclass
class ReaderLimits:
    """What a node was found to take. Keep one for each chain and pass it to every read.

    Args:
        unsupported: Names of the ways to ask that no endpoint of the node knows.
        pairs: Balances a call, by way to ask, where fewer than usual pass.
    """

    unsupported: set[str] = field(default_factory=set)
    pairs: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Balances:
    """The balances that are not zero, and the pairs that could not be read. Whatever is in neither is zero.

    Args:
        block: The block they were read at.
        wallet: Index into the wallets that were asked for. Sorted by (wallet, column).
        column: 0 is the native coin, 1 + i is token i.
        words: The balances in the smallest units, shape (n, 32), big-endian.
        failed_wallet: Of the pairs that could not be read; such a balance is missing, not zero.
        failed_column: Of the same pairs.
        lying_columns: Tokens that claim a balance for addresses of nobody; all their pairs are among the failed.
        technique: Name of the way in which the last of them was asked.
        calls: Calls that were made.
    """

    block: Block
    wallet: Indexes
    column: Indexes
    words: Bytes
    failed_wallet: Indexes
    failed_column: Indexes
    lying_columns: Indexes
    technique: str
    calls: int


async def read_balances(
    node: Node,
    wallets: Bytes,
    tokens: Bytes,
    block: Block,
    *,
    multicall: str | None = None,
    limits: ReaderLimits | None = None,
    native: bool = True,
    token_gas: int = TOKEN_GAS,
    concurrency: int = CONCURRENCY,
) -> Balances:
    """Balances of every wallet in every token, and in the native coin.

    Two addresses of nobody, made from the hash of the block, are asked along as the first and the last wallet: a token
    that claims a balance for either lies (tokens that promote themselves say that everybody holds them).

    Args:
        node: The chain.
        wallets: Addresses, shape (wallets, 20).
        tokens: Addresses, shape (tokens, 20).
        block: The block to read at.
        multicall: Address of Multicall3 on the chain, where it is known.
        limits: What is known about the node; what is learnt is written into it.
        native: Read the native coin too.
        token_gas: Gas that one balance of a token may cost; one that needs more fails.
        concurrency: Calls under way at once.

    Raises:
        BadAnswer: If the answers cannot be true in whatever way is asked.
        RpcError: If the node cannot be read; see its subclasses.
    """
    _check_addresses(wallets, tokens)
    asked = np.concatenate([_nobody(block, 0), wallets, _nobody(block, 1)])
    reading = _Reading(node, asked, tokens, block, native, _techniques(multicall, token_gas), limits or ReaderLimits())
    if len(wallets) and reading.columns:
        await reading.run(concurrency)
    return reading.balances()


@dataclass(frozen=True, slots=True)
class _Tile:
    """A rectangle of wallets and columns still to be read, and how often that gave what cannot be true."""

    wallets: range
    columns: range
    untrue: int = 0

    @property
    def pairs(self) -> int:
        return len(self.wallets) * len(self.columns)


class _Reading:
    """One run of `read_balances`."""

    def __init__(
        self,
        node: Node,
        wallets: Bytes,
        tokens: Bytes,
        block: Block,
        native: bool,
        techniques: Sequence[Technique],
        limits: ReaderLimits,
    ) -> None:
        self.node, self.wallets, self.tokens, self.block, self.native = node, wallets, tokens, block, native
        self.limits = limits
        self.columns = len(tokens) + native
        self.calls = 0
        self._ways = deque(way for way in techniques if way.name not in limits.unsupported)
        self._tiles = deque([_Tile(range(len(wallets)), range(self.columns))])
        self._keys: list[NDArray[np.int64]] = []
        self._words: list[Bytes] = []
        self._failed: list[NDArray[np.int64]] = []

    async def run(self, concurrency: int) -> None:
        """Read everything; the first error that no other way of asking cures ends it."""
        under_way: set[asyncio.Task[None]] = set()
        done: set[asyncio.Task[None]] = set()
        try:
            while self._tiles or under_way:
                while self._tiles and len(under_way) < concurrency:
                    under_way.add(asyncio.create_task(self._read(self._ways[0], self._next_tile())))
                done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, *done, return_exceptions=True)

    def _next_tile(self) -> _Tile:
        """The next piece of work, of the size that a call takes."""
        way, tile = self._ways[0], self._tiles.popleft()
        pairs = self.limits.pairs.get(way.name, way.pairs)
        columns = tile.columns[: max(1, min(pairs, way.addresses // 2))]
        wallets = tile.wallets[: max(1, min(pairs // len(columns), way.addresses - len(columns)))]
        if len(wallets) < len(tile.wallets):
            self._tiles.appendleft(_Tile(tile.wallets[len(wallets) :], tile.columns, tile.untrue))
        if len(columns) < len(tile.columns):
            self._tiles.appendleft(_Tile(wallets, tile.columns[len(columns) :], tile.untrue))
        return _Tile(wallets, columns, tile.untrue)

    async def _read(self, way: Technique, tile: _Tile) -> None:
        first, end = tile.columns.start, tile.columns.stop
        native = self.native and first == 0
        tokens = self.tokens[max(0, first - self.native) : end - self.native]
        wallets = self.wallets[tile.wallets.start : tile.wallets.stop]
        self.calls += 1
        try:
            answer = await way.ask(self.node, Question(wallets, tokens, native, self.block))
        except OutOfGas as error:
            self._ask_less(way, tile, error.pairs * 9 // 10, self._out_of_gas())
        except TooMuch as error:
            self._ask_less(way, tile, tile.pairs // 2, error)
        except BadAnswer as error:
            if tile.untrue + 1 >= TRIES:
                self._leave(way, error, remember=False)
                self._tiles.append(_Tile(tile.wallets, tile.columns))
            else:
                self._tiles.append(_Tile(tile.wallets, tile.columns, tile.untrue + 1))
        except (Unsupported, InvalidRequest, Reverted) as error:
            # Whether Multicall3 is there depends on the block, not on the node.
            self._leave(way, error, remember=isinstance(error, Unsupported) and not isinstance(way, Aggregate))
            self._tiles.append(tile)
        else:
            self._take(tile, answer)

    def _ask_less(self, way: Technique, tile: _Tile, pairs: int, error: RpcError) -> None:
        if tile.pairs == 1:
            self._leave(way, error, remember=False)
        else:  # calls that were under way with more than is known to pass by now teach nothing
            known = self.limits.pairs.get(way.name, way.pairs)
            self.limits.pairs[way.name] = max(1, min(known, max(pairs, 1)))
        self._tiles.append(tile)

    def _leave(self, way: Technique, error: RpcError, *, remember: bool) -> None:
        """Change to the next way to ask, unless another call has changed already."""
        if remember:
            self.limits.unsupported.add(way.name)
        if self._ways[0] is way:
            if len(self._ways) == 1:
                raise error
            self._ways.popleft()

    def _out_of_gas(self) -> TooMuch:
        return TooMuch(self.node.name, "all endpoints", "the gas of a call does not suffice for one balance")

    def _take(self, tile: _Tile, answer: Answer) -> None:
        width = len(tile.columns)
        for numbers, kept in ((answer.pairs, self._keys), (answer.failed, self._failed)):
            wallet, column = np.divmod(numbers, width)
            kept.append((wallet + tile.wallets.start) * self.columns + column + tile.columns.start)
        self._words.append(answer.words)

    def balances(self) -> Balances:
        """What was read, in order, without the addresses of nobody."""
        keys, failed = (np.concatenate([np.empty(0, np.int64), *parts]) for parts in (self._keys, self._failed))
        words = np.concatenate([np.empty((0, WORD), np.uint8), *self._words])
        order = np.argsort(keys, kind="stable")
        keys, words = keys[order], words[order]
        wallet, column = np.divmod(keys, max(1, self.columns))
        last = len(self.wallets) - 1
        claimed = ((wallet == 0) | (wallet == last)) & (column >= self.native)
        lying = _distinct(column[claimed])
        true = (wallet > 0) & (wallet < last) & ~np.isin(column, lying)
        everybody = np.arange(1, last)[:, None] * self.columns + lying
        failed = _distinct(np.concatenate([failed, everybody.ravel()]))
        failed_wallet, failed_column = np.divmod(failed, max(1, self.columns))
        real = (failed_wallet > 0) & (failed_wallet < last)
        shift = 0 if self.native else 1
        return Balances(
            block=self.block,
            wallet=(wallet[true] - 1).astype(np.int32),
            column=(column[true] + shift).astype(np.int32),
            words=words[true],
            failed_wallet=(failed_wallet[real] - 1).astype(np.int32),
            failed_column=(failed_column[real] + shift).astype(np.int32),
            lying_columns=(lying + shift).astype(np.int32),
            technique=self._ways[0].name,
            calls=self.calls,
        )


def _techniques(multicall: str | None, token_gas: int) -> list[Technique]:
    single = OneByOne(token_gas)
    ways: list[Technique] = [Override(token_gas), Deployless(token_gas, True), Deployless(token_gas, False)]
    if multicall is not None:
        ways.append(Aggregate(np.frombuffer(bytes.fromhex(multicall.removeprefix("0x")), np.uint8), single))
    return [*ways, single]


def _distinct(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ascending, each once. By sorting: numpy.unique hashes, which takes milliseconds even for none."""
    ordered = np.sort(numbers)
    is_first = np.diff(ordered, prepend=ordered[:1] - 1) != 0
    return np.asarray(ordered[is_first])


def _nobody(block: Block, number: int) -> Bytes:
    """An address that nobody can have a key of, and that no token could foresee."""
    digest = hashlib.sha256(f"the address of nobody {number} at {block.hash}".encode()).digest()
    return np.frombuffer(digest[:ADDRESS], np.uint8)[None]


def _check_addresses(*arrays: Bytes) -> None:
    for array in arrays:
        if array.dtype != np.uint8 or array.ndim != 2 or array.shape[1] != ADDRESS:
            msg = f"addresses are an array of uint8 of shape (n, {ADDRESS}), not {array.dtype} of {array.shape}"
            raise ValueError(msg)
