"""Wallets in the marts: every token once, nothing lost with a dead chain, one portfolio beside the investments.

The figures of the newest day, with ether at 2,750 USD: Alice's wallet holds 2 ETH, 1,000 USDC and 500 aUSDC of which an
Aave position explains 400; she owes 0.1 WETH and has 0.2 WETH and 550 USDC in a pool; on Base 1 ETH and 200 USDC, last
read two days ago.
"""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from portfolio_pipelines import chain_tables as ct
from portfolio_pipelines import tables
from portfolio_pipelines.resources.dbt_build import DbtProject
from portfolio_pipelines.resources.lake_views import read_partitions
from portfolio_pipelines.resources.warehouse import Warehouse

D1, D2, D3, D4 = (date(2025, 1, 30) + timedelta(days=n) for n in range(4))
ALICE, CAROL, DAVE = 1, 2, 3
ETH, BASE_ETH, USDC, BASE_USDC, A_USDC = 1, 2, 3, 4, 5
ETHEREUM_USD = 2 * 2750 + 1000 + 100 + 400 - 275 + 550 + 550
BASE_USD = 2750 + 200
INVESTED_USD = 1650
MARTS = (
    "wallet_balances", "defi_positions", "portfolio_breakdown", "balance_reconciliation", "pool_states_daily",
    "portfolio_snapshots", "portfolio_totals", "portfolio_holdings", "portfolio_assets", "current_prices",
    "prices_daily", "data_quality_scorecard",
)  # fmt: skip
FACTS = ("fct_wallet_balances", "fct_defi_positions", "fct_chain_days", "chain_calendar", "chain_values")


def rows(warehouse: Warehouse, query: str) -> list[tuple[Any, ...]]:
    with warehouse.connect() as connection:
        return connection.execute(query).fetchall()


def everything(warehouse: Warehouse) -> dict[str, list[tuple[Any, ...]]]:
    named = [*(f"marts.{mart}" for mart in MARTS), *(f"intermediate.{fact}" for fact in FACTS)]
    return {name: rows(warehouse, f"select * from {name} order by all") for name in named}


def breakdown(warehouse: Warehouse, user: str, dimension: str) -> dict[str, tuple[Any, ...]]:
    found = rows(
        warehouse,
        "select key, value_usd, share, coverage from marts.portfolio_breakdown "
        f"where user_id = '{user}' and dimension = '{dimension}'",
    )
    return {key: tuple(figures) for key, *figures in found}


def snapshot(warehouse: Warehouse, user: str, day: date) -> tuple[Any, ...] | None:
    found = rows(
        warehouse,
        "select cast(total_value_usd as double), cast(change_24h_pct as double), coverage, is_final, assets "
        f"from marts.portfolio_snapshots where user_id = '{user}' and snapshot_timestamp = date '{day}' + 1",
    )
    return found[0] if found else None


def test_the_build_finds_nothing_to_complain_about(wallet_template: Any) -> None:
    assert {result.status for result in wallet_template.build.results} <= {"success", "pass"}


def test_a_portfolio_is_its_investments_and_its_wallets(warehouse: Warehouse) -> None:
    found = snapshot(warehouse, "alice", D4)
    assert found is not None
    total, change, coverage, is_final, assets = found
    assert total == INVESTED_USD + ETHEREUM_USD + BASE_USD == 12_425
    # Investments: 1,560 the day before with a return of 12.5 %; wallets: 3 ETH and 1,200 USDC at both days' prices.
    assert change == pytest.approx(100 * ((1560 * 1.125 + 9450) / (1560 + 10_200) - 1), abs=1e-4)
    # Solana is stale (220), Base is stale (2,950); debts count by their size; one of three chains was never read.
    assert coverage == pytest.approx((1650 - 220 + ETHEREUM_USD + 2 * 275) / (1650 + 8375 + 2950) * 2 / 3)
    assert is_final is False
    documents = json.loads(assets)
    assert documents == sorted(documents, key=lambda entry: (entry["token"], entry["chain"]))
    assert {"token": "ETH", "chain": "base", "balance": 1.0, "value_usd": 2750.0} in documents
    assert {"token": "ETH", "chain": "market", "balance": 0.12, "value_usd": 330.0} in documents
    assert {"token": "WETH", "chain": "ethereum", "balance": -0.1, "value_usd": -275.0} in documents


