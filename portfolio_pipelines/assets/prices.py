"""From quotes to one close an asset and day. Asking is in `market.fetch`, deciding in `market.consensus`."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import polars as pl

from portfolio_pipelines.assets.days import DAILY, ONE_RUN, RETRY, days_of
from portfolio_pipelines.assets.metadata import OWNERS, column_schema, written
from portfolio_pipelines.market.benchmarks import CARRIED_OVER, benchmark_closes
from portfolio_pipelines.market.consensus import STATE, decide_prices
from portfolio_pipelines.market.quotes import QUOTES
from portfolio_pipelines.market.restatements import restate
from portfolio_pipelines.market.vintages import newest_before
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.market_data import MarketData
from portfolio_pipelines.resources.partitions import PartitionWriter, fingerprint, frame_fingerprint
from portfolio_pipelines.tables import (
    BENCHMARKS,
    BENCHMARKS_SCHEMA,
    PRICES,
    PRICES_SCHEMA,
    RAW_QUOTES,
    RESTATEMENTS,
    RESTATEMENTS_SCHEMA,
    VINTAGES,
    VINTAGES_SCHEMA,
)

QUOTES_VERSION = "1"
PRICES_VERSION = "2"
BENCHMARKS_VERSION = "1"
RESTATEMENTS_VERSION = "2"
STATE_DAYS = 4
"""The state is looked up this many days back: an index has no row on a weekend."""


@dg.asset(
    deps=["assets", "investment_legs", "asset_successions"],
    partitions_def=DAILY,
    backfill_policy=ONE_RUN,
    group_name="raw",
    owners=OWNERS,
    kinds={"parquet"},
    code_version=QUOTES_VERSION,
    metadata=column_schema(QUOTES),
    retry_policy=RETRY,
)
def raw_quotes(
    context: dg.AssetExecutionContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Database],
    market: dg.ResourceParam[MarketData],
) -> dg.MaterializeResult[None]:
    """What every provider answered for every tracked asset and day, failures included. Nothing is overwritten."""
    days = days_of(context)
    was_sample = market.is_sample
    report = market.refresh(days, datetime.now(UTC), log=context.log.info)
    if was_sample and not report.is_sample and (invented := database.sample_legs().legs):
        msg = (
            f"real prices came for the first time, after this run had read the investments: {invented} of their "
            "quantities rest on the sample market and would be valued at real prices. Start the next run: it keeps "
            "them apart"
        )
        raise dg.Failure(msg, allow_retries=False)
    quotes = market.quotes(days)
    by_day = quotes.partition_by("date", as_dict=True)
    with database.writer(lake, context.run.run_id) as writer:
        for day in days:
            rows = by_day.get((day,), quotes.clear())
            seen = frame_fingerprint(rows)
            if not writer.is_current(RAW_QUOTES, day, seen, QUOTES_VERSION):
                writer.write(RAW_QUOTES, day, rows, seen, QUOTES_VERSION)
    outcomes = dict(quotes["outcome"].value_counts().sort("outcome").iter_rows())
    return dg.MaterializeResult(
        metadata=written(quotes, outcomes=outcomes, asked=report.asked, sample_market=report.is_sample)
    )


@dg.asset(
    deps=["raw_quotes", "assets"],
    partitions_def=DAILY,
    backfill_policy=ONE_RUN,
    group_name="core",
    owners=OWNERS,
    kinds={"parquet"},
    code_version=PRICES_VERSION,
    metadata=column_schema(PRICES_SCHEMA),
)
def prices_daily(
    context: dg.AssetExecutionContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Database],
    market: dg.ResourceParam[MarketData],
) -> dg.MaterializeResult[None]:
    """One close an asset and day, with the status that says how far it can be trusted."""
    days = days_of(context)
    overrides, tracked = database.overrides(), market.expected(days)
    manual, wanted = fingerprints_by_day(overrides), fingerprints_by_day(tracked)
    with database.writer(lake, context.run.run_id) as writer:

        def inputs(day: date) -> str:
            return price_inputs(writer, day, manual(day), wanted(day), market)

        changed = _first_changed(writer, [PRICES], days, inputs, PRICES_VERSION)
        quotes = lake.read(RAW_QUOTES, changed, QUOTES)
        state = _state_before(lake, changed[0]) if changed else pl.DataFrame(schema=STATE)
        decided = decide_prices(quotes, overrides, state, market.weekday_assets, changed, market.policy, tracked)
        rows = decided.partition_by("date", as_dict=True)
        for day in changed:
            frame = rows.get((day,), decided.clear()).sort("asset_id")
            writer.write(PRICES, day, frame, inputs(day), PRICES_VERSION)
    statuses = dict(decided["status"].value_counts().sort("status").iter_rows())
    return dg.MaterializeResult(metadata=written(decided, statuses=statuses, days_computed=len(changed)))


@dg.asset(
    deps=["raw_quotes", "prices_daily"],
    partitions_def=DAILY,
    backfill_policy=ONE_RUN,
    group_name="core",
    owners=OWNERS,
    kinds={"parquet"},
    code_version=RESTATEMENTS_VERSION,
    metadata=column_schema(RESTATEMENTS_SCHEMA),
)
def price_restatements(
    context: dg.AssetExecutionContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Database],
    market: dg.ResourceParam[MarketData],
) -> dg.MaterializeResult[None]:
    """Closes of closed days that changed afterwards: old, new, when it became known, and the cause."""
    days = days_of(context)
    overrides = database.overrides()
    manual = fingerprints_by_day(overrides)
    with database.writer(lake, context.run.run_id) as writer:

        def inputs(day: date) -> str:
            return restatement_inputs(writer, day, manual(day), market)

        changed = _first_changed(writer, [VINTAGES, RESTATEMENTS], days, inputs, RESTATEMENTS_VERSION)
        quotes = lake.read(RAW_QUOTES, changed, QUOTES)
        earlier = _days_before(changed[0]) if changed else []
        state, handed_on = newest_before(
            lake.read(PRICES, earlier, PRICES_SCHEMA), lake.read(VINTAGES, earlier, VINTAGES_SCHEMA)
        )
        found, later = restate(quotes, overrides, state, handed_on, market.weekday_assets, changed, market.policy)
        rows, rows_handed_on = (frame.partition_by("date", as_dict=True) for frame in (found, later))
        for day in changed:
            made_from = inputs(day)
            writer.write(VINTAGES, day, rows_handed_on.get((day,), later.clear()), made_from, RESTATEMENTS_VERSION)
            writer.write(RESTATEMENTS, day, rows.get((day,), found.clear()), made_from, RESTATEMENTS_VERSION)
    return dg.MaterializeResult(metadata=written(found, days_computed=len(changed)))


@dg.asset(
    deps=["prices_daily"],
    partitions_def=DAILY,
    backfill_policy=ONE_RUN,
    group_name="core",
    owners=OWNERS,
    kinds={"parquet"},
    code_version=BENCHMARKS_VERSION,
    metadata=column_schema(BENCHMARKS_SCHEMA),
)
def benchmarks_daily(
    context: dg.AssetExecutionContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Database],
    market: dg.ResourceParam[MarketData],
) -> dg.MaterializeResult[None]:
    """Closes of Bitcoin, Ethereum and the S&P 500; the latter keeps its last close over weekends and says so."""
    days = days_of(context)
    with database.writer(lake, context.run.run_id) as writer:

        def inputs(day: date) -> str:
            return benchmark_inputs(writer, day)

        changed = _first_changed(writer, [BENCHMARKS], days, inputs, BENCHMARKS_VERSION)
        around = [changed[0] - timedelta(days=back) for back in range(1, CARRIED_OVER.days + 1)] if changed else []
        closes = benchmark_closes(lake.read(PRICES, [*around, *changed], PRICES_SCHEMA), market.weekday_assets, changed)
        rows = closes.partition_by("date", as_dict=True)
        for day in changed:
            writer.write(BENCHMARKS, day, rows.get((day,), closes.clear()), inputs(day), BENCHMARKS_VERSION)
    return dg.MaterializeResult(metadata=written(closes, days_computed=len(changed)))


def fingerprints_by_day(rows: pl.DataFrame) -> Callable[[date], str]:
    """The fingerprint of the rows of each day, those of days without rows included."""
    found = {day: frame_fingerprint(of_day) for (day,), of_day in rows.partition_by("date", as_dict=True).items()}
    nothing = frame_fingerprint(rows.clear())
    return lambda day: found.get(day, nothing)


def price_inputs(writer: PartitionWriter, day: date, manual: str, tracked: str, market: MarketData) -> str:
    """What the prices of a day rest on: its quotes, what is tracked, the policy, and what the days before handed on.

    `manual` is the fingerprint of its overrides, here and below; `tracked` that of the assets that must have a row.
    """
    policy = fingerprint(market.policy, sorted(market.weekday_assets))
    before = [writer.content(PRICES, earlier) for earlier in _days_before(day)]
    return fingerprint(writer.content(RAW_QUOTES, day), manual, tracked, policy, *before)


def restatement_inputs(writer: PartitionWriter, day: date, manual: str, market: MarketData) -> str:
    """What the restatements of a day rest on: its quotes, the policy, and what the days before handed on, and when."""
    policy = fingerprint(market.policy, sorted(market.weekday_assets))
    before = [writer.content(table, earlier) for table in (PRICES, VINTAGES) for earlier in _days_before(day)]
    return fingerprint(writer.content(RAW_QUOTES, day), manual, policy, *before)


def benchmark_inputs(writer: PartitionWriter, day: date) -> str:
    """What the benchmarks of a day rest on: its prices, and those that a weekend carries over."""
    return fingerprint(*(writer.content(PRICES, day - timedelta(days=back)) for back in range(CARRIED_OVER.days + 1)))


def _first_changed(
    writer: PartitionWriter, tables: Sequence[str], days: list[date], inputs: Callable[[date], str], version: str
) -> list[date]:
    """The days from the first one whose inputs changed: what follows may rest on it."""
    for index, day in enumerate(days):
        made_from = inputs(day)
        if not all(writer.is_current(table, day, made_from, version) for table in tables):
            return days[index:]
    return []


def _days_before(day: date) -> list[date]:
    return [day - timedelta(days=back) for back in range(1, STATE_DAYS + 1)]


def _state_before(lake: Lake, day: date) -> pl.DataFrame:
    """What the days before knew of each asset: the newest row of the last few days."""
    before = lake.read(PRICES, _days_before(day), PRICES_SCHEMA)
    return before.sort("date").group_by("asset_id", maintain_order=True).last().select(STATE.names())
