"""Push messages through ntfy: one JSON document to the server, so that no title can become a header."""

import json
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from portfolio_pipelines.delivery.channels.letters import Letter, Outcome, Target
from portfolio_pipelines.delivery.channels.webhooks import post
from portfolio_pipelines.delivery.posting import Poster
from portfolio_pipelines.delivery.templates import page
from portfolio_pipelines.settings import Settings

LONGEST_MESSAGE: Final = 3_900
"""Bytes; from 4,096 on a server turns the message into a file. Source: docs.ntfy.sh/publish."""
PRIORITIES: Final[Mapping[str, int]] = {"info": 3, "warning": 4, "critical": 5}
TAGS: Final[Mapping[str, str]] = {"info": "information_source", "warning": "warning", "critical": "rotating_light"}


async def send(user_poster: Poster, own_poster: Poster, target: Target, letter: Letter, settings: Settings) -> Outcome:
    """Push a message to a topic.

    Args:
        user_poster: For servers that the user names: public ones alone.
        own_poster: For the server of the settings.
        target: A topic of the server of the settings, or https://server/topic.
        letter: The message; files stay behind, their names are told.
        settings: The server and its token.
    """
    address = target.address.get_secret_value()
    sent = {"Content-Type": "application/json", "User-Agent": "portfolio-pipelines", "X-Id": letter.idempotency_id}
    if "://" not in address:
        if settings.ntfy_token is not None:
            sent["Authorization"] = f"Bearer {settings.ntfy_token.get_secret_value()}"
        url = settings.ntfy_url.rstrip("/") + "/"
        return await post(own_poster, url, sent, _document(address, target, letter))
    parts = urlsplit(address)
    return await post(
        user_poster, f"{parts.scheme}://{parts.netloc}/", sent, _document(parts.path.strip("/"), target, letter)
    )


def _document(topic: str, target: Target, letter: Letter) -> bytes:
    made = page(
        letter.title,
        letter.text,
        letter.severity,
        letter.data,
        letter.created_at,
        time_zone=target.time_zone,
        files=[f"{each.name} (mail and webhooks bring files)" for each in letter.attachments],
    )
    message = made.text.encode()
    if len(message) > LONGEST_MESSAGE:
        message = message[:LONGEST_MESSAGE].decode(errors="ignore").encode() + "…".encode()
    document = {
        "topic": topic,
        "title": made.title,
        "message": message.decode(),
        "priority": PRIORITIES[letter.severity],
        "tags": [TAGS[letter.severity]],
    }
    return json.dumps(document, ensure_ascii=False).encode()
