"""Core copies of what people enter: users, investments, the asset map. The database stays the place of truth.

A copy is written again only when the database says that something changed since.
"""

import hashlib
from collections.abc import Iterator

import dagster as dg
import polars as pl

from portfolio_pipelines.assets.days import RETRY
from portfolio_pipelines.assets.metadata import OWNERS, column_schema, written
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.partitions import PartitionWriter
from portfolio_pipelines.tables import (
    ASSETS,
    ASSETS_SCHEMA,
    INVESTMENT_DAYS,
    INVESTMENT_DAYS_SCHEMA,
    INVESTMENT_LEGS,
    INVESTMENT_LEGS_SCHEMA,
    SUCCESSIONS,
    SUCCESSIONS_SCHEMA,
    USERS,
    USERS_SCHEMA,
)

CODE_VERSION = "3"
KEY_OF_A_LEG = ("user_key", "investment_key", "asset_id")
TABLES = {
    "assets": (ASSETS, ASSETS_SCHEMA, "Assets: market ids, names, and what each provider calls them."),
    "asset_successions": (SUCCESSIONS, SUCCESSIONS_SCHEMA, "Conversions of one asset into another, with their ratio."),
    "users": (USERS, USERS_SCHEMA, "Users: the opaque id that people use, and the small key that the lake uses."),
    "investment_legs": (
        INVESTMENT_LEGS,
        INVESTMENT_LEGS_SCHEMA,
        "Coins of each investment with the quantity stored at purchase; current versions only.",
    ),
}


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            name,
            description=description,
            owners=OWNERS,
            group_name="core",
            kinds={"postgres", "parquet"},
            code_version=CODE_VERSION,
            metadata=column_schema(schema),
        )
        for name, (_, schema, description) in TABLES.items()
    ],
    retry_policy=RETRY,
)
def operational_tables(
    context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake], database: dg.ResourceParam[Database]
) -> Iterator[dg.MaterializeResult[None]]:
    """Copy users, investments and the asset map into the lake."""
    with database.writer(lake, context.run.run_id) as writer:
        for name, (table, schema, _) in TABLES.items():
            state = database.state_of(name)
            if not writer.is_current(table, None, state, CODE_VERSION):
                frame = database.load(name)
                write_copy(writer, table, frame, state)
            else:
                frame = lake.read_table(table, schema)
            yield dg.MaterializeResult(asset_key=name, metadata=written(frame))


def write_copy(writer: PartitionWriter, table: str, frame: pl.DataFrame, state: str) -> None:
    """Write one of TABLES; the legs after the fingerprints of their days: that they are current says these are, too.

    Args:
        writer: Writes the table.
        table: Which one.
        frame: Its rows.
        state: What they were made from.
    """
    if table == INVESTMENT_LEGS:
        write_investment_days(writer, frame, state)
    writer.write(table, None, frame, state, CODE_VERSION)


def write_investment_days(writer: PartitionWriter, legs: pl.DataFrame, state: str) -> None:
    """Write the fingerprints of `investment_days`.

    Args:
        writer: Writes the table.
        legs: Schema INVESTMENT_LEGS_SCHEMA.
        state: What they were made from.
    """
    writer.write(INVESTMENT_DAYS, None, investment_days(legs), state, CODE_VERSION)


def investment_days(legs: pl.DataFrame) -> pl.DataFrame:
    """One fingerprint for the investments of each day, so that a correction restates no day before it.

    Args:
        legs: Schema INVESTMENT_LEGS_SCHEMA.

    Returns:
        Schema INVESTMENT_DAYS_SCHEMA, by day.
    """
    days = [
        (day, _values_fingerprint(rows))
        for (day,), rows in legs.sort(*KEY_OF_A_LEG).partition_by("invested_on", as_dict=True).items()
    ]
    return pl.DataFrame(days, schema=INVESTMENT_DAYS_SCHEMA, orient="row").sort("invested_on")


def _values_fingerprint(legs: pl.DataFrame) -> str:
    """A hash of what a valuation takes from legs. Numbers as they are: writing 1.5 million as text takes a second."""
    digest = hashlib.blake2b(legs["asset_id"].str.join("\n").item().encode(), digest_size=16)
    for name in ("user_key", "investment_key", "amount_usd", "quantity"):
        digest.update(legs[name].to_numpy().tobytes())
    return digest.hexdigest()
