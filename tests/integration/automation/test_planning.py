"""What is due: files that are missing, and days whose inputs, code or day before changed."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from portfolio_pipelines.assets import (
    diversification,
    leaderboard,
    metrics,
    operational,
    performance,
    prices,
    profit_and_loss,
)
from portfolio_pipelines.assets.days import UtcDays
from portfolio_pipelines.automation.figure_planning import TABLES_OF_CLOSES
from portfolio_pipelines.automation.planning import (
    DAILY_TABLES,
    Plan,
    first_outdated_day,
    first_sample_day,
    make_plan,
)
from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.database.investment_import import import_investments
from portfolio_pipelines.database.overrides import add_override
from portfolio_pipelines.database.price_import import import_prices
from portfolio_pipelines.database.transaction_import import import_transactions
from portfolio_pipelines.resources.platform import Platform
from portfolio_pipelines.settings import Settings
from portfolio_pipelines.tables import (
    INVESTMENT_PERFORMANCE,
    INVESTMENT_PERFORMANCE_SCHEMA,
    PORTFOLIO_PERFORMANCE,
    PORTFOLIO_PERFORMANCE_SCHEMA,
)

DAYS = [date(2024, 3, 4) + timedelta(days=n) for n in range(8)]
VALUATION = (operational, prices, performance)
FIGURES = (metrics, diversification, leaderboard)
HEADER = "user_id,investment_id,invested_at,asset,amount_usd,quantity\n"


@pytest.fixture
def platform(database: sa.Engine, tmp_path: Path) -> Platform:
    """Eight days of Bitcoin and one investment of the first of them; nothing is valued."""
    url = SecretStr(url_text(database.url))
    settings = Settings(
        home=tmp_path / "home",
        database_url=url,
        price_providers=(),
        leaderboard_least_sources=1,
        leaderboard_counts_from="purchase",
    )
    platform = Platform.of(settings)
    bring_prices(platform, {day: 60_000.0 + at for at, day in enumerate(DAYS)})
    bring_investments(platform, "ann,first,2024-03-04,BTC,100,0.01\n")
    return platform


def bring_prices(platform: Platform, closes: dict[date, float]) -> None:
    rows = "".join(f"{day},BTC,{close}\n" for day, close in closes.items())
    content = f"date,symbol,close_usd\n{rows}".encode()
    import_prices(platform.database.engine, content, store=platform.ledger.append, who="ann", name="prices.csv")


def bring_investments(platform: Platform, rows: str) -> None:
    closes = platform.market.purchase_closes
    content = (HEADER + rows).encode()
    import_investments(
        platform.database.engine, content, closes=closes, first_day=DAYS[0], who="ann", name="investments.csv"
    )


def run(platform: Platform, first: date, last: date, *further: ModuleType, figures: bool = True) -> None:
    run_alone(platform, first, last, *VALUATION, *(FIGURES if figures else ()), *further)


def run_alone(platform: Platform, first: date, last: date, *modules: ModuleType, without: str | None = None) -> None:
    """Some steps, as a run that was killed after them leaves them."""
    loaded = dg.load_assets_from_modules(modules)
    core = [asset for asset in loaded if isinstance(asset, dg.AssetsDefinition) and asset.node_def.name != without]
    tags = {"dagster/asset_partition_range_start": str(first), "dagster/asset_partition_range_end": str(last)}
    with dg.DagsterInstance.ephemeral() as instance:
        assert dg.materialize(core, tags=tags, resources=dict(platform.resources()), instance=instance).success


def plan(platform: Platform, first: date = DAYS[0], last: date = DAYS[-1], **options: bool) -> Plan:
    fresh = Platform.of(platform.settings)  # as the next command would see it
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return make_plan(days, fresh.lake, fresh.database, fresh.market, **options)


@pytest.fixture
def valued(platform: Platform) -> Platform:
    """All eight days are valued."""
    run(platform, DAYS[0], DAYS[-1])
    return platform


def test_everything_is_missing_at_first(platform: Platform) -> None:
    assert plan(platform).missing == DAYS
    assert plan(platform).window == (DAYS[0], DAYS[-1])
    assert plan(platform, only_missing=True).window == (DAYS[0], DAYS[-1])


def test_nothing_is_due_after_a_run(valued: Platform) -> None:
    assert plan(valued) == Plan([], [], DAYS[-1])
    assert plan(valued).window is None
    assert plan(valued, only_missing=True).window is None


@pytest.mark.parametrize("table", DAILY_TABLES)
def test_a_deleted_file_makes_its_day_due_and_the_days_after_it_are_run_along(valued: Platform, table: str) -> None:
    valued.lake.path(table, DAYS[3]).unlink()
    assert plan(valued, only_missing=True).missing == [DAYS[3]]
    assert plan(valued).window == (DAYS[3], DAYS[-1])  # its returns are chained on


@pytest.mark.parametrize(
    "change",
    [
        lambda platform: bring_prices(platform, {DAYS[4]: 61_000.0}),
        lambda platform: add_override(
            platform.database.engine, "coingecko:bitcoin", DAYS[4], Decimal(61_000), who="ann", why="print"
        ),
    ],
    ids=["a new quote", "an override"],
)
def test_a_changed_price_makes_its_day_due_unless_only_missing_ones_are_wanted(
    valued: Platform, change: Callable[[Platform], object]
) -> None:
    change(valued)
    assert (plan(valued).missing, plan(valued).changed) == ([], [DAYS[4]])
    assert plan(valued).window == (DAYS[4], DAYS[-1])
    assert plan(valued, only_missing=True).window is None


def test_a_change_after_the_days_asked_for_is_found_too(valued: Platform) -> None:
    bring_prices(valued, {DAYS[6]: 61_000.0})
    assert plan(valued, last=DAYS[2]).window == (DAYS[6], DAYS[-1])


def test_a_new_investment_makes_its_days_due_and_no_earlier_one(valued: Platform) -> None:
    bring_investments(valued, "ben,late,2024-03-08,BTC,100,0.01\n")
    assert plan(valued).changed == DAYS[4:]
    path = valued.lake.path("core/portfolio_performance", DAYS[3])
    before = path.stat().st_mtime_ns
    run(valued, DAYS[0], DAYS[-1])
    assert path.stat().st_mtime_ns == before
    assert plan(valued).window is None


def test_what_no_day_rests_on_is_copied_with_the_last_day_alone(valued: Platform) -> None:
    bring_investments(valued, "ben,late,2024-03-15,BTC,100,0.01\n")  # after the days there are
    assert plan(valued).changed == DAYS[-1:]
    run(valued, DAYS[-1], DAYS[-1])
    assert plan(valued).window is None


def test_an_investment_that_is_moved_to_a_later_day_makes_the_days_due_that_it_leaves(valued: Platform) -> None:
    bring_investments(valued, "ann,first,2024-03-08,BTC,100,0.01\n")
    assert plan(valued, first=DAYS[4]).window == (DAYS[0], DAYS[-1]), "also when nobody asks for the days before it"
    run(valued, DAYS[0], DAYS[-1])
    assert plan(valued, first=DAYS[4]).window is None
    assert valued.lake.read(INVESTMENT_PERFORMANCE, DAYS, INVESTMENT_PERFORMANCE_SCHEMA)["date"].min() == DAYS[4]


def test_days_before_the_first_day_of_the_settings_are_left_alone(valued: Platform) -> None:
    bring_prices(valued, {DAYS[1]: 61_000.0})
    later = Platform.of(valued.settings.model_copy(update={"first_day": DAYS[3]}))
    assert plan(valued, first=DAYS[3]).window == (DAYS[1], DAYS[-1])
    assert plan(later, first=DAYS[3]).window is None
    assert first_outdated_day(DAYS[-1], later.lake, later.database, later.market) is None


def test_a_day_is_not_valued_upon_one_that_had_other_investments(valued: Platform) -> None:
    bring_investments(valued, "ann,late,2024-03-06,BTC,600,0.01\n")
    before = valued.lake.path(INVESTMENT_PERFORMANCE, DAYS[6]).read_bytes()
    with pytest.raises(dg.Failure, match=r"2024-03-10 cannot be valued upon 2024-03-09.*begin on 2024-03-06\.$"):
        run(valued, DAYS[6], DAYS[7])
    assert valued.lake.path(INVESTMENT_PERFORMANCE, DAYS[6]).read_bytes() == before
    assert plan(valued).window == (DAYS[2], DAYS[-1])  # although the run that failed has copied the investment
    run(valued, DAYS[2], DAYS[-1])
    returns = valued.lake.read(PORTFOLIO_PERFORMANCE, DAYS[1:], PORTFOLIO_PERFORMANCE_SCHEMA)["daily_return"]
    assert returns.abs().max() < 1e-4, "money that came in is no gain"
    assert plan(valued).window is None


def test_a_day_is_not_valued_upon_portfolios_that_a_killed_run_left_as_they_were(valued: Platform) -> None:
    bring_investments(valued, "ann,late,2024-03-06,BTC,600,0.01\n")
    run_alone(valued, DAYS[2], DAYS[6], *VALUATION, without="portfolio_performance")
    with pytest.raises(dg.Failure, match=r"2024-03-11 cannot be valued upon 2024-03-10.*begin on 2024-03-06\.$"):
        run(valued, DAYS[7], DAYS[7])
    assert plan(valued).window == (DAYS[2], DAYS[-1])


def test_a_day_that_no_run_reaches_is_named_with_the_setting_that_brings_it_back(
    valued: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_investments(valued, "ann,late,2024-03-06,BTC,600,0.01\n")
    monkeypatch.setattr(performance, "DAILY", UtcDays(DAYS[5]))
    with pytest.raises(dg.Failure, match=r"PORTFOLIO_FIRST_DAY is valued again: set it to 2024-03-06"):
        run(valued, DAYS[5], DAYS[-1])


def test_filling_a_gap_begins_where_the_days_before_it_are_out_of_date(valued: Platform) -> None:
    for table in DAILY_TABLES:
        valued.lake.path(table, DAYS[5]).unlink()
    assert plan(valued, only_missing=True).window == (DAYS[5], DAYS[-1])
    bring_investments(valued, "ann,late,2024-03-06,BTC,600,0.01\n")
    assert plan(valued, only_missing=True).window == (DAYS[2], DAYS[-1])
    run(valued, DAYS[2], DAYS[-1])
    assert plan(valued).window is None


def test_an_investment_of_the_first_day_of_a_run_is_no_other_investment(valued: Platform) -> None:
    bring_investments(valued, "ann,late,2024-03-10,BTC,600,0.01\n")
    run(valued, DAYS[6], DAYS[7])
    assert plan(valued).window is None


@pytest.mark.parametrize("table", TABLES_OF_CLOSES)
def test_figures_that_a_killed_run_left_out_are_due(valued: Platform, table: str) -> None:
    valued.lake.path(table, DAYS[-1]).unlink()
    assert plan(valued).window == (DAYS[-1], DAYS[-1])
    run(valued, DAYS[-1], DAYS[-1])
    assert plan(valued).window is None


def test_correlations_and_boards_that_a_killed_run_left_as_they_were_are_due(valued: Platform) -> None:
    bring_prices(valued, {DAYS[4]: 61_000.0})
    run_alone(valued, DAYS[4], DAYS[-1], *VALUATION, metrics)
    assert plan(valued).changed == [*DAYS[4:6], DAYS[-1]], "two counted days, and the correlations of the last one"
    run_alone(valued, DAYS[4], DAYS[-1], *VALUATION, metrics, diversification)
    assert plan(valued).changed == DAYS[4:6]
    run_alone(valued, DAYS[4], DAYS[-1], leaderboard, without="leaderboards")
    assert plan(valued).changed == DAYS[-1:]
    run(valued, DAYS[-1], DAYS[-1])
    assert plan(valued).window is None


def test_other_rules_of_the_boards_make_their_days_due(valued: Platform) -> None:
    other = Platform.of(valued.settings.model_copy(update={"leaderboard_least_sources": 2}))
    assert plan(other).changed == DAYS
    run(other, DAYS[0], DAYS[-1])
    assert plan(other).window is None


def test_holdings_that_an_hour_left_uncopied_are_copied_with_the_newest_board(valued: Platform) -> None:
    bring_investments(valued, "ben,late,2024-03-11,BTC,100,0.01\n")
    run(valued, DAYS[-1], DAYS[-1], figures=False)
    run_alone(valued, DAYS[-1], DAYS[-1], metrics, diversification)
    assert plan(valued).changed == DAYS[-1:]
    run_alone(valued, DAYS[-1], DAYS[-1], leaderboard)
    assert plan(valued).window is None


def test_figures_are_due_where_values_changed_without_them(valued: Platform) -> None:
    bring_prices(valued, {DAYS[4]: 61_000.0})
    run(valued, DAYS[4], DAYS[-1], figures=False)
    assert plan(valued).changed == [*DAYS[4:6], DAYS[-1]]
    assert first_outdated_day(DAYS[-1], valued.lake, valued.database, valued.market) is None
    run(valued, DAYS[-1], DAYS[-1])
    assert plan(valued).window is None


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (prices, "QUOTES_VERSION"),
        (prices, "PRICES_VERSION"),
        (prices, "RESTATEMENTS_VERSION"),
        (prices, "BENCHMARKS_VERSION"),
        (performance, "INVESTMENTS_VERSION"),
        (performance, "PORTFOLIOS_VERSION"),
        (operational, "CODE_VERSION"),
    ],
)
def test_new_code_makes_every_day_due(
    valued: Platform, monkeypatch: pytest.MonkeyPatch, module: object, name: str
) -> None:
    monkeypatch.setattr(module, name, "a later one")
    assert plan(valued).changed == DAYS


def test_new_code_of_the_figures_makes_those_due_that_there_are(
    valued: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "METRICS_VERSION", "a later one")
    assert plan(valued).changed == DAYS[-1:]


def test_days_that_were_run_before_their_predecessors_are_due_again(platform: Platform) -> None:
    run(platform, DAYS[4], DAYS[-1])
    run(platform, DAYS[0], DAYS[3])
    assert plan(platform).missing == []
    assert plan(platform).window == (DAYS[4], DAYS[-1])
    run(platform, DAYS[4], DAYS[-1])
    assert plan(platform).window is None


def test_a_gap_before_the_newest_day_is_due(platform: Platform) -> None:
    run(platform, DAYS[0], DAYS[1])
    run(platform, DAYS[5], DAYS[6])
    assert plan(platform, last=DAYS[1]).window == (DAYS[2], DAYS[6])
    assert plan(platform, only_missing=True).missing == [*DAYS[2:5], DAYS[7]]


def test_days_of_the_sample_market_are_known_as_such(valued: Platform) -> None:
    assert first_sample_day(valued.lake) is None
    quotes = valued.market.quotes(DAYS[:1])
    valued.lake.replace("raw/quotes", DAYS[0], quotes.with_columns(provider=pl.lit("sample")))
    assert first_sample_day(valued.lake) == DAYS[0]


def test_an_empty_lake_has_no_sample_day(platform: Platform) -> None:
    assert first_sample_day(platform.lake) is None


def test_a_transaction_that_came_late_and_another_rule_make_the_days_of_ledgers_due(platform: Platform) -> None:
    ledger = "user_id,transaction_id,at,type,venue,in_asset,in_quantity,out_asset,out_quantity\n"
    first, late = (
        f"ann,one,{DAYS[3]} 10:00,buy,kraken,BTC,1,USD,60000\n",
        f"ann,two,{DAYS[2]} 10:00,buy,k,BTC,1,USD,1\n",
    )
    bring_ledger(platform, ledger + first)
    run(platform, DAYS[0], DAYS[-1], profit_and_loss)
    assert plan(platform).due == []
    bring_ledger(platform, ledger + late)
    assert plan(platform).changed == DAYS[2:]
    assert plan(platform, only_missing=True).due == [], "no file is missing"
    run(platform, DAYS[2], DAYS[-1], profit_and_loss)
    assert plan(platform).due == []
    other = Platform.of(platform.settings.model_copy(update={"ledger_shorts_allowed": True}))
    assert plan(other).changed == DAYS[2:]


def bring_ledger(platform: Platform, text: str) -> None:
    import_transactions(platform.database.engine, text.encode(), first_day=DAYS[0], who="ann", name="ledger.csv")
