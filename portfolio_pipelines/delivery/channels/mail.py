"""Mail through the operator's server: what a mail looks like, and the connections it is sent over.

Headers are built by the standard library, which refuses line breaks in them; those inside of encoded words it lets
through, so `templates` leaves no encoded word in a title. The Message-ID is made of the message's key and the channel:
a mail that is sent twice is recognised by mail programs.
"""

import asyncio
import re
import smtplib
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Final

from portfolio_pipelines.delivery.channels.letters import DELIVERED, Letter, Outcome, Result, Target
from portfolio_pipelines.delivery.outbox import one_line
from portfolio_pipelines.delivery.templates import page
from portfolio_pipelines.settings import Settings

CONNECTIONS: Final = 4
MAILS_A_CONNECTION: Final = 100
"""Then a new one is opened; many servers close earlier or later than that by themselves."""
LARGEST_MAIL: Final = 20_000_000
"""Bytes of all files; common servers refuse mails of 25 MB, and base64 adds a third."""
LONGEST_FILE_NAME: Final = 120
_NO_FILE_NAME: Final = re.compile(r"[^\w .()+-]+")


def mail_of(target: Target, letter: Letter, settings: Settings) -> EmailMessage:
    """The mail for one reader: plain text, the same as HTML, and its files.

    Raises:
        OSError: If one of its files cannot be read.
        ValueError: If its files are too large, or PORTFOLIO_SMTP_FROM is no address.
    """
    names = [each.name for each in letter.attachments]
    footer = (
        f"You get this because your address is channel {target.channel_id} of a portfolio. "
        f"To stop it, have the channel paused or deleted: portfolio channels pause {target.channel_id}"
    )
    made = page(
        letter.title, letter.text, letter.severity, letter.data, letter.created_at,
        time_zone=target.time_zone, files=names, footer=footer,
    )  # fmt: skip
    name, sender = parseaddr(settings.smtp_from)
    domain = sender.rpartition("@")[2]
    mail = EmailMessage(policy=SMTP)
    mail["From"] = Address(display_name=name, addr_spec=sender)
    mail["To"] = Address(addr_spec=target.address.get_secret_value())
    mail["Subject"] = made.title
    mail["Date"] = format_datetime(letter.created_at)
    mail["Message-ID"] = f"<{letter.idempotency_id}.{target.channel_id}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday notice answers
    mail["List-Unsubscribe"] = f"<mailto:{sender}?subject=unsubscribe%20channel%20{target.channel_id}>"
    mail["X-Portfolio-Kind"] = letter.kind
    if letter.severity == "critical":
        mail["Importance"] = "high"
    mail.set_content(made.text)
    mail.add_alternative(made.html, subtype="html")
    if sum(each.path.stat().st_size for each in letter.attachments) > LARGEST_MAIL:
        msg = f"more than {LARGEST_MAIL / 1e6:g} MB in one mail; export to a folder instead"
        raise ValueError(msg)
    for each in letter.attachments:
        main, _, sub = each.media_type.partition("/")
        mail.add_attachment(each.path.read_bytes(), maintype=main, subtype=sub, filename=_file_name(each.name))
    return mail


def _file_name(name: str) -> str:
    """A name that means the same to every mail program: the standard library would decode RFC 2047 in it."""
    return _NO_FILE_NAME.sub("_", one_line(name))[:LONGEST_FILE_NAME] or "file"


