"""What every family of chains answers about balances, whatever its accounts and tokens look like.

Belongs here: the interface and the form of the answer. Not here: how a family reads (`evm`, `solana`, `bitcoin`), nor
which wallets and tokens are asked for.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, runtime_checkable

import polars as pl

from portfolio_pipelines.chains.raw_amounts import RAW, raw_columns
from portfolio_pipelines.chains.rpc.node import Block

NATIVE: Final = 0  # column of the chain's own coin; column 1 + i is the token at place i of the question

BALANCES_SCHEMA: Final = pl.Schema({"wallet": pl.Int32(), "column": pl.Int32(), "raw": RAW, "raw_hex": pl.String()})
FAILED_SCHEMA: Final = pl.Schema({"wallet": pl.Int32(), "column": pl.Int32(), "why": pl.String()})
DISCOVERED_SCHEMA: Final = pl.Schema({"wallet": pl.Int32(), "token": pl.String(), "raw": RAW, "raw_hex": pl.String()})


@dataclass(frozen=True, slots=True)
class AssetBalances:
    """Balances of many wallets on one chain. A pair is in `balances`, in `failed`, or its balance is zero.

    Args:
        block: What the question was pinned to; no balance is older.
        newest_number: Number of the newest block (slot) that any answer came from; `block.number` where the chain
            answers for exactly the block asked for.
        balances: Non-zero balances, see BALANCES_SCHEMA, by wallet and column. `raw` is in the smallest unit and null
            where it has more than 38 digits; `raw_hex` holds it there, and is null elsewhere.
        failed: Pairs whose balance could not be read, see FAILED_SCHEMA, by wallet and column: missing, not zero.
        discovered: Tokens that the wallets hold beyond those asked for, see DISCOVERED_SCHEMA, by wallet and token;
            empty from families that find such tokens another way.
    """

    block: Block
    newest_number: int
    balances: pl.DataFrame
    failed: pl.DataFrame
    discovered: pl.DataFrame


class BalanceSource(Protocol):
    """Where balances of one chain come from.

    Hashes in its blocks are spelled as its family does: 0x and hex digits on EVM chains, hex digits on Bitcoin, base 58
    on Solana.
    """

    @property
    def chain_slug(self) -> str:
        """Slug of the chain in the registry; errors carry it."""
        ...

    async def newest(self) -> Block:
        """The newest block to pin a reading to: number (slot on Solana, height on Bitcoin), hash, time.

        Raises:
            RpcError: If no endpoint gave one.
        """
        ...

    async def at_close(self, end: datetime) -> Block | None:
        """The last block before the end of a day.

        Args:
            end: The first moment after the day, with time zone.

        Returns:
            None when the source cannot read the past, or the chain began later.

        Raises:
            RpcError: If no endpoint gave it.
            ValueError: If `end` has no time zone.
        """
        ...

    async def balances(
        self,
        wallets: Sequence[str],
        tokens: Sequence[str],
        block: Block,
        *,
        more: Sequence[tuple[int, str]] = (),
        discover: Collection[int] = (),
    ) -> AssetBalances:
        """Balances of the native coin and of tokens.

        Args:
            wallets: Addresses as the family spells them.
            tokens: Contracts or mints; none on chains without tokens.
            block: From `newest` or `at_close`.
            more: Further tokens, each for one wallet (by its place). Their columns follow those of `tokens`: each
                token once, in the order of the alphabet.
            discover: Places of the wallets whose other tokens are looked for, where the family can; costs more.

        Raises:
            RpcError: If the chain could not be read, after every allowed try and endpoint. What concerns single pairs
                is in `failed` instead.
            ValueError: If an address is none of this family.
        """
        ...


@runtime_checkable
class TellsHashes(Protocol):
    """A source whose blocks can still be replaced after they were read."""

    async def hash_of(self, number: int) -> str | None:
        """Hash of the block that stands at a number now; None when there is none (any more).

        Raises:
            RpcError: If no endpoint said it.
        """
        ...


def asset_balances(
    block: Block,
    newest_number: int,
    balances: Iterable[tuple[int, int, int]],
    failed: Iterable[tuple[int, int, str]] = (),
    discovered: Iterable[tuple[int, str, int]] = (),
) -> AssetBalances:
    """An answer from plain rows, in any order; zero balances are left out.

    Args:
        block: What the question was pinned to.
        newest_number: Number of the newest block that any answer came from.
        balances: Wallet, column, raw balance.
        failed: Wallet, column, why.
        discovered: Wallet, token, raw balance.
    """
    held = sorted(row for row in balances if row[2])
    missing = sorted(failed)
    found = sorted(row for row in discovered if row[2])
    return AssetBalances(
        block,
        newest_number,
        _indexed(held, BALANCES_SCHEMA).with_columns(*raw_columns(row[2] for row in held)),
        pl.DataFrame(missing, schema=FAILED_SCHEMA, orient="row"),
        _indexed(found, DISCOVERED_SCHEMA).with_columns(*raw_columns(row[2] for row in found)),
    )


def _indexed(rows: Sequence[tuple[int, object, int]], schema: pl.Schema) -> pl.DataFrame:
    first, second = list(schema.items())[:2]
    return pl.DataFrame([row[:2] for row in rows], schema=[first, second], orient="row")
