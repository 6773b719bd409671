"""Metrics of every portfolio, and how they compare with benchmarks. The arithmetic is in `finance`.

A run of one day computes that day. A run of a range computes every month end in it and its last day, or every day where
the run's tag asks for it; days that were computed before stay current.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Final

import dagster as dg
import polars as pl

from portfolio_pipelines.assets.days import (
    DAILY,
    EVERY_DAY,
    ONE_RUN,
    WHICH_DAYS_TAG,
    days_of,
    days_with_figures,
)
from portfolio_pipelines.assets.metadata import OWNERS, column_schema, written
from portfolio_pipelines.assets.portfolio_history import PortfolioHistory, read_benchmarks, read_history
from portfolio_pipelines.finance.benchmark_comparison import BenchmarkSeries, Comparison, compare
from portfolio_pipelines.finance.metrics import WindowMetrics, portfolio_metrics
from portfolio_pipelines.finance.metrics_conventions import WINDOWS
from portfolio_pipelines.finance.metrics_history import Flows
from portfolio_pipelines.finance.metrics_kernel import GapReturns
from portfolio_pipelines.finance.metrics_reasons import words_of
from portfolio_pipelines.metric_tables import (
    BENCHMARK_COMPARISON,
    BENCHMARK_COMPARISON_SCHEMA,
    PORTFOLIO_METRICS,
    PORTFOLIO_METRICS_SCHEMA,
)
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.figure_rules import FigureRules
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.partitions import PartitionWriter, chained, fingerprint
from portfolio_pipelines.tables import BENCHMARKS, PORTFOLIO_PERFORMANCE, PRICES

METRICS_VERSION = "2"
COMPARISON_VERSION = "1"
OF_PAIRS: Final = (
    "benchmark_roi", "beta", "correlation", "tracking_error", "up_capture", "down_capture", "n_obs",
)  # fmt: skip
TABLES: Final = {
    "portfolio_metrics": (
        PORTFOLIO_METRICS_SCHEMA,
        ["portfolio_performance"],
        METRICS_VERSION,
        "Return and risk of every portfolio over 30, 90 and 365 days and since its start; null with a reason.",
    ),
    "benchmark_comparison": (
        BENCHMARK_COMPARISON_SCHEMA,
        ["portfolio_performance", "benchmarks_daily", "prices_daily"],
        COMPARISON_VERSION,
        "Every portfolio beside BTC, ETH, the S&P 500 on its trading days, and assets of the operator's choice.",
    ),
}


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            name,
            deps=deps,
            description=description,
            owners=OWNERS,
            group_name="core",
            kinds={"parquet", "numpy"},
            code_version=version,
            metadata=column_schema(schema),
            partitions_def=DAILY,
        )
        for name, (schema, deps, version, description) in TABLES.items()
    ],
    backfill_policy=ONE_RUN,
)
def metrics_of_portfolios(
    context: dg.AssetExecutionContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Database],
    figure_rules: dg.ResourceParam[FigureRules],
) -> Iterator[dg.MaterializeResult[None]]:
    """Both tables from one reading of the past: it is most of the work."""
    days = days_of(context)
    with database.writer(lake, context.run.run_id) as writer:
        every_day = context.run.tags.get(WHICH_DAYS_TAG) == EVERY_DAY
        wanted = metric_days(days, lake, every_day=every_day)
        outdated = outdated_figures(writer, lake, wanted, figure_rules)
        due = list(outdated)
        rows, compared = 0, 0
        last, last_compared = pl.DataFrame(schema=PORTFOLIO_METRICS_SCHEMA), pl.DataFrame()
        if due:
            past = read_history(lake, due, WINDOWS)
            series = read_benchmarks(lake, past.first_day, due[-1], figure_rules.benchmark_assets)
            gaps, flows = past.history.gaps(), past.history.flows()
            for day, (of_metrics, of_comparison) in outdated.items():
                last, last_compared = figures_of_day(past, series, day, figure_rules.risk_free_rate, gaps, flows)
                writer.write(PORTFOLIO_METRICS, day, last, of_metrics, METRICS_VERSION)
                writer.write(BENCHMARK_COMPARISON, day, last_compared, of_comparison, COMPARISON_VERSION)
                rows, compared = rows + last.height, compared + last_compared.height
    days_computed = len(due)
    yield dg.MaterializeResult(asset_key="portfolio_metrics", metadata=written(last, rows, days_computed=days_computed))
    yield dg.MaterializeResult(
        asset_key="benchmark_comparison", metadata=written(last_compared, compared, days_computed=days_computed)
    )


def figures_of_day(
    past: PortfolioHistory,
    series: Sequence[BenchmarkSeries],
    day: date,
    risk_free_rate: float,
    gaps: GapReturns | None = None,
    flows: Flows | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Both tables of a day, without its date; gaps and flows are those of the history, when they are at hand."""
    row = past.row(day)
    figures = portfolio_metrics(past.history, row, WINDOWS, risk_free_rate, gaps, flows)
    found = compare(past.history.returns, past.history.states[row], row, WINDOWS, series)
    return frame_of_metrics(past, figures, row), frame_of_comparisons(past, figures, found)


