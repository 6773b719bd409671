"""Webhooks by the convention Standard Webhooks 1.0.0: what is posted, and how it is signed.

The body is `{"type", "timestamp", "data"}`. `webhook-id` is the same at every attempt, `webhook-timestamp` the time of
the attempt, `webhook-signature` one signature for each secret that holds: HMAC-SHA256 of `id.timestamp.body`. Bodies
stay below 20 KB; files come inside the body, in base64, so that every library of the convention can verify them.
"""

import base64
import hashlib
import hmac
import json
import math
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from pydantic import SecretStr

from portfolio_pipelines.delivery.channels.letters import DELIVERED, Letter, Outcome, Result, Target
from portfolio_pipelines.delivery.posting import NoAnswerError, Poster
from portfolio_pipelines.delivery.templates import LONGEST_TEXT

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 (the convention's word)
SECRET_BYTES: Final = 32
LARGEST_BODY: Final = 20_000
"""Bytes without files: what the convention asks for."""
LARGEST_FILES: Final = 8_000_000
"""Bytes of all files of a message before base64; larger exports belong into mails or folders."""
LONGEST_STRING: Final = 500
BUSY: Final = frozenset({408, 425, 429, 502, 503, 504})


def new_secret() -> SecretStr:
    """A new signing secret of 256 bits."""
    return SecretStr(SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode())


def signature(secret: SecretStr, message_id: str, timestamp: int, body: bytes) -> str:
    """One `v1` signature."""
    key = base64.b64decode(secret.get_secret_value().removeprefix(SECRET_PREFIX))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def headers(message_id: str, now: datetime, body: bytes, signing_secrets: Sequence[SecretStr]) -> dict[str, str]:
    """The headers of one attempt."""
    timestamp = math.floor(now.timestamp())
    return {
        "Content-Type": "application/json",
        "User-Agent": "portfolio-pipelines",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signature(each, message_id, timestamp, body) for each in signing_secrets),
    }


def body_of(letter: Letter) -> bytes:
    """The body of a message. What is too long in its data is cut, and `data.truncated` says so.

    Raises:
        FileNotFoundError: If one of its files is gone.
        ValueError: If its files are too large.
    """
    whole = {
        "type": letter.kind,
        "timestamp": letter.created_at.isoformat(),
        "data": {**letter.data, "severity": letter.severity, "title": letter.title, "text": letter.text},
    }
    body = _json(whole)
    if len(body) > LARGEST_BODY:
        shorter = _cut(whole["data"])
        body = _json(whole | {"data": shorter | {"truncated": True}})
    if len(body) > LARGEST_BODY:
        least = {"severity": letter.severity, "title": letter.title[:LONGEST_STRING], "truncated": True}
        text = letter.text.encode()[:LONGEST_TEXT].decode(errors="ignore")
        whole["data"] = least | {"text": text}
        body = _json(whole)
    if not letter.attachments:
        return body
    with_files = json.loads(body)
    with_files["data"]["attachments"] = _files(letter)
    return _json(with_files)


async def send(poster: Poster, target: Target, letter: Letter, now: datetime) -> Outcome:
    """Post a message to a webhook; 2xx is delivered, everything else is not."""
    try:
        body = body_of(letter)
    except OSError as error:
        return Outcome(Result.REJECTED, f"its file cannot be read: {error.strerror}")
    except ValueError as error:
        return Outcome(Result.REJECTED, f"its files cannot be sent: {error}")
    sent = headers(letter.idempotency_id, now, body, target.signing_secrets)
    return await post(poster, target.address.get_secret_value(), sent, body)


async def post(poster: Poster, url: str, sent: Mapping[str, str], body: bytes) -> Outcome:
    """Post, and read the answer as the convention says: 410 ends the channel, some ask for patience."""
    try:
        answer = await poster.post(url, sent, body)
    except NoAnswerError as error:
        return Outcome(Result.BUSY, str(error))
    if 200 <= answer.status < 300:
        return DELIVERED
    reason = f"it answered with status {answer.status}"
    if answer.status == 410:
        return Outcome(Result.GONE, reason)
    if answer.status in BUSY or answer.wait is not None:
        return Outcome(Result.BUSY, reason, answer.wait)
    if 300 <= answer.status < 400:
        reason += ": redirects are not followed, change the address instead"
    return Outcome(Result.FAILED, reason)


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= LONGEST_STRING else value[:LONGEST_STRING] + "…"
    if isinstance(value, dict):
        return {_cut(name): _cut(each) for name, each in value.items()}
    return [_cut(each) for each in value] if isinstance(value, list) else value


def _files(letter: Letter) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    total = 0
    for each in letter.attachments:
        total += each.path.stat().st_size
        if total > LARGEST_FILES:
            msg = f"more than {LARGEST_FILES / 1e6:g} MB in one webhook; a mail or a folder takes more"
            raise ValueError(msg)
        content = each.path.read_bytes()
        found.append(
            {
                "name": each.name,
                "media_type": each.media_type,
                "size": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
                "content_base64": base64.b64encode(content).decode(),
            }
        )
    return found
