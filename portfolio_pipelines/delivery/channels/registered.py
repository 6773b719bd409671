"""Channels that people add, verify, pause and delete.

Nothing but a code is sent to an address until somebody who reads it has given the code back: nobody can have messages
sent to others. Belongs here: the states of a channel; messages are sent by `dispatch`, single ones by `probing`.
"""

import hmac
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import sqlalchemy as sa
from pydantic import SecretStr

from portfolio_pipelines.delivery.channels.addresses import read_address
from portfolio_pipelines.delivery.channels.letters import Kind
from portfolio_pipelines.delivery.channels.opened import place
from portfolio_pipelines.delivery.channels.webhooks import new_secret
from portfolio_pipelines.delivery.outbox import Severity
from portfolio_pipelines.resources.sealing import Sealer
from portfolio_pipelines.settings import Settings

MOST_CHANNELS: Final = 20
"""Of one user, or of the operators."""
CODE_DIGITS: Final = 8
CODE_HOLDS: Final = timedelta(hours=1)
MOST_TRIES: Final = 5
OLD_SECRET_SIGNS: Final = timedelta(hours=24)
"""How long the previous secret of a webhook still signs after a rotation."""


class ChannelRefusedError(ValueError):
    """What was asked of a channel makes no sense; the message says all that is wrong, and no secret."""


@dataclass(frozen=True)
class NewChannel:
    """A channel as it was added.

    Attributes:
        channel_id: Its number.
        shown: Its address as it may be shown.
        code: To be sent through it, and given back.
        signing_secret: Of a webhook; shown this one time.
    """

    channel_id: int
    shown: str
    code: SecretStr
    signing_secret: SecretStr | None


def add_channel(
    engine: sa.Engine,
    settings: Settings,
    user_id: str | None,
    kind: str,
    address: str,
    *,
    least_severity: str,
    time_zone: str | None,
    now: datetime,
) -> NewChannel:
    """Add a channel that is not verified yet.

    Args:
        engine: The operational database.
        settings: What is allowed, and the keys of secrets.
        user_id: Whose; None for the operators.
        kind: email, webhook, ntfy or apprise.
        address: As a person wrote it.
        least_severity: Messages below are not sent.
        time_zone: Times are given in it, too; None for UTC alone.
        now: Time of the entry.

    Raises:
        ChannelRefusedError: With all faults at once.
        SealingError: If the keys make no sense.
    """
    faults = [] if least_severity in set(Severity) else [f"a severity is one of {', '.join(Severity)}"]
    if time_zone is not None and not _is_zone(time_zone):
        faults.append(f"{time_zone!r} is no time zone such as Europe/Berlin")
    read = read_address(Kind(kind), address, settings) if kind in set(Kind) else None
    if read is None:
        faults.append(f"a channel is one of {', '.join(Kind)}, not {kind!r}")
    faults += read if isinstance(read, list) else []
    sealer = Sealer.of(settings)
    with engine.begin() as connection:
        user_key = None
        if user_id is not None:
            user_key = connection.scalar(
                sa.text("select user_key from app.users where user_id = :user for update"), {"user": user_id}
            )
            if user_key is None:
                faults.append(f"there is no user {user_id!r}: import investments or wallets first")
        if faults or read is None or isinstance(read, list):
            raise ChannelRefusedError("\n".join(faults))
        _refuse_too_many(connection, sealer, user_key, kind, read.whole)
        number = int(
            connection.scalar(
                sa.text("select nextval(pg_get_serial_sequence('app.notification_channels', 'channel_id'))")
            )
            or 0
        )
        secret, code = new_secret() if kind == Kind.WEBHOOK else None, _new_code()
        connection.execute(
            sa.text("""
                insert into app.notification_channels (
                    channel_id, user_key, kind, shown_address, sealed_address, sealed_secret, least_severity, time_zone,
                    code_hash, code_expires_at, code_tries, failures, created_at
                ) values (
                    :number, :user_key, :kind, :shown, :address, :secret, :least_severity, :time_zone,
                    :code_hash, :code_expires_at, 0, 0, :now
                )
            """),
            {
                "number": number, "user_key": user_key, "kind": kind, "shown": read.shown,
                "address": sealer.seal(read.whole, place(number, "address")),
                "secret": None if secret is None else sealer.seal(secret, place(number, "secret")),
                "least_severity": least_severity, "time_zone": time_zone, "now": now,
                "code_hash": _code_hash(sealer, number, code), "code_expires_at": now + CODE_HOLDS,
            },
        )  # fmt: skip
    return NewChannel(number, read.shown, code, secret)


