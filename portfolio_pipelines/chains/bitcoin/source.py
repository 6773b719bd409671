"""Balances of addresses on Bitcoin, exact for the block asked for, also a past one.

Belongs here: what makes a balance certain. Not here: requests (`esplora`), the form of answers (`answers`).

A server tells sums of an address up to its own newest block, whichever that is when the request arrives. Where that is
the block asked for before and after the reading, the sums are the balance. Otherwise what later transactions did is
taken off again, transaction by transaction. Only confirmed transactions count.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import partial
from typing import Final

from portfolio_pipelines.chains.bitcoin.addresses import parse_bitcoin_address
from portfolio_pipelines.chains.bitcoin.answers import AddressStats, DatedBlock, Outputs
from portfolio_pipelines.chains.bitcoin.esplora import EsploraClient
from portfolio_pipelines.chains.endpoint_pool import in_parallel
from portfolio_pipelines.chains.families import NATIVE, AssetBalances, asset_balances
from portfolio_pipelines.chains.rpc.errors import BadAnswer, InvalidRequest, RpcError, StateUnavailable, TooMuch
from portfolio_pipelines.chains.rpc.node import Block

WALLETS_A_CHUNK: Final = 256  # read between two looks at the newest block: seconds, while blocks take minutes
MOST_LISTED_OUTPUTS: Final = 400  # servers list 500; of addresses with more, the sums alone are believed
LONGEST_WALK: Final = 400  # pages of 25 transactions: beyond, an address is that of an exchange, not of a person
TRIES: Final = 3  # when an address changed while it was read
MEDIAN_BLOCKS: Final = 11

_OF_ONE_ADDRESS: Final = (BadAnswer, InvalidRequest, TooMuch)


class _Changed(Exception):  # noqa: N818 (an event, not a fault)
    """The address changed while it was read."""


class BitcoinSource:
    """Where balances on Bitcoin come from; a `BalanceSource`."""

    def __init__(self, client: EsploraClient, *, verify: bool = True) -> None:
        """Read through a client.

        Args:
            client: The servers.
            verify: Compare the sums of an address with its unspent outputs, one request more for each address that
                holds something.
        """
        self._client = client
        self._verify = verify

    @property
    def chain_slug(self) -> str:
        """See `BalanceSource.chain_slug`."""
        return self._client.chain

    async def newest(self) -> Block:
        """See `BalanceSource.newest`."""
        return (await self._client.newest_blocks())[0].block

    async def at_close(self, end: datetime) -> Block | None:
        """The highest block whose own time is before `end`. See `BalanceSource.at_close`.

        A block may be dated up to two hours ahead, and later ones before it: within that time after `end` the answer
        can still change.
        """
        if end.tzinfo is None:
            msg = f"{end} has no time zone"
            raise ValueError(msg)
        moment = end.timestamp()
        blocks = await self._client.newest_blocks()
        if blocks[0].median_time >= moment:
            height = await self._first_median_at(moment, blocks[0])
            blocks = await self._client.blocks(height)
        # Every block above has a time beyond the median of the eleven before it, so none of them is before the moment.
        # Of the eleven below, most are.
        for _ in range(MEDIAN_BLOCKS + 1):
            for dated in blocks:
                if dated.block.timestamp < moment:
                    return dated.block
            lowest = blocks[-1].block.number
            if lowest == 0:
                return None
            blocks = await self._client.blocks(lowest - 1)
        raise BadAnswer(self.chain_slug, "all endpoints", f"no block before {end} where the medians say one is")

    async def balances(
        self,
        wallets: Sequence[str],
        tokens: Sequence[str],
        block: Block,
        *,
        more: Sequence[tuple[int, str]] = (),
        discover: Collection[int] = (),  # noqa: ARG002 there is nothing to find
    ) -> AssetBalances:
        """See `BalanceSource.balances`; there are no tokens on Bitcoin."""
        if tokens or more:
            msg = f"{self.chain_slug} has no tokens, but {len(tokens) + len(more)} were asked for"
            raise ValueError(msg)
        addresses = [parse_bitcoin_address(wallet) for wallet in wallets]
        found: dict[int, int] = {}
        failed: dict[int, str] = {}
        for start in range(0, len(addresses), WALLETS_A_CHUNK):
            rows = range(start, min(start + WALLETS_A_CHUNK, len(addresses)))
            await self._chunk(addresses, rows, block, found, failed)
        return asset_balances(
            block,
            block.number,
            ((row, NATIVE, amount) for row, amount in found.items()),
            ((row, NATIVE, why) for row, why in failed.items()),
        )

    async def hash_of(self, number: int) -> str | None:
        """Hash of the block that stands at a height now; None when the chain has not got so far.

        Raises:
            RpcError: If no server said it.
        """
        try:
            return await self._client.hash_at(number)
        except StateUnavailable:
            return None

    async def _first_median_at(self, moment: float, newest: DatedBlock) -> int:
        """The lowest height whose median time is not before the moment; medians never fall along the chain."""
        low, low_time = -1, 0  # below the first block
        high, high_time = newest.block.number, newest.median_time
        guess = False
        while high - low > 1:
            guess = not guess  # where the times point, then the middle, so that neither can go wrong for long
            share = (moment - low_time) / max(high_time - low_time, 1) if guess and low >= 0 else 0.5
            middle = low + min(max(round((high - low) * share), 1), high - low - 1)
            dated = (await self._client.blocks(middle))[0]
            if not low_time <= dated.median_time <= high_time:
                raise BadAnswer(
                    self.chain_slug, "all endpoints", f"the median time of block {middle} is not between its neighbours"
                )
            if dated.median_time >= moment:
                high, high_time = middle, dated.median_time
            else:
                low, low_time = middle, dated.median_time
        return high

    async def _chunk(
        self, addresses: Sequence[str], rows: range, block: Block, found: dict[int, int], failed: dict[int, str]
    ) -> None:
        """Read wallets from one server; those that it gives no believable answer for from the next."""
        pending: dict[int, str] = dict.fromkeys(rows, "")
        fault: RpcError | None = None
        reached = False
        for server in self._client.servers():
            try:
                pending = await self._at(server, addresses, list(pending), block, found)
            except RpcError as error:
                fault = error
                continue
            reached = True
            if not pending:
                break
        if not reached and fault is not None:
            raise fault
        failed |= pending

    async def _at(
        self, server: str, addresses: Sequence[str], rows: Sequence[int], block: Block, found: dict[int, int]
    ) -> dict[int, str]:
        """Read wallets from a server.

        Returns:
            Those that failed, and why.
        """
        stats: dict[int, AddressStats] = {}
        failed: dict[int, str] = {}

        async def ask(row: int) -> None:
            try:
                stats[row] = await self._checked(server, addresses[row])
            except _OF_ONE_ADDRESS as error:
                failed[row] = str(error)

        async def take_back(row: int) -> None:
            try:
                found[row] = await self._balance_at(server, addresses[row], block.number, stats[row])
            except _OF_ONE_ADDRESS as error:
                failed[row] = str(error)

        before = await self._client.tip_hash(server)
        await in_parallel(partial(ask, row) for row in rows)
        exact = before == block.hash == await self._client.tip_hash(server)
        if not exact and (known := await self._client.hash_at(block.number, server)) != block.hash:
            raise StateUnavailable(self.chain_slug, server, f"block {block.number} is {known} there, not {block.hash}")
        later = []
        for row, each in stats.items():
            if exact or not each.confirmed.transactions:
                found[row] = each.confirmed.balance
            else:
                later.append(row)
        await in_parallel(partial(take_back, row) for row in later)
        return failed

    async def _checked(self, server: str, address: str) -> AddressStats:
        """Sums of an address, compared with its unspent outputs."""
        told = ""
        for _ in range(TRIES):
            stats = await self._client.stats(address, server)
            count = stats.confirmed.unspent_count + stats.waiting.unspent_count
            if not self._verify or not stats.confirmed.balance or count > MOST_LISTED_OUTPUTS:
                return stats
            total = stats.confirmed.balance + stats.waiting.balance
            listed = await self._client.unspent(address, server)
            if listed == (count, total):
                return stats
            told = f"{address} has {total} satoshi in {count} outputs by its sums, {listed[1]} in {listed[0]} by a list"
        raise BadAnswer(self.chain_slug, server, told)

    async def _balance_at(self, server: str, address: str, height: int, stats: AddressStats) -> int:
        """The balance after the block of a height, beginning from sums that may be outdated by now."""
        for _ in range(TRIES):
            try:
                return await self._walk(server, address, height, stats.confirmed)
            except _Changed:
                stats = await self._checked(server, address)
        raise BadAnswer(self.chain_slug, server, f"{address} changed every time it was read")

    async def _walk(self, server: str, address: str, height: int, stats: Outputs) -> int:
        seen: set[str] = set()
        later = every = 0
        last: tuple[str, int] | None = None
        for _ in range(LONGEST_WALK):
            effects = (
                await self._client.effects(address, server, last[0] if last else None) if stats.transactions else []
            )
            for effect in effects:
                if effect.transaction in seen or (last is not None and effect.height > last[1]):
                    raise BadAnswer(self.chain_slug, server, f"the pages of {address} do not follow each other")
                seen.add(effect.transaction)
                every += effect.change
                later += effect.change if effect.height > height else 0
                last = (effect.transaction, effect.height)
            reached_past = last is not None and last[1] <= height
            complete = len(seen) >= stats.transactions
            if reached_past or complete or not effects:
                break
        else:
            msg = f"{address} has more than {LONGEST_WALK} pages of transactions since block {height}"
            raise TooMuch(self.chain_slug, server, msg)
        if (await self._client.stats(address, server)).confirmed != stats:
            raise _Changed
        if not reached_past and (len(seen) != stats.transactions or every != stats.balance):
            raise BadAnswer(
                self.chain_slug,
                server,
                f"{address}: {len(seen)} transactions of {every} satoshi, while its sums say "
                f"{stats.transactions} of {stats.balance}",
            )
        if stats.balance < later:
            raise BadAnswer(self.chain_slug, server, f"{address} had less than nothing at block {height}")
        return stats.balance - later
