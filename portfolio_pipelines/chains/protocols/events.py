"""Logs of contracts as events: what was moved, minted, borrowed, in exact integers.

Belongs here: decoding of one log as a node gives it over JSON-RPC. Which events exist is `event_kinds`; fetching logs,
following reorganisations and what an event means for a position are others' concern. No I/O and no ABI library: the
live service decodes every log of a chain with it.
"""

from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any, Final, NamedTuple

from portfolio_pipelines.chains.protocols.event_kinds import EVENT_KINDS, EventKind

Value = int | str | bool

_ADDRESS_PADDING: Final = bytes(12)
_HEAD: Final = 20 + 32  # bytes of the contract's address and the transaction's hash, which precede the words
_UNSIGNED, _SIGNED, _ADDRESS, _BOOL = range(4)


class Event(NamedTuple):
    """An understood log."""

    chain: str
    block_number: int
    transaction: str  # hash, 0x and 64 lower-case hex digits
    log_index: int  # within the block
    address: str  # of the contract that emitted it
    protocol: str  # "erc20", "erc721", "weth", "univ2_pair", "univ3_pool", "univ3_nfpm", "aave_v3", "compound_v3"
    name: str
    arguments: dict[str, Value]  # by the names of the declaration; addresses in lower case, numbers as int
    removed: bool  # the node takes it back: its block left the chain


class BadLogError(ValueError):
    """A log that claims to be a known event and cannot be one. Nothing of it may be used.

    Args:
        chain: Name of the chain.
        log: The log, for its transaction and index.
        message: What is wrong, in words.
    """

    def __init__(self, chain: str, log: object, message: str) -> None:
        fields = log if isinstance(log, Mapping) else {}
        self.chain = chain
        self.transaction = str(fields.get("transactionHash"))[:66]
        self.log_index = str(fields.get("logIndex"))[:18]
        self.message = message
        super().__init__(f"{chain}, transaction {self.transaction}, log {self.log_index}: {message}")


class _Layout(NamedTuple):
    kind: EventKind
    lengths: list[int]  # characters of address, transaction, topics after the first, data
    prefixes: Callable[[str], tuple[str, ...]]  # where their 0x must stand when they are joined
    expected_prefixes: tuple[str, ...]
    size: int  # bytes of all of them
    # (name, how to read, first byte, byte after the last, first bit or number that must not be set or reached)
    fields: tuple[tuple[str, int, int, int, int], ...]


def _layout(kind: EventKind) -> _Layout:
    fields = []
    for field in kind.fields:
        start, bound = _HEAD + 32 * field.word, 0
        if field.type == "address":
            how = _ADDRESS
        elif field.type == "bool":
            how = _BOOL
        elif field.type.startswith("uint"):
            how, bound = _UNSIGNED, 1 << int(field.type[4:])
        else:
            how, bound = _SIGNED, 1 << (int(field.type[3:]) - 1)
        fields.append((field.name, how, start, start + 32, bound))
    lengths = [42, 66, *[66] * kind.indexed, 2 + 64 * kind.words]
    starts = [sum(lengths[:piece]) for piece in range(len(lengths))]
    return _Layout(
        kind=kind,
        lengths=lengths,
        prefixes=itemgetter(*[slice(start, start + 2) for start in starts]),
        expected_prefixes=("0x",) * len(lengths),
        size=_HEAD + 32 * len(fields),
        fields=tuple(fields),
    )


def _wrong_length(layout: _Layout, pieces: list[str]) -> str:
    kind = layout.kind
    if len(pieces[-1]) != layout.lengths[-1]:
        expected, found = kind.words * 32, (len(pieces[-1]) - 2) / 2
        return f"{kind.protocol} {kind.name} has {expected} bytes of data, not {found:g}"
    return "an address, hash or topic of the wrong length"


# By topic 0, then by the number of all topics.
_LAYOUTS: Final[dict[str, dict[int, _Layout]]] = {}
for _kind in EVENT_KINDS:
    _LAYOUTS.setdefault(_kind.topic0, {})[1 + _kind.indexed] = _layout(_kind)


