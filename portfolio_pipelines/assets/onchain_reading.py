"""Many chains on many days: all chains side by side, the days of each in order, each written as soon as it is read.

Belongs here: who is read, in which order, what a failure costs, and what is remembered of it. One chain on one day is
`chain_reading`; Dagster is in `onchain`.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Final

import polars as pl

from portfolio_pipelines.assets.chain_reading import ChainDayReader, ChainDayRows
from portfolio_pipelines.assets.chain_work import ChainWork
from portfolio_pipelines.assets.chain_works import MetTokens, asset_id_of, chain_works
from portfolio_pipelines.chain_tables import (
    CHAIN_READS,
    DEFI_POSITIONS,
    POOL_STATES,
    RECEIPT_RATIOS,
    WALLET_ACTIVITY,
    WALLET_BALANCES,
)
from portfolio_pipelines.chains.chain_reading import ChainReader
from portfolio_pipelines.chains.last_good_balances import LakeBalances, LastGoodBalances, WalletBalances
from portfolio_pipelines.chains.price_assets import price_asset
from portfolio_pipelines.chains.rpc.node import Block
from portfolio_pipelines.database.chain_tokens import chain_tokens_frame
from portfolio_pipelines.database.held_assets import HELD_ASSETS_SCHEMA, record_held_assets
from portfolio_pipelines.database.token_trust import quarantine_frame, whitelist_frame
from portfolio_pipelines.resources.chain_connections import ChainConnections
from portfolio_pipelines.resources.database import CHAIN_WRITER_LOCK, Database
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.last_good import by_wallet, last_good_balances
from portfolio_pipelines.resources.partitions import PartitionWriter, fingerprint

READING_VERSION: Final = "1"
AT_CLOSE: Final = fingerprint("read at its close")
"""What a day is made from that was read whole at its last block: it only changes with a reorganisation."""
PARTLY_AT_CLOSE: Final = fingerprint("read in part at its close")
"""The same where something is missing, or where the read before stands for a close that nobody can tell any more."""
CHAINS_AT_ONCE: Final = 32

logger = logging.getLogger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class ChainDay:
    """What became of one chain on one day.

    Attributes:
        day: The day.
        chain: The slug of the chain.
        status: `ok`; `partial` when some balances or positions are missing; `failed` when nothing could be read, so
            that the last good balances stand as stale ones; `current` when there was nothing to do.
        fault: Why it is not ok.
        balances: How many balances the state holds.
        positions: How many rows of positions.
    """

    day: date
    chain: str
    status: str
    fault: str | None = None
    balances: int = 0
    positions: int = 0


@dataclass(frozen=True)
class OnchainReading:
    """Reads chains into the lake.

    Args:
        lake: Where the tables are.
        database: Wallets and tokens.
        connections: The chains.
        run_id: The run that reads.
        log: Is told of each chain and day.
        clock: The time; decides which day is over.
    """

    lake: Lake
    database: Database
    connections: ChainConnections
    run_id: str
    log: Callable[[str], object] = logger.info
    clock: Callable[[], datetime] = _now
    _held: dict[int, tuple[date, date]] = field(default_factory=dict, repr=False)

    def read(self, chain_days: Sequence[tuple[date, str]], *, again: bool = False) -> list[ChainDay]:
        """Read some days of some chains; chains that nobody watches are left alone.

        Args:
            chain_days: Day and slug.
            again: Also those that were read at their close.

        Returns:
            One entry for each, those of a chain in order of day. A chain that fails costs nobody else anything.
        """
        with self.database.writer(self.lake, self.run_id, CHAIN_WRITER_LOCK) as writer:
            due: dict[str, list[date]] = {}
            result = []
            for day, chain in sorted(chain_days):
                if not again and writer.is_current(CHAIN_READS, day, AT_CLOSE, READING_VERSION, chain):
                    result.append(ChainDay(day, chain, "current"))
                else:
                    due.setdefault(chain, []).append(day)
            works = chain_works(self.database, self.connections, due)
            if works:
                result += asyncio.run(self._read(works, due, writer))
            result += [ChainDay(day, chain, "current") for chain in due.keys() - works.keys() for day in due[chain]]
        self._remember_held()
        return sorted(result, key=lambda one: (one.chain, one.day))

    async def _read(
        self, works: Mapping[str, ChainWork], due: Mapping[str, Sequence[date]], writer: PartitionWriter
    ) -> list[ChainDay]:
        room, turn = asyncio.Semaphore(CHAINS_AT_ONCE), asyncio.Lock()

        async def one(work: ChainWork, reader: ChainReader) -> list[ChainDay]:
            async with room:
                return await self._read_chain(work, reader, due[work.chain.slug], writer, cache, turn)

        async with (
            last_good_balances(self.connections.settings, self.lake) as cache,
            self.connections.readers([work.chain for work in works.values()]) as readers,
        ):
            answers = await asyncio.gather(*(one(work, readers[slug]) for slug, work in works.items()))
        return [day for answer in answers for day in answer]

    async def _read_chain(
        self,
        work: ChainWork,
        reader: ChainReader,
        days: Sequence[date],
        writer: PartitionWriter,
        cache: LastGoodBalances,
        turn: asyncio.Lock,
    ) -> list[ChainDay]:
        slug, now = work.chain.slug, self.clock()
        days_of_chain = ChainDayReader(self.lake, work, reader, MetTokens(self.database), now, turn)
        done: list[ChainDay] = []
        for day in days:
            try:
                rows = await days_of_chain.read(day)
            except Exception as error:  # an error of ours: the other chains are none the worse for it
                logger.exception("%s on %s", slug, day)
                rows = days_of_chain.without_answer(day, f"{type(error).__name__}: {error}")
            async with turn:  # the writer waits for its files: not in the way of other chains' requests
                done.append(await asyncio.to_thread(self._write, work, day, rows, writer))
            if rows.block is not None and not isinstance(cache, LakeBalances):
                await cache.keep(work.chain.slug, _last_good(work, rows, rows.block))
            del rows  # not held while the next day is asked for
            self.log(_told(done[-1]))
        return done

    def _write(self, work: ChainWork, day: date, rows: ChainDayRows, writer: PartitionWriter) -> ChainDay:
        newest = rows.tables[CHAIN_READS].row(-1, named=True)
        status = "failed" if newest["status"] == "failed" else "partial" if rows.fault else "ok"
        is_over = newest["is_close"] or day < self.clock().date()
        if status == "failed" or not is_over:
            made_from = fingerprint(status, newest["as_of"], newest["block_hash"])
        else:
            made_from = AT_CLOSE if status == "ok" and newest["is_close"] else PARTLY_AT_CLOSE
        for table, frame in rows.tables.items():
            writer.write(table, day, frame, made_from, READING_VERSION, work.chain.slug)
        balances, positions = rows.tables[WALLET_BALANCES], rows.tables[DEFI_POSITIONS]
        tokens = [
            *(rows.tables[table]["token_key"] for table in (WALLET_BALANCES, DEFI_POSITIONS, POOL_STATES)),
            rows.tables[RECEIPT_RATIOS]["underlying_token_key"],  # its price makes that of the receipt
        ]
        for key in pl.concat(tokens).drop_nulls().unique():
            first, last = self._held.get(key, (day, day))
            self._held[key] = min(first, day), max(last, day)
        return ChainDay(day, work.chain.slug, status, rows.fault, balances.height, positions.height)

    def _remember_held(self) -> None:
        """What was seen needs a price; what is distrusted and nobody vouches for does not."""
        if not self._held:
            return
        vouched_for = whitelist_frame(self.database.engine)["token_key"]
        distrusted = set(quarantine_frame(self.database.engine)["token_key"]) - set(vouched_for)
        keys = pl.Series([key for key in self._held if key not in distrusted], dtype=pl.Int32)
        tokens = chain_tokens_frame(self.database.engine).filter(pl.col("token_key").is_in(keys.implode()))
        rows = []
        for key, asset_id, coingecko_id in tokens.select("token_key", "asset_id", "coingecko_id").iter_rows():
            asset = price_asset(self.connections.registry, self.connections.tokens, asset_id, coingecko_id)
            if asset is not None:
                rows.append((asset.asset_id, asset.coingecko_symbol, asset.defillama_symbol, *self._held[key]))
        held = pl.DataFrame(rows, schema=HELD_ASSETS_SCHEMA, orient="row")
        spans = held.group_by("asset_id").agg(
            pl.col("coingecko_symbol").first(),
            pl.col("defillama_symbol").first(),
            pl.col("held_since").min(),
            pl.col("held_until").max(),
        )
        record_held_assets(self.database.engine, spans.sort("asset_id"))


def _last_good(work: ChainWork, rows: ChainDayRows, block: Block) -> dict[str, WalletBalances]:
    """The state after a good read, for those who ask for single wallets."""
    assets = {key: asset_id_of(work.chain, token) for token, key in work.token_keys.items()}
    return by_wallet(rows.tables[WALLET_BALANCES], work.wallets, rows.tables[WALLET_ACTIVITY], assets, block)


def _told(one: ChainDay) -> str:
    what = f"{one.chain} on {one.day}: {one.balances:,} balances, {one.positions:,} rows of positions"
    return what if one.fault is None else f"{what}; {one.status}: {one.fault}"
