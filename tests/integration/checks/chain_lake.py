"""A lake of what is on chains, written row by row, for tests of what reads it."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from portfolio_pipelines.chain_tables import (
    CHAIN_READS,
    CHAIN_READS_SCHEMA,
    DEFI_POSITIONS,
    DEFI_POSITIONS_SCHEMA,
    TOKEN_TRANSFERS,
    TOKEN_TRANSFERS_SCHEMA,
    WALLET_ACTIVITY,
    WALLET_ACTIVITY_SCHEMA,
    WALLET_BALANCES,
    WALLET_BALANCES_SCHEMA,
)
from portfolio_pipelines.chains.raw_amounts import raw_columns
from portfolio_pipelines.resources.lake import Lake

DAY = date(2025, 3, 2)
BEFORE = DAY - timedelta(days=1)
HASHES = {BEFORE: "0x" + "aa" * 32, DAY: "0x" + "bb" * 32}
NUMBERS = {BEFORE: 100, DAY: 200}

Amounts = Mapping[tuple[int, int], int | None]  # (wallet_key, token_key) -> amount; None for what is carried as stale


def close(day: date) -> datetime:
    """The last second of a day."""
    return datetime(day.year, day.month, day.day, 23, 59, 59, tzinfo=UTC)


def frame(rows: Iterable[Mapping[str, Any]], schema: pl.Schema, *amounts: str) -> pl.DataFrame:
    """Rows with columns of `schema`; what a row does not name is null. Columns in `amounts` may hold any integer."""
    listed = list(rows)
    plain = [{name: value for name, value in row.items() if name not in amounts} for row in listed]
    made = pl.DataFrame(plain, schema=schema)
    for name in amounts:
        made = made.with_columns(*raw_columns((row.get(name) for row in listed), name))
    return made


def put_read(lake: Lake, day: date = DAY, chain: str = "ethereum", **facts: Any) -> None:
    """Add a read of a chain to a day: good and at the close unless said otherwise."""
    row = {
        "as_of": close(day), "status": "ok", "is_close": True, "block_number": NUMBERS.get(day), "tokens": 10,
        "block_hash": HASHES.get(day), "failed_balances": 0, "is_scanned": True,
    }  # fmt: skip
    before = lake.read_chain(CHAIN_READS, day, chain, CHAIN_READS_SCHEMA)
    lake.replace_chain(CHAIN_READS, day, chain, pl.concat([before, frame([row | facts], CHAIN_READS_SCHEMA)]))


def put_balances(
    lake: Lake,
    amounts: Amounts,
    day: date = DAY,
    chain: str = "ethereum",
    stale: Iterable[tuple[int, int]] = (),
    **facts: Any,
) -> None:
    """Replace the balances of a chain on a day."""
    late = set(stale)
    rows = [
        {
            "wallet_key": wallet, "token_key": token, "raw": raw, "as_of": close(day), "block_number": NUMBERS.get(day),
            "block_hash": HASHES.get(day), "is_stale": (wallet, token) in late, **facts,
        }
        for (wallet, token), raw in sorted(amounts.items())
    ]  # fmt: skip
    lake.replace_chain(WALLET_BALANCES, day, chain, frame(rows, WALLET_BALANCES_SCHEMA, "raw"))


def put_transfers(lake: Lake, *rows: Mapping[str, Any], day: date = DAY, chain: str = "ethereum") -> None:
    """Replace the transfers of a chain on a day, each an ERC-20 in its own transaction unless it says so."""
    numbered = [
        {"block_number": NUMBERS.get(day), "tx_hash": f"0x{number:064x}", "log_index": number, "kind": "erc20"} | row
        for number, row in enumerate(rows)
    ]
    lake.replace_chain(TOKEN_TRANSFERS, day, chain, frame(numbered, TOKEN_TRANSFERS_SCHEMA, "raw"))


def moved(wallet: int, token: int, direction: str, raw: int, **facts: Any) -> dict[str, Any]:
    """A transfer for `put_transfers`."""
    return {"wallet_key": wallet, "token_key": token, "direction": direction, "raw": raw, **facts}


def put_activity(
    lake: Lake, read: Iterable[int], day: date, chain: str = "ethereum", never: Iterable[int] = ()
) -> None:
    """Which wallets of a chain were read up to a day, and which never."""
    rows = [{"wallet_key": key, "last_read": 500_000} for key in read] + [{"wallet_key": key} for key in never]
    lake.replace_chain(WALLET_ACTIVITY, day, chain, frame(rows, WALLET_ACTIVITY_SCHEMA))


def put_positions(lake: Lake, *rows: Mapping[str, Any], day: date = DAY, chain: str = "ethereum") -> None:
    """Replace the positions of a chain on a day, read at the block of its balances unless a row says otherwise."""
    usual = {
        "protocol": "aave_v3", "position_id": "one", "pool": "pool", "role": "supply", "as_of": close(day),
        "block_number": NUMBERS.get(day), "block_hash": HASHES.get(day), "is_stale": False,
    }  # fmt: skip
    made = frame((usual | row for row in rows), DEFI_POSITIONS_SCHEMA, "raw", "receipt_raw")
    lake.replace_chain(DEFI_POSITIONS, day, chain, made)
