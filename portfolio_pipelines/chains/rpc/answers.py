"""From the bytes of a body to results and errors of a node, or to the finding that it is neither.

Belongs here: JSON-RPC 2.0 as nodes really write it. Not here: what an error means (`classification`).

Answers of `eth_call` are megabytes of hex. In the usual spellings the hex is taken straight out of the body: the head
and the tail are matched, and what is between must be hex to the last digit, so there is nothing left to be parsed.
"""
# ruff: noqa: N818 (see errors)

import re
from binascii import Error as HexError
from binascii import unhexlify
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from portfolio_pipelines.chains.rpc.questions import Question

_HEAD: Final = re.compile(
    rb'\s{0,8}\{\s{0,8}(?:"jsonrpc"\s{0,8}:\s{0,8}"2\.0"\s{0,8},\s{0,8})?'
    rb'(?:"id"\s{0,8}:\s{0,8}(\d{1,18})\s{0,8},\s{0,8})?"result"\s{0,8}:\s{0,8}"0x'
)
_TAIL: Final = re.compile(
    rb'\s{0,8}(?:,\s{0,8}"jsonrpc"\s{0,8}:\s{0,8}"2\.0"\s{0,8})?(?:,\s{0,8}"id"\s{0,8}:\s{0,8}(\d{1,18})\s{0,8})?'
    rb'(?:,\s{0,8}"jsonrpc"\s{0,8}:\s{0,8}"2\.0"\s{0,8})?\}\s{0,8}'
)
_LONGEST_TAIL: Final = 128
_WORTH_IT: Final = 1024  # below this many bytes parsing is as fast


class NotAnAnswer(ValueError):
    """The body is not JSON-RPC at all: a page, a proxy's text, nothing."""


class FalseAnswer(ValueError):
    """The body has the form of an answer, but cannot be the one to our request."""


@dataclass(frozen=True, slots=True)
class NodeError:
    """The error object of an answer."""

    code: int
    message: str
    data: Any = None


def encode(question: Question, request_id: int) -> bytes:
    """The body of one request."""
    return orjson.dumps(_request(question, request_id))


def encode_batch(questions: Sequence[Question], first_id: int) -> bytes:
    """The body of several requests; their ids count up from `first_id`."""
    return orjson.dumps([_request(question, first_id + place) for place, question in enumerate(questions)])


def _request(question: Question, request_id: int) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "method": question.method, "params": list(question.params)}


def decode(body: bytes, question: Question, request_id: int) -> Any:
    """The result, or the `NodeError`, of one request.

    Returns:
        The result, of the form that its method has (bytes where the question wants them), or a NodeError.

    Raises:
        NotAnAnswer: If the body is not JSON-RPC.
        FalseAnswer: If it is cut off, answers another request or has a result of the wrong form.
    """
    if question.as_bytes and len(body) >= _WORTH_IT:
        data = _data_of(body, request_id)
        if data is not None:
            return data
    return _outcome(_parse(body), question, request_id)


def decode_batch(body: bytes, questions: Sequence[Question], first_id: int) -> list[Any] | NodeError:
    """Results of several requests in the order asked.

    Returns:
        For each the result, a NodeError, or a FalseAnswer where its answer is missing or false; or one NodeError when
        the node refused the batch as a whole.

    Raises:
        NotAnAnswer: If the body is not JSON-RPC.
        FalseAnswer: If it is cut off or is no batch.
    """
    parsed = _parse(body)
    if isinstance(parsed, dict):
        error = _error_of(parsed)
        if error is not None:
            return error
        msg = "a single answer to a batch"
        raise FalseAnswer(msg)
    by_id: dict[int, dict[str, Any]] = {}
    for answer in parsed:
        request_id = answer.get("id") if isinstance(answer, dict) else None
        if type(request_id) is int:
            if request_id in by_id:
                msg = f"two answers to request {request_id} of a batch"
                raise FalseAnswer(msg)
            by_id[request_id] = answer
    if not by_id and len(parsed) == 1 and isinstance(parsed[0], dict) and (error := _error_of(parsed[0])) is not None:
        return error  # some nodes refuse a batch inside a list
    outcomes: list[Any] = []
    for place, question in enumerate(questions):
        try:
            outcomes.append(_outcome(by_id.get(first_id + place, {}), question, first_id + place))
        except FalseAnswer as fault:
            outcomes.append(fault)
    return outcomes


