"""What senders are given and what they give back. No I/O; who sends is in the modules named after the channels."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import SecretStr

from portfolio_pipelines.delivery.outbox import Attachment, Severity


class Kind(StrEnum):
    """How a channel sends."""

    EMAIL = "email"
    WEBHOOK = "webhook"
    NTFY = "ntfy"
    APPRISE = "apprise"


@dataclass(frozen=True)
class Letter:
    """A message as senders see it.

    Attributes:
        idempotency_id: The same at every attempt; made of the key of the message.
        kind: Such as "alert".
        severity: How much it matters.
        title: One line of plain text, as it was stored.
        text: Plain text, as it was stored.
        data: For machines.
        attachments: Files.
        created_at: When it was stored, UTC.
    """

    idempotency_id: str
    kind: str
    severity: Severity
    title: str
    text: str
    data: Mapping[str, Any]
    attachments: tuple[Attachment, ...]
    created_at: datetime


@dataclass(frozen=True)
class Target:
    """A channel, opened.

    Attributes:
        channel_id: Number that its owner knows.
        kind: How it sends.
        address: Where to.
        signing_secrets: Of a webhook, the current one first; two while it rotates.
        time_zone: In which its owner wants times, beside UTC.
    """

    channel_id: int
    kind: Kind
    address: SecretStr
    signing_secrets: tuple[SecretStr, ...] = ()
    time_zone: str | None = None


class Result(StrEnum):
    """How an attempt ended, by what should happen next."""

    DELIVERED = "delivered"
    FAILED = "failed"
    """This message failed: it is tried again, others go on."""
    BUSY = "busy"
    """The receiver is silent or asks for patience: the whole channel waits."""
    REJECTED = "rejected"
    """This message will never be taken."""
    GONE = "gone"
    """The receiver wants nothing any more: the channel is disabled."""


@dataclass(frozen=True)
class Outcome:
    """The end of one attempt.

    Attributes:
        result: What it was.
        reason: Why it failed, for the channel's owner; without addresses and secrets.
        wait: How long the receiver asks us to wait.
    """

    result: Result
    reason: str = ""
    wait: timedelta | None = None


DELIVERED = Outcome(Result.DELIVERED)
