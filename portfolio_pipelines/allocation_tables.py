"""The columns of the core tables of target allocations and plans, as in `tables`: names and types, nothing else."""

from typing import Final

import polars as pl

from portfolio_pipelines.tables import UTC_TIME, columns

ALLOCATION_TARGETS: Final = "core/allocation_targets"
CHAIN_FEES: Final = "core/chain_fees"
REBALANCING_PLANS: Final = "core/rebalancing_plans"

ALLOCATION_TARGETS_SCHEMA: Final = columns(
    {
        "strategy_key": pl.Int32,
        "version": pl.Int32,
        "user_id": pl.String,
        "strategy": pl.String,  # its name, unique for the user
        "asset_id": pl.String,  # whose price counts
        "target": pl.Float64,  # share of the portfolio, 0.5 = 50 %
        "band": pl.Float64,  # how far the share may stray to either side
        "may_sell": pl.Boolean,
        "may_buy": pl.Boolean,
        "sells_others": pl.Boolean,  # assets that the strategy does not name have the target 0
        "min_trade_usd": pl.Float64,
        "max_cost_share": pl.Float64,  # greatest costs as a share of the benefit
    }
)
"""Current versions only, sorted by strategy_key, asset_id."""

CHAIN_FEES_SCHEMA: Final = columns(
    {
        "chain": pl.String,
        "as_of": UTC_TIME,  # when it was asked
        "block_number": pl.Int64,  # newest block of the history
        "gas_price_wei": pl.Int64,  # median of base fee and middle tip of the blocks; null when never known
        "blocks": pl.Int32,  # how many blocks it rests on
        "is_stale": pl.Boolean,  # the newest question failed, this is the answer before
        "reason": pl.String,  # why; null when fresh
    }
)
"""Sorted by chain; the newest that is known of each chain on which somebody with a strategy holds something."""

REBALANCING_PLANS_SCHEMA: Final = columns(
    {
        "plan_id": pl.String,
        "user_id": pl.String,
        "strategy": pl.String,
        "version": pl.Int32,  # of the strategy
        "as_of": pl.Date,  # UTC day whose close it rests on
        "method": pl.String,  # closed_form, optimum, request
        "status": pl.String,  # proposed, accepted, rejected, expired, not_suggested
        "portfolio_usd": pl.Float64,
        "benefit_usd": pl.Float64,
        "plan_gas_usd": pl.Float64,
        "plan_slippage_usd": pl.Float64,
        "is_complete": pl.Boolean,  # every share is inside its band afterwards
        "expires_at": UTC_TIME,
        "decided_at": UTC_TIME,
        "step": pl.Int32,  # 1, 2, …; 0 of a plan that suggests nothing
        "action": pl.String,  # swap, buy, none
        "asset_id": pl.String,  # sold by a swap, bought with new money
        "amount_tokens": pl.Float64,  # null without a price
        "amount_usd": pl.Float64,
        "into_asset_id": pl.String,  # bought by a swap
        "into_amount_tokens": pl.Float64,
        "into_amount_usd": pl.Float64,  # what arrives, costs off
        "gas_usd": pl.Float64,
        "slippage_usd": pl.Float64,
        "reason": pl.String,
    }
)
"""One row a step, sorted by plan_id and step: what is proposed or decided, and the newest expired one of a strategy."""
