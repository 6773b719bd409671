"""The close that a quantity without a number is derived from, and the days without any: what the importer is told.

Belongs here: the agreement between importer and prices. Prices themselves come from the caller, quantities are made
in `investment_import`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import polars as pl

USABLE: Final = frozenset({"ok", "manual", "disagreement"})
"""Statuses of a close that belongs to the day itself. A carried (`stale`) price is nobody's purchase price."""


@dataclass(frozen=True, slots=True)
class Close:
    """The close of an asset on a day, or why there is none."""

    close_usd: float | None  # US dollars
    provider: str | None  # who priced it: coingecko, …, file, sample
    status: str  # as in prices_daily: ok, manual, disagreement, stale, no_source, rate_limited
    reason: str | None = None  # what the providers said when there is none
    first_day: date | None = None  # first day on which the asset has a price, if it has one at all


Closes = Callable[[list[tuple[str, date]]], Mapping[tuple[str, date], Close]]
"""Asked once for all (asset_id, UTC day) that are needed; a pair that is missing from the answer has no price."""

Absences = Callable[[list[str]], pl.DataFrame]
"""Asked once for all assets whose quantity a file gives: schema `market.first_closes.ABSENCES`."""


def is_usable(close: Close | None) -> bool:
    """Whether a quantity may rest on this close."""
    return (
        close is not None
        and close.close_usd is not None
        and math.isfinite(close.close_usd)
        and close.close_usd > 0
        and close.provider is not None
        and close.status in USABLE
    )


def explain_missing(asset_id: str, day: date, close: Close | None) -> str:
    """Why no quantity can be derived, and what to do."""
    if close is not None and close.first_day is not None and day < close.first_day:
        return f"{asset_id} has no price on {day}: its first price is of {close.first_day}"
    said = f" ({close.reason})" if close is not None and close.reason else ""
    remedy = "give a quantity or import a price file"
    if close is not None and close.status == "rate_limited":
        return f"no provider answered for {asset_id} on {day}: rate limited{said}; try again later, {remedy}"
    if close is not None and close.status == "stale":
        return f"no close of {asset_id} on {day} itself is known, only an older one{said}: {remedy}"
    return f"no provider answered with a price of {asset_id} on {day}{said}: {remedy}"


def explain_absence(row: Mapping[str, Any]) -> str:
    """Why an asset cannot have been bought on a day before its first close, and what to do.

    Args:
        row: An asset_id and day, with the columns of ABSENCES.
    """
    return (
        f"{row['asset_id']} had no price yet on {row['day']}: its first known close is of {row['first_day']} "
        f"({row['first_origin']}), and {row['origin']} knows of none from {row['reaches_from']} on; correct the "
        f"day, or import a price file with a close of that day"
    )
