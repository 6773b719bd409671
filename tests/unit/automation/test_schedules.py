"""The two schedules: one run each, over a range, that also heals what is missing."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from portfolio_pipelines.assets.days import DAILY
from portfolio_pipelines.automation.jobs import RANGE_END, RANGE_START
from portfolio_pipelines.automation.schedules import chains_hourly, closed_day, running_day
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.tables import INVESTMENT_LEGS, INVESTMENT_LEGS_SCHEMA, INVESTMENT_PERFORMANCE

TODAY = date(2024, 3, 20)
BOUGHT = date(2024, 3, 1)
NIGHT = datetime(2024, 3, 20, 0, 20, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An investment of March 1st, valued on every day since."""
    lake = Lake(tmp_path)
    leg = {"user_key": 1, "investment_key": 1, "invested_on": BOUGHT, "asset_id": "coin"}
    lake.replace_table(INVESTMENT_LEGS, pl.DataFrame([leg], schema=INVESTMENT_LEGS_SCHEMA))
    for offset in range((TODAY - BOUGHT).days):
        lake.replace(INVESTMENT_PERFORMANCE, BOUGHT + timedelta(days=offset), pl.DataFrame({"user_key": [1]}))
    return lake


def tick(lake: Lake, at: datetime = NIGHT) -> dg.RunRequest:
    result = closed_day(dg.build_schedule_context(scheduled_execution_time=at, resources={"lake": lake}))
    assert isinstance(result, dg.RunRequest)
    return result


def days_of(request: dg.RunRequest) -> tuple[str, str]:
    return request.tags[RANGE_START], request.tags[RANGE_END]


def test_the_closed_day_and_the_one_before_it_are_one_run(lake: Lake) -> None:
    assert days_of(tick(lake)) == ("2024-03-18", "2024-03-19")  # the prices of both may not be final yet


def test_a_day_that_failed_is_found_and_healed_by_the_next_run(lake: Lake) -> None:
    for day in (date(2024, 3, 7), date(2024, 3, 11)):
        lake.path(INVESTMENT_PERFORMANCE, day).unlink()
    first, last = days_of(tick(lake))
    assert first <= "2024-03-07"
    assert last == "2024-03-19"


def test_a_machine_that_was_off_for_days_catches_up_in_one_run(lake: Lake) -> None:
    first, last = days_of(tick(lake, NIGHT + timedelta(days=5)))
    assert first <= "2024-03-18"  # the last two days before it went off were not final yet
    assert last == "2024-03-24"


def test_no_run_starts_before_the_first_partition(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    leg = {"user_key": 1, "investment_key": 1, "invested_on": DAILY.start.date(), "asset_id": "coin"}
    lake.replace_table(INVESTMENT_LEGS, pl.DataFrame([leg], schema=INVESTMENT_LEGS_SCHEMA))
    assert days_of(tick(lake))[0] == str(DAILY.start.date())


def test_without_investments_only_the_newest_days_are_run(tmp_path: Path) -> None:
    assert days_of(tick(Lake(tmp_path))) == ("2024-03-18", "2024-03-19")


def test_the_same_night_is_run_once(lake: Lake) -> None:
    assert tick(lake).run_key == tick(lake, NIGHT + timedelta(minutes=3)).run_key
    assert tick(lake).run_key != tick(lake, NIGHT + timedelta(days=1)).run_key


def test_the_running_day_is_run_every_hour_and_each_hour_once() -> None:
    def at(hour: int) -> dg.RunRequest:
        moment = datetime(2024, 3, 20, hour, 20, tzinfo=UTC)
        result = running_day(dg.build_schedule_context(scheduled_execution_time=moment))
        assert isinstance(result, dg.RunRequest)
        return result

    assert at(9).partition_key == "2024-03-20"
    assert at(9).run_key == at(9).run_key != at(10).run_key


def test_all_are_off_until_somebody_turns_them_on_and_speak_utc() -> None:
    for schedule, cron in ((chains_hourly, "5 * * * *"), (closed_day, "20 0 * * *"), (running_day, "20 1-23 * * *")):
        assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
        assert (schedule.cron_schedule, schedule.execution_timezone) == (cron, "UTC")
