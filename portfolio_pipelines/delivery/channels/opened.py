"""Channels as they are stored, and opened: what was sealed for which place."""

from datetime import datetime
from typing import Any, Final, Literal

import sqlalchemy as sa

from portfolio_pipelines.delivery.channels.letters import Kind, Target
from portfolio_pipelines.resources.sealing import Sealer

STORED: Final = "channel_id, kind, sealed_address, sealed_secret, sealed_previous_secret, previous_until, time_zone"
"""The columns that opening needs."""


def place(channel_id: int, what: Literal["address", "secret", "code"]) -> str:
    """The place that something of a channel is sealed for."""
    return f"channel {channel_id} {what}"


def opened(row: sa.Row[Any], sealer: Sealer, now: datetime) -> Target:
    """Open a stored channel.

    Args:
        row: With the columns STORED.
        sealer: The keys.
        now: Decides whether the previous secret of a webhook still signs.

    Raises:
        SealingError: If it was sealed with another key.
    """
    sealed = [row.sealed_secret]
    if row.previous_until is not None and row.previous_until > now:
        sealed.append(row.sealed_previous_secret)
    return Target(
        row.channel_id,
        Kind(row.kind),
        sealer.open(row.sealed_address, place(row.channel_id, "address")),
        tuple(sealer.open(each, place(row.channel_id, "secret")) for each in sealed if each is not None),
        row.time_zone,
    )
