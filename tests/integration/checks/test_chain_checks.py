"""Checks of what was read on chains: each says what is wrong, where, and what to do, and is silent on a good lake."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from portfolio_pipelines.assets.onchain_reading import AT_CLOSE, READING_VERSION
from portfolio_pipelines.automation.chain_planning import due_chain_days
from portfolio_pipelines.chain_tables import BALANCE_RECONCILIATION, BALANCE_RECONCILIATION_SCHEMA, CHAIN_READS
from portfolio_pipelines.checks import chains as chain_checks
from portfolio_pipelines.database.chain_tokens import ensure_tokens
from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.database.token_trust import VERDICTS, set_quarantine
from portfolio_pipelines.resources.chain_connections import ChainConnections
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.settings import Settings
from tests.contracts.anvil import Anvil
from tests.integration.checks.chain_lake import BEFORE, DAY, frame, put_balances, put_positions, put_read

NAMES = {key.name for checks in dg.load_asset_checks_from_modules([chain_checks]) for key in checks.check_keys}
AUSDC, FOUND = "0x" + "a0" * 20, "0x" + "f0" * 20


@dataclass
class World:
    """A lake, a database in which one wallet is watched on all chains, and a registry that reads two of them."""

    lake: Lake
    connections: ChainConnections

    @property
    def engine(self) -> sa.Engine:
        return self.connections.database.engine

    def token(self, address: str, source: str) -> int:
        row = {"chain_id": 1, "address": address, "asset_id": f"eip155:1/erc20:{address}", "symbol": "TOK"}
        return int(ensure_tokens(self.engine, pl.DataFrame([row]), source=source)["token_key"].item())

    def failed(self) -> dict[str, dict[str, Any]]:
        """What the checks that did not pass told, by name."""

        def stand_in(name: str) -> dg.AssetsDefinition:
            @dg.asset(name=name)
            def table() -> None: ...

            return table

        defs = dg.Definitions(
            assets=[stand_in(name) for name in ("wallet_balances", "token_quarantine", "balance_reconciliation")],
            asset_checks=dg.load_asset_checks_from_modules([chain_checks]),
            jobs=[dg.define_asset_job("checks", selection=dg.AssetSelection.all())],
            resources={"lake": self.lake, "database": self.connections.database, "chains": self.connections},
            executor=dg.in_process_executor,
        )
        result = defs.resolve_job_def("checks").execute_in_process()
        found = {check.check_name: check for check in result.get_asset_check_evaluations()}
        assert set(found) == NAMES
        assert not any(check.blocking for check in found.values())
        return {
            name: {"severity": check.severity.value} | {key: value.value for key, value in check.metadata.items()}
            for name, check in found.items()
            if not check.passed
        }


MakeWorld = Callable[[str], World]


@pytest.fixture
def make_world(database: sa.Engine, tmp_path: Path) -> MakeWorld:
    """Makes the world of a chains.toml."""

    def make(chains: str) -> World:
        (tmp_path / "chains.toml").write_text(chains)
        with database.begin() as connection:
            connection.execute(sa.text("insert into app.users (user_id) values ('ana')"))
            connection.execute(
                sa.text("""
                    insert into app.wallets (user_key, address, family, slot, added_at, added_by)
                    select user_key, :address, 'evm', 1, now(), 'test' from app.users
                """),
                {"address": "0x" + "11" * 20},
            )
            connection.execute(
                sa.text("""
                    insert into app.wallet_versions (wallet_key, version, chains, known_at, reason)
                    select wallet_key, 1, '{}', now(), 'imported' from app.wallets
                """)
            )
        settings = Settings(home=tmp_path, database_url=SecretStr(url_text(database.url)))
        return World(Lake(tmp_path / "lake"), ChainConnections(settings, Database(settings)))

    return make


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """Two chains that were read well, of blocks that nobody can look up (asking takes time)."""
    nobody = 'endpoints = ["http://127.0.0.1:9"]'
    made = make_world(f'enabled = ["ethereum", "base"]\n[chain.ethereum]\n{nobody}\n[chain.base]\n{nobody}\n')
    for chain in ("ethereum", "base"):
        put_read(made.lake, chain=chain, block_hash=None)
        put_balances(made.lake, {(1, 1): 7}, chain=chain)
    return made


def test_good_chains_pass_every_check_although_nobody_answers_now(world: World) -> None:
    for chain in ("ethereum", "base"):
        put_read(world.lake, chain=chain)
    assert world.failed() == {}
    recorded = world.connections.database.check_results().filter(pl.col("check_name") == "no_block_was_reorganised")
    assert '"not_compared": "base, ethereum"' in recorded["details"].item()


def test_an_installation_without_wallets_and_chains_passes(database: sa.Engine, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, database_url=SecretStr(url_text(database.url)))
    assert World(Lake(tmp_path / "lake"), ChainConnections(settings, Database(settings))).failed() == {}


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        (
            {"status": "failed", "reason": "base at its endpoints: unreachable", "block_hash": None},
            "base: failed at 2025-03-02 23:59: base at its endpoints: unreachable",
        ),
        (
            {"status": "partial", "reason": "transfers: refused"},
            "base: partial at 2025-03-02 23:59: transfers: refused",
        ),
    ],
)
def test_a_chain_whose_newest_read_was_not_good_is_named_with_the_reason(
    world: World, facts: dict[str, Any], told: str
) -> None:
    put_read(world.lake, chain="base", **facts)
    found = world.failed()["chains_are_fresh"]
    assert (found["severity"], found["chains"], found["not_fresh"], found["first"]) == ("WARN", 2, 1, told)
    assert "portfolio chains" in found["what_to_do"]


def test_stale_balances_of_a_good_read_are_counted(world: World) -> None:
    put_balances(world.lake, {(1, 1): 7, (1, 2): 8, (1, 3): 9}, chain="base", stale=[(1, 2)])
    assert world.failed()["chains_are_fresh"]["first"] == "base: 1 of 3 balances are older than the newest read"


def test_a_chain_that_fell_behind_or_was_never_read_is_named_and_one_that_nobody_reads_is_not(
    make_world: MakeWorld,
) -> None:
    world = make_world('enabled = ["ethereum", "base", "optimism"]\n')
    for chain, day in (("ethereum", DAY), ("base", BEFORE), ("polygon", BEFORE)):
        put_read(world.lake, day, chain, status="failed" if chain == "polygon" else "ok", block_hash=None)
    found = world.failed()["chains_are_fresh"]
    names = dict(part.split(": ", 1) for part in found["first"].split("; "))
    assert names == {"base": "was last read at 2025-03-01 23:59", "optimism": "was never read"}


def receipt(raw: int, **facts: Any) -> dict[str, Any]:
    return {"wallet_key": 1, "token_key": 1, "raw": raw, "receipt_raw": raw} | facts


def test_positions_may_share_a_receipt_token_and_not_claim_more_than_there_is(world: World) -> None:
    ausdc = world.token(AUSDC, "shipped")
    put_balances(world.lake, {(1, ausdc): 10})
    parts = [receipt(6, receipt_token_key=ausdc), receipt(4, receipt_token_key=ausdc, position_id="two")]
    put_positions(world.lake, *parts, receipt(4, receipt_token_key=ausdc, position_id="two", role="reward"))
    assert world.failed() == {}
    put_positions(world.lake, *parts, receipt(3, receipt_token_key=ausdc, protocol="compound_v3"))
    found = world.failed()["no_token_is_counted_twice"]
    assert (found["severity"], found["receipts"]) == ("ERROR", 1)
    assert found["first"] == f"ethereum: wallet 1 lacks 3 of eip155:1/erc20:{AUSDC}"


@pytest.mark.parametrize(("source", "receipts"), [("shipped", 1), ("discovered", 0)])
def test_a_receipt_without_a_balance_is_missing_only_if_every_wallet_is_asked_for_it(
    world: World, source: str, receipts: int
) -> None:
    key = world.token(FOUND, source)
    put_balances(world.lake, {})
    put_positions(world.lake, receipt(3, receipt_token_key=key))
    assert world.failed().get("no_token_is_counted_twice", {"receipts": 0})["receipts"] == receipts


@pytest.mark.parametrize("facts", [{"is_stale": True}, {"block_hash": "0x" + "cc" * 32, "block_number": 150}])
def test_positions_and_balances_of_different_blocks_are_not_compared(world: World, facts: dict[str, Any]) -> None:
    ausdc = world.token(AUSDC, "shipped")
    put_balances(world.lake, {(1, ausdc): 1})
    put_positions(world.lake, receipt(3, receipt_token_key=ausdc, **facts))
    assert world.failed() == {}


def put_reconciled(world: World, token: int, *rows: tuple[int, str], day: date = DAY) -> None:
    made = [
        {"wallet_key": number, "token_key": token, "difference": difference, "reason": reason}
        for number, (difference, reason) in enumerate(rows)
    ]
    frames = frame(made, BALANCE_RECONCILIATION_SCHEMA, "difference")
    world.lake.replace_chain(BALANCE_RECONCILIATION, day, "ethereum", frames)


def test_differences_that_nothing_explains_are_counted_and_named(world: World) -> None:
    token = world.token(FOUND, "discovered")
    good = [(0, "ok"), (5, "rebase"), (-1, "fee_on_transfer"), (9, "not_traceable"), (0, "stale")]
    put_reconciled(world, token, *good, day=BEFORE)
    put_reconciled(world, token)  # the running day has none yet
    assert world.failed() == {}
    put_reconciled(world, token, *good, (-(2**200), "unknown"), (4, "missing_logs"), day=BEFORE)
    found = world.failed()["balances_reconcile"]
    assert (found["severity"], found["compared"], found["unexplained"], found["share"]) == ("WARN", 5, 2, 0.4)
    assert f"ethereum on {BEFORE}: wallet 6, eip155:1/erc20:{FOUND}: 4 (missing_logs)" in found["first"]
    assert f"{-(2**200)} (unknown)" in found["first"]


def test_what_a_quarantined_token_says_of_transfers_is_nobodys_business(world: World) -> None:
    token = world.token(FOUND, "discovered")
    put_reconciled(world, token, (4, "missing_logs"))
    quarantine(world, token, datetime.now(UTC) - timedelta(days=3))
    assert world.failed() == {}


def quarantine(world: World, token: int, since: datetime) -> None:
    rows = pl.DataFrame([(token, 0.9, ["lure", "no_price"])], schema=VERDICTS, orient="row")
    set_quarantine(world.engine, rows, rows["token_key"], now=since)


def test_tokens_that_are_newly_distrusted_are_named_for_a_day(world: World) -> None:
    quarantine(world, world.token(AUSDC, "discovered"), datetime.now(UTC) - timedelta(days=3))
    assert world.failed() == {}
    quarantine(world, world.token(FOUND, "discovered"), datetime.now(UTC))
    found = world.failed()["spam_is_quarantined"]
    assert (found["severity"], found["quarantined"], found["since_yesterday"]) == ("WARN", 2, 1)
    assert found["first"] == "TOK on chain 1 (lure, no_price)"
    assert "portfolio tokens whitelist" in found["what_to_do"]


@pytest.fixture
def chain() -> Iterator[Anvil]:
    with Anvil(chain_id=1) as started:
        yield started


def put_block(world: World, chain: Anvil, day: date, **facts: Any) -> None:
    """A good read of the chain's newest block, recorded as whoever reads chains does."""
    block = chain.rpc("eth_getBlockByNumber", "latest", False)
    put_read(world.lake, day, block_number=int(block["number"], 16), block_hash=block["hash"], **facts)
    with world.connections.database.writer(world.lake, "reading") as writer:
        rows = pl.read_parquet(world.lake.path(CHAIN_READS, day, "ethereum"))
        writer.write(CHAIN_READS, day, rows, AT_CLOSE, READING_VERSION, "ethereum")


