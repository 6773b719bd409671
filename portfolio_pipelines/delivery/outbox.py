"""The outbox: what the platform owes to people, written in the transaction of the state that caused it.

Belongs here: messages and how they are stored and fanned out to channels. Sending is in `dispatch`, channels are in
`channels`, what people read in `templates`.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from pydantic import JsonValue

ORDER_LOCK: Final = 0x6F7574626F78
"""Advisory lock of whoever stores messages: they take turns until they commit, so that numbers ascend as committed."""
WAKE: Final = "portfolio_outbox"
"""Channel of Postgres NOTIFY on which dispatchers hear that there is something new."""
MESSAGES_AT_ONCE: Final = 5000
_BREAKS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_NO_TEXT: Final = re.compile(r"[\x00\ud800-\udfff]")
"""What Postgres cannot keep: NUL, and halves of characters."""

INSERT: Final = """
    with given as (
        select * from rows from (
            jsonb_to_recordset(cast(:messages as jsonb)) as (
                key text, user_id text, subject text, kind text, severity text, title text, text text, data jsonb,
                attachments jsonb, channel_ids integer[]
            )
        ) with ordinality
    ),
    new as (
        insert into app.outbox_messages
            (key, user_key, subject, kind, severity, title, text, data, attachments, created_at)
        select key, user_key, subject, kind, severity, title, text, data, attachments, :now
        from given left join app.users using (user_id) order by ordinality
        on conflict (key) do nothing
        returning message_id, key, user_key, subject, severity
    ),
    fanned_out as (
        insert into app.outbox_deliveries
            (message_id, channel_id, subject, status, attempts, claims, due_at, queued_at)
        select new.message_id, c.channel_id, new.subject, 'pending', 0, 0, cast(:now as timestamptz),
            cast(:now as timestamptz)
        from new join given using (key)
        join app.notification_channels c on c.user_key is not distinct from new.user_key
        where c.verified_at is not null and c.deleted_at is null and c.disabled_at is null
          and case when given.channel_ids is null
              then c.paused_at is null
                  and array_position(:severities, new.severity) >= array_position(:severities, c.least_severity)
              else c.channel_id = any (given.channel_ids) end
    )
    select count(*) from new
"""


class Severity(StrEnum):
    """How much it matters, from the least to the greatest."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class OutboxError(ValueError):
    """Messages that cannot be stored; the message of the error names them."""


@dataclass(frozen=True)
class Attachment:
    """A file that goes with a message. It stays where it is, below the home folder, until the message is delivered."""

    name: str
    media_type: str
    path: Path


@dataclass(frozen=True)
class Message:
    """Something that a user, or the operators of the installation, must be told once.

    Attributes:
        key: Deduplication key: one message for one key, for ever. Also the idempotency id of its deliveries.
        user_id: Who is told; None for the operators.
        subject: What it is about. In each channel the messages of a subject arrive in the order they were stored.
        kind: Such as "alert", "alert.resolved", "alert.cannot_tell", "export", "operations".
        severity: Channels can ask for the more severe ones alone.
        title: One line of plain text.
        text: Plain text; `templates` makes HTML of it where a channel wants it.
        data: The same for machines, the body of webhooks. Figures that are unknown are None, never NaN.
        attachments: Files that go with it.
        channel_ids: Only to these channels of the user, however severe and even if paused (then it waits); None for
            every channel that is verified and wants such a severity.
    """

    key: str
    user_id: str | None
    subject: str
    kind: str
    severity: Severity
    title: str
    text: str
    data: Mapping[str, JsonValue]
    attachments: tuple[Attachment, ...] = ()
    channel_ids: tuple[int, ...] | None = None


def put(connection: sa.Connection, messages: Iterable[Message], *, now: datetime | None = None) -> int:
    """Store messages in the caller's transaction and fan each out to the verified channels of its user.

    A key that is known changes nothing. Transactions that store messages take turns until they end: put them last, and
    never from two open transactions of one thread.

    Args:
        connection: An open transaction; nothing is committed here.
        messages: In the order in which they should arrive.
        now: Time of the entry; the clock when not given.

    Returns:
        How many were new.

    Raises:
        OutboxError: If a user is unknown or the data of a message is no JSON (NaN, infinity); nothing is stored.
    """
    given: dict[str, Message] = {}
    for message in messages:
        given.setdefault(message.key, message)
    if not given:
        return 0
    rows = [_row(message) for message in given.values()]
    _refuse_strangers(connection, {each.user_id for each in given.values() if each.user_id is not None})
    connection.execute(sa.text("select pg_advisory_xact_lock(:lock)"), {"lock": ORDER_LOCK})
    new = 0
    for start in range(0, len(rows), MESSAGES_AT_ONCE):
        batch = "[" + ",".join(rows[start : start + MESSAGES_AT_ONCE]) + "]"
        values = {"messages": batch, "now": now or datetime.now(UTC), "severities": [str(each) for each in Severity]}
        new += connection.scalar(sa.text(INSERT), values) or 0
    wake(connection)
    return new


def wake(connection: sa.Connection) -> None:
    """Wake dispatchers that wait, when the transaction commits."""
    connection.execute(sa.text(f"notify {WAKE}"))


def idempotency_id(key: str) -> str:
    """The id that receivers see of a message: the same at every attempt and in every channel, safe in headers."""
    return "msg_" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def one_line(text: str) -> str:
    """A text without line breaks and control characters, as a title or a header needs it."""
    return _BREAKS.sub(" ", text).strip()


def _row(message: Message) -> str:
    try:
        return json.dumps(
            {
                "key": _kept(message.key),
                "user_id": message.user_id,
                "subject": _kept(message.subject),
                "kind": message.kind,
                "severity": message.severity,
                "title": _kept(one_line(message.title)),
                "text": _kept(message.text),
                "data": _kept_json(dict(message.data)),
                "attachments": [
                    {"name": _kept(each.name), "media_type": each.media_type, "path": str(each.path)}
                    for each in message.attachments
                ],
                "channel_ids": message.channel_ids,
            },
            allow_nan=False,
        )
    except (TypeError, ValueError) as error:
        whose = message.user_id or "the operators"
        msg = f"message {message.key!r} of {whose} cannot be stored, its data is no JSON: {error}"
        raise OutboxError(msg) from error


def _kept(text: str) -> str:
    return _NO_TEXT.sub("�", text)


def _kept_json(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return _kept(value)
    if isinstance(value, Mapping):
        return {_kept(name): _kept_json(each) for name, each in value.items()}
    if isinstance(value, Sequence):
        return [_kept_json(each) for each in value]
    return value


def _refuse_strangers(connection: sa.Connection, users: set[str]) -> None:
    known = connection.scalars(
        sa.text("select user_id from app.users where user_id = any (:users)"), {"users": sorted(users)}
    )
    strangers = sorted(users - set(known))
    if strangers:
        msg = f"messages for users that are unknown: {', '.join(map(repr, strangers[:10]))}"
        raise OutboxError(msg)
