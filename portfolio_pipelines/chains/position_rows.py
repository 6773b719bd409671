"""Positions as rows of a table, and what stays of the rows before when a protocol could not be read.

Belongs here: the change of form. How positions are read is in `protocols`, what they are worth is SQL.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import polars as pl

from portfolio_pipelines.chains.protocols.positions import Position
from portfolio_pipelines.chains.raw_amounts import raw_columns
from portfolio_pipelines.chains.rpc.node import Block

_ORDER: Final = ["wallet_key", "protocol", "position_id", "role", "token_key"]
_IDENTITY: Final = ["wallet_key", "protocol", "position_id"]


def position_rows(
    positions: Sequence[Position],
    block: Block,
    wallets: pl.DataFrame,
    token_keys: Mapping[str, int],
    schema: pl.Schema,
) -> pl.DataFrame:
    """One row for each amount of each position; one without an amount for an empty position.

    Args:
        positions: As they were read.
        block: Where they were read.
        wallets: Columns wallet_key and address; two users may watch the same address.
        token_keys: Keys of the tokens by contract. A position with a token that has none cannot be stored.
        schema: Of the result.

    Raises:
        LookupError: If a token has no key.
    """
    keys: dict[str, list[int]] = {}
    owners = pl.Series(sorted({position.wallet for position in positions}), dtype=pl.String)
    mine = wallets.filter(pl.col("address").is_in(owners.implode()))
    for key, address in mine.select("wallet_key", "address").iter_rows():
        keys.setdefault(address, []).append(key)
    rows: list[dict[str, Any]] = []
    raws: list[int | None] = []
    receipts: list[int | None] = []
    for position in positions:
        facts = json.dumps(dict(position.facts), sort_keys=True)
        receipt = position.receipt_token
        parts: list[tuple[str | None, int | None, int | None]] = [
            (amount.role, _key(token_keys, amount.token, position), amount.raw) for amount in position.amounts
        ]
        for wallet_key in keys.get(position.wallet, ()):
            for role, token_key, raw in parts or [(None, None, None)]:
                rows.append(
                    {
                        "wallet_key": wallet_key,
                        "protocol": position.protocol,
                        "position_id": position.position_id,
                        "pool": position.pool,
                        "role": role,
                        "token_key": token_key,
                        "receipt_token_key": _key(token_keys, receipt, position) if receipt else None,
                        "facts": facts,
                    }
                )
                raws.append(raw)
                receipts.append(position.receipt_raw if receipt else None)
    given = ("wallet_key", "protocol", "position_id", "pool", "role", "token_key", "receipt_token_key", "facts")
    frame = pl.DataFrame(rows, schema={name: schema[name] for name in given})
    return (
        frame.with_columns(*raw_columns(raws), *raw_columns(receipts, "receipt_raw"))
        .with_columns(
            pl.lit(block.timestamp * 1_000_000, dtype=pl.Int64).cast(schema["as_of"]).alias("as_of"),
            pl.lit(block.number, dtype=pl.Int64).alias("block_number"),
            pl.lit(block.hash).alias("block_hash"),
            pl.lit(False).alias("is_stale"),
        )
        .select(schema.names())
        .sort(_ORDER, nulls_last=True)
    )


def advance_positions(
    before: pl.DataFrame,
    read: pl.DataFrame,
    *,
    asked: Collection[int],
    unread_protocols: Collection[str],
    watched: Collection[int],
) -> pl.DataFrame:
    """The positions after a read.

    Args:
        before: The rows before.
        read: The rows that were read now.
        asked: Keys of the wallets whose positions were looked for.
        unread_protocols: Protocols of which something could not be read: what they had before and not now is carried
            and marked as stale.
        watched: Keys of all wallets that count.
    """
    before = before.filter(_is_in("wallet_key", watched))
    not_asked = before.filter(~_is_in("wallet_key", asked))
    lost = before.filter(_is_in("wallet_key", asked) & pl.col("protocol").is_in(_family(unread_protocols)))
    lost = lost.join(read.select(_IDENTITY).unique(), on=_IDENTITY, how="anti")
    parts = [not_asked, lost.with_columns(is_stale=pl.lit(True)), read]
    return pl.concat(parts).sort(_ORDER, nulls_last=True)


def _family(protocols: Collection[str]) -> list[str]:
    """Sushiswap's pairs are read together with those of Uniswap v2."""
    return sorted({*protocols, *(["sushiswap"] if "uniswap_v2" in protocols else [])})


def _key(token_keys: Mapping[str, int], token: str, position: Position) -> int:
    if token not in token_keys:
        msg = f"{position.protocol} position {position.position_id} of {position.wallet}: token {token} has no key"
        raise LookupError(msg)
    return token_keys[token]


def _is_in(column: str, keys: Collection[int]) -> pl.Expr:
    return pl.col(column).is_in(pl.Series(list(keys), dtype=pl.Int32).implode())
