"""What a report does not know, in sentences: missing days, days that rest on stale prices, assets nobody could price.

Belongs here: turning gaps into sentences that name days and assets. A report without a note has no gap.
"""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np

from portfolio_pipelines.delivery.reports.names import printable
from portfolio_pipelines.delivery.reports.numbers import MONTHS, counted, day, percent
from portfolio_pipelines.delivery.reports.portfolio_days import Period, PortfolioDays

if TYPE_CHECKING:
    import duckdb

MOST_SPANS: Final = 8
MOST_NAMES: Final = 20
FULL: Final = 1 - 1e-9


def spans(days: Iterable[date], most: int = MOST_SPANS) -> str:
    """Days in words, neighbours joined: 4–6 Mar 2025, 9 Apr 2025 and 3 more spans."""
    runs: list[list[date]] = []
    for one in sorted(days):
        if runs and one - runs[-1][1] == timedelta(days=1):
            runs[-1][1] = one
        else:
            runs.append([one, one])
    text = ", ".join(_span(first, last) for first, last in runs[:most])
    rest = len(runs) - most
    return f"{text} and {counted(rest, 'more span')}" if rest > 0 else text


def _span(first: date, last: date) -> str:
    if first == last:
        return day(first)
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day}–{day(last)}"
    if first.year == last.year:
        return f"{first.day} {MONTHS[first.month - 1]} – {day(last)}"
    return f"{day(first)} – {day(last)}"


def in_words(period: Period) -> str:
    """The days of a report: one day, or the first and the last."""
    return day(period.first) if period.first == period.last else f"{day(period.first)} – {day(period.last)}"


def period_notes(period: Period) -> list[str]:
    """What of the wish is not in the report."""
    notes = []
    if period.asked_first < period.first:
        notes.append(
            f"Asked for from {day(period.asked_first)} on; there is nothing before {day(period.first)}, "
            "so the report begins there."
        )
    if period.asked_last > period.last:
        notes.append(
            f"Asked for until {day(period.asked_last)}; no day after {day(period.last)} is valued yet, "
            "so the report ends there."
        )
    return notes


def coverage_notes(days: PortfolioDays) -> list[str]:
    """What the values of the days lack; one sentence when they lack nothing."""
    calendar = days.period.days
    is_valued, coverage = days.is_valued[1:], days.coverage[1:]
    missing = [one for one, there in zip(calendar, is_valued, strict=True) if not there]
    unknown = [
        one
        for one, there, total in zip(calendar, is_valued, days.total_usd[1:], strict=True)
        if there and np.isnan(total)
    ]
    partly = [one for one, share in zip(calendar, coverage, strict=True) if share < FULL]
    provisional = [one for one, is_so in zip(calendar, days.is_provisional[1:], strict=True) if is_so]
    notes = []
    if missing:
        notes.append(f"{counted(len(missing), 'day')} without any value: {spans(missing)}. Charts show them as gaps.")
    if unknown:
        notes.append(
            f"{counted(len(unknown), 'day')} on which nothing held has a usable price: {spans(unknown)}. "
            "The value is unknown there, not zero."
        )
    if partly:
        lowest = int(np.nanargmin(coverage))
        notes.append(
            f"{counted(len(partly), 'day')} on which values rest on fresh prices and balances only in part: "
            f"{spans(partly)}. The lowest coverage is {percent(coverage[lowest])} on {day(calendar[lowest])}."
        )
    if provisional:
        notes.append(f"Provisional, prices or balances may still change: {spans(provisional)}.")
    anew = [one for one, is_so in zip(calendar, days.starts_anew[1:], strict=True) if is_so]
    if anew:
        notes.append(
            f"The track record was interrupted; a new one starts at the close of {spans(anew)}. "
            "Nothing is compared across it."
        )
    if not (missing or unknown or partly):
        every = f"All {counted(len(calendar), 'day')} are" if len(calendar) > 1 else "The day is"
        notes.insert(0, f"{every} valued, on fresh prices and balances in full (coverage 100 %).")
    return notes


def unpriced_assets(marts: "duckdb.DuckDBPyConnection", days: PortfolioDays) -> list[str]:
    """Which assets lack a usable price on which days of the report."""
    partly = [
        one
        for one, share, total in zip(days.calendar, days.coverage, days.total_usd, strict=True)
        if one >= days.period.first and (np.isnan(total) or not share >= FULL)
    ]
    if not partly:
        return []
    rows = marts.execute(
        "with documents as (select snapshot_timestamp::date - 1 as day, assets from marts.portfolio_snapshots "
        "where user_id = ? and snapshot_timestamp > ?::date and snapshot_timestamp <= ?::date + 1 "
        "and (coverage is null or coverage < 1)), "
        """entries as (select day, unnest(from_json(assets,
            '[{"token": "VARCHAR", "chain": "VARCHAR", "value_usd": "DOUBLE"}]')) as entry from documents) """
        "select entry.token, entry.chain, list(distinct day) from entries where entry.value_usd is null "
        "group by all order by count(distinct day) desc, entry.token, entry.chain",
        [days.user_id, partly[0], partly[-1]],
    ).fetchall()
    if not rows:
        return []
    named = [
        f"{printable(token)} on {printable(chain)}, {counted(len(found), 'day')} ({spans(found, 3)})"
        for token, chain, found in rows[:MOST_NAMES]
    ]
    rest = f"; and {counted(len(rows) - MOST_NAMES, 'more asset')}" if len(rows) > MOST_NAMES else ""
    return [f"Without a usable price, and therefore in no total: {'; '.join(named)}{rest}."]


def listed(names: Sequence[str], most: int = MOST_NAMES) -> str:
    """Names with commas; what is too many is counted."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")
