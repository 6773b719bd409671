"""What the platform tells people about its own deliveries: a channel that is gone, messages that were given up."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from portfolio_pipelines.delivery.outbox import Message, Severity, put

NOTICE: Final = "operations.delivery"
"""The kind of these messages. None is sent about one of them: a broken channel of operators must not feed itself."""


def tell_of_disabled(connection: sa.Connection, channel: sa.Row[Any], why: str, now: datetime) -> None:
    """Tell the owner, by the other channels, and the operators that a receiver wants nothing any more.

    Args:
        connection: An open transaction, in which the channel was disabled.
        channel: With channel_id, kind, shown_address and user_id.
        why: What the receiver answered.
        now: Time of the message.
    """
    number = channel.channel_id
    text = (
        f"{channel.kind} channel {number} ({channel.shown_address}) gets no more messages: {why}. What waited for it "
        f"is abandoned. Add it again with `portfolio channels add` once the receiver wants messages again."
    )
    data = {"channel_id": number, "channel_kind": channel.kind, "look_at": f"portfolio channels list ({number})"}
    readers = dict.fromkeys((channel.user_id, None))
    put(
        connection,
        [
            Message(
                key=f"channel disabled:{number}:{now.isoformat()}:{'owner' if reader else 'operators'}",
                user_id=reader,
                subject=f"channel:{number}",
                kind=NOTICE,
                severity=Severity.WARNING,
                title=f"Channel {number} is disabled",
                text=text if reader or channel.user_id is None else f"Of user {channel.user_id}: {text}",
                data=data,
            )
            for reader in readers
        ],
        now=now,
    )


def tell_of_dead(connection: sa.Connection, dead: Mapping[int, str], now: datetime) -> None:
    """Tell the operators, once a channel and day, that messages were given up.

    Args:
        connection: An open transaction.
        dead: The reason, by channel.
        now: Time of the message.
    """
    put(
        connection,
        [
            Message(
                key=f"outbox dead:{number}:{now:%Y-%m-%d}",
                user_id=None,
                subject=f"outbox:dead:{number}",
                kind=NOTICE,
                severity=Severity.WARNING,
                title=f"Messages to channel {number} were given up",
                text=(
                    f"At least one message could not be delivered to channel {number}: {why}. `portfolio outbox list "
                    "--status dead` shows all of them, `portfolio outbox retry` sends them again. "
                    "This is told once a day."
                ),
                data={"channel_id": number, "look_at": "portfolio outbox list --status dead"},
            )
            for number, why in sorted(dead.items())
        ],
        now=now,
    )
