"""Every check passes on good tables and fails when it should: each test spoils one thing."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from portfolio_pipelines import tables
from portfolio_pipelines.assets.days import DAILY, ONE_RUN
from portfolio_pipelines.checks import expectations, performance, prices
from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.platform import Platform
from portfolio_pipelines.settings import Settings

DAYS = [date(2024, 3, 4) + timedelta(days=n) for n in range(3)]
BTC, ETH, INDEX = "coingecko:bitcoin", "coingecko:ethereum", "yahoo:^GSPC"
CLOSES = {BTC: [60_000.0, 61_000.0, 62_000.0], ETH: [3_000.0, 3_100.0, 3_200.0], INDEX: [5_100.0, 5_110.0, 5_120.0]}
QUANTITIES = {1: (1, BTC, 0.1, DAYS[0]), 2: (1, ETH, 2.0, DAYS[0]), 3: (2, BTC, 0.5, DAYS[1])}
KNOWN = datetime(2024, 4, 1, tzinfo=UTC)
MODULES = (expectations, prices, performance)
TABLES = {
    "assets": None,
    "investment_legs": None,
    "prices_daily": DAILY,
    "investment_performance": DAILY,
    "portfolio_performance": DAILY,
}


def price_rows(day: int) -> pl.DataFrame:
    rows = [
        {
            "asset_id": asset,
            "close_usd": closes[day],
            "status": "ok",
            "provider": "file",
            "source": "test",
            "n_quotes": 1,
            "is_final": True,
            "known_at": KNOWN,
            "last_close_usd": closes[day],
            "last_close_date": DAYS[day],
        }
        for asset, closes in CLOSES.items()
    ]
    schema = pl.Schema({name: kind for name, kind in tables.PRICES_SCHEMA.items() if name != "date"})
    return pl.DataFrame(rows, schema=schema).sort("asset_id")


def investment_rows(day: int) -> pl.DataFrame:
    rows = [
        (user, key, 1_000.0, quantity * CLOSES[asset][day], 0.0, 0.0, 0, True)
        for key, (user, asset, quantity, bought) in QUANTITIES.items()
        if bought <= DAYS[day]
    ]
    schema = pl.Schema({name: kind for name, kind in tables.INVESTMENT_PERFORMANCE_SCHEMA.items() if name != "date"})
    return pl.DataFrame(rows, schema=schema, orient="row")


def portfolio_rows(day: int) -> pl.DataFrame:
    sums = investment_rows(day).group_by("user_key", maintain_order=True).agg(pl.col("invested_usd", "value_usd").sum())
    schema = pl.Schema({name: kind for name, kind in tables.PORTFOLIO_PERFORMANCE_SCHEMA.items() if name != "date"})
    rest = {"stale_usd": 0.0, "missing_usd": 0.0, "unpriced_legs": 0, "twr_index": 1.0, "is_final": True}
    whole = sums.with_columns(**{name: pl.lit(value) for name, value in rest.items()})
    absent = [pl.lit(None, kind).alias(name) for name, kind in schema.items() if name not in whole.columns]
    return whole.with_columns(absent).select(schema.names()).cast(schema)


@pytest.fixture
def platform(database: sa.Engine, tmp_path: Path) -> Platform:
    url = SecretStr(url_text(database.url))
    return Platform.of(Settings(home=tmp_path / "home", database_url=url, price_providers=()))


@pytest.fixture
def lake(platform: Platform) -> Lake:
    """Three good days of three investments of two users."""
    lake = platform.lake
    lake.replace_table(tables.ASSETS, pl.DataFrame([{"asset_id": a} for a in CLOSES], schema=tables.ASSETS_SCHEMA))
    legs = [
        {"user_key": user, "investment_key": key, "invested_on": day, "asset_id": asset, "amount_usd": 1_000.0,
         "quantity": quantity}
        for key, (user, asset, quantity, day) in QUANTITIES.items()
    ]  # fmt: skip
    lake.replace_table(tables.INVESTMENT_LEGS, pl.DataFrame(legs, schema=tables.INVESTMENT_LEGS_SCHEMA))
    for at, day in enumerate(DAYS):
        lake.replace(tables.PRICES, day, price_rows(at))
        lake.replace(tables.INVESTMENT_PERFORMANCE, day, investment_rows(at))
        lake.replace(tables.PORTFOLIO_PERFORMANCE, day, portfolio_rows(at))
    return lake


@pytest.fixture
def verdicts(platform: Platform, lake: Lake) -> Callable[..., dict[str, dg.AssetCheckEvaluation]]:
    """Runs the checks of some modules, or all, over the three days and returns what failed, by name."""

    def made(name: str, partitions: dg.PartitionsDefinition[str] | None) -> dg.AssetsDefinition:
        policy = ONE_RUN if partitions else None

        @dg.asset(name=name, partitions_def=partitions, backfill_policy=policy)
        def table() -> None: ...

        return table

    def judge(*modules: ModuleType) -> dict[str, dg.AssetCheckEvaluation]:
        checks = dg.load_asset_checks_from_modules(modules or MODULES)
        stand_ins = [made(name, partitions) for name, partitions in TABLES.items()]
        defs = dg.Definitions(
            assets=stand_ins,
            asset_checks=checks,
            jobs=[dg.define_asset_job("checks", selection=dg.AssetSelection.all(), partitions_def=DAILY)],
            resources=dict(platform.resources()),
            executor=dg.in_process_executor,
        )
        first, last = DAYS[0].isoformat(), DAYS[-1].isoformat()
        tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        result = defs.resolve_job_def("checks").execute_in_process(tags=tags, raise_on_error=False)
        found = {check.check_name: check for check in result.get_asset_check_evaluations()}
        return {name: check for name, check in found.items() if not check.passed}

    return judge


Verdicts = Callable[..., dict[str, dg.AssetCheckEvaluation]]


def spoil(lake: Lake, table: str, rows: pl.DataFrame, day: int = 1) -> None:
    lake.replace(table, DAYS[day], rows)


def test_good_tables_pass_every_check(verdicts: Verdicts, platform: Platform) -> None:
    assert verdicts() == {}
    recorded = platform.database.check_results()
    assert recorded["passed"].all()
    names = {key.name for checks in dg.load_asset_checks_from_modules(MODULES) for key in checks.check_keys}
    assert set(recorded["check_name"]) == names  # each of them spoke


def price_with(**columns: Any) -> pl.DataFrame:
    """The prices of the second day, where those of Ethereum are changed."""
    rows, is_it = price_rows(1), pl.col("asset_id") == ETH
    return rows.with_columns(
        pl.when(is_it).then(pl.lit(value, rows.schema[name])).otherwise(name).alias(name)
        for name, value in columns.items()
    )


@pytest.mark.parametrize(
    ("rows", "check"),
    [
        (price_with(close_usd=-1.0), "price_is_positive"),
        (price_with(close_usd=0.0), "price_is_positive"),
        (price_with(status="fine"), "status_is_known"),
        (pl.concat([price_rows(1), price_rows(1).head(1)]), "one_price_an_asset_and_day"),
        (price_with(asset_id=None), "asset_is_named"),
        (price_with(provider=None), "provider_is_named"),
        (price_with(close_usd=3_000.0 * 5.1), "no_unconfirmed_jump_is_served"),
        (price_with(close_usd=3_000.0 / 5.1), "no_unconfirmed_jump_is_served"),
    ],
)
def test_an_impossible_price_fails_and_blocks(verdicts: Verdicts, lake: Lake, rows: pl.DataFrame, check: str) -> None:
    spoil(lake, tables.PRICES, rows)
    failed = verdicts(expectations, prices)
    assert failed[check].severity == dg.AssetCheckSeverity.ERROR
    assert failed[check].blocking


def test_a_confirmed_jump_and_a_missing_price_are_no_faults(verdicts: Verdicts, lake: Lake) -> None:
    spoil(lake, tables.PRICES, price_with(close_usd=3_000.0 * 5.1, status="manual"))
    spoil(lake, tables.PRICES, price_rows(2).with_columns(
        close_usd=pl.when(pl.col("asset_id") == INDEX).then(None).otherwise("close_usd"),
        status=pl.when(pl.col("asset_id") == INDEX).then(pl.lit("no_source"))
        .when(pl.col("asset_id") == ETH).then(pl.lit("manual")).otherwise("status"),
        provider=pl.when(pl.col("asset_id") == INDEX).then(None).otherwise("provider"),
    ), day=2)  # fmt: skip
    assert set(verdicts()) == {"every_held_asset_has_a_fresh_price"}


def test_a_jump_is_measured_from_the_last_accepted_close_over_a_gap(verdicts: Verdicts, lake: Lake) -> None:
    spoil(lake, tables.PRICES, price_rows(1).filter(pl.col("asset_id") != ETH))
    spoil(lake, tables.PRICES, price_rows(2).with_columns(
        close_usd=pl.when(pl.col("asset_id") == ETH).then(300.0).otherwise("close_usd")), day=2)  # fmt: skip
    failed = verdicts(prices)["no_unconfirmed_jump_is_served"]
    assert f"{ETH} on {DAYS[2]}" in str(failed.metadata["first"].value)


def test_a_blocked_quote_and_a_stale_price_warn_without_blocking(verdicts: Verdicts, lake: Lake) -> None:
    spoil(lake, tables.PRICES, price_with(status="stale", reason="jump from 3000 (2024-03-04) to 9 is blocked"))
    failed = verdicts(prices)
    assert set(failed) == {"blocked_prices_are_confirmed", "every_held_asset_has_a_fresh_price"}
    assert {check.severity for check in failed.values()} == {dg.AssetCheckSeverity.WARN}
    assert f"{ETH} on {DAYS[1]}" in str(failed["blocked_prices_are_confirmed"].metadata["first"].value)


def test_a_held_asset_without_a_row_has_no_fresh_price(verdicts: Verdicts, lake: Lake) -> None:
    spoil(lake, tables.PRICES, price_rows(1).filter(pl.col("asset_id") != BTC))
    assert verdicts(prices)["every_held_asset_has_a_fresh_price"].metadata["lacking"].value == 1


@pytest.mark.parametrize(
    "change",
    [{"asset_id": "coingecko:nobody-knows"}, {"quantity": 0.0}, {"quantity": None}, {"amount_usd": -1.0}],
)
def test_an_orphan_or_empty_leg_fails_and_blocks(verdicts: Verdicts, lake: Lake, change: dict[str, Any]) -> None:
    legs = lake.read_table(tables.INVESTMENT_LEGS, tables.INVESTMENT_LEGS_SCHEMA)
    ((name, value),) = change.items()
    first = pl.int_range(pl.len()) == 0
    legs = legs.with_columns(pl.when(first).then(pl.lit(value, legs.schema[name])).otherwise(name).alias(name))
    lake.replace_table(tables.INVESTMENT_LEGS, legs)
    failed = verdicts(performance)["no_leg_is_an_orphan"]
    assert failed.blocking
    assert failed.severity == dg.AssetCheckSeverity.ERROR


@pytest.mark.parametrize("apart", [False, True], ids=["all prices are invented", "some prices are real"])
def test_a_quantity_of_the_sample_market_is_named_without_blocking(verdicts: Verdicts, lake: Lake, apart: bool) -> None:
    legs = lake.read_table(tables.INVESTMENT_LEGS, tables.INVESTMENT_LEGS_SCHEMA)
    first = pl.int_range(pl.len()) == 0
    mark = tables.SAMPLE_UNITS if apart else ""
    lake.replace_table(
        tables.INVESTMENT_LEGS,
        legs.with_columns(
            price_source=pl.when(first).then(pl.lit("sample")).otherwise("price_source"),
            asset_id=pl.when(first).then(mark + pl.col("asset_id")).otherwise("asset_id"),
        ),
    )
    failed = verdicts()
    assert set(failed) == {"no_quantity_rests_on_the_sample_market"}
    check = failed["no_quantity_rests_on_the_sample_market"]
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert (check.metadata["invented"].value, check.metadata["users"].value) == (1, 1)
    assert str(check.metadata["first"].value).startswith(f"{legs['asset_id'][0]} of {legs['user_id'][0]} (")


@pytest.mark.parametrize(
    "rows",
    [
        investment_rows(1).head(2),
        pl.concat([investment_rows(1), investment_rows(1).tail(1)]),
        pl.concat([investment_rows(1).head(2), investment_rows(1).head(1)]),
        investment_rows(1).reverse(),
    ],
    ids=["one is gone", "one is there twice", "one is there twice and another gone", "the order is wrong"],
)
def test_a_lost_investment_fails_and_the_day_is_named(verdicts: Verdicts, lake: Lake, rows: pl.DataFrame) -> None:
    spoil(lake, tables.INVESTMENT_PERFORMANCE, rows)
    failed = verdicts(performance)["no_investment_is_lost"]
    assert str(DAYS[1]) in str(failed.metadata["first"].value)
    assert failed.metadata["wrong_days"].value == 1


def test_a_missing_day_is_named_with_the_command_that_fills_it(verdicts: Verdicts, lake: Lake) -> None:
    lake.path(tables.INVESTMENT_PERFORMANCE, DAYS[1]).unlink()
    failed = verdicts(performance)["no_day_is_missing_since_purchase"]
    assert failed.severity == dg.AssetCheckSeverity.WARN
    assert failed.metadata["what_to_do"].value == f"portfolio backfill --from {DAYS[1]} --to {DAYS[1]} --only-missing"


@pytest.mark.parametrize(
    ("rows", "passes"),
    [
        (portfolio_rows(1).with_columns(pl.col("value_usd") + 0.011), False),
        (portfolio_rows(1).with_columns(pl.col("value_usd") + 0.009), True),
        (portfolio_rows(1).with_columns(pl.col("invested_usd") - 1), False),
        (portfolio_rows(1).with_columns(value_usd=pl.lit(float("nan"))), False),
        (portfolio_rows(1).head(1), False),
        (portfolio_rows(1).with_columns(user_key=pl.col("user_key") + 5), False),
    ],
    ids=["a cent too much", "less than a cent", "too little invested", "no number", "a user is gone", "other users"],
)
def test_a_portfolio_that_is_not_the_sum_of_its_investments_fails(
    verdicts: Verdicts, lake: Lake, rows: pl.DataFrame, passes: bool
) -> None:
    spoil(lake, tables.PORTFOLIO_PERFORMANCE, rows)
    failed = verdicts(performance)
    assert ("portfolios_are_the_sum_of_their_investments" not in failed) == passes
    if not passes:
        assert failed["portfolios_are_the_sum_of_their_investments"].blocking
        assert str(DAYS[1]) in str(failed["portfolios_are_the_sum_of_their_investments"].metadata["first"].value)


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"user_key": pl.lit(1, pl.Int32)}, "one_row_a_portfolio"),
        ({"invested_usd": pl.lit(0.0)}, "something_is_invested"),
        ({"value_usd": pl.lit(0.0)}, "value_is_positive"),
        ({"stale_usd": pl.col("value_usd") + 1}, "stale_part_is_part_of_the_value"),
        ({"twr_index": pl.lit(-0.1)}, "index_is_positive"),
    ],
)
def test_an_impossible_portfolio_fails_on_the_newest_day(
    verdicts: Verdicts, lake: Lake, change: dict[str, pl.Expr], check: str
) -> None:
    spoil(lake, tables.PORTFOLIO_PERFORMANCE, portfolio_rows(2).with_columns(**change), day=2)
    assert verdicts(expectations)[check].severity == dg.AssetCheckSeverity.ERROR


@pytest.mark.parametrize(("share", "passes"), [(0.04, True), (0.06, False)])
def test_too_much_value_on_old_prices_warns(verdicts: Verdicts, lake: Lake, share: float, passes: bool) -> None:
    rows = portfolio_rows(2).with_columns(stale_usd=pl.col("value_usd") * share)
    spoil(lake, tables.PORTFOLIO_PERFORMANCE, rows, day=2)
    failed = verdicts(performance)
    assert ("portfolios_rest_on_fresh_prices" not in failed) == passes
    if not passes:
        assert failed["portfolios_rest_on_fresh_prices"].metadata["coverage"].value == pytest.approx(1 - share)


def test_a_verdict_is_remembered_once_as_long_as_it_stays_the_same(
    verdicts: Verdicts, lake: Lake, database: sa.Engine
) -> None:
    def count() -> int:
        with database.connect() as connection:
            return connection.scalar(sa.text("select count(*) from app.check_results")) or 0

    verdicts(performance)
    once = count()
    verdicts(performance)
    assert count() == once
    spoil(lake, tables.PORTFOLIO_PERFORMANCE, portfolio_rows(1).head(1))
    verdicts(performance)
    assert count() == once + 1
