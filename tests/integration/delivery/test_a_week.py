"""A week of alerts with a dispatcher that is killed again and again: all arrive, none is invented, order holds."""

import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime, timedelta
from random import Random
from typing import Any

import sqlalchemy as sa

from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.delivery.channels.letters import DELIVERED, Letter, Outcome, Result, Target
from portfolio_pipelines.delivery.dispatch import Counts, utc_now
from portfolio_pipelines.delivery.outbox import Message, idempotency_id
from portfolio_pipelines.settings import Settings
from tests.integration.delivery.conftest import KEY, Desk, Receiver, Reply, Request, message

ALERTS, HOURS, KILLS, SUBJECTS = 10_000, 168, 200, 100
PROCESSES = 3


class KilledError(BaseException):
    """Ends a dispatcher like a signal does: nothing of it runs afterwards that could save anything."""


class Reaper:
    """Kills at a point that chance chose, counted in statements, times that are read, and messages that are sent."""

    def __init__(self, draw: Random) -> None:
        self.draw = draw
        self.kills = 0
        self.points_left: int | None = None

    def arm(self) -> None:
        self.points_left = self.draw.randrange(1, 150) if self.kills < KILLS else None

    def point(self, *_: object) -> None:
        """The dispatcher may die here."""
        if self.points_left is not None:
            self.points_left -= 1
            if self.points_left == 0:
                self.kills += 1
                raise KilledError

    @contextmanager
    def watches(self, engine: sa.Engine) -> Iterator[None]:
        """Also before each statement and each commit."""
        for name in ("before_cursor_execute", "commit"):
            sa.event.listen(engine, name, self.point)
        try:
            yield
        finally:
            for name in ("before_cursor_execute", "commit"):
                sa.event.remove(engine, name, self.point)


class Inbox:
    """Receivers that are now and then busy, broken, or take a message and break the connection before they say so."""

    def __init__(self, draw: Random, reaper: Reaper) -> None:
        self.draw, self.reaper = draw, reaper
        self.arrived: dict[int, list[str]] = defaultdict(list)
        self.lost_answers = 0

    async def send(self, target: Target, letter: Letter, _: datetime) -> Outcome:
        self.reaper.point()
        luck = self.draw.random()
        if luck < 0.03:
            return Outcome(Result.FAILED, "it answered with status 500")
        if luck < 0.035:
            return Outcome(Result.BUSY, "it answered with status 503", timedelta(minutes=2))
        self.arrived[target.channel_id].append(letter.idempotency_id)
        self.reaper.point()
        if luck < 0.05:
            self.lost_answers += 1
            return Outcome(Result.BUSY, "it broke the connection")
        return DELIVERED

    @asynccontextmanager
    async def open(self, _: Settings) -> AsyncIterator["Inbox"]:
        yield self


def test_a_week_of_alerts_with_a_dispatcher_that_is_killed_two_hundred_times(desk: Desk) -> None:
    draw = Random(20260301)  # noqa: S311
    reaper = Reaper(draw)
    inbox = Inbox(draw, reaper)
    users = ("ann", "bob", *(f"user {number}" for number in range(8)))
    with desk.engine.begin() as connection:
        connection.execute(
            sa.text("insert into app.users (user_id) select unnest(cast(:new as text[]))"), {"new": list(users[2:])}
        )
    owners = {
        desk.channel("webhook", f"http://127.0.0.1:9/{at}", user).channel_id: user
        for at, user in enumerate((*users, "ann"))
    }
    week = [
        message(f"alert {number}", f"subject {draw.randrange(SUBJECTS)}", draw.choice(users))
        for number in range(ALERTS)
    ]

    def open_deliveries() -> int:
        with desk.engine.connect() as connection:
            query = "select count(*) from app.outbox_deliveries where status in ('pending', 'sending')"
            return int(connection.scalar(sa.text(query)) or 0)

    def dispatch_or_die() -> None:
        reaper.arm()
        with reaper.watches(desk.database.engine), suppress(KilledError):
            desk.dispatch(clock=Reading(desk.clock, reaper), draw=draw, senders=inbox.open)
        reaper.points_left = None

    for hour in range(HOURS):
        desk.put(*week[ALERTS * hour // HOURS : ALERTS * (hour + 1) // HOURS])
        for _ in range(6):
            dispatch_or_die()
            desk.clock.move(minutes=10)
            if not open_deliveries():
                break
    for _ in range(100):
        if not open_deliveries():
            break
        dispatch_or_die()
        desk.clock.move(hours=1)

    assert reaper.kills == KILLS
    assert inbox.lost_answers > 50
    assert {row["status"] for row in desk.deliveries()} == {"delivered"}
    for channel, user in owners.items():
        owed = [each for each in week if each.user_id == user]
        assert set(inbox.arrived[channel]) == {idempotency_id(each.key) for each in owed}
        assert_order_is_kept(owed, inbox.arrived[channel])


class Reading:
    """The clock of a dispatcher that may die while it reads it."""

    def __init__(self, clock: Callable[[], datetime], reaper: Reaper) -> None:
        self.clock, self.reaper = clock, reaper

    def __call__(self) -> datetime:
        self.reaper.point()
        return self.clock()


def assert_order_is_kept(owed: list[Message], arrived: list[str]) -> None:
    """What arrives for the first time arrives, within its subject, in the order in which it was stored."""
    first = list(dict.fromkeys(arrived))
    place = {each: at for at, each in enumerate(first)}
    by_subject: dict[str, list[int]] = defaultdict(list)
    for each in owed:
        by_subject[each.subject].append(place[idempotency_id(each.key)])
    assert all(places == sorted(places) for places in by_subject.values())


SENDER = """
from portfolio_pipelines.delivery.dispatch import dispatch
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.settings import Settings
print(dispatch(Database(Settings())))
"""


def test_processes_that_are_killed_while_they_send_lose_nothing(desk: Desk, receiver: Receiver) -> None:
    """Each process is killed by the receiver it talks to, half of them after it has answered."""
    desk.channel("webhook", receiver.url)
    desk.clock.now = utc_now()
    week = [message(f"alert {number}", f"subject {number % 12}") for number in range(120)]
    desk.put(*week)
    environment = {
        **os.environ,
        "PORTFOLIO_HOME": str(desk.settings.home),
        "PORTFOLIO_DATABASE_URL": url_text(desk.engine.url),
        "PORTFOLIO_SECRETS_KEY": KEY,
        "PORTFOLIO_WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",
    }
    victim: list[Any] = []

    def kill_at(request: int) -> Callable[[Request], Reply]:
        def answer(_: Request) -> Reply:
            if len(receiver.got) == request and victim:
                os.kill(victim[0].pid, signal.SIGKILL)
            return Reply()

        return answer

    for number in range(PROCESSES):
        receiver.answer = kill_at(len(receiver.got) + 5 + 4 * number)
        victim[:] = [subprocess.Popen([sys.executable, "-c", SENDER], env=environment, stdout=subprocess.DEVNULL)]
        assert victim[0].wait(60) == -signal.SIGKILL
        with desk.engine.begin() as connection:  # two minutes later
            connection.execute(
                sa.text("update app.outbox_deliveries set due_at = :now where status = 'sending'"),
                {"now": desk.clock()},
            )
    receiver.answer = lambda _: Reply()
    desk.clock.move(minutes=10)
    while desk.dispatch() != Counts():
        desk.clock.move(minutes=10)
    arrived = [got.message_id for got in receiver.got]
    assert set(arrived) == {idempotency_id(each.key) for each in week}
    assert len(arrived) > len(week)  # what was lost on the way came again, with the same id
    assert_order_is_kept(week, arrived)