def renew_code(engine: sa.Engine, settings: Settings, number: int, now: datetime) -> SecretStr:
    """A new code for a channel that is not verified; the one before no longer holds.

    Raises:
        ChannelRefusedError: If there is no such channel, or it is verified.
    """
    sealer, code = Sealer.of(settings), _new_code()
    with _channel(engine, number) as (connection, row):
        if row.verified_at is not None:
            msg = f"channel {number} is verified"
            raise ChannelRefusedError(msg)
        _set(
            connection,
            number,
            code_hash=_code_hash(sealer, number, code),
            code_expires_at=now + CODE_HOLDS,
            code_tries=0,
        )
    return code


def verify_channel(engine: sa.Engine, settings: Settings, number: int, code: str, now: datetime) -> None:
    """Verify a channel by the code that was sent through it.

    Raises:
        ChannelRefusedError: If the code is wrong, too old, or was guessed too often.
    """
    sealer, fault = Sealer.of(settings), None
    with _channel(engine, number) as (connection, row):
        again = f"`portfolio channels test {number}` sends a new one"
        if row.verified_at is not None:
            return
        if row.code_hash is None or row.code_expires_at <= now:
            fault = f"the code of channel {number} has expired: {again}"
        elif row.code_tries >= MOST_TRIES:
            fault = f"channel {number} was given {MOST_TRIES} wrong codes: {again}"
        elif any(
            hmac.compare_digest(row.code_hash, each)
            for each in sealer.fingerprints("".join(code.split()), place(number, "code"))
        ):
            _set(connection, number, verified_at=now, code_hash=None, code_expires_at=None, code_tries=0)
        else:
            _set(connection, number, code_tries=row.code_tries + 1)
            fault = f"this is not the code of channel {number}; {MOST_TRIES - row.code_tries - 1} tries are left"
    if fault is not None:  # only now: the count of tries has to stay
        raise ChannelRefusedError(fault)


def pause_channel(engine: sa.Engine, number: int, now: datetime) -> None:
    """Send nothing for now. What is stored meanwhile is not sent later, except what names this channel.

    Raises:
        ChannelRefusedError: If there is no such channel.
    """
    with _channel(engine, number) as (connection, row):
        if row.paused_at is None:
            _set(connection, number, paused_at=now)


def resume_channel(engine: sa.Engine, number: int) -> None:
    """Send again.

    Raises:
        ChannelRefusedError: If there is no such channel, or its receiver is gone.
    """
    with _channel(engine, number) as (connection, row):
        if row.disabled_at is not None:
            msg = f"channel {number} is disabled ({row.disabled_why}): add its address again to prove that it is back"
            raise ChannelRefusedError(msg)
        _set(connection, number, paused_at=None, failures=0, held_until=None)


def delete_channel(engine: sa.Engine, number: int, now: datetime) -> None:
    """Forget the address and the secrets of a channel; what it delivered stays in the outbox.

    Raises:
        ChannelRefusedError: If there is no such channel.
    """
    with _channel(engine, number) as (connection, _):
        _set(
            connection, number, deleted_at=now, sealed_address=None, sealed_secret=None, sealed_previous_secret=None,
            previous_until=None, code_hash=None, code_expires_at=None,
        )  # fmt: skip
        connection.execute(
            sa.text("""
                update app.outbox_deliveries set status = 'abandoned', last_error = 'the channel was deleted'
                where channel_id = :number and status in ('pending', 'sending')
            """),
            {"number": number},
        )


