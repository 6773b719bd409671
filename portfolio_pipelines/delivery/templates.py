"""What people read: one text and one HTML page for every kind of message, and texts made harmless.

Names of tokens are written by strangers: a name may hold markup, line breaks, ten thousand characters, letters that
turn the direction of writing, or the address of a fraud. Belongs here: everything that decides how a message looks. No
I/O; how it is sent is in `channels`.
"""

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from portfolio_pipelines.delivery.outbox import Severity, one_line

LONGEST_TITLE: Final = 150
LONGEST_TEXT: Final = 8_000
LONGEST_NAME: Final = 60
COLOURS: Final[Mapping[str, str]] = {"info": "#2b6cb0", "warning": "#b7791f", "critical": "#c53030"}
"""Dark enough for white text on them: a contrast of at least 3.5 to 1, bold and large."""

_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and line feed
    "\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # direction, zero width, annotations
    "\ud800-\udfff]"
)
_LINK: Final = re.compile(r"(?<=:)(?=//)|(?<=[a-z0-9]\.)(?=[a-z]{2})|(?<=@)(?=\w)|(?<==)(?=\?)", re.IGNORECASE)
"""Where a program would see an address, a mention or code: :// , the dot of a domain, behind an @, =? of RFC 2047."""
_BREAKER: Final = "\u2060"  # word joiner: invisible, and no program takes what holds one for an address


@dataclass(frozen=True)
class Page:
    """A message ready to be read.

    Attributes:
        title: One line, at most LONGEST_TITLE characters.
        text: Plain text with its facts and times.
        html: The same as a document of its own, without anything that is loaded from elsewhere.
    """

    title: str
    text: str
    html: str


@dataclass(frozen=True)
class Facts:
    """What a message about a figure has to say; `as_data` goes into the data of the message.

    Attributes:
        value_now: With its unit, such as "90,000 USD".
        as_of: The moment that the value belongs to, UTC.
        look_at: What the reader should look at, such as "portfolio explain ann 2026-03-01".
        change: Such as "-10.2 % in 24 hours"; None where there is none or it is not known.
    """

    value_now: str
    as_of: datetime
    look_at: str
    change: str | None = None

    def as_data(self) -> dict[str, str]:
        """The keys of a message's data that pages show below the text."""
        found = {"value_now": self.value_now, "as_of": self.as_of.isoformat(), "look_at": self.look_at}
        return found if self.change is None else found | {"change": self.change}


def page(
    title: str,
    text: str,
    severity: Severity,
    data: Mapping[str, Any],
    created_at: datetime,
    *,
    time_zone: str | None = None,
    files: Sequence[str] = (),
    footer: str = "",
) -> Page:
    """Lay a message out.

    Args:
        title: As it was stored.
        text: As it was stored.
        severity: How much it matters.
        data: value_now, change, as_of and look_at are shown (see `Facts`), the rest is for machines.
        created_at: When it was stored; stands for as_of where there is none.
        time_zone: Times are given in it, too.
        files: Names of the files that come with it.
        footer: Why the reader gets this, and how to stop it.
    """
    headline = harmless_line(title, LONGEST_TITLE)
    body = harmless(text, LONGEST_TEXT)
    rows = [
        (label, harmless_line(str(data[name]), LONGEST_TITLE))
        for label, name in (("Value now", "value_now"), ("Change", "change"))
        if data.get(name) is not None
    ]
    rows.append(("Time", in_zone(_moment(data.get("as_of")) or created_at, time_zone)))
    if data.get("look_at") is not None:
        rows.append(("Look at", harmless_line(str(data["look_at"]), LONGEST_TITLE)))
    rows += [("File", harmless_line(name, LONGEST_TITLE)) for name in files]
    plain = "\n".join([body, "", *(f"{label}: {value}" for label, value in rows), *(["", footer] if footer else [])])
    return Page(headline, plain, _document(headline, body, rows, severity, footer))


def harmless(text: str, longest: int) -> str:
    """A text that nothing can hide in: no control or direction characters, no links, no mentions, not too long."""
    seen = _UNSEEN.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    cut = seen if len(seen) <= longest else seen[: longest - 1].rstrip("\u200d") + "…"
    return _LINK.sub(_BREAKER, cut)


def harmless_line(text: str, longest: int) -> str:
    """The same on one line."""
    return harmless(one_line(text), longest)


def shown_name(name: str) -> str:
    """A name of a token, pool or person as it may stand in a sentence."""
    return harmless_line(name, LONGEST_NAME) or "(without a name)"


def in_zone(moment: datetime, time_zone: str | None) -> str:
    """A moment in UTC, and in a zone where one is named: "2026-03-01 12:00 UTC (13:00 CET, Europe/Berlin)"."""
    utc = moment.astimezone(UTC)
    written = f"{utc:%Y-%m-%d %H:%M} UTC"
    try:
        zone = ZoneInfo(time_zone) if time_zone else None
    except (ZoneInfoNotFoundError, ValueError):  # the zone was renamed since it was chosen
        zone = None
    if zone is None:
        return written
    there = utc.astimezone(zone)
    day = "" if there.date() == utc.date() else f"{there:%Y-%m-%d} "
    return f"{written} ({day}{there:%H:%M} {time_zone})"


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)


def _document(title: str, body: str, rows: Sequence[tuple[str, str]], severity: Severity, footer: str) -> str:
    """A page of tables with styles inside the elements: what mail programs show alike."""
    paragraphs = "".join(
        f'<p style="margin:0 0 12px">{"<br>".join(map(html.escape, part.splitlines()))}</p>'
        for part in re.split(r"\n{2,}", body.strip())
    )
    facts = "".join(
        '<tr><td style="padding:4px 16px 4px 0;color:#555;white-space:nowrap;vertical-align:top">'
        f"{html.escape(label)}</td>"
        f'<td style="padding:4px 0">{html.escape(value)}</td></tr>'
        for label, value in rows
    )
    end = f'<p style="margin:16px 0 0;color:#666;font-size:12px">{html.escape(footer)}</p>' if footer else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title></head>"
        '<body style="margin:0;padding:16px;background:#f4f5f7;color:#1a1a1a;'
        'font:15px/1.5 -apple-system,Segoe UI,Roboto,Helvetica,Arial,sans-serif">'
        '<table role="presentation" width="100%" cellpadding="0" cellspacing="0" style="max-width:600px;margin:0 auto;'
        'background:#fff;border-radius:6px;overflow:hidden;table-layout:fixed;word-wrap:break-word">'
        f'<tr><td style="background:{COLOURS[severity]};color:#fff;padding:14px 20px;font-size:18px;font-weight:bold">'
        f"{html.escape(title)}</td></tr>"
        f'<tr><td style="padding:18px 20px">{paragraphs}'
        f'<table role="presentation" cellpadding="0" cellspacing="0" style="font-size:14px">{facts}</table>{end}'
        "</td></tr></table></body></html>"
    )
