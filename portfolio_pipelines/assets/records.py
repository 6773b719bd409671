"""Core copies of the platform's own records: who wrote which partition, and what the checks said."""

from collections.abc import Iterator

import dagster as dg

from portfolio_pipelines.assets.metadata import OWNERS, column_schema, written
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.tables import CHECK_RESULTS, CHECK_RESULTS_SCHEMA, PARTITION_LOG, PARTITION_LOG_SCHEMA

BEFORE = [
    "benchmarks_daily", "price_restatements", "portfolio_performance", "portfolio_metrics", "diversification",
    "leaderboard",
]  # fmt: skip


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            name,
            deps=BEFORE,
            description=description,
            owners=OWNERS,
            group_name="core",
            kinds={"postgres", "parquet"},
            metadata=column_schema(schema),
        )
        for name, schema, description in (
            ("partition_log", PARTITION_LOG_SCHEMA, "Which run wrote which partition last, from which inputs."),
            ("check_results", CHECK_RESULTS_SCHEMA, "The newest verdict of every quality check."),
        )
    ]
)
def platform_records(
    lake: dg.ResourceParam[Lake], database: dg.ResourceParam[Database]
) -> Iterator[dg.MaterializeResult[None]]:
    """Copy the partition log and the verdicts of the checks into the lake, for the marts."""
    log, checks = database.partition_log(), database.check_results()
    lake.replace_table(PARTITION_LOG, log)
    lake.replace_table(CHECK_RESULTS, checks)
    yield dg.MaterializeResult(asset_key="partition_log", metadata=written(log))
    yield dg.MaterializeResult(asset_key="check_results", metadata=written(checks))
