"""The dispatcher: sends what the outbox owes, at least once, until nothing is due.

Killed at any point it loses nothing: what it had taken is due again when its lease ends, and receivers recognise a
message they have by its id. Dagster knows nothing of it and it nothing of Dagster. The queue is in `dispatch_queue`,
the schedule in `dispatch_policy`, senders in `channels`.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Final

from portfolio_pipelines.delivery.channels.letters import Kind, Outcome, Result
from portfolio_pipelines.delivery.dispatch_policy import MOST_CLAIMS
from portfolio_pipelines.delivery.dispatch_queue import A_CHANNEL_AT_ONCE, LEASE, Ended, Taken, take
from portfolio_pipelines.delivery.dispatch_results import record
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.sealing import Sealer, SealingError
from portfolio_pipelines.settings import Settings

if TYPE_CHECKING:
    from portfolio_pipelines.delivery.channels.sending import Senders

    Open = Callable[[Settings], AbstractAsyncContextManager[Senders]]

LOG: Final = logging.getLogger(__name__)
MOST_AT_ONCE: Final = 64
GATHER_SECONDS: Final = 0.05
"""Results are recorded together that arrive within it: a transaction for each would cost more than sending."""
LOOK_AGAIN_SECONDS: Final = 1.0
IN_THREADS: Final = {Kind.EMAIL: 4, Kind.APPRISE: 4}
"""Kinds that wait in threads, with how many at once."""


@dataclass(frozen=True)
class Counts:
    """What a dispatcher did.

    Attributes:
        delivered: Taken by their receivers.
        failed: To be tried again.
        dead: Given up.
        abandoned: Their channel is gone.
    """

    delivered: int = 0
    failed: int = 0
    dead: int = 0
    abandoned: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.delivered + other.delivered,
            self.failed + other.failed,
            self.dead + other.dead,
            self.abandoned + other.abandoned,
        )


def utc_now() -> datetime:
    """The clock."""
    return datetime.now(UTC)


def dispatch(
    database: Database,
    *,
    clock: Callable[[], datetime] = utc_now,
    draw: Random | None = None,
    seconds: float | None = None,
    senders: "Open | None" = None,
) -> Counts:
    """Send everything that is due, then return. Any number of processes may do so at once.

    Args:
        database: Its outbox is emptied; its settings name mail servers, time limits and what may be reached.
        clock: Says when something is due.
        draw: Chance behind the delays; the system's when not given.
        seconds: Nothing more is taken after so long; None for no limit.
        senders: Opens other senders.

    Raises:
        SealingError: If the keys of sealed secrets make no sense.
    """
    dispatcher = _Dispatcher(database, Sealer.of(database.settings), clock, draw or SystemRandom())
    return asyncio.run(dispatcher.drain(seconds, senders))


class _Dispatcher:
    def __init__(self, database: Database, sealer: Sealer, clock: Callable[[], datetime], draw: Random) -> None:
        self._engine = database.engine
        self._settings = database.settings
        self._sealer = sealer
        self._clock = clock
        self._draw = draw
        self._slots = {kind: asyncio.Semaphore(most) for kind, most in IN_THREADS.items()}

    async def drain(self, seconds: float | None, open_with: "Open | None") -> Counts:
        """Take, send and record until nothing is due."""
        if open_with is None:
            from portfolio_pipelines.delivery.channels.sending import open_senders

            open_with = open_senders
        started, counts = time.monotonic(), Counter[str]()
        async with open_with(self._settings) as senders:
            sending: dict[asyncio.Task[Ended], int] = {}
            try:
                while True:
                    is_late = seconds is not None and time.monotonic() - started > seconds
                    taken = [] if is_late else await self._take(sending)
                    for each in taken:
                        sending[asyncio.create_task(self._send(senders, each))] = each.channel_id
                    if not sending:
                        break
                    counts.update(await self._gather(sending, at_once=bool(taken)))
            finally:
                for task in sending:
                    task.cancel()
        return Counts(counts["delivered"], counts["pending"], counts["dead"], counts["abandoned"])

    async def _take(self, sending: dict[asyncio.Task[Ended], int]) -> list[Taken]:
        """As much as there is room for. Again where a channel had more than its share: others may be due behind it."""
        busy, taken = Counter(sending.values()), list[Taken]()
        while (free := MOST_AT_ONCE - len(sending) - len(taken)) > 0:
            full = [channel for channel, count in busy.items() if count >= A_CHANNEL_AT_ONCE]
            more = await asyncio.to_thread(take, self._engine, self._sealer, self._clock(), most=free, full=full)
            taken += more
            busy.update(each.channel_id for each in more)
            if all(busy[each.channel_id] < A_CHANNEL_AT_ONCE for each in more):
                break
        return taken

    async def _gather(self, sending: dict[asyncio.Task[Ended], int], *, at_once: bool) -> list[str]:
        """Wait a moment for as many as possible, or for one when there is nothing else to do; record what ended."""
        if at_once:
            done, _ = await asyncio.wait(sending, timeout=GATHER_SECONDS)
        else:
            done, _ = await asyncio.wait(sending, timeout=LOOK_AGAIN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            del sending[task]
        if not done:
            return []
        ended = [task.result() for task in done]
        tried = {each.taken.delivery_id for each in ended if each.outcome is not None}
        statuses = await asyncio.to_thread(record, self._engine, ended, self._clock(), self._draw)
        return list(statuses) if tried else []

    async def _send(self, senders: "Senders", taken: Taken) -> Ended:
        """Send one; whatever goes wrong is an outcome."""
        if isinstance(taken.target, SealingError):
            return Ended(taken, Outcome(Result.BUSY, str(taken.target)))
        if taken.claims > MOST_CLAIMS:
            reason = f"it was taken {MOST_CLAIMS} times and never ended: whoever sends it dies"
            return Ended(taken, Outcome(Result.REJECTED, reason))
        slot = self._slots.get(taken.target.kind)
        if slot is None:
            return Ended(taken, await self._attempt(senders, taken))
        async with slot:
            # It waited for a thread: the rest of the lease must be enough to send it.
            if taken.leased_until - self._clock() < LEASE / 2:
                return Ended(taken, None)
            return Ended(taken, await self._attempt(senders, taken))

    async def _attempt(self, senders: "Senders", taken: Taken) -> Outcome:
        assert not isinstance(taken.target, SealingError)  # noqa: S101 (narrows)
        try:
            return await senders.send(taken.target, taken.letter, self._clock())
        except Exception as error:
            LOG.exception("delivery %d to channel %d failed unexpectedly", taken.delivery_id, taken.channel_id)
            return Outcome(Result.FAILED, f"an error of ours, see the log: {type(error).__name__}")