def test_a_user_with_wallets_alone_has_a_portfolio_too(warehouse: Warehouse) -> None:
    found = snapshot(warehouse, "carol", D4)
    assert found is not None
    total, change, coverage, *_ = found
    assert total == 3 * 1100 + 400 * 0.5 + 50
    assert change == pytest.approx(100 * ((3 * 1100 + 200 + 50) / (3 * 1000 + 200 + 50) - 1), abs=1e-4)
    assert coverage == pytest.approx(3500 / 3550)
    assert rows(warehouse, "select count(*) from marts.portfolio_performance_daily where user_id = 'carol'") == [(0,)]
    assert snapshot(warehouse, "carol", D1) is None


def test_a_user_without_wallets_is_told_what_was_told_before(warehouse: Warehouse) -> None:
    found = snapshot(warehouse, "bob", D4)
    assert found is not None
    assert found[:4] == (80.0, 12.5, 1.0, False)
    before = snapshot(warehouse, "alice", D1)  # her wallet came a day later
    assert before is not None
    assert before[:4] == (1000.0, 12.5, 1.0, True)


def test_nothing_is_known_of_a_chain_that_was_never_read_and_nothing_is_not_zero(warehouse: Warehouse) -> None:
    found = snapshot(warehouse, "dave", D4)
    assert found is not None
    assert found[:3] == (None, None, 0.0)
    assert breakdown(warehouse, "dave", "chain") == {"optimism": (None, None, 0.0)}
    assert breakdown(warehouse, "alice", "chain")["optimism"] == (None, None, 0.0)
    assert "optimism" not in breakdown(warehouse, "carol", "chain")  # she does not watch it


def test_wallets_that_were_read_and_are_empty_are_worth_nothing(warehouse: Warehouse, wallets: Any) -> None:
    wallets.wallets.append((4, 40, "dave", "0xee", "evm", None, "ethereum", True, D3, None))
    wallets.write_dimensions()
    warehouse.build()
    found = snapshot(warehouse, "dave", D4)
    assert found is not None
    assert found[:3] == (0.0, None, 0.5)


def test_a_chain_without_a_partition_carries_its_last_state_as_stale(warehouse: Warehouse) -> None:
    calendar = rows(
        warehouse,
        "select date, state_date, is_stale from intermediate.chain_calendar where chain = 'base' order by date",
    )
    assert calendar == [(D2, D2, False), (D3, D3, True), (D4, D3, True)]
    assert breakdown(warehouse, "alice", "chain")["base"] == (BASE_USD, pytest.approx(BASE_USD / 12_425), 0.0)
    held = rows(
        warehouse,
        "select is_stale, as_of from marts.wallet_balances where user_id = 'carol' and chain = 'base'",
    )
    assert [(stale, as_of.date()) for stale, as_of in held] == [(True, D2)]


def test_a_coin_on_several_chains_is_one_asset(warehouse: Warehouse) -> None:
    found = breakdown(warehouse, "alice", "asset")
    ether = 2 * 2750 + 2750 - 275 + 550 + 330  # two chains, what is owed, a pool, and an investment
    assert found["coingecko:ethereum"][0] == ether
    assert found["coingecko:usd-coin"][0] == 1000 + 200 + 100 + 400 + 550
    labels = rows(
        warehouse,
        "select label from marts.portfolio_breakdown where user_id = 'alice' and key like 'coingecko:%' order by key",
    )
    assert labels == [("BTC",), ("ETH",), ("SOL",), ("USDC",)]


def test_categories_tell_wallets_protocols_and_investments_apart(warehouse: Warehouse) -> None:
    found = {key: value for key, (value, *_) in breakdown(warehouse, "alice", "category").items()}
    assert found == {
        "coin": 8250, "stablecoin": 1200, "receipt": 100, "lending": 125, "liquidity": 1100, "investment": 1650,
        "nft": None,
    }  # fmt: skip


def test_every_dimension_adds_up_to_the_total(warehouse: Warehouse) -> None:
    for user in ("alice", "bob", "carol"):
        found = snapshot(warehouse, user, D4)
        for dimension in ("chain", "asset", "category"):
            parts = breakdown(warehouse, user, dimension).values()
            assert found is not None
            assert sum(value or 0 for value, *_ in parts) == pytest.approx(found[0])
            assert sum(share or 0 for _, share, _ in parts) == pytest.approx(1)


