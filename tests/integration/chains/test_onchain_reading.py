"""Several chains through the settings, the database and the lake, on local chains in the place of real ones."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa

from portfolio_pipelines.assets.chain_core import TABLES as TABLES_OF_CORE
from portfolio_pipelines.assets.chain_core import core_frames
from portfolio_pipelines.assets.chain_days import box
from portfolio_pipelines.assets.onchain import TABLES, read_chains
from portfolio_pipelines.assets.onchain_reading import OnchainReading
from portfolio_pipelines.automation.chain_planning import due_chain_days
from portfolio_pipelines.chain_tables import (
    CHAIN_READS,
    CHAIN_READS_SCHEMA,
    RECEIPT_RATIOS,
    RECEIPT_RATIOS_SCHEMA,
    WALLET_BALANCES,
    WALLET_BALANCES_SCHEMA,
)
from portfolio_pipelines.chains.last_good_balances import WalletBalances
from portfolio_pipelines.chains.protocols.pools import PoolFacts
from portfolio_pipelines.database.chain_tokens import chain_tokens_frame, ensure_tokens
from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.database.liquidity_import import import_liquidity
from portfolio_pipelines.database.receipts import receipts_frame, remember_receipts
from portfolio_pipelines.database.wallet_import import import_wallets
from portfolio_pipelines.resources.chain_connections import ChainConnections
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.last_good import last_good_balances
from portfolio_pipelines.settings import Settings
from tests.contracts.anvil import Anvil
from tests.contracts.artifacts import Artifact, Contract, deploy, place_multicall3
from tests.contracts.uniswap import add_liquidity, deploy_uniswap_v2_factory, new_pair, two_tokens
from tests.integration.chains.redis_server import RedisServer

ANN, BEN = "0x" + "a1" * 20, "0x" + "b2" * 20
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


class Two:
    """Abstract and Mode as local chains, an installation that reads them, and wallets of two users."""

    def __init__(
        self, abstract: Anvil, mode: Anvil, sources: dict[str, Artifact], home: Path, database: sa.Engine
    ) -> None:
        self.abstract, self.mode, self.home = abstract, mode, home
        self.urls = {"abstract": abstract.url, "mode": mode.url}
        self.settings = Settings(
            home=home, database_url=url_text(database.url), price_providers=(), discovery_days=1, _env_file=None
        )
        self.database, self.lake = Database(self.settings), Lake(self.settings.lake)
        self.other: Contract = deploy(mode, sources["TestToken"], "Other", "OTH", 18)
        self.configure()
        wallets = f"user_id,address,label,chains\nann,{ANN},main,\nben,{BEN},,mode\n"
        path = home / "wallets.csv"
        path.write_text(wallets)
        import_wallets(database, path, chains=self.connections.registry, who="test", resolve=None)

    def configure(self, **urls: str) -> None:
        """Where each chain is looked for."""
        self.urls |= urls
        chains = "".join(
            f'[chain.{slug}]\nendpoints = ["{url}"]\nconfirmations = 0\n' for slug, url in self.urls.items()
        )
        (self.home / "chains.toml").write_text(f'enabled = ["abstract", "mode"]\n{chains}')

    @property
    def connections(self) -> ChainConnections:
        settings = Settings(**{**self.settings.model_dump(), "home": self.home}, _env_file=None)
        return ChainConnections(settings, self.database)

    @property
    def today(self) -> date:
        return datetime.now(UTC).date()

    def read(self, *days: date) -> dict[tuple[date, str], str]:
        """Read some days of both chains; the status of each."""
        pairs = [(day, chain) for day in days or (self.today,) for chain in self.urls]
        done = OnchainReading(self.lake, self.database, self.connections, "run").read(pairs)
        return {(one.day, one.chain): one.status for one in done}

    def copy_core(self) -> None:
        """Copy wallets, chains and tokens into the lake, as a run does."""
        for name, frame in core_frames(self.database, self.connections).items():
            self.lake.replace_table(TABLES_OF_CORE[name][0], frame)

    def held(self, chain: str, day: date | None = None) -> dict[tuple[int, str], int]:
        """Balances by wallet and symbol."""
        tokens = chain_tokens_frame(self.database.engine).select("token_key", "symbol")
        rows = self.lake.read_chain(WALLET_BALANCES, day or self.today, chain, WALLET_BALANCES_SCHEMA)
        rows = rows.join(tokens, on="token_key")
        return {(wallet, symbol): int(raw) for wallet, symbol, raw in rows.select("wallet_key", "symbol", "raw").rows()}


@pytest.fixture(scope="module")
def pair(contracts_folder: Path) -> Iterator[tuple[Anvil, Anvil]]:
    with Anvil(chain_id=2741) as abstract, Anvil(chain_id=34443) as mode:
        for chain in (abstract, mode):
            place_multicall3(chain)
        yield abstract, mode


@pytest.fixture
def two(pair: tuple[Anvil, Anvil], sources: dict[str, Artifact], tmp_path: Path, database: sa.Engine) -> Iterator[Two]:
    abstract, mode = pair
    with abstract.reverted(), mode.reverted():
        world = Two(abstract, mode, sources, tmp_path, database)
        abstract.set_balance(ANN, 3 * 10**18)
        mode.set_balance(BEN, 7 * 10**18)
        world.other.send("mint", ANN, 55)
        yield world


def test_every_wallet_is_read_on_the_chains_it_names_and_on_all_when_it_names_none(two: Two) -> None:
    assert set(two.read().values()) == {"ok"}
    assert two.held("abstract") == {(1, "ETH"): 3 * 10**18}
    assert two.held("mode") == {(1, "OTH"): 55, (2, "ETH"): 7 * 10**18}


def test_what_is_held_is_priced_from_that_day_on(two: Two) -> None:
    two.read()
    held = {row["asset_id"]: row for row in two.database.held_assets().iter_rows(named=True)}
    assert held["coingecko:ethereum"]["coingecko_symbol"] == "ethereum"
    other = f"eip155:34443/erc20:{two.other.address}"
    assert held[other]["defillama_symbol"] == f"mode:{two.other.address}"
    assert held[other]["held_since"] == two.today
    assert len(held) == 2


def test_a_chain_that_is_gone_fails_alone_and_its_last_balances_stand_as_stale(two: Two) -> None:
    two.read()
    two.configure(mode="http://127.0.0.1:9")
    two.abstract.set_balance(ANN, 10**18)
    assert two.read() == {(two.today, "mode"): "failed", (two.today, "abstract"): "ok"}
    assert two.held("abstract") == {(1, "ETH"): 10**18}
    assert two.held("mode") == {(1, "OTH"): 55, (2, "ETH"): 7 * 10**18}
    stale = two.lake.read_chain(WALLET_BALANCES, two.today, "mode", WALLET_BALANCES_SCHEMA)["is_stale"]
    assert stale.all()

    two.configure(mode=two.mode.url)
    assert two.read()[two.today, "mode"] == "ok"
    healed = two.lake.read_chain(WALLET_BALANCES, two.today, "mode", WALLET_BALANCES_SCHEMA)["is_stale"]
    assert not healed.any()


def test_in_dagster_the_good_partitions_are_materialised_and_the_bad_ones_failed(two: Two) -> None:
    two.configure(mode="http://127.0.0.1:9")
    with dg.DagsterInstance.ephemeral() as instance:
        first, last = box([two.today], ["abstract", "mode"])
        defs = dg.Definitions(
            assets=[read_chains],
            jobs=[dg.define_asset_job("onchain", selection=[read_chains])],
            resources={"lake": two.lake, "database": two.database, "chains": two.connections},
            executor=dg.in_process_executor,
        )
        result = defs.resolve_job_def("onchain").execute_in_process(
            tags={RANGE_START: first, RANGE_END: last}, instance=instance, raise_on_error=False
        )
        assert not result.success
        (failure,) = [event for event in result.all_events if event.is_step_failure]
        assert "mode" in str(failure.step_failure_data.user_failure_data.description)
        for name in TABLES:
            done = instance.get_materialized_partitions(dg.AssetKey(name))
            assert f"abstract|{two.today}" in done
            assert f"mode|{two.today}" not in done


def test_a_closed_day_is_due_until_it_was_read_at_its_close(two: Two) -> None:
    yesterday, now = two.today - timedelta(days=1), datetime.now(UTC)

    def due(at: datetime = now) -> set[tuple[date, str]]:
        return set(due_chain_days(two.lake, two.database, two.connections, at))

    assert due() == {(two.today, "abstract"), (two.today, "mode")}
    two.read()
    tomorrow = now + timedelta(days=1)
    assert due(tomorrow) == {(day, chain) for day in (two.today, tomorrow.date()) for chain in two.urls}
    assert (yesterday, "mode") not in due(), "a chain is due from the day on which it was first read"

    assert set(two.read(yesterday).values()) == {"failed"}, "the chains began today: there is no block that old"
    assert (yesterday, "mode") in due()
    assert (yesterday, "mode") not in due(now + timedelta(days=8)), "nothing is asked for ever"


def test_the_last_good_balances_are_found_in_redis_and_in_the_lake_when_it_is_gone(two: Two, tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    try:
        two.settings = Settings(**{**two.settings.model_dump(), "redis_url": server.url}, _env_file=None)
        two.read()
        keys = {key.decode().rpartition(":balances:1:")[2] for key in server.client().keys("*")}
        assert keys == {f"abstract:{ANN}", f"mode:{ANN}", f"mode:{BEN}"}
        found = asyncio.run(last_good(two))
    finally:
        server.kill()
    assert found[BEN].raw == {"eip155:34443/slip44:60": 7 * 10**18}
    assert found[ANN].raw == {f"eip155:34443/erc20:{two.other.address}": 55}
    two.copy_core()
    assert asyncio.run(last_good(two)) == found, "Redis is only a faster way to what the lake says"


async def last_good(two: Two) -> dict[str, WalletBalances]:
    async with last_good_balances(two.settings, two.lake) as known:
        return await known.of("mode", [ANN, BEN])


def test_nothing_is_read_for_nobody(two: Two) -> None:
    done = OnchainReading(two.lake, two.database, two.connections, "run").read([(two.today, "gnosis")])
    assert [one.status for one in done] == ["current"]
    assert two.lake.chain_days(CHAIN_READS) == set()


def test_every_read_stays_in_the_record(two: Two) -> None:
    two.read()
    two.configure(mode="http://127.0.0.1:9")
    two.read()
    reads = two.lake.read_chain(CHAIN_READS, two.today, "mode", CHAIN_READS_SCHEMA)
    assert reads["status"].to_list() == ["ok", "failed"]
    assert reads.filter(pl.col("status") == "failed")["reason"].str.contains("mode at ").all()


def test_a_receipt_is_asked_once_and_what_it_stands_for_is_priced(two: Two, sources: dict[str, Artifact]) -> None:
    chain = two.mode
    coin = deploy(chain, sources["TestToken"], "Coin", "COIN", 6)
    vault = deploy(chain, sources["TestVault"], coin.address, 12)
    coin.send("mint", chain.accounts[1], 10**9)
    coin.send("approve", vault.address, 10**9, sender=chain.accounts[1])
    vault.send("deposit", 10**9, ANN, sender=chain.accounts[1])
    coin.send("mint", vault.address, 10**9)
    two.read()
    known = receipts_frame(two.database.engine).drop_nulls("receipt_kind")
    kinds = {row["address"]: (row["receipt_kind"], row["receipt_underlying"]) for row in known.iter_rows(named=True)}
    assert kinds == {
        vault.address: ("erc4626", coin.address), coin.address: ("none", None), two.other.address: ("none", None),
    }  # fmt: skip
    keys = dict(chain_tokens_frame(two.database.engine).select("address", "token_key").iter_rows())
    ratios = two.lake.read_chain(RECEIPT_RATIOS, two.today, "mode", RECEIPT_RATIOS_SCHEMA)
    assert ratios.select("token_key", "underlying_token_key").rows() == [(keys[vault.address], keys[coin.address])]
    assert ratios["ratio"].to_list() == [pytest.approx(2.0, rel=1e-6)]
    held = set(two.database.held_assets()["asset_id"])
    assert {f"eip155:34443/erc20:{vault.address}", f"eip155:34443/erc20:{coin.address}"} <= held

    # What is remembered counts: the contract is not asked again what it is.
    with two.database.engine.begin() as connection:
        connection.execute(sa.text("update app.chain_tokens set receipt_kind = 'none', receipt_underlying = null"))
    two.read()
    assert two.lake.read_chain(RECEIPT_RATIOS, two.today, "mode", RECEIPT_RATIOS_SCHEMA).is_empty()


def priced_as(two: Two, address: str) -> str | None:
    tokens = core_frames(two.database, two.connections)["chain_tokens"]
    found: dict[str, str | None] = dict(tokens.select("address", "price_asset_id").iter_rows())
    return found[address]


def test_a_receipt_that_no_provider_knows_is_priced_under_its_own_name(two: Two) -> None:
    rows = pl.DataFrame({"chain_id": [5], "address": ["0x" + "11" * 20], "asset_id": ["eip155:5/erc20:0x" + "11" * 20]})
    ensure_tokens(two.database.engine, rows.with_columns(decimals=pl.lit(18, pl.Int16)), source="discovered")
    assert priced_as(two, "0x" + "11" * 20) is None
    remember_receipts(two.database.engine, 5, [("0x" + "11" * 20, "erc4626", "0x" + "22" * 20, None)])
    assert priced_as(two, "0x" + "11" * 20) == "eip155:5/erc20:0x" + "11" * 20


def test_the_coins_of_a_pool_are_priced_although_no_wallet_holds_them(two: Two, sources: dict[str, Artifact]) -> None:
    coins = two_tokens(two.mode, sources)
    pair = new_pair(deploy_uniswap_v2_factory(two.mode), coins)
    add_liquidity(pair, coins, (10**6, 10**6), two.mode.accounts[3])
    text = f"user_id,pool,chain,entry_price,entry_date\nann,{pair.address},mode,1,2025-03-01\n"
    facts = PoolFacts("uniswap_v2", tuple(coin.address for coin in coins), True, {})
    import_liquidity(
        two.database.engine, text.encode(), chains=two.connections.registry, first_day=date(2013, 1, 1), who="test",
        check=lambda pools: dict.fromkeys(pools, facts), name="pools.csv",
    )  # fmt: skip
    two.read()
    held = set(two.database.held_assets()["asset_id"])
    assert {f"eip155:34443/erc20:{coin.address}" for coin in coins} <= held