def hex_bytes(text: str) -> bytes:
    """Bytes of 0x and an even number of hex digits, nothing else.

    Raises:
        ValueError: If it is anything else. (`bytes.fromhex` would skip blanks.)
    """
    if not text.startswith("0x"):
        msg = "hex data without 0x"
        raise ValueError(msg)
    try:
        return unhexlify(text[2:])
    except HexError:
        msg = "hex data with other characters, or half a byte"
        raise ValueError(msg) from None


def error_in(body: bytes) -> NodeError | None:
    """The error object of a body that came with an HTTP error, if it has one."""
    try:
        parsed = orjson.loads(body)
    except ValueError:
        return None
    if isinstance(parsed, list) and len(parsed) == 1:
        parsed = parsed[0]
    return _error_of(parsed) if isinstance(parsed, dict) else None


def _data_of(body: bytes, request_id: int) -> bytes | None:
    head = _HEAD.match(body)
    end = body.rfind(b'"result"', -_LONGEST_TAIL)  # a tail that holds the key again is not the usual spelling
    if head is None or end >= 0:
        return None
    start = len(body) - _LONGEST_TAIL
    quote = body.find(b'"', max(start, head.end()))
    tail = _TAIL.fullmatch(body, quote + 1) if quote >= 0 else None
    if tail is None:
        return None
    ids = [found for found in (head.group(1), tail.group(1)) if found is not None]
    if len(ids) != 1 or int(ids[0]) != request_id:
        return None  # the slow way finds the words for what is wrong
    try:
        return unhexlify(memoryview(body)[head.end() : quote])
    except HexError:
        return None


def _parse(body: bytes) -> Any:
    try:
        parsed = orjson.loads(body)
    except ValueError:
        if body.lstrip()[:1] in {b"{", b"["}:
            msg = f"the JSON of {len(body)} bytes is cut off or broken"
            raise FalseAnswer(msg) from None
        msg = "the body is empty" if not body.strip() else "the body is not JSON"
        raise NotAnAnswer(msg) from None
    if not isinstance(parsed, dict | list):
        msg = "the body is JSON, but not an answer"
        raise NotAnAnswer(msg)
    return parsed


def _outcome(answer: Any, question: Question, request_id: int) -> Any:
    if not isinstance(answer, dict):
        msg = "a list where one answer belongs"
        raise FalseAnswer(msg)
    error = _error_of(answer)
    given = answer.get("id")
    if error is not None and given is None:
        return error  # a node that could not read the request does not know its id
    if type(given) is not int or given != request_id:
        msg = "the answer is missing" if not answer else "the answer belongs to another request"
        raise FalseAnswer(msg)
    if error is not None:
        return error
    if "result" not in answer:
        msg = "an answer without a result"
        raise FalseAnswer(msg)
    result = answer["result"]
    fault = question.fault_of(result)
    if fault is not None:
        raise FalseAnswer(fault)
    return hex_bytes(result) if question.as_bytes and isinstance(result, str) else result


def _error_of(answer: dict[str, Any]) -> NodeError | None:
    error = answer.get("error")
    if error is None:
        # Gateways answer for the node with {"code": ..., "message": ...} or {"message": ...}, without an envelope.
        if "result" in answer or not isinstance(answer.get("message"), str):
            return None
        error = answer
    if isinstance(error, str):
        return NodeError(0, error)
    if not isinstance(error, dict):
        return NodeError(0, "an error without words")
    code, message = error.get("code"), error.get("message")
    words = message if isinstance(message, str) else "an error without words"
    return NodeError(code if type(code) is int else 0, words, error.get("data"))
