"""Fees of chains on which somebody with a strategy holds something, from a real node into the lake."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import duckdb
import polars as pl
import pytest
import sqlalchemy as sa

from portfolio_pipelines.allocation_tables import CHAIN_FEES, CHAIN_FEES_SCHEMA
from portfolio_pipelines.assets.rebalancing import SWAP_GAS, chain_fees, gas_of_places
from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.resources.chain_connections import ChainConnections
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.dbt_build import DbtProject
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.warehouse import Warehouse
from portfolio_pipelines.settings import Settings
from tests.contracts.anvil import Anvil


@pytest.fixture(scope="module")
def mainnet(contracts_folder: Path) -> Iterator[Anvil]:
    """A chain with Ethereum's id."""
    with Anvil(chain_id=1) as chain:
        for _ in range(5):
            chain.mine()
        yield chain


@pytest.fixture
def connections(tmp_path: Path, mainnet: Anvil, database: sa.Engine) -> Iterator[ChainConnections]:
    (tmp_path / "chains.toml").write_text(f'enabled = ["ethereum"]\n[chain.ethereum]\nendpoints = ["{mainnet.url}"]\n')
    settings = Settings(home=tmp_path, database_url=url_text(database.url))
    connected = Database(settings)
    yield ChainConnections(settings, connected)
    connected.engine.dispose()


def warehouse_with(folder: Path, lake: Lake, chains: list[str]) -> Warehouse:
    """A warehouse in which strategies hold something on some chains."""
    path = folder / "warehouse.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("create schema marts")
        connection.execute("create table marts.allocation_drift (chain varchar)")
        connection.executemany("insert into marts.allocation_drift values (?)", [[chain] for chain in chains])
    return Warehouse(path, lake, DbtProject(folder / "dbt", folder / "build" / "warehouse.duckdb"))


def ask(connections: ChainConnections, warehouse: Warehouse) -> pl.DataFrame:
    resources = {
        "lake": warehouse.lake, "database": connections.database, "warehouse": warehouse, "chains": connections,
    }  # fmt: skip
    assert dg.materialize([chain_fees], resources=resources).success
    return warehouse.lake.read_table(CHAIN_FEES, CHAIN_FEES_SCHEMA)


def test_only_chains_in_use_are_asked_and_not_again_within_hours(
    connections: ChainConnections, mainnet: Anvil, tmp_path: Path
) -> None:
    warehouse = warehouse_with(tmp_path, Lake(tmp_path / "lake"), ["ethereum", "market", "solana"])
    first = ask(connections, warehouse)
    ((chain, wei, is_stale),) = first.select("chain", "gas_price_wei", "is_stale").rows()
    assert (chain, is_stale) == ("ethereum", False)
    assert 0 < wei < 10**12
    mainnet.mine()
    assert ask(connections, warehouse).equals(first)

    gas = gas_of_places(["ethereum", "market", "base", "nowhere"], connections, first, {"coingecko:ethereum": 2500.0})
    assert gas["gas_usd"].to_list() == [pytest.approx(SWAP_GAS * wei * 2500 / 10**18), 0.0, None, None]
    assert gas_of_places(["ethereum"], connections, first, {})["gas_usd"].to_list() == [None]


def test_without_wallets_on_chains_nothing_is_asked(connections: ChainConnections, tmp_path: Path) -> None:
    assert ask(connections, warehouse_with(tmp_path, Lake(tmp_path / "lake"), ["market"])).is_empty()


def test_a_chain_that_does_not_answer_keeps_what_is_known(connections: ChainConnections, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    warehouse = warehouse_with(tmp_path, lake, ["ethereum"])
    known = ask(connections, warehouse).with_columns(pl.col("as_of") - timedelta(hours=7))
    lake.replace_table(CHAIN_FEES, known)
    (tmp_path / "chains.toml").write_text(
        'enabled = ["ethereum"]\n[chain.ethereum]\nendpoints = ["http://127.0.0.1:9"]\n'
    )
    gone = ChainConnections(connections.settings, connections.database)
    (row,) = ask(gone, warehouse).rows(named=True)
    assert (row["is_stale"], row["gas_price_wei"], row["as_of"]) == (
        True, known["gas_price_wei"][0], known["as_of"][0],
    )  # fmt: skip
    assert "ethereum at" in row["reason"]
