"""Operational tables of the outbox: messages that the platform owes to people, and their delivery to each channel.

A message is written in the transaction of the state that caused it; `delivery.dispatch` sends what is due.
"""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portfolio_pipelines.database.channel_models import SEVERITIES
from portfolio_pipelines.database.models import Base

DELIVERY_STATUSES: Final = ("pending", "sending", "delivered", "dead", "abandoned")
OPEN: Final = "status in ('pending', 'sending')"
"""What is still to be sent, as the indexes know it."""


class OutboxMessage(Base):
    """Something that a user or the operators must be told, once."""

    __tablename__ = "outbox_messages"
    __table_args__ = (
        Index("ix_outbox_messages_user", "user_key", "message_id"),
        CheckConstraint(f"severity in {SEVERITIES}", name="severity"),
        {"comment": "Messages that the platform owes to people; one for each key, for ever"},
    )

    message_id: Mapped[int] = mapped_column(
        BigInteger, Identity(), primary_key=True, comment="Ascending in the order in which they were committed"
    )
    key: Mapped[str] = mapped_column(unique=True, comment="Deduplication key: what it is about and when")
    user_key: Mapped[int | None] = mapped_column(
        ForeignKey("app.users.user_key"), comment="Who is told; null for the operators of the installation"
    )
    subject: Mapped[str] = mapped_column(comment="What it is about; the order of a subject is kept in each channel")
    kind: Mapped[str] = mapped_column(comment="alert, alert.resolved, alert.cannot_tell, export, operations, …")
    severity: Mapped[str] = mapped_column(comment="info, warning or critical")
    title: Mapped[str] = mapped_column(comment="One line of plain text")
    text: Mapped[str] = mapped_column(comment="Plain text")
    data: Mapped[dict[str, Any]] = mapped_column(JSONB, comment="The same for machines")
    attachments: Mapped[list[dict[str, str]]] = mapped_column(JSONB, comment="name, media_type and path of files")
    created_at: Mapped[datetime]


class OutboxDelivery(Base):
    """A message on its way to one channel."""

    __tablename__ = "outbox_deliveries"
    __table_args__ = (
        UniqueConstraint("message_id", "channel_id"),
        Index("ix_outbox_deliveries_due", "due_at", postgresql_where=text(OPEN)),
        Index("ix_outbox_deliveries_order", "channel_id", "subject", "message_id", postgresql_where=text(OPEN)),
        Index("ix_outbox_deliveries_dead", "delivery_id", postgresql_where=text("status = 'dead'")),
        CheckConstraint(f"status in {DELIVERY_STATUSES}", name="status"),
        CheckConstraint("(status = 'delivered') = (delivered_at is not null)", name="delivered"),
        {"comment": "Each message on its way to each channel; nothing leaves this table"},
    )

    delivery_id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    message_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("app.outbox_messages.message_id"))
    channel_id: Mapped[int] = mapped_column(ForeignKey("app.notification_channels.channel_id"))
    subject: Mapped[str] = mapped_column(comment="That of the message; later ones wait for earlier ones")
    status: Mapped[str] = mapped_column(
        comment="pending, sending, delivered, dead: given up after all attempts, abandoned: the channel is gone"
    )
    attempts: Mapped[int] = mapped_column(comment="Attempts that failed or succeeded")
    claims: Mapped[int] = mapped_column(comment="Times a dispatcher took it; also says whose result still counts")
    due_at: Mapped[datetime] = mapped_column(comment="Next attempt; while sending, when the dispatcher counts as dead")
    queued_at: Mapped[datetime] = mapped_column(comment="Since when it is tried; given up some days later")
    last_error: Mapped[str | None] = mapped_column(comment="Why the last attempt failed")
    delivered_at: Mapped[datetime | None] = mapped_column(comment="When the receiver accepted it")
