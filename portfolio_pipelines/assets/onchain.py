"""What wallets hold on chains, as Dagster assets of day and chain. Reading is `onchain_reading`.

A chain that cannot be read fails alone: its partitions are logged as failed, those of the others as materialised, and
the last good balances stand in its tables, marked as stale.
"""

from collections.abc import Iterator
from typing import Final

import dagster as dg

from portfolio_pipelines.assets.chain_days import CHAIN_DAYS, chain_days_of, partition_key
from portfolio_pipelines.assets.days import ONE_RUN
from portfolio_pipelines.assets.metadata import OWNERS, column_schema
from portfolio_pipelines.assets.onchain_reading import READING_VERSION, ChainDay, OnchainReading
from portfolio_pipelines.chain_tables import (
    CHAIN_READS_SCHEMA,
    DEFI_POSITIONS_SCHEMA,
    POOL_STATES_SCHEMA,
    RECEIPT_RATIOS_SCHEMA,
    TOKEN_TRANSFERS_SCHEMA,
    WALLET_BALANCES_SCHEMA,
)
from portfolio_pipelines.resources.chain_connections import ChainConnections
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.lake import Lake

READ_AGAIN: Final = "portfolio/read_again"
"""Tag of a run that also reads days that were read at their close."""
GROUP: Final = "onchain"
TABLES: Final = {
    "chain_reads": (CHAIN_READS_SCHEMA, "Every read of a chain: its block, what it brought, why it failed."),
    "token_transfers": (TOKEN_TRANSFERS_SCHEMA, "Transfers to and from watched wallets, out of the logs."),
    "wallet_balances": (WALLET_BALANCES_SCHEMA, "Every balance at the newest read of the day, or its close."),
    "defi_positions": (DEFI_POSITIONS_SCHEMA, "What wallets have in protocols, each amount by itself."),
    "pool_states": (POOL_STATES_SCHEMA, "Reserves, price and liquidity of the pools that users entered positions of."),
    "receipt_ratios": (RECEIPT_RATIOS_SCHEMA, "How much of its underlying each held receipt stands for."),
}


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            name,
            description=description,
            owners=OWNERS,
            group_name=GROUP,
            kinds={"parquet"},
            code_version=READING_VERSION,
            metadata=column_schema(schema),
            partitions_def=CHAIN_DAYS,
            skippable=True,  # a run of which one chain failed logs the others by itself
        )
        for name, (schema, description) in TABLES.items()
    ],
    name="read_chains",
    backfill_policy=ONE_RUN,
)
def read_chains(
    context: dg.AssetExecutionContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Database],
    chains: dg.ResourceParam[ChainConnections],
) -> Iterator[dg.MaterializeResult[None]]:
    """Read balances, transfers and positions of all wallets on some days of some chains, each at one block."""
    reading = OnchainReading(lake, database, chains, context.run.run_id, context.log.info)
    done = reading.read(chain_days_of(context), again=context.run.tags.get(READ_AGAIN) == "true")
    failed = [one for one in done if one.status == "failed"]
    metadata = _metadata(done)
    if not failed:
        for name in TABLES:
            yield dg.MaterializeResult(asset_key=name, metadata=metadata)
        return
    for one in done:
        if one.status == "failed":
            continue
        for name in TABLES:
            context.log_event(
                dg.AssetMaterialization(name, partition=partition_key(one.day, one.chain), metadata=metadata)
            )
    chains_failed = sorted({one.chain for one in failed})
    shown = "\n".join(f"- {one.chain} on {one.day}: {one.fault}" for one in failed)
    msg = f"{len(chains_failed)} of {len({one.chain for one in done})} chains could not be read:\n{shown}"
    raise dg.Failure(msg, metadata={"failed": dg.MetadataValue.md(shown), **metadata}, allow_retries=False)


def _metadata(done: list[ChainDay]) -> dict[str, dg.MetadataValue]:
    """Figures of a run, and what is missing in words."""
    partial = "\n".join(f"- {one.chain} on {one.day}: {one.fault}" for one in done if one.status == "partial")
    read = [one for one in done if one.status != "current"]
    return {
        "chains": dg.MetadataValue.int(len({one.chain for one in read})),
        "chain_days": dg.MetadataValue.int(len(read)),
        "balances": dg.MetadataValue.int(sum(one.balances for one in read)),
        "missing": dg.MetadataValue.md(partial or "nothing"),
    }
