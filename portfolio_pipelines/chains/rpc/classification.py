"""What the error of a node means: which of our errors it becomes.

Belongs here: the shapes in which providers say no. Nodes agree on few codes (-32005 is a rate limit at one provider
and a range limit at another; -32000 is everything), so words decide where codes do not. No I/O.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final

from portfolio_pipelines.chains.rpc.answers import NodeError, hex_bytes
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
from portfolio_pipelines.chains.rpc.questions import Question

LONGEST_MESSAGE: Final = 300  # some nodes print the whole request into their errors


def _words(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns))


_REVERTED: Final = _words(
    "revert", "vm execution error", r"invalid\w* ?opcode", "invalid ?jump", "stack ?(under|over)flow", "vm exception",
    "bad instruction", "opcode .* not defined", "opcodenotfound", "write protection", "assertion failed",
    "statechangeduringstaticcall", "callnotallowedinsidestatic",
)  # fmt: skip
_QUOTA: Final = _words(
    "monthly (capacity|quota|request)", "payment required", "daily (request|quota|limit)", "quota",
    "(invalid|missing|disabled|inactive|expired|unknown|revoked) (api )?key", "api key (is|not|disabled|invalid)",
    "unauthori[sz]ed", "must be authenticated", "authentication", "does not have access", "access denied",
    "project id (is )?(required|disabled|invalid)", "subscription", "upgrade your (plan|account|tier)", "forbidden",
)  # fmt: skip
_RATE: Final = _words(
    "rate.?limit", "too many requests", "request rate", "(requests|units|credits|calls) per (second|minute)",
    r"/ ?s(ec(ond)?)?\b", "throughput", "request limit reached", "request limit exceeded", "throttl", "slow down",
    "exceeded its compute units", "call rate", "capacity exceeded", "limit exceeded", "max (calls|rps)", "backoff",
    "exceeded .{0,40}per second",
)  # fmt: skip
_STATE: Final = _words(
    "missing trie node", "header not found", "block not found", "unknown block", "no state available",
    "state (0x[0-9a-f]+ )?(is )?(not |un)available", "historical state", "state histories", "prun(ed|ing)",
    "archive", "could not find block", "cannot find block", "blockoutofrange", "block is out of range",
    "block height .*(beyond|out of)", "beyond (current )?head", "after last accepted block", "greater than latest",
    "after the latest block", "block .* (does not|doesn't) exist", "proof window", "state already discarded",
    "not (yet )?(been )?(synced|indexed)", "resource not found", "(oldest|earliest) (available )?block",
    "block with (such|this) (number|id)", "header for hash not found", "first available block",
)  # fmt: skip
_UNSUPPORTED: Final = _words(
    "method .{0,60}(not found|does not exist|not (available|supported|allowed|whitelisted|enabled)|disabled)",
    "unsupported method", "not implemented", "too many arguments", "invalid number of (input )?param",
    "override.{0,40}(not|un)", "(not|un)supported", "unknown method", "unknown field",
)  # fmt: skip
_GATEWAY: Final = _words(
    "no backend", "upstream", "bad gateway", "gateway time", "service unavailable", "internal server error",
    "connection (refused|reset|closed)", "temporar", "internal json-rpc error", "node is (down|syncing)",
    "no available", "unhealthy", "backend .{0,40}(fail|error|down)", "try again", "timed? ?out", "context deadline",
    "overloaded",
)  # fmt: skip
_CALL_TOO_MUCH: Final = _words(
    "out ?of ?gas", "gas (required )?exceeds", "gas limit", "gas too (high|large)", "exceeds block gas", "timed? ?out",
    "execution aborted", "timeout", "context deadline", "too large", "too big", "response size", "initcode",
    "codesizelimit", "createcontractsizelimit", "code size", "contract size", "memory limit", "max(imum)? .{0,20}size",
    "exceeds? .{0,30}(size|limit)",
)  # fmt: skip
_LOGS_TOO_MUCH: Final = _words(
    "range", "results?\\b", "too (large|many|big|wide|much)", "more than", "limit", "exceed", "max(imum)?\\b",
    "response size", "timed? ?out", "timeout", "context deadline", "distance", "narrow", "at most", "block count",
)  # fmt: skip
_BODY_TOO_MUCH: Final = _words(
    "(body|content|payload|request|entity|message) .{0,20}too (large|big|long)", "(body|request|payload).{0,20}size",
    "batch", "too many (requests|calls) in", "invalid request.{0,5}$",
)  # fmt: skip
_NO_SUCH_BLOCK: Final = _words(
    "beyond (current )?head", "block not found", "unknown block", "header not found", "fromblock .{0,40}toblock",
)  # fmt: skip
_COUNTS_RESULTS: Final = _words("results", "logs? ", "log entries", "events", "response size", "bytes", "items")
_LOG_CODES: Final = frozenset(
    {-32000, -32001, -32005, -32011, -32012, -32600, -32602, -32603, -32614, -32701, 0, 35, 400}
)
_RATE_CODES: Final = frozenset({429, -32005, -32007, -32012, -32016, -32029, -32090, -32097, -32605})

_PROPOSED: Final = re.compile(r"range:?\s*\[?\s*(0x[0-9a-f]+|\d+)\s*(?:,|-|to|\.\.)\s*(0x[0-9a-f]+|\d+)")
_NUMBER: Final = re.compile(r"(?<![0-9a-zx.])(\d{1,3}(?:[,_]\d{3})+|\d+)(\s?k\b)?")
_PAUSE: Final = re.compile(r"(?:try again|retry)[^.\d]{0,20}?(?:in|after)\s*([\d.]+)\s*(ms|s|m)?\b")
_HEX_DATA: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*")


@dataclass(frozen=True, slots=True)
class Where:
    """Whom an error names."""

    chain: str
    endpoint: str


def error_of(where: Where, error: NodeError, question: Question, *, status: int = 200) -> RpcError:
    """Our error for the error object of a node.

    Args:
        where: The chain and the endpoint.
        error: What the node said, already free of secrets.
        question: What it was asked.
        status: HTTP status that it came with.
    """
    text = f"{error.message} {error.data if isinstance(error.data, str) else ''}".lower()
    shown = f"{error.message[:LONGEST_MESSAGE]} (code {error.code}{f', HTTP {status}' if status >= 400 else ''})"
    names = where.chain, where.endpoint
    is_call = question.method in {"eth_call", "eth_estimateGas"}
    if status == 413 or error.code == -32614:
        return TooMuch(*names, shown, *_suggestion(text, question))
    if status in {401, 402, 403} or error.code in {401, 402, 403}:
        return QuotaExhausted(*names, shown)
    if is_call and (error.code == 3 or _REVERTED.search(text)) and not re.search("out ?of ?gas", text):
        return Reverted(*names, shown, _revert_data(error.data))
    if question.method == "eth_getLogs" and error.code in _LOG_CODES and _refuses_logs(text):
        return TooMuch(*names, shown, *_suggestion(text, question))
    if is_call and _CALL_TOO_MUCH.search(text):
        return TooMuch(*names, shown)
    if _QUOTA.search(text):
        return QuotaExhausted(*names, shown)
    if status == 429 or _RATE.search(text) or (error.code in _RATE_CODES and not _STATE.search(text)):
        pause, allowed = _pace_of(error, text)
        return RateLimited(*names, shown, pause, allowed)
    if _STATE.search(text):
        return StateUnavailable(*names, shown)
    if error.code == -32601 or _UNSUPPORTED.search(text):
        return Unsupported(*names, shown)
    if question.overrides_code and error.code in {-32602, -32600}:
        return Unsupported(*names, shown)  # the third parameter is what such a node does not understand
    if _BODY_TOO_MUCH.search(text):
        return TooMuch(*names, shown)
    if status >= 500 or error.code == -32603 or _GATEWAY.search(text):
        return Unreachable(*names, shown)
    if error.code in {-32600, -32602, -32700}:
        return InvalidRequest(*names, shown)
    return RpcError(*names, shown)


def error_of_status(where: Where, status: int, pause: float | None) -> RpcError:
    """Our error for an HTTP status without an error object of a node."""
    names = where.chain, where.endpoint
    shown = f"HTTP {status}"
    if status == 429 or (status == 503 and pause is not None):
        return RateLimited(*names, shown, pause)
    if status in {401, 402, 403}:
        return QuotaExhausted(*names, shown)
    if status == 413:
        return TooMuch(*names, shown)
    return Unreachable(*names, shown)


def pause_of(header: str | None, now: float) -> float | None:
    """Seconds that a Retry-After header asks for, seen from `now` (seconds since the epoch).

    Returns:
        At least 0; None when there is no header or it is neither a number nor an HTTP date.
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            when = parsedate_to_datetime(header)
        except (ValueError, IndexError, TypeError, OverflowError):
            return None
        seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _revert_data(data: Any) -> bytes:
    """What a reverted call returned. It comes as hex, as "Reverted 0x...", or inside an object."""
    if isinstance(data, Mapping):
        return _revert_data(data.get("data", data.get("output", data.get("result"))))
    if not isinstance(data, str):
        return b""
    text = data.removeprefix("Reverted ").strip()
    return hex_bytes(text) if _HEX_DATA.fullmatch(text) else b""