def decode_log(chain: str, log: Mapping[str, Any]) -> Event | None:
    """The event of a log.

    Args:
        chain: Name of the chain; errors carry it.
        log: A log object of `eth_getLogs`, a receipt or a subscription: hex text as JSON-RPC gives it.

    Returns:
        None for a log without topics, of an unknown topic 0, or whose number of indexed arguments differs from every
        event of that topic 0: another contract's event.

    Raises:
        BadLogError: If the log is of a known event but its data is truncated, oversized, not hex, or holds a value that
            the declared type cannot have (dirty padding): no part of it is believed. Also for a log that is pending
            (no block yet) or not a log at all.
    """
    try:
        topics = log["topics"]
        if not topics:
            return None
        layouts = _LAYOUTS.get(topics[0]) or _LAYOUTS.get(topics[0].lower())
        if layouts is None:
            return None
        layout = layouts.get(len(topics))
        if layout is None:
            return None
        return _decode(chain, log, topics, layout)
    except BadLogError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise BadLogError(chain, log, f"not a log of JSON-RPC: {type(error).__name__} {error}"[:200]) from error


def decode_logs(chain: str, logs: Iterable[Mapping[str, Any]]) -> tuple[list[Event], list[BadLogError]]:
    """Events of many logs in their order, unknown ones left out; a bad log costs only itself.

    Returns:
        The events, and one error for each log that could not be believed.
    """
    events: list[Event] = []
    bad: list[BadLogError] = []
    for log in logs:
        try:
            event = decode_log(chain, log)
        except BadLogError as error:
            bad.append(error)
        else:
            if event is not None:
                events.append(event)
    return events, bad


def _decode(chain: str, log: Mapping[str, Any], topics: list[str], layout: _Layout) -> Event:
    address, transaction, data = log["address"], log["transactionHash"], log["data"]
    pieces = [address, transaction, *topics[1:], data]
    if list(map(len, pieces)) != layout.lengths:
        raise BadLogError(chain, log, _wrong_length(layout, pieces))
    text = "".join(pieces)
    if layout.prefixes(text) != layout.expected_prefixes:
        raise BadLogError(chain, log, "hex text without 0x")
    # One conversion for all: cheaper than one each, and it refuses what int(…, 16) forgives (underscores, signs).
    raw = bytes.fromhex(text.replace("0x", ""))
    if len(raw) != layout.size:  # fromhex skips blanks
        raise BadLogError(chain, log, "blanks within hex text")
    arguments: dict[str, Value] = {}
    for name, how, start, stop, bound in layout.fields:
        if how == _ADDRESS:
            if raw[start : start + 12] != _ADDRESS_PADDING:
                raise BadLogError(chain, log, f"{name} is not an address: {raw[start:stop].hex()}")
            arguments[name] = "0x" + raw[start + 12 : stop].hex()
        elif how == _UNSIGNED:
            number = int.from_bytes(raw[start:stop])
            if number >= bound:
                raise BadLogError(chain, log, f"{name} is greater than its type allows: {raw[start:stop].hex()}")
            arguments[name] = number
        elif how == _SIGNED:
            number = int.from_bytes(raw[start:stop], signed=True)
            if not -bound <= number < bound:
                raise BadLogError(chain, log, f"{name} is outside of its type: {raw[start:stop].hex()}")
            arguments[name] = number
        else:
            number = int.from_bytes(raw[start:stop])
            if number > 1:
                raise BadLogError(chain, log, f"{name} is neither true nor false: {raw[start:stop].hex()}")
            arguments[name] = number == 1
    kind = layout.kind
    return Event(
        chain,
        _quantity(chain, log, "blockNumber"),
        "0x" + raw[20:52].hex(),
        _quantity(chain, log, "logIndex"),
        "0x" + raw[:20].hex(),
        kind.protocol,
        kind.name,
        arguments,
        log.get("removed", False) is True,
    )


def _quantity(chain: str, log: Mapping[str, Any], key: str) -> int:
    text = log[key]
    if text is None or text[:2] != "0x" or len(text) > 18 or not text.isalnum():
        raise BadLogError(chain, log, f"{key} is no quantity: {text!r}"[:120])
    return int(text, 16)
