"""What is to be read of each chain: its wallets, the tokens of the lists and of people, the keys of all of them.

Belongs here: joining wallets, lists, quarantine and keys. How a chain is read is `chain_reading`, which days are due is
`automation.chain_planning`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import polars as pl

from portfolio_pipelines.assets.chain_work import ChainWork
from portfolio_pipelines.chains.asset_ids import solana_token_asset_id, token_asset_id
from portfolio_pipelines.chains.chain_reading import NATIVE, ChainReading
from portfolio_pipelines.chains.protocols.pool_states import PoolRequest
from portfolio_pipelines.chains.receipt_probe import ReceiptFinding
from portfolio_pipelines.chains.registry import Chain
from portfolio_pipelines.database.chain_tokens import TOKEN_ROWS, chain_tokens_frame, ensure_tokens
from portfolio_pipelines.database.liquidity import liquidity_positions_frame
from portfolio_pipelines.database.receipts import RECEIPTS_SCHEMA, receipts_frame, remember_receipts
from portfolio_pipelines.database.token_trust import quarantine_frame, whitelist_frame
from portfolio_pipelines.database.wallets import wallets_frame
from portfolio_pipelines.resources.chain_connections import ChainConnections
from portfolio_pipelines.resources.database import Database

LOCAL: Final = "local"
RECEIPT_CATEGORIES: Final = frozenset({"receipt", "staked", "fixed_yield"})
SHARE_SYMBOLS: Final = frozenset({"UNI-V2", "SLP"})
"""What pairs of Uniswap v2 and Sushiswap call themselves. Anybody may: the factory is asked whether it is one."""


def wallets_of(wallets: pl.DataFrame, chain: Chain, *, asked_for: bool = False) -> pl.DataFrame:
    """The wallets that are watched on a chain: columns wallet_key, address.

    Args:
        wallets: Schema `wallets.WALLETS_SCHEMA`.
        chain: The chain.
        asked_for: Only wallets that name the chain; else also those that name none, which means all.
    """
    names_it = pl.col("chains").list.contains(chain.slug)
    is_on_it = names_it if asked_for else names_it | (pl.col("chains").list.len() == 0)
    return wallets.filter((pl.col("family") == chain.family) & is_on_it).select("wallet_key", "address")


def watched_chains(database: Database, connections: ChainConnections) -> Mapping[str, pl.DataFrame]:
    """The readable chains on which a wallet or pool is watched, by slug in the order of the registry, with the wallets.

    A local chain that somebody started for the time of a run is nobody's unless a wallet names it.
    """
    wallets, pools = wallets_frame(database.engine), watched_pools(database)
    found = {
        chain.slug: wallets_of(wallets, chain, asked_for=connections.local_url is not None and chain.category == LOCAL)
        for chain in connections.readable
    }
    return {slug: frame for slug, frame in found.items() if frame.height or slug in pools}


def watched_pools(database: Database) -> Mapping[str, tuple[PoolRequest, ...]]:
    """The pools of the liquidity positions that users entered, by chain; those that were never checked are left out."""
    pools = liquidity_positions_frame(database.engine).filter(pl.col("protocol").is_not_null())
    found: dict[str, tuple[PoolRequest, ...]] = {}
    for chain, protocol, pool in pools.select("chain", "protocol", "pool").unique().sort("chain", "pool").iter_rows():
        found[chain] = (*found.get(chain, ()), PoolRequest(protocol, pool))
    return found


def chain_works(database: Database, connections: ChainConnections, slugs: Iterable[str]) -> Mapping[str, ChainWork]:
    """What is to be read of some chains, by slug; a chain without a wallet is left out. Listed tokens get keys."""
    watched = watched_chains(database, connections)
    chains = [connections.registry.by_slug[slug] for slug in slugs if slug in watched]
    listed = pl.DataFrame([row for chain in chains for row in _listed(connections, chain)], schema=TOKEN_ROWS)
    ensure_tokens(database.engine, listed, source="shipped")
    known = chain_tokens_frame(database.engine).partition_by("chain_id", as_dict=True)
    nothing = chain_tokens_frame(database.engine).clear() if not known else next(iter(known.values())).clear()
    receipts = receipts_frame(database.engine).partition_by("chain_id", as_dict=True)
    no_receipts = pl.DataFrame(schema=RECEIPTS_SCHEMA)
    vouched_for = whitelist_frame(database.engine)["token_key"]
    distrusted = quarantine_frame(database.engine).filter(~pl.col("token_key").is_in(vouched_for.implode()))
    look_back = timedelta(days=connections.settings.discovery_days)
    pools = watched_pools(database)
    return {
        chain.slug: replace(
            _work(
                chain, connections, watched[chain.slug], known.get((chain.chain_id,), nothing), distrusted, look_back
            ),
            pools=pools.get(chain.slug, ()),
            **_receipts(chain, connections, receipts.get((chain.chain_id,), no_receipts)),
        )
        for chain in chains
    }


def _work(
    chain: Chain,
    connections: ChainConnections,
    wallets: pl.DataFrame,
    known: pl.DataFrame,
    distrusted: pl.DataFrame,
    look_back: timedelta,
) -> ChainWork:
    of_people = known.filter((pl.col("source") == "user") & (pl.col("address") != NATIVE))["address"]
    listed = {token.address for token in connections.tokens.of(chain.chain_id)} | set(of_people)
    pairs = known.filter(pl.col("symbol").is_in(list(SHARE_SYMBOLS)))["address"]
    return ChainWork(
        chain=chain,
        wallets=wallets,
        listed=tuple(sorted(listed)),
        quarantined=frozenset(distrusted.filter(pl.col("chain_id") == chain.chain_id)["address"]),
        pair_tokens=tuple(sorted(pairs)),
        token_keys=dict(known.select("address", "token_key").iter_rows()),
        look_back=look_back,
    )


def _receipts(chain: Chain, connections: ChainConnections, known: pl.DataFrame) -> dict[str, Any]:
    """Decimals, known receipts and what may be one, as `ChainWork` names them."""
    tokens = known.filter(pl.col("decimals").is_not_null() & (pl.col("address") != NATIVE))
    asked = tokens.filter(pl.col("receipt_kind").is_not_null())
    findings = [
        (ReceiptFinding(address, kind, underlying), decimals)
        for address, decimals, kind, underlying in asked.select(
            "address", "decimals", "receipt_kind", "receipt_underlying"
        ).iter_rows()
    ]
    receipts = {finding.token: finding.receipt(decimals) for finding, decimals in findings}
    never = tokens.filter(pl.col("receipt_kind").is_null())["address"]
    return {
        "decimals": dict(tokens.select("address", "decimals").iter_rows()),
        "receipts": {token: receipt for token, receipt in receipts.items() if receipt is not None},
        "may_be_receipts": {token for token in never if _may_be_receipt(connections, chain, token)},
    }


def _may_be_receipt(connections: ChainConnections, chain: Chain, address: str) -> bool:
    """Whether it is worth asking: nobody listed it, or as something that grows and is not redeemed one for one."""
    token = connections.tokens.get(chain.chain_id, address)
    if chain.family != "evm" or (token is not None and token.priced_as):
        return False
    return token is None or token.category in RECEIPT_CATEGORIES


def _listed(connections: ChainConnections, chain: Chain) -> list[dict[str, Any]]:
    """Rows of the chain's coin and of its listed tokens, for `ensure_tokens`."""
    coin = {
        "chain_id": chain.chain_id,
        "address": NATIVE,
        "asset_id": chain.native_asset_id,
        "symbol": chain.native_symbol,
        "name": chain.native_symbol,
        "decimals": chain.native_decimals,
        "coingecko_id": None,
        "is_rebasing": False,
    }
    listed = (*connections.tokens.of(chain.chain_id), *connections.tokens.debts_of(chain.chain_id))
    return [
        coin,
        *(
            {
                "chain_id": chain.chain_id,
                "address": token.address,
                "asset_id": token.asset_id,
                "symbol": token.symbol,
                "name": token.name,
                "decimals": token.decimals,
                "coingecko_id": token.coingecko_id,
                "is_rebasing": token.is_rebasing,
            }
            for token in listed
        ),
    ]


