"""Reading an EVM chain: balances first, then what moved, then positions and receipts; all at one block.

Belongs here: the order of things, and what a failure costs. Balances are all or nothing: without them there is no
reading. Transfers or a protocol that cannot be read are told in the answer and spoil nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from portfolio_pipelines.chains.addresses import address_array
from portfolio_pipelines.chains.block_at import last_block_before
from portfolio_pipelines.chains.chain_reading import (
    HOLDINGS_SCHEMA,
    NATIVE,
    UNREAD_SCHEMA,
    ChainQuestion,
    ChainReading,
)
from portfolio_pipelines.chains.deployments import Deployments
from portfolio_pipelines.chains.evm_positions import PositionQuestion, PositionReader, with_known_tokens
from portfolio_pipelines.chains.evm_receipts import ReceiptReader, ReceiptReading
from portfolio_pipelines.chains.evm_transfers import Moved, TransferReader, pairs_of
from portfolio_pipelines.chains.log_ranges import Reach
from portfolio_pipelines.chains.protocols.pool_states import CURVE, PAIRS, WEIGHTED
from portfolio_pipelines.chains.reader.balances import Balances, ReaderLimits, amounts, read_balances
from portfolio_pipelines.chains.registry import Chain
from portfolio_pipelines.chains.reorganisations import block_of
from portfolio_pipelines.chains.rpc.errors import RpcError
from portfolio_pipelines.chains.rpc.node import Block, Node
from portfolio_pipelines.chains.token_facts import TOKEN_FACTS, token_facts

GROUP: Final = 8_000  # balances that are read together to learn those of single pairs: as many as one call takes


@dataclass
class EvmReader:
    """Reads one EVM chain. Keep it for as long as the node: it learns what the node takes.

    Args:
        node: The chain's endpoints.
        chain: Its row of the registry.
        deployments: Where protocols stand on it.
        wrapped_native: Contracts that log a deposit of the coin as Deposit, without a Transfer.
        coin_tokens: Contracts that only show the chain's own coin (CELO, POL, ether of ZKsync): their balances are
            that of the coin, and are never read beside it.
    """

    node: Node
    chain: Chain
    deployments: Deployments
    wrapped_native: Sequence[str] = ()
    coin_tokens: frozenset[str] = frozenset()
    limits: ReaderLimits = field(default_factory=ReaderLimits)
    reach: Reach = field(default_factory=Reach)

    async def newest(self) -> Block:
        """See `ChainReader.newest`."""
        return await self.node.block()

    async def at_close(self, end: int) -> Block | None:
        """See `ChainReader.at_close`."""
        return await last_block_before(self.node, end, await self.node.block())

    async def hash_of(self, number: int) -> str | None:
        """See `ChainReader.hash_of`."""
        answer = await self.node.request("eth_getBlockByNumber", [hex(number), False])
        return None if answer is None else block_of(self.node, answer).hash

    async def read(self, question: ChainQuestion, block: Block) -> ChainReading:
        """See `ChainReader.read`."""
        faults: list[str] = []
        moved = await self._moved(question, block, faults)
        shown = pl.concat([moved.transfers, moved.earlier])
        found, nfts = (pairs_of(question.wallets, shown, kind) for kind in ("erc20", "erc721"))
        # Who moved something is read now, however long it was silent: the next scan does not show this again.
        asked = question.due | frozenset(found["wallet_key"]) | frozenset(nfts["wallet_key"])
        due = question.wallets.filter(_is_in("wallet_key", asked)).sort("wallet_key")
        holdings, unread = await self._balances(due, question.tokens, block)
        pairs = (
            pl.concat([question.pairs, found])
            .unique()
            .filter(~_is_in("token", [NATIVE, *question.tokens, *self.coin_tokens]) & _is_in("wallet_key", asked))
        )
        more, more_unread = await self._pair_balances(due, pairs, block)
        balances = pl.concat([holdings, more]).sort("wallet_key", "token")
        new_tokens = await self._facts({*pairs["token"].unique()} - question.known_tokens, block, faults)
        users = asked & (
            question.position_holders
            | frozenset(
                pl.concat([frame["wallet_key"] for frame in (balances, found, nfts, question.collections)]).unique()
            )
        )
        protocols = PositionReader(
            self.node, self.deployments, block, self._multicall_at(block), self.limits, self.coin_tokens
        )
        may_be_shares = {*question.pair_tokens, *found["token"].unique(), *new_tokens["token"]}
        may_be_shares |= {pool.address for pool in question.pools if pool.protocol in PAIRS}
        positions, unread_protocols = await protocols.read(
            PositionQuestion(
                due.filter(_is_in("wallet_key", users)),
                may_be_shares - {*question.tokens, *self.coin_tokens},
                [pool.address for pool in question.pools if pool.protocol == CURVE],
                [pool.address for pool in question.pools if pool.protocol == WEIGHTED],
                counted=question.collections,
                collections=nfts,
            )
        )
        pool_states = await protocols.read_pools(question.pools, faults)
        inside = {amount.token for position in positions for amount in position.amounts}
        inside |= {token for state in pool_states for token in state.tokens}
        shares = {position.receipt_token for position in positions if position.receipt_token}
        unknown = (inside | shares) - question.known_tokens - set(new_tokens["token"]) - {NATIVE}
        new_tokens = pl.concat([new_tokens, await self._facts(unknown, block, faults)])
        receipts = await self._receipts(question, balances, inside, new_tokens, block, faults)
        new_tokens = pl.concat([new_tokens, *receipts.new_tokens])
        positions, nameless = with_known_tokens(positions, question.known_tokens, new_tokens)
        return ChainReading(
            block=block,
            read=frozenset(due["wallet_key"]),
            tokens=[NATIVE, *question.tokens],
            pairs=pairs,
            balances=balances,
            unread=pl.concat([unread, more_unread]),
            transfers=moved.transfers,
            transfers_from=moved.first,
            is_scanned=moved.is_scanned,
            positions=positions,
            position_wallets=users,
            unread_protocols=nameless | unread_protocols,
            pool_states=pool_states,
            receipts=receipts.findings,
            ratios=receipts.ratios,
            new_tokens=new_tokens,
            faults=faults,
        )

    async def _moved(self, question: ChainQuestion, block: Block, faults: list[str]) -> Moved:
        reader = TransferReader(self.node, self.wrapped_native, self.coin_tokens, self.reach)
        try:
            return await reader.read(question, block)
        except RpcError as error:
            faults.append(f"transfers: {error}")
            return Moved()

    async def _balances(
        self, wallets: pl.DataFrame, tokens: Sequence[str], block: Block, *, native: bool = True
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """HOLDINGS_SCHEMA and UNREAD_SCHEMA of every wallet in every token."""
        answer = await read_balances(
            self.node,
            address_array(wallets["address"].to_list()),
            address_array(tokens),
            block,
            multicall=self._multicall_at(block),
            limits=self.limits,
            native=native,
        )
        names = pl.Series("token", [*([NATIVE] if native else []), *tokens], dtype=pl.String)
        return _frames(answer, wallets["wallet_key"], names)

    async def _pair_balances(
        self, wallets: pl.DataFrame, pairs: pl.DataFrame, block: Block
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The same for single pairs, in groups of wallets; what a group reads beyond its pairs is not kept."""
        holdings, unread = [pl.DataFrame(schema=HOLDINGS_SCHEMA)], [pl.DataFrame(schema=UNREAD_SCHEMA)]
        for wanted in pair_groups(pairs):
            group = wallets.join(wanted, on="wallet_key", how="semi", maintain_order="left")
            held, lost = await self._balances(group, wanted["token"].unique().sort().to_list(), block, native=False)
            holdings.append(held.join(wanted, on=["wallet_key", "token"], how="semi"))
            unread.append(lost.join(wanted, on=["wallet_key", "token"], how="semi"))
        return pl.concat(holdings), pl.concat(unread)

    async def _receipts(
        self,
        question: ChainQuestion,
        balances: pl.DataFrame,
        inside: set[str],
        new_tokens: pl.DataFrame,
        block: Block,
        faults: list[str],
    ) -> ReceiptReading:
        """Receipts among what is held, now or at the last read: not every wallet is read every time."""
        told = dict(new_tokens.drop_nulls("decimals").select("token", "decimals").iter_rows())
        reader = ReceiptReader(
            self.node,
            self.chain.chain_id,
            block.number,
            lambda tokens: self._facts(tokens, block, faults),
            self.coin_tokens,
        )
        return await reader.read(
            {*question.held, *balances["token"].unique(), *inside},
            {**question.decimals, **told, NATIVE: self.chain.native_decimals},
            receipts=question.receipts,
            may_be=question.may_be_receipts | told.keys(),
            faults=faults,
        )

    async def _facts(self, tokens: set[str], block: Block, faults: list[str]) -> pl.DataFrame:
        if not tokens:
            return pl.DataFrame(schema=TOKEN_FACTS)
        try:
            return await token_facts(self.node, sorted(tokens), block.number)
        except RpcError as error:
            faults.append(f"facts of new tokens: {error}")
            return pl.DataFrame(schema=TOKEN_FACTS)

    def _multicall_at(self, block: Block) -> str | None:
        """Multicall3, unless it was deployed after the block."""
        return self.chain.multicall3 if block.number >= (self.chain.multicall3_block or 0) else None


