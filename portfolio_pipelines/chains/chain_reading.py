"""Reading one chain at one block: balances, transfers and positions of the wallets that people watch.

Belongs here: what is asked of a chain, and the form of the answer. Not here: how a family of chains reads (`evm`,
`families`), and what becomes of the answer (`balance_state`).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import polars as pl

from portfolio_pipelines.chains.discovery import TRANSFERS
from portfolio_pipelines.chains.families import BalanceSource, TellsHashes
from portfolio_pipelines.chains.protocols.pool_states import PoolRequest, PoolState
from portfolio_pipelines.chains.protocols.positions import Position
from portfolio_pipelines.chains.raw_amounts import RAW
from portfolio_pipelines.chains.receipt_probe import ReceiptFinding
from portfolio_pipelines.chains.receipt_tokens import NoRatio, Ratio, ReceiptToken
from portfolio_pipelines.chains.rpc.errors import Unsupported
from portfolio_pipelines.chains.rpc.node import Block
from portfolio_pipelines.chains.token_facts import TOKEN_FACTS

NATIVE: Final = "native"
"""Stands for the address of a chain's own coin."""

HOLDINGS_SCHEMA: Final = pl.Schema({"wallet_key": pl.Int32(), "token": pl.String(), "raw": RAW, "raw_hex": pl.String()})
UNREAD_SCHEMA: Final = pl.Schema({"wallet_key": pl.Int32(), "token": pl.String(), "why": pl.String()})
PAIRS_SCHEMA: Final = pl.Schema({"wallet_key": pl.Int32(), "token": pl.String()})


@dataclass(frozen=True, slots=True)
class ChainQuestion:
    """What to read of one chain.

    Attributes:
        wallets: Columns wallet_key and address, each once: all that are watched on the chain.
        due: Keys of the wallets whose balances are read now; transfers are looked for of all, and who moved something
            is read, too.
        tokens: Contracts that are read for every due wallet; the chain's own coin always is.
        pairs: Further contracts, each for one wallet (PAIRS_SCHEMA): found by transfers, or held at the last read.
        known_tokens: Contracts whose symbol and decimals need not be asked for.
        pair_tokens: Tokens that may be shares of pools, such as receipt tokens of the positions at the last read; those
            that are found now need not be among them.
        collections: Contracts of NFTs that wallets had at the last read (PAIRS_SCHEMA).
        pools: Pools whose state is wanted, whoever has shares in them; shares of them are looked for, too.
        held: Tokens that were held at the last read, in wallets, positions or pools: their worth is wanted.
        decimals: Of the known tokens that say them.
        receipts: The known receipts, by contract.
        may_be_receipts: Known tokens that were never asked whether they are receipts.
        position_holders: Keys of wallets that had positions at the last read.
        previous: Block of the last good read of this chain, from which transfers are looked for; None without one.
        checkpoints: Blocks of good reads before that, oldest first. When the chain replaced the previous one, transfers
            are looked for from the newest of them that it still has.
        since: From when on, when it has none of them any more; seconds since 1970. When None: as at a first read.
        look_back: How long before a first read transfers are looked for, so that tokens are found; seconds.
        newcomers: Keys of wallets that were never read here: they get the look-back, too.
        discover: Keys of wallets whose tokens are looked for where no logs tell them (Solana): costly, so not at every
            read. Elsewhere without meaning.
    """

    wallets: pl.DataFrame
    due: frozenset[int]
    tokens: Sequence[str]
    pairs: pl.DataFrame
    known_tokens: frozenset[str] = frozenset()
    pair_tokens: Sequence[str] = ()
    collections: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=PAIRS_SCHEMA))
    pools: Sequence[PoolRequest] = ()
    held: frozenset[str] = frozenset()
    decimals: Mapping[str, int] = field(default_factory=dict)
    receipts: Mapping[str, ReceiptToken] = field(default_factory=dict)
    may_be_receipts: frozenset[str] = frozenset()
    position_holders: frozenset[int] = frozenset()
    previous: Block | None = None
    checkpoints: Sequence[Block] = ()
    since: int | None = None
    look_back: int = 0
    newcomers: frozenset[int] = frozenset()
    discover: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class ChainReading:
    """What a chain answered. A pair that was asked for is in `balances`, in `unread`, or zero.

    Attributes:
        block: The block everything was read at.
        read: Keys of the wallets whose balances were read.
        tokens: Contracts that were read for all of them.
        pairs: Further pairs that were read.
        balances: HOLDINGS_SCHEMA, none of them zero.
        unread: Pairs whose balance could not be read (UNREAD_SCHEMA): missing, not zero.
        transfers: Columns of `discovery.TRANSFERS`, from block `transfers_from` on.
        transfers_from: First block that was scanned now. Transfers stored from it on are replaced by `transfers`: they
            may be of blocks that the chain replaced. None when nothing was scanned.
        is_scanned: Whether `transfers` holds all of them.
        positions: Of the wallets in `position_wallets`.
        position_wallets: Whose positions were looked for.
        unread_protocols: Protocols, as they name themselves in positions, that could not be read, and why.
        pool_states: Of the pools that were asked for; one that is missing could not be read, `faults` say why.
        receipts: Of tokens that were asked now whether they are receipts.
        ratios: Of the receipts that are held, or that held ones stand for; one that is missing could not be read.
        new_tokens: What tokens that were not known say of themselves (`token_facts.TOKEN_FACTS`).
        faults: What went wrong beside that, in words.
    """

    block: Block
    read: frozenset[int]
    tokens: Sequence[str]
    pairs: pl.DataFrame
    balances: pl.DataFrame
    unread: pl.DataFrame
    transfers: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=TRANSFERS))
    transfers_from: int | None = None
    is_scanned: bool = False
    positions: Sequence[Position] = ()
    position_wallets: frozenset[int] = frozenset()
    unread_protocols: dict[str, str] = field(default_factory=dict)
    pool_states: Sequence[PoolState] = ()
    receipts: Sequence[ReceiptFinding] = ()
    ratios: Sequence[Ratio | NoRatio] = ()
    new_tokens: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=TOKEN_FACTS))
    faults: Sequence[str] = ()


