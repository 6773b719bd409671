"""Receipts in the marts: worth their ratio times what they stand for, where nobody trades them.

Dave holds 100 shares of a vault of dollars, 10 shares of a vault of that vault, and 1 staked ether. A share of the
first is worth 1.2 dollars on the third day and 1.25 on the fourth, one of the second two of the first. Staked ether
stands for 1.2 ether (2,750 USD on the fourth day) and is traded at 2,900 and 3,000 USD.
"""

import json
from collections.abc import Iterator
from datetime import date
from typing import Any

import polars as pl
import psycopg
import pytest
import sqlalchemy as sa

from portfolio_pipelines import chain_tables as ct
from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.resources.served_marts import publish
from portfolio_pipelines.resources.warehouse import BuildResult, Warehouse

D3, D4 = date(2025, 2, 1), date(2025, 2, 2)
ETH, USDC, SPAM = 1, 3, 8
DAVES, VAULT, OUTER, STAKED, THIRD, FOURTH = 4, 20, 21, 22, 23, 24
STAKED_ETHER = "coingecko:staked"
WAD = 10**18


def own_name(token: int) -> str:
    return f"eip155:1/erc20:0x{token:02x}"


class Receipts:
    """Dave's receipts beside the small lake with wallets."""

    def __init__(self, wallets: Any, warehouse: Warehouse) -> None:
        self.wallets, self.warehouse = wallets, warehouse
        self.ratios: dict[date, list[tuple[int, int, float | None, bool]]] = {
            D3: [(VAULT, USDC, 1.2, False), (OUTER, VAULT, 2.0, False), (STAKED, ETH, 1.2, False)],
            D4: [(VAULT, USDC, 1.25, False), (OUTER, VAULT, 2.0, False), (STAKED, ETH, 1.2, False)],
        }
        for token, name in ((VAULT, "vUSDC"), (OUTER, "vvUSDC"), (THIRD, "vvvUSDC"), (FOURTH, "vvvvUSDC")):
            wallets.tokens[token] = (1, own_name(token), name, 18, "unlisted")
        wallets.tokens[STAKED] = (1, STAKED_ETHER, "stkETH", 18, "staked")
        wallets.wallets.append((DAVES, 40, "dave", "0xee", "evm", None, "ethereum", True, D3, None))
        for day in (D3, D4):
            for token, amount in ((VAULT, 100), (OUTER, 10), (STAKED, 1)):
                wallets.balances[day, "ethereum"][DAVES, token] = amount * WAD
        self.staked = {D3: 2900.0, D4: 3000.0}

    def build(self) -> BuildResult:
        """Write everything and build the marts."""
        self.wallets.write_dimensions()
        for day, close in self.staked.items():
            # DefiLlama was asked for the vaults, too, and knows nothing of the first; of the second nobody asked.
            self.wallets.write_prices(day, {STAKED_ETHER: close, own_name(VAULT): None})
            self.wallets.write_chain(day, "ethereum")
            self.write_ratios(day)
        return self.warehouse.build()

    def write_ratios(self, day: date) -> None:
        names = ["token_key", "underlying_token_key", "ratio", "is_stale"]
        frame = pl.DataFrame(
            self.ratios[day], schema={name: ct.RECEIPT_RATIOS_SCHEMA[name] for name in names}, orient="row"
        ).with_columns(*(pl.lit(v).alias(k) for k, v in self.wallets.block(day).items()))
        absent = [pl.lit(None).alias(name) for name in ct.RECEIPT_RATIOS_SCHEMA if name not in frame.columns]
        frame = frame.with_columns(absent).select(ct.RECEIPT_RATIOS_SCHEMA.names())
        self.wallets.lake.replace_chain(ct.RECEIPT_RATIOS, day, "ethereum", frame.cast(dict(ct.RECEIPT_RATIOS_SCHEMA)))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.warehouse.connect() as connection:
            return connection.execute(query).fetchall()

    def assets(self) -> dict[str, tuple[float | None, str]]:
        """Worth and status of what Dave holds, by symbol."""
        found = self.rows(
            "select token, cast(value_usd as double), price_status from marts.portfolio_assets where user_id = 'dave'"
        )
        return {token: (value, status) for token, value, status in found}

    def snapshot(self) -> tuple[Any, ...]:
        """Total, change in percent, coverage and assets of Dave on the fourth day."""
        (found,) = self.rows(
            "select cast(total_value_usd as double), cast(change_24h_pct as double), coverage, assets "
            f"from marts.portfolio_snapshots where user_id = 'dave' and snapshot_timestamp = date '{D4}' + 1"
        )
        return found


@pytest.fixture
def receipts(wallets: Any, warehouse: Warehouse) -> Receipts:
    return Receipts(wallets, warehouse)


@pytest.fixture
def url(empty_database: sa.Engine) -> str:
    return url_text(empty_database.url.set(drivername="postgresql"))


