"""A closed day of a chain out of the lake: what it opened with, what moved, what is there, and why it differs."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from portfolio_pipelines.assets.reconciliation import TOKEN_COLUMNS, reconcile_day
from portfolio_pipelines.chain_tables import BALANCE_RECONCILIATION_SCHEMA
from portfolio_pipelines.chains.raw_amounts import integers
from portfolio_pipelines.chains.registry import Chain
from portfolio_pipelines.resources.lake import Lake
from tests.integration.checks.chain_lake import (
    BEFORE,
    DAY,
    moved,
    put_activity,
    put_balances,
    put_read,
    put_transfers,
)

ROW = Chain(1, "ethereum", "Ethereum", "ETH", "layer1")
COIN, USDC, STETH, FOUND = 1, 2, 3, 4
TOKENS = pl.DataFrame(
    [
        (COIN, 1, "native", "shipped", False),
        (USDC, 1, "0xc0", "shipped", False),
        (STETH, 1, "0x57", "shipped", True),
        (FOUND, 1, "0xf0", "discovered", False),
    ],
    schema=TOKEN_COLUMNS,
    orient="row",
)
WALLETS = range(1, 8)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A chain that was read at the close of two days, with nothing in it."""
    lake = Lake(tmp_path)
    for day in (BEFORE, DAY):
        put_read(lake, day)
        put_balances(lake, {}, day)
    put_activity(lake, WALLETS, BEFORE)
    return lake


def rows_of(lake: Lake, chain: Chain = ROW) -> pl.DataFrame:
    found = reconcile_day(lake, DAY, chain, TOKENS)
    assert found.schema == BALANCE_RECONCILIATION_SCHEMA
    return found


def verdicts(lake: Lake, chain: Chain = ROW) -> dict[tuple[int, int], tuple[int | None, str]]:
    found = rows_of(lake, chain)
    keys = found.select("wallet_key", "token_key").rows()
    return dict(zip(keys, zip(integers(found, "difference"), found["reason"], strict=True), strict=True))


def test_opening_plus_received_minus_sent_is_what_is_observed(lake: Lake) -> None:
    put_balances(lake, {(1, USDC): 100, (2, USDC): 7}, BEFORE)
    put_balances(lake, {(1, USDC): 60, (2, USDC): 57})
    put_transfers(lake, moved(1, USDC, "out", 50), moved(2, USDC, "in", 50), moved(1, USDC, "in", 10))
    row = rows_of(lake).row(0, named=True)
    assert [int(row[name]) for name in ("opening", "received", "sent", "gas", "observed", "difference")] == [
        100, 10, 50, 0, 60, 0,
    ]  # fmt: skip
    assert verdicts(lake) == {(1, USDC): (0, "ok"), (2, USDC): (0, "ok")}


def test_what_stayed_as_it_was_without_a_transfer_has_no_row(lake: Lake) -> None:
    for day in (BEFORE, DAY):
        put_balances(lake, {(wallet, USDC): 2**200 + wallet for wallet in WALLETS} | {(1, COIN): 5}, day)
    assert verdicts(lake) == {}


def test_amounts_beyond_38_digits_are_added_up_exactly(lake: Lake) -> None:
    put_balances(lake, {(1, USDC): 2**255}, BEFORE)
    put_balances(lake, {(1, USDC): 2**255 - 1})
    put_transfers(lake, moved(1, USDC, "out", 1))
    assert verdicts(lake) == {(1, USDC): (0, "ok")}
    assert integers(rows_of(lake), "opening") == [2**255]


def test_what_came_new_and_what_went_whole_are_no_differences(lake: Lake) -> None:
    put_balances(lake, {(1, USDC): 5}, BEFORE)
    put_balances(lake, {(2, FOUND): 9})
    put_transfers(lake, moved(1, USDC, "out", 5), moved(2, FOUND, "in", 9))
    assert verdicts(lake) == {(1, USDC): (0, "ok"), (2, FOUND): (0, "ok")}


def test_a_balance_that_changed_without_a_log_misses_logs_and_one_that_lost_a_little_paid_a_fee(lake: Lake) -> None:
    put_balances(lake, {(1, USDC): 100, (2, USDC): 100, (3, USDC): 100}, BEFORE)
    put_balances(lake, {(1, USDC): 130, (2, USDC): 90, (3, USDC): 1})
    put_transfers(lake, moved(2, USDC, "out", 9), moved(3, USDC, "out", 9))
    assert verdicts(lake) == {
        (1, USDC): (30, "missing_logs"),
        (2, USDC): (-1, "fee_on_transfer"),
        (3, USDC): (-90, "unknown"),
    }


def test_when_the_logs_were_not_read_whole_they_are_what_is_missing(lake: Lake) -> None:
    put_balances(lake, {(3, USDC): 100}, BEFORE)
    put_balances(lake, {(3, USDC): 1})
    put_transfers(lake, moved(3, USDC, "out", 9))
    put_read(lake, is_scanned=False)
    assert verdicts(lake) == {(3, USDC): (-90, "missing_logs")}