def rotate_secret(engine: sa.Engine, settings: Settings, number: int, now: datetime) -> SecretStr:
    """Give a webhook a new signing secret; the one before signs beside it for a day.

    Raises:
        ChannelRefusedError: If there is no such channel, or it signs nothing.
    """
    sealer, secret = Sealer.of(settings), new_secret()
    with _channel(engine, number) as (connection, row):
        if row.kind != Kind.WEBHOOK:
            msg = f"channel {number} is of kind {row.kind}: only webhooks have a secret"
            raise ChannelRefusedError(msg)
        _set(
            connection, number, sealed_secret=sealer.seal(secret, place(number, "secret")),
            sealed_previous_secret=row.sealed_secret, previous_until=now + OLD_SECRET_SIGNS,
        )  # fmt: skip
    return secret


def seal_again(engine: sa.Engine, settings: Settings) -> int:
    """Seal everything with the newest key, after which older ones can be taken away.

    Returns:
        The number of channels that changed.

    Raises:
        SealingError: If one was sealed with a key that we do not have; nothing is changed then.
    """
    sealer, changed = Sealer.of(settings), 0
    columns = {"sealed_address": "address", "sealed_secret": "secret", "sealed_previous_secret": "secret"}
    with engine.begin() as connection:
        query = f"select channel_id, {', '.join(columns)} from app.notification_channels for no key update"  # noqa: S608 (constants)
        for row in connection.execute(sa.text(query)).mappings().all():
            number = int(row["channel_id"])
            new = {
                column: sealer.seal(sealer.open(row[column], f"channel {number} {what}"), f"channel {number} {what}")
                for column, what in columns.items()
                if row[column] is not None and not sealer.is_current(row[column])
            }
            if new:
                _set(connection, number, **new)
                changed += 1
    return changed


@contextmanager
def _channel(engine: sa.Engine, number: int) -> Iterator[tuple[sa.Connection, sa.Row[Any]]]:
    """A channel, locked until the end of the block."""
    with engine.begin() as connection:
        # Not "for update": messages that are being stored for the channel may go on.
        query = """
            select * from app.notification_channels where channel_id = :number and deleted_at is null for no key update
        """
        row = connection.execute(sa.text(query), {"number": number}).one_or_none()
        if row is None:
            msg = f"there is no channel {number}: `portfolio channels list` shows them"
            raise ChannelRefusedError(msg)
        yield connection, row


def _set(connection: sa.Connection, number: int, **values: object) -> None:
    columns = ", ".join(f"{name} = :{name}" for name in values)
    connection.execute(
        sa.text(f"update app.notification_channels set {columns} where channel_id = :number"),  # noqa: S608 (our names)
        {**values, "number": number},
    )


def _refuse_too_many(
    connection: sa.Connection, sealer: Sealer, user_key: int | None, kind: str, address: SecretStr
) -> None:
    rows = connection.execute(
        sa.text("""
            select channel_id, kind, sealed_address, disabled_at from app.notification_channels
            where user_key is not distinct from cast(:user_key as integer) and deleted_at is null
        """),
        {"user_key": user_key},
    ).all()
    if len(rows) >= MOST_CHANNELS:
        msg = f"there are {MOST_CHANNELS} channels already: delete one first"
        raise ChannelRefusedError(msg)
    for row in rows:
        same_kind = row.kind == kind and row.disabled_at is None
        if same_kind and sealer.open(row.sealed_address, place(row.channel_id, "address")) == address:
            msg = f"this address is channel {row.channel_id} already"
            raise ChannelRefusedError(msg)


def _new_code() -> SecretStr:
    return SecretStr(f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}")


def _code_hash(sealer: Sealer, number: int, code: SecretStr) -> str:
    return sealer.fingerprints(code.get_secret_value(), place(number, "code"))[0]


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
