"""What can go wrong when a node is asked, sorted by what to do about it.

Every error names the chain and the endpoint. Endpoints are named without the secrets of their URL.
"""
# ruff: noqa: N818 (the names say what happened; that they are errors is plain where they are raised)


class RpcError(RuntimeError):
    """A node did not give what was asked.

    Args:
        chain: Name of the chain.
        endpoint: Name of the endpoint (its host; never its path or key), or "all endpoints".
        message: What happened, in words.
    """

    def __init__(self, chain: str, endpoint: str, message: str) -> None:
        super().__init__(f"{chain} at {endpoint}: {message}")
        self.chain = chain
        self.endpoint = endpoint
        self.message = message


class Unreachable(RpcError):
    """No answer: connection, time-out, 5xx, or something that is not JSON-RPC. Another endpoint may answer."""


class RateLimited(RpcError):
    """The endpoint wants fewer requests; `retry_after` says for how many seconds, where it said so.

    `allowed_per_second` is the pace that it names, where it does.
    """

    def __init__(
        self,
        chain: str,
        endpoint: str,
        message: str,
        retry_after: float | None = None,
        allowed_per_second: float | None = None,
    ) -> None:
        super().__init__(chain, endpoint, message)
        self.retry_after = retry_after
        self.allowed_per_second = allowed_per_second


class QuotaExhausted(RpcError):
    """The endpoint's plan is used up or the key is refused: no use to ask it again soon."""


class TooMuch(RpcError):
    """The request is too big for this endpoint: gas, range, body or number of results. A smaller one may pass.

    `suggested` is the block range that the node proposes, where it does; `largest` the number of blocks that it names
    as the limit of any range.
    """

    def __init__(
        self,
        chain: str,
        endpoint: str,
        message: str,
        suggested: tuple[int, int] | None = None,
        largest: int | None = None,
    ) -> None:
        super().__init__(chain, endpoint, message)
        self.suggested = suggested
        self.largest = largest


class StateUnavailable(RpcError):
    """The endpoint no longer (or not yet) has the state of that block. An archive node may."""


class Unsupported(RpcError):
    """The endpoint does not know the method or a parameter of it."""


class Reverted(RpcError):
    """The call itself failed on chain. Final: asking elsewhere gives the same. `data` is what it returned."""

    def __init__(self, chain: str, endpoint: str, message: str, data: bytes = b"") -> None:
        super().__init__(chain, endpoint, message)
        self.data = data


class InvalidRequest(RpcError):
    """The node says that our request makes no sense. Final."""


class BadAnswer(RpcError):
    """The answer has the form of one, but cannot be true: truncated, oversized, of another block or request."""
