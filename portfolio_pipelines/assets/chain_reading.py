"""One chain on one day, from the lake's last state to its new one: what is asked, and which rows come of it.

Belongs here: joining the lake, the database's keys and a reader. The reader itself is in `chains`, Dagster in
`onchain`. Rows are made here and written by the caller, so that a chain that fails half-way leaves nothing behind.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from portfolio_pipelines.assets.chain_work import ChainWork
from portfolio_pipelines.chain_tables import (
    BALANCE_CHANGES,
    BALANCE_CHANGES_SCHEMA,
    CHAIN_READS,
    CHAIN_READS_SCHEMA,
    DEFI_POSITIONS,
    DEFI_POSITIONS_SCHEMA,
    POOL_STATES,
    POOL_STATES_SCHEMA,
    RECEIPT_RATIOS,
    RECEIPT_RATIOS_SCHEMA,
    TOKEN_TRANSFERS,
    TOKEN_TRANSFERS_SCHEMA,
    WALLET_ACTIVITY,
    WALLET_ACTIVITY_SCHEMA,
    WALLET_BALANCES,
    WALLET_BALANCES_SCHEMA,
)
from portfolio_pipelines.chains import activity
from portfolio_pipelines.chains.balance_state import advance, carried
from portfolio_pipelines.chains.chain_reading import NATIVE, PAIRS_SCHEMA, ChainQuestion, ChainReader, ChainReading
from portfolio_pipelines.chains.pool_rows import advance_pools, pool_rows
from portfolio_pipelines.chains.position_rows import advance_positions, position_rows
from portfolio_pipelines.chains.protocols import erc721
from portfolio_pipelines.chains.protocols.pool_states import CURVE, PAIRS, WEIGHTED
from portfolio_pipelines.chains.receipt_rows import advance_receipts, receipt_rows
from portfolio_pipelines.chains.registry import Chain
from portfolio_pipelines.chains.rpc.errors import RpcError, StateUnavailable
from portfolio_pipelines.chains.rpc.node import Block
from portfolio_pipelines.resources.lake import Lake

TokenKeys = Callable[[Chain, ChainReading], Mapping[str, int]]
"""Gives a key to every token of a reading that has none, and remembers what it says of itself; by contract."""

_HOUR: Final = 3600
_DAY: Final = timedelta(days=1)
_KEYS: Final = pl.Schema({"token": pl.String(), "token_key": pl.Int32()})


@dataclass(frozen=True)
class ChainDayRows:
    """The rows of all tables of one chain and day after a read, good or bad.

    Attributes:
        tables: By table.
        fault: Why the day counts as failed; None when everything was read.
        block: Where it was read; None when it was not.
    """

    tables: Mapping[str, pl.DataFrame]
    fault: str | None
    block: Block | None = None


@dataclass(frozen=True)
class _Before:
    """What the lake knows of a chain before a read."""

    balances: pl.DataFrame
    positions: pl.DataFrame
    pools: pl.DataFrame
    receipts: pl.DataFrame
    activity: activity.Activity
    reads: pl.DataFrame  # of this day
    transfers: pl.DataFrame  # of this day, up to the last read
    changes: pl.DataFrame  # of this day


@dataclass
class ChainDayReader:
    """Reads one chain, day after day.

    Args:
        lake: Where the last state is.
        work: What to read.
        reader: The chain.
        keys_of: Gives keys to tokens that have none.
        now: The time of the run.
        turn: Held while rows are made: readers that share one make them one after the other, in a thread beside the
            requests. So the frames of one chain are in memory, not those of all.
    """

    lake: Lake
    work: ChainWork
    reader: ChainReader
    keys_of: TokenKeys
    now: datetime
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _states: dict[date, dict[str, pl.DataFrame]] = field(default_factory=dict)

    async def read(self, day: date) -> ChainDayRows:
        """The rows of a day after one more read. Never raises for a chain that cannot be read."""
        async with self.turn:
            before = await asyncio.to_thread(self._before, day)
        try:
            block, is_close = await self._block(day)
            if block is None:
                return self._as_it_was(day, before)
            reading = await self._ask(day, before, block, is_close)
        except RpcError as error:
            if isinstance(error, StateUnavailable) and _end(day) <= self.now and _was_read(before):
                return self._as_it_was(day, before)
            rows = self._carry(before, str(error))
        else:
            async with self.turn:
                rows = await asyncio.to_thread(self._advance, before, reading, is_close)
        self._states[day] = dict(rows.tables)
        return rows

    def without_answer(self, day: date, why: str) -> ChainDayRows:
        """The rows of a day that could not be read for a reason that is not the chain's: the last good ones, stale."""
        rows = self._carry(self._before(day), why)
        self._states[day] = dict(rows.tables)
        return rows

    async def _block(self, day: date) -> tuple[Block | None, bool]:
        """The block to read at, and whether it is the last one of the day; None when the past cannot be read."""
        end = _end(day)
        if end > self.now:
            return await self.reader.newest(), False
        return await self.reader.at_close(int(end.timestamp())), True

    def _as_it_was(self, day: date, before: _Before) -> ChainDayRows:
        """Of a chain that does not tell the past (any more), the last read of a day stands for its close."""
        if not _was_read(before):
            msg = f"the state at the end of {day} cannot be read: there is no block that old, or none that is kept"
            return self._carry(before, msg)
        tables = {
            WALLET_BALANCES: before.balances,
            BALANCE_CHANGES: before.changes,
            DEFI_POSITIONS: before.positions,
            POOL_STATES: before.pools,
            RECEIPT_RATIOS: before.receipts,
            TOKEN_TRANSFERS: before.transfers,
            CHAIN_READS: before.reads,
            WALLET_ACTIVITY: activity.to_frame(before.activity),
        }
        return ChainDayRows(tables, None)

    async def _ask(self, day: date, before: _Before, block: Block, is_close: bool) -> ChainReading:
        work, known = self.work, activity.activity_of(self.work.wallets["wallet_key"].to_numpy(), before.activity)
        keys = known.wallet_keys
        hour = block.timestamp // _HOUR
        due = np.ones(len(keys), np.bool_) if is_close else activity.due(known, hour, salt=work.chain.chain_id)
        newcomers = keys[known.last_read == activity.NEVER]
        address = {key: contract for contract, key in work.token_keys.items()}
        listed = {NATIVE, *work.listed} | (frozenset() if is_close else work.quarantined)
        names = _key_frame(work.token_keys)
        unlisted = names.filter(~pl.col("token").is_in(pl.Series(sorted(listed)).implode()))
        nfts = before.positions.filter(pl.col("protocol") == erc721.PROTOCOL).select("wallet_key", "token_key")
        shares = before.positions.filter(pl.col("protocol").is_in([CURVE, WEIGHTED, *PAIRS]))
        receipts = shares["receipt_token_key"].drop_nulls().unique()
        return await self.reader.read(
            ChainQuestion(
                wallets=work.wallets,
                due=frozenset(keys[due].tolist()),
                tokens=work.listed,
                pairs=_with_contracts(before.balances, unlisted),
                known_tokens=frozenset(work.token_keys),
                pair_tokens=sorted({*work.pair_tokens, *(address[key] for key in receipts if key in address)}),
                collections=_with_contracts(nfts.unique(), names),
                pools=work.pools,
                held=frozenset(
                    address[key] for key in _held(before.balances, before.positions, before.pools) if key in address
                ),
                decimals=work.decimals,
                receipts=work.receipts,
                may_be_receipts=frozenset(work.may_be_receipts),
                position_holders=frozenset(before.positions["wallet_key"].unique()),
                previous=await self._previous(day, before, is_close),
                checkpoints=() if is_close else _checkpoints(before.reads)[:-1],
                since=int(_end(day - _DAY).timestamp()),
                look_back=int(work.look_back.total_seconds()),
                newcomers=frozenset(newcomers.tolist()),
                discover=frozenset(keys[due & (is_close | (known.last_read < _hour_of(day)))].tolist()),
            ),
            block,
        )

    async def _previous(self, day: date, before: _Before, is_close: bool) -> Block | None:
        """Transfers are looked for from the block after this one.

        A closed day is scanned whole, so that it comes out the same however often it was read while it ran.
        """
        good = _checkpoints(before.reads)
        if good and not is_close:
            return good[-1]
        return await self.reader.at_close(int(_end(day - _DAY).timestamp()))

    def _advance(self, before: _Before, reading: ChainReading, is_close: bool) -> ChainDayRows:
        keys = self.keys_of(self.work.chain, reading)
        self.work.learn(reading, keys)
        known, watched = self.work.token_keys, self.work.wallets["wallet_key"]
        after = advance(
            before.balances,
            reading.block,
            _with_keys(reading.balances, known),
            asked_wallets=reading.read,
            asked_tokens=[known[token] for token in reading.tokens if token in known],
            asked_pairs=_with_keys(reading.pairs, known),
            unread=_with_keys(reading.unread, known),
            watched=watched,
        )
        rows = position_rows(reading.positions, reading.block, self.work.wallets, known, DEFI_POSITIONS_SCHEMA)
        positions = advance_positions(
            before.positions,
            rows,
            asked=reading.position_wallets,
            unread_protocols=reading.unread_protocols,
            watched=watched,
        )
        pools = pool_rows(reading.pool_states, reading.block, known, POOL_STATES_SCHEMA)
        pools = advance_pools(before.pools, pools, self.work.pools)
        ratios = receipt_rows(
            reading.ratios, reading.block, known, self.work.receipts, self._decimals(), RECEIPT_RATIOS_SCHEMA
        )
        transfers = self._transfers(reading)
        if not is_close:
            kept = before.transfers
            if reading.transfers_from is not None:  # blocks may have been replaced, and what moved in them is undone
                kept = kept.filter(pl.col("block_number") < reading.transfers_from)
            transfers = pl.concat([kept, transfers])
        transfers = transfers.unique(["wallet_key", "tx_hash", "log_index", "direction"]).sort(
            "block_number", "log_index", "wallet_key", "direction"
        )
        faults = _faults(reading)
        read = _read_row(reading, is_close, faults, transfers.height)
        reads = pl.concat([before.reads.filter(pl.col("block_hash").ne_missing(reading.block.hash)), read])
        tables = {
            WALLET_BALANCES: after.state,
            BALANCE_CHANGES: pl.concat([before.changes, after.changes.select(before.changes.columns)]),
            DEFI_POSITIONS: positions,
            POOL_STATES: pools,
            RECEIPT_RATIOS: self._ratios(before, ratios, _held(after.state, positions, pools)),
            TOKEN_TRANSFERS: transfers,
            CHAIN_READS: reads,
            WALLET_ACTIVITY: self._activity(before, reading),
        }
        return ChainDayRows(tables, "; ".join(faults) or None, reading.block)

    def _carry(self, before: _Before, why: str) -> ChainDayRows:
        watched = self.work.wallets["wallet_key"].to_list()
        positions = before.positions.filter(pl.col("wallet_key").is_in(pl.Series(watched).implode()))
        failed = {
            "as_of": self.now, "status": "failed", "reason": why, "is_close": False, "wallets": len(watched),
            "tokens": len(self.work.listed), "balances": 0, "failed_balances": 0, "positions": 0, "transfers": 0,
            "is_scanned": False,
        }  # fmt: skip
        row = pl.DataFrame([failed], schema=CHAIN_READS_SCHEMA)
        balances = carried(before.balances, watched)
        pools = advance_pools(before.pools, before.pools.clear(), self.work.pools)
        held = _held(balances, positions, pools)
        tables = {
            WALLET_BALANCES: balances,
            BALANCE_CHANGES: before.changes,
            DEFI_POSITIONS: positions.with_columns(is_stale=pl.lit(True)),
            POOL_STATES: pools,
            RECEIPT_RATIOS: self._ratios(before, before.receipts.clear(), held),
            TOKEN_TRANSFERS: before.transfers,
            CHAIN_READS: pl.concat([before.reads, row]),
            WALLET_ACTIVITY: activity.to_frame(before.activity),
        }
        return ChainDayRows(tables, why)

    def _activity(self, before: _Before, reading: ChainReading) -> pl.DataFrame:
        keys = self.work.wallets["wallet_key"].to_numpy()
        known = activity.activity_of(keys, before.activity)
        holders = reading.balances["wallet_key"].unique().to_numpy()
        used = np.isin(known.wallet_keys, holders) | np.isin(known.wallet_keys, _array(reading.position_wallets))
        read = np.isin(known.wallet_keys, _array(reading.read))
        return activity.to_frame(activity.after_read(known, reading.block.timestamp // _HOUR, read, used))

    def _transfers(self, reading: ChainReading) -> pl.DataFrame:
        """Both ends of each transfer that belong to a watched wallet; what came before the day only showed tokens."""
        moved = _with_keys(reading.transfers, self.work.token_keys)
        sides = []
        for side, other, direction in (("receiver", "sender", "in"), ("sender", "receiver", "out")):
            ours = moved.join(self.work.wallets.rename({"address": side}), on=side, how="inner")
            sides.append(ours.with_columns(direction=pl.lit(direction), counterparty=pl.col(other)))
        rows = pl.concat([side.select(TOKEN_TRANSFERS_SCHEMA.names()) for side in sides])
        return rows.cast(TOKEN_TRANSFERS_SCHEMA)

    def _before(self, day: date) -> _Before:
        """The state at the last read: of this day, else of the newest day before it."""
        earlier = self._newest(day)

        def table(name: str, of: date | None, schema: pl.Schema) -> pl.DataFrame:
            if of is None:
                return pl.DataFrame(schema=schema)
            if of in self._states:
                return self._states[of][name]
            return self.lake.read_chain(name, of, self.work.chain.slug, schema)

        return _Before(
            balances=table(WALLET_BALANCES, earlier, WALLET_BALANCES_SCHEMA),
            positions=table(DEFI_POSITIONS, earlier, DEFI_POSITIONS_SCHEMA),
            pools=table(POOL_STATES, earlier, POOL_STATES_SCHEMA),
            receipts=table(RECEIPT_RATIOS, earlier, RECEIPT_RATIOS_SCHEMA),
            activity=activity.from_frame(table(WALLET_ACTIVITY, earlier, WALLET_ACTIVITY_SCHEMA)),
            reads=table(CHAIN_READS, day, CHAIN_READS_SCHEMA),
            transfers=table(TOKEN_TRANSFERS, day, TOKEN_TRANSFERS_SCHEMA),
            changes=table(BALANCE_CHANGES, day, BALANCE_CHANGES_SCHEMA),
        )

    def _ratios(self, before: _Before, read: pl.DataFrame, held: set[int]) -> pl.DataFrame:
        receipts = [self.work.token_keys[token] for token in self.work.receipts if token in self.work.token_keys]
        known = before.receipts.filter(pl.col("token_key").is_in(receipts))
        return advance_receipts(known, read, held)

    def _decimals(self) -> Mapping[str, int]:
        return {**self.work.decimals, NATIVE: self.work.chain.native_decimals}

    def _newest(self, day: date) -> date | None:
        stored = {*self.lake.days_of_chain(WALLET_BALANCES, self.work.chain.slug), *self._states}
        return max((of for of in stored if of <= day), default=None)


def _was_read(before: _Before) -> bool:
    """Whether something was read on the day itself."""
    return before.reads.filter(pl.col("status") != "failed").height > 0


def _end(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + _DAY


def _checkpoints(reads: pl.DataFrame) -> list[Block]:
    """Blocks of the day up to which transfers are stored, oldest first.

    A read that stepped back behind earlier ones took with it what was stored from beyond: only reads below all that
    came after them count.
    """
    found: list[Block] = []
    scanned = reads.filter(pl.col("is_scanned")).select("block_number", "block_hash", "block_timestamp")
    for number, known, timestamp in scanned.iter_rows():
        while found and found[-1].number >= number:
            found.pop()
        found.append(Block(number, known, timestamp))
    return found


def _held(balances: pl.DataFrame, positions: pl.DataFrame, pools: pl.DataFrame) -> set[int]:
    """Keys of the tokens in wallets, positions and pools."""
    return {key for frame in (balances, positions, pools) for key in frame["token_key"].drop_nulls().unique()}


def _hour_of(day: date) -> int:
    """The first hour of a day, in hours since 1970."""
    return int((_end(day) - _DAY).timestamp()) // _HOUR


def _key_frame(keys: Mapping[str, int]) -> pl.DataFrame:
    return pl.DataFrame({"token": list(keys), "token_key": list(keys.values())}, schema=_KEYS)


def _with_keys(rows: pl.DataFrame, keys: Mapping[str, int]) -> pl.DataFrame:
    """Contracts replaced by keys; rows of tokens without one (nothing stands at their address) are left out."""
    return rows.join(_key_frame(keys), on="token", how="inner", maintain_order="left").drop("token")


def _with_contracts(rows: pl.DataFrame, names: pl.DataFrame) -> pl.DataFrame:
    """PAIRS_SCHEMA of rows with wallet_key and token_key; those of other tokens than the named ones are left out."""
    pairs = rows.select("wallet_key", "token_key").join(names, on="token_key", how="inner", maintain_order="left")
    return pairs.select(PAIRS_SCHEMA.names()).cast(PAIRS_SCHEMA)


def _array(keys: Collection[int]) -> NDArray[np.int64]:
    return np.fromiter(keys, np.int64, len(keys))


def _faults(reading: ChainReading) -> list[str]:
    """What is missing in a reading, in words."""
    faults = list(reading.faults)
    if reading.unread.height:
        first = reading.unread.row(0, named=True)
        faults.append(
            f"{reading.unread.height} balances could not be read, the first of token {first['token']}: {first['why']}"
        )
    faults += [f"positions of {protocol}: {why}" for protocol, why in sorted(reading.unread_protocols.items())]
    return faults


def _read_row(reading: ChainReading, is_close: bool, faults: list[str], transfers: int) -> pl.DataFrame:
    row = {
        "as_of": datetime.fromtimestamp(reading.block.timestamp, UTC),
        "status": "partial" if faults else "ok",
        "reason": "; ".join(faults) or None,
        "is_close": is_close,
        "block_number": reading.block.number,
        "block_hash": reading.block.hash,
        "block_timestamp": reading.block.timestamp,
        "wallets": len(reading.read),
        "tokens": len(reading.tokens),
        "balances": reading.balances.height,
        "failed_balances": reading.unread.height,
        "positions": len(reading.positions),
        "transfers": transfers,
        "is_scanned": reading.is_scanned,
    }
    return pl.DataFrame([row], schema=CHAIN_READS_SCHEMA)