def _refuses_logs(text: str) -> bool:
    """Whether the words are about the size of a search for logs, not about pace or a block that is not there."""
    if _NO_SUCH_BLOCK.search(text):
        return False
    about_size = re.search(r"range|results?\b|blocks|response size|logs|block count|distance", text)
    about_pace = _RATE.search(text) or _QUOTA.search(text)
    return bool(about_size or (_LOGS_TOO_MUCH.search(text) and not about_pace))


def _suggestion(text: str, question: Question) -> tuple[tuple[int, int] | None, int | None]:
    """The range that a node proposes, and the number of blocks that it names as its limit.

    A proposal counts only if it is a strictly smaller part of the range asked: some nodes propose the same again.
    """
    asked = question.log_range
    if asked is None or asked[1] <= asked[0]:
        return None, None
    first, last = asked
    limit = _limit_on_blocks(text, last - first + 1, {first, last, last - first, last - first + 1})
    proposed = _PROPOSED.search(text)
    if proposed is not None:
        low, high = (int(number, 0) for number in proposed.groups())
        if low == first and low <= high < last:
            return (low, high), None
    return (None, None) if limit is None else ((first, first + limit - 1), limit)


def _limit_on_blocks(text: str, blocks: int, echoed: set[int]) -> int | None:
    """The largest number of blocks that a text names as allowed; None when it counts something else."""
    if not re.search("range|blocks|distance", text):
        return None
    if _COUNTS_RESULTS.search(text.replace("eth_getlogs", "")):
        return None
    limits = [
        int(re.sub("[,_]", "", digits)) * (1000 if thousands else 1) for digits, thousands in _NUMBER.findall(text)
    ]
    fitting = [limit for limit in limits if 1 <= limit < blocks and limit not in echoed]
    return max(fitting, default=None)


def _pace_of(error: NodeError, text: str) -> tuple[float | None, float | None]:
    """Seconds to wait and requests a second allowed, where an error says them."""
    facts: Any = error.data
    if isinstance(facts, Mapping) and isinstance(facts.get("rate"), Mapping):
        facts = facts["rate"]
    pause = allowed = None
    if isinstance(facts, Mapping):
        pause = _positive(facts.get("backoff_seconds"))
        allowed = _positive(facts.get("allowed_rps"))
    named = _PAUSE.search(text)
    if pause is None and named is not None:
        unit = {"ms": 0.001, "m": 60.0}.get(named.group(2) or "s", 1.0)
        pause = _positive(float(named.group(1).strip(".") or 0) * unit if named.group(1).count(".") < 2 else None)
    return pause, allowed


def _positive(value: Any) -> float | None:
    """A finite number above zero; Infura's backoff of 0 says nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        return None
    return float(value)
