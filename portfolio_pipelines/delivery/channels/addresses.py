"""Addresses of channels as people write them: what is wrong with one, and how much of it may be shown."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from portfolio_pipelines.delivery.channels.letters import Kind
from portfolio_pipelines.settings import Settings

LONGEST_ADDRESS: Final = 500
VENDOR_SCHEMES: Final = frozenset(
    {"discord", "gchat", "opsgenie", "pagerduty", "pbul", "pover", "slack", "tgram", "wxteams"}
)
"""Apprise addresses that lead to their vendor's own host, whatever they hold; others name a host, which is checked."""
_MAIL: Final = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*@[a-z0-9.-]+", re.IGNORECASE)
_TOPIC: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SCHEME: Final = re.compile(r"([a-z][a-z0-9]*)://\S+", re.IGNORECASE)


@dataclass(frozen=True)
class Address:
    """An address that makes sense.

    Attributes:
        whole: What senders need. Topics, webhook paths and chat tokens let anybody in who knows them.
        shown: What may be shown.
    """

    whole: SecretStr
    shown: str


def read_address(kind: Kind, text: str, settings: Settings) -> Address | list[str]:
    """Read an address.

    Returns:
        The address, or everything that is wrong with it; faults do not repeat what could be a secret.
    """
    text = text.strip()
    if len(text) > LONGEST_ADDRESS:
        return [f"an address has at most {LONGEST_ADDRESS} characters"]
    match kind:
        case Kind.EMAIL:
            faults, shown = _mail_faults(text, settings), text
        case Kind.WEBHOOK:
            faults, shown = _url_faults(text), _shown_url(text)
        case Kind.NTFY:
            faults, shown = _ntfy_faults(text), _shown_topic(text)
        case Kind.APPRISE:
            faults, shown = _apprise_faults(text, settings), f"{text.partition('://')[0].lower()}://…"
    return faults or Address(SecretStr(text), shown)


def _mail_faults(text: str, settings: Settings) -> list[str]:
    from portfolio_pipelines.delivery.safe_connections import url_faults

    faults = []
    if not settings.smtp_host or not settings.smtp_from:
        faults.append("no mail can be sent: set PORTFOLIO_SMTP_HOST and PORTFOLIO_SMTP_FROM first")
    local, _, domain = text.rpartition("@")
    if not _MAIL.fullmatch(text) or len(local) > 64 or url_faults(f"https://{domain}"):
        faults.append(f"{text[:100]!r} is no mail address such as ann@example.com")
    return faults


def _url_faults(text: str) -> list[str]:
    from portfolio_pipelines.delivery.safe_connections import url_faults

    return url_faults(text)


def _shown_url(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:
        return "…"
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}" + ("/…" if parts.path.strip("/") or parts.query else "")


def _ntfy_faults(text: str) -> list[str]:
    if "://" not in text:
        return [] if _TOPIC.fullmatch(text) else ["a topic has 1 to 64 letters, digits, - and _"]
    faults = _url_faults(text)
    parts = None if faults else urlsplit(text)
    if parts is not None and (not _TOPIC.fullmatch(parts.path.strip("/")) or parts.query):
        faults.append("the address of a topic looks like https://ntfy.example.com/topic")
    return faults


def _shown_topic(text: str) -> str:
    return _shown_url(text) if "://" in text else f"{text[:3]}…"


def _apprise_faults(text: str, settings: Settings) -> list[str]:
    found = _SCHEME.fullmatch(text)
    scheme = found.group(1).lower() if found else ""
    allowed = ", ".join(f"{each}://" for each in settings.apprise_schemes)
    if scheme not in settings.apprise_schemes:
        return [f"an Apprise address begins with one of {allowed} (PORTFOLIO_APPRISE_SCHEMES decides)"]
    if "?" in text:
        # Options can name files and addresses that Apprise would read, such as templates.
        return ["an Apprise address must not hold a ?: its options are not taken"]
    from portfolio_pipelines.delivery.channels.apprise_services import is_complete

    return (
        [] if is_complete(text) else [f"this is no complete {scheme}:// address: Apprise's page of it shows its parts"]
    )
