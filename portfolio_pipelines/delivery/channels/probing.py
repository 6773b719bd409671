"""Single messages that are sent at once, beside the outbox: the code of a new channel, and test messages."""

import asyncio
import secrets
from datetime import datetime

import sqlalchemy as sa
from pydantic import SecretStr

from portfolio_pipelines.delivery.channels.letters import Letter, Outcome
from portfolio_pipelines.delivery.channels.opened import STORED, opened
from portfolio_pipelines.delivery.channels.registered import CODE_HOLDS, ChannelRefusedError
from portfolio_pipelines.delivery.outbox import Severity, idempotency_id
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.sealing import Sealer


def send_code(database: Database, number: int, code: SecretStr, now: datetime) -> Outcome:
    """Send the verification code of a channel through it.

    Args:
        database: Where the channel is, and the settings of senders.
        number: The channel.
        code: As `registered` made it.
        now: Time of the message.
    """
    plain = code.get_secret_value()
    minutes = CODE_HOLDS.total_seconds() / 60
    text = (
        f"The code of channel {number} is {plain}. It holds for {minutes:g} minutes. Enter it with\n"
        f"portfolio channels verify {number} {plain}\n"
        "If you did not ask for messages of a portfolio, do nothing: none will come."
    )
    letter = _letter("channel.verification", "Code of a new channel", text, {"channel_id": number, "code": plain}, now)
    return _send(database, number, letter, now)


def send_test(database: Database, number: int, now: datetime) -> Outcome:
    """Send a test message through a channel.

    Args:
        database: Where the channel is, and the settings of senders.
        number: The channel.
        now: Time of the message.
    """
    text = f"Channel {number} works: messages of this portfolio arrive here."
    return _send(database, number, _letter("channel.test", "A test message", text, {"channel_id": number}, now), now)


def _letter(kind: str, title: str, text: str, data: dict[str, object], now: datetime) -> Letter:
    return Letter(idempotency_id(secrets.token_hex()), kind, Severity.INFO, title, text, data, (), now)


def _send(database: Database, number: int, letter: Letter, now: datetime) -> Outcome:
    with database.engine.connect() as connection:
        row = connection.execute(
            sa.text(f"""
                select {STORED} from app.notification_channels where channel_id = :number and deleted_at is null
            """),  # noqa: S608 (a constant)
            {"number": number},
        ).one_or_none()
    if row is None:
        msg = f"there is no channel {number}: `portfolio channels list` shows them"
        raise ChannelRefusedError(msg)
    target = opened(row, Sealer.of(database.settings), now)

    async def send() -> Outcome:
        from portfolio_pipelines.delivery.channels.sending import open_senders

        async with open_senders(database.settings) as senders:
            return await senders.send(target, letter, now)

    return asyncio.run(send())