def test_a_receipt_is_counted_once_and_what_is_left_of_it_stays(warehouse: Warehouse) -> None:
    found = rows(
        warehouse,
        "select token, source, role, amount from intermediate.chain_holdings where user_id = 'alice' "
        f"and date = '{D4}' and chain = 'ethereum' and asset_type != 'lp_position' order by token, source",
    )
    assert found == [
        ("ETH", "wallet", None, 2.0),
        ("PUNK", "erc721", "principal", 2.0),
        ("USDC", "aave_v3", "supply", 400.0),
        ("USDC", "wallet", None, 1000.0),
        ("WETH", "aave_v3", "debt", -0.1),
        ("aEthUSDC", "wallet", None, 100.0),
    ]
    own = rows(
        warehouse,
        "select token, balance, unexplained_amount, counts_in_totals from marts.wallet_balances "
        "where user_id = 'alice' and category in ('receipt', 'debt', 'pool_share') order by token",
    )
    assert [(token, float(balance), left, counts) for token, balance, left, counts in own] == [
        ("UNI-V2", 10.0, 0.0, False),
        ("aEthUSDC", 500.0, 100.0, True),
        ("variableDebtEthWETH", 0.1, 0.0, False),
    ]


def test_a_receipt_larger_than_the_balance_leaves_nothing_and_is_named(warehouse: Warehouse, wallets: Any) -> None:
    wallets.balances[D4, "ethereum"][ALICE, A_USDC] = 300 * 10**6
    wallets.write_chain(D4, "ethereum")
    result = warehouse.build()
    (warning,) = result.warnings
    assert warning.result.name.startswith("receipts_fit_the_balances")
    assert warning.rows[0]["token_key"] == A_USDC
    assert breakdown(warehouse, "alice", "chain")["ethereum"][0] == ETHEREUM_USD - 100


def test_a_quarantined_token_counts_for_those_alone_who_vouch_for_it(warehouse: Warehouse, wallets: Any) -> None:
    spam = "eip155:1/erc20:0x08"
    assert spam not in breakdown(warehouse, "alice", "asset")
    assert breakdown(warehouse, "carol", "asset")[spam][0] == 3300
    shown = (
        "select user_id, is_quarantined, counts_in_totals from marts.wallet_balances "
        f"where asset_id = '{spam}' order by all"
    )
    assert rows(warehouse, shown) == [("alice", True, False), ("carol", True, True)]

    wallets.whitelisted_by = "*"
    wallets.write_dimensions()
    warehouse.build()
    assert breakdown(warehouse, "alice", "asset")[spam][0] == 5500

    wallets.whitelisted_by = "carolina alic"  # nobody whose name is part of another
    wallets.write_dimensions()
    warehouse.build()
    assert rows(warehouse, shown) == [("alice", True, False), ("carol", True, False)]


def test_a_balance_above_38_digits_is_an_amount_and_keeps_its_digits(warehouse: Warehouse) -> None:
    found = rows(warehouse, "select raw, balance, amount, value_usd from marts.wallet_balances where token = 'HUGE'")
    assert found == [(f"0x{4 * 10**38:064x}", None, 400.0, 200.0)]


def test_balances_are_exact_to_the_last_digit(warehouse: Warehouse, wallets: Any) -> None:
    wei = 12_345_678_901_234_567_891
    wallets.balances[D4, "ethereum"][ALICE, ETH] = wei
    wallets.write_chain(D4, "ethereum")
    warehouse.build()
    query = "select raw, cast(balance as varchar) from marts.wallet_balances where asset_id = 'eip155:1/slip44:60'"
    assert rows(warehouse, query) == [(str(wei), "12.345678901234567891")]


def test_a_token_without_price_or_decimals_stays_and_has_no_value(warehouse: Warehouse) -> None:
    found = rows(
        warehouse,
        "select token, cast(balance as double), value_usd, price_status from marts.portfolio_assets "
        "where user_id = 'carol' and value_usd is null order by token",
    )
    assert found == [("0x0000…000a", 7.0, None, "no_source"), ("ODD", None, None, "ok")]
    assert breakdown(warehouse, "carol", "asset")["eip155:1/erc20:0x0a"] == (None, None, 0.0)


def test_a_price_that_is_missing_is_expected_at_its_last_known_close(warehouse: Warehouse, wallets: Any) -> None:
    wallets.write_prices(D3, {"coingecko:huge": 0.5})
    wallets.write_prices(D4, {"coingecko:huge": None})
    frame = wallets.lake.read(tables.PRICES, [D4], tables.PRICES_SCHEMA)
    assert frame.filter(asset_id="coingecko:huge")["last_close_usd"].to_list() == [0.5]
    warehouse.build()
    found = snapshot(warehouse, "carol", D4)
    assert found is not None
    assert found[:3] == (3350.0, None, pytest.approx(3300 / 3550))  # and nobody knows how it changed


