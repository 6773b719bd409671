"""A made-up market for machines without network and price files. Every row says so: provider and source are `sample`.

Belongs here: prices that look plausible and are always the same. Not here: deciding to use them (never silently).

The close of an asset on a day is a function of the seed, the asset and the day alone, whatever range is asked for: the
path is drawn from SHAKE-256, whose output for a longer path begins with that for a shorter one, on every platform.
"""

import hashlib
from collections.abc import Sequence
from datetime import date, datetime
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from portfolio_pipelines.market.answers import DAY, Wanted
from portfolio_pipelines.market.quotes import QUOTES, UTC_TIME, Outcome, SeriesRequest

FIRST_DAY: Final = date(2009, 1, 1)
LEVEL_DAY: Final = date(2025, 1, 1)  # the day on which each asset is worth its level
LEVELS: Final = {
    "bitcoin": 94_000.0,
    "wrapped-bitcoin": 94_000.0,
    "ethereum": 3_350.0,
    "weth": 3_350.0,
    "staked-ether": 3_350.0,
    "wrapped-steth": 3_980.0,
    "solana": 190.0,
    "binancecoin": 700.0,
    "ripple": 2.1,
    "cardano": 0.85,
    "dogecoin": 0.32,
    "avalanche-2": 36.0,
    "polkadot": 6.7,
    "chainlink": 20.0,
    "litecoin": 103.0,
    "bitcoin-cash": 435.0,
    "uniswap": 13.3,
    "aave": 310.0,
    "cosmos": 6.2,
    "near": 5.0,
    "tron": 0.255,
    "arbitrum": 0.72,
    "optimism": 1.75,
    "matic-network": 0.45,
    "polygon-ecosystem-token": 0.45,
    "^GSPC": 5_880.0,
}
"""USD on LEVEL_DAY, by the part of the asset id behind the colon. Others get a level between 0.01 and 1,000 USD."""
STABLE: Final = frozenset({"tether", "usd-coin", "dai", "first-digital-usd", "binance-usd", "true-usd", "frax"})
CRYPTO_VOLATILITY: Final = 0.03  # standard deviation of a day's logarithmic return
INDEX_VOLATILITY: Final = 0.01
INDEX_DRIFT: Final = 0.0003
STABLE_SPREAD: Final = 0.0005
COMMON_SHARE: Final = 0.6  # of a coin's move, the part that the whole market shares
WEEKDAYS: Final = 5
DIGITS: Final = 8  # significant; hides the last bits, in which exponentials differ between machines


class SampleMarket:
    """A provider that knows every asset, needs no network and always answers the same."""

    name: Final = "sample"

    def __init__(self, seed: int = 0, weekday_assets: frozenset[str] = frozenset()) -> None:
        """Make a market.

        Args:
            seed: Another seed, another market.
            weekday_assets: Assets that are not traded on Saturdays and Sundays, besides those with `^` in their id.
        """
        self._seed, self._weekday_assets = seed, weekday_assets

    def fetch(self, requests: Sequence[SeriesRequest], now: datetime) -> pl.DataFrame:
        """See `PriceProvider.fetch`. Times in the rows come from the day, so that the same days give the same bytes."""
        wanted = Wanted(requests, now)
        days_of: dict[str, list[date]] = {}
        for asset_id, day in wanted.pairs:
            days_of.setdefault(asset_id, []).append(day)
        parts = [self._rows(asset_id, days, wanted.today) for asset_id, days in days_of.items()]
        return pl.concat(parts) if parts else QUOTES.to_frame()

    def _rows(self, asset_id: str, days: Sequence[date], today: date) -> pl.DataFrame:
        path = self._path(asset_id, max(days[-1], LEVEL_DAY))
        weekdays_only = self._weekdays_only(asset_id)
        closes: list[float | None] = []
        details: list[str | None] = []
        for day in days:
            why = None
            if day < FIRST_DAY:
                why = f"the sample market begins on {FIRST_DAY}"
            elif weekdays_only and day.weekday() >= WEEKDAYS:
                why = "no trading on weekends"
            details.append(why)
            closes.append(None if why else float(f"{path[(day - FIRST_DAY).days]:.{DIGITS}g}"))
        rows = pl.DataFrame(
            {"date": list(days), "close_usd": closes, "detail": details},
            schema={"date": pl.Date, "close_usd": pl.Float64, "detail": pl.String},
        )
        running = pl.col("date") >= today
        time = pl.when(running).then("date").otherwise(pl.col("date") + DAY).cast(UTC_TIME)
        return rows.select(
            asset_id=pl.lit(asset_id),
            date="date",
            provider=pl.lit(self.name),
            source=pl.lit(self.name),
            close_usd="close_usd",
            outcome=pl.when(pl.col("detail").is_null()).then(pl.lit(Outcome.OK)).otherwise(pl.lit(Outcome.NO_DATA)),
            detail="detail",
            quoted_at=time,
            requested_at=time,
            known_at=time,
        ).cast(QUOTES)

    def _weekdays_only(self, asset_id: str) -> bool:
        return "^" in asset_id or asset_id in self._weekday_assets

    def _path(self, asset_id: str, last: date) -> NDArray[np.float64]:
        """Closes in USD of each day from FIRST_DAY to `last`."""
        name = asset_id.rpartition(":")[2]
        days = (last - FIRST_DAY).days + 1
        own = self._moves(asset_id, days)
        if name in STABLE:
            return 1.0 + STABLE_SPREAD * own
        if self._weekdays_only(asset_id):
            steps = INDEX_DRIFT + INDEX_VOLATILITY * own
        else:
            common = self._moves("the market", days)
            steps = CRYPTO_VOLATILITY * (COMMON_SHARE * common + np.sqrt(1 - COMMON_SHARE**2) * own)
        path = np.cumsum(steps)
        return np.asarray(self._level(asset_id, name) * np.exp(path - path[(LEVEL_DAY - FIRST_DAY).days]))

    def _moves(self, name: str, days: int) -> NDArray[np.float64]:
        """Independent draws of mean 0 and variance 1, one a day: sums of four uniform ones, at most 3.5 in size."""
        drawn = hashlib.shake_256(f"{self._seed}/moves/{name}".encode()).digest(8 * days)
        uniform = np.frombuffer(drawn, dtype="<u2").reshape(days, 4) / 65_536.0
        return np.asarray((uniform.sum(axis=1) - 2.0) * np.sqrt(3.0))

    def _level(self, asset_id: str, name: str) -> float:
        if name in LEVELS:
            return LEVELS[name]
        drawn = hashlib.shake_256(f"{self._seed}/level/{asset_id}".encode()).digest(4)
        return float(10.0 ** (-2 + 5 * int.from_bytes(drawn, "little") / 2**32))
