"""Bodies of nodes, whole and hostile: the right value or a refusal, never a wrong value."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.chains.rpc.answers import (
    FalseAnswer,
    NodeError,
    NotAnAnswer,
    decode,
    decode_batch,
    encode,
    encode_batch,
)
from portfolio_pipelines.chains.rpc.classification import Where
from portfolio_pipelines.chains.rpc.endpoints import Address
from portfolio_pipelines.chains.rpc.errors import RpcError
from portfolio_pipelines.chains.rpc.questions import Question
from portfolio_pipelines.chains.rpc.replies import ReplyReader
from portfolio_pipelines.chains.rpc.transport import Reply

CALL = Question("eth_call", [{"to": "0x" + "11" * 20, "data": "0x"}, "0x1"], as_bytes=True)
HEIGHT = Question("eth_blockNumber", [])
BLOCK = Question("eth_getBlockByNumber", ["0x1", False])
LOGS = Question("eth_getLogs", [{}])
DATA = bytes(range(256)) * 20  # long enough for the way without parsing

SPELLINGS = [
    b'{"jsonrpc":"2.0","id":7,"result":"0x%s"}',
    b'{"jsonrpc":"2.0","result":"0x%s","id":7}\n',
    b'{"id":7,"jsonrpc":"2.0","result":"0x%s"}',
    b'{"result":"0x%s","id":7,"jsonrpc":"2.0"}',
    b'{"result":"0x%s","jsonrpc":"2.0","id":7}',
    b' { "jsonrpc" : "2.0" , "id" : 7 , "result" : "0x%s" } ',
]


def test_requests_are_written_as_the_protocol_wants_them() -> None:
    assert orjson.loads(encode(HEIGHT, 3)) == {"jsonrpc": "2.0", "id": 3, "method": "eth_blockNumber", "params": []}
    assert [element["id"] for element in orjson.loads(encode_batch([HEIGHT, BLOCK], 5))] == [5, 6]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("data", [b"", b"\x01", DATA], ids=["empty", "short", "long"])
def test_data_comes_out_of_every_usual_spelling(spelling: bytes, data: bytes) -> None:
    assert decode(spelling % data.hex().encode(), CALL, 7) == data
    assert decode(spelling % data.hex().upper().encode(), CALL, 7) == data


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(
    "broken",
    [
        DATA.hex().encode()[:-1],  # half a byte
        DATA.hex().encode() + b" 00",
        DATA.hex().encode() + b"zz",
        DATA.hex().encode() + b"\\n",
    ],
    ids=["half", "blank", "letters", "escape"],
)
def test_data_that_is_not_hex_to_the_last_digit_is_refused(spelling: bytes, broken: bytes) -> None:
    with pytest.raises(FalseAnswer):
        decode(spelling % broken, CALL, 7)


def test_of_two_results_the_last_counts_as_json_says() -> None:
    body = b'{"jsonrpc":"2.0","id":7,"result":"0x%s","result":"0xff"}' % DATA.hex().encode()
    assert decode(body, CALL, 7) == b"\xff"


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_answer_to_another_request_is_refused(spelling: bytes) -> None:
    with pytest.raises(FalseAnswer, match="another request"):
        decode(spelling % DATA.hex().encode(), CALL, 8)


@pytest.mark.parametrize("given_id", ["7", 7.0, True, None, [7]])
def test_an_id_of_another_type_is_another_id(given_id: object) -> None:
    with pytest.raises(FalseAnswer):
        decode(orjson.dumps({"id": given_id, "result": "0x1"}), HEIGHT, 7)
    with pytest.raises(FalseAnswer):
        decode(orjson.dumps({"id": True, "result": "0x1"}), HEIGHT, 1)


@pytest.mark.parametrize(
    ("question", "result"),
    [
        (HEIGHT, None),
        (HEIGHT, 5),
        (HEIGHT, "5"),
        (HEIGHT, "0x"),
        (HEIGHT, "0x" + "1" * 65),
        (HEIGHT, "0x1 "),
        (CALL, None),
        (CALL, "0x123"),
        (CALL, "0x12 34"),
        (CALL, {}),
        (LOGS, None),
        (LOGS, {}),
        (LOGS, ["0x1"]),
        (BLOCK, []),
        (BLOCK, "0x"),
        (Question("eth_getBalance", []), None),
    ],
)
def test_a_result_of_the_wrong_form_is_no_result(question: Question, result: object) -> None:
    with pytest.raises(FalseAnswer, match=question.method):
        decode(orjson.dumps({"id": 7, "result": result}), question, 7)


def test_a_block_that_a_node_does_not_have_is_null_and_no_fault() -> None:
    assert decode(b'{"id":7,"result":null}', BLOCK, 7) is None


@pytest.mark.parametrize("body", [b"", b"  ", b"<html>busy</html>", b"error code: 1015", b"null", b"7", b'"0x1"'])
def test_what_is_not_json_rpc_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(NotAnAnswer):
        decode(body, HEIGHT, 7)


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"id":7}', b'{"id":7,"result', b'[{"id":7,"result":"0x1"}]'])
def test_an_answer_without_its_result_is_false(body: bytes) -> None:
    with pytest.raises(FalseAnswer):
        decode(body, HEIGHT, 7)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": -32000, "message": "no"}, NodeError(-32000, "no")),
        ({"code": 3, "message": "reverted", "data": "0x08"}, NodeError(3, "reverted", "0x08")),
        ({"code": "x"}, NodeError(0, "an error without words")),
        ("too busy", NodeError(0, "too busy")),
        (["?"], NodeError(0, "an error without words")),
    ],
)
def test_errors_of_nodes_come_out_with_and_without_an_id(error: object, expected: NodeError) -> None:
    for given_id in (7, None):
        assert decode(orjson.dumps({"id": given_id, "error": error}), HEIGHT, 7) == expected
    assert decode(orjson.dumps({"id": 7, "error": error, "result": "0x5"}), HEIGHT, 7) == expected


def test_an_error_for_another_request_is_not_ours() -> None:
    with pytest.raises(FalseAnswer, match="another request"):
        decode(b'{"id":8,"error":{"code":1,"message":"no"}}', HEIGHT, 7)


def test_batches_are_put_in_the_order_asked_and_gaps_are_seen() -> None:
    body = b'[{"id":6,"result":"0x6"},{"id":5,"error":{"code":-32000,"message":"no"}},{"id":99,"result":"0x9"}]'
    first, second, third = decode_batch(body, [HEIGHT, HEIGHT, HEIGHT], 5)
    assert first == NodeError(-32000, "no")
    assert second == "0x6"
    assert isinstance(third, FalseAnswer)
    assert "missing" in str(third)


def test_a_batch_refused_as_a_whole_gives_that_error() -> None:
    refusal = b'{"id":null,"error":{"code":-32600,"message":"batch too large"}}'
    assert decode_batch(refusal, [HEIGHT, HEIGHT], 1) == NodeError(-32600, "batch too large")
    assert decode_batch(b"[" + refusal + b"]", [HEIGHT, HEIGHT], 1) == NodeError(-32600, "batch too large")


def test_two_answers_to_one_request_of_a_batch_are_refused() -> None:
    with pytest.raises(FalseAnswer, match="two answers"):
        decode_batch(b'[{"id":1,"result":"0x1"},{"id":1,"result":"0x2"}]', [HEIGHT, HEIGHT], 1)


@given(data=st.binary(max_size=3_000), spelling=st.sampled_from(SPELLINGS), cut=st.integers(0, 7_000))
def test_a_body_cut_anywhere_gives_the_value_or_nothing(data: bytes, spelling: bytes, cut: int) -> None:
    body = (spelling % data.hex().encode())[:cut]
    with suppress(FalseAnswer, NotAnAnswer):
        assert decode(body, CALL, 7) == data


@given(
    data=st.binary(min_size=600, max_size=700),
    spelling=st.sampled_from(SPELLINGS),
    place=st.floats(0, 1, exclude_max=True),
    noise=st.binary(min_size=1, max_size=30),
)
def test_noise_in_a_body_never_changes_what_json_itself_would_say(
    data: bytes, spelling: bytes, place: float, noise: bytes
) -> None:
    body = spelling % data.hex().encode()
    start = int(place * len(body))
    body = body[:start] + noise + body[start + len(noise) :]
    try:
        value = decode(body, CALL, 7)
    except (FalseAnswer, NotAnAnswer):
        return
    parsed = orjson.loads(body)
    if isinstance(value, NodeError):
        assert "error" in parsed or "message" in parsed
    else:
        assert parsed["id"] == 7
        assert value == bytes.fromhex(parsed["result"][2:])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["id", "result", "error", "code", "message", "data", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(parsed=JSON, question=st.sampled_from([CALL, HEIGHT, BLOCK, LOGS]))
def test_any_json_is_an_answer_of_the_right_form_an_error_or_a_refusal(parsed: object, question: Question) -> None:
    body = orjson.dumps(parsed)
    try:
        value = decode(body, question, 1)
    except (FalseAnswer, NotAnAnswer):
        pass
    else:
        assert isinstance(value, NodeError | bytes) or question.fault_of(value) is None
    try:
        outcomes = decode_batch(body, [question, question], 1)
    except (FalseAnswer, NotAnAnswer):
        return
    assert isinstance(outcomes, NodeError) or len(outcomes) == 2


@given(body=st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_a_refusal(body: bytes) -> None:
    for decoder in (lambda: decode(body, CALL, 1), lambda: decode_batch(body, [CALL], 1)):
        try:
            decoder()
        except (FalseAnswer, NotAnAnswer):
            continue


WHERE = Where("somechain", "node.example")


@given(
    status=st.sampled_from([200, 200, 200, 204, 302, 400, 403, 429, 500, 503]),
    body=st.binary(max_size=60)
    | JSON.map(orjson.dumps)
    | st.builds(
        lambda error, given_id: orjson.dumps({"id": given_id, "error": error}), JSON, st.sampled_from([1, 2, None])
    ),
    retry_after=st.none() | st.sampled_from(["5", "soon", "-1", "1e400"]),
    question=st.sampled_from([CALL, HEIGHT, BLOCK, LOGS]),
)
def test_any_reply_is_a_result_of_the_right_form_or_an_error_that_names_chain_and_endpoint(
    status: int, body: bytes, retry_after: str | None, question: Question
) -> None:
    reader, reply = ReplyReader(WHERE, Address("https://node.example/"), lambda: 0.0), Reply(status, body, retry_after)
    one = outcome_of(lambda: reader.one(reply, question, 1))
    many = outcome_of(lambda: reader.many(reply, [question, question], 1))
    assert status in {200, 204} or isinstance(one, RpcError)
    for outcome in [one, *(many if isinstance(many, list) else [many])]:
        if isinstance(outcome, RpcError):
            assert str(outcome).startswith("somechain at node.example: ")
        else:
            assert isinstance(outcome, bytes) or question.fault_of(outcome) is None


def outcome_of(read: Callable[[], Any]) -> Any:
    """What it gave, or the RpcError that it raised."""
    try:
        return read()
    except RpcError as error:
        return error
