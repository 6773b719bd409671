"""A warehouse with everything that can be exported, and names that mean harm in all of it.

Alice has investments, a wallet, a ledger and a position in a pool. Her token, investment, wallet and transaction are
called what a scammer would call them.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from portfolio_pipelines import transaction_tables as tt
from portfolio_pipelines.delivery.exports.scheduled import ExportDesk
from portfolio_pipelines.delivery.exports.schedules import add_schedule
from portfolio_pipelines.finance.lots_ledger import compute_lots
from portfolio_pipelines.finance.lots_totals import daily_totals
from portfolio_pipelines.finance.transaction_values import PRICES as LEDGER_PRICES
from portfolio_pipelines.finance.transactions import TRANSACTIONS, in_order
from portfolio_pipelines.liquidity_tables import IMPERMANENT_LOSS, IMPERMANENT_LOSS_SCHEMA
from portfolio_pipelines.resources.dbt_build import DbtProject
from portfolio_pipelines.resources.figure_rules import FigureRules
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.warehouse import Warehouse
from tests.integration.marts.conftest import BTC, DAYS, INVESTMENTS, SmallMarket
from tests.integration.marts.wallets.conftest import TOKENS, WalletMarket
from tests.integration.marts.wallets.exports.scheduled_rows import EARLY, WISH

FORMULA = "=cmd|' /C calc'!A0"
SCRIPT = "<script>alert(1)</script>"
DIRECTION = "sale\u202efdp.exe"
LONG = "W" * 10_000
EMOJI = "👩‍👩‍👧‍👦 🚀 né"
LINK = "https://claim-your-airdrop.example"
SPLIT = 'a;=1+1\n@SUM(1)",=2'
HOSTILE = (FORMULA, SCRIPT, DIRECTION, LONG, EMOJI, LINK, SPLIT)
D1, D2, D3, D4 = DAYS
EXACT = 123456789012345678901234567890  # in units of 10^-18: a double would lose half of its digits
TOKEN_NAMES = {7: LINK, 9: FORMULA, 10: SCRIPT, 6: LONG, 3: EMOJI}


def _ledger(lake: Lake) -> None:
    """0.3 BTC for 15,000 USD; 0.1 of them sold for 6,500 two days later; all of it at 60,000 a coin then."""
    rows: list[dict[str, Any]] = [
        {"transaction_key": 1, "transaction_id": FORMULA, "at": datetime(2025, 1, 30, 10, tzinfo=UTC),
         "in_asset": BTC, "in_quantity": Decimal("0.3"), "out_asset": "fiat:usd", "out_quantity": Decimal(15000)},
        {"transaction_key": 2, "transaction_id": SPLIT, "at": datetime(2025, 2, 1, 10, tzinfo=UTC),
         "in_asset": "fiat:usd", "in_quantity": Decimal(6500), "out_asset": BTC, "out_quantity": Decimal("0.1")},
    ]  # fmt: skip
    shared = {"user_key": 1, "leg": 1, "type": "trade", "venue": LINK}
    transactions = in_order(pl.DataFrame([{**shared, **row} for row in rows], schema=TRANSACTIONS))
    prices = [(BTC, day, close, "ok", 1) for day, close in zip(DAYS, (5e4, 6e4, 6e4, 5.5e4), strict=True)]
    found = compute_lots(transactions, pl.DataFrame(prices, schema=LEDGER_PRICES, orient="row"))
    lake.replace_table(tt.TRANSACTIONS, transactions.select(tt.TRANSACTIONS_SCHEMA.names()))
    by_table: Mapping[str, tuple[pl.DataFrame, pl.Schema]] = {
        tt.TRANSACTION_VALUES_TABLE: (found.values, tt.TRANSACTION_VALUES_SCHEMA),
        tt.LOT_ENTRIES: (found.entries, tt.LOT_ENTRIES_SCHEMA),
        tt.LOT_USES: (found.uses, tt.LOT_USES_SCHEMA),
    }
    for table, (frame, schema) in by_table.items():
        for day in frame["day"].unique():
            rows_of_day = frame.filter(pl.col("day") == day).rename({"day": "date"})
            lake.replace(table, day, rows_of_day.select(schema.names()))
    closes = {day: {BTC: close} for _, day, close, *_ in prices}
    for day, totals in daily_totals(found.entries, found.uses, found.values, closes, DAYS):
        frame = totals.with_columns(date=pl.lit(day), is_final=pl.lit(day != D4))
        lake.replace(tt.PROFIT_AND_LOSS, day, frame.select(tt.PROFIT_AND_LOSS_SCHEMA.names()))


def _losses(lake: Lake) -> None:
    for day in DAYS:
        row = {
            "date": day, "user_id": "alice", "position_id": "entered/1", "as_of": datetime.combine(day, time(23), UTC),
            "is_last_of_day": True, "source": "entered", "basis": "entered", "since": D1, "chain": "ethereum",
            "protocol": "uniswap_v2", "pool": "0x01", "label": DIRECTION, "entry_price": 2500.0, "price": 2500.0,
            "price_ratio": 1.0, "il_pct": -0.5, "il_usd": -5.0, "fees_usd": 2.0, "net_usd": -3.0,
            "hodl_value_usd": 1000.0, "position_value_usd": 995.0, "is_stale": False,
        }  # fmt: skip
        lake.replace(IMPERMANENT_LOSS, day, pl.DataFrame([row], schema=IMPERMANENT_LOSS_SCHEMA))


@pytest.fixture(scope="session")
def export_template(dbt_state: DbtProject, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The lake with everything, and its warehouse."""
    folder = tmp_path_factory.mktemp("exports")
    lake = Lake(folder / "lake")
    investments = dict(INVESTMENTS)
    user, _, bought, legs = investments[11]
    investments[11] = (user, DIRECTION, bought, legs)
    SmallMarket(lake, investments=investments).write()
    tokens = {
        key: (chain, price, TOKEN_NAMES.get(key, symbol), decimals, category)
        for key, (chain, price, symbol, decimals, category) in TOKENS.items()
    }
    wallets = WalletMarket(lake, tokens=tokens)
    wallets.wallets[0] = (*wallets.wallets[0][:5], SPLIT, *wallets.wallets[0][6:])
    wallets.balances[D4, "ethereum"][1, 10] = EXACT
    wallets.balances[D4, "ethereum"][1, 9] = 4 * 10**38 + 1
    wallets.write()
    _ledger(lake)
    _losses(lake)
    path = folder / "warehouse.duckdb"
    Warehouse(path, lake, dbt_state).build()
    return path, lake


