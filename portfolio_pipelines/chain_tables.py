"""The columns of the tables of what is on chains. One file for each chain on each day; day and chain are the folders.

Belongs here: names and types, as in `tables`. Amounts are in the smallest unit of their token: `raw` DECIMAL(38,0), and
`raw_hex` text only where 38 digits do not hold the value (`raw` is null there).
"""

from typing import Final

import polars as pl

from portfolio_pipelines.tables import UTC_TIME, columns

RAW: Final = pl.Decimal(38, 0)

CHAIN_READS: Final = "raw/chain_reads"
TOKEN_TRANSFERS: Final = "raw/token_transfers"  # noqa: S105 a table
BALANCE_CHANGES: Final = "core/balance_changes"
WALLET_BALANCES: Final = "core/wallet_balances"
WALLET_ACTIVITY: Final = "core/wallet_activity"
DEFI_POSITIONS: Final = "core/defi_positions"
POOL_STATES: Final = "core/pool_states"
RECEIPT_RATIOS: Final = "core/receipt_ratios"
BALANCE_RECONCILIATION: Final = "core/balance_reconciliation"
CHAIN_TABLES: Final = (
    CHAIN_READS,
    TOKEN_TRANSFERS,
    BALANCE_CHANGES,
    WALLET_BALANCES,
    WALLET_ACTIVITY,
    DEFI_POSITIONS,
    POOL_STATES,
    RECEIPT_RATIOS,
    BALANCE_RECONCILIATION,
)
WALLETS: Final = "core/wallets"
CHAINS: Final = "core/chains"
CHAIN_TOKENS: Final = "core/chain_tokens"

CHAIN_READS_SCHEMA: Final = columns(
    {
        "as_of": UTC_TIME,  # time of the block; of a failed read: when it was tried
        "status": pl.String,  # ok; partial (some balances or positions are missing); failed (nothing could be read)
        "reason": pl.String,  # why the status is not ok
        "is_close": pl.Boolean,  # whether the block is the last one of the day
        "block_number": pl.Int64,
        "block_hash": pl.String,
        "block_timestamp": pl.Int64,  # seconds since 1970
        "wallets": pl.Int32,  # asked about
        "tokens": pl.Int32,
        "balances": pl.Int32,  # not zero
        "failed_balances": pl.Int32,
        "positions": pl.Int32,
        "transfers": pl.Int32,
        "is_scanned": pl.Boolean,  # whether all transfers since the read before are known
    }
)
"""Every read of a chain on a day, in order. Nothing is removed: a failed read stays beside the good one after it."""

TOKEN_TRANSFERS_SCHEMA: Final = columns(
    {
        "wallet_key": pl.Int32,
        "token_key": pl.Int32,
        "block_number": pl.Int64,
        "block_hash": pl.String,
        "tx_hash": pl.String,
        "log_index": pl.Int64,
        "direction": pl.String,  # in, out
        "counterparty": pl.String,
        "raw": RAW,
        "raw_hex": pl.String,
        "kind": pl.String,  # erc20, erc721, malformed
    }
)
"""Transfers to and from watched wallets; one between two of them is two rows. Sorted by block, log and wallet."""

WALLET_BALANCES_SCHEMA: Final = columns(
    {
        "wallet_key": pl.Int32,
        "token_key": pl.Int32,
        "raw": RAW,
        "raw_hex": pl.String,
        "as_of": UTC_TIME,  # time of the block that the balance was read at
        "block_number": pl.Int64,
        "block_hash": pl.String,
        "is_stale": pl.Boolean,  # the last good balance, because the newest read failed
    }
)
"""All balances that are not zero at the newest read of the day: of a closed day, at its close."""

BALANCE_CHANGES_SCHEMA: Final = columns(
    {
        "as_of": UTC_TIME,
        "block_number": pl.Int64,
        "wallet_key": pl.Int32,
        "token_key": pl.Int32,
        "raw": RAW,  # the new balance; 0 when nothing is left
        "raw_hex": pl.String,
    }
)
"""What changed from read to read within the day; with the state of the day before it gives the state at any read."""

WALLET_ACTIVITY_SCHEMA: Final = columns(
    {
        "wallet_key": pl.Int64,
        "active_since": pl.Int32,  # hours since 1970; null when the wallet was never seen on the chain
        "last_read": pl.Int32,  # hours since 1970
    }
)

DEFI_POSITIONS_SCHEMA: Final = columns(
    {
        "wallet_key": pl.Int32,
        "protocol": pl.String,
        "position_id": pl.String,
        "pool": pl.String,
        "role": pl.String,  # supply, debt, collateral, principal, fee, reward; null in the one row of an empty position
        "token_key": pl.Int32,
        "raw": RAW,  # never below zero, also of a debt
        "raw_hex": pl.String,
        "receipt_token_key": pl.Int32,  # token of the wallet that the position explains; null without one
        "receipt_raw": RAW,  # how much of it; the same in every row of a position
        "receipt_raw_hex": pl.String,
        "facts": pl.String,  # JSON
        "as_of": UTC_TIME,
        "block_number": pl.Int64,
        "block_hash": pl.String,
        "is_stale": pl.Boolean,
    }
)
"""One row an amount, sorted by wallet, protocol, position, role and token."""

