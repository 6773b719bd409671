"""The days that tables are partitioned by: the same as Dagster's own, listed at once."""

from datetime import UTC, date, datetime, timedelta

import dagster as dg
from dagster._core.definitions.partitions.context import partition_loading_context
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.assets.days import UtcDays, consecutive

DAYS = st.dates(min_value=date(2009, 1, 3), max_value=date(2023, 12, 31))


@given(first=DAYS, now=st.datetimes(min_value=datetime(2024, 1, 1), max_value=datetime(2026, 12, 31)))  # noqa: DTZ001
def test_they_are_the_days_that_dagster_would_list(first: date, now: datetime) -> None:
    ours = UtcDays(first)
    theirs = dg.DailyPartitionsDefinition(start_date=first.isoformat(), timezone="UTC", end_offset=1)
    with partition_loading_context(effective_dt=now.replace(tzinfo=UTC)):
        found = ours.get_partition_keys()
        assert [found[0], found[-1]] == [first.isoformat(), now.date().isoformat()]
        assert ours.get_last_partition_key() == theirs.get_last_partition_key()
        assert ours.get_num_partitions() == len(found) == theirs.get_num_partitions()
    assert ours == theirs


def test_every_day_is_there_once_and_the_running_one_is_the_last() -> None:
    now = datetime(2024, 3, 1, 12, tzinfo=UTC)
    with partition_loading_context(effective_dt=now):
        found = UtcDays(date(2023, 12, 30)).get_partition_keys()
        stock = dg.DailyPartitionsDefinition(start_date="2023-12-30", timezone="UTC", end_offset=1)
        assert list(found) == list(stock.get_partition_keys())
    assert found[-1] == "2024-03-01"
    assert "2024-02-29" in found


def test_before_the_first_day_there_is_none_but_the_day_that_runs() -> None:
    first = date(2024, 3, 1)
    with partition_loading_context(effective_dt=datetime(2024, 2, 1, tzinfo=UTC)):
        assert UtcDays(first).get_partition_keys() == []
    with partition_loading_context(effective_dt=datetime(2024, 3, 1, tzinfo=UTC)):
        assert UtcDays(first).get_partition_keys() == [first.isoformat()]


def test_a_time_that_is_asked_for_counts() -> None:
    asked = datetime(2024, 3, 5, 1, tzinfo=UTC)
    found = UtcDays(date(2024, 3, 1)).get_partition_keys(current_time=asked)
    assert list(found) == [str(date(2024, 3, 1) + timedelta(days=offset)) for offset in range(5)]


def test_days_are_split_where_one_is_left_out() -> None:
    first = date(2024, 2, 28)
    days = [first + timedelta(days=n) for n in (0, 1, 2, 4, 7, 8)]
    assert consecutive(days) == [days[:3], days[3:4], days[4:]]
    assert consecutive([]) == []