def due(world: World) -> list[tuple[date, str]]:
    """The days with reads that the next run reads again."""
    planned = due_chain_days(world.lake, world.connections.database, world.connections, datetime.now(UTC))
    return sorted({*planned} & world.lake.chain_days(CHAIN_READS))


def test_a_replaced_block_marks_its_day_for_reading_until_it_is_read_again(make_world: MakeWorld, chain: Anvil) -> None:
    world = make_world(f'enabled = ["ethereum"]\n[chain.ethereum]\nendpoints = ["{chain.url}"]\n')
    chain.mine()
    put_block(world, chain, BEFORE)
    snapshot = chain.rpc("evm_snapshot")
    chain.mine(12)
    put_block(world, chain, DAY)
    assert world.failed() == {}
    assert due(world) == []

    chain.rpc("evm_revert", snapshot)
    chain.mine(99)  # another block of that number
    found = world.failed()["no_block_was_reorganised"]
    assert (found["severity"], found["compared"], found["reorganised"], found["marked_for_reading"]) == (
        "WARN",
        2,
        1,
        1,
    )
    assert found["partitions"] == f"{DAY}/ethereum"
    assert due(world) == [(DAY, "ethereum")]
    assert world.failed()["no_block_was_reorganised"]["marked_for_reading"] == 0  # it is marked already

    put_block(world, chain, DAY)
    assert world.failed() == {}
    assert due(world) == []


def test_chains_whose_blocks_are_final_are_not_asked(make_world: MakeWorld) -> None:
    world = make_world('enabled = ["solana"]\n[chain.solana]\nendpoints = ["http://127.0.0.1:9"]\n')
    put_read(world.lake, chain="solana")
    assert world.failed() == {}
    recorded = world.connections.database.check_results().filter(pl.col("check_name") == "no_block_was_reorganised")
    assert '"not_compared": ""' in recorded["details"].item()


def test_a_chain_that_became_shorter_is_read_again(make_world: MakeWorld, chain: Anvil) -> None:
    world = make_world(f'enabled = ["ethereum"]\n[chain.ethereum]\nendpoints = ["{chain.url}"]\n')
    snapshot = chain.rpc("evm_snapshot")
    chain.mine()
    chain.mine()
    put_block(world, chain, DAY)
    chain.rpc("evm_revert", snapshot)
    assert world.failed()["no_block_was_reorganised"]["partitions"] == f"{DAY}/ethereum"
