"""`portfolio outbox …`: what is owed, what was given up, and sending it."""

from typing import Final

from portfolio_pipelines.commands.console import ERR, OUT, CommandError
from portfolio_pipelines.commands.reading import print_frame
from portfolio_pipelines.delivery.dispatch import Counts, utc_now
from portfolio_pipelines.resources.platform import Platform

EMPTY: Final = "no such message is in the outbox"


def show_outbox(platform: Platform, user: str | None, status: str | None, most: int, form: str) -> None:
    """Deliveries, the newest first.

    Raises:
        CommandError: If there is no such status.
    """
    from portfolio_pipelines.delivery.outbox_reading import STATUSES, deliveries_frame

    if status is not None and status not in STATUSES:
        msg = f"a status is one of {', '.join(STATUSES)}, not {status!r}"
        raise CommandError(msg)
    print_frame(deliveries_frame(platform.database.engine, status=status, user_id=user, most=most), form, EMPTY)


def retry(platform: Platform, deliveries: list[int], channel: int | None, *, everything: bool) -> None:
    """Make dead deliveries due again.

    Raises:
        CommandError: If it is not said which, or none of them is dead.
    """
    from portfolio_pipelines.delivery.outbox_reading import retry as revive

    if bool(deliveries) + (channel is not None) + everything != 1:
        msg = "say which: numbers of deliveries, or --channel, or --all"
        raise CommandError(msg)
    revived = revive(platform.database.engine, utc_now(), deliveries=deliveries or None, channel=channel)
    if not revived:
        msg = "nothing of that is dead: `portfolio outbox list --status dead` shows what is"
        raise CommandError(msg)
    OUT.print(f"{revived} deliveries are due again; `portfolio outbox dispatch` sends them.")


def dispatch(platform: Platform, *, follow: bool) -> None:
    """Send what is due; with `follow` for ever.

    Raises:
        CommandError: If the keys of sealed secrets make no sense.
    """
    from portfolio_pipelines.delivery.dispatch import dispatch as send
    from portfolio_pipelines.delivery.following import follow as go_on
    from portfolio_pipelines.resources.sealing import SealingError

    try:
        if not follow:
            OUT.print(_told(send(platform.database)))
            return
        ERR.print("Sending what the outbox owes; Ctrl+C ends it, at any moment.")
        for counts in go_on(platform.database):
            if counts != Counts():
                OUT.print(f"{utc_now():%Y-%m-%d %H:%M:%S} UTC  {_told(counts)}")
    except SealingError as error:
        raise CommandError(str(error)) from error
    except KeyboardInterrupt:
        ERR.print("Ended. What was being sent is due again in two minutes.")


def _told(counts: Counts) -> str:
    return (
        f"{counts.delivered} delivered, {counts.failed} to be tried again, {counts.dead} given up, "
        f"{counts.abandoned} abandoned"
    )
