"""Scheduled exports all the way: a mail server and a web server on loopback get the files, once each."""

# ruff: noqa: N802, ARG002 (the names and arguments that aiosmtpd wants)

import base64
import csv
import email
import email.policy
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
import sqlalchemy as sa
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from standardwebhooks.webhooks import Webhook

from portfolio_pipelines.delivery.dispatch import utc_now
from portfolio_pipelines.delivery.exports.datasets import Form, What
from portfolio_pipelines.delivery.exports.due_times import Period, RangeRule, Timetable
from portfolio_pipelines.delivery.exports.scheduled import ExportDesk, make_all_due
from portfolio_pipelines.delivery.exports.schedules import Wish, add_schedule
from portfolio_pipelines.resources.figure_rules import FigureRules
from portfolio_pipelines.resources.warehouse import Warehouse
from tests.integration.delivery.conftest import Desk, Receiver
from tests.integration.marts.wallets.exports.conftest import FORMULA

DUE = datetime(2025, 2, 1, 7, tzinfo=UTC)  # 08:00 in Berlin
WISH = Wish(What.PNL, Form.CSV, Timetable(Period.DAILY, time(8), "Europe/Berlin"), RangeRule.EVERYTHING)


class Mailbox:
    """What a mail server took."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        found = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(found, EmailMessage)
        self.mails.append(found)
        return "250 OK"


class MailServer(Controller):
    """On a free port: aiosmtpd itself looks for it at the port that it was asked for."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    box = Mailbox()
    server = MailServer(box, hostname="127.0.0.1", port=0)
    server.start()
    yield box, server.port
    server.stop()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def house(database: sa.Engine, tmp_path: Path, mailbox: tuple[Mailbox, int]) -> Iterator[Desk]:
    """An installation with Alice, whose mail goes to the mail server."""
    with database.begin() as connection:
        connection.execute(sa.text("insert into app.users (user_id) values ('alice')"))
    made = Desk(
        database, tmp_path / "home", smtp_host="127.0.0.1", smtp_port=mailbox[1], smtp_security="none",
        smtp_from="Portfolio <portfolio@example.com>",
    )  # fmt: skip
    made.clock.now = DUE - timedelta(days=1)
    yield made
    made.database.engine.dispose()


def test_a_mail_and_a_webhook_bring_the_files_once(
    house: Desk, warehouse: Warehouse, mailbox: tuple[Mailbox, int], receiver: Receiver
) -> None:
    mail = house.channel("email", "alice@example.com", "alice")
    hook = house.channel("webhook", f"{receiver.url}/exports", "alice")
    for name, wish in (
        ("by mail", replace(WISH, channel_id=mail.channel_id)),
        ("by hook", replace(WISH, channel_id=hook.channel_id, form=Form.JSON)),
    ):
        add_schedule(house.engine, "alice", name, wish, who="tests", now=house.clock())
    desk = ExportDesk(house.engine, warehouse, house.settings.exports, FigureRules())
    receiver.got.clear()
    house.clock.now = DUE + timedelta(seconds=20)
    assert [made.status for made in make_all_due(desk, house.clock())] == ["done", "done"]
    assert house.dispatch(clock=utc_now).delivered == 2  # whoever verifies a signature looks at the clock
    assert list(make_all_due(desk, house.clock())) == []
    assert house.dispatch(clock=utc_now).delivered == 0

    (sent,) = mailbox[0].mails
    assert sent["Subject"] == "Export by mail: everything to 2025-01-31"
    (attached,) = sent.iter_attachments()
    assert attached.get_filename() == "by-mail-to-2025-01-31.zip"
    with zipfile.ZipFile(io.BytesIO(attached.get_payload(decode=True))) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("transactions.csv").decode(), newline="")))
        assert json.loads(archive.read("manifest.json"))["user_id"] == "alice"
    assert [row["transaction_id"] for row in rows] == [f"'{FORMULA}"]  # the second one is of a later day

    (posted,) = receiver.got
    assert hook.signing_secret is not None
    body = Webhook(hook.signing_secret.get_secret_value()).verify(posted.body, dict(posted.headers))
    assert body["data"]["scheduled_for"] == "2025-02-01T07:00:00Z"
    (file,) = body["data"]["attachments"]
    document = json.loads(base64.b64decode(file["content_base64"]))
    assert [row["transaction_id"] for row in document["tables"]["transactions"]] == [FORMULA]
