"""Which tokens in wallets are spam: evidence out of a lake, verdicts into a real database."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from portfolio_pipelines.assets.token_trust import Judgement, judge_tokens, token_quarantine
from portfolio_pipelines.chain_tables import RECEIPT_RATIOS, RECEIPT_RATIOS_SCHEMA
from portfolio_pipelines.chains.asset_ids import token_asset_id
from portfolio_pipelines.database.chain_tokens import ensure_tokens
from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.database.token_trust import quarantine_frame, whitelist_token
from portfolio_pipelines.resources.chain_connections import ChainConnections
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.settings import Settings
from portfolio_pipelines.tables import PRICES, PRICES_SCHEMA
from tests.integration.checks.chain_lake import BEFORE, DAY, moved, put_balances, put_positions, put_transfers

USDC = "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"  # in the shipped list
ETHER = 10**18
CLAIM = {"symbol": "USDC Claim", "name": "Visit usdc-claim.com to claim"}
HONEST = {"symbol": "FROG", "name": "Froggy"}


@dataclass
class World:
    """A lake and a database with the tokens of some wallets on Ethereum."""

    lake: Lake
    connections: ChainConnections

    @property
    def database(self) -> Database:
        return self.connections.database

    def token(self, address: str, source: str = "discovered", **facts: Any) -> int:
        row = {"chain_id": 1, "address": address, "asset_id": token_asset_id(1, address), "decimals": 18} | facts
        if address == "native":
            row["asset_id"] = "eip155:1/slip44:60"
        rows = pl.DataFrame([row], schema_overrides={"decimals": pl.Int16})
        return int(ensure_tokens(self.database.engine, rows, source=source)["token_key"].item())

    def prices(self, quotes: Mapping[str, tuple[float | None, int]], day: date = DAY, status: str = "ok") -> None:
        rows = [
            {"asset_id": asset, "close_usd": close, "status": status, "n_quotes": count}
            for asset, (close, count) in quotes.items()
        ]
        schema = pl.Schema({name: kind for name, kind in PRICES_SCHEMA.items() if name != "date"})
        self.lake.replace(PRICES, day, pl.DataFrame(rows, schema=schema))

    def judge(self) -> Judgement:
        return judge_tokens(self.database, self.lake, self.connections.registry, self.connections.tokens)

    @property
    def quarantined(self) -> dict[int, list[str]]:
        return dict(quarantine_frame(self.database.engine).select("token_key", "reasons").iter_rows())


@pytest.fixture
def world(database: sa.Engine, tmp_path: Path) -> World:
    settings = Settings(home=tmp_path, database_url=SecretStr(url_text(database.url)))
    return World(Lake(tmp_path / "lake"), ChainConnections(settings, Database(settings)))


def address(number: int) -> str:
    return f"0x{number:040x}"


def test_a_lake_without_anything_gives_no_verdicts(world: World) -> None:
    found = world.judge()
    assert (found.judged, found.quarantined, found.added, found.released) == (0, 0, 0, 0)


def test_held_spam_is_quarantined_and_what_nobody_holds_is_not_looked_at(world: World) -> None:
    spam, honest, gone = (
        world.token(address(1), **CLAIM),
        world.token(address(2), **HONEST),
        world.token(address(3), **CLAIM),
    )
    put_balances(world.lake, {(1, gone): 7, (1, spam): 7}, BEFORE)
    put_balances(world.lake, {(1, spam): 7, (1, honest): 7})
    found = world.judge()
    assert (found.judged, found.quarantined, found.added) == (2, 1, 1)
    assert list(world.quarantined) == [spam]
    assert found.reasons == {"address_in_text": 1}
    assert found.worst["token"].to_list() == [address(1)]


def test_the_newest_state_of_each_chain_counts_and_tokens_inside_positions_too(world: World) -> None:
    here, there, inside = (world.token(address(number), **CLAIM) for number in (1, 2, 3))
    put_balances(world.lake, {(1, here): 7})
    put_balances(world.lake, {(1, there): 7}, BEFORE, chain="base")
    put_positions(world.lake, {"wallet_key": 1, "token_key": inside, "raw": 5}, {"wallet_key": 1})
    world.judge()
    assert set(world.quarantined) == {here, there, inside}


def test_listed_and_added_tokens_and_coins_are_never_judged(world: World) -> None:
    keys = [
        world.token(USDC, **CLAIM),
        world.token(address(1), "user", **CLAIM),
        world.token(address(2), "shipped", **CLAIM),
        world.token("native", **CLAIM),
    ]
    put_balances(world.lake, {(1, key): 7 for key in keys})
    assert world.judge().judged == 0


def test_a_token_that_somebody_adds_is_released(world: World) -> None:
    spam = world.token(address(1), **CLAIM)
    put_balances(world.lake, {(1, spam): 7})
    assert world.judge().added == 1
    world.token(address(1), "user", **CLAIM)
    assert world.judge().released == 1
    assert world.quarantined == {}


def test_vouching_for_everyone_releases_and_vouching_for_oneself_does_not(world: World) -> None:
    one, two = world.token(address(1), **CLAIM), world.token(address(2), **CLAIM)
    put_balances(world.lake, {(1, one): 7, (1, two): 7})
    engine = world.database.engine
    with engine.begin() as connection:
        connection.execute(sa.text("insert into app.users (user_id) values ('ana')"))
    world.judge()
    whitelist_token(engine, one, who="the desk", why="it is ours")
    whitelist_token(engine, two, who="ana", why="I like it", user_id="ana")
    world.judge()
    assert list(world.quarantined) == [two]


def test_a_worthless_gift_with_one_price_that_fills_the_wallet_is_spam(world: World) -> None:
    gift, usdc, coin = (
        world.token(address(1), **HONEST),
        world.token(USDC, "shipped", decimals=6),
        world.token("native"),
    )
    put_balances(world.lake, {(1, usdc): 100_000_000, (1, gift): 5 * ETHER, (2, coin): ETHER})
    prices = {token_asset_id(1, address(1)): (1_000.0, 1), "coingecko:usd-coin": (1.0, 2)}
    world.prices(prices)
    put_transfers(world.lake, moved(1, gift, "in", 5 * ETHER))
    world.judge()
    assert world.quarantined == {gift: ["absurd_share", "unsolicited", "one_price_source"]}

    put_balances(world.lake, {(1, usdc): 100_000_000_000, (1, gift): 5 * ETHER})  # a small part of the wallet
    world.judge()
    assert world.quarantined == {}


def test_a_balance_beyond_38_digits_is_worth_what_it_claims(world: World) -> None:
    gift = world.token(address(1), **HONEST)
    put_balances(world.lake, {(1, gift): 2**255})
    world.prices({token_asset_id(1, address(1)): (1.0, 1), "coingecko:usd-coin": (1.0, 2)})
    put_transfers(world.lake, moved(1, gift, "in", 2**255))
    world.judge()
    assert "absurd_share" in world.quarantined[gift]


@pytest.mark.parametrize(
    ("transfer", "is_bought"),
    [
        ({"token": "gift", "direction": "out", "raw": 1}, True),
        ({"token": "gift", "direction": "out", "raw": 0}, False),
        ({"token": "usdc", "direction": "out", "raw": 5, "tx_hash": "0xswap"}, True),
        ({"token": "usdc", "direction": "out", "raw": 0, "tx_hash": "0xswap"}, False),
        ({"token": "usdc", "direction": "out", "raw": 5, "tx_hash": "0xother"}, False),
        ({"token": "usdc", "direction": "out", "raw": 5, "tx_hash": "0xswap", "wallet_key": 2}, False),
    ],
)
def test_a_token_that_was_sent_or_paid_for_is_no_gift(world: World, transfer: dict[str, Any], is_bought: bool) -> None:
    keys = {"gift": world.token(address(1), **HONEST), "usdc": world.token(USDC, "shipped", decimals=6)}
    put_balances(world.lake, {(1, keys["gift"]): 5 * ETHER})
    world.prices({token_asset_id(1, address(1)): (1_000.0, 1), "coingecko:usd-coin": (1.0, 2)})
    came = moved(1, keys["gift"], "in", 5 * ETHER, tx_hash="0xswap")
    put_transfers(world.lake, came, {"wallet_key": 1} | transfer | {"token_key": keys[transfer["token"]]})
    world.judge()
    assert (keys["gift"] not in world.quarantined) == is_bought


def test_what_came_to_many_wallets_at_once_is_an_airdrop_and_stays_one_when_its_transfers_are_old(world: World) -> None:
    gift = world.token(address(1), symbol="", name="")
    put_balances(world.lake, {(1, gift): 7})
    put_transfers(world.lake, *(moved(wallet, gift, "in", 7, tx_hash="0xdrop") for wallet in range(6)))
    assert world.judge().added == 1
    assert world.quarantined == {gift: ["mass_airdrop", "no_text", "unsolicited"]}

    for later in range(1, 32):  # newer days in which nothing moved
        put_transfers(world.lake, day=DAY + timedelta(days=later))
    found = world.judge()
    assert (found.quarantined, found.released) == (1, 0)


def test_no_provider_is_no_evidence_when_it_was_not_asked(world: World) -> None:
    gift = world.token(address(1), symbol="PRIZE", name="airdrop")  # a lure: just enough
    other = world.token(address(2), symbol="GOOD", name="Voucher 10 eth")
    put_balances(world.lake, {(1, gift): 7, (1, other): 7})
    world.judge()
    before = world.quarantined
    world.prices({token_asset_id(1, address(1)): (None, 0)}, status="rate_limited")
    world.judge()
    assert world.quarantined == before
    world.prices({token_asset_id(1, address(1)): (None, 0)}, status="no_source")
    world.judge()
    assert world.quarantined[gift] == [*before[gift], "no_price"]


def test_one_source_is_no_doubt_where_only_one_provider_is_asked(world: World) -> None:
    gift = world.token(address(1), **HONEST)
    put_balances(world.lake, {(1, gift): 5 * ETHER})
    put_transfers(world.lake, moved(1, gift, "in", 5 * ETHER))
    world.prices({token_asset_id(1, address(1)): (1_000.0, 1), "coingecko:usd-coin": (1.0, 1)})
    world.judge()
    assert world.quarantined == {}


def test_the_asset_reports_counts_and_the_strongest_reasons(world: World) -> None:
    spam = world.token(address(1), **CLAIM)
    put_balances(world.lake, {(1, spam): 7})
    stand_ins = [dg.asset(lambda: None, name=name) for name in ("wallet_balances", "prices_daily")]
    resources = {"lake": world.lake, "database": world.database, "chains": world.connections}
    defs = dg.Definitions(
        assets=[*stand_ins, token_quarantine],
        jobs=[dg.define_asset_job("judge", selection=[token_quarantine])],
        resources=resources,
        executor=dg.in_process_executor,
    )
    result = defs.resolve_job_def("judge").execute_in_process()
    (event,) = result.asset_materializations_for_node("token_quarantine")
    told = {name: value.value for name, value in event.metadata.items()}
    assert told["dagster/row_count"] == told["judged"] == told["newly_quarantined"] == 1
    assert told["strongest_reasons"] == {"address_in_text": 1}
    assert "USDC Claim" in told["worst"]


@pytest.mark.parametrize("paid", [False, True])
def test_a_vault_that_came_unasked_is_not_believed_what_it_says_it_is_worth(world: World, paid: bool) -> None:
    vault, outer, usdc = (
        world.token(address(1), **HONEST),
        world.token(address(2), symbol="TOAD", name="Toad"),
        world.token(USDC, "shipped", decimals=6),
    )
    put_balances(world.lake, {(1, usdc): 10**12, (1, vault): ETHER, (1, outer): ETHER})
    world.prices({"coingecko:usd-coin": (1.0, 2), token_asset_id(1, address(1)): (None, 0)})
    rows = [(vault, usdc, "1250000", str(ETHER)), (outer, vault, "2", "1")]
    names = ["token_key", "underlying_token_key", "numerator", "denominator"]
    frame = pl.DataFrame(rows, schema={name: RECEIPT_RATIOS_SCHEMA[name] for name in names}, orient="row")
    world.lake.replace_chain(RECEIPT_RATIOS, DAY, "ethereum", frame)
    came = [moved(1, token, "in", ETHER, tx_hash=f"0x{token:02x}") for token in (vault, outer)]
    payments = [moved(1, usdc, "out", 5, tx_hash=f"0x{token:02x}") for token in (vault, outer)] if paid else []
    put_transfers(world.lake, *came, *payments)
    world.judge()
    assert world.quarantined == (
        {}
        if paid
        else {vault: ["worth_by_own_word", "unsolicited", "no_price"], outer: ["worth_by_own_word", "unsolicited"]}
    )
