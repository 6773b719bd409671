"""All senders of an installation, opened together: a message goes to its channel by the kind of the channel."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import httpcore

from portfolio_pipelines.delivery.channels import apprise_services, ntfy, webhooks
from portfolio_pipelines.delivery.channels.letters import Kind, Letter, Outcome, Target
from portfolio_pipelines.delivery.channels.mail import MailServer
from portfolio_pipelines.delivery.posting import Poster, open_poster
from portfolio_pipelines.delivery.safe_connections import Resolve, TargetRules, resolve
from portfolio_pipelines.settings import Settings


class Senders:
    """Sends one message to one channel; any number at once."""

    def __init__(
        self, settings: Settings, user_poster: Poster, own_poster: Poster, mail: MailServer, resolver: Resolve
    ) -> None:
        self._settings = settings
        self._user_poster = user_poster
        self._own_poster = own_poster
        self._mail = mail
        self._resolver = resolver

    async def send(self, target: Target, letter: Letter, now: datetime) -> Outcome:
        """Attempt a delivery; every failure is an outcome.

        Args:
            target: The channel.
            letter: The message.
            now: Time of the attempt, as receivers see it.
        """
        match target.kind:
            case Kind.EMAIL:
                return await self._mail.send(target, letter)
            case Kind.WEBHOOK:
                return await webhooks.send(self._user_poster, target, letter, now)
            case Kind.NTFY:
                return await ntfy.send(self._user_poster, self._own_poster, target, letter, self._settings)
            case Kind.APPRISE:
                return await apprise_services.send(
                    TargetRules(self._settings.webhook_allow_networks),
                    self._resolver,
                    target,
                    letter,
                    seconds=self._settings.delivery_timeout_seconds,
                    schemes=self._settings.apprise_schemes,
                )


@asynccontextmanager
async def open_senders(
    settings: Settings, *, resolver: Resolve = resolve, connector: httpcore.AsyncNetworkBackend | None = None
) -> AsyncIterator[Senders]:
    """Open all senders; connections are made when they are first used.

    Args:
        settings: Servers, time limits, and what may be reached.
        resolver: Asked for the addresses of hosts that users name.
        connector: Opens connections to addresses.
    """
    mail = MailServer(settings)
    rules = TargetRules(settings.webhook_allow_networks)
    seconds, authorities = settings.delivery_timeout_seconds, settings.ca_file
    try:
        async with (
            open_poster(rules, seconds=seconds, ca_file=authorities, resolver=resolver, connector=connector) as user,
            open_poster(None, seconds=seconds, ca_file=authorities, connector=connector) as own,
        ):
            yield Senders(settings, user, own, mail, resolver)
    finally:
        await asyncio.to_thread(mail.close)
