"""Which tokens came to or left the wallets: Transfer logs since the last block that was scanned.

Belongs here: asking for the logs, telling ERC-20 from ERC-721, and going on where an earlier scan ended, also after a
reorganisation. How ranges are cut is in `log_ranges`, what a token says of itself in `token_facts`.

Not found, because their logs do not name the wallet in a topic: the few early tokens whose Transfer has no indexed
addresses, and ERC-1155 (another event). Native coins leave no logs at all.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from portfolio_pipelines.chains.log_ranges import Log, Reach, read_range
from portfolio_pipelines.chains.raw_amounts import RAW, raw_columns
from portfolio_pipelines.chains.reorganisations import newest_canonical
from portfolio_pipelines.chains.rpc.errors import BadAnswer
from portfolio_pipelines.chains.rpc.node import ANSWERED_BY, Block, Node

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"  # Transfer(address,address,uint256)
DEPOSIT = "0xe1fffcc4923d04b559f4d29a8bfc6cda04eb5b0d3c460751c2402c5c5cc9109c"  # Deposit(address,uint256)
WITHDRAWAL = "0x7fcf532c15f0a6db0bd6d0e038bea71d30d808c7d98cb3bf7268a95bf5081b65"  # Withdrawal(address,uint256)
NOBODY = "0x" + "0" * 40  # tokens are made from and burnt to this address

TRANSFERS: dict[str, pl.DataType | type[pl.DataType]] = {
    "block_number": pl.Int64,
    "block_hash": pl.String,
    "tx_hash": pl.String,
    "log_index": pl.Int64,
    "token": pl.String,
    "sender": pl.String,
    "receiver": pl.String,
    "raw": RAW,  # amount of an ERC-20, token id of an ERC-721
    "raw_hex": pl.String,
    "kind": pl.String,  # erc20, erc721, malformed (raw is null: the contract does not keep to either standard)
}
_ENDPOINT = "its endpoints"  # several may have answered
_TRIES = 3  # readings of a window in which blocks were replaced
_CHECKPOINTS = 24  # one an hour: a day of steps back before the whole history is read again
_PADDING = "0x" + "0" * 24
_ONE_WORD = 66  # characters
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]*")  # no signs, underscores or blanks, which int() would take

_Row = tuple[int, str, str, int, str, str, str, int | None, str]


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a chain was scanned: (number, hash) of the ends of the last ranges, oldest first."""

    checkpoints: tuple[tuple[int, str], ...]

    def to_text(self) -> str:
        """For storage."""
        return json.dumps(self.checkpoints)

    @classmethod
    def from_text(cls, text: str) -> "Cursor":
        """Out of storage."""
        return cls(tuple((int(number), str(known)) for number, known in json.loads(text)))


@dataclass(frozen=True, slots=True)
class Scanned:
    """A finished range. Store `transfers` in place of everything stored from block `first` on, then the cursor.

    Attributes:
        first: First block of the range. After a reorganisation it lies below what the cursor had reached.
        last: Last block of the range.
        last_hash: Its hash.
        transfers: Columns of `TRANSFERS`, each log once, sorted by block and log index.
        cursor: Where the next scan goes on.
    """

    first: int
    last: int
    last_hash: str
    transfers: pl.DataFrame
    cursor: Cursor


