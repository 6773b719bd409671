"""DefiLlama's list of pools over real HTTP: figures of followed pools on the running day, none without an answer."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from portfolio_pipelines import chain_tables as ct
from portfolio_pipelines.assets.pool_yields import pool_yields
from portfolio_pipelines.automation.jobs import RANGE_END, RANGE_START
from portfolio_pipelines.database.connection import url_text
from portfolio_pipelines.liquidity_tables import POOL_YIELDS, POOL_YIELDS_SCHEMA
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.market_data import MarketData
from portfolio_pipelines.resources.quote_ledger import QuoteLedger
from portfolio_pipelines.settings import Settings
from tests.integration.liquidity.liquidity_lake import PAIR, RANGE_POOL, USDC, WETH, LiquidityLake

Run = Callable[[date], dict[str, Any]]


class List:
    """What the server answers; tests change it."""

    status = 200
    body: bytes = b""
    requests = 0


@pytest.fixture
def server() -> Iterator[tuple[str, List]]:
    answer = List()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer.requests += 1
            self.send_response(answer.status)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_address[1]}", answer
        http.shutdown()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = LiquidityLake(Lake(tmp_path / "lake"))
    made.write()
    return made.lake


@pytest.fixture
def run(lake: Lake, database: sa.Engine, server: tuple[str, List], tmp_path: Path) -> Run:
    settings = Settings(
        home=tmp_path, database_url=SecretStr(url_text(database.url)), defillama_yields_url=server[0],
        price_providers=("defillama",),
    )  # fmt: skip
    platform = Database(settings)
    market = MarketData(settings, platform, QuoteLedger(settings.lake, settings.final_after_hours))
    defs = dg.Definitions(
        assets=[*(dg.AssetSpec(name) for name in ("pool_states", "chain_tokens", "chains")), pool_yields],
        jobs=[dg.define_asset_job("yields", selection=[pool_yields])],
        resources={"lake": lake, "database": platform, "market": market},
        executor=dg.in_process_executor,
    )

    def on(day: date) -> dict[str, Any]:
        tags = {RANGE_START: day.isoformat(), RANGE_END: day.isoformat()}
        result = defs.resolve_job_def("yields").execute_in_process(tags=tags)
        (event, *_) = result.asset_materializations_for_node("pool_yields")
        return {name: value.value for name, value in event.metadata.items()}

    return on


def listed(**changes: Any) -> bytes:
    pool = {
        "chain": "Ethereum", "project": "uniswap-v2", "pool": "id", "underlyingTokens": [USDC, WETH], "tvlUsd": 5e6,
        "apyBase": 20, "volumeUsd1d": None, **changes,
    }  # fmt: skip
    return json.dumps({"status": "success", "data": [pool]}).encode()


def stored(lake: Lake, day: date) -> list[tuple[Any, ...]]:
    rows = lake.read(POOL_YIELDS, [day], POOL_YIELDS_SCHEMA)
    return rows.select("chain", "pool", "tvl_usd", "volume_usd_1d", "fee_apy").rows()


def today() -> date:
    return datetime.now(UTC).date()


def test_the_running_day_gets_what_the_list_says_of_followed_pools(
    run: Run, lake: Lake, server: tuple[str, List]
) -> None:
    server[1].body = listed()
    found = run(today())
    assert stored(lake, today()) == [("ethereum", PAIR, 5e6, None, 0.2)]
    assert (found["asked"], found["unlisted"], server[1].requests) == (True, 1, 1)


def test_pools_of_a_fee_are_found_by_it(run: Run, lake: Lake, server: tuple[str, List]) -> None:
    server[1].body = listed(project="uniswap-v3", poolMeta="0.05%")
    run(today())
    assert [row[1] for row in stored(lake, today())] == [RANGE_POOL]


def test_days_of_the_past_are_not_asked_for(run: Run, lake: Lake, server: tuple[str, List]) -> None:
    assert run(today() - timedelta(days=1))["asked"] is False
    assert server[1].requests == 0
    assert lake.days(POOL_YIELDS) == set()


@pytest.mark.parametrize(("status", "body"), [(402, b"paid"), (200, b"no json"), (200, b"[]")])
def test_without_a_list_the_day_keeps_what_it_has_and_nothing_fails(
    run: Run, lake: Lake, server: tuple[str, List], status: int, body: bytes
) -> None:
    server[1].body = listed()
    run(today())
    before = stored(lake, today())
    server[1].status, server[1].body = status, body
    assert run(today())["failed"] in {"unauthorised", "invalid"}
    assert stored(lake, today()) == before


def test_nobody_is_asked_when_no_pool_is_followed(run: Run, lake: Lake, server: tuple[str, List]) -> None:
    for day, chain in lake.chain_days(ct.POOL_STATES):
        lake.replace_chain(ct.POOL_STATES, day, chain, pl.DataFrame(schema=ct.POOL_STATES_SCHEMA))
    assert run(today())["asked"] is False
    assert server[1].requests == 0
