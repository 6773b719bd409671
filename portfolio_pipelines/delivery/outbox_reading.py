"""What is in the outbox, for people, and how to try again what was given up."""

from datetime import datetime
from typing import Final

import polars as pl
import sqlalchemy as sa

from portfolio_pipelines.database.connection import read_frame
from portfolio_pipelines.delivery.outbox import wake

UTC_TIME: Final = pl.Datetime("us", "UTC")
DELIVERIES_SCHEMA: Final = pl.Schema(
    {
        "delivery": pl.Int64(),  # null: the message went to no channel
        "user_id": pl.String(),  # null: the operators
        "channel": pl.Int64(),
        "address": pl.String(),
        "status": pl.String(),
        "kind": pl.String(),
        "severity": pl.String(),
        "title": pl.String(),
        "created_at": UTC_TIME,
        "attempts": pl.Int64(),
        "due_at": UTC_TIME,
        "delivered_at": UTC_TIME,
        "last_error": pl.String(),
    }
)
STATUSES: Final = ("pending", "sending", "delivered", "dead", "abandoned", "no_channel")
"""Those of deliveries, and messages whose user had no channel that wanted them."""


def deliveries_frame(
    engine: sa.Engine, *, status: str | None = None, user_id: str | None = None, most: int = 100
) -> pl.DataFrame:
    """Deliveries, the newest first, DELIVERIES_SCHEMA.

    Args:
        engine: The operational database.
        status: One of STATUSES; None for all.
        user_id: Of one user; None for all and the operators.
        most: How many at most.
    """
    query = """
        select d.delivery_id as delivery, u.user_id, d.channel_id as channel, c.shown_address as address,
            coalesce(d.status, 'no_channel') as status, m.kind, m.severity, m.title, m.created_at, d.attempts,
            case when d.status in ('pending', 'sending') then greatest(d.due_at, c.held_until) end as due_at,
            d.delivered_at, d.last_error
        from app.outbox_messages m
        left join app.users u using (user_key)
        left join app.outbox_deliveries d using (message_id)
        left join app.notification_channels c using (channel_id)
        where (cast(:status as text) is null or coalesce(d.status, 'no_channel') = :status)
          and (cast(:user_id as text) is null or u.user_id = :user_id)
        order by m.message_id desc, d.delivery_id limit :most
    """
    return read_frame(engine, query, DELIVERIES_SCHEMA, {"status": status, "user_id": user_id, "most": most})


def retry(
    engine: sa.Engine,
    now: datetime,
    *,
    deliveries: list[int] | None = None,
    channel: int | None = None,
) -> int:
    """Make dead deliveries due again, with all their attempts; a message may then arrive after later ones.

    Args:
        engine: The operational database.
        now: From when they are due.
        deliveries: Which; None for all.
        channel: Of this channel alone.

    Returns:
        How many were dead, and wait now; those of channels that are gone stay dead.
    """
    with engine.begin() as connection:
        revived = connection.execute(
            sa.text("""
                update app.outbox_deliveries d
                set status = 'pending', attempts = 0, claims = 0, due_at = :now, queued_at = :now
                from app.notification_channels c
                where c.channel_id = d.channel_id and c.deleted_at is null and c.disabled_at is null
                  and d.status = 'dead'
                  and (cast(:deliveries as bigint[]) is null or d.delivery_id = any (:deliveries))
                  and (cast(:channel as integer) is null or d.channel_id = :channel)
            """),
            {"now": now, "deliveries": deliveries, "channel": channel},
        ).rowcount
        wake(connection)
    return revived
