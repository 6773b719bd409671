"""Logs decode to exact events, and a hostile log never to a wrong number."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from eth_abi import encode
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.chains.protocols.event_kinds import EVENT_KINDS, EventKind, parse_declaration
from portfolio_pipelines.chains.protocols.events import BadLogError, Event, decode_log, decode_logs

ROOT = Path(__file__).parents[4]
EVENTS = (ROOT / os.environ.get("PORTFOLIO_SHARED_DATA", "../shared/data") / "events").resolve()
real = pytest.mark.skipif(not EVENTS.is_dir(), reason="needs events/ in PORTFOLIO_SHARED_DATA")

WALLET = "0x" + "31089ef6f99fb83f95178dbbf08a7a4bf2ec9fd2"
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


def log_of(topics: list[str], data: object, **fields: Any) -> dict[str, Any]:
    return {
        "address": "0x" + "ab" * 20,
        "topics": topics,
        "data": data,
        "blockNumber": "0xfc0345",
        "transactionHash": "0x" + "7c" * 32,
        "logIndex": "0x13b",
        "removed": False,
    } | fields


def topic(address: str) -> str:
    return "0x" + address.removeprefix("0x").zfill(64)


def transfer(value: object = "0x" + "493e0".zfill(64), **fields: Any) -> dict[str, Any]:
    return log_of([TRANSFER, topic(WALLET), topic("0x01")], value) | fields


@st.composite
def logs(draw: st.DrawFn) -> tuple[EventKind, dict[str, Any], dict[str, Any]]:
    """An event, its arguments, and the log that its contract would emit."""
    kind = draw(st.sampled_from(EVENT_KINDS))
    arguments = {field.name: draw(_value(field.type)) for field in kind.fields}
    words = [encode([field.type], [arguments[field.name]]).hex() for field in kind.fields]
    topics = [kind.topic0, *("0x" + word for word in words[: kind.indexed])]
    return kind, arguments, log_of(topics, "0x" + "".join(words[kind.indexed :]))


def _value(kind: str) -> st.SearchStrategy[Any]:
    if kind == "address":
        return st.binary(min_size=20, max_size=20).map(lambda address: "0x" + address.hex())
    if kind == "bool":
        return st.booleans()
    bits = int(kind.removeprefix("u").removeprefix("int"))
    if kind.startswith("uint"):
        return st.integers(0, 2**bits - 1)
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


@real
def test_recorded_receipts_decode_to_exactly_the_expected_events() -> None:
    listed = json.loads((EVENTS / "topic0.json").read_text())
    expected = {item["tx_hash"]: item for item in json.loads((EVENTS / "expected_events_dev.json").read_text())}
    with gzip.open(EVENTS / "receipts_dev.jsonl.gz", "rt") as lines:
        receipts = [json.loads(line) for line in lines]
    assert {receipt["receipt"]["transactionHash"] for receipt in receipts} == expected.keys()
    for item in receipts:
        events, bad = decode_logs(str(item["chain_id"]), item["receipt"]["logs"])
        assert bad == []
        wanted = expected[item["receipt"]["transactionHash"]]
        assert {event.block_number for event in events} <= {wanted["block"]}
        unlisted = {event.protocol for event in events if _topic0(event) not in listed}
        assert unlisted <= {"weth"}  # wrapping is not among the listed signatures
        assert [_as_recorded(event) for event in events if _topic0(event) in listed] == wanted["events"]


def _topic0(event: Event) -> str:
    names = tuple(event.arguments)
    return next(
        kind.topic0
        for kind in EVENT_KINDS
        if (kind.protocol, kind.name) == (event.protocol, event.name) and tuple(f.name for f in kind.fields) == names
    )


def _as_recorded(event: Event) -> dict[str, Any]:
    values = {name: str(value) if type(value) is int else value for name, value in event.arguments.items()}
    head = {"log_index": event.log_index, "address": event.address, "protocol": event.protocol, "event": event.name}
    return {**head, "args": values}


@real
def test_every_listed_signature_is_known_under_its_topic() -> None:
    listed = json.loads((EVENTS / "topic0.json").read_text())
    known = {kind.topic0: kind.signature for kind in EVENT_KINDS}
    assert listed.items() <= known.items()


def test_every_topic_is_the_hash_of_its_signature() -> None:
    for kind in EVENT_KINDS:
        assert kind.topic0 == "0x" + keccak(kind.signature.encode()).hex(), kind.signature


def test_no_two_events_share_their_topic_and_their_number_of_indexed_arguments() -> None:
    assert len({(kind.topic0, kind.indexed) for kind in EVENT_KINDS}) == len(EVENT_KINDS)


@pytest.mark.parametrize("declaration", ["Transfer", "A(string text)", "A(uint256[] many)", "A(address)", "A()("])
def test_a_declaration_with_other_than_static_arguments_is_refused(declaration: str) -> None:
    with pytest.raises(ValueError, match="static arguments"):
        parse_declaration("p", TRANSFER, declaration)


@given(logs())
def test_any_value_of_any_event_comes_back_exactly(case: tuple[EventKind, dict[str, Any], dict[str, Any]]) -> None:
    kind, arguments, log = case
    event = decode_log("ethereum", log)
    assert event is not None
    assert (event.protocol, event.name, event.arguments) == (kind.protocol, kind.name, arguments)
    assert [type(value) for value in event.arguments.values()] == [type(value) for value in arguments.values()]


def test_a_transfer_of_a_token_and_of_an_nft_are_told_apart_by_their_indexed_arguments() -> None:
    token = decode_log("ethereum", transfer())
    nft = decode_log("ethereum", log_of([TRANSFER, topic(WALLET), topic("0x01"), topic("0x086745")], "0x"))
    assert token is not None
    assert nft is not None
    assert (token.protocol, token.arguments["value"]) == ("erc20", 300000)
    assert (nft.protocol, nft.arguments["tokenId"]) == ("erc721", 550725)


def test_an_event_carries_where_it_happened_in_lower_case_and_whether_it_was_taken_back() -> None:
    event = decode_log("gnosis", transfer(address="0x" + "AB" * 20, transactionHash="0x" + "7C" * 32, removed=True))
    assert event is not None
    assert (event.chain, event.block_number, event.log_index) == ("gnosis", 16515909, 315)
    assert (event.address, event.transaction, event.removed) == ("0x" + "ab" * 20, "0x" + "7c" * 32, True)


@pytest.mark.parametrize(
    "log",
    [
        log_of([], "0x"),
        log_of(["0x" + "11" * 32], "0x" + "00" * 32),
        log_of([TRANSFER], "0x" + "00" * 96),  # a token from before indexed arguments
        log_of([TRANSFER, topic(WALLET)], "0x" + "00" * 64),
    ],
)
def test_a_log_of_no_known_event_is_none(log: dict[str, Any]) -> None:
    assert decode_log("ethereum", log) is None


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (transfer("0x"), "32 bytes of data, not 0"),
        (transfer("0x" + "00" * 31), "32 bytes of data, not 31"),
        (transfer("0x" + "00" * 33), "32 bytes of data, not 33"),
        (transfer("0x" + "00" * 500_000), "not 500000"),
        (transfer("0x" + "0" * 63), "not 31.5"),
        (transfer("0x" + "zz" * 32), "not a log of JSON-RPC"),
        (transfer("0x" + "1 " * 32), "blanks|not a log"),
        (transfer("0x" + "1_" * 32), "not a log of JSON-RPC"),
        (transfer("00" * 33), "without 0x"),
        (transfer(None), "not a log of JSON-RPC"),
        (transfer(5), "not a log of JSON-RPC"),
        (transfer(address=None), "not a log of JSON-RPC"),
        (transfer(address="0xab"), "wrong length"),
        (transfer(address="ab" * 21), "without 0x"),
        (transfer(transactionHash="0x12"), "wrong length"),
        (transfer(blockNumber=None), "blockNumber is no quantity"),  # pending
        (transfer(logIndex="0x-1"), "logIndex is no quantity"),
        (transfer(logIndex=1), "not a log of JSON-RPC"),
        (transfer(logIndex="0x" + "1" * 60), "logIndex is no quantity"),
        (transfer(topics=[TRANSFER, "0x" + "11" * 32, topic(WALLET)]), "from is not an address"),
        (transfer(topics=[TRANSFER, topic(WALLET), 7]), "not a log of JSON-RPC"),
        (transfer(topics=[None]), "not a log of JSON-RPC"),
        (transfer(topics="0xddf2"), None),
        ({}, "not a log of JSON-RPC"),
        ({"topics": 5}, "not a log of JSON-RPC"),
    ],
)
def test_a_log_that_cannot_be_true_is_an_error(log: dict[str, Any], reason: str | None) -> None:
    if reason is None:
        assert decode_log("ethereum", log) is None
        return
    with pytest.raises(BadLogError, match=reason):
        decode_log("ethereum", log)


@pytest.mark.parametrize(
    ("name", "position", "word", "reason"),
    [
        ("Swap", 4, "01".zfill(2) + "00" * 31, "tick is outside of its type"),
        ("Swap", 4, "800000".zfill(64), "tick is outside of its type"),  # 2^23 without its sign
        ("Swap", 3, "01" + "00" * 31, "liquidity is greater"),
        ("Swap", 2, "1".ljust(41, "0").zfill(64), "sqrtPriceX96 is greater"),
    ],
)
def test_dirty_padding_is_an_error_and_not_a_number(name: str, position: int, word: str, reason: str) -> None:
    kind = next(kind for kind in EVENT_KINDS if (kind.protocol, kind.name) == ("univ3_pool", name))
    words = ["00" * 32] * kind.words
    words[position] = word
    with pytest.raises(BadLogError, match=reason):
        decode_log("base", log_of([kind.topic0, topic(WALLET), topic(WALLET)], "0x" + "".join(words)))


def test_a_bool_that_is_neither_true_nor_false_is_an_error() -> None:
    kind = next(kind for kind in EVENT_KINDS if kind.name == "Repay")
    data = "0x" + "00" * 32 + "2".zfill(64)
    with pytest.raises(BadLogError, match="useATokens is neither"):
        decode_log("base", log_of([kind.topic0, *[topic(WALLET)] * 3], data))


def test_an_error_names_chain_transaction_and_log() -> None:
    with pytest.raises(BadLogError) as caught:
        decode_log("gnosis", transfer("0x"))
    assert str(caught.value).startswith(f"gnosis, transaction 0x{'7c' * 32}, log 0x13b: erc20 Transfer")
    assert (caught.value.chain, caught.value.transaction, caught.value.log_index) == (
        "gnosis",
        "0x" + "7c" * 32,
        "0x13b",
    )


def test_a_bad_log_costs_only_itself() -> None:
    events, bad = decode_logs("ethereum", [transfer(), transfer("0x"), log_of([], "0x"), transfer()])
    assert len(events) == 2
    assert [error.log_index for error in bad] == ["0x13b"]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=80)
    | st.from_regex(r"0x[0-9a-f]{0,140}", fullmatch=True),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@given(
    logs(), st.sampled_from(["address", "topics", "data", "blockNumber", "transactionHash", "logIndex"]), json_values
)
def test_whatever_replaces_a_field_gives_an_error_or_none_or_an_event_that_says_the_same(
    case: tuple[EventKind, dict[str, Any], dict[str, Any]], field: str, value: object
) -> None:
    _, _, log = case
    _never_wrong(log | {field: value})


@given(logs(), st.data())
def test_cut_or_lengthened_or_changed_hex_never_gives_a_wrong_number(
    case: tuple[EventKind, dict[str, Any], dict[str, Any]], data: st.DataObject
) -> None:
    _, _, log = case
    text = log["data"]
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, len(text)))
    middle = data.draw(st.text("0123456789abcdefABCDEFxX_ +-\n٣", max_size=stop - start + 2))
    _never_wrong(log | {"data": text[:start] + middle + text[stop:]})


def _never_wrong(log: dict[str, Any]) -> None:
    """Either it is refused, or re-encoding the event gives the very bytes of the log."""
    try:
        event = decode_log("ethereum", log)
    except BadLogError:
        return
    if event is None:
        return
    kind = next(k for k in EVENT_KINDS if (k.topic0, k.indexed) == (log["topics"][0].lower(), len(log["topics"]) - 1))
    words = [encode([field.type], [event.arguments[field.name]]).hex() for field in kind.fields]
    assert "".join(words) == "".join(part[2:].lower() for part in [*log["topics"][1:], log["data"]])
    assert event.log_index == int(log["logIndex"], 16)
    assert event.block_number == int(log["blockNumber"], 16)
    assert event.address == log["address"].lower()
