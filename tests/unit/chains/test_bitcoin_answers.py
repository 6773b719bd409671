"""Hostile answers of Esplora servers: an error that names chain and server, never a wrong number."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portfolio_pipelines.chains.bitcoin import answers
from portfolio_pipelines.chains.bitcoin.transport import below
from portfolio_pipelines.chains.endpoint_pool import Where
from portfolio_pipelines.chains.rpc.endpoints import Address
from portfolio_pipelines.chains.rpc.errors import (
    BadAnswer,
    InvalidRequest,
    RpcError,
    StateUnavailable,
    TooMuch,
    Unreachable,
)
from portfolio_pipelines.chains.rpc.transport import Reply

WHERE = Where("bitcoin", "explorer.example", Address("https://explorer.example/a-very-secret-key"))
WHO = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"
A, B, C = "a" * 64, "b" * 64, "c" * 64

Reader = Callable[[Any], Any]
STATS = {"funded_txo_count": 3, "funded_txo_sum": 30, "spent_txo_count": 1, "spent_txo_sum": 10, "tx_count": 4}
EMPTY = dict.fromkeys(STATS, 0)
GOOD: dict[str, tuple[Any, Reader, Any]] = {
    "stats": (
        {"address": WHO, "chain_stats": STATS, "mempool_stats": EMPTY},
        lambda value: answers.stats_of(value, WHERE, WHO).confirmed.balance,
        20,
    ),
    "unspent": (
        [{"txid": A, "vout": 0, "value": 5}, {"txid": A, "vout": 1, "value": 6}],
        lambda value: answers.unspent_of(value, WHERE),
        (2, 11),
    ),
    "effects": (
        [
            {
                "txid": A,
                "vin": [{"prevout": {"scriptpubkey_address": WHO, "value": 9}}, {"prevout": None, "is_coinbase": True}],
                "vout": [{"scriptpubkey_address": WHO, "value": 2}, {"value": 0}],
                "status": {"confirmed": True, "block_height": 8},
            }
        ],
        lambda value: [(effect.height, effect.change) for effect in answers.effects_of(value, WHERE, WHO)],
        [(8, -7)],
    ),
    "blocks": (
        [
            {"id": A, "height": 7, "timestamp": 90, "mediantime": 80, "previousblockhash": B},
            {"id": B, "height": 6, "timestamp": 95, "mediantime": 79, "previousblockhash": C},
        ],
        lambda value: [dated.block.number for dated in answers.blocks_of(value, WHERE, 7)],
        [7, 6],
    ),
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


def paths_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(deeper for key, child in children for deeper in paths_in(child, (*path, key)))]


def outcome(read: Reader, value: Any) -> tuple[Any, str | None]:
    try:
        return read(value), None
    except RpcError as error:
        return None, str(error)


@pytest.mark.parametrize("kind", GOOD)
def test_a_good_answer_is_believed(kind: str) -> None:
    value, read, expected = GOOD[kind]
    assert read(value) == expected


@pytest.mark.parametrize("name", ["vin", "vout"])
@pytest.mark.parametrize("nothing", [None, 7, "", []])
def test_a_transaction_of_nothing_is_refused(name: str, nothing: object) -> None:
    good, read, _ = GOOD["effects"]
    value = json.loads(json.dumps(good))
    value[0][name][0] = nothing
    with pytest.raises(RpcError, match=r"^bitcoin at explorer\.example: "):
        read(value)


@given(st.data(), st.sampled_from(sorted(GOOD)), JSON)
def test_a_spoiled_answer_is_refused_by_name_or_says_what_it_says(data: st.DataObject, kind: str, poison: Any) -> None:
    good, read, _ = GOOD[kind]
    value = json.loads(json.dumps(good))
    path = data.draw(st.sampled_from([path for path in paths_in(good) if path]))
    parent = value
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = poison
    said, error = outcome(read, value)
    if error is not None:
        assert error.startswith("bitcoin at explorer.example: ")
        assert "secret" not in error
    elif kind == "stats":
        assert said == value["chain_stats"]["funded_txo_sum"] - value["chain_stats"]["spent_txo_sum"]
        assert type(said) is int
    elif kind == "unspent":
        assert said == (len(value), sum(row["value"] for row in value))


@given(JSON)
@example([])
@example({})
def test_anything_else_is_refused(value: Any) -> None:
    for kind in ("stats", "blocks"):
        _, error = outcome(GOOD[kind][1], value)
        assert error is not None
        assert error.startswith("bitcoin at explorer.example: ")


@pytest.mark.parametrize(
    "lie",
    [
        {"funded_txo_sum": 9},  # spent more than received
        {"funded_txo_sum": 10 + answers.MOST_SATOSHI + 1},  # more than exists
        {"spent_txo_count": 4},  # spent more outputs than received
        {"spent_txo_count": 3},  # a balance without an output
        {"tx_count": 0},  # received without a transaction
        {"funded_txo_sum": 30.0},
        {"funded_txo_sum": True},
        {"funded_txo_sum": "30"},
        {"funded_txo_sum": -30},
    ],
)
def test_sums_that_cannot_be_are_refused(lie: dict[str, Any]) -> None:
    value = {"address": WHO, "chain_stats": STATS | lie, "mempool_stats": EMPTY}
    with pytest.raises(BadAnswer, match=r"explorer\.example"):
        answers.stats_of(value, WHERE, WHO)


def test_an_answer_about_another_address_is_refused() -> None:
    value = {"address": "1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "chain_stats": STATS, "mempool_stats": EMPTY}
    with pytest.raises(BadAnswer, match=f"for {WHO}"):
        answers.stats_of(value, WHERE, WHO)


def test_an_output_listed_twice_is_refused() -> None:
    row = {"txid": A, "vout": 0, "value": 5}
    with pytest.raises(BadAnswer, match="twice"):
        answers.unspent_of([row, row], WHERE)


def test_transactions_of_somebody_else_unconfirmed_or_out_of_order_are_refused() -> None:
    (good,) = GOOD["effects"][0]
    for rows, why in (
        ([good | {"vin": [], "vout": []}], "nothing to do with"),
        ([good | {"vin": [{"prevout": None}]}], "without value"),
        ([good | {"status": {"confirmed": False}}], "among the confirmed"),
        ([good, good | {"status": {"confirmed": True, "block_height": 9}}], "newer than"),
    ):
        with pytest.raises(BadAnswer, match=why):
            answers.effects_of(rows, WHERE, WHO)


def test_blocks_that_do_not_follow_each_other_are_refused() -> None:
    first, second = GOOD["blocks"][0]
    for rows in ([second, first], [first, second | {"id": C}], [first, second | {"height": 5}], [second]):
        with pytest.raises(BadAnswer, match="block"):
            answers.blocks_of(rows, WHERE, 7)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(404, b"Block not found"), StateUnavailable),
        (Reply(400, b"Too many history entries"), TooMuch),
        (Reply(400, b"Invalid Bitcoin address a-very-secret-key"), InvalidRequest),
        (Reply(200, b"<html>a-very-secret-key"), Unreachable),
    ],
)
def test_replies_without_an_answer_are_sorted_by_what_to_do(reply: Reply, kind: type[RpcError]) -> None:
    with pytest.raises(kind, match=r"^bitcoin at explorer\.example: ") as caught:
        answers.json_of(reply, WHERE)
    assert "secret" not in str(caught.value)


def test_the_path_and_query_of_a_server_are_kept() -> None:
    assert below("https://host/api/?key=1", "/blocks/tip/hash") == "https://host/api/blocks/tip/hash?key=1"
