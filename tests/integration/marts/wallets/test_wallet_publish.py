"""Wallets in Postgres: the same rows as in DuckDB, copied when what they rest on changed."""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.resources.served_marts import publish
from portfolio_pipelines.resources.warehouse import Warehouse

D2, D3, D4 = (date(2025, 1, 31) + timedelta(days=n) for n in range(3))
ALICE, CAROL, ETH, BASE_ETH = 1, 2, 1, 2
MARTS = (
    "wallet_balances", "defi_positions", "portfolio_breakdown", "balance_reconciliation", "pool_states_daily",
    "portfolio_totals", "portfolio_holdings", "portfolio_assets", "current_prices", "prices_daily",
    "data_quality_scorecard",
)  # fmt: skip
SNAPSHOTS = "snapshot_timestamp in (timestamp '2025-02-01', timestamp '2025-02-02')"


@pytest.fixture
def url(empty_database: sa.Engine) -> str:
    return url_text(empty_database.url.set(drivername="postgresql"))


@pytest.fixture
def postgres(url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def plain(found: list[tuple[Any, ...]], json_columns: list[int]) -> list[tuple[Any, ...]]:
    """Documents as text of one form, whether they came as text or as values."""
    return sorted(
        (
            tuple(
                json.dumps(json.loads(v) if isinstance(v, str) else v, sort_keys=True) if i in json_columns else v
                for i, v in enumerate(row)
            )
            for row in found
        ),
        key=str,
    )


def assert_served(postgres: psycopg.Connection[Any], warehouse: Warehouse) -> None:
    for mart in (*MARTS, "portfolio_snapshots"):
        condition = SNAPSHOTS if mart == "portfolio_snapshots" else "true"
        with warehouse.connect() as connection:
            relation = connection.sql(f"select * from marts.{mart} where {condition}")
            documents = [i for i, kind in enumerate(relation.types) if str(kind) == "JSON"]
            built = relation.fetchall()
        served = postgres.execute(f"select * from marts.{mart}").fetchall()
        assert plain(served, documents) == plain(built, documents), mart


def test_postgres_serves_the_same_rows(
    warehouse: Warehouse, url: str, postgres: psycopg.Connection[Any], wallets: Any
) -> None:
    wallets.write_reconciliation(D3, "ethereum", [(ALICE, ETH, 10**18, 10**18, 0, 0, 2 * 10**18, 0, "ok")])
    wallets.write_pools(
        D3, "ethereum", [("uniswap_v3", "0x0b", 0, 3, 55 * 10**8), ("uniswap_v3", "0x0b", 1, 7, 10**40)]
    )
    warehouse.build()

    result = publish(warehouse, url)

    assert_served(postgres, warehouse)
    assert result.rows["pool_states_daily"] == 2
    assert result.rows["wallet_balances"] == 15
    assert result.rows["defi_positions"] == 6
    assert result.rows["balance_reconciliation"] == 1
    assert publish(warehouse, url).changed is False


def test_what_a_chain_changes_is_copied_and_nothing_else(
    warehouse: Warehouse, url: str, postgres: psycopg.Connection[Any], wallets: Any
) -> None:
    publish(warehouse, url)
    wallets.reads[D3, "base"] = "ok"  # healed: the newest closed day, and what the running one carries
    wallets.balances[D3, "base"] = {(ALICE, BASE_ETH): 2 * 10**18}
    wallets.write_chain(D3, "base")
    warehouse.build()

    result = publish(warehouse, url)

    assert_served(postgres, warehouse)
    changed = {mart for mart, partitions in result.partitions.items() if partitions}
    assert changed == {
        "wallet_balances", "portfolio_breakdown", "portfolio_holdings", "portfolio_snapshots", "portfolio_totals",
        "data_quality_scorecard",
    }  # fmt: skip
    assert result.partitions["portfolio_snapshots"] == 1  # the day before it rests on nothing that changed


def test_a_new_token_is_no_reason_to_copy_days_before_it(
    warehouse: Warehouse, url: str, postgres: psycopg.Connection[Any], wallets: Any
) -> None:
    publish(warehouse, url)
    wallets.tokens[15] = (1, "coingecko:usd-coin", "NEW", 6, "token")
    wallets.balances[D4, "ethereum"][CAROL, 15] = 10**6
    wallets.write_dimensions()
    wallets.write_chain(D4, "ethereum")
    warehouse.build()

    result = publish(warehouse, url)

    assert_served(postgres, warehouse)
    assert result.partitions["portfolio_snapshots"] == 0
    assert result.rows["portfolio_holdings"] == 19


def test_a_whitelisting_a_removal_and_an_enabled_chain_reach_postgres(
    warehouse: Warehouse, url: str, postgres: psycopg.Connection[Any], wallets: Any
) -> None:
    publish(warehouse, url)
    wallets.whitelisted_by = "alice carol"
    wallets.write_dimensions()
    warehouse.build()
    publish(warehouse, url)
    assert_served(postgres, warehouse)

    key, user, name, address, family, label, chains, _, added_on, _ = wallets.wallets[1]
    wallets.wallets[1] = (key, user, name, address, family, label, chains, False, added_on, D3)
    wallets.write_dimensions()
    warehouse.build()
    publish(warehouse, url)
    assert_served(postgres, warehouse)

    wallets.reads[D3, "optimism"] = "ok"
    wallets.write_chain(D3, "optimism")
    warehouse.build()
    publish(warehouse, url)
    assert_served(postgres, warehouse)


def test_the_documented_columns_have_types_comments_and_indexes(
    warehouse: Warehouse, url: str, postgres: psycopg.Connection[Any]
) -> None:
    publish(warehouse, url)
    types = dict(
        postgres.execute(
            "select attname, format_type(atttypid, atttypmod) from pg_attribute "
            "where attrelid = 'marts.wallet_balances'::regclass and attnum > 0"
        ).fetchall()
    )
    assert (types["balance"], types["block_number"], types["as_of"]) == (
        "numeric(38,18)", "bigint", "timestamp without time zone",
    )  # fmt: skip
    breakdown = "select user_id, as_of, dimension, key, value_usd, share, coverage from marts.portfolio_breakdown"
    assert len(postgres.execute(f"{breakdown} where user_id = 'dave'").fetchall()) == 1
    names = {name for (name,) in postgres.execute("select indexname from pg_indexes where schemaname = 'marts'")}
    assert names >= {"portfolio_breakdown_pkey", "wallet_balances_pkey", "idx_balance_reconciliation_user_id_date"}
