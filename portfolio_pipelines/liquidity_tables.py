"""The columns of the tables of liquidity: what people entered, what positions are compared with, what they lost.

Belongs here: names and types, as in `tables`. Balances and positions as they were read are in `chain_tables`.
"""

from typing import Final

import polars as pl

from portfolio_pipelines.tables import UTC_TIME, columns

LIQUIDITY_POSITIONS: Final = "core/liquidity_positions"
LIQUIDITY_BASES: Final = "core/liquidity_bases"
IMPERMANENT_LOSS: Final = "core/impermanent_loss"
POOL_YIELDS: Final = "raw/pool_yields"

LIQUIDITY_POSITIONS_SCHEMA: Final = columns(
    {
        "position_key": pl.Int32,
        "user_id": pl.String,
        "wallet_key": pl.Int32,  # null when the user did not say which wallet holds it
        "chain": pl.String,  # slug
        "pool": pl.String,
        "protocol": pl.String,  # null while the pool is unchecked
        "token0": pl.String,  # address of the first coin of the pool; null while it is unchecked
        "token1": pl.String,
        "coins": pl.Int16,
        "weights": pl.String,  # of the coins of a weighted pool in its order, 18 decimals each, blanks between
        "label": pl.String,
        "entry_date": pl.Date,
        "entry_price": pl.Float64,  # of coin 0 in coin 1
        "amount0": pl.Float64,  # whole units put in; null when not said
        "amount1": pl.Float64,
        "removed_on": pl.Date,  # UTC day; null while it is followed
    }
)
"""Every position that was ever entered, as it was said last. One that was removed stays: what was does not change."""

LIQUIDITY_BASES_SCHEMA: Final = columns(
    {
        "chain": pl.String,
        "wallet_key": pl.Int32,
        "protocol": pl.String,
        "position_id": pl.String,
        "pool": pl.String,
        "place": pl.Int16,  # of the coin among the position's, from 0
        "token_key": pl.Int32,
        "held": pl.Float64,  # whole units, without fees that are kept apart; null while the coin's decimals are unknown
        "fees": pl.Float64,  # whole units of fees that are kept apart and wait to be collected
        "units": pl.Float64,  # of the position: shares, or liquidity in whole units
        "growth": pl.Float64,  # of a unit by fees that stay in the pool; null when unknown
        "price": pl.Float64,  # of coin 0 in coin 1 in the pool; null where a pool has no such price
        "lower_price": pl.Float64,  # of the range; null without one
        "upper_price": pl.Float64,
        "in_range": pl.Boolean,  # null without a range
        "as_of": UTC_TIME,
        "is_stale": pl.Boolean,  # not read on the day, or carried because the newest read failed
        "deposited": pl.Float64,  # whole units put in for the units that are there now
        "collected": pl.Float64,  # whole units of fees that were seen waiting and are gone, at least
        "fees_before": pl.Float64,  # whole units that waited when the comparison began
        "grown_units": pl.Float64,  # units times their growth when they were put in; null when unknown
        "entry_price": pl.Float64,  # geometric mean over the units; null where a pool has no price
        "since": pl.Date,  # day of the first read
    }
)
"""What positions that were read are compared with, one row a coin, at the close of the day (`BASES` of finance)."""

IMPERMANENT_LOSS_SCHEMA: Final = columns(
    {
        "date": pl.Date,
        "user_id": pl.String,
        "position_id": pl.String,  # entered/<key>, or <chain>/<protocol>/<id there>/<wallet>
        "as_of": UTC_TIME,
        "is_last_of_day": pl.Boolean,  # the state at the newest read of the day; the others are earlier hours of it
        "source": pl.String,  # entered by a user, or read on a chain
        "basis": pl.String,  # entered, entry_price, first_read, percent_only
        "since": pl.Date,
        "chain": pl.String,
        "protocol": pl.String,
        "pool": pl.String,
        "label": pl.String,
        "wallet_key": pl.Int32,
        "chain_position_id": pl.String,  # of the position that was read, also of the one that an entered one is
        "entry_price": pl.Float64,
        "price": pl.Float64,
        "price_ratio": pl.Float64,
        "lower_price": pl.Float64,
        "upper_price": pl.Float64,
        "in_range": pl.Boolean,
        "il_pct": pl.Float64,  # percent, -20 = 20 % lost
        "il_usd": pl.Float64,
        "fees_usd": pl.Float64,
        "net_usd": pl.Float64,
        "hodl_value_usd": pl.Float64,
        "position_value_usd": pl.Float64,
        "reason": pl.String,  # what is unknown; null when nothing is
        "is_stale": pl.Boolean,
    }
)
"""Sorted by user_id, position_id, as_of."""

POOL_YIELDS_SCHEMA: Final = columns(
    {
        "date": pl.Date,
        "chain": pl.String,
        "pool": pl.String,
        "protocol": pl.String,
        "tvl_usd": pl.Float64,
        "volume_usd_1d": pl.Float64,
        "volume_usd_7d": pl.Float64,
        "fee_apy": pl.Float64,  # 0.01 = 1 % a year
        "reward_apy": pl.Float64,
        "llama_pool": pl.String,  # its id at the provider
        "known_at": UTC_TIME,
    }
)
"""What a provider says of followed pools, one row a pool that it has. Sorted by chain and pool."""
