from collections.abc import Callable

import pytest

from portfolio_pipelines.market.conversation import (
    MOST_FAILURES,
    MOST_REFUSALS,
    Conversation,
    Failure,
    NoAnswerError,
    StatusError,
    outcome_of_status,
)
from portfolio_pipelines.market.limiter import Limiter
from portfolio_pipelines.market.quotes import Outcome


class Provider:
    """Answers from a script; counts what reaches it."""

    def __init__(self, *script: object) -> None:
        self.script, self.asked = list(script), 0

    def __call__(self) -> object:
        self.asked += 1
        said = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(said, Exception):
            raise said
        return said


class Time:
    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def talk(time: Time) -> Callable[..., Conversation]:
    def make(secret: str | None = None) -> Conversation:
        return Conversation(Limiter("provider", 60, clock=time, sleep=time.sleep, random=lambda: 0.5), secret)

    return make


def failed(reply: object | Failure) -> Failure:
    assert isinstance(reply, Failure)
    return reply


def test_a_refused_request_is_repeated_until_it_is_answered(talk: Callable[..., Conversation]) -> None:
    provider = Provider(StatusError(429, retry_after="20"), StatusError(429), {"ok": 1})
    assert talk().ask(provider) == {"ok": 1}
    assert provider.asked == 3


def test_endless_refusals_end_as_rate_limited_and_the_rest_is_not_asked(talk: Callable[..., Conversation]) -> None:
    conversation, provider = talk(), Provider(StatusError(429, b"slow down"))
    assert failed(conversation.ask(provider)).outcome is Outcome.RATE_LIMITED
    rest = failed(conversation.ask(provider))
    assert (rest.outcome, provider.asked) == (Outcome.RATE_LIMITED, MOST_REFUSALS)
    assert rest.detail == "not asked after: status 429: slow down"


def test_a_retry_after_of_a_day_is_not_waited_for(talk: Callable[..., Conversation]) -> None:
    provider = Provider(StatusError(429, retry_after="86400"))
    assert failed(talk().ask(provider)).outcome is Outcome.RATE_LIMITED
    assert provider.asked == 1


def test_without_connection_one_attempt_is_all(talk: Callable[..., Conversation]) -> None:
    conversation, provider = talk(), Provider(NoAnswerError("no connection", connected=False))
    answers = [failed(conversation.ask(provider)) for _ in range(500)]
    assert {answer.outcome for answer in answers} == {Outcome.UNREACHABLE}
    assert provider.asked == 1


def test_a_time_out_is_repeated_once(talk: Callable[..., Conversation]) -> None:
    provider = Provider(NoAnswerError("no reply", connected=True), {"ok": 1})
    assert talk().ask(provider) == {"ok": 1}


def test_a_server_that_stays_silent_ends_the_call(talk: Callable[..., Conversation]) -> None:
    conversation, provider = talk(), Provider(NoAnswerError("no reply", connected=True))
    assert failed(conversation.ask(provider)).outcome is Outcome.UNREACHABLE
    conversation.ask(provider)
    assert provider.asked == 2


def test_one_request_that_fails_does_not_end_the_call(talk: Callable[..., Conversation]) -> None:
    conversation = talk()
    assert failed(conversation.ask(Provider(StatusError(500)))).outcome is Outcome.UNREACHABLE
    assert conversation.ask(Provider({"ok": 1})) == {"ok": 1}


def test_a_server_that_fails_every_request_is_left_alone(talk: Callable[..., Conversation]) -> None:
    conversation, provider = talk(), Provider(StatusError(503))
    outcomes = {failed(conversation.ask(provider)).outcome for _ in range(20)}
    assert outcomes == {Outcome.UNREACHABLE}
    assert provider.asked == MOST_FAILURES + 2


def test_a_server_that_is_down_does_not_hold_a_run_up_for_minutes(
    talk: Callable[..., Conversation], time: Time
) -> None:
    conversation, provider, start = talk(), Provider(StatusError(503)), time()
    for _ in range(20):
        conversation.ask(provider)
    assert time() - start < 60


def test_a_body_that_is_not_json_is_invalid_and_not_repeated(talk: Callable[..., Conversation]) -> None:
    provider = Provider(ValueError("Expecting value"))
    assert failed(talk().ask(provider)).outcome is Outcome.INVALID
    assert provider.asked == 1


def test_what_the_provider_says_back_never_contains_the_key(talk: Callable[..., Conversation]) -> None:
    provider = Provider(StatusError(404, b"Cannot GET /s3cret/coins"))
    assert failed(talk(secret="s3cret").ask(provider)).detail == "status 404: Cannot GET /…/coins"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (401, Outcome.UNAUTHORISED),
        (403, Outcome.UNAUTHORISED),
        (404, Outcome.NO_DATA),
        (422, Outcome.NO_DATA),
        (429, Outcome.RATE_LIMITED),
        (302, Outcome.UNREACHABLE),
        (500, Outcome.UNREACHABLE),
        (503, Outcome.UNREACHABLE),
        (400, Outcome.INVALID),
    ],
)
def test_every_status_has_an_outcome(status: int, outcome: Outcome) -> None:
    assert outcome_of_status(status) is outcome
