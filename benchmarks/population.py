"""An invented population of the size of the question: users, investments, coins and prices. Seeded, never random."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from io import StringIO

import numpy as np
import polars as pl
import psycopg

from portfolio_pipelines.market.quotes import QUOTES
from portfolio_pipelines.market.tracking import BENCHMARKS
from portfolio_pipelines.resources.platform import Platform

INVESTMENTS = 3
COINS = 4
ASSETS = 500


@dataclass(frozen=True, slots=True)
class Population:
    """Users x 3 investments x 4 coins, half of the investments made before the range, half within it."""

    users: int
    days: int
    seed: int = 7
    last_day: date = date(2025, 12, 31)

    @property
    def calendar(self) -> list[date]:
        """The days to value."""
        return [self.last_day - timedelta(days=back) for back in reversed(range(self.days))]

    @property
    def asset_ids(self) -> list[str]:
        """The coins, the crypto benchmarks first."""
        known = [asset for asset in BENCHMARKS.values() if asset.startswith("coingecko:")]
        return known + [f"file:C{number:03d}" for number in range(ASSETS - len(known))]

    def closes(self, extra_days: int = 0) -> np.ndarray:
        """Prices of shape (days + extra_days, assets): seeded random walks, which further days only continue."""
        rng = np.random.default_rng(self.seed)
        levels = rng.uniform(-5, 9, ASSETS)
        moves = rng.normal(0, 0.03, (self.days + extra_days, ASSETS))
        return np.exp(levels + np.cumsum(moves, axis=0))

    def legs(self) -> pl.DataFrame:
        """Columns user_key, investment_key, invested_on, asset_id, amount_usd, quantity; sorted by the keys."""
        rng = np.random.default_rng(self.seed + 1)
        investments = self.users * INVESTMENTS
        first = self.calendar[0]
        offset = np.where(rng.random(investments) < 0.5, 0, rng.integers(0, self.days, investments))
        start = rng.integers(0, ASSETS, investments)
        coin = (start[:, None] + np.array([0, 101, 211, 307])[:COINS]) % ASSETS  # four different ones
        closes = self.closes()
        amount = np.round(rng.uniform(20, 5_000, (investments, COINS)), 2)
        quantity = amount / closes[offset[:, None], coin]
        days = pl.Series(np.repeat(offset, COINS)).cast(pl.Int32) + (first - date(1970, 1, 1)).days
        names = np.array(self.asset_ids, dtype=object)
        return pl.DataFrame(
            {
                "user_key": np.repeat(np.arange(1, self.users + 1, dtype=np.int32), INVESTMENTS * COINS),
                "investment_key": np.repeat(np.arange(1, investments + 1, dtype=np.int32), COINS),
                "invested_on": days.cast(pl.Date),
                "asset_id": names[coin.ravel()].tolist(),
                "amount_usd": amount.ravel(),
                "quantity": quantity.ravel(),
            }
        ).sort("user_key", "investment_key", "asset_id")


def quotes_of(population: Population, days: list[date], closes: np.ndarray) -> pl.DataFrame:
    """Closes as rows of a price file, known when their day had closed."""
    count = len(days) * ASSETS
    known = [datetime.combine(day + timedelta(days=1), time(1), UTC) for day in days]
    return pl.DataFrame(
        {
            "asset_id": population.asset_ids * len(days),
            "date": np.repeat(np.array(days, dtype="datetime64[D]"), ASSETS),
            "provider": ["file"] * count,
            "source": ["benchmark"] * count,
            "close_usd": closes.ravel(),
            "outcome": ["ok"] * count,
            "detail": pl.Series([None] * count, dtype=pl.String),
            "quoted_at": pl.Series([None] * count, dtype=QUOTES["quoted_at"]),
            "requested_at": pl.Series([moment for moment in known for _ in range(ASSETS)], dtype=QUOTES["known_at"]),
            "known_at": pl.Series([moment for moment in known for _ in range(ASSETS)], dtype=QUOTES["known_at"]),
        }
    ).select(QUOTES.names())


def load(platform: Platform, population: Population) -> None:
    """Put the population into an empty platform: users and legs by COPY, prices into the ledger."""
    platform.database.prepare()
    legs = population.legs()
    users = pl.DataFrame({"user_key": range(1, population.users + 1)}).with_columns(
        user_id=pl.format("user-{}", pl.col("user_key").cast(pl.String).str.zfill(6))
    )
    investments = (
        legs.select("investment_key", "user_key")
        .unique(maintain_order=True)
        .with_columns(investment_id=pl.format("investment-{}", "investment_key"))
    )
    assets = pl.DataFrame({"asset_id": [asset for asset in population.asset_ids if asset.startswith("file:")]})
    assets = assets.with_columns(
        symbol=pl.col("asset_id").str.slice(5),
        name=pl.col("asset_id"),
        kind=pl.lit("file"),
        calendar=pl.lit("daily"),
    )
    details = (
        legs.with_columns(
            version=pl.lit(1),
            quantity=pl.col("quantity").round(18),
            quantity_source=pl.lit("given"),
            known_at=pl.lit("2025-01-01T00:00:00Z"),
            import_id=pl.lit(1),
            row_number=pl.int_range(1, pl.len() + 1),
            reason=pl.lit("benchmark"),
        )
        .rename({"invested_on": "invested_at"})
        .drop("user_key")
    )
    url = platform.database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        connection.execute(
            "insert into app.imports (kind, file_name, file_hash, n_rows, imported_at, imported_by)"
            " values ('investments', 'benchmark', 'benchmark', %s, now(), 'benchmark')",
            (legs.height,),
        )
        for table, frame in (
            ("users", users),
            ("assets", assets),
            ("investments", investments),
            ("investment_legs", details),
        ):
            _copy(connection, table, frame)
        connection.commit()
        connection.autocommit = True
        connection.execute("analyze")
    platform.ledger.append(quotes_of(population, population.calendar, population.closes()))


def _copy(connection: psycopg.Connection[tuple[object, ...]], table: str, frame: pl.DataFrame) -> None:
    columns = ", ".join(frame.columns)
    statement = f"copy app.{table} ({columns}) from stdin with (format csv)"
    with connection.cursor().copy(statement) as copy:
        for start in range(0, frame.height, 200_000):
            text = StringIO(frame.slice(start, 200_000).write_csv(include_header=False))
            copy.write(text.getvalue())
