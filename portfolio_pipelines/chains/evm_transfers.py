"""What moved on an EVM chain since it was read before, also when some of its blocks were replaced meanwhile.

Belongs here: where a scan begins, and what a wallet is found to have by its transfers. The scan itself is `discovery`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from portfolio_pipelines.chains.addresses import address_array
from portfolio_pipelines.chains.block_at import last_block_before
from portfolio_pipelines.chains.chain_reading import PAIRS_SCHEMA, ChainQuestion
from portfolio_pipelines.chains.discovery import TRANSFERS, Cursor, scan_transfers
from portfolio_pipelines.chains.log_ranges import Reach
from portfolio_pipelines.chains.reorganisations import newest_canonical
from portfolio_pipelines.chains.rpc.node import Block, Node


@dataclass(frozen=True, slots=True)
class Moved:
    """What a scan found, in the columns of `discovery.TRANSFERS`.

    Attributes:
        transfers: From block `first` on.
        earlier: Of newcomers in the time before; they only show which tokens these have.
        first: First block that was scanned now: stored transfers from it on are replaced by `transfers`. None when
            nothing was.
        is_scanned: Whether nothing is missing between the transfers that were known and the block.
    """

    transfers: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=TRANSFERS))
    earlier: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=TRANSFERS))
    first: int | None = None
    is_scanned: bool = False


@dataclass(frozen=True)
class TransferReader:
    """Scans one chain.

    Args:
        node: The chain.
        wrapped_native: Contracts that log a deposit of the coin as Deposit, without a Transfer.
        coin_tokens: Contracts that only show the chain's own coin; what they log is not told.
        reach: What one request may cover; learned in place.
    """

    node: Node
    wrapped_native: Sequence[str]
    coin_tokens: frozenset[str]
    reach: Reach

    async def read(self, question: ChainQuestion, block: Block) -> Moved:
        """Transfers of all wallets since the newest good read that still counts, up to a block.

        Raises:
            RpcError: If something could not be read.
        """
        if question.previous is None:
            return Moved(earlier=await self._look_back(question.wallets, question.look_back, block))
        known = {each.number: each for each in (*question.checkpoints, question.previous)}
        blocks = sorted(known.values(), key=lambda each: each.number)
        place = await newest_canonical(self.node, [(each.number, each.hash) for each in blocks], block.number)
        if place is None:  # every read of before was of another branch of the chain
            moment = block.timestamp - question.look_back if question.since is None else question.since
            start = await last_block_before(self.node, moment, block)
            cursor = None
        else:
            start = blocks[place]
            cursor = Cursor(tuple((each.number, each.hash) for each in blocks[: place + 1]))
        newcomers = question.wallets.filter(pl.col("wallet_key").is_in(list(question.newcomers)))
        earlier = await self._look_back(newcomers, question.look_back, start) if start else Moved().earlier
        first, transfers = await self._scan(question.wallets, block, cursor, start.number + 1 if start else 0)
        return Moved(transfers, earlier, first, is_scanned=True)

    async def _look_back(self, wallets: pl.DataFrame, seconds: int, block: Block) -> pl.DataFrame:
        if wallets.is_empty() or seconds <= 0:
            return pl.DataFrame(schema=TRANSFERS)
        start = await last_block_before(self.node, block.timestamp - seconds, block)
        return (await self._scan(wallets, block, None, start.number + 1 if start else 0))[1]

    async def _scan(
        self, wallets: pl.DataFrame, last: Block, cursor: Cursor | None, first_block: int
    ) -> tuple[int, pl.DataFrame]:
        """First block that was scanned, and the transfers from there on."""
        ranges = scan_transfers(
            self.node,
            address_array(wallets["address"].unique().to_list()),
            last,
            cursor=cursor,
            first_block=first_block,
            wrapped_native=self.wrapped_native,
            reach=self.reach,
        )
        first, found = first_block, pl.DataFrame(schema=TRANSFERS)
        async for scanned in ranges:
            # A range that begins below the end of the one before stands in its place: blocks were replaced.
            found = pl.concat([found.filter(pl.col("block_number") < scanned.first), scanned.transfers])
            first = min(first, scanned.first)
        coins = pl.Series(sorted(self.coin_tokens), dtype=pl.String)
        return first, found.filter(~pl.col("token").is_in(coins.implode()))


def pairs_of(wallets: pl.DataFrame, transfers: pl.DataFrame, kind: str) -> pl.DataFrame:
    """The (wallet, token) that transfers show, sorted; schema PAIRS_SCHEMA.

    Args:
        wallets: Columns wallet_key and address.
        transfers: Columns of `discovery.TRANSFERS`.
        kind: erc20 or erc721.
    """
    moved = transfers.filter(pl.col("kind") == kind)
    sides = [
        wallets.join(moved.select(pl.col(side).alias("address"), "token"), on="address").select("wallet_key", "token")
        for side in ("sender", "receiver")
    ]
    return pl.concat(sides).cast(PAIRS_SCHEMA).unique().sort("wallet_key", "token")
