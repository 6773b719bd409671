"""What people read: facts and times in one place, and strangers' names made harmless."""

import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.delivery.outbox import Severity
from portfolio_pipelines.delivery.templates import (
    LONGEST_TEXT,
    LONGEST_TITLE,
    Facts,
    Page,
    harmless,
    in_zone,
    page,
    shown_name,
)

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)
HOSTILE = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '"><a href="https://evil.example">', "&lt;b&gt;",
    "\u202eCDSU\u202c", "\u2066x\u2069", "USD\u200bC", "a\r\nBcc: all@example.com", "a\x00b\x1b[31m", "x" * 10_000,
    "🚀" * 300, "👨‍👩‍👧‍👦", "https://claim-usdc.example/now", "www.evil.example", "@everyone @here",
    "=cmd|' /C calc'!A0",
    "\ud800", "\u2028line", "‮", "",
]  # fmt: skip


def page_of(title: str, text: str, **data: object) -> Page:
    return page(title, text, Severity.WARNING, data, NOON, time_zone="Europe/Berlin", footer="Channel 3")


def test_value_change_time_and_what_to_look_at_are_shown_as_text_and_as_html() -> None:
    facts = Facts(
        "90,000 USD", datetime(2026, 3, 28, 23, 30, tzinfo=UTC), "portfolio explain ann", "-10.2 % in 24 hours"
    )
    made = page_of("Bitcoin fell", "It crossed 91,000 USD.\n\nTwo were held back.", **facts.as_data())
    assert made.title == "Bitcoin fell"
    assert made.text == (
        "It crossed 91,000 USD.\n\nTwo were held back.\n\nValue now: 90,000 USD\nChange: -10.2 % in 24 hours\n"
        "Time: 2026-03-28 23:30 UTC (2026-03-29 00:30 Europe/Berlin)\nLook at: portfolio explain ann\n\nChannel 3"
    )
    shown = text_of(made.html)
    for part in ("Bitcoin fell", "90,000 USD", "-10.2 % in 24 hours", "(2026-03-29 00:30 Europe/Berlin)", "Channel 3"):
        assert part in shown
    assert "<p" in made.html


def test_without_facts_the_time_of_the_message_is_shown() -> None:
    assert page_of("A", "B").text == "B\n\nTime: 2026-03-29 12:00 UTC (14:00 Europe/Berlin)\n\nChannel 3"


@pytest.mark.parametrize(
    ("moment", "zone", "written"),
    [
        (datetime(2026, 3, 29, 0, 59, tzinfo=UTC), "Europe/Berlin", "2026-03-29 00:59 UTC (01:59 Europe/Berlin)"),
        (datetime(2026, 3, 29, 1, 0, tzinfo=UTC), "Europe/Berlin", "2026-03-29 01:00 UTC (03:00 Europe/Berlin)"),
        (NOON, None, "2026-03-29 12:00 UTC"),
        (NOON, "Mars/Olympus", "2026-03-29 12:00 UTC"),
        (NOON, "../../etc/passwd", "2026-03-29 12:00 UTC"),
    ],
)
def test_times_are_given_in_utc_and_in_the_zone_of_the_reader(moment: datetime, zone: str | None, written: str) -> None:
    assert in_zone(moment, zone) == written


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_harmless_wherever_they_stand(name: str) -> None:
    made = page_of(f"{name} fell", f"Look at {name} now", value_now=name, change=name, look_at=name, as_of=name)
    assert_harmless(made)


@given(st.text(max_size=200), st.text(max_size=200))
def test_no_text_becomes_markup_or_a_second_line_of_the_title(title: str, text: str) -> None:
    assert_harmless(page_of(title, text, value_now=title))


def test_emoji_of_several_parts_stay_whole() -> None:
    assert harmless("👨‍👩‍👧‍👦 and 🇩🇪", 100) == "👨‍👩‍👧‍👦 and 🇩🇪"


def test_a_name_without_a_letter_has_a_name() -> None:
    assert shown_name("\u200b\r\n") == "(without a name)"
    assert len(shown_name("x" * 10_000)) == 60


def assert_harmless(made: Page) -> None:
    assert len(made.title) <= 2 * LONGEST_TITLE
    assert "\n" not in made.title
    assert "\r" not in made.title + made.text
    assert len(made.text) <= 2 * LONGEST_TEXT
    for text in (made.title, made.text, made.html):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)
        assert not re.search(r"://\w|www\.\w|@(everyone|here)|[a-z]\.example", text.replace("<!doctype", ""))
    tags = Tags()
    tags.feed(made.html)
    assert tags.found <= {"html", "head", "meta", "title", "body", "table", "tr", "td", "p", "br"}
    assert tags.attributes <= {
        "lang",
        "charset",
        "name",
        "content",
        "style",
        "role",
        "width",
        "cellpadding",
        "cellspacing",
    }


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.attributes: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def text_of(html: str) -> str:
    tags = Tags()
    tags.feed(html)
    return " ".join(tags.text)