def test_assets_are_netted_by_chain_and_kind(warehouse: Warehouse) -> None:
    found = rows(
        warehouse,
        "select asset_type, token, chain, cast(balance as double), cast(value_usd as double), is_stale "
        "from marts.portfolio_assets where user_id = 'alice' and origin = 'wallet' order by all",
    )
    assert found == [
        ("lp_position", "USDC", "ethereum", 550.0, 550.0, False),
        ("lp_position", "WETH", "ethereum", 0.2, 550.0, False),
        ("nft", "PUNK", "ethereum", 2.0, None, False),
        ("token", "ETH", "base", 1.0, 2750.0, True),
        ("token", "ETH", "ethereum", 2.0, 5500.0, False),
        ("token", "USDC", "base", 200.0, 200.0, True),
        ("token", "USDC", "ethereum", 1400.0, 1400.0, False),
        ("token", "WETH", "ethereum", -0.1, -275.0, False),
        ("token", "aEthUSDC", "ethereum", 100.0, 100.0, False),
    ]


def test_positions_are_readable_and_debts_negative(warehouse: Warehouse) -> None:
    found = rows(
        warehouse,
        "select protocol, role, token, amount, value_usd, receipt_token, facts->>'health_factor' "
        "from marts.defi_positions where protocol = 'aave_v3' or role is null order by all",
    )
    factor = "2060850659999789969"
    assert found == [
        ("aave_v3", "debt", "WETH", 0.1, -275.0, "variableDebtEthWETH", factor),
        ("aave_v3", "supply", "USDC", 400.0, 400.0, "aEthUSDC", factor),
        ("uniswap_v2", None, None, None, None, None, factor),
    ]


def test_a_removed_wallet_changes_no_day_before(warehouse: Warehouse, wallets: Any) -> None:
    before = [snapshot(warehouse, "carol", day) for day in (D2, D3)]
    key, user, name, address, family, label, chains, _, added_on, _ = wallets.wallets[1]
    wallets.wallets[1] = (key, user, name, address, family, label, chains, False, added_on, D4)
    wallets.balances[D4, "ethereum"] = {k: v for k, v in wallets.balances[D4, "ethereum"].items() if k[0] != CAROL}
    wallets.write_dimensions()
    wallets.write_chain(D4, "ethereum")
    warehouse.build()
    assert [snapshot(warehouse, "carol", day) for day in (D2, D3)] == before
    assert snapshot(warehouse, "carol", D4) is None  # what Base still shows of it counts no more
    assert rows(warehouse, "select count(*) from marts.wallet_balances where user_id = 'carol'") == [(0,)]


def test_days_are_valued_from_wallets_alone(dbt_state: DbtProject, wallets: Any, tmp_path: Path) -> None:
    for table in (tables.INVESTMENT_LEGS, tables.INVESTMENT_PERFORMANCE, tables.PORTFOLIO_PERFORMANCE):
        for path in (wallets.lake.root / table).rglob("*.parquet"):
            path.unlink()
    alone = Warehouse(tmp_path / "alone.duckdb", wallets.lake, dbt_state)
    assert alone.build().warnings == []
    assert rows(alone, "select date, is_final, is_newest from intermediate.days order by date") == [
        (D2, True, False), (D3, False, False), (D4, False, True),
    ]  # fmt: skip
    found = snapshot(alone, "alice", D4)
    assert found is not None
    assert found[0] == ETHEREUM_USD + BASE_USD
    # 3 ETH and 1,200 USDC the day before.
    assert found[1] == pytest.approx(100 * (9450 / 10_200 - 1), abs=1e-4)


def test_an_incremental_build_equals_a_full_one(
    warehouse: Warehouse, wallets: Any, dbt_state: DbtProject, tmp_path: Path
) -> None:
    wallets.reads[D3, "base"] = "ok"  # healed
    wallets.balances[D3, "base"] = {(ALICE, BASE_ETH): 2 * 10**18}
    wallets.reads[D4, "optimism"] = "ok"
    wallets.positions[D4, "ethereum"].pop(0)  # the aTokens are the wallet's own again
    del wallets.balances[D4, "ethereum"][ALICE, USDC]
    for day, chain in ((D3, "base"), (D4, "optimism"), (D4, "ethereum")):
        wallets.write_chain(day, chain)
    wallets.lake.path(ct.WALLET_BALANCES, D2, "base").unlink()  # vanished

    result = warehouse.build()

    assert result.reason == "changed partitions replaced"
    assert dict(result.changed) == {"chain_reads": 2, "defi_positions": 1, "wallet_balances": 3}
    incremental = everything(warehouse)
    full = Warehouse(tmp_path / "other.duckdb", wallets.lake, dbt_state)
    full.build(full=True)
    assert incremental == everything(full)
    assert breakdown(warehouse, "alice", "chain")["base"][0] == 2 * 2750
    assert breakdown(warehouse, "alice", "asset")["coingecko:usd-coin"][0] == 500 + 550