@pytest.fixture
def warehouse(export_template: tuple[Path, Lake], dbt_state: DbtProject) -> Warehouse:
    """The warehouse with everything; exports only read it."""
    path, lake = export_template
    return Warehouse(path, lake, dbt_state)


@pytest.fixture
def span() -> tuple[date, date]:
    """The first and the last day of it."""
    return D1, D4


@pytest.fixture
def desk(database: sa.Engine, warehouse: Warehouse, tmp_path: Path) -> ExportDesk:
    """An installation with users and channels: 1 mail of Alice, 2 her unverified webhook, 3 ntfy, 4 Bob's mail."""
    with database.begin() as connection:
        connection.execute(sa.text("insert into app.users (user_id) values ('alice'), ('bob')"))
        for user, kind, is_verified in (
            ("alice", "email", True), ("alice", "webhook", False), ("alice", "ntfy", True), ("bob", "email", True),
        ):  # fmt: skip
            connection.execute(
                sa.text("""
                    insert into app.notification_channels (user_key, kind, shown_address, sealed_address,
                        least_severity, code_tries, failures, created_at, verified_at)
                    select user_key, :kind, 'x', 'sealed', 'info', 0, 0, :now, case when :verified then :now end
                    from app.users where user_id = :user
                """),
                {"user": user, "kind": kind, "verified": is_verified, "now": EARLY},
            )
    return ExportDesk(database, warehouse, tmp_path / "exports", FigureRules())


@pytest.fixture
def add(desk: ExportDesk) -> Callable[..., int]:
    """Adds a schedule of Alice to channel 1; its id."""

    def make(name: str = "mine", user: str = "alice", now: datetime = EARLY, **changes: Any) -> int:
        wish = replace(WISH, **{"channel_id": 1, **changes})
        return add_schedule(desk.engine, user, name, wish, who="tests", now=now)[0]

    return make