POOL_STATES_SCHEMA: Final = columns(
    {
        "protocol": pl.String,
        "pool": pl.String,
        "position": pl.Int16,  # place of the coin in the pool, from 0
        "token_key": pl.Int32,  # null while nothing is known of the coin
        "reserve": RAW,  # of this coin; of Uniswap v3 with the fees that nobody collected
        "reserve_hex": pl.String,
        "total_supply": RAW,  # of the pool's shares, what the protocol is owed too; null for Uniswap v3
        "total_supply_hex": pl.String,
        "sqrt_price_x96": pl.String,  # decimal text: square root of coin 1 / coin 0 in smallest units, times 2^96
        "tick": pl.Int32,
        "liquidity": pl.String,  # decimal text: in range at that price
        "fee_pips": pl.Int32,  # of a swap; 1,000,000 is all; of Balancer to the nearest
        "fee_growth_x128": pl.String,  # decimal text: of this coin earned by a unit of liquidity so far, times 2^128
        "amplification": pl.Int64,  # the A of Curve
        "virtual_price": pl.String,  # decimal text, 18 decimals: of a share of Curve
        "as_of": UTC_TIME,
        "block_number": pl.Int64,
        "block_hash": pl.String,
        "is_stale": pl.Boolean,  # the last good state, because the newest read failed
    }
)
"""One row a pool and coin at the newest read of the day: of a closed day, at its close. Sorted by pool and place."""

RECEIPT_RATIOS_SCHEMA: Final = columns(
    {
        "token_key": pl.Int32,  # of the receipt
        "underlying_token_key": pl.Int32,  # of what it stands for
        "numerator": pl.String,  # decimal text: amount * numerator / denominator of the underlying, in smallest units
        "denominator": pl.String,
        "ratio": pl.Float64,  # whole underlying tokens for one whole receipt; null when it was never known
        "reason": pl.String,  # why the newest read gave no ratio; null when it did, or nothing could be read
        "as_of": UTC_TIME,  # time of the block that the ratio was read at
        "block_number": pl.Int64,
        "block_hash": pl.String,
        "is_stale": pl.Boolean,  # the last good ratio, because the newest read gave none
    }
)
"""One row a receipt that is held, or that a held one stands for, at the newest read of the day. Sorted by receipt."""

BALANCE_RECONCILIATION_SCHEMA: Final = columns(
    {
        "wallet_key": pl.Int32,
        "token_key": pl.Int32,
        "opening": RAW,
        "opening_hex": pl.String,
        "received": RAW,
        "received_hex": pl.String,
        "sent": RAW,
        "sent_hex": pl.String,
        "gas": RAW,
        "gas_hex": pl.String,
        "observed": RAW,
        "observed_hex": pl.String,
        "difference": RAW,  # observed - (opening + received - sent - gas)
        "difference_hex": pl.String,
        "reason": pl.String,
    }
)

WALLETS_SCHEMA: Final = columns(
    {
        "wallet_key": pl.Int32,
        "user_key": pl.Int32,
        "user_id": pl.String,
        "address": pl.String,
        "family": pl.String,  # evm, solana, bitcoin
        "label": pl.String,
        "chains": pl.String,  # slugs separated by blanks; empty for all that are enabled
        "is_watched": pl.Boolean,
        "added_on": pl.Date,  # UTC day
        "removed_on": pl.Date,  # UTC day; null while it is watched
    }
)
"""Every wallet that was ever watched: one that was removed stays, so that what was does not change."""

CHAINS_SCHEMA: Final = columns(
    {
        "chain_id": pl.Int64,
        "chain": pl.String,  # slug
        "name": pl.String,
        "family": pl.String,
        "category": pl.String,
        "native_symbol": pl.String,
        "explorer": pl.String,
        "is_enabled": pl.Boolean,
    }
)

CHAIN_TOKENS_SCHEMA: Final = columns(
    {
        "token_key": pl.Int32,
        "chain_id": pl.Int64,
        "address": pl.String,  # native for the coin of the chain
        "asset_id": pl.String,
        "price_asset_id": pl.String,  # whose price counts; null when nobody could price it
        "symbol": pl.String,
        "name": pl.String,
        "decimals": pl.Int16,  # null when the contract does not say: it has no amount then
        "category": pl.String,
        "source": pl.String,  # shipped, user, discovered
        "is_rebasing": pl.Boolean,
        "is_quarantined": pl.Boolean,
        "score": pl.Float64,  # how suspicious; null when nobody doubts it
        "reasons": pl.String,  # what spoke against it, comma separated
        "whitelisted_by": pl.String,  # user ids separated by blanks that vouch for it; * for everyone
    }
)
