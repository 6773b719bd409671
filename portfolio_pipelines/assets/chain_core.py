"""Core copies of what people say of chains: their wallets, the registry, the tokens with our opinion of them.

Belongs here: joining the database with the lists that are shipped. The place of truth is the database, and the registry
with the user's chains.toml; a copy is written again when something changed.
"""

from collections.abc import Iterator, Mapping

import dagster as dg
import polars as pl

from portfolio_pipelines.assets.days import RETRY
from portfolio_pipelines.assets.metadata import OWNERS, column_schema, written
from portfolio_pipelines.chain_tables import (
    CHAIN_TOKENS,
    CHAIN_TOKENS_SCHEMA,
    CHAINS,
    CHAINS_SCHEMA,
    WALLETS,
    WALLETS_SCHEMA,
)
from portfolio_pipelines.chains.price_assets import price_asset
from portfolio_pipelines.database.chain_tokens import chain_tokens_frame
from portfolio_pipelines.database.receipts import receipts_frame
from portfolio_pipelines.database.token_trust import quarantine_frame, whitelist_frame
from portfolio_pipelines.database.wallets import every_wallet_frame
from portfolio_pipelines.resources.chain_connections import ChainConnections
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.partitions import frame_fingerprint

CODE_VERSION = "1"
EVERYONE = "*"
NATIVE_CATEGORY = "native"
UNLISTED_CATEGORY = "unlisted"
TABLES = {
    "wallets": (WALLETS, WALLETS_SCHEMA, "Every wallet that was ever watched, and whose it is."),
    "chains": (CHAINS, CHAINS_SCHEMA, "The registry of chains as it is now, with the user's changes."),
    "chain_tokens": (
        CHAIN_TOKENS,
        CHAIN_TOKENS_SCHEMA,
        "Every token that was ever met: what it says, what it is priced as, whether it is distrusted.",
    ),
}


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            name,
            deps=["token_quarantine"] if name == "chain_tokens" else [],
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
def chain_core_tables(
    context: dg.AssetExecutionContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Database],
    chains: dg.ResourceParam[ChainConnections],
) -> Iterator[dg.MaterializeResult[None]]:
    """Copy wallets, chains and tokens into the lake."""
    frames = core_frames(database, chains)
    with database.writer(lake, context.run.run_id) as writer:
        for name, frame in frames.items():
            seen = frame_fingerprint(frame)
            if not writer.is_current(TABLES[name][0], None, seen, CODE_VERSION):
                writer.write(TABLES[name][0], None, frame, seen, CODE_VERSION)
    for name, frame in frames.items():
        yield dg.MaterializeResult(asset_key=name, metadata=written(frame))


def core_frames(database: Database, chains: ChainConnections) -> Mapping[str, pl.DataFrame]:
    """The three tables as they are to be now, by the name of their asset."""
    return {"wallets": _wallets(database), "chains": _chains(chains), "chain_tokens": _tokens(database, chains)}


def _wallets(database: Database) -> pl.DataFrame:
    wallets = every_wallet_frame(database.engine)
    return wallets.with_columns(pl.col("chains").list.join(" ")).select(WALLETS_SCHEMA.names()).cast(WALLETS_SCHEMA)


def _chains(connections: ChainConnections) -> pl.DataFrame:
    readable = {chain.slug for chain in connections.readable}
    rows = [
        {
            "chain_id": chain.chain_id,
            "chain": chain.slug,
            "name": chain.name,
            "family": chain.family,
            "category": chain.category,
            "native_symbol": chain.native_symbol,
            "explorer": chain.explorer,
            "is_enabled": chain.slug in readable,
        }
        for chain in connections.registry
    ]
    return pl.DataFrame(rows, schema=CHAINS_SCHEMA)


def _tokens(database: Database, connections: ChainConnections) -> pl.DataFrame:
    """Tokens of the database, with the lists' and the people's opinion of each."""
    known = chain_tokens_frame(database.engine).join(_receipts(database), on="token_key", how="left")
    facts = [
        # A receipt that nobody prices still has a price of its own: that of what it stands for, times its ratio.
        (category, asset.asset_id if asset else asset_id if is_receipt else None)
        for chain_id, address, asset_id, coingecko_id, is_receipt in known.select(
            "chain_id", "address", "asset_id", "coingecko_id", "is_receipt"
        ).iter_rows()
        for category in [_category(connections, chain_id, address)]
        for asset in [price_asset(connections.registry, connections.tokens, asset_id, coingecko_id)]
    ]
    opinions = pl.DataFrame(facts, schema={"category": pl.String, "price_asset_id": pl.String}, orient="row")
    return (
        known.hstack(opinions)
        .join(_distrusted(database), on="token_key", how="left")
        .join(_vouched_for(database), on="token_key", how="left")
        .with_columns(pl.col("is_quarantined").fill_null(value=False))
        .select(CHAIN_TOKENS_SCHEMA.names())
        .cast(CHAIN_TOKENS_SCHEMA)
        .sort("token_key")
    )


def _category(connections: ChainConnections, chain_id: int, address: str) -> str:
    if address == "native":
        return NATIVE_CATEGORY
    token = connections.tokens.get(chain_id, address)
    return token.category if token else UNLISTED_CATEGORY


def _receipts(database: Database) -> pl.DataFrame:
    receipts = receipts_frame(database.engine).filter(pl.col("receipt_underlying").is_not_null())
    return receipts.select("token_key", pl.lit(True).alias("is_receipt"))


def _distrusted(database: Database) -> pl.DataFrame:
    return quarantine_frame(database.engine).select(
        "token_key", pl.lit(True).alias("is_quarantined"), "score", pl.col("reasons").list.join(", ")
    )


def _vouched_for(database: Database) -> pl.DataFrame:
    who = pl.col("user_id").fill_null(EVERYONE)
    whitelist = whitelist_frame(database.engine).with_columns(who)
    return whitelist.group_by("token_key").agg(pl.col("user_id").sort().str.join(" ").alias("whitelisted_by"))
