"""What an Esplora server says, checked. An answer that cannot be true is refused, never a number.

Belongs here: JSON to values, and statuses to our kinds of errors. Not here: asking (`esplora`), and what follows for a
balance (`source`). Amounts are whole satoshi.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from portfolio_pipelines.chains.endpoint_pool import Where
from portfolio_pipelines.chains.rpc.errors import BadAnswer, InvalidRequest, StateUnavailable, TooMuch, Unreachable
from portfolio_pipelines.chains.rpc.node import Block
from portfolio_pipelines.chains.rpc.transport import Reply

MOST_SATOSHI: Final = 21_000_000 * 100_000_000  # that will ever exist
_LARGEST_COUNT: Final = 2**40
_LARGEST_TURNOVER: Final = 2**63  # what passed through an address may be more than exists
_HASH: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Outputs:
    """Outputs that an address received and spent, in the chain or in the pool of what waits for a block."""

    funded_count: int
    funded: int
    spent_count: int
    spent: int
    transactions: int

    @property
    def balance(self) -> int:
        """Received less spent; in the waiting pool this may be below zero."""
        return self.funded - self.spent

    @property
    def unspent_count(self) -> int:
        """Outputs received less outputs spent."""
        return self.funded_count - self.spent_count


@dataclass(frozen=True, slots=True)
class AddressStats:
    """What a server tells of an address."""

    confirmed: Outputs
    waiting: Outputs


@dataclass(frozen=True, slots=True)
class DatedBlock:
    """A block, and the median time of it and the ten before it: timestamps may fall along the chain, medians cannot."""

    block: Block
    median_time: int


@dataclass(frozen=True, slots=True)
class Effect:
    """What one confirmed transaction did to the balance of an address."""

    transaction: str
    height: int
    change: int


def text_of(reply: Reply, where: Where) -> str:
    """The text in a reply.

    Raises:
        RpcError: If the status says that there is none.
    """
    _refuse(reply, where)
    return reply.body.decode("utf-8", "replace").strip()


def json_of(reply: Reply, where: Where) -> Any:
    """The JSON in a reply.

    Raises:
        RpcError: If the status says that there is none, or it is none.
    """
    import orjson

    _refuse(reply, where)
    try:
        return orjson.loads(reply.body)
    except ValueError:
        shown = where.words(reply.body[:100].decode("utf-8", "replace"))
        raise Unreachable(where.chain, where.endpoint, f"no JSON: {shown}") from None


def hash_of(value: Any, where: Where) -> str:
    """A hash: 64 hex digits.

    Raises:
        BadAnswer: If it is none.
    """
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise bad_answer(where, f"{where.words(repr(value))} is no hash")
    return value


def blocks_of(value: Any, where: Where, newest: int | None = None) -> list[DatedBlock]:
    """Blocks from the newest down, each the parent of the one before it.

    Args:
        value: JSON.
        where: Who said it.
        newest: Height that the first must have, where one was asked for.

    Raises:
        BadAnswer: If there are none, or they do not follow each other.
    """
    if not isinstance(value, list) or not value:
        raise bad_answer(where, "no list of blocks")
    blocks: list[DatedBlock] = []
    for row in value:
        height = _integer(row, "height", where, 2**31)
        parent = hash_of(_member(row, "previousblockhash", where), where) if height else ""
        block = Block(
            height, hash_of(_member(row, "id", where), where), _integer(row, "timestamp", where, 2**32), parent
        )
        if blocks and (block.number, block.hash) != (blocks[-1].block.number - 1, blocks[-1].block.parent_hash):
            raise bad_answer(where, f"block {block.number} does not precede block {blocks[-1].block.number}")
        blocks.append(DatedBlock(block, _integer(row, "mediantime", where, 2**32)))
    if newest is not None and blocks[0].block.number != newest:
        raise bad_answer(where, f"block {blocks[0].block.number} in answer to the question for block {newest}")
    return blocks


def stats_of(value: Any, where: Where, address: str) -> AddressStats:
    """What a server tells of an address.

    Raises:
        BadAnswer: If it is of another address, or its sums cannot be.
    """
    said = _member(value, "address", where)
    if said != address:
        raise bad_answer(where, f"{where.words(repr(said))} in answer to the question for {address}")
    confirmed = _outputs(_member(value, "chain_stats", where), where)
    waiting = _outputs(_member(value, "mempool_stats", where), where)
    if not 0 <= confirmed.balance <= MOST_SATOSHI or confirmed.unspent_count < 0:
        raise bad_answer(where, f"{address} received {confirmed.funded} and spent {confirmed.spent} satoshi")
    if (confirmed.balance and not confirmed.unspent_count) or (confirmed.funded_count and not confirmed.transactions):
        raise bad_answer(
            where,
            f"{address} has {confirmed.balance} satoshi in {confirmed.unspent_count} outputs "
            f"of {confirmed.transactions} transactions",
        )
    return AddressStats(confirmed, waiting)


def unspent_of(value: Any, where: Where) -> tuple[int, int]:
    """Number and sum of unspent outputs, waiting ones included.

    Raises:
        BadAnswer: If one is malformed or there twice.
    """
    if not isinstance(value, list):
        raise bad_answer(where, "no list of outputs")
    seen: set[tuple[str, int]] = set()
    total = 0
    for row in value:
        output = (hash_of(_member(row, "txid", where), where), _integer(row, "vout", where, 2**32))
        if output in seen:
            raise bad_answer(where, f"output {output[1]} of {output[0]} is there twice")
        seen.add(output)
        total += _integer(row, "value", where, MOST_SATOSHI)
    return len(seen), total


def effects_of(value: Any, where: Where, address: str) -> list[Effect]:
    """What a page of confirmed transactions did to an address, newest first.

    Raises:
        BadAnswer: If one is unconfirmed, out of order, malformed, or has nothing to do with the address.
    """
    if not isinstance(value, list):
        raise bad_answer(where, "no list of transactions")
    effects: list[Effect] = []
    for row in value:
        transaction = hash_of(_member(row, "txid", where), where)
        status = _member(row, "status", where)
        if _member(status, "confirmed", where) is not True:
            raise bad_answer(where, f"transaction {transaction} among the confirmed ones is not")
        effect = Effect(transaction, _integer(status, "block_height", where, 2**31), _change(row, where, address))
        if effects and effect.height > effects[-1].height:
            raise bad_answer(where, f"transaction {transaction} is newer than the one before it")
        effects.append(effect)
    return effects


def bad_answer(where: Where, message: str) -> BadAnswer:
    """The error for an answer that cannot be true."""
    return BadAnswer(where.chain, where.endpoint, message)


def _change(row: Any, where: Where, address: str) -> int:
    change, touched = 0, False
    for name, sign in (("vout", 1), ("vin", -1)):
        entries = _member(row, name, where)
        if not isinstance(entries, list):
            raise bad_answer(where, f"{name} is no list")
        for entry in entries:
            output = entry if sign > 0 else _member(entry, "prevout", where)
            if sign < 0 and output is None and entry.get("is_coinbase") is True:
                continue  # newly made coins come from nowhere
            amount = _integer(output, "value", where, MOST_SATOSHI)
            if output.get("scriptpubkey_address") == address:
                change += sign * amount
                touched = True
    if not touched:
        raise bad_answer(where, f"a transaction that has nothing to do with {address} is among its own")
    return change


def _outputs(value: Any, where: Where) -> Outputs:
    return Outputs(
        funded_count=_integer(value, "funded_txo_count", where, _LARGEST_COUNT),
        funded=_integer(value, "funded_txo_sum", where, _LARGEST_TURNOVER),
        spent_count=_integer(value, "spent_txo_count", where, _LARGEST_COUNT),
        spent=_integer(value, "spent_txo_sum", where, _LARGEST_TURNOVER),
        transactions=_integer(value, "tx_count", where, _LARGEST_COUNT),
    )


def _integer(value: Any, name: str, where: Where, largest: int) -> int:
    number = _member(value, name, where)
    if type(number) is not int or not 0 <= number <= largest:
        raise bad_answer(where, f"{name} is {where.words(repr(number))}, no whole number up to {largest}")
    return number


def _member(value: Any, name: str, where: Where) -> Any:
    if not isinstance(value, dict) or name not in value:
        raise bad_answer(where, f"an answer without {name}")
    return value[name]


def _refuse(reply: Reply, where: Where) -> None:
    """Raise what a status below 500 says; the others were dealt with where the request was made."""
    if reply.status == 200:
        return
    said = where.words(reply.body[:300].decode("utf-8", "replace"))
    if reply.status == 404:
        raise StateUnavailable(where.chain, where.endpoint, f"not there: {said}")
    if reply.status == 400 and "too many" in said.lower():
        raise TooMuch(where.chain, where.endpoint, said)
    raise InvalidRequest(where.chain, where.endpoint, f"HTTP {reply.status}: {said}")
