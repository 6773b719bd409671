"""A warehouse file whose marts are written by hand: every column is there with the type of its contract.

Ann holds bitcoin, ether and solana through investments since the first of March 2024; whatever a test needs otherwise
it writes itself. The rows are small enough to be worked out beside them.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import yaml

from portfolio_pipelines.resources.dbt_build import DbtProject
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.warehouse import Warehouse

MODELS = Path(__file__).parents[3] / "dbt_project/models/marts"
FIRST = date(2024, 3, 1)
HOLDINGS = (("BTC", "market", 0.05, 50_000.0), ("ETH", "ethereum", 1.2, 2_500.0), ("SOL", "solana", 30.0, 100.0))
"""Token, chain, units, USD for one on entry."""


@cache
def contracts() -> Mapping[str, Mapping[str, str]]:
    """Columns and types of every mart, as dbt enforces them."""
    models = [model for file in sorted(MODELS.glob("*.yml")) for model in yaml.safe_load(file.read_text())["models"]]
    return {model["name"]: {column["name"]: column["data_type"] for column in model["columns"]} for model in models}


class ReportMarts:
    """The file, and rows that are added to it."""

    def __init__(self, folder: Path, like: Path | None = None) -> None:
        self.open(folder)
        if like is not None:
            shutil.copy(like, self.path)
            return
        with duckdb.connect(str(self.path)) as connection:
            connection.execute("create schema marts")
            connection.execute("create schema meta")
            connection.execute("create table meta.build as select 'c0de' || repeat('0', 60) as code_hash")
            for mart, columns in contracts().items():
                typed = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
                connection.execute(f"create table marts.{mart} ({typed})")

    def open(self, folder: Path) -> None:
        """Use the file of a folder as it is."""
        self.path = folder / "warehouse.duckdb"
        project = DbtProject(folder / "dbt", folder / "build" / "warehouse.duckdb")
        self.warehouse = Warehouse(self.path, Lake(folder / "lake"), project)

    def execute(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run a statement on the file."""
        with duckdb.connect(str(self.path)) as connection:
            return connection.execute(statement, values).fetchall()

    def add(self, mart: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Rows of a mart; columns that are left out are null."""
        if not rows:
            return
        frame = pl.DataFrame(rows, infer_schema_length=None)
        with duckdb.connect(str(self.path)) as connection:
            connection.register("added", frame.to_arrow())
            connection.execute(f"insert into marts.{mart} by name select * from added")

    def row(self, query: str, *values: object) -> dict[str, Any]:
        """The one row of a query."""
        with duckdb.connect(str(self.path)) as connection:
            cursor = connection.execute(query, values)
            names = [column[0] for column in cursor.description or []]
            (row,) = cursor.fetchall()
        return dict(zip(names, row, strict=True))

    def add_portfolio(
        self,
        user: str,
        returns: Sequence[float | None],
        *,
        first: date = FIRST,
        start: float = 10_000.0,
        deposits: Mapping[int, float] | None = None,
        coverage: Mapping[int, float] | None = None,
        holdings: Sequence[tuple[str, str, float, float]] = HOLDINGS,
    ) -> list[date]:
        """A portfolio whose daily returns are given; None is a day whose value is not complete.

        Values and index follow from the returns. `deposits` are USD at the start of a day, by its number.
        """
        days = [first + timedelta(days=n) for n in range(len(returns))]
        value, index, invested = 0.0, 1.0, 0.0
        daily, snapshots = [], []
        for number, (day, gain) in enumerate(zip(days, returns, strict=True)):
            flow = start if number == 0 else (deposits or {}).get(number, 0.0)
            was_known = number == 0 or returns[number - 1] is not None
            value, index, invested = (value + flow) * (1 + (gain or 0.0)), index * (1 + (gain or 0.0)), invested + flow
            known, covered = gain is not None, (coverage or {}).get(number, 1.0 if gain is not None else 0.8)
            shown = value if known else value * 0.8
            daily.append(
                {
                    "user_id": user, "date": day, "invested_usd": invested, "value_usd": shown,
                    "pnl_usd": value - invested if known else None, "roi": value / invested - 1 if known else None,
                    "flow_in_usd": flow, "flow_out_usd": 0.0, "daily_return": gain if known and was_known else None,
                    "twr_index": index if known else None, "coverage": covered, "is_final": number < len(days) - 1,
                }
            )  # fmt: skip
            worth = sum(units * price for _, _, units, price in holdings)
            document = [
                {"token": token, "chain": chain, "balance": units,
                 "value_usd": None if not known and token == "SOL" else units * price * value / worth}
                for token, chain, units, price in sorted(holdings)
            ]  # fmt: skip
            ends = datetime.combine(day, time()) + timedelta(days=1)
            snapshots.append(
                {
                    "user_id": user, "total_value_usd": round(shown, 8), "assets": json.dumps(document),
                    "snapshot_timestamp": ends, "coverage": covered, "is_final": number < len(days) - 1,
                }
            )  # fmt: skip
        self.add("portfolio_performance_daily", daily)
        self.add("portfolio_snapshots", snapshots)
        self.add("current_prices", [{"asset_id": f"file:{token}", "date": days[-1]} for token, *_ in holdings])
        self._add_holdings(user, holdings, value, days[-1])
        return days

    def _add_holdings(
        self, user: str, holdings: Sequence[tuple[str, str, float, float]], value: float, day: date
    ) -> None:
        worth = sum(units * price for _, _, units, price in holdings)
        ends = datetime.combine(day, time()) + timedelta(days=1)
        assets, breakdown = [], []
        for token, chain, units, entry in holdings:
            price = entry * value / worth
            assets.append(
                {
                    "user_id": user, "asset_type": "token", "token": token, "chain": chain, "balance": units,
                    "entry_price_usd": entry, "current_price_usd": price, "pnl_usd": units * (price - entry),
                    "asset_id": f"file:{token}", "value_usd": units * price, "price_status": "ok",
                    "origin": "investment", "is_stale": False,
                }
            )  # fmt: skip
            breakdown += [
                {
                    "user_id": user, "as_of": ends, "dimension": cut, "key": key, "label": label,
                    "value_usd": units * price, "share": units * price / value, "coverage": 1.0,
                }
                for cut, key, label in (("asset", f"file:{token}", token), ("chain", chain, chain.title()))
            ]  # fmt: skip
        self.add("portfolio_assets", assets)
        self.add("portfolio_breakdown", breakdown)
        self.add(
            "portfolio_holdings", [{"user_id": user, "asset_id": f"file:{one[0]}", "token": one[0]} for one in holdings]
        )

    def add_benchmarks(self, first: date, last: date, *, seed: int = 11) -> None:
        """BTC and ETH every day, the S&P 500 on weekdays, carried over weekends."""
        random = np.random.default_rng(seed)
        rows = []
        for name, level, spread in (("BTC", 50_000.0, 0.025), ("ETH", 2_500.0, 0.032), ("SP500", 5_100.0, 0.008)):
            close, traded_on = level, first
            for number in range((last - first).days + 1):
                day = first + timedelta(days=number)
                trades = name != "SP500" or day.weekday() < 5
                if trades:
                    close, traded_on = close * (1 + random.normal(0.0008, spread)), day
                rows.append(
                    {
                        "benchmark": name, "date": day, "asset_id": f"file:{name}", "close_usd": close,
                        "price_date": traded_on, "is_trading_day": trades, "status": "ok", "is_final": True,
                    }
                )  # fmt: skip
        self.add("benchmarks_daily", rows)
