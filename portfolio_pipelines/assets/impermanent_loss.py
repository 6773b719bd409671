"""Liquidity against holding: what people entered, what positions are compared with, and what they lost or earned.

The arithmetic is in `finance.impermanent_loss_*`, the joining of what is entered, read and priced in
`liquidity_losses`.
"""

from datetime import date, timedelta

import dagster as dg
import polars as pl

from portfolio_pipelines.assets.days import DAILY, ONE_RUN, RETRY, days_of
from portfolio_pipelines.assets.liquidity_frames import read_positions
from portfolio_pipelines.assets.liquidity_losses import LiquidityDays, day_losses, with_earlier_hours
from portfolio_pipelines.assets.metadata import OWNERS, column_schema, written
from portfolio_pipelines.chain_tables import DEFI_POSITIONS, POOL_STATES
from portfolio_pipelines.database.liquidity import every_position_frame
from portfolio_pipelines.finance.impermanent_loss_bases import advance_bases
from portfolio_pipelines.liquidity_tables import (
    IMPERMANENT_LOSS,
    IMPERMANENT_LOSS_SCHEMA,
    LIQUIDITY_BASES,
    LIQUIDITY_BASES_SCHEMA,
    LIQUIDITY_POSITIONS,
    LIQUIDITY_POSITIONS_SCHEMA,
)
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.partitions import fingerprint, frame_fingerprint
from portfolio_pipelines.tables import PRICES

POSITIONS_VERSION = "2"
BASES_VERSION = "1"
LOSS_VERSION = "1"
EVERY_CHAIN_DAY = dg.AllPartitionMapping()
"""A day rests on the newest read of each chain up to it, whenever that was."""


@dg.asset(
    group_name="core",
    owners=OWNERS,
    kinds={"postgres", "parquet"},
    code_version=POSITIONS_VERSION,
    metadata=column_schema(LIQUIDITY_POSITIONS_SCHEMA),
    retry_policy=RETRY,
)
def liquidity_positions(
    context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake], database: dg.ResourceParam[Database]
) -> dg.MaterializeResult[None]:
    """Liquidity that users say they put into pools: price and day of entry, amounts where they gave them."""
    frame = entered_positions(every_position_frame(database.engine))
    seen = frame_fingerprint(frame)
    with database.writer(lake, context.run.run_id) as writer:
        if not writer.is_current(LIQUIDITY_POSITIONS, None, seen, POSITIONS_VERSION):
            writer.write(LIQUIDITY_POSITIONS, None, frame, seen, POSITIONS_VERSION)
    return dg.MaterializeResult(metadata=written(frame))


@dg.asset(
    deps=[
        dg.AssetDep("defi_positions", partition_mapping=EVERY_CHAIN_DAY), "chain_tokens", "chains", "wallets",
    ],
    partitions_def=DAILY,
    backfill_policy=ONE_RUN,
    group_name="core",
    owners=OWNERS,
    kinds={"parquet"},
    code_version=BASES_VERSION,
    metadata=column_schema(LIQUIDITY_BASES_SCHEMA),
)  # fmt: skip
def liquidity_bases(
    context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake], database: dg.ResourceParam[Database]
) -> dg.MaterializeResult[None]:
    """What each position that was read on a chain is compared with: what was put in, as far as reads tell."""
    sources = LiquidityDays.of(lake, DEFI_POSITIONS)
    rows, computed, last = 0, 0, pl.DataFrame(schema=LIQUIDITY_BASES_SCHEMA)
    with database.writer(lake, context.run.run_id) as writer:
        for day in days_of(context):
            states = sources.newest(day)
            before = day - timedelta(days=1)
            inputs = fingerprint(
                writer.content(LIQUIDITY_BASES, before),
                sources.tokens_fingerprint,
                frame_fingerprint(sources.watched(day)),
                *sources.contents(writer, DEFI_POSITIONS, states),
            )
            if not (states or lake.path(LIQUIDITY_BASES, day).is_file()) or writer.is_current(
                LIQUIDITY_BASES, day, inputs, BASES_VERSION
            ):
                continue
            writer.flush()  # the day before may still be on its way to its file
            known = lake.read(LIQUIDITY_BASES, [before], pl.Schema({**LIQUIDITY_BASES_SCHEMA, "date": pl.Date()}))
            read = read_positions(sources.positions(states, day), sources.tokens)
            last = advance_bases(known.drop("date"), read, day)
            writer.write(LIQUIDITY_BASES, day, last, inputs, BASES_VERSION)
            rows, computed = rows + last.height, computed + 1
    return dg.MaterializeResult(metadata=written(last, rows, days_computed=computed))


