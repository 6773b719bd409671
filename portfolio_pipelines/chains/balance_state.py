"""From read to read: the state of all balances of a chain, and what changed.

Belongs here: joining the last state with a new answer. A balance that was not asked for, or could not be read, stays
what it was; the latter is marked as stale. Nothing is ever summed or valued here.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import polars as pl

from portfolio_pipelines.chains.raw_amounts import RAW
from portfolio_pipelines.chains.rpc.node import Block

_TIME: Final = pl.Datetime("us", "UTC")
_KEYS: Final = ["wallet_key", "token_key"]


@dataclass(frozen=True, slots=True)
class Advanced:
    """A state after a read.

    Attributes:
        state: wallet_key, token_key, raw, raw_hex, as_of, block_number, block_hash, is_stale; sorted by the keys.
        changes: as_of, block_number, wallet_key, token_key, raw, raw_hex of every balance that became another one;
            raw is 0 where nothing is left.
    """

    state: pl.DataFrame
    changes: pl.DataFrame


def advance(
    before: pl.DataFrame,
    block: Block,
    balances: pl.DataFrame,
    *,
    asked_wallets: Collection[int],
    asked_tokens: Collection[int],
    asked_pairs: pl.DataFrame,
    unread: pl.DataFrame,
    watched: Collection[int],
) -> Advanced:
    """The state after a good read.

    Args:
        before: The state before, in the form of `Advanced.state`.
        block: Where it was read.
        balances: wallet_key, token_key, raw, raw_hex of what is not zero.
        asked_wallets: Keys of the wallets that were read.
        asked_tokens: Keys of the tokens that were read for all of them.
        asked_pairs: wallet_key and token_key of what was read beyond that.
        unread: wallet_key and token_key of pairs that were asked for in vain.
        watched: Keys of all wallets that count; others are dropped without being a change.
    """
    before = before.filter(_is_in("wallet_key", watched))
    asked = _is_in("wallet_key", asked_wallets) & _is_in("token_key", asked_tokens)
    extra = asked_pairs.select(_KEYS).unique().with_columns(_extra=pl.lit(True))
    lost = unread.select(_KEYS).unique().with_columns(_lost=pl.lit(True))
    marked = before.join(extra, on=_KEYS, how="left").join(lost, on=_KEYS, how="left")
    is_lost = pl.col("_lost").fill_null(False)
    is_answered = (asked | pl.col("_extra").fill_null(False)) & ~is_lost
    kept = marked.filter(~is_answered).with_columns(is_stale=pl.col("is_stale") | is_lost)
    read = balances.join(lost, on=_KEYS, how="anti").with_columns(
        _time(block).alias("as_of"),
        pl.lit(block.number, dtype=pl.Int64).alias("block_number"),
        pl.lit(block.hash).alias("block_hash"),
        pl.lit(False).alias("is_stale"),
    )
    state = pl.concat([kept.select(before.columns), read.select(before.columns)]).sort(_KEYS)
    return Advanced(state, _changes(before, state, block))


def carried(before: pl.DataFrame, watched: Collection[int]) -> pl.DataFrame:
    """The state when nothing could be read: the last good balances, all of them stale, at the time they were read."""
    return before.filter(_is_in("wallet_key", watched)).with_columns(is_stale=pl.lit(True))


def _changes(before: pl.DataFrame, state: pl.DataFrame, block: Block) -> pl.DataFrame:
    figures = ["raw", "raw_hex"]
    sides = before.select(*_KEYS, *figures).join(state.select(*_KEYS, *figures), on=_KEYS, how="full", suffix="_new")
    sides = sides.with_columns(pl.coalesce(key, f"{key}_new").alias(key) for key in _KEYS)
    differs = pl.col("raw").ne_missing(pl.col("raw_new")) | pl.col("raw_hex").ne_missing(pl.col("raw_hex_new"))
    is_gone = pl.col("raw_new").is_null() & pl.col("raw_hex_new").is_null()
    return (
        sides.filter(differs)
        .select(
            _time(block).alias("as_of"),
            pl.lit(block.number, dtype=pl.Int64).alias("block_number"),
            *_KEYS,
            pl.when(is_gone).then(pl.lit(0, dtype=RAW)).otherwise("raw_new").alias("raw"),
            pl.col("raw_hex_new").alias("raw_hex"),
        )
        .sort(_KEYS)
    )


def _time(block: Block) -> pl.Expr:
    return pl.lit(block.timestamp * 1_000_000, dtype=pl.Int64).cast(_TIME)


def _is_in(column: str, keys: Collection[int]) -> pl.Expr:
    return pl.col(column).is_in(pl.Series(list(keys), dtype=pl.Int32).implode())
