"""The asset of reconciled days in real runs: only closed days, only what changed."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from portfolio_pipelines.assets.reconciliation import balance_reconciliation
from portfolio_pipelines.chain_tables import (
    BALANCE_RECONCILIATION,
    BALANCE_RECONCILIATION_SCHEMA,
    CHAIN_READS,
    CHAIN_READS_SCHEMA,
    TOKEN_TRANSFERS,
    TOKEN_TRANSFERS_SCHEMA,
    WALLET_BALANCES,
    WALLET_BALANCES_SCHEMA,
)
from portfolio_pipelines.database.chain_tokens import ensure_tokens
from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.resources.chain_connections import ChainConnections
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.partitions import frame_fingerprint
from portfolio_pipelines.settings import Settings
from tests.integration.checks.chain_lake import (
    BEFORE,
    DAY,
    moved,
    put_activity,
    put_balances,
    put_read,
    put_transfers,
)

AFTER = DAY + timedelta(days=1)
INPUTS = {
    CHAIN_READS: CHAIN_READS_SCHEMA,
    WALLET_BALANCES: WALLET_BALANCES_SCHEMA,
    TOKEN_TRANSFERS: TOKEN_TRANSFERS_SCHEMA,
}
Run = Callable[[], dict[str, object]]


@pytest.fixture
def connections(database: sa.Engine, tmp_path: Path) -> ChainConnections:
    settings = Settings(home=tmp_path, database_url=SecretStr(url_text(database.url)))
    return ChainConnections(settings, Database(settings))


@pytest.fixture
def usdc(database: sa.Engine) -> int:
    """The key of a token of Ethereum."""
    address = "0x" + "c0" * 20
    token = {"chain_id": 1, "address": address, "asset_id": f"eip155:1/erc20:{address}", "symbol": "USDC"}
    return int(ensure_tokens(database, pl.DataFrame([token]), source="shipped")["token_key"].item())


@pytest.fixture
def lake(tmp_path: Path, usdc: int) -> Lake:
    """Two closed days of a chain; on the second a token moved."""
    lake = Lake(tmp_path / "lake")
    for day, held in ((BEFORE, 100), (DAY, 60)):
        put_read(lake, day)
        put_balances(lake, {(1, usdc): held}, day)
        put_activity(lake, [1], day)
    put_transfers(lake, moved(1, usdc, "out", 40))
    return lake


@pytest.fixture
def run(lake: Lake, connections: ChainConnections) -> Run:
    """One run; what it reports."""

    def stand_in(name: str) -> dg.AssetsDefinition:
        @dg.asset(name=name)
        def table() -> None: ...

        return table

    defs = dg.Definitions(
        assets=[stand_in("wallet_balances"), stand_in("token_transfers"), balance_reconciliation],
        jobs=[dg.define_asset_job("reconcile", selection=[balance_reconciliation])],
        resources={"lake": lake, "database": connections.database, "chains": connections},
        executor=dg.in_process_executor,
    )

    def once() -> dict[str, object]:
        logged(connections.database, lake)
        result = defs.resolve_job_def("reconcile").execute_in_process()
        (event, *_) = result.asset_materializations_for_node("balance_reconciliation")
        return {name: value.value for name, value in event.metadata.items()}

    return once


def logged(database: Database, lake: Lake) -> None:
    """Record what the lake holds, as whoever writes its tables does."""
    with database.writer(lake, "reading") as writer:
        for table, schema in INPUTS.items():
            for day, chain in sorted(lake.chain_days(table)):
                rows = lake.read_chain(table, day, chain, schema)
                writer.write(table, day, rows, frame_fingerprint(rows), "1", chain)


def reasons(lake: Lake, day: date = DAY) -> list[str]:
    found = lake.read_chain(BALANCE_RECONCILIATION, day, "ethereum", BALANCE_RECONCILIATION_SCHEMA)
    return found["reason"].to_list()


def test_a_run_reconciles_closed_days_of_chains_that_were_read(run: Run, lake: Lake) -> None:
    put_read(lake, AFTER, is_close=False)
    put_balances(lake, {}, AFTER)
    found = run()
    assert (found["reasons"], found["partitions_computed"]) == ({"ok": 1}, 3)
    assert lake.chain_days(BALANCE_RECONCILIATION) == {(day, "ethereum") for day in (BEFORE, DAY, AFTER)}
    assert [reasons(lake, day) for day in (BEFORE, DAY, AFTER)] == [[], ["ok"], []]


def test_a_second_run_computes_nothing_until_an_input_changes(run: Run, lake: Lake, usdc: int) -> None:
    assert run()["partitions_computed"] == 2
    assert run()["partitions_computed"] == 0
    put_balances(lake, {(1, usdc): 101}, BEFORE)
    assert run()["partitions_computed"] == 2
    assert reasons(lake) == ["fee_on_transfer"]


def test_a_newly_met_token_computes_nothing_anew(run: Run, database: sa.Engine) -> None:
    run()
    met = {"chain_id": 1, "address": "0x" + "f0" * 20, "asset_id": "eip155:1/erc20:0x" + "f0" * 20}
    ensure_tokens(database, pl.DataFrame([met]), source="discovered")
    assert run()["partitions_computed"] == 0


def test_a_chain_that_is_no_longer_in_the_registry_is_left_alone(run: Run, lake: Lake) -> None:
    put_balances(lake, {(1, 1): 5}, chain="gone-chain")
    assert run()["partitions_computed"] == 2


def test_what_becomes_known_of_a_token_changes_the_reason(run: Run, lake: Lake, usdc: int, database: sa.Engine) -> None:
    put_balances(lake, {(1, usdc): 70})
    run()
    assert reasons(lake) == ["unknown"]
    with database.begin() as connection:
        connection.execute(sa.text("update app.chain_tokens set is_rebasing = true where token_key = :k"), {"k": usdc})
    run()
    assert reasons(lake) == ["rebase"]
