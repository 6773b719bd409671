"""The last good balances of this installation: the lake's, with Redis in front of it where one is configured.

Belongs here: reading them out of the tables, and the choice. What Redis does is `chains.balance_cache`; the tables are
written by `assets`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from portfolio_pipelines.chain_tables import (
    CHAIN_READS,
    CHAIN_READS_SCHEMA,
    CHAIN_TOKENS,
    CHAIN_TOKENS_SCHEMA,
    WALLET_ACTIVITY,
    WALLET_ACTIVITY_SCHEMA,
    WALLET_BALANCES,
    WALLET_BALANCES_SCHEMA,
    WALLETS,
    WALLETS_SCHEMA,
)
from portfolio_pipelines.chains.last_good_balances import LakeBalances, LastGoodBalances, WalletBalances
from portfolio_pipelines.chains.raw_amounts import integers
from portfolio_pipelines.chains.rpc.node import Block
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.settings import Settings


@dataclass(frozen=True, slots=True)
class FromTables:
    """Reads the newest state of chains out of the lake; `chains.last_good_balances.FromLake`.

    Args:
        lake: Where the tables are.
    """

    lake: Lake

    async def __call__(self, chain: str, wallets: Sequence[str]) -> Mapping[str, WalletBalances]:
        """What is known of wallets on a chain; one that was never read well is not there."""
        days = self.lake.days_of_chain(WALLET_BALANCES, chain)
        if not days:
            return {}
        day = max(days)
        block = self._newest_block(chain)
        if block is None:
            return {}
        asked = pl.Series(list(wallets), dtype=pl.String).implode()
        owners = self.lake.read_table(WALLETS, WALLETS_SCHEMA, ["wallet_key", "address"]).filter(
            pl.col("address").is_in(asked)
        )
        read = self.lake.read_chain(WALLET_ACTIVITY, day, chain, WALLET_ACTIVITY_SCHEMA)
        tokens = self.lake.read_table(CHAIN_TOKENS, CHAIN_TOKENS_SCHEMA, ["token_key", "asset_id"])
        state = self.lake.read_chain(WALLET_BALANCES, day, chain, WALLET_BALANCES_SCHEMA)
        return by_wallet(state, owners, read, dict(tokens.iter_rows()), block)

    def _newest_block(self, chain: str) -> Block | None:
        """Where the chain was last read well."""
        for day in sorted(self.lake.days_of_chain(CHAIN_READS, chain), reverse=True):
            reads = self.lake.read_chain(CHAIN_READS, day, chain, CHAIN_READS_SCHEMA)
            good = reads.filter(pl.col("status") != "failed")
            if good.height:
                number, known, timestamp = good.select("block_number", "block_hash", "block_timestamp").row(-1)
                return Block(number, known, timestamp)
        return None


def by_wallet(
    state: pl.DataFrame, owners: pl.DataFrame, read: pl.DataFrame, assets: Mapping[int, str], block: Block
) -> dict[str, WalletBalances]:
    """A state as balances of wallets.

    Args:
        state: Rows of WALLET_BALANCES_SCHEMA.
        owners: Columns wallet_key, address: the wallets that are wanted.
        read: Rows of WALLET_ACTIVITY_SCHEMA: a wallet that was read and has no row holds nothing.
        assets: Asset ids by token key.
        block: Where the chain was last read; a wallet's balances are as old as its newest row says.
    """
    keys = read.filter(pl.col("last_read").is_not_null())["wallet_key"].cast(pl.Int32)
    owners = owners.filter(pl.col("wallet_key").is_in(keys.implode()))
    now = datetime.fromtimestamp(block.timestamp, UTC)
    found = {address: WalletBalances(block, now, {}) for address in owners["address"]}
    rows = state.join(owners, on="wallet_key", how="inner").with_row_index("_row")
    raws = integers(rows)
    for (address,), own in rows.partition_by("address", as_dict=True).items():
        newest = own.sort("block_number").row(-1, named=True)
        at = Block(newest["block_number"], newest["block_hash"], int(newest["as_of"].timestamp()))
        held = zip(own["token_key"], own["_row"], strict=True)
        amounts = {assets[token]: raw for token, row in held if token in assets and (raw := raws[row]) is not None}
        found[address] = WalletBalances(at, newest["as_of"], amounts)
    return found


@asynccontextmanager
async def last_good_balances(settings: Settings, lake: Lake) -> AsyncIterator[LastGoodBalances]:
    """Where the last good balances of this installation are asked for and kept, for one event loop.

    Raises:
        ValueError: If PORTFOLIO_REDIS_URL is no URL of a Redis; the message shows nothing of it.
    """
    if settings.redis_url is None:
        yield LakeBalances(FromTables(lake))
        return
    from portfolio_pipelines.chains.balance_cache import RedisBalances

    async with RedisBalances(settings.redis_url.get_secret_value(), FromTables(lake)) as cache:
        yield cache
