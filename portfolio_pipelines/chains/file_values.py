"""What may stand in a field of chains.toml: one small check a kind of value.

Belongs here: values. Which fields there are and how tables go together is in `chain_file`.

A check returns the value as it is kept, or raises `ValueError` saying what was expected; it never repeats the value of
an endpoint.
"""

import math
import re
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import Any, Final

from portfolio_pipelines.chains.addresses import parse_address

Check = Callable[[object], Any]
_SLUG: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)


def whole(least: int, most: int) -> Check:
    """A whole number between two bounds, both allowed."""

    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            msg = f"{value!r} is no whole number from {least} to {most}"
            raise ValueError(msg)
        return value

    return check


def positive(value: object) -> float:
    """A number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        msg = f"{value!r} is no number above 0"
        raise ValueError(msg)
    return float(value)


def flag(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        msg = f"{value!r} is neither true nor false"
        raise ValueError(msg)  # noqa: TRY004 (all faults of values are one kind)
    return value


def text(value: object) -> str:
    """A text that is not empty, without blanks around it."""
    if not isinstance(value, str) or not value.strip():
        msg = f"{value!r} is no text"
        raise ValueError(msg)
    return value.strip()


def slug(value: object) -> str:
    """A short name in lower case."""
    if not isinstance(value, str) or not _SLUG.fullmatch(value):
        msg = f"{value!r} is no slug: lower-case letters, digits and single hyphens"
        raise ValueError(msg)
    return value


def one_of(choices: Collection[str]) -> Check:
    """One of some words."""

    def check(value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            msg = f"{value!r} is none of {', '.join(choices)}{suggestion(str(value), choices)}"
            raise ValueError(msg)
        return value

    return check


def web_page(value: object) -> str:
    """The address of a page."""
    if not isinstance(value, str) or not re.fullmatch(r"https?://[^\s/]+\S*", value):
        msg = f"{value!r} is no address of a page: https://…"
        raise ValueError(msg)
    return value.rstrip("/")


def contract(value: object) -> str:
    """The address of a contract."""
    if not isinstance(value, str):
        msg = f"{value!r} is no address"
        raise ValueError(msg)  # noqa: TRY004
    return parse_address(value)


def many(check: Check) -> Check:
    """A list, each element passing a check."""

    def checked(value: object) -> list[Any]:
        if not isinstance(value, list):
            msg = f"{value!r} is no list"
            raise ValueError(msg)  # noqa: TRY004
        return [check(element) for element in value]

    return checked


def table(fields: Mapping[str, Check], required: Collection[str]) -> Check:
    """A table with some fields."""

    def check(value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            msg = f"{value!r} is no table with {', '.join(required)}"
            raise ValueError(msg)  # noqa: TRY004
        if strange := [name for name in value if name not in fields]:
            msg = f"there is no field {strange[0]!r}{suggestion(strange[0], fields)}"
            raise ValueError(msg)
        if missing := [name for name in required if name not in value]:
            msg = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
            raise ValueError(msg)
        return {name: fields[name](element) for name, element in value.items()}

    return check


def suggestion(written: str, choices: Collection[str]) -> str:
    """What was probably meant, to be put behind a fault; empty when nothing comes close."""
    close = get_close_matches(written, list(choices), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