def test_a_file_of_a_chain_is_known_by_day_and_chain(warehouse: Warehouse, wallets: Any) -> None:
    found = read_partitions(wallets.lake, {})
    assert ("wallet_balances", "2025-02-01/base") in found
    assert ("chain_tokens", "all") in found
    assert warehouse.is_current()


def test_one_more_day_of_a_hundred_chains_is_no_reason_to_build_from_nothing() -> None:
    from portfolio_pipelines.resources.lake_views import Partition
    from portfolio_pipelines.resources.warehouse_state import is_mostly_new

    def part(table: str, name: str) -> tuple[tuple[str, str], Partition]:
        return (table, name), Partition(table, name, "", 0, 0)

    days = [(D1 + timedelta(days=n)).isoformat() for n in range(4)]
    investments = dict(part("investment_performance", day) for day in days)
    one_day = dict(part("wallet_balances", f"{days[-1]}/chain{n}") for n in range(100))
    assert not is_mostly_new(investments, sorted(one_day), {**investments, **one_day})
    assert is_mostly_new(one_day, sorted(investments), {**investments, **one_day})


def test_the_scorecard_says_which_chains_are_old_and_what_rests_on_them(warehouse: Warehouse) -> None:
    found = {
        metric: (value, status)
        for metric, value, status in rows(
            warehouse, f"select metric, value, status from marts.data_quality_scorecard where date = '{D4}'"
        )
    }
    assert found["chains_stale_share"] == (0.5, "warn")
    assert found["chains_never_read"] == (1.0, "warn")
    assert found["stale_wallet_value_share"] == (pytest.approx(3000 / (8375 + 2950 + 3550)), "fail")
    assert found["quarantined_tokens"] == (1.0, "ok")
    assert found["unpriced_wallet_tokens"] == (2.0, "warn")


def test_pools_are_shown_with_their_reserves_and_their_own_words(warehouse: Warehouse, wallets: Any) -> None:
    wallets.write_pools(
        D4, "ethereum", [("uniswap_v3", "0x0b", 0, USDC, 55 * 10**8), ("uniswap_v3", "0x0b", 1, 7, 2 * 10**18)]
    )
    warehouse.build()
    found = rows(
        warehouse,
        "select date, position, token, reserve, reserve_raw, price_usd, reserve_usd, fee, sqrt_price_x96 "
        "from marts.pool_states_daily order by position",
    )
    price = str(2**96)
    assert found == [
        (D4, 0, "USDC", 5500.0, "5500000000", 1.0, 5500.0, 0.003, price),
        (D4, 1, "WETH", 2.0, "2000000000000000000", 2750.0, 5500.0, 0.003, price),
    ]


def test_reconciled_balances_are_shown_in_units_with_the_reason(warehouse: Warehouse, wallets: Any) -> None:
    wallets.write_reconciliation(D3, "ethereum", [(ALICE, ETH, 10**18, 10**18, 0, 0, 2 * 10**18, 0, "ok")])
    wallets.write_reconciliation(
        D4, "ethereum", [(ALICE, USDC, 10**9, 0, 0, 0, 10**9 - 5 * 10**6, -5 * 10**6, "unknown")]
    )
    warehouse.build()
    found = rows(
        warehouse,
        "select user_id, date, token, opening, received, observed, difference, reason "
        "from marts.balance_reconciliation order by date",
    )
    assert found == [
        ("alice", D3, "ETH", 1.0, 1.0, 2.0, 0.0, "ok"),
        ("alice", D4, "USDC", 1000.0, 0.0, 995.0, -5.0, "unknown"),
    ]
    unreconciled = "select date, value, status from marts.data_quality_scorecard where metric = 'unreconciled_balances'"
    assert rows(warehouse, f"{unreconciled} order by date") == [(D3, 0.0, "ok"), (D4, 1.0, "warn")]
