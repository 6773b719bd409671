"""When a scheduled export is due, in the local time of its user, and which days belong to it. No clock, no I/O.

Conventions. A local time that does not exist on a day (clocks go forward) is the first moment after the gap; one that
exists twice (clocks go back) is the first of the two. Monthly on a day that a month does not have is its last day.
Figures are of UTC days, closed at 24:00 UTC: an export holds closed days alone. Those of `period` run from the day
after the last one that the due time before could hold: exports follow each other without a hole, whatever clocks do.
"""

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from itertools import count
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

FIRST_DAY: Final = date(2009, 1, 3)
"""The day of Bitcoin's first block: nothing that is exported is older. Where `everything` begins."""


class Period(StrEnum):
    """How often."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


class RangeRule(StrEnum):
    """Which closed UTC days an export holds."""

    PERIOD = "period"
    """Those since the export before."""
    LAST_7_DAYS = "last_7_days"
    LAST_30_DAYS = "last_30_days"
    LAST_90_DAYS = "last_90_days"
    LAST_365_DAYS = "last_365_days"
    LAST_MONTH = "last_month"
    """The newest calendar month that is over."""
    YEAR_TO_DATE = "year_to_date"
    EVERYTHING = "everything"


_LAST_DAYS: Final = {
    RangeRule.LAST_7_DAYS: 7,
    RangeRule.LAST_30_DAYS: 30,
    RangeRule.LAST_90_DAYS: 90,
    RangeRule.LAST_365_DAYS: 365,
}


@dataclass(frozen=True, slots=True)
class Timetable:
    """When an export is due.

    Attributes:
        period: How often.
        at: Local time of the day.
        zone: Name of the time zone, such as Europe/Berlin.
        on: Weekly 1 (Monday) to 7 (Sunday), monthly 1 to 31; None daily.
    """

    period: Period
    at: time
    zone: str
    on: int | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be sent now: the newest due time, and the ones before it that nobody served.

    Attributes:
        scheduled_for: The newest due time, UTC.
        since: The oldest due time that was not served, UTC; the same when none was missed.
        times: How many due times that are.
        next_at: The due time after `scheduled_for`, UTC.
    """

    scheduled_for: datetime
    since: datetime
    times: int
    next_at: datetime


def faults_of(timetable: Timetable) -> list[str]:
    """Everything that is wrong with a timetable, in words; nothing when it makes sense."""
    faults = []
    if timetable.zone not in available_timezones():
        faults.append(f"there is no time zone {timetable.zone!r}: use a name such as Europe/Berlin or UTC")
    if timetable.at.tzinfo is not None or timetable.at.second or timetable.at.microsecond:
        faults.append("the time is local, in hours and minutes, such as 08:00")
    last = {Period.DAILY: 0, Period.WEEKLY: 7, Period.MONTHLY: 31}[timetable.period]
    if timetable.period is Period.DAILY and timetable.on is not None:
        faults.append("a daily export has no day")
    elif last and (timetable.on is None or not 1 <= timetable.on <= last):
        days = "a weekday, 1 (Monday) to 7 (Sunday)" if last == 7 else "a day of the month, 1 to 31"
        faults.append(f"a {timetable.period} export needs {days}, not {timetable.on}")
    return faults


def next_due(timetable: Timetable, after: datetime) -> datetime:
    """The first due time later than `after`, UTC."""
    local = after.astimezone(ZoneInfo(timetable.zone)).date()
    for day in _days(timetable, local - timedelta(days=2), 1):
        at = moment(day, timetable.at, timetable.zone)
        if at > after:
            return at
    raise AssertionError  # _days does not end


def previous_due(timetable: Timetable, before: datetime) -> datetime:
    """The last due time earlier than `before`, UTC."""
    local = before.astimezone(ZoneInfo(timetable.zone)).date()
    for day in _days(timetable, local + timedelta(days=2), -1):
        at = moment(day, timetable.at, timetable.zone)
        if at < before:
            return at
    raise AssertionError  # _days does not end


