"""What is wrong with the newest state of chains in the lake. What it means, and what to do, is said in `chains`.

Belongs here: looking, without Dagster and without a verdict.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

import polars as pl

from portfolio_pipelines.chain_tables import (
    CHAIN_READS,
    CHAIN_READS_SCHEMA,
    DEFI_POSITIONS,
    DEFI_POSITIONS_SCHEMA,
    WALLET_BALANCES,
    WALLET_BALANCES_SCHEMA,
)
from portfolio_pipelines.chains.chain_reading import ChainReader
from portfolio_pipelines.chains.receipt_tokens import not_held
from portfolio_pipelines.chains.registry import Chain
from portfolio_pipelines.chains.reorganisations import CANONICAL
from portfolio_pipelines.chains.rpc.errors import RpcError, Unsupported
from portfolio_pipelines.resources.chain_connections import ChainConnections
from portfolio_pipelines.resources.lake import Lake

NEWEST_DAYS: Final = 2
"""The running day of a chain, and the one that closed before it: what a reorganisation can still reach, and where
differences are news."""
_PAIR: Final = ["wallet_key", "token_key"]
_BLOCKS: Final = pl.Schema(
    {
        "chain": pl.String(),
        "chain_id": pl.Int64(),
        "day": pl.Date(),
        "block_number": pl.Int64(),
        "block_hash": pl.String(),
    }
)


def newest_days(lake: Lake, table: str) -> dict[str, list[date]]:
    """The newest days of each chain, ascending, at most NEWEST_DAYS."""
    found: dict[str, list[date]] = {}
    for day, chain in sorted(lake.chain_days(table)):
        found.setdefault(chain, []).append(day)
    return {chain: days[-NEWEST_DAYS:] for chain, days in sorted(found.items())}


def why_not_fresh(lake: Lake, chain: str, days: Sequence[date], newest: date | None) -> str | None:
    """What is wrong with the newest read of a chain; None when nothing is.

    Args:
        lake: Holds the reads and balances.
        chain: Its slug.
        days: Its newest days with reads, ascending.
        newest: The newest day with a read of any chain.
    """
    if not days:
        return "was never read"
    last = lake.read_chain(CHAIN_READS, days[-1], chain, CHAIN_READS_SCHEMA).tail(1)
    if last.is_empty():
        return "was never read"
    row = last.row(0, named=True)
    if row["status"] != "ok":
        return f"{row['status']} at {row['as_of']:%Y-%m-%d %H:%M}: {row['reason']}"
    stale = lake.read_chain(WALLET_BALANCES, days[-1], chain, WALLET_BALANCES_SCHEMA, ["is_stale"])["is_stale"]
    if stale.any():
        return f"{stale.sum()} of {len(stale)} balances are older than the newest read"
    return None if days[-1] == newest else f"was last read at {row['as_of']:%Y-%m-%d %H:%M}"


def claimed_beyond_held(lake: Lake, day: date, chain: str, listed: pl.Series) -> pl.DataFrame:
    """What positions of a chain claim of receipt tokens beyond what wallets hold at the same block.

    A token that is not listed and has no balance was perhaps never read: it is counted nowhere, and so not twice.

    Args:
        lake: Holds the positions and balances of the day.
        day: Of which the state is looked at.
        chain: Its slug.
        listed: Keys of tokens that are read in every wallet.

    Returns:
        chain_id (nothing), wallet and token (keys), raw, raw_hex: what is missing.
    """
    columns = ["wallet_key", "protocol", "position_id", "receipt_token_key", "receipt_raw", "receipt_raw_hex"]
    positions = lake.read_chain(DEFI_POSITIONS, day, chain, DEFI_POSITIONS_SCHEMA)
    claims = positions.filter(pl.col("receipt_token_key").is_not_null() & ~pl.col("is_stale"))
    claims = claims.select(*columns, "block_hash").unique(columns[:4]).rename({"receipt_token_key": "token_key"})
    held = lake.read_chain(
        WALLET_BALANCES, day, chain, WALLET_BALANCES_SCHEMA, [*_PAIR, "raw", "raw_hex", "block_hash", "is_stale"]
    ).join(claims, on=_PAIR, how="semi")
    both = claims.join(held.rename({"block_hash": "held_at"}), on=_PAIR, how="left")
    same_block = (pl.col("held_at") == pl.col("block_hash")) & ~pl.col("is_stale")
    is_zero = pl.col("held_at").is_null() & pl.col("token_key").is_in(listed.implode())
    comparable = both.filter(same_block.fill_null(value=False) | is_zero)
    keys = {"wallet": pl.col("wallet_key"), "chain_id": pl.lit(0, pl.Int64)}
    return not_held(
        held.join(comparable, on=_PAIR, how="semi").with_columns(**keys, token=pl.col("token_key")),
        comparable.with_columns(**keys, receipt_token=pl.col("token_key")),
    )


def blocks_in_use(lake: Lake, readable: Mapping[str, Chain]) -> pl.DataFrame:
    """The block of the newest good read of each of the last days: chain, chain_id, day, block_number, block_hash.

    Chains whose newest read failed are left out: whoever does not answer is not asked again for this.
    """
    rows = []
    for slug, days in newest_days(lake, CHAIN_READS).items():
        reads = {day: lake.read_chain(CHAIN_READS, day, slug, CHAIN_READS_SCHEMA) for day in days}
        if slug not in readable or reads[days[-1]]["status"].tail(1).to_list() == ["failed"]:
            continue
        for day, frame in reads.items():
            good = frame.filter(pl.col("block_hash").is_not_null()).tail(1)
            block = good.select("block_number", "block_hash").rows()
            rows += [(slug, readable[slug].chain_id, day, *facts) for facts in block]
    return pl.DataFrame(rows, schema=_BLOCKS, orient="row")


async def canonical_now(
    connections: ChainConnections, readable: Mapping[str, Chain], blocks: pl.DataFrame
) -> tuple[pl.DataFrame, list[str]]:
    """What chains have at the heights of blocks (`reorganisations.CANONICAL`), and which chains did not say it."""
    numbers = dict(blocks.group_by("chain", maintain_order=True).agg("block_number").iter_rows())

    async def ask(slug: str, reader: ChainReader) -> list[tuple[int, int, str | None]]:
        hashes = await asyncio.gather(*(reader.hash_of(number) for number in numbers[slug]))
        return [(readable[slug].chain_id, *found) for found in zip(numbers[slug], hashes, strict=True)]

    async with connections.readers([readable[slug] for slug in numbers]) as readers:
        answers = await asyncio.gather(*(ask(slug, readers[slug]) for slug in numbers), return_exceptions=True)
    rows: list[tuple[int, int, str | None]] = []
    silent = []
    for slug, answer in zip(numbers, answers, strict=True):
        if isinstance(answer, Unsupported):  # its blocks are final when they are read
            continue
        if isinstance(answer, RpcError):
            silent.append(slug)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            rows += answer
    return pl.DataFrame(rows, schema=CANONICAL, orient="row").unique(), silent