def pair_groups(pairs: pl.DataFrame) -> list[pl.DataFrame]:
    """The pairs (PAIRS_SCHEMA) in groups of whole wallets, of which wallets times tokens are at most `GROUP`.

    Wallets with the same tokens stand together, so that a group asks for few pairs that nobody wants.
    """
    if pairs.is_empty():
        return []
    wallets = pairs.group_by("wallet_key").agg(pl.col("token").sort())
    wallets = wallets.sort(pl.col("token").list.join(" "), "wallet_key")
    numbers: list[int] = []
    number, members, together = 0, 0, set[str]()
    for tokens in wallets["token"].to_list():
        if members and (members + 1) * len(together.union(tokens)) > GROUP:
            number, members, together = number + 1, 0, set[str]()
        members += 1
        together.update(tokens)
        numbers.append(number)
    numbered = wallets.with_columns(pl.Series("_group", numbers)).explode("token")
    return numbered.partition_by("_group", include_key=False, maintain_order=True)


def _frames(answer: Balances, keys: pl.Series, names: pl.Series) -> tuple[pl.DataFrame, pl.DataFrame]:
    raw, raw_hex = amounts(answer.words)
    offset = 0 if names.len() and names[0] == NATIVE else 1
    lying = set(answer.lying_columns.tolist())

    def pairs(wallet: NDArray[np.int32], column: NDArray[np.int32]) -> list[pl.Series]:
        return [keys.gather(wallet).alias("wallet_key").cast(pl.Int32), names.gather(column - offset)]

    holdings = pl.DataFrame([*pairs(answer.wallet, answer.column), raw.alias("raw"), raw_hex.alias("raw_hex")]).cast(
        HOLDINGS_SCHEMA
    )
    why = pl.Series(
        "why",
        ["the token lies" if column in lying else "the token does not answer" for column in answer.failed_column],
        dtype=pl.String,
    )
    return holdings, pl.DataFrame([*pairs(answer.failed_wallet, answer.failed_column), why]).cast(UNREAD_SCHEMA)


def _is_in(column: str, values: object) -> pl.Expr:
    return pl.col(column).is_in(pl.Series(list(values)).implode())  # type: ignore[call-overload]
