"""`portfolio channels …`: where messages go. Secrets are printed once, when they are made."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import polars as pl
from pydantic import SecretStr

from portfolio_pipelines.commands.console import OUT, CommandError
from portfolio_pipelines.commands.reading import print_frame
from portfolio_pipelines.delivery.channels.letters import Outcome, Result
from portfolio_pipelines.delivery.dispatch import utc_now
from portfolio_pipelines.resources.platform import Platform

OPERATORS: Final = "@operators"
"""Stands for the operators of the installation where a user is named."""
NO_CHANNELS: Final = (
    "nobody has a channel; `portfolio channels add USER email ann@example.com` adds one "
    f"({OPERATORS} as USER for the operators)"
)


def add_channel(
    platform: Platform, user: str, kind: str, address: str, *, least_severity: str, time_zone: str | None
) -> None:
    """Add a channel and send its code through it.

    Raises:
        CommandError: With all that is wrong.
    """
    from portfolio_pipelines.delivery.channels.probing import send_code
    from portfolio_pipelines.delivery.channels.registered import add_channel as add

    database, now = platform.database, utc_now()
    with _refusals():
        new = add(
            database.engine, database.settings, _owner(user), kind, address,
            least_severity=least_severity, time_zone=time_zone, now=now,
        )  # fmt: skip
        outcome = send_code(database, new.channel_id, new.code, now)
    OUT.print(f"channel {new.channel_id} of {user}: {kind} {new.shown}", markup=False)
    if new.signing_secret is not None:
        _show_secret(new.signing_secret)
    _tell_of_code(new.channel_id, outcome)


def verify_channel(platform: Platform, number: int, code: str) -> None:
    """Verify a channel.

    Raises:
        CommandError: If the code does not hold.
    """
    from portfolio_pipelines.delivery.channels.registered import verify_channel as verify

    with _refusals():
        verify(platform.database.engine, platform.settings, number, code, utc_now())
    OUT.print(f"channel {number} is verified: messages go there from now on.", markup=False)


def show_channels(platform: Platform, user: str | None, form: str) -> None:
    """Channels that are not deleted, of one user or of all."""
    from portfolio_pipelines.delivery.channels.listing import channels_frame

    frame = channels_frame(platform.database.engine, utc_now())
    if user is not None:
        owner = _owner(user)
        frame = frame.filter(pl.col("user_id").eq_missing(owner))
    print_frame(frame.with_columns(pl.col("user_id").fill_null(OPERATORS)), form, NO_CHANNELS)


def pause_channel(platform: Platform, number: int) -> None:
    """Send nothing for now."""
    from portfolio_pipelines.delivery.channels.registered import pause_channel as pause

    with _refusals():
        pause(platform.database.engine, number, utc_now())
    OUT.print(f"channel {number} is paused; what happens meanwhile is not sent later.", markup=False)


def resume_channel(platform: Platform, number: int) -> None:
    """Send again."""
    from portfolio_pipelines.delivery.channels.registered import resume_channel as resume

    with _refusals():
        resume(platform.database.engine, number)
    OUT.print(f"channel {number} gets messages again.", markup=False)


def delete_channel(platform: Platform, number: int) -> None:
    """Forget a channel."""
    from portfolio_pipelines.delivery.channels.registered import delete_channel as delete

    with _refusals():
        delete(platform.database.engine, number, utc_now())
    OUT.print(f"channel {number} is deleted, its address forgotten.", markup=False)


def rotate_secret(platform: Platform, number: int) -> None:
    """Give a webhook a new secret."""
    from portfolio_pipelines.delivery.channels.registered import OLD_SECRET_SIGNS
    from portfolio_pipelines.delivery.channels.registered import rotate_secret as rotate

    with _refusals():
        secret = rotate(platform.database.engine, platform.settings, number, utc_now())
    _show_secret(secret)
    OUT.print(f"The secret before it signs beside it for {OLD_SECRET_SIGNS // timedelta(hours=1)} hours.")


def test_channel(platform: Platform, number: int) -> None:
    """Send a test message; to a channel that is not verified a new code.

    Raises:
        CommandError: If it was not delivered.
    """
    from portfolio_pipelines.delivery.channels.listing import is_verified
    from portfolio_pipelines.delivery.channels.probing import send_code, send_test
    from portfolio_pipelines.delivery.channels.registered import renew_code

    database, now = platform.database, utc_now()
    with _refusals():
        if not is_verified(database.engine, number):
            code = renew_code(database.engine, database.settings, number, now)
            _tell_of_code(number, send_code(database, number, code, now))
            return
        outcome = send_test(database, number, now)
    if outcome.result is not Result.DELIVERED:
        msg = f"channel {number} did not take the test message: {outcome.reason}"
        raise CommandError(msg)
    OUT.print(f"channel {number} took the test message.", markup=False)


def seal_again(platform: Platform) -> None:
    """Seal all addresses and secrets with the newest key."""
    from portfolio_pipelines.delivery.channels.registered import seal_again as seal

    with _refusals():
        changed = seal(platform.database.engine, platform.settings)
    OUT.print(f"{changed} channels are sealed with the newest key; the older keys are no longer needed.")


def _owner(user: str) -> str | None:
    return None if user == OPERATORS else user


def _show_secret(secret: SecretStr) -> None:
    OUT.print(f"Signing secret, shown this once: {secret.get_secret_value()}", markup=False)


def _tell_of_code(number: int, outcome: Outcome) -> None:
    if outcome.result is Result.DELIVERED:
        OUT.print(f"A code was sent there: `portfolio channels verify {number} CODE`", markup=False)
        return
    msg = (
        f"the code of channel {number} could not be sent: {outcome.reason}. Put that right, then "
        f"`portfolio channels test {number}` sends another, or `portfolio channels delete {number}`"
    )
    raise CommandError(msg)


@contextmanager
def _refusals() -> Iterator[None]:
    """What is refused, as an error that people can read."""
    from portfolio_pipelines.delivery.channels.registered import ChannelRefusedError
    from portfolio_pipelines.resources.sealing import SealingError

    try:
        yield
    except (ChannelRefusedError, SealingError) as error:
        raise CommandError(str(error)) from error