def test_the_coin_of_the_chain_is_not_traceable(lake: Lake) -> None:
    put_balances(lake, {(1, COIN): 100}, BEFORE)
    put_balances(lake, {(1, COIN): 60})
    assert verdicts(lake) == {(1, COIN): (-40, "not_traceable")}


def test_a_listed_rebasing_token_rebases(lake: Lake) -> None:
    put_balances(lake, {(1, STETH): 1_000}, BEFORE)
    put_balances(lake, {(1, STETH): 1_001})
    assert verdicts(lake) == {(1, STETH): (1, "rebase")}


@pytest.mark.parametrize(("who_stayed", "reason"), [({}, "rebase"), ({(4, USDC): 1_000}, "missing_logs")])
def test_three_wallets_that_grew_alike_show_a_rebase_unless_another_stayed_as_it_was(
    lake: Lake, who_stayed: dict[tuple[int, int], int], reason: str
) -> None:
    put_balances(lake, {(wallet, USDC): 1_000 * wallet for wallet in (1, 2, 3)} | who_stayed, BEFORE)
    put_balances(lake, {(wallet, USDC): 1_100 * wallet for wallet in (1, 2, 3)} | who_stayed)
    assert verdicts(lake) == {(wallet, USDC): (100 * wallet, reason) for wallet in (1, 2, 3)}


def test_a_carried_balance_states_no_difference(lake: Lake) -> None:
    put_balances(lake, {(1, USDC): 100}, BEFORE)
    put_balances(lake, {(1, USDC): 100}, stale=[(1, USDC)])
    put_transfers(lake, moved(1, USDC, "in", 5))
    assert verdicts(lake) == {(1, USDC): (None, "stale")}


def test_a_wallet_that_was_not_read_the_day_before_has_no_opening_and_no_row(lake: Lake) -> None:
    put_activity(lake, [1], BEFORE, never=[2])
    put_balances(lake, {(1, USDC): 5, (2, USDC): 100, (3, USDC): 100})
    put_transfers(lake, moved(1, USDC, "in", 5), moved(2, USDC, "in", 5))
    assert verdicts(lake) == {(1, USDC): (0, "ok")}


def test_what_a_first_transfer_of_an_unlisted_token_brings_to_light_is_no_difference(lake: Lake) -> None:
    put_balances(lake, {(1, FOUND): 1_000})
    put_transfers(lake, moved(1, FOUND, "in", 10))
    assert verdicts(lake) == {(1, FOUND): (None, "stale")}
    assert rows_of(lake)["opening"].to_list() == [None]


def test_a_token_that_was_listed_since_the_day_before_has_no_opening(lake: Lake) -> None:
    put_balances(lake, {(1, USDC): 1_000})
    assert verdicts(lake) == {(1, USDC): (1_000, "missing_logs")}
    put_read(lake, tokens=11)
    assert verdicts(lake) == {(1, USDC): (None, "stale")}


def test_a_balance_that_could_not_be_read_is_not_zero(lake: Lake) -> None:
    put_transfers(lake, moved(1, USDC, "in", 10))
    assert verdicts(lake) == {(1, USDC): (-10, "unknown")}
    put_read(lake, status="partial", failed_balances=1)
    assert verdicts(lake) == {(1, USDC): (None, "stale")}
    assert rows_of(lake)["observed"].to_list() == [None]


def test_tokens_of_chains_without_logs_are_not_traceable(lake: Lake) -> None:
    put_balances(lake, {(1, USDC): 5, (2, USDC): 1}, BEFORE)
    put_balances(lake, {(1, USDC): 9, (2, USDC): 1})
    solana = Chain(1, "ethereum", "Solana", "SOL", "layer1", family="solana")
    assert verdicts(lake, solana) == {(1, USDC): (4, "not_traceable")}


def test_nfts_and_malformed_transfers_are_no_amounts(lake: Lake) -> None:
    put_transfers(lake, moved(1, FOUND, "in", 77, kind="erc721"), moved(1, FOUND, "in", 78, kind="malformed"))
    assert verdicts(lake) == {}


@pytest.mark.parametrize("facts", [{"is_close": False}, {"is_close": False, "status": "failed"}])
def test_a_day_without_its_close_has_no_rows(tmp_path: Path, facts: dict[str, Any]) -> None:
    lake = Lake(tmp_path)
    put_read(lake, BEFORE)
    put_read(lake, DAY, **facts)
    put_balances(lake, {(1, USDC): 5})
    assert rows_of(lake).is_empty()


def test_the_first_day_of_a_chain_has_no_rows(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    put_read(lake)
    put_balances(lake, {(1, USDC): 5})
    assert rows_of(lake).is_empty()
