"""What a node of Solana says, checked: the envelope, accounts, slots. An answer that cannot be true is refused.

Belongs here: JSON to values, and errors of nodes to our kinds of errors. Not here: asking (`client`), and what account
data means (`token_accounts`).
"""

from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from portfolio_pipelines.chains.endpoint_pool import Where
from portfolio_pipelines.chains.rpc.errors import (
    BadAnswer,
    InvalidRequest,
    QuotaExhausted,
    RateLimited,
    RpcError,
    StateUnavailable,
    Unreachable,
    Unsupported,
)
from portfolio_pipelines.chains.rpc.transport import Reply
from portfolio_pipelines.chains.solana.addresses import solana_address_bytes

LARGEST_U64: Final = 2**64 - 1

# Source: the custom errors of Agave's JSON-RPC, and what providers put in front of it.
_NOT_THERE: Final = {
    -32001,  # block cleaned up
    -32004,  # block not available
    -32005,  # node is unhealthy or behind
    -32007,  # slot skipped, or missing after a snapshot
    -32009,  # slot skipped, or missing in long-term storage
    -32014,  # block status not yet available
    -32016,  # minimum context slot not reached
}
_ERRORS: Final[dict[int, type[RpcError]]] = {
    **dict.fromkeys(_NOT_THERE, StateUnavailable),
    429: RateLimited,
    -32429: RateLimited,
    401: QuotaExhausted,
    402: QuotaExhausted,
    403: QuotaExhausted,
    -32401: QuotaExhausted,
    -32403: QuotaExhausted,
    -32010: Unsupported,  # key excluded from the account secondary indexes
    -32011: Unsupported,  # transaction history not available
    -32601: Unsupported,
    -32600: InvalidRequest,
    -32602: InvalidRequest,
}


@dataclass(frozen=True, slots=True)
class Account:
    """An account as it stood in some slot."""

    lamports: int
    owner: str  # the program that the account belongs to
    data: bytes


def result_of(reply: Reply, where: Where, request_id: int) -> Any:
    """The result in a reply.

    Raises:
        RpcError: If the node refused, or this is no answer to that request.
    """
    import orjson

    try:
        envelope = orjson.loads(reply.body)
    except ValueError:
        shown = where.words(reply.body[:100].decode("utf-8", "replace"))
        raise Unreachable(where.chain, where.endpoint, f"HTTP {reply.status} without JSON: {shown}") from None
    if not isinstance(envelope, dict):
        raise bad_answer(where, "no object")
    error = envelope.get("error")
    if error is not None:
        raise _refusal(error, where)
    if envelope.get("jsonrpc") != "2.0" or "result" not in envelope:
        raise bad_answer(where, f"HTTP {reply.status} without result or error")
    if envelope.get("id") != request_id or isinstance(envelope["id"], bool):
        raise bad_answer(where, f"answers request {envelope.get('id')!r}, not {request_id}")
    return envelope["result"]


def in_context(result: Any, where: Where, at_least: int) -> tuple[int, Any]:
    """The slot an answer is from, and its value.

    Raises:
        BadAnswer: If the slot is missing or older than asked for.
    """
    slot = integer(member(member(result, "context", where), "slot", where), where, "slot")
    if slot < at_least:
        raise bad_answer(where, f"the answer is of slot {slot}, older than {at_least} that was asked for")
    return slot, member(result, "value", where)


def account_of(value: Any, where: Where) -> Account:
    """An account in base 64.

    Raises:
        BadAnswer: If a part is missing, of the wrong kind, or the data is not as long as the node says.
    """
    data = member(value, "data", where)
    if not isinstance(data, list) or len(data) != 2 or data[1] != "base64" or not isinstance(data[0], str):
        raise bad_answer(where, "the data of an account is not in base 64")
    try:
        raw = a2b_base64(data[0].encode("ascii"), strict_mode=True)
    except (Base64Error, UnicodeEncodeError):
        raise bad_answer(where, "the data of an account is broken base 64") from None
    space = value.get("space")
    if space is not None and space != len(raw):
        raise bad_answer(where, f"an account of {space} bytes came with {len(raw)}")
    return Account(
        lamports=integer(member(value, "lamports", where), where, "lamports"),
        owner=address_of(member(value, "owner", where), where),
        data=raw,
    )


def accounts_of(value: Any, where: Where, asked: int) -> list[Account | None]:
    """Accounts in the order of the question; None where there is none.

    Raises:
        BadAnswer: If there are more or fewer than asked for, or one is malformed.
    """
    if not isinstance(value, list) or len(value) != asked:
        count = len(value) if isinstance(value, list) else "no list of"
        raise bad_answer(where, f"{count} accounts for {asked} that were asked for")
    return [None if entry is None else account_of(entry, where) for entry in value]


def integer(value: Any, where: Where, name: str, largest: int = LARGEST_U64) -> int:
    """A whole number between 0 and `largest`.

    Raises:
        BadAnswer: If it is anything else; also where it came as a number with a fraction or exponent.
    """
    if type(value) is not int or not 0 <= value <= largest:
        raise bad_answer(where, f"{name} is {where.words(repr(value))}, no whole number up to {largest}")
    return value


def address_of(value: Any, where: Where) -> str:
    """An address.

    Raises:
        BadAnswer: If it is none.
    """
    if isinstance(value, str):
        try:
            solana_address_bytes(value)
        except ValueError:
            pass
        else:
            return value
    raise bad_answer(where, f"{where.words(repr(value))} is no address")


def member(value: Any, name: str, where: Where) -> Any:
    """A member of a JSON object.

    Raises:
        BadAnswer: If the value is no object or has no such member.
    """
    if not isinstance(value, dict) or name not in value:
        raise bad_answer(where, f"an answer without {name}")
    return value[name]


def bad_answer(where: Where, message: str) -> BadAnswer:
    """The error for an answer that cannot be true."""
    return BadAnswer(where.chain, where.endpoint, message)


def _refusal(error: Any, where: Where) -> RpcError:
    code = error.get("code") if isinstance(error, dict) else None
    said = error.get("message") if isinstance(error, dict) else error
    kind = _ERRORS.get(code, Unreachable) if isinstance(code, int) else Unreachable
    return kind(where.chain, where.endpoint, f"{where.words(said)} (code {where.words(repr(code))})")


def rows_of(value: Any, where: Where) -> Sequence[Any]:
    """A list of anything.

    Raises:
        BadAnswer: If it is none.
    """
    if not isinstance(value, list):
        raise bad_answer(where, "an answer that is no list")
    return value
