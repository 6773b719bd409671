"""Webhooks as the convention Standard Webhooks 1.0.0 wants them, verified by its own library."""

import base64
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from portfolio_pipelines.delivery.channels.letters import Letter
from portfolio_pipelines.delivery.channels.webhooks import LARGEST_FILES, body_of, headers, new_secret, signature
from portfolio_pipelines.delivery.outbox import Attachment, Severity

LETTER = Letter(
    "msg_1", "alert", Severity.CRITICAL, "Fell", "It fell.", {"value_usd": 1.5}, (), datetime(2026, 3, 1, tzinfo=UTC)
)


def test_a_signature_is_the_one_of_the_convention() -> None:
    """The example of the specification's reference libraries."""
    secret = SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_while_a_secret_rotates_both_verify_and_no_other() -> None:
    old, new, other = new_secret(), new_secret(), new_secret()
    body = body_of(LETTER)
    sent = headers("msg_1", datetime.now(UTC), body, (new, old))
    for secret in (old, new):
        assert Webhook(secret.get_secret_value()).verify(body, sent)["type"] == "alert"
    with pytest.raises(WebhookVerificationError):
        Webhook(other.get_secret_value()).verify(body, sent)
    with pytest.raises(WebhookVerificationError):
        Webhook(old.get_secret_value()).verify(body + b" ", sent)


def test_the_body_has_type_time_and_data() -> None:
    assert json.loads(body_of(LETTER)) == {
        "type": "alert",
        "timestamp": "2026-03-01T00:00:00+00:00",
        "data": {"value_usd": 1.5, "severity": "critical", "title": "Fell", "text": "It fell."},
    }


@pytest.mark.parametrize(
    "letter",
    [
        replace(LETTER, text="ä" * 100_000),
        replace(LETTER, data={"name": "x" * 50_000}),
        replace(LETTER, data={"names": ["🚀" * 300] * 5_000}),
        replace(LETTER, data={f"{name}{'x' * 50}": "y" for name in range(5_000)}),
        replace(LETTER, title="\u202e" * 30_000, text='"' * 30_000),
    ],
)
def test_a_body_stays_below_20_kilobytes_and_says_that_it_was_cut(letter: Letter) -> None:
    body = body_of(letter)
    assert len(body) <= 20_000
    assert json.loads(body)["data"]["truncated"] is True
    assert json.loads(body)["data"]["severity"] == "critical"


def test_files_come_inside_the_body_whole(tmp_path: Path) -> None:
    content = bytes(range(256)) * 100
    file = tmp_path / "export.xlsx"
    file.write_bytes(content)
    (found,) = json.loads(body_of(replace(LETTER, attachments=(Attachment("ann.xlsx", "application/x", file),))))[
        "data"
    ]["attachments"]
    assert base64.b64decode(found.pop("content_base64")) == content
    digest = hashlib.sha256(content).hexdigest()
    assert found == {"name": "ann.xlsx", "media_type": "application/x", "size": len(content), "sha256": digest}
    with file.open("wb") as large:
        large.truncate(LARGEST_FILES + 1)
    with pytest.raises(ValueError, match="8 MB"):
        body_of(replace(LETTER, attachments=(Attachment("ann.xlsx", "application/x", file),)))
