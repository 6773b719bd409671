"""Weighted pools of Balancer between what the lake stores of them and what `finance.impermanent_loss_*` computes with.

Belongs here: the coins, weights, price and growth of such pools, of positions that were read and of pools that users
entered. Everything that pools have in common is in `liquidity_frames`.
"""

from typing import Final

import polars as pl

from portfolio_pipelines.finance.impermanent_loss_bases import POSITION
from portfolio_pipelines.finance.impermanent_loss_positions import WEIGHTED, weighted_growth, weighted_price

MOST_COINS: Final = 8  # of a weighted pool. Source: WeightedPool.sol
_ONE: Final = 1e18  # weights have 18 decimals


def coins_of_positions(rows: pl.DataFrame, tokens: pl.DataFrame) -> pl.DataFrame:
    """The coins of positions in weighted pools, out of their facts.

    Args:
        rows: Positions of any protocol: POSITION and facts.
        tokens: `liquidity_frames.TOKENS`.

    Returns:
        One row a coin: POSITION, place, token_key, weight (0..1), whole (what all shares stand for, whole units; null
        while its decimals are unknown), supply.
    """
    known = rows.filter(pl.col("protocol") == WEIGHTED).select(*POSITION, "facts").unique(POSITION)
    places = [
        known.select(
            *POSITION,
            place=pl.lit(place, pl.Int16),
            address=_fact(f"token{place}"),
            weight=_fact(f"weight{place}").cast(pl.Float64) / _ONE,
            held=_fact(f"held{place}").cast(pl.Float64),
            supply=_fact("supply").cast(pl.Float64),
        ).filter(pl.col("address").is_not_null())
        for place in range(MOST_COINS)
    ]
    named = tokens.select("chain", "address", "token_key", "decimals")
    return (
        pl.concat(places)
        .join(named, on=["chain", "address"], how="left")
        .select(*POSITION, "place", "token_key", "weight", "supply", whole=pl.col("held") / _scale())
    )


def pools_of_positions(coins: pl.DataFrame) -> pl.DataFrame:
    """POSITION, `weighted_growth` (of a share, smallest unit) and `weighted_price` out of `coins_of_positions`."""
    return coins.group_by(POSITION, maintain_order=True).agg(
        weighted_growth=weighted_growth(pl.col("supply").first()), weighted_price=weighted_price("place")
    )


def with_weights(states: pl.DataFrame, entered: pl.DataFrame) -> pl.DataFrame:
    """Rows of pools and coins with the `weight` of the coin, 0..1; null of other pools.

    Args:
        states: Columns chain, pool, position (place of the coin).
        entered: LIQUIDITY_POSITIONS_SCHEMA: users enter pools, and what never changes about them was read then.
    """
    known = entered.filter(pl.col("weights").is_not_null()).select("chain", "pool", "weights").unique(["chain", "pool"])
    weight = pl.col("weights").str.split(" ").list.get(pl.col("position"), null_on_oob=True)
    return states.join(known, on=["chain", "pool"], how="left").with_columns(weight=weight.cast(pl.Float64) / _ONE)


def growth_and_price() -> tuple[pl.Expr, pl.Expr]:
    """Aggregates of one pool's coins (whole, weight, position, supply): growth of a share, and price."""
    return weighted_growth(pl.col("supply").first()), weighted_price("position")


def first_weight(weights: str = "weights") -> pl.Expr:
    """Weight of coin 0 out of the text of all weights, 0..1."""
    return pl.col(weights).str.split(" ").list.first().cast(pl.Float64) / _ONE


def _scale() -> pl.Expr:
    return pl.lit(10.0).pow(pl.col("decimals").cast(pl.Float64))


def _fact(name: str) -> pl.Expr:
    return pl.col("facts").str.json_path_match(f"$.{name}")
