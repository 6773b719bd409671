"""Between what the lake stores of liquidity and the frames that `finance.impermanent_loss_*` computes with.

Belongs here: the change of form, smallest units into whole ones included. Nothing is valued and no loss is computed.
"""

import math
from typing import Final

import polars as pl

from portfolio_pipelines.assets import liquidity_weighted as weighted
from portfolio_pipelines.chains.raw_amounts import approximate
from portfolio_pipelines.finance.impermanent_loss_bases import COIN, POSITION, READ
from portfolio_pipelines.finance.impermanent_loss_positions import CONCENTRATED, CONSTANT_PRODUCT, STABLE, WEIGHTED
from portfolio_pipelines.finance.impermanent_loss_stable import stable_swap_price

PROTOCOLS: Final = (*CONSTANT_PRODUCT, CONCENTRATED, STABLE, WEIGHTED)
COLUMNS: Final = [
    "wallet_key", "protocol", "position_id", "pool", "role", "token_key", "raw", "raw_hex", "receipt_raw",
    "receipt_raw_hex", "facts", "as_of", "is_stale",
]  # fmt: skip
"""What is needed of `chain_tables.DEFI_POSITIONS`; `chain` comes beside it."""
TOKENS: Final = pl.Schema(
    {
        "token_key": pl.Int32(),
        "chain": pl.String(),
        "address": pl.String(),
        "decimals": pl.Int16(),
        "price_asset_id": pl.String(),
    }
)
"""What is needed of the tokens of chains."""
POOLS: Final = pl.Schema(
    {
        "chain": pl.String(),
        "pool": pl.String(),
        "protocol": pl.String(),
        "coins": pl.Int16(),
        "token_key0": pl.Int32(),
        "token_key1": pl.Int32(),
        "price": pl.Float64(),  # of coin 0 in coin 1; null where a pool does not tell
        "growth": pl.Float64(),  # of a share by fees; null where there are no shares, or nobody knows
        "amplification": pl.Float64(),
        "as_of": pl.Datetime("us", "UTC"),
        "is_stale": pl.Boolean(),
    }
)
"""What a pool says of itself, one row a pool."""

_Q96: Final = 2.0**96
_TICK: Final = math.log(1.0001)
_SCALE0, _SCALE1 = pl.col("scale0"), pl.col("scale1")


def read_positions(rows: pl.DataFrame, tokens: pl.DataFrame) -> pl.DataFrame:
    """Positions in pools as `impermanent_loss_bases.READ`.

    Args:
        rows: COLUMNS and chain, of any protocols.
        tokens: TOKENS.
    """
    rows = rows.filter(pl.col("protocol").is_in(list(PROTOCOLS)))
    rows = rows.with_columns(amount=approximate(rows), shares=approximate(rows, "receipt_raw"))
    scales = tokens.select("token_key", "decimals")
    amounts = (
        rows.filter(pl.col("token_key").is_not_null())
        .group_by(COIN)
        .agg(
            pl.col("amount").filter(pl.col("role") == "principal").sum().alias("held"),
            pl.col("amount").filter(pl.col("role") == "fee").sum().alias("fees"),
        )
    )
    weighted_coins = weighted.coins_of_positions(rows, tokens)
    positions = _positions(rows, tokens, weighted.pools_of_positions(weighted_coins))
    pairs = positions.filter(~pl.col("protocol").is_in([STABLE, WEIGHTED]))
    coins = pl.concat(
        [
            *(
                pairs.select(*POSITION, place=pl.lit(place, pl.Int16), token_key=pl.col(f"token_key{place}"))
                for place in (0, 1)
            ),
            weighted_coins.select(*POSITION, "place", "token_key"),
            _coins_of_many(amounts),
        ]
    ).filter(pl.col("token_key").is_not_null())
    scale = pl.lit(10.0).pow(pl.col("decimals").cast(pl.Float64))
    return (
        coins.join(amounts, on=COIN, how="left")
        .with_columns(pl.col("held", "fees").fill_null(0.0))  # zeros are not stored
        .join(scales, on="token_key", how="left")
        .with_columns(pl.col("held") / scale, pl.col("fees") / scale)
        .join(positions, on=POSITION, how="left")
        .select(READ.names())
        .cast(READ)
    )


