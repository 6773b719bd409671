"""Pools and NFTs day after day: read with the balances, carried as stale when they or the chain cannot be read."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from portfolio_pipelines.assets.chain_reading import ChainDayReader, ChainDayRows
from portfolio_pipelines.assets.chain_work import ChainWork
from portfolio_pipelines.chain_tables import DEFI_POSITIONS, POOL_STATES
from portfolio_pipelines.chains.chain_reading import NATIVE, ChainReading
from portfolio_pipelines.chains.deployments import Deployments, PairFactory
from portfolio_pipelines.chains.evm_reading import EvmReader
from portfolio_pipelines.chains.protocols.pool_states import PoolRequest
from portfolio_pipelines.chains.registry import Chain
from portfolio_pipelines.resources.lake import Lake
from tests.contracts.anvil import MULTICALL3, Anvil
from tests.contracts.artifacts import Artifact, deploy
from tests.contracts.plain_node import PlainNode
from tests.contracts.uniswap import add_liquidity, deploy_uniswap_v2_factory, new_pair, swap_in_pair, two_tokens

ANA = "0x" + "a1" * 20
ROW = Chain(31337, "local", "Local", "ETH", "local", multicall3=MULTICALL3)
WALLETS = pl.DataFrame({"wallet_key": [1], "address": [ANA]}, schema_overrides={"wallet_key": pl.Int32})


@dataclass
class Days:
    """Reads and stores the running day of a chain, as of its own time."""

    chain: Anvil
    lake: Lake
    deployments: Deployments
    pools: tuple[PoolRequest, ...] = ()
    keys: dict[str, int] = field(default_factory=lambda: {NATIVE: 100})

    def read(self, url: str | None = None) -> ChainDayRows:
        now = datetime.fromtimestamp(self.chain.now, UTC)
        work = ChainWork(ROW, WALLETS, (), frozenset(), (), dict(self.keys), timedelta(days=1), self.pools)
        reader = EvmReader(PlainNode(url or self.chain.url, self.chain.chain_id), ROW, self.deployments)
        rows = asyncio.run(ChainDayReader(self.lake, work, reader, self._keys_of, now).read(now.date()))
        for table, frame in rows.tables.items():
            self.lake.replace_chain(table, now.date(), "local", frame)
        return rows

    def _keys_of(self, _: Chain, reading: ChainReading) -> Mapping[str, int]:
        for token in reading.new_tokens["token"]:
            self.keys.setdefault(token, 100 + len(self.keys))
        return self.keys


@pytest.fixture
def chain_of_the_morning(chain: Anvil) -> Anvil:
    day = timedelta(days=1).total_seconds()
    chain.mine(int(day - chain.now % day) + 60)
    return chain


def reserves(rows: ChainDayRows) -> list[tuple[int, bool]]:
    return [(int(row["reserve"]), row["is_stale"]) for row in rows.tables[POOL_STATES].iter_rows(named=True)]


def test_a_pool_is_kept_day_by_day_and_is_stale_while_it_cannot_be_read(
    chain_of_the_morning: Anvil, sources: dict[str, Artifact], tmp_path: Path
) -> None:
    chain, tokens = chain_of_the_morning, two_tokens(chain_of_the_morning, sources)
    factory = deploy_uniswap_v2_factory(chain)
    pair = new_pair(factory, tokens)
    add_liquidity(pair, tokens, (10**6, 10**6), chain.accounts[1])
    known = Deployments(31337, uniswap_v2_factories=(PairFactory("uniswap_v2", factory.address),))
    days = Days(chain, Lake(tmp_path), known, (PoolRequest("uniswap_v2", pair.address),))
    first = days.read()
    assert (first.fault, reserves(first)) == (None, [(10**6, False)] * 2)
    assert first.tables[POOL_STATES]["token_key"].to_list() == [days.keys[token.address] for token in tokens]

    swap_in_pair(pair, tokens, 0, 1_000)
    chain.mine(3600)
    assert reserves(days.read(url="http://127.0.0.1:9")) == [(10**6, True)] * 2
    assert reserves(days.read())[0] == (10**6 + 1_000, False)
    chain.mine(86_400)
    chain.set_code(pair.address, bytes.fromhex("fe"))
    broken = days.read()
    assert pair.address in (broken.fault or "")
    assert reserves(broken)[0] == (10**6 + 1_000, True)
    days.pools = ()
    assert reserves(days.read()) == []


def test_nfts_and_pair_tokens_of_the_last_read_are_looked_for_again(
    chain_of_the_morning: Anvil, sources: dict[str, Artifact], tmp_path: Path
) -> None:
    chain, tokens = chain_of_the_morning, two_tokens(chain_of_the_morning, sources)
    factory = deploy_uniswap_v2_factory(chain)
    pair, nfts = new_pair(factory, tokens), deploy(chain, sources["TestCollection"])
    add_liquidity(pair, tokens, (10**6, 10**6), ANA)
    nfts.send("mint", ANA, 1)
    known = Deployments(31337, uniswap_v2_factories=(PairFactory("uniswap_v2", factory.address),))
    days = Days(chain, Lake(tmp_path), known)
    for _ in range(3):  # at the second and third nothing moved
        rows = days.read()
        assert rows.fault is None
        assert sorted(set(rows.tables[DEFI_POSITIONS]["protocol"])) == ["erc721", "uniswap_v2"]
        assert not rows.tables[DEFI_POSITIONS]["is_stale"].any()
        chain.mine(3600)
    nfts.send("burn", 1)
    assert set(days.read().tables[DEFI_POSITIONS]["protocol"]) == {"uniswap_v2"}
