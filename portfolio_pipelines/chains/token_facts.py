"""What newly found tokens say of themselves: symbol, name, decimals.

Belongs here: asking, and not believing everything. Whether a token is spam is in `spam`; listed tokens are never asked,
their facts are in the registry.
"""

import re
from collections.abc import Sequence
from typing import Any

import polars as pl

from portfolio_pipelines.chains.rpc.errors import Reverted, RpcError, TooMuch
from portfolio_pipelines.chains.rpc.node import Node

SYMBOL = "0x95d89b41"  # symbol()
NAME = "0x06fdde03"  # name()
DECIMALS = "0x313ce567"  # decimals()

TOKEN_FACTS = {
    "token": pl.String,
    "status": pl.String,
    "symbol": pl.String,
    "name": pl.String,
    "decimals": pl.UInt8,
    "fault": pl.String,
}
MOST_CHARACTERS = 128  # of a symbol or name; longer ones are cut, and said to be
_GAS = 5_000_000  # of one question: far above what an honest token needs, also where gas counts differently
_WORD = 32
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")


async def token_facts(node: Node, addresses: Sequence[str], block: int, *, tokens_a_batch: int = 100) -> pl.DataFrame:
    """Symbol, name and decimals of tokens, each token by itself: one that lies or fails harms no other.

    Args:
        node: The chain.
        addresses: Contracts, as lower-case text.
        block: At which block.
        tokens_a_batch: Tokens asked for in one batch; each costs four elements.

    Returns:
        Columns of `TOKEN_FACTS`, a row for each address in the order given. Status `ok`: code and decimals are there
        (an ERC-721 has none and is `incomplete`); `no_code`: nothing stands at the address; `incomplete`: decimals
        are missing or out of range, so no amount can be stated; `unread`: the node failed, ask again. `fault` says
        what was wrong. Texts keep zero-width and look-alike characters (they are evidence), but no control characters.
    """
    rows: list[tuple[Any, ...]] = []
    for start in range(0, len(addresses), tokens_a_batch):
        some = addresses[start : start + tokens_a_batch]
        answers = await node.batch([request for address in some for request in _questions(address, block)])
        rows += (_facts(address, answers[4 * place : 4 * place + 4]) for place, address in enumerate(some))
    return pl.DataFrame(rows, schema=TOKEN_FACTS, orient="row")


def _questions(address: str, block: int) -> list[tuple[str, Sequence[Any]]]:
    calls: list[tuple[str, Sequence[Any]]] = [
        ("eth_call", [{"to": address, "data": selector, "gas": hex(_GAS)}, hex(block)])
        for selector in (SYMBOL, NAME, DECIMALS)
    ]
    return [("eth_getCode", [address, hex(block)]), *calls]


def _facts(address: str, answers: Sequence[Any]) -> tuple[Any, ...]:
    """One row. An error of the call itself is the token's; any other is the node's."""
    failed = [a for a in answers if isinstance(a, RpcError) and not isinstance(a, Reverted | TooMuch)]
    if failed or isinstance(answers[0], RpcError):
        return address, "unread", None, None, None, str(failed[0] if failed else answers[0])
    if answers[0] in ("0x", None, ""):
        return address, "no_code", None, None, None, "no contract at this address"
    symbol, name = (text_of(_bytes(answer)) for answer in answers[1:3])
    decimals = _decimals(_bytes(answers[3]))
    faults = [
        f"{what}: {_why(answer)}"
        for what, answer, value in zip(
            ("symbol", "name", "decimals"), answers[1:], (symbol, name, decimals), strict=True
        )
        if value is None
    ]
    faults += [f"{what}: cut" for what, text in (("symbol", symbol), ("name", name)) if text and text.endswith("…")]
    return address, "incomplete" if decimals is None else "ok", symbol, name, decimals, "; ".join(faults) or None


def _why(answer: Any) -> str:
    if isinstance(answer, TooMuch):
        return "used up its gas"
    if isinstance(answer, Reverted):
        return "reverted"
    return "no answer" if answer in ("0x", None) else "unreadable"


def _bytes(answer: Any) -> bytes:
    if not isinstance(answer, str) or not answer.startswith("0x"):
        return b""
    try:
        return bytes.fromhex(answer[2:])
    except ValueError:
        return b""


def _decimals(data: bytes) -> int | None:
    """A uint8 in one word. Longer answers are not from a decimals function."""
    value = int.from_bytes(data) if len(data) == _WORD else 256
    return value if value < 256 else None


def text_of(data: bytes) -> str | None:
    """The text in an answer: a string, or a bytes32 as early tokens (MKR, SAI) give. None if neither, or empty."""
    if len(data) == _WORD:
        content = data.rstrip(b"\x00")
    else:
        if len(data) < 2 * _WORD or int.from_bytes(data[:_WORD]) != _WORD:
            return None
        length = int.from_bytes(data[_WORD : 2 * _WORD])
        if length > len(data) - 2 * _WORD:
            return None
        content = data[2 * _WORD : 2 * _WORD + length]
    text = _UNPRINTABLE.sub("", content.decode(errors="replace")).strip()
    return (text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…") or None
