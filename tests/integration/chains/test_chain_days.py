"""One chain day after day on a real node: what the lake holds after each read, and when the node is gone."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from portfolio_pipelines.assets.chain_reading import ChainDayReader, ChainDayRows, ChainWork
from portfolio_pipelines.chain_tables import (
    BALANCE_CHANGES,
    CHAIN_READS,
    TOKEN_TRANSFERS,
    WALLET_BALANCES,
)
from portfolio_pipelines.chains.chain_reading import NATIVE, ChainReading
from portfolio_pipelines.chains.deployments import Deployments
from portfolio_pipelines.chains.evm_reading import EvmReader
from portfolio_pipelines.chains.registry import Chain
from portfolio_pipelines.chains.rpc.errors import StateUnavailable
from portfolio_pipelines.resources.lake import Lake
from tests.contracts.anvil import MULTICALL3, Anvil
from tests.contracts.artifacts import Artifact, Contract, deploy
from tests.contracts.plain_node import PlainNode

ANA, BOB = "0x" + "a1" * 20, "0x" + "b2" * 20
KEYS = {ANA: 1, BOB: 2}
ROW = Chain(31337, "local", "Local", "ETH", "local", multicall3=MULTICALL3)


class World:
    """A chain with a listed and an unlisted token, two wallets, and a lake."""

    def __init__(self, chain: Anvil, sources: Mapping[str, Artifact], folder: Path) -> None:
        self.chain, self.lake = chain, Lake(folder)
        self.listed = deploy(chain, sources["TestToken"], "Listed", "LST", 6)
        self.other = deploy(chain, sources["TestToken"], "Other", "OTH", 18)
        self.keys = {NATIVE: 100, self.listed.address: 101}
        self.today = datetime.fromtimestamp(chain.now, UTC).date()

    def next_day(self) -> None:
        midnight = datetime.combine(self.today + timedelta(days=1), datetime.min.time(), UTC)
        self.chain.mine(int(midnight.timestamp()) - self.chain.now + 60)
        self.today += timedelta(days=1)

    def read(self, day: date | None = None, node: PlainNode | None = None) -> ChainDayRows:
        """Read and store a day, as of the chain's own time."""
        reader = EvmReader(node or PlainNode(self.chain.url, self.chain.chain_id), ROW, Deployments(31337))
        wallets = pl.DataFrame(
            {"wallet_key": list(KEYS.values()), "address": list(KEYS)}, schema_overrides={"wallet_key": pl.Int32}
        )
        work = ChainWork(
            ROW, wallets, (self.listed.address,), frozenset(), (), dict(self.keys), timedelta(days=1)
        )  # fmt: skip
        now = datetime.fromtimestamp(self.chain.now, UTC)
        days = ChainDayReader(self.lake, work, reader, self._keys_of, now)
        rows = asyncio.run(days.read(day or self.today))
        for table, frame in rows.tables.items():
            self.lake.replace_chain(table, day or self.today, "local", frame)
        return rows

    def _keys_of(self, _chain: Chain, reading: ChainReading) -> Mapping[str, int]:
        for token in reading.new_tokens["token"]:
            self.keys.setdefault(token, 100 + len(self.keys))
        return self.keys

    def raws(self, rows: ChainDayRows, table: str = WALLET_BALANCES) -> dict[tuple[int, int], int]:
        frame = rows.tables[table]
        return {(row["wallet_key"], row["token_key"]): int(row["raw"]) for row in frame.iter_rows(named=True)}

    def key(self, token: Contract) -> int:
        return self.keys[token.address]


@pytest.fixture
def world(chain: Anvil, sources: dict[str, Artifact], tmp_path: Path) -> World:
    found = World(chain, sources, tmp_path)
    found.next_day()
    chain.set_balance(ANA, 5 * 10**18)
    found.listed.send("mint", ANA, 1_000_000)
    return found


def test_coin_listed_and_newly_received_tokens_are_read_at_one_block(world: World) -> None:
    world.other.send("mint", BOB, 7)
    rows = world.read()

    assert rows.fault is None
    assert world.raws(rows) == {(1, 100): 5 * 10**18, (1, 101): 1_000_000, (2, world.key(world.other)): 7}
    assert rows.tables[WALLET_BALANCES]["block_number"].unique().to_list() == [world.chain.height]
    transfers = rows.tables[TOKEN_TRANSFERS].select("wallet_key", "direction", pl.col("raw").cast(pl.Int64))
    assert transfers.rows() == [(1, "in", 1_000_000), (2, "in", 7)]


