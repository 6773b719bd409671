"""How portfolios are spread over assets, and how those assets move together. The arithmetic is in `finance`.

The days are chosen as for metrics: month ends and the last day of a run, and those computed before.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Final

import dagster as dg
import numpy as np
import polars as pl

from portfolio_pipelines.assets.days import DAILY, EVERY_DAY, ONE_RUN, WHICH_DAYS_TAG, days_of
from portfolio_pipelines.assets.metadata import OWNERS, column_schema, written
from portfolio_pipelines.assets.metrics import metric_days
from portfolio_pipelines.assets.performance import investments_made
from portfolio_pipelines.finance.metrics_diversification import Diversification, diversification
from portfolio_pipelines.finance.risk_correlations import Correlations, correlations_of_closes
from portfolio_pipelines.finance.valuation import converted_assets
from portfolio_pipelines.metric_tables import (
    ASSET_CORRELATIONS,
    ASSET_CORRELATIONS_SCHEMA,
    DIVERSIFICATION,
    DIVERSIFICATION_SCHEMA,
)
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.partitions import PartitionWriter, fingerprint
from portfolio_pipelines.tables import (
    ASSETS,
    ASSETS_SCHEMA,
    INVESTMENT_LEGS,
    INVESTMENT_LEGS_SCHEMA,
    PRICES,
    PRICES_SCHEMA,
    SUCCESSIONS,
    SUCCESSIONS_SCHEMA,
)

DIVERSIFICATION_VERSION = "1"
CORRELATION_WINDOWS: Final = (90, 365)
AVERAGED_WINDOW: Final = 90
OWN_CLOSES: Final = ("ok", "manual", "disagreement")
"""Statuses of closes of the day itself; a carried one would be a return of 0 that never was."""
TABLES: Final = {
    "diversification": (
        DIVERSIFICATION_SCHEMA,
        "Concentration of every portfolio by worth, and the average correlation of what it holds.",
    ),
    "asset_correlations": (
        ASSET_CORRELATIONS_SCHEMA,
        "Correlation of each pair of held assets over 90 and 365 days, with its 95 % confidence interval.",
    ),
}


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            name,
            deps=["prices_daily", "investment_legs", "asset_successions", "assets", "portfolio_performance"],
            description=description,
            owners=OWNERS,
            group_name="core",
            kinds={"parquet", "numpy"},
            code_version=DIVERSIFICATION_VERSION,
            metadata=column_schema(schema),
            partitions_def=DAILY,
        )
        for name, (schema, description) in TABLES.items()
    ],
    backfill_policy=ONE_RUN,
)
def diversification_of_portfolios(
    context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake], database: dg.ResourceParam[Database]
) -> Iterator[dg.MaterializeResult[None]]:
    """Both tables rest on the same correlations."""
    every_day = context.run.tags.get(WHICH_DAYS_TAG) == EVERY_DAY
    spread, pairs = pl.DataFrame(schema=DIVERSIFICATION_SCHEMA), pl.DataFrame(schema=ASSET_CORRELATIONS_SCHEMA)
    with database.writer(lake, context.run.run_id) as writer:
        wanted = metric_days(days_of(context), lake, every_day=every_day)
        due = outdated_diversification(writer, lake, wanted)
        if due:
            known = _Known(lake, list(due))
            for day, inputs in due.items():
                spread, pairs = known.of(day)
                writer.write(DIVERSIFICATION, day, spread, inputs, DIVERSIFICATION_VERSION)
                writer.write(ASSET_CORRELATIONS, day, pairs, inputs, DIVERSIFICATION_VERSION)
    yield dg.MaterializeResult(asset_key="diversification", metadata=written(spread, days_computed=len(due)))
    yield dg.MaterializeResult(asset_key="asset_correlations", metadata=written(pairs, days_computed=len(due)))


def diversification_inputs(writer: PartitionWriter, lake: Lake, days: Sequence[date]) -> dict[date, str]:
    """What the figures of each day rest on: investments up to it, the closes of a year, and who trades on weekdays."""
    made = investments_made(lake, days)
    whole = [writer.content(SUCCESSIONS), *sorted(_weekday_only(lake))]
    return {
        day: fingerprint(made[day], *whole, *(writer.content(PRICES, d) for d in _closes_before(day))) for day in days
    }


def outdated_diversification(writer: PartitionWriter, lake: Lake, days: Sequence[date]) -> dict[date, str]:
    """Those of the days that have not both tables, made from what is there now by this code; with what that is."""
    inputs = diversification_inputs(writer, lake, days)
    tables = (DIVERSIFICATION, ASSET_CORRELATIONS)
    return {
        day: made_from
        for day, made_from in inputs.items()
        if not all(writer.is_current(table, day, made_from, DIVERSIFICATION_VERSION) for table in tables)
    }


def _weekday_only(lake: Lake) -> set[str]:
    assets = lake.read_table(ASSETS, ASSETS_SCHEMA, ["asset_id", "calendar"])
    return set(assets.filter(pl.col("calendar") == "weekdays")["asset_id"])


def _closes_before(day: date) -> list[date]:
    return [day - timedelta(days=back) for back in range(max(CORRELATION_WINDOWS), -1, -1)]


class _Known:
    """What the lake knows for some days: legs, conversions, closes."""

    def __init__(self, lake: Lake, days: Sequence[date]) -> None:
        columns = ["user_key", "invested_on", "asset_id", "quantity"]
        self._legs = lake.read_table(INVESTMENT_LEGS, INVESTMENT_LEGS_SCHEMA, columns).sort("user_key")
        self._successions = lake.read_table(SUCCESSIONS, SUCCESSIONS_SCHEMA)
        self._weekday_only = _weekday_only(lake)
        self._prices = lake.read(
            PRICES, {d for day in days for d in _closes_before(day)}, PRICES_SCHEMA,
            ["asset_id", "date", "close_usd", "status"],
        )  # fmt: skip

    def of(self, day: date) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Rows of both tables for a day, without the date."""
        legs = self._legs.filter(pl.col("invested_on") <= day)
        bought = legs["asset_id"].unique().sort().to_list()
        targets, ratios = converted_assets(bought, self._successions, day)
        assets = sorted(set(targets))
        place = {name: at for at, name in enumerate(assets)}
        numbers = dict(zip(bought, range(len(bought)), strict=True))
        # Cast: without a leg there is nothing to replace, and no type of it.
        of_leg = legs["asset_id"].replace_strict(numbers, return_dtype=pl.Int64).cast(pl.Int64).to_numpy()
        asset = np.array([place[name] for name in targets], np.int64)[of_leg]
        units = legs["quantity"].to_numpy() * ratios[of_leg]
        closes, weekday_only = (
            self._closes(assets, day),
            np.array([name in self._weekday_only for name in assets], bool),
        )
        found = {
            window: correlations_of_closes(closes[-(window + 1) :], weekday_only) for window in CORRELATION_WINDOWS
        }
        today = self._prices.filter((pl.col("date") == day) & pl.col("asset_id").is_in(assets))
        price = np.full(len(assets), np.nan)
        priced = np.array([place[name] for name in today["asset_id"]], np.int64)  # may be empty
        price[priced] = today["close_usd"].fill_null(float("nan")).to_numpy()
        users, owner = np.unique(legs["user_key"].to_numpy(), return_inverse=True)
        spread = diversification(owner, asset, units * price[asset], len(users), found[AVERAGED_WINDOW].correlation)
        return _frame_of_spread(users, spread, assets), _frame_of_pairs(found, assets)

    def _closes(self, assets: Sequence[str], day: date) -> np.ndarray:
        days = _closes_before(day)
        own = self._prices.filter(
            pl.col("status").is_in(OWN_CLOSES)
            & pl.col("asset_id").is_in(assets)
            & pl.col("date").is_between(days[0], day)
        )
        closes = np.full((len(days), len(assets)), np.nan)
        row = (own["date"].cast(pl.Int32) - (days[0] - date(1970, 1, 1)).days).to_numpy()
        place = {name: at for at, name in enumerate(assets)}
        column = own["asset_id"].replace_strict(place, return_dtype=pl.Int32).to_numpy() if own.height else row
        closes[row, column] = own["close_usd"].fill_null(float("nan")).to_numpy()
        return closes


