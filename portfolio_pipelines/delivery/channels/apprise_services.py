"""Push and chat services through Apprise, limited to the kinds of addresses that the operator allows.

Apprise makes its own connections: it is handed addresses that lead to their vendor's host, and others only after every
address of their host was checked. That check cannot hold against a name that changes its meaning in between, which is
why such kinds are not allowed unless the operator adds them.
"""

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from portfolio_pipelines.delivery.channels.addresses import VENDOR_SCHEMES
from portfolio_pipelines.delivery.channels.letters import DELIVERED, Letter, Outcome, Result, Target
from portfolio_pipelines.delivery.safe_connections import RefusedTargetError, Resolve, TargetRules
from portfolio_pipelines.delivery.templates import page

if TYPE_CHECKING:
    from apprise import NotifyBase

SEVERITY_TYPES: Final = {"info": "info", "warning": "warning", "critical": "failure"}


def is_complete(address: str) -> bool:
    """Whether Apprise can make something of the address."""
    return _plugin(address) is not None


async def send(
    rules: TargetRules, resolve: Resolve, target: Target, letter: Letter, *, seconds: float, schemes: tuple[str, ...]
) -> Outcome:
    """Send a message through the service that the address names.

    Args:
        rules: Which hosts may be reached.
        resolve: Asked for the addresses of hosts.
        target: With an address whose form was checked (`addresses.read_address`).
        letter: The message; its files go along where the service takes files.
        seconds: Time to connect and to answer.
        schemes: Kinds of addresses that are allowed now.
    """
    address = target.address.get_secret_value()
    scheme = address.partition("://")[0].lower()
    if scheme not in schemes:
        return Outcome(Result.REJECTED, f"{scheme}:// is not allowed any more (PORTFOLIO_APPRISE_SCHEMES)")
    plugin = _plugin(address)
    if plugin is None:
        return Outcome(Result.REJECTED, f"Apprise cannot read this {scheme}:// address any more")
    if scheme not in VENDOR_SCHEMES:
        host, encrypted = str(plugin.host or ""), bool(plugin.secure)
        port = int(plugin.port or (443 if encrypted else 80))
        try:
            rules.checked(await resolve(host, port), port, encrypted=encrypted)
        except RefusedTargetError as error:
            return Outcome(Result.BUSY, str(error))
    plugin.redirects = False  # it would follow them to anywhere
    plugin.verify_certificate = True
    plugin.socket_connect_timeout = plugin.socket_read_timeout = seconds
    return await asyncio.to_thread(_notify, plugin, target, letter)


def _notify(plugin: "NotifyBase", target: Target, letter: Letter) -> Outcome:
    from apprise import Apprise, AppriseAttachment

    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its messages hold parts of addresses
    made = page(letter.title, letter.text, letter.severity, letter.data, letter.created_at, time_zone=target.time_zone)
    files = AppriseAttachment([str(each.path) for each in letter.attachments]) if letter.attachments else None
    service = Apprise()
    service.add(plugin)
    taken = service.notify(
        body=made.text,
        title=made.title,
        notify_type=SEVERITY_TYPES[letter.severity],
        body_format="text",
        attach=files,
    )
    return DELIVERED if taken else Outcome(Result.BUSY, "the service did not take it")


def _plugin(address: str) -> "NotifyBase | None":
    from apprise import Apprise, NotifyBase

    logging.getLogger("apprise").setLevel(logging.CRITICAL)
    found = Apprise.instantiate(address, suppress_exceptions=True)
    return found if isinstance(found, NotifyBase) else None
