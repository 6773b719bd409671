"""The shapes in which providers say no, as they were seen, and what each means to us."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from portfolio_pipelines.chains.rpc.answers import NodeError
from portfolio_pipelines.chains.rpc.classification import Where, error_of, error_of_status, pause_of
from portfolio_pipelines.chains.rpc.endpoints import Address
from portfolio_pipelines.chains.rpc.errors import (
    InvalidRequest,
    QuotaExhausted,
    RateLimited,
    Reverted,
    RpcError,
    StateUnavailable,
    TooMuch,
    Unreachable,
    Unsupported,
)
from portfolio_pipelines.chains.rpc.questions import READS, Question
from portfolio_pipelines.chains.rpc.replies import ReplyReader
from portfolio_pipelines.chains.rpc.transport import Reply

ROOT = Path(__file__).parents[4]
REAL = (ROOT / os.environ.get("PORTFOLIO_SHARED_DATA", "../shared/data") / "providers").resolve()

WHERE = Where("somechain", "node.example")
CALL = Question("eth_call", [{"to": "0x" + "11" * 20, "data": "0x"}, "0x10"])
OVERRIDE = Question("eth_call", [*CALL.params, {}])
LOGS = Question("eth_getLogs", [{"fromBlock": hex(1_000_000), "toBlock": hex(1_999_999)}])
BALANCE = Question("eth_getBalance", ["0x" + "11" * 20, "0x10"])
SEND = Question("eth_sendRawTransaction", ["0x00"])

INFURA = {
    "rate": {"allowed_rps": 50, "backoff_seconds": 3.5, "current_rps": 52.3},
    "see": "https://infura.io/dashboard",
}

MEANINGS: list[tuple[type[RpcError], Question, int, str, Any, int]] = [
    # pace
    (RateLimited, CALL, -32005, "project ID request rate exceeded", INFURA, 429),
    (
        RateLimited,
        CALL,
        429,
        "Your app has exceeded its compute units per second capacity.",
        None,
        429,
    ),
    (RateLimited, CALL, -32012, "credits limited to 6000/sec", None, 200),
    (RateLimited, CALL, -32000, '{"code":-32016,"message":"over rate limit"}', None, 200),
    (RateLimited, LOGS, -32016, "over rate limit", None, 200),
    (RateLimited, LOGS, -32005, "project ID request rate exceeded", INFURA, 200),
    (RateLimited, BALANCE, -32605, "Request rate exceeded", None, 200),
    (RateLimited, BALANCE, -32007, "50/second request limit reached - reduce calls per second or upgrade", None, 200),
    (RateLimited, BALANCE, -32090, "Too many requests, reason: call rate limit exhausted, retry in 10s", None, 200),
    (RateLimited, BALANCE, -32005, "limit exceeded", None, 200),
    # plans
    (QuotaExhausted, CALL, 402, "Payment Required", None, 402),
    (QuotaExhausted, CALL, -32000, "Monthly capacity limit exceeded. Visit the dashboard to upgrade", None, 200),
    (QuotaExhausted, CALL, -32600, "Must be authenticated!", None, 401),
    (QuotaExhausted, CALL, -32000, "invalid api key", None, 200),
    (QuotaExhausted, BALANCE, -32005, "daily request count exceeded, request rate limited", None, 200),
    # size
    (TooMuch, CALL, -32000, "out of gas", None, 200),
    (TooMuch, CALL, -32003, "EVM error: OutOfGas", None, 200),
    (TooMuch, CALL, -32000, "gas required exceeds allowance (50000000)", None, 200),
    (TooMuch, CALL, -32000, "execution aborted (timeout = 5s)", None, 200),
    (TooMuch, CALL, -32000, "max initcode size exceeded: code size 60000 limit 49152", None, 200),
    (TooMuch, CALL, -32003, "EVM error CreateContractSizeLimit", None, 200),
    (TooMuch, BALANCE, 0, "Request Entity Too Large", None, 413),
    (TooMuch, LOGS, -32614, "eth_getLogs is limited to a 10,000 range", None, 413),
    (TooMuch, LOGS, -32005, "query returned more than 10000 results", None, 200),
    (TooMuch, LOGS, -32602, "range 1000000 exceeds limit of 10000", None, 200),
    (TooMuch, LOGS, -32602, "range limit 2000", None, 200),
    (TooMuch, LOGS, -32000, "max block range = 5000", None, 200),
    (TooMuch, LOGS, -32000, "block range is too wide", None, 400),
    (TooMuch, LOGS, -32000, "query timeout exceeded", None, 200),
    (TooMuch, LOGS, -32000, "logs matched by query exceeds limit of 10000", None, 200),
    (TooMuch, LOGS, -32701, "exceed maximum block range: 50000", None, 200),
    (TooMuch, LOGS, 35, "ranges over 10000 blocks are not supported on freetier", None, 400),
    (TooMuch, LOGS, -32000, "backend response too large", None, 200),
    # state
    (StateUnavailable, CALL, -32000, "missing trie node 00 (path ) <nil>", None, 200),
    (StateUnavailable, CALL, -32000, "header not found", None, 200),
    (StateUnavailable, CALL, -32002, "No state available for block 36600 (0x98)", None, 200),
    (StateUnavailable, CALL, -32602, "BlockOutOfRangeError: block height is 5 but requested was 10", None, 200),
    (StateUnavailable, BALANCE, -32000, "required historical state unavailable (reexec=128)", None, 200),
    (StateUnavailable, CALL, -32000, "state 0xe5 is not available", None, 200),
    (StateUnavailable, LOGS, -32000, "block range extends beyond current head block", None, 200),
    (StateUnavailable, BALANCE, -32000, "this block has been pruned, use an archive node", None, 200),
    # abilities
    (Unsupported, BALANCE, -32601, "the method eth_getBalance does not exist/is not available", None, 200),
    (Unsupported, OVERRIDE, -32602, "too many arguments, want at most 2", None, 200),
    (Unsupported, OVERRIDE, -32602, "invalid length 3, expected 2 elements", None, 200),
    # the call itself
    (Reverted, CALL, 3, "execution reverted: rate limit exceeded", "0x08c379a0", 200),
    (Reverted, CALL, -32000, "execution reverted", None, 200),
    (Reverted, CALL, -32015, "VM execution error.", "Reverted 0x08c379a0", 200),
    (Reverted, CALL, -32603, "VM Exception while processing transaction: revert", {"data": "0x08c379a0"}, 200),
    (Reverted, CALL, -32000, "invalid opcode: opcode 0x5f not defined", None, 200),
    (Reverted, CALL, -32003, "EVM error InvalidFEOpcode", None, 200),
    (Reverted, CALL, -32003, "EVM error OpcodeNotFound", None, 200),
    (Reverted, CALL, -32003, "EVM error StackUnderflow", None, 200),
    (Reverted, CALL, -32003, "EVM error StackOverflow", None, 200),
    (Reverted, CALL, -32003, "EVM error InvalidJump", None, 200),
    (Reverted, CALL, -32003, "EVM error StateChangeDuringStaticCall", None, 200),
    # us
    (InvalidRequest, BALANCE, -32602, "invalid argument 0: hex string has length 38, want 40", None, 200),
    (InvalidRequest, SEND, -32600, "malformed", None, 200),
    # them
    (Unreachable, CALL, -32011, "no backend is currently healthy to serve traffic", None, 503),
    (Unreachable, CALL, -32603, "Internal JSON-RPC error.", None, 200),
    (Unreachable, BALANCE, -32000, "upstream request failed", None, 502),
    (Unreachable, BALANCE, -32002, "request timed out", None, 200),
    (RpcError, BALANCE, -32000, "something nobody has seen before", None, 200),
]


@pytest.mark.parametrize(
    ("kind", "question", "code", "message", "data", "status"), MEANINGS, ids=[f"{row[3][:40]}" for row in MEANINGS]
)
def test_what_a_node_says_means(
    kind: type[RpcError], question: Question, code: int, message: str, data: Any, status: int
) -> None:
    error = error_of(WHERE, NodeError(code, message, data), question, status=status)
    assert type(error) is kind
    assert str(error).startswith("somechain at node.example: ")


@pytest.mark.parametrize(
    ("status", "pause", "kind"),
    [
        (429, None, RateLimited),
        (429, 7.0, RateLimited),
        (503, 7.0, RateLimited),
        (503, None, Unreachable),
        (500, None, Unreachable),
        (502, None, Unreachable),
        (301, None, Unreachable),
        (404, None, Unreachable),
        (401, None, QuotaExhausted),
        (402, None, QuotaExhausted),
        (403, None, QuotaExhausted),
        (413, None, TooMuch),
    ],
)
def test_a_status_without_words_means(status: int, pause: float | None, kind: type[RpcError]) -> None:
    error = error_of_status(WHERE, status, pause)
    assert type(error) is kind
    if isinstance(error, RateLimited):
        assert error.retry_after == pause


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("0x08c379a0", b"\x08\xc3\x79\xa0"),
        ("Reverted 0x08c379a0", b"\x08\xc3\x79\xa0"),
        ({"data": "0x08c379a0", "txHash": "0x1"}, b"\x08\xc3\x79\xa0"),
        ("0x", b""),
        (None, b""),
        ("0x123", b""),
        ("not hex", b""),
        (7, b""),
    ],
)
def test_a_revert_carries_what_the_call_returned(data: Any, expected: bytes) -> None:
    error = error_of(WHERE, NodeError(3, "execution reverted", data), CALL)
    assert isinstance(error, Reverted)
    assert error.data == expected


@pytest.mark.parametrize(
    ("message", "data", "pause", "allowed"),
    [
        ("project ID request rate exceeded", INFURA, 3.5, 50.0),
        ("request rate exceeded", {"allowed_rps": 1, "backoff_seconds": 30}, 30.0, 1.0),
        ("request rate exceeded", {"rate": {"allowed_rps": 50, "backoff_seconds": 0}}, None, 50.0),
        ("rate limit, try again in 250ms", None, 0.25, None),
        ("call rate limit exhausted, retry in 10s", None, 10.0, None),
        ("too many requests. retry after 2 m", None, 120.0, None),
        ("over rate limit", None, None, None),
        ("over rate limit", {"backoff_seconds": "soon", "allowed_rps": True}, None, None),
    ],
)
def test_a_rate_limit_says_how_long_and_how_fast(
    message: str, data: Any, pause: float | None, allowed: float | None
) -> None:
    error = error_of(WHERE, NodeError(-32005, message, data), BALANCE, status=429)
    assert isinstance(error, RateLimited)
    assert error.retry_after == (None if pause is None else pytest.approx(pause))
    assert error.allowed_per_second == allowed


@pytest.mark.parametrize(
    ("message", "suggested", "largest"),
    [
        ("eth_getLogs is limited to a 10,000 range", (1_000_000, 1_009_999), 10_000),
        ("range 1000000 exceeds limit of 10000", (1_000_000, 1_009_999), 10_000),
        ("range limit 2000", (1_000_000, 1_001_999), 2_000),
        ("max block range = 5000", (1_000_000, 1_004_999), 5_000),
        ("You can make eth_getLogs requests with up to a 2K block range", (1_000_000, 1_001_999), 2_000),
        ("requested too many blocks from 1000000 to 1999999, maximum is set to 500", (1_000_000, 1_000_499), 500),
        ("query exceeds max results 20000, retry with the range 1000000-1000300", (1_000_000, 1_000_300), None),
        ("Try with this block range [0xF4240, 0xF4250].", (1_000_000, 1_000_016), None),
        ("query exceeds max results 20000, retry with the range 1000000-1999999", None, None),  # the same again
        ("query exceeds max results 20000, retry with the range 999999-1000300", None, None),  # not a part of it
        ("query returned more than 10000 results", None, None),
        ("block range is too wide", None, None),
    ],
)
def test_a_range_limit_suggests_a_strictly_smaller_range(
    message: str, suggested: tuple[int, int] | None, largest: int | None
) -> None:
    error = error_of(WHERE, NodeError(-32602, message), LOGS)
    assert isinstance(error, TooMuch)
    assert error.suggested == suggested
    assert error.largest == largest


def test_a_search_of_one_block_gets_no_suggestion() -> None:
    one = Question("eth_getLogs", [{"fromBlock": "0x5", "toBlock": "0x5"}])
    error = error_of(WHERE, NodeError(-32005, "query returned more than 10000 results, range limit 1"), one)
    assert isinstance(error, TooMuch)
    assert error.suggested is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("Wed, 21 Oct 2026 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2026 07:20:00 GMT", 0.0),
        ("soon", None),
        ("nan", None),
        (None, None),
    ],
)
def test_retry_after_comes_as_seconds_or_as_a_date(header: str | None, expected: float | None) -> None:
    assert pause_of(header, 1_792_567_680.0) == expected


def test_a_long_message_is_cut_and_keys_in_it_are_hidden() -> None:
    address = Address("https://node.example/v3/0123456789abcdef")
    reader = ReplyReader(WHERE, address, lambda: 0.0)
    message = "key 0123456789abcdef " + "x" * 5_000
    body = json.dumps({"id": 1, "error": {"code": -32000, "message": message}}).encode()
    with pytest.raises(RpcError) as caught:
        reader.one(Reply(200, body), BALANCE, 1)
    assert "0123456789abcdef" not in str(caught.value)
    assert len(str(caught.value)) < 500


def real_replies() -> list[dict[str, Any]]:
    path = REAL / "jsonrpc_real.jsonl.gz"
    if not path.is_file():
        pytest.skip("needs providers/jsonrpc_real.jsonl.gz in PORTFOLIO_SHARED_DATA")
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


def test_every_recorded_reply_of_real_providers_is_read_as_json_reads_it() -> None:
    seen = 0
    for recorded in real_replies():
        asked, said = json.loads(recorded["request_body"]), json.loads(recorded["body"])
        host = recorded["url"].split("/")[2]
        reader = ReplyReader(Where("recorded", host), Address(f"https://{host}/"), lambda: 0.0)
        question = Question(asked["method"], asked["params"], as_bytes=asked["method"] == "eth_call")
        assert question.is_read
        reply = Reply(recorded["status"], recorded["body"].encode())
        if "error" in said:
            expected = Reverted if said["error"]["code"] == 3 else StateUnavailable
            with pytest.raises(expected) as caught:
                reader.one(reply, question, asked["id"])
            if isinstance(caught.value, Reverted):
                assert caught.value.data == bytes.fromhex(said["error"]["data"][2:])
        else:
            result = reader.one(reply, question, asked["id"])
            assert ("0x" + result.hex() if isinstance(result, bytes) else result) == said["result"]
            with pytest.raises(RpcError, match=f"recorded at {host}: "):
                reader.one(reply, question, asked["id"] + 1)
            with pytest.raises(RpcError, match=f"recorded at {host}: "):
                reader.one(Reply(200, reply.body.rstrip()[:-1]), question, asked["id"])
        seen += 1
    assert seen == 458


def test_refusals_of_a_provider_that_are_no_json_rpc_are_sorted_too() -> None:
    path = REAL / "alchemy_real.jsonl"
    if not path.is_file():
        pytest.skip("needs providers/alchemy_real.jsonl in PORTFOLIO_SHARED_DATA")
    reader = ReplyReader(WHERE, Address("https://node.example/"), lambda: 0.0)
    for line in path.read_text().splitlines():
        recorded = json.loads(line)
        with pytest.raises(RpcError, match=r"somechain at node\.example"):
            reader.one(Reply(recorded["status"], recorded["body"].encode()), BALANCE, 1)


def test_nothing_that_changes_a_chain_counts_as_a_read() -> None:
    changing = ("send", "sign", "mine", "set", "revert", "reset", "submit", "new", "uninstall", "subscribe")
    assert [method for method in READS if any(word in method.lower() for word in changing)] == []
    assert not SEND.is_read
    assert not Question("anvil_setBalance", []).is_read