def _frame_of_spread(users: np.ndarray, spread: Diversification, assets: Sequence[str]) -> pl.DataFrame:
    top = pl.Series([*assets, None], dtype=pl.String).gather(
        np.where(spread.top_asset < 0, len(assets), spread.top_asset)
    )
    frame = pl.DataFrame(
        {
            "user_key": users,
            "hhi": spread.hhi,
            "effective_assets": spread.effective_assets,
            "top_share": spread.top_share,
            "top_asset_id": top,
            "average_correlation": spread.average_correlation,
            "n_assets": spread.n_assets,
            "unpriced_assets": spread.unpriced_assets,
        },
        nan_to_null=True,
    )
    return frame.cast({name: DIVERSIFICATION_SCHEMA[name] for name in frame.columns})


def _frame_of_pairs(found: dict[int, Correlations], assets: Sequence[str]) -> pl.DataFrame:
    first, second = np.triu_indices(len(assets), 1)
    names = pl.Series(assets, dtype=pl.String)
    frames = [
        pl.DataFrame(
            {
                "asset_a": names.gather(first),
                "asset_b": names.gather(second),
                "correlation": one.correlation[first, second],
                "lower_95": one.lower_95[first, second],
                "upper_95": one.upper_95[first, second],
                "n_obs": one.n_obs[first, second],
            },
            nan_to_null=True,
        ).select(pl.lit(window, pl.Int16).alias("window_days"), pl.all())
        for window, one in found.items()
    ]
    return pl.concat(frames).cast({name: ASSET_CORRELATIONS_SCHEMA[name] for name in frames[0].columns})
