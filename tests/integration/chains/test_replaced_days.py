"""A day of a chain whose blocks are replaced between two reads: what was undone leaves the day, what is new enters."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from portfolio_pipelines.assets.chain_reading import ChainDayReader, ChainDayRows, ChainWork
from portfolio_pipelines.chain_tables import CHAIN_READS, TOKEN_TRANSFERS, WALLET_BALANCES
from portfolio_pipelines.chains.chain_reading import NATIVE
from portfolio_pipelines.chains.deployments import Deployments
from portfolio_pipelines.chains.evm_reading import EvmReader
from portfolio_pipelines.chains.registry import Chain
from portfolio_pipelines.resources.lake import Lake
from tests.contracts.anvil import MULTICALL3, Anvil
from tests.contracts.artifacts import Artifact, Contract, deploy
from tests.contracts.plain_node import PlainNode

ANA = "0x" + "a1" * 20
ROW = Chain(31337, "local", "Local", "ETH", "local", multicall3=MULTICALL3)
WALLETS = pl.DataFrame({"wallet_key": [1], "address": [ANA]}, schema_overrides={"wallet_key": pl.Int32})


@pytest.fixture
def token(chain: Anvil, sources: dict[str, Artifact]) -> Contract:
    """A token on a chain whose day has just begun."""
    found = deploy(chain, sources["TestToken"], "Listed", "LST", 6)
    day = timedelta(days=1).total_seconds()
    chain.mine(int(day - chain.now % day) + 60)
    return found


def read(chain: Anvil, lake: Lake, token: Contract) -> ChainDayRows:
    """Read and store the running day, as of the chain's own time."""
    now = datetime.fromtimestamp(chain.now, UTC)
    work = ChainWork(
        ROW, WALLETS, (token.address,), frozenset(), (), {NATIVE: 100, token.address: 101}, timedelta(days=1)
    )
    reader = EvmReader(PlainNode(chain.url, chain.chain_id), ROW, Deployments(31337))
    rows = asyncio.run(ChainDayReader(lake, work, reader, lambda *_: {}, now).read(now.date()))
    assert rows.fault is None
    for table, frame in rows.tables.items():
        lake.replace_chain(table, now.date(), "local", frame)
    return rows


def transfers(rows: ChainDayRows) -> list[int]:
    return [int(raw) for raw in rows.tables[TOKEN_TRANSFERS]["raw"]]


def balances(rows: ChainDayRows) -> list[int]:
    return [int(raw) for raw in rows.tables[WALLET_BALANCES]["raw"]]


def test_a_transfer_that_was_undone_leaves_the_day_and_the_one_in_its_place_enters(
    chain: Anvil, token: Contract, tmp_path: Path
) -> None:
    lake = Lake(tmp_path)
    token.send("mint", ANA, 1)
    assert transfers(read(chain, lake, token)) == [1]
    with chain.reverted():
        token.send("mint", ANA, 20)
        chain.mine(60)
        assert transfers(read(chain, lake, token)) == [1, 20]
    chain.mine(30)
    token.send("mint", ANA, 300)
    chain.mine(3600)
    rows = read(chain, lake, token)
    assert (transfers(rows), balances(rows)) == ([1, 300], [301])
    assert rows.tables[CHAIN_READS]["status"].to_list() == ["ok"] * 3


def test_reads_of_a_branch_that_is_gone_whole_are_replaced_from_the_beginning_of_the_day(
    chain: Anvil, token: Contract, tmp_path: Path
) -> None:
    lake = Lake(tmp_path)
    token.send("mint", ANA, 1)
    with chain.reverted():
        for raw in (20, 40):
            token.send("mint", ANA, raw)
            chain.mine(60)
            rows = read(chain, lake, token)
        assert transfers(rows) == [1, 20, 40]
    chain.mine(30)
    token.send("mint", ANA, 300)
    assert transfers(read(chain, lake, token)) == [1, 300]


def test_after_a_read_that_stepped_back_the_next_one_begins_there(
    chain: Anvil, token: Contract, tmp_path: Path
) -> None:
    """An endpoint that was left behind shows an older state: what is stored from beyond is told again later."""
    lake = Lake(tmp_path)
    token.send("mint", ANA, 1)
    read(chain, lake, token)
    with chain.reverted():
        token.send("mint", ANA, 20)
        ahead = chain.height
        assert transfers(read(chain, lake, token)) == [1, 20]
    assert chain.height < ahead
    chain.mine(1)
    assert transfers(read(chain, lake, token)) == [1]
    token.send("mint", ANA, 300)
    assert transfers(read(chain, lake, token)) == [1, 300]
