"""The schedules: one run each, over a range that begins where something is missing, out of date or not final."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from portfolio_pipelines.assets import diversification, leaderboard, metrics, operational, performance, prices
from portfolio_pipelines.assets.days import DAILY, EVERY_DAY, WHICH_DAYS_TAG, UtcDays
from portfolio_pipelines.automation import schedules
from portfolio_pipelines.automation.jobs import RANGE_END, RANGE_START
from portfolio_pipelines.automation.schedules import chains_hourly, closed_day, running_day
from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.database.investment_import import import_investments
from portfolio_pipelines.database.price_import import import_prices
from portfolio_pipelines.resources.platform import Platform
from portfolio_pipelines.settings import Settings
from portfolio_pipelines.tables import (
    INVESTMENT_PERFORMANCE,
    PORTFOLIO_PERFORMANCE,
    PORTFOLIO_PERFORMANCE_SCHEMA,
)

BOUGHT = date(2024, 3, 1)
TODAY = date(2024, 3, 20)
CLOSED = [BOUGHT + timedelta(days=n) for n in range((TODAY - BOUGHT).days)]
NIGHT = datetime(2024, 3, 20, 0, 20, tzinfo=UTC)
MORNING = NIGHT + timedelta(hours=9)
VALUATION = (operational, prices, performance)
FIGURES = (metrics, diversification, leaderboard)


@pytest.fixture
def platform(database: sa.Engine, tmp_path: Path) -> Platform:
    """Closes of Bitcoin from February on; nobody has invested."""
    url = SecretStr(url_text(database.url))
    platform = Platform.of(Settings(home=tmp_path / "home", database_url=url, price_providers=()))
    bring_prices(platform, {BOUGHT + timedelta(days=n): 60_000.0 for n in range(-20, 40)})
    return platform


@pytest.fixture
def valued(platform: Platform) -> Platform:
    """An investment of March 1st, valued on every day up to the 19th."""
    invest(platform, f"ann,first,{BOUGHT},BTC,600,0.01")
    run(platform, {RANGE_START: str(BOUGHT), RANGE_END: str(CLOSED[-1])})
    return platform


def bring_prices(platform: Platform, closes: dict[date, float], symbol: str = "BTC") -> None:
    rows = "".join(f"{day},{symbol},{close}\n" for day, close in closes.items())
    content = f"date,symbol,close_usd\n{rows}".encode()
    import_prices(platform.database.engine, content, store=platform.ledger.append, who="ann", name="prices.csv")


def invest(platform: Platform, row: str) -> None:
    import_investments(
        platform.database.engine,
        f"user_id,investment_id,invested_at,asset,amount_usd,quantity\n{row}\n".encode(),
        closes=platform.market.purchase_closes,
        first_day=DAILY.start.date(),
        who="ann",
        name="investments.csv",
    )


def run(platform: Platform, tags: dict[str, str], *, figures: bool = True) -> None:
    core = [*dg.load_assets_from_modules([*VALUATION, *(FIGURES if figures else ())])]
    with dg.DagsterInstance.ephemeral() as instance:
        assert dg.materialize(core, tags=tags, resources=dict(platform.resources()), instance=instance).success


def tick(platform: Platform, schedule: dg.ScheduleDefinition, at: datetime) -> dg.RunRequest:
    # The same platform at every tick: the process that evaluates schedules lives for weeks.
    resources = {name: platform.resources()[name] for name in ("lake", "database", "market")}
    result = schedule(dg.build_schedule_context(scheduled_execution_time=at, resources=resources))
    assert isinstance(result, dg.RunRequest)
    return result


def days_of(request: dg.RunRequest) -> tuple[str, str]:
    return request.tags[RANGE_START], request.tags[RANGE_END]


def test_the_closed_day_and_the_one_before_it_are_one_run(valued: Platform) -> None:
    assert days_of(tick(valued, closed_day, NIGHT)) == ("2024-03-18", "2024-03-19")  # neither may be final yet


def test_a_day_that_failed_is_found_and_healed_by_the_next_run(valued: Platform) -> None:
    for day in (date(2024, 3, 7), date(2024, 3, 11)):
        valued.lake.path(INVESTMENT_PERFORMANCE, day).unlink()
    request = tick(valued, closed_day, NIGHT)
    assert days_of(request) == ("2024-03-03", "2024-03-19")  # entered with the days that the index carries over
    run(valued, dict(request.tags))
    assert days_of(tick(valued, closed_day, NIGHT)) == ("2024-03-18", "2024-03-19")


def test_a_machine_that_was_off_for_days_catches_up_in_one_run(valued: Platform) -> None:
    first, last = days_of(tick(valued, closed_day, NIGHT + timedelta(days=5)))
    assert first <= "2024-03-18"  # the last two days before it went off were not final yet
    assert last == "2024-03-24"


def test_the_first_night_values_every_day_since_the_first_purchase(platform: Platform) -> None:
    invest(platform, f"ann,first,{BOUGHT},BTC,600,0.01")
    first, last = days_of(tick(platform, closed_day, NIGHT))
    assert (first <= str(BOUGHT), last) == (True, "2024-03-19")


def test_no_run_starts_before_the_first_partition(platform: Platform) -> None:
    start = DAILY.start.date()
    bring_prices(platform, {start: 100.0})
    invest(platform, f"ann,first,{start},BTC,600,6")
    assert days_of(tick(platform, closed_day, NIGHT))[0] == str(start)


def test_purchases_from_before_a_later_first_day_are_no_reason_to_begin_before_it(
    valued: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = date(2024, 3, 12)
    monkeypatch.setattr(schedules, "DAILY", UtcDays(later))
    bring_prices(valued, {date(2024, 3, 7): 61_000.0})
    moved = Platform.of(valued.settings.model_copy(update={"first_day": later}))
    assert days_of(tick(moved, closed_day, NIGHT)) == ("2024-03-18", "2024-03-19")


def test_without_investments_only_the_newest_days_are_run(platform: Platform) -> None:
    run(platform, {RANGE_START: "2024-03-17", RANGE_END: "2024-03-19"})
    assert days_of(tick(platform, closed_day, NIGHT)) == ("2024-03-18", "2024-03-19")


def test_the_same_night_is_run_once(valued: Platform) -> None:
    again, next_night = NIGHT + timedelta(minutes=3), NIGHT + timedelta(days=1)
    of = [tick(valued, closed_day, at).run_key for at in (NIGHT, again, next_night)]
    assert of[0] == of[1] != of[2]


def test_the_running_day_is_run_every_hour_and_each_hour_once(valued: Platform) -> None:
    nine, ten = tick(valued, running_day, MORNING), tick(valued, running_day, MORNING + timedelta(hours=1))
    assert nine.partition_key == "2024-03-20"
    assert nine.run_key == tick(valued, running_day, MORNING).run_key != ten.run_key


def test_the_first_hour_of_an_installation_values_today(platform: Platform) -> None:
    assert tick(platform, running_day, MORNING).partition_key == "2024-03-20"


def test_an_investment_of_today_is_run_with_today_alone(valued: Platform) -> None:
    invest(valued, f"ben,late,{TODAY},BTC,600,0.01")
    assert tick(valued, running_day, MORNING).partition_key == "2024-03-20"


@pytest.mark.parametrize("schedule", [running_day, closed_day])
def test_an_investment_of_a_past_day_is_no_gain_of_today(valued: Platform, schedule: dg.ScheduleDefinition) -> None:
    invest(valued, "ann,late,2024-03-05,BTC,600,0.01")
    at = MORNING if schedule is running_day else NIGHT + timedelta(days=1)
    request = tick(valued, schedule, at)
    assert days_of(request) == ("2024-03-05", "2024-03-20")
    run(valued, dict(request.tags), figures=schedule is closed_day)
    rows = valued.lake.read(PORTFOLIO_PERFORMANCE, [*CLOSED[1:], TODAY], PORTFOLIO_PERFORMANCE_SCHEMA)
    assert rows["daily_return"].abs().max() == 0, "the price never moved"
    assert rows.filter(pl.col("flow_in_usd") > 0)["date"].to_list() == [date(2024, 3, 5)]
    assert rows.filter(date=TODAY)["value_usd"].item() == pytest.approx(1200)
    assert tick(valued, running_day, MORNING + timedelta(hours=1)).partition_key == "2024-03-20"


def test_the_night_makes_the_figures_of_closes_that_the_hours_left_behind(valued: Platform) -> None:
    run(valued, {RANGE_START: str(BOUGHT), RANGE_END: str(CLOSED[-1]), WHICH_DAYS_TAG: EVERY_DAY})
    invest(valued, "ann,late,2024-03-05,BTC,600,0.01")
    run(valued, dict(tick(valued, running_day, MORNING).tags), figures=False)
    night = NIGHT + timedelta(days=1)
    request = tick(valued, closed_day, night)
    assert days_of(request) == ("2024-03-05", "2024-03-20")
    run(valued, dict(request.tags))
    assert days_of(tick(valued, closed_day, night)) == ("2024-03-19", "2024-03-20")


def test_after_days_without_any_run_the_hour_begins_on_the_last_day_there_is(valued: Platform) -> None:
    request = tick(valued, running_day, MORNING + timedelta(days=3))
    assert days_of(request) == ("2024-03-19", "2024-03-23")
    run(valued, dict(request.tags), figures=False)
    assert tick(valued, running_day, MORNING + timedelta(days=3, hours=1)).partition_key == "2024-03-23"


def test_a_close_of_before_a_coin_was_held_reaches_the_correlations_of_closes(valued: Platform) -> None:
    invest(valued, "ann,other,2024-03-10,ETH,300,0.1")
    bring_prices(valued, {day: 3_000.0 + 10 * day.day for day in CLOSED}, "ETH")
    run(valued, dict(tick(valued, closed_day, NIGHT).tags))
    assert days_of(tick(valued, closed_day, NIGHT)) == ("2024-03-18", "2024-03-19")
    bring_prices(valued, {date(2024, 3, 4): 3_500.0}, "ETH")  # six days before anybody held it
    run(valued, dict(tick(valued, running_day, MORNING).tags), figures=False)
    next_night = NIGHT + timedelta(days=3)
    request = tick(valued, closed_day, next_night)
    assert days_of(request)[0] == "2024-03-04"  # what is counted for the boards begins there
    run(valued, dict(request.tags))
    assert days_of(tick(valued, closed_day, next_night)) == ("2024-03-21", "2024-03-22")


def test_a_corrected_close_of_a_past_day_is_found_by_both(valued: Platform) -> None:
    bring_prices(valued, {date(2024, 3, 7): 61_000.0})
    assert days_of(tick(valued, running_day, MORNING)) == ("2024-03-07", "2024-03-20")
    assert days_of(tick(valued, closed_day, NIGHT)) == ("2024-03-07", "2024-03-19")


def test_all_are_off_until_somebody_turns_them_on_and_speak_utc() -> None:
    for schedule, cron in ((chains_hourly, "5 * * * *"), (closed_day, "20 0 * * *"), (running_day, "20 1-23 * * *")):
        assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
        assert (schedule.cron_schedule, schedule.execution_timezone) == (cron, "UTC")
