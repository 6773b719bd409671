"""The outbox as a queue: taking what is due under a lease. How it ended is recorded in `dispatch_results`.

A delivery is due when its time has come, its channel is ready, and no earlier message of its subject is still open in
that channel. Any number of dispatchers take from the queue at once: rows are taken with `for update skip locked`, and a
dispatcher that dies loses its lease.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from portfolio_pipelines.delivery.channels.letters import Letter, Outcome, Target
from portfolio_pipelines.delivery.channels.opened import opened
from portfolio_pipelines.delivery.outbox import Attachment, Severity, idempotency_id
from portfolio_pipelines.resources.sealing import Sealer, SealingError

LEASE: Final = timedelta(seconds=120)
CANDIDATES: Final = 256
A_CHANNEL_AT_ONCE: Final = 8
"""Deliveries of one channel that are sent side by side."""

READY: Final = """
    d.status in ('pending', 'sending') and c.deleted_at is null and c.disabled_at is null and c.paused_at is null
    and not exists (
        select from app.outbox_deliveries earlier
        where earlier.channel_id = d.channel_id and earlier.subject = d.subject
          and earlier.message_id < d.message_id and earlier.status in ('pending', 'sending')
    )
"""
"""The channel is ready, and no earlier message of the subject is open."""
IN_ORDER: Final = "set local enable_sort = off; set local enable_incremental_sort = off; set local enable_seqscan = off"
"""What is due is read along its index until there is enough of it: a planner whose statistics are older than the queue
would read all of it each time."""
TAKE: Final = f"""
    with due as (
        select d.delivery_id, d.channel_id, d.due_at
        from app.outbox_deliveries d join app.notification_channels c using (channel_id)
        where d.due_at <= :now and (c.held_until is null or c.held_until <= :now) and c.channel_id <> all (:full)
          and {READY}
        order by d.due_at limit :candidates
    ),
    wanted as (
        select delivery_id from (
            select delivery_id, due_at,
                row_number() over (partition by channel_id order by due_at, delivery_id) as place
            from due
        ) as ranked
        where place <= :a_channel order by due_at, delivery_id limit :most
    ),
    -- Another dispatcher may have taken one since: then it is locked, or due only when that one's lease ends.
    locked as (
        select delivery_id from app.outbox_deliveries
        where delivery_id in (select w.delivery_id from wanted w)
          and status in ('pending', 'sending') and due_at <= :now
        for update skip locked
    ),
    taken as (
        update app.outbox_deliveries d set status = 'sending', claims = claims + 1, due_at = :lease_ends
        from locked where d.delivery_id = locked.delivery_id
        returning d.delivery_id, d.message_id, d.channel_id, d.claims, d.attempts
    )
    select t.delivery_id, t.message_id, t.claims, t.attempts,
        m.key, m.kind as message_kind, m.severity, m.title, m.text, m.data, m.attachments, m.created_at,
        c.channel_id, c.kind, c.sealed_address, c.sealed_secret, c.sealed_previous_secret, c.previous_until, c.time_zone
    from taken t join app.outbox_messages m using (message_id) join app.notification_channels c using (channel_id)
"""  # noqa: S608 (a constant)


@dataclass(frozen=True)
class Taken:
    """A delivery under our lease.

    Attributes:
        delivery_id: Its row.
        claims: Which taking this is: the mark of our lease.
        attempts: Attempts before this one.
        leased_until: When others may take it.
        channel_id: Where it goes.
        target: The channel opened, or why it cannot be.
        letter: What is sent.
    """

    delivery_id: int
    claims: int
    attempts: int
    leased_until: datetime
    channel_id: int
    target: Target | SealingError
    letter: Letter


@dataclass(frozen=True)
class Ended:
    """How a taken delivery ended; no outcome when it was not tried after all."""

    taken: Taken
    outcome: Outcome | None


def take(engine: sa.Engine, sealer: Sealer, now: datetime, *, most: int, full: Collection[int] = ()) -> Sequence[Taken]:
    """Take deliveries that are due, in one transaction; from then on they are ours until the lease ends.

    Args:
        engine: The operational database.
        sealer: Opens the channels.
        now: The time.
        most: How many at most.
        full: Channels to which we send enough already.

    Returns:
        In the order of their messages.
    """
    leased_until = now + LEASE
    values = {
        "now": now, "lease_ends": leased_until, "full": list(full), "most": most,
        "candidates": CANDIDATES, "a_channel": A_CHANNEL_AT_ONCE,
    }  # fmt: skip
    with engine.begin() as connection:
        connection.exec_driver_sql(IN_ORDER)
        rows = connection.execute(sa.text(TAKE), values).all()
    return [_taken(row, sealer, now, leased_until) for row in sorted(rows, key=lambda row: int(row.message_id))]


def next_due(engine: sa.Engine) -> datetime | None:
    """When the next delivery may be due; None when nothing waits for a channel that is ready."""
    with engine.connect() as connection:
        found: datetime | None = connection.scalar(
            sa.text(f"""
                select min(greatest(d.due_at, c.held_until))
                from app.outbox_deliveries d join app.notification_channels c using (channel_id)
                where {READY}
            """)  # noqa: S608 (a constant)
        )
    return found


def _taken(row: sa.Row[Any], sealer: Sealer, now: datetime, leased_until: datetime) -> Taken:
    try:
        target: Target | SealingError = opened(row, sealer, now)
    except SealingError as error:
        target = error
    files = tuple(Attachment(each["name"], each["media_type"], Path(each["path"])) for each in row.attachments)
    letter = Letter(
        idempotency_id(row.key), row.message_kind, Severity(row.severity), row.title, row.text, row.data, files,
        row.created_at,
    )  # fmt: skip
    return Taken(row.delivery_id, row.claims, row.attempts, leased_until, row.channel_id, target, letter)