@pytest.fixture
def postgres(url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def test_a_receipt_that_nobody_trades_is_worth_what_it_stands_for(receipts: Receipts) -> None:
    built = receipts.build()
    assert {result.status for result in built.results} <= {"success", "pass"}
    assert receipts.assets() == {
        "vUSDC": (pytest.approx(100 * 1.25), "derived"),
        "vvUSDC": (pytest.approx(10 * 2 * 1.25), "derived"),
        "stkETH": (pytest.approx(3000), "ok"),  # the market comes first
    }
    total, change, coverage, assets = receipts.snapshot()
    assert total == pytest.approx(125 + 25 + 3000)
    assert change == pytest.approx(100 * ((125 + 25 + 3000) / (120 + 24 + 2900) - 1), abs=1e-4)
    assert coverage == pytest.approx(0.5)  # all of it is fresh; one of his two chains was never read
    assert {"token": "vvUSDC", "chain": "ethereum", "balance": 10.0, "value_usd": 25.0} in json.loads(assets)
    shown = (
        "select token, price_usd, price_status, value_usd from marts.wallet_balances where address = '0xee' order by 1"
    )
    assert receipts.rows(shown) == [
        ("stkETH", 3000.0, "ok", 3000.0), ("vUSDC", 1.25, "derived", 125.0), ("vvUSDC", 2.5, "derived", 25.0),
    ]  # fmt: skip


def test_a_stale_ratio_or_a_stale_price_below_is_not_fresh(receipts: Receipts) -> None:
    receipts.ratios[D4][0] = (VAULT, USDC, 1.25, True)
    receipts.build()
    assert receipts.assets()["vUSDC"] == (pytest.approx(125), "stale")
    assert receipts.assets()["vvUSDC"] == (pytest.approx(25), "stale")  # its own ratio is fresh, that below is not
    assert receipts.snapshot()[2] == pytest.approx(3000 / 3150 * 0.5)


def test_a_receipt_without_a_ratio_or_with_too_many_layers_has_no_price(receipts: Receipts) -> None:
    receipts.ratios[D4] += [(THIRD, OUTER, 1.0, False), (FOURTH, THIRD, 1.0, False)]
    receipts.wallets.balances[D4, "ethereum"] |= {(DAVES, THIRD): WAD, (DAVES, FOURTH): WAD}
    receipts.build()
    assert receipts.assets()["vvvUSDC"] == (pytest.approx(2.5), "derived")
    assert receipts.assets()["vvvvUSDC"] == (None, "no_source")
    receipts.ratios[D4] = [(VAULT, USDC, None, False), (OUTER, VAULT, 2.0, False)]
    receipts.build()
    assert {receipts.assets()[token] for token in ("vUSDC", "vvUSDC")} == {(None, "no_source")}


def test_circles_and_what_rests_on_a_distrusted_token_have_no_price(receipts: Receipts) -> None:
    receipts.ratios[D4] = [(VAULT, OUTER, 1.0, False), (OUTER, VAULT, 1.0, False), (THIRD, SPAM, 5.0, False)]
    receipts.wallets.balances[D4, "ethereum"][DAVES, THIRD] = WAD
    receipts.build()
    assert {receipts.assets()[token] for token in ("vUSDC", "vvUSDC", "vvvUSDC")} == {(None, "no_source")}


def test_a_market_that_does_not_fit_the_ratio_is_named_and_still_counts(receipts: Receipts) -> None:
    receipts.staked[D4] = 33_000.0
    built = receipts.build()
    (warning,) = [each for each in built.warnings if "market_fits_the_ratio" in str(each)]
    assert "stkETH" in str(warning)
    assert receipts.assets()["stkETH"] == (pytest.approx(33_000), "ok")


def test_the_next_day_without_a_read_the_ratio_is_that_of_the_last_and_stale(receipts: Receipts) -> None:
    receipts.wallets.reads.pop((D4, "ethereum"))
    receipts.wallets.lake.path(ct.CHAIN_READS, D4, "ethereum").unlink()
    for table in (ct.WALLET_BALANCES, ct.DEFI_POSITIONS):
        receipts.wallets.lake.path(table, D4, "ethereum").unlink()
    receipts.wallets.write_dimensions()
    receipts.wallets.write_prices(D4, {STAKED_ETHER: 3000.0})
    receipts.wallets.write_prices(D3, {STAKED_ETHER: 2900.0})
    receipts.wallets.write_chain(D3, "ethereum")
    receipts.write_ratios(D3)
    receipts.warehouse.build()
    assert receipts.assets()["vUSDC"] == (pytest.approx(120), "stale")


def test_postgres_serves_the_derived_price(receipts: Receipts, url: str, postgres: psycopg.Connection[Any]) -> None:
    receipts.build()
    publish(receipts.warehouse, url)
    served = (
        "select token, value_usd::float8, price_status from marts.portfolio_assets where user_id = 'dave' order by 1"
    )
    assert postgres.execute(served).fetchall() == [
        ("stkETH", 3000.0, "ok"), ("vUSDC", 125.0, "derived"), ("vvUSDC", 25.0, "derived"),
    ]  # fmt: skip
    receipts.ratios[D4][0] = (VAULT, USDC, 1.5, False)
    receipts.build()
    publish(receipts.warehouse, url)
    assert postgres.execute(served).fetchall()[1:] == [("vUSDC", 150.0, "derived"), ("vvUSDC", 30.0, "derived")]
