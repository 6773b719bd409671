"""Channels as they may be shown: no whole address, no secret."""

from datetime import datetime
from typing import Final

import polars as pl
import sqlalchemy as sa

from portfolio_pipelines.database.connection import read_frame
from portfolio_pipelines.delivery.channels.registered import ChannelRefusedError

UTC_TIME: Final = pl.Datetime("us", "UTC")
CHANNELS_SCHEMA: Final = pl.Schema(
    {
        "channel": pl.Int64(),
        "user_id": pl.String(),  # null: the operators
        "kind": pl.String(),
        "address": pl.String(),  # without what could be a secret
        "state": pl.String(),  # unverified, active, paused, held: silent or busy at the moment, disabled
        "least_severity": pl.String(),
        "time_zone": pl.String(),
        "waiting": pl.Int64(),  # messages
        "dead": pl.Int64(),
        "last_delivered_at": UTC_TIME,
        "note": pl.String(),
    }
)


def channels_frame(engine: sa.Engine, now: datetime) -> pl.DataFrame:
    """All channels that are not deleted, CHANNELS_SCHEMA."""
    query = """
        select c.channel_id as channel, u.user_id, c.kind, c.shown_address as address,
            case when c.disabled_at is not null then 'disabled' when c.verified_at is null then 'unverified'
                when c.paused_at is not null then 'paused' when c.held_until > :now then 'held' else 'active' end
                as state,
            c.least_severity, c.time_zone, coalesce(d.waiting, 0) as waiting, coalesce(d.dead, 0) as dead,
            d.last_delivered_at,
            coalesce(c.disabled_why, case when c.held_until > :now then d.last_error end) as note
        from app.notification_channels c
        left join app.users u using (user_key)
        left join (
            select channel_id, count(*) filter (where status in ('pending', 'sending')) as waiting,
                count(*) filter (where status = 'dead') as dead, max(delivered_at) as last_delivered_at,
                max(last_error) filter (where status = 'pending') as last_error
            from app.outbox_deliveries group by channel_id
        ) as d using (channel_id)
        where c.deleted_at is null order by c.channel_id
    """
    return read_frame(engine, query, CHANNELS_SCHEMA, {"now": now})


def is_verified(engine: sa.Engine, number: int) -> bool:
    """Whether messages are sent to a channel.

    Raises:
        ChannelRefusedError: If there is no such channel.
    """
    with engine.connect() as connection:
        row = connection.execute(
            sa.text("""
                select verified_at is not null as is_verified from app.notification_channels
                where channel_id = :number and deleted_at is null
            """),
            {"number": number},
        ).one_or_none()
    if row is None:
        msg = f"there is no channel {number}: `portfolio channels list` shows them"
        raise ChannelRefusedError(msg)
    return bool(row.is_verified)
