"""Mail to a real server on loopback: over TLS with a login, with files, and refused in every way."""

# ruff: noqa: N802, ARG002 (the names and arguments that aiosmtpd wants)

import email
import email.policy
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from portfolio_pipelines.delivery.dispatch import Counts
from portfolio_pipelines.delivery.outbox import Attachment, Severity, idempotency_id
from tests.integration.delivery.conftest import Desk, message

CERTIFIED = "127.0.0.1"


class Mailbox:
    """What the server took, and what it says instead when told to."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.connections: set[tuple[str, int]] = set()
        self.refuse: Callable[[str], str | None] = lambda _: None

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if (said := self.refuse(address)) is not None:
            return said
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        assert session.peer is not None
        found = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(found, EmailMessage)
        self.mails.append(found)
        self.recipients += envelope.rcpt_tos
        self.connections.add(session.peer)
        return "250 OK"


class MailServer(Controller):
    """On a free port: aiosmtpd itself looks for it at the port that it was asked for."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that no usual authority signed, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(CERTIFIED))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("certificate")
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


def login(_: SMTP, __: Session, ___: Envelope, mechanism: str, given: Any) -> AuthResult:
    return AuthResult(success=(given.login, given.password) == (b"portfolio", b"hunter2"), handled=False)


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def mail_server(mailbox: Mailbox, certificate: tuple[Path, Path]) -> Iterator[Controller]:
    """A server that wants STARTTLS, then a login."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    server = MailServer(
        mailbox, hostname=CERTIFIED, port=0, tls_context=context, require_starttls=True, auth_required=True,
        authenticator=login,
    )  # fmt: skip
    server.start()
    yield server
    server.stop()


@pytest.fixture
def desk(database: sa.Engine, tmp_path: Path, mail_server: Controller, certificate: tuple[Path, Path]) -> Desk:
    return Desk(database, tmp_path / "home", **settings_of(mail_server, certificate))


def settings_of(server: Controller, certificate: tuple[Path, Path], **changes: Any) -> dict[str, Any]:
    return {
        "smtp_host": CERTIFIED, "smtp_port": server.port, "smtp_user": "portfolio", "smtp_password": "hunter2",
        "smtp_from": "Portfolio <alerts@example.com>", "ca_file": certificate[0], **changes,
    }  # fmt: skip


def test_a_mail_arrives_over_tls_as_text_and_html_with_its_headers(desk: Desk, mailbox: Mailbox) -> None:
    number = desk.channel("email", "ann@example.com", time_zone="Europe/Berlin").channel_id
    facts = {"value_now": "90,000 USD", "change": "-10 %", "as_of": "2026-03-01T12:00:00+00:00", "look_at": "prices"}
    desk.put(message("a", title="Bitcoin fell — 10 %", text="It fell.", severity=Severity.CRITICAL, data=dict(facts)))
    assert desk.dispatch() == Counts(delivered=1)
    (mail,) = mailbox.mails
    assert mailbox.recipients == ["ann@example.com"]
    assert mail["Subject"] == "Bitcoin fell — 10 %"
    assert mail["From"] == "Portfolio <alerts@example.com>"
    assert mail["Message-ID"] == f"<{idempotency_id('a')}.{number}@example.com>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["List-Unsubscribe"].strip() == f"<mailto:alerts@example.com?subject=unsubscribe%20channel%20{number}>"
    assert mail["Importance"] == "high"
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert html is not None
    for part in (plain.get_content(), html.get_content()):
        for shown in ("It fell.", "90,000 USD", "-10 %", "2026-03-01 12:00 UTC (13:00 Europe/Berlin)", "prices"):
            assert shown in part


def test_files_arrive_whole_under_their_names(desk: Desk, mailbox: Mailbox, tmp_path: Path) -> None:
    desk.channel("email", "ann@example.com")
    table, report = tmp_path / "x.csv", tmp_path / "x.pdf"
    table.write_bytes("day,ä\r\n2026-03-01,1\n".encode())
    report.write_bytes(bytes(range(256)) * 500)
    files = (
        Attachment("März =?utf-8?q?a=0d=0aBcc:x?=\r\nBcc: x.csv", "text/csv", table),
        Attachment("report.pdf", "application/pdf", report),
    )
    desk.put(message("a", attachments=files))
    assert desk.dispatch() == Counts(delivered=1)
    (mail,) = mailbox.mails
    found = list(mail.iter_attachments())
    assert [each.get_payload(decode=True) for each in found] == [table.read_bytes(), report.read_bytes()]
    assert [each.get_content_type() for each in found] == ["text/csv", "application/pdf"]
    assert [each.get_filename() for each in found] == ["März _utf-8_q_a_0d_0aBcc_x_ Bcc_ x.csv", "report.pdf"]
    assert mail["Bcc"] is None


@pytest.mark.parametrize(
    "name",
    ["a\r\nBcc: all@example.com", "a\n\nbody", "=?utf-8?q?a=0d=0aBcc:x?=", "\u2028x", "\x00", "x" * 10_000, "🚀"],
)
def test_no_name_becomes_a_header(desk: Desk, mailbox: Mailbox, name: str) -> None:
    desk.channel("email", "ann@example.com")
    desk.put(message("a", title=name, text=name, kind="alert"))
    assert desk.dispatch() == Counts(delivered=1)
    (mail,) = mailbox.mails
    assert mail["Bcc"] is None
    assert mailbox.recipients == ["ann@example.com"]
    assert "\n" not in str(mail["Subject"])
    assert mail.get_body(("html",)) is not None


def test_many_mails_share_a_few_connections(desk: Desk, mailbox: Mailbox) -> None:
    desk.channel("email", "ann@example.com")
    desk.put(*(message(f"k{number}", f"s{number}") for number in range(60)))
    assert desk.dispatch() == Counts(delivered=60)
    assert len(mailbox.connections) <= 4


def test_a_refused_address_is_given_up_and_a_full_mailbox_tried_again(desk: Desk, mailbox: Mailbox) -> None:
    desk.channel("email", "gone@example.com")
    desk.channel("email", "full@example.com", user="bob")
    mailbox.refuse = lambda address: "550 No such user" if address.startswith("gone") else "452 Mailbox full"
    desk.put(message("a"), message("b", user="bob"))
    assert desk.dispatch() == Counts(failed=1, dead=1)
    reasons = [row["last_error"] for row in desk.deliveries()]
    refused = "the mail server refuses the address"
    assert reasons == [f"{refused}: 550 No such user", f"{refused}: 452 Mailbox full"]
    mailbox.refuse = lambda _: None
    desk.clock.move(seconds=5)
    assert desk.dispatch() == Counts(delivered=1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"smtp_password": "wrong"}, "refuses our login: 535"),
        ({"ca_file": None}, "certificate is not trusted"),
        ({"smtp_security": "none", "smtp_user": ""}, "refuses us: 530"),
        ({"smtp_port": 1}, "cannot be used: Connection refused"),
        ({"smtp_host": ""}, "no mail server is set"),
    ],
)
def test_a_server_that_cannot_be_used_is_told_and_nothing_is_lost(
    desk: Desk,
    database: sa.Engine,
    tmp_path: Path,
    mail_server: Controller,
    certificate: tuple[Path, Path],
    changes: dict[str, Any],
    reason: str,
) -> None:
    desk.channel("email", "ann@example.com")
    desk.put(message("a"))
    wrong = Desk(database, tmp_path / "home", **settings_of(mail_server, certificate, **changes))
    assert wrong.dispatch() == Counts(failed=1)
    (row,) = desk.deliveries()
    assert reason in row["last_error"]
    assert "hunter2" not in row["last_error"]
    assert "wrong" not in row["last_error"]
    desk.clock.move(seconds=10)
    assert desk.dispatch() == Counts(delivered=1)


def test_mail_over_tls_from_the_first_byte(
    database: sa.Engine, tmp_path: Path, mailbox: Mailbox, certificate: tuple[Path, Path]
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    server = MailServer(mailbox, hostname=CERTIFIED, port=0, ssl_context=context)
    server.start()
    try:
        desk = Desk(
            database,
            tmp_path,
            **settings_of(server, certificate, smtp_security="tls", smtp_user="", smtp_password=None),
        )
        desk.channel("email", "ann@example.com")
        desk.put(message("a"))
        assert desk.dispatch() == Counts(delivered=1)
    finally:
        server.stop()
    assert mailbox.recipients == ["ann@example.com"]
