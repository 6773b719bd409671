"""Ratios of receipts as rows of a table, and what stays of the rows before when a ratio could not be read.

Belongs here: the change of form. How ratios are read is `evm_receipts`, what they are worth is computed elsewhere.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import polars as pl

from portfolio_pipelines.chains.evm_receipts import whole_ratio
from portfolio_pipelines.chains.receipt_tokens import NoRatio, Ratio, ReceiptToken
from portfolio_pipelines.chains.rpc.node import Block

_KEY: Final = "token_key"


def receipt_rows(
    ratios: Sequence[Ratio | NoRatio],
    block: Block,
    token_keys: Mapping[str, int],
    receipts: Mapping[str, ReceiptToken],
    decimals: Mapping[str, int],
    schema: pl.Schema,
) -> pl.DataFrame:
    """One row for each receipt.

    Args:
        ratios: As they were read.
        block: Where they were read.
        token_keys: Keys of the tokens by contract; a receipt that has none, or whose underlying has none, is left out.
        receipts: All known receipts by contract.
        decimals: Of the tokens by contract.
        schema: Of the result.
    """
    rows: list[dict[str, Any]] = []
    for ratio in ratios:
        underlying = receipts[ratio.token].underlying[0]
        if ratio.token not in token_keys or underlying not in token_keys:
            continue
        row: dict[str, Any] = {
            _KEY: token_keys[ratio.token],
            "underlying_token_key": token_keys[underlying],
            "block_number": block.number,
            "block_hash": block.hash,
            "is_stale": False,
        }
        if isinstance(ratio, Ratio):
            row["numerator"], row["denominator"] = str(ratio.numerator), str(ratio.denominator)
            row["ratio"] = float(whole_ratio(ratio, decimals))
        else:
            row["reason"] = ratio.reason
        rows.append(row)
    given = {name: kind for name, kind in schema.items() if name != "as_of"}
    time = pl.lit(block.timestamp * 1_000_000, dtype=pl.Int64).cast(schema["as_of"]).alias("as_of")
    return pl.DataFrame(rows, schema=given).with_columns(time).select(schema.names()).sort(_KEY)


def advance_receipts(before: pl.DataFrame, read: pl.DataFrame, held: Collection[int]) -> pl.DataFrame:
    """The ratios after a read.

    Args:
        before: The rows before.
        read: The rows that were read now; empty when nothing could be read.
        held: Keys of the tokens that are held. Receipts that neither are held nor are what a held one stands for go; of
            one that was not read, or gave no ratio, the last good ratio stays, marked as stale.
    """
    silent = read.filter(pl.col("ratio").is_null()).select(_KEY, pl.col("reason").alias("_reason"))
    given = read.filter(pl.col("ratio").is_not_null())
    kept = (
        before.join(given, on=_KEY, how="anti")
        .join(silent, on=_KEY, how="left", maintain_order="left")
        .with_columns(pl.coalesce("_reason", "reason").alias("reason"), pl.lit(True).alias("is_stale"))
        .select(read.columns)
    )
    never = read.filter(pl.col("ratio").is_null()).join(before, on=_KEY, how="anti")
    rows = pl.concat([given, kept, never])
    underlying = dict(rows.select(_KEY, "underlying_token_key").iter_rows())
    wanted: set[int] = set()
    layer = underlying.keys() & set(held)
    while layer:
        wanted |= layer
        layer = {underlying[key] for key in layer} & underlying.keys() - wanted
    return rows.filter(pl.col(_KEY).is_in(pl.Series(sorted(wanted), dtype=pl.Int32).implode())).sort(_KEY)
