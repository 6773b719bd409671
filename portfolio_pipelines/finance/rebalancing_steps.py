"""Steps of plans as rows: what is swapped for what, what each swap costs, and why it is proposed.

Belongs here: naming assets and reasons, sharing costs out to swaps. What is traded is decided in `rebalancing`; which
strategies are planned for in `rebalancing_books`.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from portfolio_pipelines.finance.rebalancing import DEFAULT_SLIPPAGE
from portfolio_pipelines.finance.rebalancing_swaps import Swaps

STEP_FIELDS: Final = (
    "step", "action", "asset_id", "amount_tokens", "amount_usd", "into_asset_id", "into_amount_tokens",
    "into_amount_usd", "gas_usd", "slippage_usd", "reason",
)  # fmt: skip

STEPS: Final = pl.Schema(
    {
        "strategy_key": pl.Int32(),
        "step": pl.Int64(),
        "seller": pl.Int64(),  # row of the book; null for new money
        "buyer": pl.Int64(),
        "amount_usd": pl.Float64(),
        "into_amount_usd": pl.Float64(),
        "gas_usd": pl.Float64(),
        "slippage_usd": pl.Float64(),
        "reason": pl.String(),  # of plans that suggest nothing
    }
)


def nothing(keys: NDArray[np.int32], reasons: Sequence[str]) -> pl.DataFrame:
    """One step 0 a strategy that says why there is no other, schema STEPS."""
    empty = dict.fromkeys(("seller", "buyer", "amount_usd", "into_amount_usd", "gas_usd", "slippage_usd"))
    rows = [{"strategy_key": key, "step": 0, "reason": why, **empty} for key, why in zip(keys, reasons, strict=True)]
    return pl.DataFrame(rows, schema=STEPS)


def steps_of(
    swaps: Swaps,
    trades: NDArray[np.float64],
    gas: NDArray[np.float64],
    positions: NDArray[np.int64],
    keys: NDArray[np.int32],
) -> pl.DataFrame:
    """Steps of many plans; each swap bears its share of what its two legs lose.

    Args:
        swaps: Of all plans.
        trades: USD, shape (plans, assets), what the swaps were made of.
        gas: Gas of each swap, USD.
        positions: Row of the book of each asset, shape (plans, assets).
        keys: Strategy of each plan.

    Returns:
        Schema STEPS.
    """
    legs = DEFAULT_SLIPPAGE.of(trades)
    sold = np.maximum(-trades, 0.0).sum(axis=1)
    arrives = np.maximum(trades, 0.0).sum(axis=1) / np.where(sold > 0, sold, 1.0)
    into = swaps.sold_usd * arrives[swaps.row]
    lost = (
        legs[swaps.row, swaps.seller] * swaps.sold_usd / -trades[swaps.row, swaps.seller]
        + legs[swaps.row, swaps.buyer] * into / trades[swaps.row, swaps.buyer]
    )
    first = np.flatnonzero(np.r_[True, swaps.row[1:] != swaps.row[:-1]]) if swaps.row.size else np.empty(0, int)
    number = np.arange(swaps.row.size) - np.repeat(first, np.diff(np.r_[first, swaps.row.size])) + 1
    return pl.DataFrame(
        {
            "strategy_key": keys[swaps.row],
            "step": number,
            "seller": positions[swaps.row, swaps.seller],
            "buyer": positions[swaps.row, swaps.buyer],
            "amount_usd": swaps.sold_usd,
            "into_amount_usd": into,
            "gas_usd": gas,
            "slippage_usd": lost,
            "reason": pl.Series([None], dtype=pl.String).new_from_index(0, swaps.row.size),
        },
        schema=STEPS,
    )


def named(steps: pl.DataFrame, book: pl.DataFrame) -> pl.DataFrame:
    """Steps (schema STEPS) as one JSON array a strategy, and as a short text that their plan's id is made of.

    Returns:
        Columns strategy_key, steps, short.
    """
    total = pl.col("value_usd").sum().over("strategy_key")
    names = book.select(
        pl.col("row").cast(pl.Int64),
        "asset_id",
        "price_usd",
        text=pl.format(
            "{} {} % of {} ± {}",
            pl.col("token").fill_null(pl.col("asset_id")),
            (100 * pl.col("value_usd") / total).fill_nan(0.0).round(2),
            (100 * pl.col("target")).round(4),
            (100 * pl.col("band")).round(4),
        ),
    )
    into = names.rename({"asset_id": "into_asset_id", "price_usd": "into_price_usd", "text": "into_text"})
    named = steps.join(names, left_on="seller", right_on="row", how="left").join(
        into, left_on="buyer", right_on="row", how="left"
    )
    is_swap, is_none = pl.col("seller").is_not_null(), pl.col("step") == 0
    named = named.with_columns(
        action=pl.when(is_none).then(pl.lit("none")).when(is_swap).then(pl.lit("swap")).otherwise(pl.lit("buy")),
        # New money buys the asset itself.
        asset_id=pl.when(is_swap).then("asset_id").otherwise("into_asset_id"),
        amount_tokens=pl.when(is_swap)
        .then(pl.col("amount_usd") / pl.col("price_usd"))
        .otherwise(pl.col("amount_usd") / pl.col("into_price_usd")),
        into_amount_tokens=pl.when(is_swap).then(pl.col("into_amount_usd") / pl.col("into_price_usd")),
        reason=pl.when(is_none)
        .then("reason")
        .when(is_swap)
        .then(pl.concat_str("text", pl.lit("; "), "into_text"))
        .otherwise("into_text"),
    ).with_columns(
        into_asset_id=pl.when(is_swap).then("into_asset_id"), into_amount_usd=pl.when(is_swap).then("into_amount_usd")
    )
    short = pl.concat_str(
        pl.col("asset_id").fill_null(""), pl.col("into_asset_id").fill_null(""),
        pl.col("amount_usd").round(0).cast(pl.Int64).cast(pl.String).fill_null("-"), separator=">",
    )  # fmt: skip
    return (
        named.sort("strategy_key", "step")
        .group_by("strategy_key", maintain_order=True)
        .agg(
            pl.struct(STEP_FIELDS).struct.json_encode().str.join(",").alias("steps"),
            short.str.join("|").alias("short"),
        )
        .with_columns(pl.format("[{}]", "steps").alias("steps"))
    )