async def scan_transfers(
    node: Node,
    wallets: NDArray[np.uint8],
    last: Block,
    *,
    cursor: Cursor | None = None,
    first_block: int = 0,
    wrapped_native: Collection[str] = (),
    window: int = 50_000,
    reach: Reach | None = None,
    in_flight: int = 16,
) -> AsyncIterator[Scanned]:
    """Transfers of tokens to and from the wallets, range by range up to a block.

    Args:
        node: The chain.
        wallets: Addresses, shape (wallets, 20). Wallets that were not in the earlier scans have no history under their
            cursor: scan them with a cursor of their own first.
        last: Where to end, usually the block the chain run is pinned to; some blocks below the head, so that every
            endpoint has it.
        cursor: Where the last scan ended; None begins at `first_block`. When its block is no longer canonical the
            scan steps back to the newest checkpoint that is.
        first_block: Where a scan without a usable cursor begins.
        wrapped_native: Addresses of WETH9-like tokens of this chain: they log a deposit as Deposit and a withdrawal
            as Withdrawal, without a Transfer. Here both become transfers from and to nobody.
        window: Blocks a range that is yielded has at most.
        reach: What one request may cover; learned in place.
        in_flight: Requests at a time.

    Raises:
        TooMuch: If one block of one wallet is refused.
        BadAnswer: If an answer is not what was asked, or blocks were replaced at each of three readings.
        RpcError: If the logs could not be read. Ranges yielded before stay valid.
    """
    reach = reach or Reach()
    text = np.ascontiguousarray(wallets).tobytes().hex()
    names = sorted({_PADDING + text[place : place + 40] for place in range(0, len(text), 40)})
    scan = _Scan(node, frozenset(wrapped_native), asyncio.Semaphore(in_flight))
    checkpoints = list(cursor.checkpoints) if cursor else []
    if checkpoints and checkpoints[-1][0] > last.number:
        return  # scanned further than asked, perhaps through a node that is ahead of this one
    while True:
        place = await newest_canonical(node, checkpoints, last.number)
        del checkpoints[0 if place is None else place + 1 :]
        first = checkpoints[-1][0] + 1 if checkpoints else first_block
        if first > last.number:
            return
        end = min(first + window - 1, last.number)
        rows, last_hash = await scan.window(names, first, end, reach)
        checkpoints = [*checkpoints, (end, last_hash)][-_CHECKPOINTS:]
        yield Scanned(first, end, last_hash, _frame(rows), Cursor(tuple(checkpoints)))


