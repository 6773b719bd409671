"""Checks of what was read on chains: fresh, counted once, of blocks that still stand, explained, without spam.

Belongs here: looking at the newest state, and saying what to do. A chain that fails never stops the others, so that
nothing here is blocking. How much of a total rests on what was read is a column of the marts.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

import dagster as dg
import polars as pl

from portfolio_pipelines.assets.chain_works import watched_chains
from portfolio_pipelines.chain_tables import (
    BALANCE_RECONCILIATION,
    BALANCE_RECONCILIATION_SCHEMA,
    CHAIN_READS,
    DEFI_POSITIONS,
)
from portfolio_pipelines.chains.raw_amounts import integers
from portfolio_pipelines.chains.reorganisations import to_read_again
from portfolio_pipelines.checks.chain_findings import (
    blocks_in_use,
    canonical_now,
    claimed_beyond_held,
    newest_days,
    why_not_fresh,
)
from portfolio_pipelines.checks.reporting import Details, verdict
from portfolio_pipelines.database.chain_tokens import chain_tokens_frame
from portfolio_pipelines.database.partition_log import forget_partitions
from portfolio_pipelines.database.token_trust import quarantine_frame
from portfolio_pipelines.resources.chain_connections import ChainConnections
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.partitions import partition_name

MOST_NAMED: Final = 10
NEW: Final = timedelta(days=1)
DIFFERENCES: Final = ("missing_logs", "unknown")
"""Reasons of `chains.reconciliation` that nobody can live with."""
NOT_COMPARED: Final = ("stale", "not_traceable")


@dg.asset_check(asset="wallet_balances")
def chains_are_fresh(
    context: dg.AssetCheckExecutionContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Database],
    chains: dg.ResourceParam[ChainConnections],
) -> dg.AssetCheckResult:
    """The newest read of every chain that somebody watches brought all its balances."""
    watched = watched_chains(database, chains)
    days = newest_days(lake, CHAIN_READS)
    newest = max((days[chain][-1] for chain in watched if chain in days), default=None)
    late = {chain: why for chain in watched if (why := why_not_fresh(lake, chain, days.get(chain, ()), newest))}
    details: Details = {
        "day": str(newest or ""),
        "chains": len(watched),
        "not_fresh": len(late),
        "first": "; ".join(f"{chain}: {why}" for chain, why in list(late.items())[:MOST_NAMED]),
        "what_to_do": "`portfolio chains` shows the endpoints; the next run reads these chains again" if late else "",
    }
    return _warning(context, database, "wallet_balances", "chains_are_fresh", not late, details)


@dg.asset_check(asset="wallet_balances")
def no_token_is_counted_twice(
    context: dg.AssetCheckExecutionContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Database],
    chains: dg.ResourceParam[ChainConnections],
) -> dg.AssetCheckResult:
    """No position stands for more of a receipt token than the wallet holds: the rest would be worth money twice."""
    tokens = chain_tokens_frame(database.engine)
    listed = tokens.filter(pl.col("source") != "discovered")["token_key"]
    names = _names(tokens)
    found: list[str] = []
    for slug, days in newest_days(lake, DEFI_POSITIONS).items():
        if slug in chains.registry.by_slug:
            excess = claimed_beyond_held(lake, days[-1], slug, listed)
            rows = zip(excess["wallet"], excess["token"], integers(excess), strict=True)
            found += [
                f"{slug}: wallet {wallet} lacks {raw} of {names.get(token, token)}" for wallet, token, raw in rows
            ]
    details: Details = {
        "receipts": len(found),
        "first": "; ".join(found[:MOST_NAMED]),
        "what_to_do": "`portfolio run --only onchain` reads them again; two positions may explain one token"
        if found
        else "",
    }
    return verdict(context, database, "wallet_balances", "no_token_is_counted_twice", not found, details)


@dg.asset_check(asset="wallet_balances")
def no_block_was_reorganised(
    context: dg.AssetCheckExecutionContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Database],
    chains: dg.ResourceParam[ChainConnections],
) -> dg.AssetCheckResult:
    """The blocks that the newest balances rest on are still part of their chains; else their days are read again."""
    readable = {chain.slug: chain for chain in chains.readable}
    blocks = blocks_in_use(lake, readable)
    canonical, silent = asyncio.run(canonical_now(chains, readable, blocks))
    replaced = to_read_again(blocks, canonical).sort("chain", "day")
    pairs = [(CHAIN_READS, partition_name(day, chain)) for chain, day in replaced.select("chain", "day").iter_rows()]
    # The record of the reads decides which days are due.
    forgotten = forget_partitions(database.engine, pairs) if pairs else 0
    details: Details = {
        "compared": blocks.join(canonical, on=["chain_id", "block_number"], how="semi").height,
        "reorganised": replaced.height,
        "marked_for_reading": forgotten,
        "partitions": ", ".join(partition for _, partition in pairs[:MOST_NAMED]),
        "not_compared": ", ".join(silent[:MOST_NAMED]),
        "what_to_do": "`portfolio run --only onchain` reads these days again" if pairs else "",
    }
    return _warning(context, database, "wallet_balances", "no_block_was_reorganised", not pairs, details)


@dg.asset_check(asset="balance_reconciliation")
def balances_reconcile(
    context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake], database: dg.ResourceParam[Database]
) -> dg.AssetCheckResult:
    """What came and went explains the balances of the last closed day; tokens that count in no total may lie."""
    distrusted = quarantine_frame(database.engine)["token_key"]
    parts = [
        lake.read_chain(BALANCE_RECONCILIATION, day, slug, BALANCE_RECONCILIATION_SCHEMA).with_columns(
            chain=pl.lit(slug), day=pl.lit(day)
        )
        for slug, days in newest_days(lake, BALANCE_RECONCILIATION).items()
        for day in days
    ]
    parts = [part.filter(~pl.col("token_key").is_in(distrusted.implode())) for part in parts]
    rows = pl.concat(parts).filter(~pl.col("reason").is_in(NOT_COMPARED)) if parts else pl.DataFrame()
    wrong = rows.filter(pl.col("reason").is_in(DIFFERENCES)) if parts else rows
    details: Details = {
        "compared": rows.height,
        "unexplained": wrong.height,
        "share": wrong.height / rows.height if rows.height else 0.0,
        "first": _differences(database, wrong.head(MOST_NAMED)) if wrong.height else "",
        "what_to_do": "a token whose balances change by themselves: `portfolio tokens add CHAIN ADDRESS --rebasing`; "
        "else `portfolio backfill --only onchain --again` reads the day again"
        if wrong.height
        else "",
    }
    return _warning(context, database, "balance_reconciliation", "balances_reconcile", wrong.is_empty(), details)


@dg.asset_check(asset="token_quarantine")
def spam_is_quarantined(
    context: dg.AssetCheckExecutionContext, database: dg.ResourceParam[Database]
) -> dg.AssetCheckResult:
    """Tokens that count in no total since yesterday are named, so that a person can object."""
    quarantined = quarantine_frame(database.engine).sort("since", "score", "token_key", descending=[True, True, False])
    new = quarantined.filter(pl.col("since") > datetime.now(UTC) - NEW)
    first = [
        f"{row['symbol'] or row['address']} on chain {row['chain_id']} ({', '.join(row['reasons'])})"
        for row in new.head(MOST_NAMED).iter_rows(named=True)
    ]
    details: Details = {
        "quarantined": quarantined.height,
        "since_yesterday": new.height,
        "first": "; ".join(first),
        "what_to_do": "`portfolio tokens quarantined` lists them, `portfolio tokens whitelist` lets one count"
        if first
        else "",
    }
    return _warning(context, database, "token_quarantine", "spam_is_quarantined", new.is_empty(), details)


def _names(tokens: pl.DataFrame) -> dict[int, str]:
    return dict(tokens.select("token_key", "asset_id").iter_rows())


def _differences(database: Database, rows: pl.DataFrame) -> str:
    names = _names(chain_tokens_frame(database.engine))
    told = zip(rows.to_dicts(), integers(rows, "difference"), strict=True)
    return "; ".join(
        f"{row['chain']} on {row['day']}: wallet {row['wallet_key']}, "
        f"{names.get(row['token_key'], row['token_key'])}: {difference} ({row['reason']})"
        for row, difference in told
    )


def _warning(
    context: dg.AssetCheckExecutionContext, database: Database, asset: str, name: str, passed: bool, details: Details
) -> dg.AssetCheckResult:
    return verdict(context, database, asset, name, passed, details, dg.AssetCheckSeverity.WARN)