class ChainReader(Protocol):
    """Reads one chain, of whatever family."""

    async def newest(self) -> Block:
        """The newest block that everybody knows of.

        Raises:
            RpcError: If no endpoint gave one.
        """
        ...

    async def at_close(self, end: int) -> Block | None:
        """The last block before a moment (seconds since 1970); None where the past cannot be read.

        Raises:
            RpcError: If no endpoint gave it.
        """
        ...

    async def hash_of(self, number: int) -> str | None:
        """Hash of the block that stands at a number now; None when there is none (any more).

        Raises:
            RpcError: If no endpoint said it.
        """
        ...

    async def read(self, question: ChainQuestion, block: Block) -> ChainReading:
        """Balances, transfers and positions at a block.

        Raises:
            RpcError: If the balances could not be read. Transfers and positions that could not are told in the answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class PlainReader:
    """A chain of a family without logs and protocols of ours: Solana, Bitcoin.

    Args:
        source: Its balances.
        facts: Says what tokens are (`token_facts.TOKEN_FACTS`), by their addresses at a block; None where a family has
            no tokens.
    """

    source: BalanceSource
    facts: Callable[[Sequence[str], int], Awaitable[pl.DataFrame]] | None = None

    async def newest(self) -> Block:
        """See `ChainReader.newest`."""
        return await self.source.newest()

    async def at_close(self, end: int) -> Block | None:
        """See `ChainReader.at_close`."""
        from datetime import UTC, datetime

        return await self.source.at_close(datetime.fromtimestamp(end, UTC))

    async def hash_of(self, number: int) -> str | None:
        """See `ChainReader.hash_of`.

        Raises:
            Unsupported: If blocks of this family are final when they are read (Solana): there is nothing to compare.
        """
        if isinstance(self.source, TellsHashes):
            return await self.source.hash_of(number)
        raise Unsupported(self.source.chain_slug, "all endpoints", "blocks are final when they are read")

    async def read(self, question: ChainQuestion, block: Block) -> ChainReading:
        """See `ChainReader.read`. Tokens beyond those asked for come along for wallets of `question.discover`."""
        due = question.wallets.filter(pl.col("wallet_key").is_in(list(question.due)))
        tokens = sorted({*question.tokens} - {NATIVE})
        keys = due["wallet_key"]
        place = {key: row for row, key in enumerate(keys)}
        known = question.pairs.unique().sort("wallet_key", "token").iter_rows()
        listed = {NATIVE, *tokens}
        more = [(place[wallet], token) for wallet, token in known if wallet in place and token not in listed]
        answer = await self.source.balances(
            due["address"].to_list(),
            tokens,
            block,
            more=more,
            discover=[place[key] for key in sorted(question.discover) if key in place],
        )
        names = pl.Series("token", [NATIVE, *tokens, *sorted({token for _, token in more})], dtype=pl.String)

        def pairs(frame: pl.DataFrame) -> list[pl.Series]:
            return [keys.gather(frame["wallet"]).alias("wallet_key"), names.gather(frame["column"])]

        found = answer.discovered
        balances = pl.concat(
            [
                pl.DataFrame([*pairs(answer.balances), answer.balances["raw"], answer.balances["raw_hex"]]),
                pl.DataFrame(
                    [keys.gather(found["wallet"]).alias("wallet_key"), found["token"], found["raw"], found["raw_hex"]]
                ),
            ]
        )
        unread = pl.DataFrame([*pairs(answer.failed), answer.failed["why"]])
        asked = pl.DataFrame([(keys[row], token) for row, token in more], schema=PAIRS_SCHEMA, orient="row")
        unknown = sorted({*found["token"]} - question.known_tokens)
        new = await self.facts(unknown, block.number) if self.facts and unknown else pl.DataFrame(schema=TOKEN_FACTS)
        return ChainReading(
            block=block,
            read=frozenset(keys.to_list()),
            tokens=[NATIVE, *tokens],
            pairs=pl.concat([asked, found.select(keys.gather(found["wallet"]).alias("wallet_key"), "token")]).unique(),
            balances=balances.cast(HOLDINGS_SCHEMA).sort("wallet_key", "token"),
            unread=unread.cast(UNREAD_SCHEMA),
            new_tokens=new,
        )
