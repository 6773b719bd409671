"""The outbox as a queue: taking what is due under a lease, and recording how it ended.

A delivery is due when its time has come, its channel is ready, and no earlier message of its subject is still open in
that channel. Any number of dispatchers take from the queue at once: rows are taken with `for update skip locked`, and a
dispatcher that dies loses its lease. A success counts whoever brings it; a failure only from the last who took it.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

import sqlalchemy as sa

from portfolio_pipelines.delivery.channels.letters import Letter, Outcome, Result, Target
from portfolio_pipelines.delivery.channels.opened import opened
from portfolio_pipelines.delivery.dispatch_notices import NOTICE, tell_of_dead, tell_of_disabled
from portfolio_pipelines.delivery.dispatch_policy import LONGEST_TRY, OUTAGE, hold, next_attempt
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
        returning d.delivery_id, d.message_id, d.channel_id, d.claims, d.attempts, d.queued_at
    )
    select t.delivery_id, t.message_id, t.claims, t.attempts, t.queued_at,
        m.key, m.kind as message_kind, m.severity, m.title, m.text, m.data, m.attachments, m.created_at,
        c.channel_id, c.kind, c.sealed_address, c.sealed_secret, c.sealed_previous_secret, c.previous_until, c.time_zone
    from taken t join app.outbox_messages m using (message_id) join app.notification_channels c using (channel_id)
"""  # noqa: S608 (a constant)
RECORD: Final = """
    update app.outbox_deliveries d set
        status = case when given.status = 'pending' and (c.deleted_at is not null or c.disabled_at is not null)
            then 'abandoned' else given.status end,
        attempts = d.attempts + given.attempts, due_at = given.due_at,
        -- What was given back without an attempt was not taken in vain.
        claims = d.claims - case when given.status = 'pending' and given.attempts = 0 then 1 else 0 end,
        last_error = case when given.status <> 'delivered' then coalesce(given.reason, d.last_error) end,
        delivered_at = given.delivered_at
    from jsonb_to_recordset(cast(:ended as jsonb)) as given (
            delivery_id bigint, claims integer, attempts integer, status text, due_at timestamptz, reason text,
            delivered_at timestamptz
        ), app.notification_channels c
    where d.delivery_id = given.delivery_id and c.channel_id = d.channel_id
      and (given.status = 'delivered' and d.status <> 'delivered'
           or d.status = 'sending' and d.claims = given.claims)
    returning d.channel_id, d.status, d.last_error, (
        select m.kind from app.outbox_messages m where m.message_id = d.message_id
    ) as kind
"""
LOCK_CHANNELS: Final = """
    select channel_id, failures, held_until, kind, shown_address, disabled_at, user_id
    from app.notification_channels left join app.users using (user_key)
    where channel_id = any (:involved) and (failures > 0 or channel_id = any (:troubled))
    order by channel_id for no key update of notification_channels
"""


@dataclass(frozen=True)
class Taken:
    """A delivery under our lease.

    Attributes:
        delivery_id: Its row.
        claims: Which taking this is: the mark of our lease.
        attempts: Attempts before this one.
        queued_at: Since when it is tried.
        leased_until: When others may take it.
        channel_id: Where it goes.
        target: The channel opened, or why it cannot be.
        letter: What is sent.
    """

    delivery_id: int
    claims: int
    attempts: int
    queued_at: datetime
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


def record(engine: sa.Engine, ended: Sequence[Ended], now: datetime, draw: Random) -> Sequence[str]:
    """Record how deliveries ended, and what follows for their channels, in one transaction.

    Args:
        engine: The operational database.
        ended: What was taken.
        now: When they ended.
        draw: Chance behind the delays.

    Returns:
        The new status of each that counted: those whose lease others have by now do not.
    """
    by_result: dict[Result, dict[int, Outcome]] = {result: {} for result in Result}
    for each in ended:
        if each.outcome is not None:
            by_result[each.outcome.result][each.taken.channel_id] = each.outcome
    with engine.begin() as connection:
        _change_channels(connection, by_result, now, draw)
        rows = connection.execute(
            sa.text(RECORD), {"ended": json.dumps([_row(each, now, draw) for each in ended])}
        ).all()
        dead = {row.channel_id: row.last_error for row in rows if row.status == "dead" and row.kind != NOTICE}
        if by_result[Result.BUSY]:
            dead |= _give_up(connection, list(by_result[Result.BUSY]), now)
        tell_of_dead(connection, dead, now)
    return [row.status for row in rows]


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
    return Taken(row.delivery_id, row.claims, row.attempts, row.queued_at, leased_until, row.channel_id, target, letter)


