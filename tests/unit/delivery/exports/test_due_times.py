"""When exports are due: local time, clocks that change, short months, outages; and which days they hold."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.delivery.exports.due_times import (
    FIRST_DAY,
    Due,
    Period,
    RangeRule,
    Timetable,
    days_of,
    due_now,
    faults_of,
    moment,
    newest_closed_day,
    next_due,
    previous_due,
)

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def daily(at: str = "08:00", zone: str = BERLIN) -> Timetable:
    return Timetable(Period.DAILY, time.fromisoformat(at), zone)


def monthly(on: int, at: str = "08:00", zone: str = "UTC") -> Timetable:
    return Timetable(Period.MONTHLY, time.fromisoformat(at), zone, on)


def weekly(on: int, at: str = "08:00", zone: str = "UTC") -> Timetable:
    return Timetable(Period.WEEKLY, time.fromisoformat(at), zone, on)


def several(timetable: Timetable, after: str, n: int) -> list[str]:
    found, at = [], utc(after)
    for _ in range(n):
        at = next_due(timetable, at)
        found.append(f"{at:%Y-%m-%d %H:%M}")
    return found


def test_the_local_hour_stays_when_the_clocks_change() -> None:
    assert several(daily(), "2026-03-27T12:00", 3) == ["2026-03-28 07:00", "2026-03-29 06:00", "2026-03-30 06:00"]
    assert several(daily(), "2026-10-23T12:00", 3) == ["2026-10-24 06:00", "2026-10-25 07:00", "2026-10-26 07:00"]


@pytest.mark.parametrize(
    ("zone", "day", "at", "expected"),
    [
        (BERLIN, date(2026, 3, 29), "02:30", "2026-03-29T01:00"),  # 02:00 to 03:00 is missing
        (BERLIN, date(2026, 3, 29), "02:00", "2026-03-29T01:00"),
        (BERLIN, date(2026, 3, 29), "01:59", "2026-03-29T00:59"),
        (BERLIN, date(2026, 3, 29), "03:00", "2026-03-29T01:00"),
        (NEW_YORK, date(2026, 3, 8), "02:15", "2026-03-08T07:00"),
        ("Australia/Lord_Howe", date(2026, 10, 4), "02:10", "2026-10-03T15:30"),  # half an hour
        ("Pacific/Apia", date(2011, 12, 30), "10:00", "2011-12-30T10:00"),  # the whole day is missing
    ],
)
def test_a_time_that_does_not_exist_is_the_first_moment_after_the_gap(
    zone: str, day: date, at: str, expected: str
) -> None:
    assert moment(day, time.fromisoformat(at), zone) == utc(expected)


@pytest.mark.parametrize(
    ("zone", "day", "at", "expected"),
    [
        (BERLIN, date(2026, 10, 25), "02:30", "2026-10-25T00:30"),
        (NEW_YORK, date(2026, 11, 1), "01:30", "2026-11-01T05:30"),
        (BERLIN, date(2026, 10, 25), "03:00", "2026-10-25T02:00"),
    ],
)
def test_a_time_that_exists_twice_is_the_first_of_the_two_and_comes_once(
    zone: str, day: date, at: str, expected: str
) -> None:
    first = moment(day, time.fromisoformat(at), zone)
    assert first == utc(expected)
    after = next_due(daily(at, zone), first)
    assert after.astimezone(ZoneInfo(zone)).date() == day + timedelta(days=1)


def test_monthly_on_the_31st_is_the_last_day_of_shorter_months() -> None:
    expected = ["2027-12-31 08:00", "2028-01-31 08:00", "2028-02-29 08:00", "2028-03-31 08:00", "2028-04-30 08:00"]
    assert several(monthly(31), "2027-12-30T00:00", 5) == expected
    assert several(monthly(30), "2026-01-30T08:00", 2) == ["2026-02-28 08:00", "2026-03-30 08:00"]


def test_weekly_is_the_weekday_of_the_user_not_of_greenwich() -> None:
    auckland = Timetable(Period.WEEKLY, time(8), "Pacific/Auckland", 1)
    assert several(auckland, "2026-11-20T00:00", 1) == ["2026-11-22 19:00"]  # Sunday in Greenwich


def test_after_an_outage_one_export_stands_for_all_that_were_missed() -> None:
    due = due_now(daily(zone="UTC"), utc("2026-11-17T08:00"), utc("2026-11-20T09:30"))
    assert due == Due(utc("2026-11-20T08:00"), utc("2026-11-17T08:00"), 4, utc("2026-11-21T08:00"))
    assert due is not None
    assert days_of(RangeRule.PERIOD, daily(zone="UTC"), due) == (date(2026, 11, 16), date(2026, 11, 19))


def test_nothing_is_due_before_its_time_and_it_is_due_on_the_second() -> None:
    timetable, at = daily(zone="UTC"), utc("2026-11-17T08:00")
    assert due_now(timetable, at, at - timedelta(seconds=1)) is None
    assert due_now(timetable, at, at) == Due(at, at, 1, at + timedelta(days=1))


@pytest.mark.parametrize(
    ("rule", "first", "last"),
    [
        (RangeRule.PERIOD, "2026-10-01", "2026-10-31"),
        (RangeRule.LAST_7_DAYS, "2026-10-25", "2026-10-31"),
        (RangeRule.LAST_30_DAYS, "2026-10-02", "2026-10-31"),
        (RangeRule.LAST_90_DAYS, "2026-08-03", "2026-10-31"),
        (RangeRule.LAST_365_DAYS, "2025-11-01", "2026-10-31"),
        (RangeRule.LAST_MONTH, "2026-10-01", "2026-10-31"),
        (RangeRule.YEAR_TO_DATE, "2026-01-01", "2026-10-31"),
        (RangeRule.EVERYTHING, str(FIRST_DAY), "2026-10-31"),
    ],
)
def test_a_monthly_export_on_the_first_holds_the_days_of_its_rule(rule: RangeRule, first: str, last: str) -> None:
    at = utc("2026-11-01T08:00")
    due = Due(at, at, 1, next_due(monthly(1), at))
    assert days_of(rule, monthly(1), due) == (date.fromisoformat(first), date.fromisoformat(last))


def test_in_the_middle_of_a_month_the_last_month_is_the_one_that_is_over() -> None:
    at = utc("2026-11-15T08:00")
    due = Due(at, at, 1, next_due(monthly(15), at))
    assert days_of(RangeRule.LAST_MONTH, monthly(15), due) == (date(2026, 10, 1), date(2026, 10, 31))
    assert days_of(RangeRule.PERIOD, monthly(15), due) == (date(2026, 10, 15), date(2026, 11, 14))


def test_all_faults_of_a_timetable_are_told_at_once() -> None:
    faults = faults_of(Timetable(Period.WEEKLY, time(8, 0, 30), "Mars/Olympus", 8))
    assert len(faults) == 3
    assert faults_of(Timetable(Period.MONTHLY, time(8), "UTC")) != []
    assert faults_of(Timetable(Period.DAILY, time(8), "UTC", 3)) != []
    assert faults_of(Timetable(Period.DAILY, time(8), "../../etc/passwd")) != []
    assert faults_of(monthly(31)) == faults_of(weekly(7)) == faults_of(daily()) == []


ZONES = st.sampled_from(
    ["UTC", BERLIN, NEW_YORK, "Pacific/Auckland", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Tehran"]
)
TIMETABLES = st.one_of(
    st.builds(Timetable, st.just(Period.DAILY), st.times().map(lambda t: t.replace(second=0, microsecond=0)), ZONES),
    st.builds(
        Timetable, st.just(Period.WEEKLY), st.times().map(lambda t: t.replace(second=0, microsecond=0)), ZONES,
        st.integers(1, 7),
    ),
    st.builds(
        Timetable, st.just(Period.MONTHLY), st.times().map(lambda t: t.replace(second=0, microsecond=0)), ZONES,
        st.integers(1, 31),
    ),
)  # fmt: skip
MOMENTS = st.integers(0, 19 * 365 * 86_400).map(lambda seconds: utc("2011-01-01") + timedelta(seconds=seconds))


@given(TIMETABLES, MOMENTS)
def test_due_times_follow_each_other_without_a_hole_in_both_directions(timetable: Timetable, at: datetime) -> None:
    after = next_due(timetable, at)
    assert after > at
    assert previous_due(timetable, after) <= at
    assert next_due(timetable, previous_due(timetable, at)) >= at
    assert next_due(timetable, after - timedelta(microseconds=1)) == after
    longest = {Period.DAILY: 3, Period.WEEKLY: 9, Period.MONTHLY: 32}[timetable.period]
    assert after - at <= timedelta(days=longest)


@given(TIMETABLES.filter(lambda timetable: timetable.zone != "Pacific/Apia"), MOMENTS, st.integers(0, 40))
def test_what_was_missed_is_counted_one_by_one(timetable: Timetable, at: datetime, missed: int) -> None:
    """But on Samoa, which left out a whole day in 2011."""
    since = due = next_due(timetable, at)
    for _ in range(missed):
        due = next_due(timetable, due)
    found = due_now(timetable, since, due + timedelta(minutes=1))
    assert found == Due(due, since, missed + 1, next_due(timetable, due))


@given(TIMETABLES, MOMENTS, st.integers(1, 8))
def test_the_days_of_exports_follow_each_other_without_a_hole(timetable: Timetable, at: datetime, n: int) -> None:
    """Also over changing clocks, and when several were missed; a day may only be sent again where no new one closed."""
    since = next_due(timetable, at)
    held = newest_closed_day(previous_due(timetable, since))
    for step in range(n):
        now = since + timedelta(days=step * 5)
        due = due_now(timetable, since, now)
        if due is None:
            continue
        first, last = days_of(RangeRule.PERIOD, timetable, due)
        assert first <= last == newest_closed_day(due.scheduled_for)
        assert first == held + timedelta(days=1) or (first == last == held)
        held, since = last, due.next_at