@dataclass(frozen=True)
class MetTokens:
    """Gives keys to tokens that a reading met first.

    Args:
        database: Where they are kept.
    """

    database: Database

    def __call__(self, chain: Chain, reading: ChainReading) -> Mapping[str, int]:
        """Keys of the tokens of a reading that something is said about, by contract; see `chain_reading.TokenKeys`."""
        told = pl.col("status").is_in(["ok", "incomplete"])  # what could not be read is asked for again
        facts = {row["token"]: row for row in reading.new_tokens.filter(told).to_dicts()}
        silent = set(reading.new_tokens.filter(~told)["token"])
        inside = {amount.token for position in reading.positions for amount in position.amounts}
        inside |= {token for pool in reading.pool_states for token in pool.tokens}
        receipts = {position.receipt_token for position in reading.positions if position.receipt_token}
        met = sorted((facts.keys() | inside | receipts) - silent - {NATIVE})
        keys = self._keys(chain, reading, met, facts) if met else {}
        asked = [(each.token, each.kind, each.underlying, each.reason) for each in reading.receipts]
        remember_receipts(self.database.engine, chain.chain_id, asked)
        return keys

    def _keys(
        self, chain: Chain, reading: ChainReading, met: Sequence[str], facts: Mapping[str, Mapping[str, Any]]
    ) -> Mapping[str, int]:
        first_seen = dict(
            reading.transfers.group_by("token")
            .agg(pl.col("block_number").min())
            .select("token", "block_number")
            .iter_rows()
        )
        rows = [_met(chain, token, facts.get(token, {}), first_seen.get(token)) for token in met]
        at = datetime.fromtimestamp(reading.block.timestamp, UTC)
        keys = ensure_tokens(self.database.engine, pl.DataFrame(rows, schema=TOKEN_ROWS), source="discovered", now=at)
        return dict(keys.select("address", "token_key").iter_rows())


def asset_id_of(chain: Chain, token: str) -> str:
    """The id of a token of a chain, or of its coin (NATIVE)."""
    if token == NATIVE:
        return chain.native_asset_id
    return token_asset_id(chain.chain_id, token) if chain.family == "evm" else solana_token_asset_id(token)


def _met(chain: Chain, token: str, facts: Mapping[str, Any], block: int | None) -> dict[str, Any]:
    return {
        "chain_id": chain.chain_id,
        "address": token,
        "asset_id": asset_id_of(chain, token),
        "symbol": facts.get("symbol"),
        "name": facts.get("name"),
        "decimals": facts.get("decimals"),
        "is_rebasing": False,
        "first_seen_block": block,
    }
