"""What a reply of an endpoint amounts to: a result, or one of our errors.

Belongs here: the way from status and body to either. Not here: JSON-RPC itself (`answers`), or what errors of nodes
mean (`classification`). Whatever an endpoint says is cleaned of the secrets of its URL on this way.
"""

from collections.abc import Callable, Sequence
from typing import Any

from portfolio_pipelines.chains.rpc.answers import FalseAnswer, NodeError, NotAnAnswer, decode, decode_batch, error_in
from portfolio_pipelines.chains.rpc.classification import Where, error_of, error_of_status, pause_of
from portfolio_pipelines.chains.rpc.endpoints import Address
from portfolio_pipelines.chains.rpc.errors import BadAnswer, RateLimited, RpcError, Unreachable
from portfolio_pipelines.chains.rpc.questions import Question
from portfolio_pipelines.chains.rpc.transport import Reply


class ReplyReader:
    """Reads the replies of one endpoint."""

    def __init__(self, where: Where, address: Address, wall: Callable[[], float]) -> None:
        """Read for an endpoint; `wall` gives seconds since the epoch, against which dates are read."""
        self._where, self._address, self._wall = where, address, wall

    def one(self, reply: Reply, question: Question, request_id: int) -> Any:
        """The result of one request.

        Raises:
            RpcError: If there is none.
        """
        self._refuse_http_errors(reply, question)
        try:
            result = decode(reply.body, question, request_id)
        except (NotAnAnswer, FalseAnswer) as fault:
            raise self._fault(fault, reply) from None
        if isinstance(result, NodeError):
            raise self._node_error(result, question, reply)
        return result

    def many(self, reply: Reply, questions: Sequence[Question], first_id: int) -> list[Any]:
        """The result or the RpcError of each request of a batch.

        Raises:
            RpcError: If the batch was refused as a whole, or there is no answer to it.
        """
        self._refuse_http_errors(reply, questions[0])
        try:
            outcomes = decode_batch(reply.body, questions, first_id)
        except (NotAnAnswer, FalseAnswer) as fault:
            raise self._fault(fault, reply) from None
        if isinstance(outcomes, NodeError):
            raise self._node_error(outcomes, questions[0], reply)
        return [self._element(outcome, question, reply) for outcome, question in zip(outcomes, questions, strict=True)]

    def _element(self, outcome: Any, question: Question, reply: Reply) -> Any:
        if isinstance(outcome, NodeError):
            return self._node_error(outcome, question, reply)
        return self._fault(outcome, reply) if isinstance(outcome, FalseAnswer) else outcome

    def _refuse_http_errors(self, reply: Reply, question: Question) -> None:
        if 200 <= reply.status < 300:
            return
        error = error_in(reply.body)
        if error is None:
            raise error_of_status(self._where, reply.status, pause_of(reply.retry_after, self._wall()))
        raise self._node_error(error, question, reply)

    def _node_error(self, error: NodeError, question: Question, reply: Reply) -> RpcError:
        hide = self._address.hide
        data = hide(error.data) if isinstance(error.data, str) else error.data
        ours = error_of(self._where, NodeError(error.code, hide(error.message), data), question, status=reply.status)
        if isinstance(ours, RateLimited) and ours.retry_after is None:
            ours.retry_after = pause_of(reply.retry_after, self._wall())
        return ours

    def _fault(self, fault: NotAnAnswer | FalseAnswer, reply: Reply) -> RpcError:
        kind = Unreachable if isinstance(fault, NotAnAnswer) else BadAnswer
        return kind(self._where.chain, self._where.endpoint, f"{fault} (HTTP {reply.status})")
