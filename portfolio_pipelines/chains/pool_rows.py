"""Pools as rows of a table, and what stays of the rows before when a pool could not be read.

Belongs here: the change of form. How pools are read is `protocols.pool_states`, what their changes mean is computed
elsewhere.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import polars as pl

from portfolio_pipelines.chains.protocols.pool_states import PoolRequest, PoolState
from portfolio_pipelines.chains.raw_amounts import raw_columns
from portfolio_pipelines.chains.rpc.node import Block

_IDENTITY: Final = ["protocol", "pool"]
_ORDER: Final = [*_IDENTITY, "position"]


def pool_rows(
    states: Sequence[PoolState], block: Block, token_keys: Mapping[str, int], schema: pl.Schema
) -> pl.DataFrame:
    """One row for each coin of each pool; what concerns the whole pool is the same in all of its rows.

    Args:
        states: As they were read.
        block: Where they were read.
        token_keys: Keys of the tokens by contract; of a token that has none the key is null.
        schema: Of the result.
    """
    rows: list[dict[str, Any]] = []
    reserves: list[int] = []
    supplies: list[int | None] = []
    for state in states:
        growth = state.fee_growth_x128 or (None,) * len(state.tokens)
        for position, (token, reserve, earned) in enumerate(zip(state.tokens, state.reserves, growth, strict=True)):
            rows.append(
                {
                    "protocol": state.protocol,
                    "pool": state.pool,
                    "position": position,
                    "token_key": token_keys.get(token),
                    "sqrt_price_x96": _text(state.sqrt_price_x96),
                    "tick": state.tick,
                    "liquidity": _text(state.liquidity),
                    "fee_pips": state.fee_pips,
                    "fee_growth_x128": _text(earned),
                    "amplification": state.amplification,
                    "virtual_price": _text(state.virtual_price),
                }
            )
            reserves.append(reserve)
            supplies.append(state.total_supply)
    given = {name: kind for name, kind in schema.items() if not rows or name in rows[0]}
    return (
        pl.DataFrame(rows, schema=given)
        .with_columns(
            *raw_columns(reserves, "reserve"),
            *raw_columns(supplies, "total_supply"),
            pl.lit(block.timestamp * 1_000_000, dtype=pl.Int64).cast(schema["as_of"]).alias("as_of"),
            pl.lit(block.number, dtype=pl.Int64).alias("block_number"),
            pl.lit(block.hash).alias("block_hash"),
            pl.lit(False).alias("is_stale"),
        )
        .select(schema.names())
        .sort(_ORDER)
    )


def advance_pools(before: pl.DataFrame, read: pl.DataFrame, asked: Collection[PoolRequest]) -> pl.DataFrame:
    """The pools after a read.

    Args:
        before: The rows before.
        read: The rows that were read now.
        asked: The pools that count. One of them that was not read stays as it was, marked as stale.
    """
    names = [(pool.protocol, pool.address) for pool in asked]
    wanted = pl.DataFrame(names, schema=dict.fromkeys(_IDENTITY, pl.String), orient="row").unique()
    lost = before.join(wanted, on=_IDENTITY, how="semi").join(read, on=_IDENTITY, how="anti")
    return pl.concat([lost.with_columns(is_stale=pl.lit(True)), read]).sort(_ORDER)


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)