@dataclass(frozen=True, slots=True)
class _Scan:
    """Scans of one chain. Wallets are written as topics are: a word each, made once for all requests."""

    node: Node
    wrapped_native: frozenset[str]
    turn: asyncio.Semaphore

    async def window(self, wallets: Sequence[str], first: int, last: int, reach: Reach) -> tuple[set[_Row], str]:
        """The transfers of a range, all of one branch of the chain, and the hash of its last block."""
        for _ in range(_TRIES):
            before = await self.node.block(last)
            rows = await self._rows(wallets, first, last, reach)
            after = await self.node.block(last)
            hashes = {(number, known) for number, known, *_ in rows} | {(last, after.hash)}
            if before.hash == after.hash and len(hashes) == len({number for number, _ in hashes}):
                return rows, after.hash
        message = f"blocks {first} to {last} were replaced while their logs were read, {_TRIES} times"
        raise BadAnswer(self.node.name, _ENDPOINT, message)

    async def _rows(self, wallets: Sequence[str], first: int, last: int, reach: Reach) -> set[_Row]:
        # The first list of wallets goes alone: what it learns of the endpoint saves the others the same refusals.
        alone = wallets[: reach.wallets]
        answers = [await self._both_ways(alone, first, last, reach)]
        reach.settle()
        others = wallets[len(alone) :]
        lists = [others[start : start + reach.wallets] for start in range(0, len(others), reach.wallets)]
        answers += await asyncio.gather(*(self._both_ways(part, first, last, reach) for part in lists))
        reach.settle()
        return set().union(*answers)

    async def _both_ways(self, wallets: Sequence[str], first: int, last: int, reach: Reach) -> set[_Row]:
        if not wallets:
            return set()

        async def sent(some: Sequence[str], start: int, end: int) -> list[Log]:
            return await self._ask(some, start, end, 1)

        async def received(some: Sequence[str], start: int, end: int) -> list[Log]:
            return await self._ask(some, start, end, 2)

        outwards = await read_range(sent, wallets, first, last, reach)
        inwards = await read_range(received, wallets, first, last, reach)
        return set(self._decoded(outwards)) | set(self._decoded(inwards))

    async def _ask(self, wallets: Sequence[str], first: int, last: int, place: int) -> list[Log]:
        """Logs with one of the wallets in topic 1 (sender) or 2 (receiver)."""
        events: list[str] = [TRANSFER]
        if place == 1 and self.wrapped_native:
            events += [DEPOSIT, WITHDRAWAL]
        topics: list[Sequence[str] | None] = [events, wallets] if place == 1 else [events, None, wallets]
        query = {"fromBlock": hex(first), "toBlock": hex(last), "topics": topics}
        async with self.turn:
            logs = await self.node.request("eth_getLogs", [query])
        asked, endpoint = frozenset(wallets) if logs else frozenset(), ANSWERED_BY.get()
        try:
            strange = not isinstance(logs, list) or any(
                not first <= int(log["blockNumber"], 16) <= last
                or log["topics"][0].lower() not in events
                or log["topics"][place].lower() not in asked
                for log in logs
            )
        except (TypeError, KeyError, IndexError, ValueError, AttributeError) as error:
            raise BadAnswer(self.node.name, endpoint, f"logs of blocks {first} to {last} without form") from error
        if strange:
            raise BadAnswer(self.node.name, endpoint, f"logs of blocks {first} to {last} that were not asked for")
        return list(logs)

    def _decoded(self, logs: Iterable[Log]) -> Iterable[_Row]:
        for log in logs:
            try:
                if log.get("removed"):
                    continue
                token = _hexadecimal(log["address"], 42)
                topics = [_hexadecimal(topic, 66) for topic in log["topics"]]
                if topics[0] != TRANSFER and token not in self.wrapped_native:
                    continue  # somebody else's Deposit or Withdrawal means something else
                place = (
                    int(log["blockNumber"], 16),
                    _hexadecimal(log["blockHash"], 66),
                    _hexadecimal(log["transactionHash"], 66),
                    int(log["logIndex"], 16),
                )
                data = log["data"]
                data = _hexadecimal(data, len(data)) if data else "0x"
            except (TypeError, KeyError, ValueError, AttributeError) as error:
                raise BadAnswer(self.node.name, _ENDPOINT, f"a log without form: {str(log)[:200]}") from error
            yield (*place, token, *_moved(topics, data))


def _moved(topics: Sequence[str], data: str) -> tuple[str, str, int | None, str]:
    """Sender, receiver, amount or token id, and kind."""
    first = "0x" + topics[1][26:]
    amount = int(data, 16) if len(data) == _ONE_WORD else None
    if topics[0] == DEPOSIT:
        return NOBODY, first, amount, "erc20" if amount is not None else "malformed"
    if topics[0] == WITHDRAWAL:
        return first, NOBODY, amount, "erc20" if amount is not None else "malformed"
    second = "0x" + topics[2][26:] if len(topics) > 2 else NOBODY
    clean = len(topics) > 2 and all(topic.startswith(_PADDING) for topic in topics[1:3])
    if clean and len(topics) == 3 and amount is not None:
        return first, second, amount, "erc20"
    if clean and len(topics) == 4 and data == "0x":
        return first, second, int(topics[3], 16), "erc721"
    return first, second, None, "malformed"


def _hexadecimal(text: str, length: int) -> str:
    if len(text) != length or length % 2 or not _HEXADECIMAL.fullmatch(text):
        msg = f"not {length} characters of hexadecimal text: {text[:80]!r}"
        raise ValueError(msg)
    return text.lower()


def _frame(rows: Collection[_Row]) -> pl.DataFrame:
    ordered = sorted(rows, key=lambda row: (row[0], row[3]))
    columns = list(zip(*ordered, strict=True)) or [()] * 9
    raw, raw_hex = raw_columns(columns[7])
    names = list(TRANSFERS)
    texts = {name: list(column) for name, column in zip(names[:7], columns[:7], strict=True)}
    return pl.DataFrame(texts | {"raw": raw, "raw_hex": raw_hex, "kind": list(columns[8])}, schema=TRANSFERS)