def _row(each: Ended, now: datetime, draw: Random) -> dict[str, object]:
    """The new state of a delivery."""
    status, due_at, attempts = "pending", now, each.taken.attempts + (each.outcome is not None)
    if each.outcome is not None:
        match each.outcome.result:
            case Result.DELIVERED:
                status = "delivered"
            case Result.REJECTED:
                status = "dead"
            case Result.GONE:
                status = "abandoned"
            case Result.FAILED | Result.BUSY:
                following = next_attempt(attempts, now, each.outcome.wait, draw)
                if following is None or now - each.taken.queued_at > LONGEST_TRY:
                    status = "dead"
                else:
                    due_at = following
    return {
        "delivery_id": each.taken.delivery_id,
        "claims": each.taken.claims,
        "attempts": attempts - each.taken.attempts,
        "status": status,
        "due_at": due_at.isoformat(),
        "reason": (each.outcome.reason or None) if each.outcome is not None else None,
        "delivered_at": now.isoformat() if status == "delivered" else None,
    }


def _change_channels(
    connection: sa.Connection, by_result: dict[Result, dict[int, Outcome]], now: datetime, draw: Random
) -> None:
    """Hold channels that are silent or busy, let go those that are well again, disable those that are gone."""
    well, busy, gone = by_result[Result.DELIVERED], by_result[Result.BUSY], by_result[Result.GONE]
    troubled = [*busy, *gone]
    involved = {"involved": [*well, *troubled], "troubled": troubled}
    for channel in connection.execute(sa.text(LOCK_CHANNELS), involved).all():
        number = channel.channel_id
        if number in gone:
            if channel.disabled_at is None:
                _disable(connection, channel, gone[number].reason, now)
            continue
        failures, held_until = (0, None) if number in well else (channel.failures, channel.held_until)
        if number in busy:
            # What was sent side by side fails together: that is one failure, not eight.
            failures += held_until is None or held_until <= now
            held_until = max(hold(failures, now, busy[number].wait, draw), held_until or now)
        connection.execute(
            sa.text("""
                update app.notification_channels set failures = :failures, held_until = :held_until
                where channel_id = :number
            """),
            {"number": number, "failures": failures, "held_until": held_until},
        )
        if number in well and channel.failures >= OUTAGE:
            connection.execute(
                sa.text("""
                    update app.outbox_deliveries set due_at = :now
                    where channel_id = :number and status = 'pending' and due_at > :now
                """),
                {"number": number, "now": now},
            )


def _disable(connection: sa.Connection, channel: sa.Row[Any], why: str, now: datetime) -> None:
    values = {"number": channel.channel_id, "now": now, "why": why}
    connection.execute(
        sa.text("""
            update app.notification_channels set disabled_at = :now, disabled_why = :why where channel_id = :number
        """),
        values,
    )
    connection.execute(
        sa.text("""
            update app.outbox_deliveries set status = 'abandoned', last_error = :why
            where channel_id = :number and status = 'pending'
        """),
        values,
    )
    tell_of_disabled(connection, channel, why, now)


def _give_up(connection: sa.Connection, channels: list[int], now: datetime) -> dict[int, str]:
    """Give up what has waited too long for receivers that are silent; a reason for each channel that lost something."""
    rows = connection.execute(
        sa.text("""
            update app.outbox_deliveries d set status = 'dead',
                last_error = coalesce(last_error, 'its receiver was silent or busy for days')
            from app.outbox_messages m
            where m.message_id = d.message_id and channel_id = any (:channels) and status = 'pending'
              and queued_at < :oldest
            returning channel_id, last_error, m.kind
        """),
        {"channels": channels, "oldest": now - LONGEST_TRY},
    )
    return {row.channel_id: row.last_error for row in rows if row.kind != NOTICE}
