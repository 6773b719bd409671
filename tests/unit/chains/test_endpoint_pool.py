"""Endpoints of a chain: pace, tries, standing in for each other, and rest after failures. Time is virtual."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from portfolio_pipelines.chains.endpoint_pool import EndpointPool, Where, in_parallel
from portfolio_pipelines.chains.rpc.endpoints import Address, EndpointSettings
from portfolio_pipelines.chains.rpc.errors import (
    BadAnswer,
    InvalidRequest,
    QuotaExhausted,
    RateLimited,
    StateUnavailable,
    TooMuch,
    Unreachable,
)
from portfolio_pipelines.chains.rpc.pacing import Pacers
from portfolio_pipelines.chains.rpc.transport import AnswerTooLong, Reply, TransportFault
from tests.integration.chains.loopback import virtual_clock

GOOD = Reply(200, b"good")
FIRST, SECOND = "https://first.example/secret-key-1", "https://second.example/secret-key-2"


class World:
    """Servers by host, which say what they are told to, and remember when they were asked."""

    def __init__(self, *urls: str, per_second: float = 100.0) -> None:
        self.clock = virtual_clock()
        self.sent: list[tuple[str, float]] = []
        self.says: dict[str, Callable[[], Reply]] = {}
        endpoints = [EndpointSettings(url, per_second) for url in urls]
        self.pool = EndpointPool("bitcoin", endpoints, clock=self.clock, pacers=Pacers())

    async def send(self, address: Address) -> Reply:
        self.sent.append((address.host, self.clock.monotonic()))
        await asyncio.sleep(0)
        return self.says.get(address.host, lambda: GOOD)()

    def ask(self, read: Callable[[Reply, Where], Any] = lambda reply, _: reply.body, at: str | None = None) -> Any:
        return asyncio.run(self.pool.ask(self.send, read, at=at))

    def hosts(self) -> Counter[str]:
        return Counter(host for host, _ in self.sent)


def failing() -> Reply:
    msg = "connection refused"
    raise TransportFault(msg)


def test_a_chain_needs_an_endpoint() -> None:
    with pytest.raises(ValueError, match="bitcoin: a chain without an endpoint"):
        World()


def test_no_second_holds_more_requests_than_the_rate() -> None:
    world = World(FIRST, per_second=20)

    async def job() -> None:
        await world.pool.ask(world.send, lambda reply, _: reply.body)

    asyncio.run(in_parallel([job] * 200))
    times = [time for _, time in world.sent]
    assert len(times) == 200
    assert max(sum(start <= time < start + 1 for time in times) for start in times) <= 20


def test_two_endpoints_share_the_work() -> None:
    world = World(FIRST, SECOND)

    async def job() -> None:
        await world.pool.ask(world.send, lambda reply, _: reply.body)

    asyncio.run(in_parallel([job] * 100))
    assert min(world.hosts().values()) > 30


def test_another_endpoint_stands_in_for_one_that_is_down() -> None:
    world = World(FIRST, SECOND)
    world.says["first.example"] = failing
    assert [world.ask() for _ in range(8)] == [b"good"] * 8


def test_an_endpoint_that_fails_in_a_row_is_left_alone_for_a_while_and_then_tried_again() -> None:
    world = World(FIRST, SECOND)
    world.says["first.example"] = failing

    async def jobs() -> None:
        for _ in range(40):
            await world.pool.ask(world.send, lambda reply, _: reply.body)

    asyncio.run(jobs())
    assert world.hosts()["first.example"] == 5
    assert world.pool.names() == ["second.example", "first.example"]
    del world.says["first.example"]
    asyncio.run(world.clock.sleep(3_600))  # type: ignore[arg-type]
    asyncio.run(jobs())
    assert world.hosts()["first.example"] > 10


def test_many_readers_of_a_lone_endpoint_outlast_its_restart() -> None:
    world = World(FIRST)
    world.says["first.example"] = lambda: failing() if world.clock.monotonic() < 3 else GOOD
    done = []

    async def job() -> None:
        done.append(await world.pool.ask(world.send, lambda reply, _: reply.body))

    asyncio.run(in_parallel([job] * 100))
    assert done == [b"good"] * 100


def test_an_endpoint_that_stays_down_ends_the_reading() -> None:
    world = World(FIRST)
    world.says["first.example"] = failing
    with pytest.raises(Unreachable, match=r"^bitcoin at first\.example: connection refused$"):
        world.ask()
    assert 2 <= len(world.sent) <= 6
    with pytest.raises(Unreachable, match="bitcoin at"):
        world.ask()


def test_a_wish_to_wait_is_granted() -> None:
    world = World(FIRST)
    replies = [Reply(429, b"", "7"), GOOD]
    world.says["first.example"] = lambda: replies.pop(0)
    assert world.ask() == b"good"
    first, second = (time for _, time in world.sent)
    assert second - first >= 7


def test_an_endpoint_that_wants_an_hour_is_not_waited_for() -> None:
    world = World(FIRST)
    world.says["first.example"] = lambda: Reply(503, b"", "3600")
    with pytest.raises(RateLimited, match=r"first\.example"):
        world.ask()
    assert world.clock.monotonic() < 60
    assert len(world.sent) == 1


def test_a_used_up_plan_is_not_asked_again_soon() -> None:
    world = World(FIRST, SECOND)
    world.says["first.example"] = lambda: Reply(402, b"")
    assert [world.ask() for _ in range(5)] == [b"good"] * 5
    assert world.hosts()["first.example"] == 1
    lonely = World(FIRST)
    lonely.says["first.example"] = lambda: Reply(401, b"")
    with pytest.raises(QuotaExhausted, match="HTTP 401"):
        lonely.ask()
    assert len(lonely.sent) == 1


def test_a_refusal_that_is_final_is_not_repeated() -> None:
    world = World(FIRST, SECOND)

    def refuse(_: Reply, where: Where) -> None:
        raise InvalidRequest(where.chain, where.endpoint, "no")

    with pytest.raises(InvalidRequest):
        world.ask(refuse)
    assert len(world.sent) == 1


@pytest.mark.parametrize("kind", [BadAnswer, StateUnavailable])
def test_an_answer_that_is_not_believed_is_asked_for_elsewhere(kind: type[BadAnswer]) -> None:
    world = World(FIRST, SECOND)

    def doubt(reply: Reply, where: Where) -> bytes:
        if where.endpoint == "first.example":
            raise kind(where.chain, where.endpoint, "hm")
        return reply.body

    assert world.ask(doubt) == b"good"
    with pytest.raises(kind):
        world.ask(doubt, at="first.example")


@pytest.mark.parametrize(
    ("reply", "kind"),
    [(Reply(413, b""), TooMuch), (Reply(500, b"secret-key-1"), Unreachable), (Reply(302, b""), Unreachable)],
)
def test_statuses_are_sorted_by_what_to_do(reply: Reply, kind: type[Exception]) -> None:
    world = World(FIRST)
    world.says["first.example"] = lambda: reply
    with pytest.raises(kind) as caught:
        world.ask()
    assert "secret" not in str(caught.value)


def test_an_answer_without_end_is_too_much() -> None:
    world = World(FIRST)

    def endless() -> Reply:
        msg = "the answer has more than 10 bytes"
        raise AnswerTooLong(msg)

    world.says["first.example"] = endless
    with pytest.raises(TooMuch):
        world.ask()


def test_the_first_failure_of_parallel_jobs_ends_the_others() -> None:
    started = []

    async def job(number: int) -> None:
        started.append(number)
        await asyncio.sleep(0)
        if number == 3:
            msg = "three"
            raise KeyError(msg)

    async def run() -> None:
        await in_parallel([lambda number=number: job(number) for number in range(1_000)], width=4)  # type: ignore[misc]

    with pytest.raises(KeyError, match="three"):
        asyncio.run(run())
    assert len(started) < 20