@dg.asset(
    deps=[
        "liquidity_bases", "liquidity_positions", "prices_daily",
        dg.AssetDep("pool_states", partition_mapping=EVERY_CHAIN_DAY),
    ],
    partitions_def=DAILY,
    backfill_policy=ONE_RUN,
    group_name="core",
    owners=OWNERS,
    kinds={"parquet", "numpy"},
    code_version=LOSS_VERSION,
    metadata=column_schema(IMPERMANENT_LOSS_SCHEMA),
)  # fmt: skip
def impermanent_loss(
    context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake], database: dg.ResourceParam[Database]
) -> dg.MaterializeResult[None]:
    """Loss, fees and net of every position against holding its coins. Each run of the running day adds its hour."""
    sources = LiquidityDays.of(lake, POOL_STATES)
    entered = lake.read_table(LIQUIDITY_POSITIONS, LIQUIDITY_POSITIONS_SCHEMA)
    rows, computed, last = 0, 0, pl.DataFrame(schema=IMPERMANENT_LOSS_SCHEMA)
    with database.writer(lake, context.run.run_id) as writer:
        for day in days_of(context):
            own = followed_on(entered, day)
            states = sources.newest(day)
            at_entry = sorted(set(own.select("entry_date", "chain").iter_rows()))
            inputs = fingerprint(
                writer.content(LIQUIDITY_BASES, day),
                writer.content(PRICES, day),
                sources.tokens_fingerprint,
                frame_fingerprint(own),
                *sources.contents(writer, POOL_STATES, [*states, *at_entry]),
            )
            has_any = own.height or lake.path(LIQUIDITY_BASES, day).is_file()
            if not (has_any or lake.path(IMPERMANENT_LOSS, day).is_file()) or writer.is_current(
                IMPERMANENT_LOSS, day, inputs, LOSS_VERSION
            ):
                continue
            writer.flush()  # a run that comes back to a day reads its earlier hours
            losses = day_losses(sources, day, own, at_entry)
            last = with_earlier_hours(lake, day, losses)
            writer.write(IMPERMANENT_LOSS, day, last, inputs, LOSS_VERSION)
            rows, computed = rows + losses.height, computed + 1
    reasons = dict(last.filter("is_last_of_day")["reason"].drop_nulls().value_counts().sort("reason").iter_rows())
    return dg.MaterializeResult(metadata=written(last, rows, days_computed=computed, unknown=reasons))


def entered_positions(positions: pl.DataFrame) -> pl.DataFrame:
    """Rows of LIQUIDITY_POSITIONS_SCHEMA out of `database.liquidity.EVERY_POSITION_SCHEMA`."""
    price = pl.col("entry_price")
    return (
        positions.with_columns(
            token0=pl.col("tokens").list.get(0, null_on_oob=True),
            token1=pl.col("tokens").list.get(1, null_on_oob=True),
            coins=pl.col("tokens").list.len(),
            entry_price=pl.when(pl.col("price_of") == "token1").then(1 / price).otherwise(price),
        )
        .select(LIQUIDITY_POSITIONS_SCHEMA.names())
        .cast(LIQUIDITY_POSITIONS_SCHEMA)
        .sort("position_key")
    )


def followed_on(entered: pl.DataFrame, day: date) -> pl.DataFrame:
    """The entered positions that count on a day: from the day of entry to the one before the removal."""
    return entered.filter((pl.col("entry_date") <= day) & pl.coalesce(pl.col("removed_on") > day, True))