def due_now(timetable: Timetable, since: datetime, now: datetime) -> Due | None:
    """What is due at `now` when `since` is the oldest due time that was not served; None when that is to come.

    However many due times were missed, one export stands for all of them.
    """
    if since > now:
        return None
    newest = previous_due(timetable, now + timedelta(microseconds=1))
    if newest < since:  # the timetable was changed after `since` was set
        newest = since
    times = 1 + _steps(timetable, since, newest)
    return Due(newest, since, times, next_due(timetable, newest))


def days_of(rule: RangeRule, timetable: Timetable, due: Due) -> tuple[date, date]:
    """The first and the last UTC day that an export holds, both inclusive.

    Args:
        rule: Which days are wanted.
        timetable: When it is due.
        due: What is due; of several missed ones `period` holds the days of all.
    """
    last = newest_closed_day(due.scheduled_for)
    if rule in _LAST_DAYS:
        return last - timedelta(days=_LAST_DAYS[rule] - 1), last
    if rule is RangeRule.LAST_MONTH:
        end = (last + timedelta(days=1)).replace(day=1) - timedelta(days=1)
        return end.replace(day=1), end
    if rule is RangeRule.YEAR_TO_DATE:
        return last.replace(month=1, day=1), last
    if rule is RangeRule.EVERYTHING:
        return FIRST_DAY, last
    before = newest_closed_day(previous_due(timetable, due.since))
    return min(before + timedelta(days=1), last), last  # a shorter night may close no new day: the same one again


def newest_closed_day(at: datetime) -> date:
    """The last UTC day that was over at a moment."""
    return at.astimezone(UTC).date() - timedelta(days=1)


def moment(day: date, at: time, zone: str) -> datetime:
    """The UTC moment of a local time on a local day, also where the clocks change."""
    where = ZoneInfo(zone)
    wall = datetime.combine(day, at)
    first = wall.replace(tzinfo=where, fold=0).astimezone(UTC)
    if first.astimezone(where).replace(tzinfo=None) == wall:
        return first  # fold 0 is the first of two
    # Inside a gap the two folds lie on both sides of the moment at which the clocks went forward.
    early, late = wall.replace(tzinfo=where, fold=1).astimezone(UTC), first
    offset = early.astimezone(where).utcoffset()
    while late - early > timedelta(seconds=1):
        middle = early + timedelta(seconds=(late - early) // timedelta(seconds=2))
        if middle.astimezone(where).utcoffset() == offset:
            early = middle
        else:
            late = middle
    return late


def _steps(timetable: Timetable, first: datetime, last: datetime) -> int:
    """How many due times after `first` come up to `last`, both due times: by the calendar, however many they are."""
    start, end = (at.astimezone(ZoneInfo(timetable.zone)).date() for at in (first, last))
    if timetable.period is Period.MONTHLY:
        return (end.year - start.year) * 12 + end.month - start.month
    return (end - start).days // (7 if timetable.period is Period.WEEKLY else 1)


def _days(timetable: Timetable, start: date, step: int) -> Iterator[date]:
    """The local days of a timetable from `start` on, forwards (1) or backwards (-1), without end."""
    if timetable.period is Period.DAILY:
        for offset in count():
            yield start + timedelta(days=step * offset)
    elif timetable.period is Period.WEEKLY:
        to_weekday = (step * ((timetable.on or 1) - start.isoweekday())) % 7
        for offset in count():
            yield start + timedelta(days=step * (to_weekday + 7 * offset))
    else:
        month = start.year * 12 + start.month - 1
        for offset in count(-1):  # the month before, too: its day may still lie behind `start`
            year, zero_based = divmod(month + step * offset, 12)
            last = monthrange(year, zero_based + 1)[1]
            yield date(year, zero_based + 1, min(timetable.on or 1, last))
