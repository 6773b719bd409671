"""How deliveries ended, recorded in one transaction with what follows for their channels.

A success counts whoever brings it; a failure only from the dispatcher that took the delivery last.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from random import Random
from typing import Any, Final

import sqlalchemy as sa
from psycopg.errors import DeadlockDetected

from portfolio_pipelines.delivery.channels.letters import Outcome, Result
from portfolio_pipelines.delivery.dispatch_notices import NOTICE, tell_of_dead, tell_of_disabled
from portfolio_pipelines.delivery.dispatch_policy import LONGEST_TRY, OUTAGE, hold, next_attempt
from portfolio_pipelines.delivery.dispatch_queue import Ended

DEADLOCKS_BORNE: Final = 5
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
    for _ in range(DEADLOCKS_BORNE):
        try:
            return _record(engine, ended, now, draw)
        except sa.exc.OperationalError as error:
            if not isinstance(error.orig, DeadlockDetected):  # with another dispatcher: the other one went on
                raise
    return _record(engine, ended, now, draw)


def _record(engine: sa.Engine, ended: Sequence[Ended], now: datetime, draw: Random) -> Sequence[str]:
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
                status = "dead" if following is None else "pending"
                due_at = following or now
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
            if failures == 0:
                _start_waiting(connection, number, now)
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


def _start_waiting(connection: sa.Connection, number: int, now: datetime) -> None:
    """What waits for a channel that was well until now is tried from now on, however long nobody dispatched before."""
    connection.execute(
        sa.text("""
            update app.outbox_deliveries set queued_at = :now
            where channel_id = :number and status in ('pending', 'sending')
        """),
        {"number": number, "now": now},
    )


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