def pools(states: pl.DataFrame, tokens: pl.DataFrame, entered: pl.DataFrame) -> pl.DataFrame:
    """Pools as POOLS.

    Args:
        states: Rows of `chain_tables.POOL_STATES` and chain.
        tokens: TOKENS.
        entered: LIQUIDITY_POSITIONS_SCHEMA: weights of weighted pools. A pool of 2021 holds what the protocol is owed
            of fees until somebody joins or leaves; so long it counts as growth of its shares.
    """
    states = states.with_columns(
        reserve=approximate(states, "reserve"), supply=approximate(states, "total_supply")
    ).join(tokens.select("token_key", "decimals"), on="token_key", how="left")
    states = weighted.with_weights(states, entered).with_columns(
        whole=pl.col("reserve") / pl.lit(10.0).pow(pl.col("decimals").cast(pl.Float64))
    )

    def of(name: str, place: int) -> pl.Expr:
        return pl.col(name).filter(pl.col("position") == place).first().alias(f"{name}{place}")

    weighted_growth, weighted_price = weighted.growth_and_price()
    found = states.group_by("chain", "pool", "protocol").agg(
        weighted_growth.alias("weighted_growth"),
        weighted_price.alias("weighted_price"),
        pl.len().cast(pl.Int16).alias("coins"),
        *(of(name, place) for name in ("token_key", "whole", "decimals") for place in (0, 1)),
        pl.col("supply", "sqrt_price_x96", "amplification", "virtual_price", "as_of", "is_stale").first(),
    )
    root, virtual = pl.col("sqrt_price_x96").cast(pl.Float64) / _Q96, pl.col("virtual_price").cast(pl.Float64) / 1e18
    scales = pl.lit(10.0).pow((pl.col("decimals0") - pl.col("decimals1")).cast(pl.Float64))
    first, second, supply = pl.col("whole0"), pl.col("whole1"), pl.col("supply")
    of_pegged = found.select(pl.col("whole0", "whole1", "amplification").cast(pl.Float64).fill_null(float("nan")))
    pegged = stable_swap_price(*(column.to_numpy() for column in of_pegged))
    is_pair = pl.col("protocol").is_in(list(CONSTANT_PRODUCT))
    return (
        found.with_columns(
            price=pl.when(pl.col("protocol") == CONCENTRATED)
            .then(root * root * scales)
            .when(is_pair & (first > 0))
            .then(second / first)
            .when(pl.col("protocol") == WEIGHTED)
            .then("weighted_price")
            .when((pl.col("protocol") == STABLE) & (pl.col("coins") == 2))
            .then(pl.Series(pegged, dtype=pl.Float64, nan_to_null=True)),
            growth=pl.when(is_pair & (supply > 0))
            .then((first * second).sqrt() / supply)
            .when(pl.col("protocol") == WEIGHTED)
            .then("weighted_growth")
            .when(virtual > 0)
            .then(virtual),
        )
        .select(POOLS.names())
        .cast(POOLS)
        .sort("chain", "pool")
    )


def _positions(rows: pl.DataFrame, tokens: pl.DataFrame, weighted_pools: pl.DataFrame) -> pl.DataFrame:
    """One row a position: everything but its coins."""
    known = rows.select(*POSITION, "pool", "shares", "facts", "as_of", "is_stale").unique(POSITION)
    for place in (0, 1):
        own = tokens.select(
            "chain",
            pl.col("address").alias(f"token{place}"),
            pl.col("token_key").alias(f"token_key{place}"),
            pl.col("decimals").cast(pl.Float64).alias(f"scale{place}"),
        )
        known = known.with_columns(_fact(f"token{place}", pl.String)).join(
            own, on=["chain", f"token{place}"], how="left"
        )
    known = known.with_columns(
        *(_fact(name) for name in ("liquidity", "sqrt_price_x96", "tick", "tick_lower", "tick_upper")),
        *(_fact(name) for name in ("supply", "held0", "held1", "virtual_price")),
    )
    known = known.join(weighted_pools, on=POSITION, how="left")
    is_range, is_pair = pl.col("protocol") == CONCENTRATED, pl.col("protocol").is_in(list(CONSTANT_PRODUCT))
    scale, both = pl.lit(10.0).pow(_SCALE0 - _SCALE1), pl.lit(10.0).pow((_SCALE0 + _SCALE1) / 2)
    root = pl.col("sqrt_price_x96") / _Q96
    held = (pl.col("held0") * pl.col("held1")).sqrt() / both
    return known.with_columns(
        # liquidity in whole units too: sqrt(x y) of both coins
        units=pl.when(is_range).then(pl.col("liquidity") / both.fill_null(1.0)).otherwise("shares"),
        growth=pl.when(is_range)
        .then(1.0)
        .when(is_pair & (pl.col("supply") > 0))
        .then(held / pl.col("supply"))
        .when(pl.col("protocol") == WEIGHTED)
        .then("weighted_growth")
        .when(pl.col("virtual_price") > 0)
        .then(pl.col("virtual_price") / 1e18),
        price=pl.when(is_range)
        .then(root * root * scale)
        .when(is_pair & (pl.col("held0") > 0))
        .then(pl.col("held1") / pl.col("held0") * scale)
        .when(pl.col("protocol") == WEIGHTED)
        .then("weighted_price"),
        lower_price=pl.when(is_range).then((pl.col("tick_lower") * _TICK).exp() * scale),
        upper_price=pl.when(is_range).then((pl.col("tick_upper") * _TICK).exp() * scale),
        in_range=pl.when(is_range).then(
            (pl.col("tick") >= pl.col("tick_lower")) & (pl.col("tick") < pl.col("tick_upper"))
        ),
    ).drop("shares", "facts")


def _coins_of_many(amounts: pl.DataFrame) -> pl.DataFrame:
    """Coins of pools that do not name theirs in the position: those that it has some of, in the order of their keys."""
    many = amounts.filter(pl.col("protocol") == STABLE).sort(COIN)
    place = pl.int_range(pl.len()).over(POSITION).cast(pl.Int16)
    return many.select(*POSITION, place.alias("place"), "token_key")


def _fact(name: str, kind: type[pl.DataType] = pl.Float64) -> pl.Expr:
    return pl.col("facts").str.json_path_match(f"$.{name}").cast(kind, strict=False).alias(name)