class MailServer:
    """The operator's mail server: up to four connections, kept while mails follow each other."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._idle: list[tuple[smtplib.SMTP, int]] = []
        self._threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="mail")

    async def send(self, target: Target, letter: Letter) -> Outcome:
        """Send a message as a mail; delivered once the server has taken it."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._send, target, letter)

    def close(self) -> None:
        """Say goodbye on all connections."""
        self._threads.shutdown()
        while self._idle:
            with suppress(smtplib.SMTPException, OSError):
                self._idle.pop()[0].quit()

    def _send(self, target: Target, letter: Letter) -> Outcome:
        if not self._settings.smtp_host or not self._settings.smtp_from:
            return Outcome(Result.BUSY, "no mail server is set (PORTFOLIO_SMTP_HOST, PORTFOLIO_SMTP_FROM)")
        try:
            mail = mail_of(target, letter, self._settings)
        except OSError as error:
            return Outcome(Result.REJECTED, f"its file cannot be read: {error.strerror}")
        except ValueError as error:
            return Outcome(Result.REJECTED, f"no mail can be made of it: {error}")
        try:
            with self._connection() as server:
                server.send_message(mail)
        except smtplib.SMTPRecipientsRefused as error:
            code, answer = next(iter(error.recipients.values()))
            return _refused("the mail server refuses the address", code, answer)
        except smtplib.SMTPDataError as error:
            return _refused("the mail server refuses the mail", error.smtp_code, error.smtp_error)
        except smtplib.SMTPAuthenticationError as error:
            return Outcome(Result.BUSY, f"the mail server refuses our login: {error.smtp_code}")
        except smtplib.SMTPResponseException as error:  # the sender, the greeting: our side, not this mail
            reason = _readable(error.smtp_error)
            return Outcome(Result.BUSY, f"the mail server refuses us: {error.smtp_code} {reason}")
        except ssl.SSLCertVerificationError as error:
            return Outcome(Result.BUSY, f"the mail server's certificate is not trusted: {error.verify_message}")
        except TimeoutError:
            seconds = self._settings.delivery_timeout_seconds
            return Outcome(Result.BUSY, f"the mail server did not answer within {seconds:g} seconds")
        except (smtplib.SMTPException, OSError) as error:
            return Outcome(Result.BUSY, f"the mail server cannot be used: {_short(error)}")
        return DELIVERED

    @contextmanager
    def _connection(self) -> Iterator[smtplib.SMTP]:
        """A connection that answers; it is kept when the mail went through or was refused in good order."""
        server, used = self._open()
        try:
            yield server
        except (smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError):
            self._idle.append((server, used + 1))
            raise
        except BaseException:
            server.close()
            raise
        if used + 1 < MAILS_A_CONNECTION:
            self._idle.append((server, used + 1))
        else:
            with suppress(smtplib.SMTPException, OSError):
                server.quit()

    def _open(self) -> tuple[smtplib.SMTP, int]:
        while self._idle:
            server, used = self._idle.pop()
            with suppress(smtplib.SMTPException, OSError):
                if server.noop()[0] == 250:
                    return server, used
            server.close()
        settings = self._settings
        host, port, seconds = settings.smtp_host, settings.smtp_port, settings.delivery_timeout_seconds
        context = ssl.create_default_context()
        if settings.ca_file is not None:
            context.load_verify_locations(settings.ca_file)
        ours = parseaddr(settings.smtp_from)[1].rpartition("@")[2]  # else it asks the network for this machine's name
        if settings.smtp_security == "tls":
            server = smtplib.SMTP_SSL(host, port, local_hostname=ours, timeout=seconds, context=context)
        else:
            server = smtplib.SMTP(host, port, local_hostname=ours, timeout=seconds)
        try:
            if settings.smtp_security == "starttls":
                server.starttls(context=context)
            if settings.smtp_user and settings.smtp_password is not None:
                server.login(settings.smtp_user, settings.smtp_password.get_secret_value())
        except BaseException:
            server.close()
            raise
        return server, 0


def _refused(what: str, code: int, answer: bytes | str) -> Outcome:
    """5xx is for ever, 4xx for now. Source: RFC 5321 4.2.1."""
    lasting = 500 <= code < 600
    return Outcome(Result.REJECTED if lasting else Result.FAILED, f"{what}: {code} {_readable(answer)}")


def _readable(answer: bytes | str) -> str:
    text = answer.decode("ascii", "replace") if isinstance(answer, bytes) else answer
    return " ".join(text.split())[:200]


def _short(error: Exception) -> str:
    return _readable(error.strerror or str(error)) if isinstance(error, OSError) else _readable(str(error))
