"""A small lake with figures that can be checked by hand, and a warehouse on it.

Alice holds the bundle of the performance document and buys bitcoin a day later; Bob holds LEND, which becomes AAVE at
100 to 1. Solana has no price on the third day and a carried one on the fourth, which is still running.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import polars as pl
import pytest

from portfolio_pipelines import tables
from portfolio_pipelines.resources.dbt_build import DbtProject
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.warehouse import BuildResult, Warehouse

FIRST = date(2025, 1, 30)
DAYS = [FIRST + timedelta(days=n) for n in range(4)]
BTC, ETH, SOL, LEND, AAVE = (f"coingecko:{name}" for name in ("bitcoin", "ethereum", "solana", "ethlend", "aave"))
CLOSES: dict[str, list[float | None]] = {
    BTC: [50_000, 60_000, 60_000, 55_000],
    ETH: [2_500, 3_000, 3_000, 2_750],
    SOL: [100, 120, None, 110],
    LEND: [0.05, 0.06, 0.07, 0.08],
    AAVE: [5, 6, 7, 8],
}
USERS = {1: "alice", 2: "bob"}
# investment_key: user_key, id, day of the purchase, {asset: (amount, quantity)}
INVESTMENTS = {
    10: (1, "bundle", DAYS[0], {BTC: (500.0, 0.01), ETH: (300.0, 0.12), SOL: (200.0, 2.0)}),
    11: (1, "second", DAYS[1], {BTC: (600.0, 0.01)}),
    20: (2, "lend", DAYS[0], {LEND: (50.0, 1000.0)}),
}
SUCCESSION = {"asset_id": LEND, "successor_id": AAVE, "effective_on": DAYS[2], "ratio": 0.01}


@dataclass
class SmallMarket:
    """What the producers of the core tables would have written; every part can be changed and written again."""

    lake: Lake
    days: list[date] = field(default_factory=lambda: list(DAYS))
    closes: dict[tuple[str, date], float | None] = field(
        default_factory=lambda: {(a, d): c for a, row in CLOSES.items() for d, c in zip(DAYS, row, strict=True)}
    )
    investments: dict[int, tuple[int, str, date, dict[str, tuple[float, float]]]] = field(
        default_factory=lambda: dict(INVESTMENTS)
    )
    users: dict[int, str] = field(default_factory=lambda: dict(USERS))

    def write(self) -> None:
        """Write every table."""
        self.write_dimensions()
        for day in self.days:
            self.write_day(day)

    def write_dimensions(self) -> None:
        users = pl.DataFrame(list(self.users.items()), schema=tables.USERS_SCHEMA, orient="row")
        self.lake.replace_table(tables.USERS, users)
        legs = [
            (user, key, self.users[user], name, day, asset, amount, quantity, "given", None)
            for key, (user, name, day, legs) in self.investments.items()
            for asset, (amount, quantity) in sorted(legs.items())
        ]
        frame = pl.DataFrame(legs, schema=tables.INVESTMENT_LEGS_SCHEMA, orient="row")
        self.lake.replace_table(tables.INVESTMENT_LEGS, frame)
        symbols = [(a, s, s, "crypto", "daily", s, None, None) for a, s in zip(CLOSES, _SYMBOLS, strict=True)]
        assets = pl.DataFrame(symbols, schema=tables.ASSETS_SCHEMA, orient="row")
        self.lake.replace_table(tables.ASSETS, assets)
        self.lake.replace_table(tables.SUCCESSIONS, pl.DataFrame([SUCCESSION], schema=tables.SUCCESSIONS_SCHEMA))

    def write_day(self, day: date) -> None:
        self.lake.replace(tables.PRICES, day, self.prices(day))
        values = self.values(day)
        self.lake.replace(tables.INVESTMENT_PERFORMANCE, day, values)
        self.lake.replace(tables.PORTFOLIO_PERFORMANCE, day, self.portfolios(day, values))
        benchmark = ("BTC", day, BTC, self.closes[BTC, day], day, True, "ok", self.is_final(day))
        self.lake.replace(
            tables.BENCHMARKS, day, pl.DataFrame([benchmark], schema=tables.BENCHMARKS_SCHEMA, orient="row")
        )

    def is_final(self, day: date) -> bool:
        return day != self.days[-1]

    def prices(self, day: date) -> pl.DataFrame:
        end = datetime.combine(day, time(), UTC) + timedelta(days=1)
        known = end + timedelta(hours=1) if self.is_final(day) else end - timedelta(hours=1)
        rows = []
        for asset in CLOSES:
            close = self.closes[asset, day]
            status = "no_source" if close is None else "stale" if (asset, day) == (SOL, DAYS[3]) else "ok"
            provider = None if close is None else "coingecko"
            rows.append(
                {
                    "asset_id": asset,
                    "date": day,
                    "close_usd": close,
                    "status": status,
                    "reason": None if status == "ok" else "",  # an empty text is not a null
                    "provider": provider,
                    "source": 'market_chart, "range"' if provider else None,
                    "n_quotes": 1,
                    "is_final": self.is_final(day),
                    "known_at": known if close else None,
                }
            )
        return pl.DataFrame(rows, schema=tables.PRICES_SCHEMA)

    def values(self, day: date) -> pl.DataFrame:
        rows = []
        for key, (user, _, bought, legs) in self.investments.items():
            if bought > day:
                continue
            invested = value = stale = missing = 0.0
            unpriced = 0
            for asset, (amount, quantity) in legs.items():
                invested += amount
                held, units = (AAVE, quantity * 0.01) if asset == LEND and day >= DAYS[2] else (asset, quantity)
                close = self.closes[held, day]
                if close is None:
                    unpriced += 1
                    missing += units * (self.closes[held, DAYS[1]] or 0)
                else:
                    value += units * close
                    stale += units * close if (held, day) == (SOL, DAYS[3]) else 0
            row = (user, key, day, invested, None if unpriced == len(legs) else value, stale, missing, unpriced)
            rows.append((*row, self.is_final(day)))
        return pl.DataFrame(rows, schema=tables.INVESTMENT_PERFORMANCE_SCHEMA, orient="row")

    def portfolios(self, day: date, values: pl.DataFrame) -> pl.DataFrame:
        rows = []
        for user in sorted(set(values["user_key"])):
            own = values.filter(pl.col("user_key") == user)
            bought = [legs for owner, _, on, legs in self.investments.values() if owner == user and on == day]
            unpriced = own["unpriced_legs"].sum()
            invested, value = own["invested_usd"].sum(), own["value_usd"].sum()
            rows.append(
                {
                    "user_key": user,
                    "date": day,
                    "invested_usd": invested,
                    "value_usd": value if own["value_usd"].count() else None,
                    "stale_usd": own["stale_usd"].sum(),
                    "missing_usd": own["missing_usd"].sum(),
                    "unpriced_legs": unpriced,
                    "flow_in_usd": sum(amount for legs in bought for amount, _ in legs.values()),
                    "flow_out_usd": 0.0,
                    "daily_return": 0.125 if unpriced == 0 else None,
                    "twr_index": value / invested if unpriced == 0 else None,
                    "is_final": self.is_final(day),
                }
            )
        return pl.DataFrame(rows, schema=tables.PORTFOLIO_PERFORMANCE_SCHEMA)


_SYMBOLS = ("BTC", "ETH", "SOL", "LEND", "AAVE")


@pytest.fixture(scope="session")
def dbt_state(tmp_path_factory: pytest.TempPathFactory) -> DbtProject:
    """The dbt project, parsed once for all tests: its parsed state depends on where the build file lies."""
    home = tmp_path_factory.mktemp("marts")
    return DbtProject(home / "dbt", home / "build" / "warehouse.duckdb")


@dataclass(frozen=True)
class Template:
    """A lake and the warehouse built on it, once: tests copy both, which is faster than building."""

    lake: Path
    warehouse: Path
    build: BuildResult


@pytest.fixture(scope="session")
def template(dbt_state: DbtProject, tmp_path_factory: pytest.TempPathFactory) -> Template:
    """The small lake and its warehouse."""
    folder = tmp_path_factory.mktemp("template")
    market = SmallMarket(Lake(folder / "lake"))
    market.write()
    path = folder / "warehouse.duckdb"
    return Template(market.lake.root, path, Warehouse(path, market.lake, dbt_state).build())


@pytest.fixture
def market(template: Template, tmp_path: Path) -> SmallMarket:
    """The small lake, to be changed."""
    shutil.copytree(template.lake, tmp_path / "lake")
    return SmallMarket(Lake(tmp_path / "lake"))


@pytest.fixture
def warehouse(template: Template, market: SmallMarket, dbt_state: DbtProject, tmp_path: Path) -> Iterator[Warehouse]:
    """A warehouse that was built on the small lake."""
    path = Path(shutil.copy(template.warehouse, tmp_path / "warehouse.duckdb"))
    yield Warehouse(path, market.lake, dbt_state)
    assert not dbt_state.database.parent.exists(), "a build file was left behind"
