"""Operational tables of notification channels: where the messages of a user, or of the operators, are sent to.

Addresses and secrets are kept sealed (`resources.sealing`); what is readable here may be shown to everybody who may see
the user's settings.
"""

from datetime import datetime
from typing import Final

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from portfolio_pipelines.database.models import Base

CHANNEL_KINDS: Final = ("email", "webhook", "ntfy", "apprise")
SEVERITIES: Final = ("info", "warning", "critical")
"""From the least to the greatest."""


class NotificationChannel(Base):
    """One address of a user, or of the operators of the installation."""

    __tablename__ = "notification_channels"
    __table_args__ = (
        Index("ix_notification_channels_user", "user_key", postgresql_where=text("deleted_at is null")),
        CheckConstraint(f"kind in {CHANNEL_KINDS}", name="kind"),
        CheckConstraint(f"least_severity in {SEVERITIES}", name="least_severity"),
        CheckConstraint("(deleted_at is null) = (sealed_address is not null)", name="address"),
        CheckConstraint("(disabled_at is null) = (disabled_why is null)", name="disabled"),
        {"comment": "Where messages are sent to; a deleted channel stays without its address and secrets"},
    )

    channel_id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    user_key: Mapped[int | None] = mapped_column(
        ForeignKey("app.users.user_key"), comment="Whose channel; null for the operators of the installation"
    )
    kind: Mapped[str] = mapped_column(comment="email, webhook, ntfy or apprise")
    shown_address: Mapped[str] = mapped_column(comment="The address without what could be a secret in it")
    sealed_address: Mapped[str | None] = mapped_column(comment="The whole address, encrypted; null once deleted")
    sealed_secret: Mapped[str | None] = mapped_column(comment="Signing secret of a webhook, encrypted")
    sealed_previous_secret: Mapped[str | None] = mapped_column(comment="The secret before it, encrypted")
    previous_until: Mapped[datetime | None] = mapped_column(comment="Until then both secrets sign")
    least_severity: Mapped[str] = mapped_column(comment="Messages below are not sent: info, warning or critical")
    time_zone: Mapped[str | None] = mapped_column(comment="Times are also given in this zone, such as Europe/Berlin")
    code_hash: Mapped[str | None] = mapped_column(comment="Keyed hash of the verification code; null when none is open")
    code_expires_at: Mapped[datetime | None]
    code_tries: Mapped[int] = mapped_column(comment="Wrong codes given since it was sent")
    verified_at: Mapped[datetime | None] = mapped_column(comment="Nothing but the code is sent before")
    paused_at: Mapped[datetime | None] = mapped_column(comment="Its owner wants nothing for now")
    disabled_at: Mapped[datetime | None] = mapped_column(comment="The receiver said that it is gone")
    disabled_why: Mapped[str | None]
    failures: Mapped[int] = mapped_column(comment="Times in a row that the receiver could not be reached or was busy")
    held_until: Mapped[datetime | None] = mapped_column(comment="Nothing is sent until then: it was busy or silent")
    created_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]