def metric_days(days: Sequence[date], lake: Lake, *, every_day: bool) -> list[date]:
    """The days of a run that have metrics: month ends, the last valued one, those computed before; or all."""
    there, before = lake.days(PORTFOLIO_PERFORMANCE), lake.days(PORTFOLIO_METRICS)
    return days_with_figures(days, there, before, every_day=every_day)


def outdated_figures(
    writer: PartitionWriter, lake: Lake, days: Sequence[date], rules: FigureRules
) -> dict[date, tuple[str, str]]:
    """Those of the days that lack a table made from what is there now by this code; with what both rest on."""
    of_metrics = metric_inputs(writer, lake, days, rules)
    of_comparison = comparison_inputs(writer, lake, days, rules)
    return {
        day: (of_metrics[day], of_comparison[day])
        for day in days
        if not writer.is_current(PORTFOLIO_METRICS, day, of_metrics[day], METRICS_VERSION)
        or not writer.is_current(BENCHMARK_COMPARISON, day, of_comparison[day], COMPARISON_VERSION)
    }


def metric_inputs(writer: PartitionWriter, lake: Lake, days: Sequence[date], rules: FigureRules) -> dict[date, str]:
    """What the metrics of each day rest on: all values up to it, and the risk-free rate."""
    past = chained(_contents(writer, lake, PORTFOLIO_PERFORMANCE, days), days)
    return {day: fingerprint(values, rules.risk_free_rate) for day, values in past.items()}


def comparison_inputs(writer: PartitionWriter, lake: Lake, days: Sequence[date], rules: FigureRules) -> dict[date, str]:
    """What the comparisons of each day rest on: all values and closes of the benchmarks up to it."""
    past = chained(_contents(writer, lake, PORTFOLIO_PERFORMANCE, days), days)
    closes = chained(_contents(writer, lake, BENCHMARKS, days), days)
    further = chained(_contents(writer, lake, PRICES, days), days) if rules.benchmark_assets else {}
    return {day: fingerprint(past[day], closes[day], further.get(day, ""), *rules.benchmark_assets) for day in days}


def _contents(writer: PartitionWriter, lake: Lake, table: str, days: Sequence[date]) -> list[tuple[date, str]]:
    last = days[-1] if days else date.min
    return [(day, writer.content(table, day)) for day in sorted(lake.days(table)) if day <= last]


def frame_of_metrics(past: PortfolioHistory, figures: Sequence[WindowMetrics], row: int) -> pl.DataFrame:
    """Rows of PORTFOLIO_METRICS_SCHEMA without the date, of portfolios that had begun by the row."""
    state = past.history.states[row]
    begun = pl.Series((state.start <= row) | state.interrupted)
    frames = []
    for window in figures:
        numbers = {
            name: getattr(window, name)
            for name in PORTFOLIO_METRICS_SCHEMA
            if name not in {"user_key", "date", "window_days", "reason"} and not name.startswith("drawdown_")
        }
        frame = pl.DataFrame({"user_key": past.user_key, **numbers}, nan_to_null=True).with_columns(
            pl.lit(window.window_days, pl.Int16).alias("window_days"),
            words_of(window.reason),
            *(
                past.days_of(getattr(window, name)).alias(name)
                for name in ("drawdown_peak", "drawdown_trough", "drawdown_recovered")
            ),
        )
        frames.append(frame.filter(begun).select(name for name in PORTFOLIO_METRICS_SCHEMA if name != "date"))
    return pl.concat(frames).cast({name: PORTFOLIO_METRICS_SCHEMA[name] for name in frames[0].columns})


def frame_of_comparisons(
    past: PortfolioHistory, figures: Sequence[WindowMetrics], found: Sequence[Comparison]
) -> pl.DataFrame:
    """Rows of BENCHMARK_COMPARISON_SCHEMA without the date, of windows that the track record covers."""
    returns = {window.window_days: window.twr for window in figures}
    names = [name for name in BENCHMARK_COMPARISON_SCHEMA if name != "date"]
    frames = [pl.DataFrame(schema={name: BENCHMARK_COMPARISON_SCHEMA[name] for name in names})]
    for one in found:
        own = returns[one.window_days]
        statistics = {
            name: getattr(one, name)
            for name in (
                "benchmark_roi",
                "beta",
                "correlation",
                "tracking_error",
                "up_capture",
                "down_capture",
                "n_obs",
            )
        }
        frame = pl.DataFrame(
            {"user_key": past.user_key, "portfolio_roi": own, "excess": own - one.benchmark_roi, **statistics},
            nan_to_null=True,
        ).with_columns(window_days=pl.lit(one.window_days, pl.Int16), benchmark=pl.lit(one.benchmark))
        frames.append(frame.filter(pl.col("portfolio_roi").is_not_null()).select(names))
    return pl.concat([frame.cast({name: BENCHMARK_COMPARISON_SCHEMA[name] for name in names}) for frame in frames])