def test_an_hour_later_only_what_changed_is_added(world: World) -> None:
    world.read()
    world.listed.send("burn", ANA, 400_000)
    world.chain.mine(3600)
    rows = world.read()

    changes = rows.tables[BALANCE_CHANGES].filter(pl.col("as_of") == pl.col("as_of").max())
    assert [(row["wallet_key"], row["token_key"], int(row["raw"])) for row in changes.iter_rows(named=True)] == [
        (1, 101, 600_000)
    ]
    assert rows.tables[CHAIN_READS]["status"].to_list() == ["ok", "ok"]
    assert rows.tables[TOKEN_TRANSFERS]["direction"].to_list() == ["in", "out"]


def test_a_closed_day_read_again_gives_the_same_bytes_and_not_the_next_days_balances(world: World) -> None:
    world.read()
    day = world.today
    world.next_day()
    world.listed.send("mint", ANA, 55)
    closed = world.read(day)
    paths = {table: world.lake.path(table, day, "local") for table in closed.tables}
    before = {table: path.read_bytes() for table, path in paths.items()}
    again = world.read(day)

    assert world.raws(again)[1, 101] == 1_000_000
    assert again.tables[CHAIN_READS]["is_close"].to_list()[-1] is True
    assert {table: path.read_bytes() for table, path in paths.items()} == before


class Forgetful(PlainNode):
    """A node that keeps the state of its newest block alone, as most public endpoints nearly do."""

    async def request(self, method: str, params: Sequence[Any]) -> Any:
        asked = params[1] if method in {"eth_call", "eth_getBalance"} else None
        if asked is not None and int(asked, 16) < int(await super().request("eth_blockNumber", []), 16):
            raise StateUnavailable(self.name, "forgetful", f"the state of block {int(asked, 16)} is gone")
        return await super().request(method, params)


def test_where_a_node_forgets_the_close_the_last_read_of_the_day_stands_for_it(world: World) -> None:
    world.read()
    day, node = world.today, Forgetful(world.chain.url, 31337)
    world.next_day()
    world.listed.send("mint", ANA, 55)
    closed = world.read(day, node=node)
    assert closed.fault is None
    assert world.raws(closed)[1, 101] == 1_000_000
    assert not closed.tables[WALLET_BALANCES]["is_stale"].any()
    assert closed.tables[CHAIN_READS]["is_close"].to_list() == [False], "nobody claims that it is the close"

    never_read = world.read(day - timedelta(days=1), node=node)
    assert never_read.fault is not None
    assert "cannot be read" in never_read.fault or "is gone" in never_read.fault


def test_when_the_node_is_gone_the_last_good_balances_stay_and_are_stale_until_it_is_back(world: World) -> None:
    good = world.read()
    gone = PlainNode("http://127.0.0.1:9", 31337, name="local")
    bad = world.read(node=gone)

    assert bad.fault is not None
    assert "local at" in bad.fault
    assert world.raws(bad) == world.raws(good)
    assert bad.tables[WALLET_BALANCES]["is_stale"].all()
    assert bad.tables[WALLET_BALANCES]["as_of"].to_list() == good.tables[WALLET_BALANCES]["as_of"].to_list()
    assert bad.tables[CHAIN_READS]["status"].to_list() == ["ok", "failed"]

    world.chain.mine(3600)
    healed = world.read()
    assert healed.fault is None
    assert not healed.tables[WALLET_BALANCES]["is_stale"].any()
    assert healed.tables[CHAIN_READS]["status"].to_list() == ["ok", "failed", "ok"]


def test_a_token_that_stops_answering_costs_only_its_own_balances(world: World) -> None:
    world.read()
    world.chain.set_code(world.listed.address, bytes.fromhex("fe"))  # an invalid instruction
    world.chain.mine(3600)
    rows = world.read()

    stale = {row["token_key"]: row["is_stale"] for row in rows.tables[WALLET_BALANCES].iter_rows(named=True)}
    assert stale == {100: False, 101: True}
    assert rows.fault is not None
    assert world.listed.address in rows.fault
    assert rows.tables[CHAIN_READS]["status"].to_list() == ["ok", "partial"]
