"""Metrics in the lake: which days are computed, what they say, what a late price changes."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from portfolio_pipelines.metric_tables import (
    ASSET_CORRELATIONS,
    ASSET_CORRELATIONS_SCHEMA,
    BENCHMARK_COMPARISON,
    BENCHMARK_COMPARISON_SCHEMA,
    DIVERSIFICATION,
    DIVERSIFICATION_SCHEMA,
    PORTFOLIO_METRICS,
    PORTFOLIO_METRICS_SCHEMA,
)
from portfolio_pipelines.resources.platform import Platform
from portfolio_pipelines.tables import USERS, USERS_SCHEMA
from tests.daily_files import bytes_of
from tests.integration.metrics.conftest import BTC, DAYS, ETH, LAST, bring_prices, run

ENDS = [date(2024, 2, 29), date(2024, 3, 31), date(2024, 4, 30), LAST]
TABLES = (PORTFOLIO_METRICS, BENCHMARK_COMPARISON, DIVERSIFICATION, ASSET_CORRELATIONS)


def metrics(platform: Platform, day: date, user: str, window: int) -> dict[str, object]:
    keys = dict(platform.lake.read_table(USERS, USERS_SCHEMA).select("user_id", "user_key").iter_rows())
    rows = platform.lake.read(PORTFOLIO_METRICS, [day], PORTFOLIO_METRICS_SCHEMA)
    (row,) = rows.filter(user_key=keys[user], window_days=window).to_dicts()
    return row


def test_a_range_computes_its_month_ends_and_its_last_day(platform: Platform) -> None:
    run(platform)
    for table in TABLES:
        assert sorted(platform.lake.days(table)) == ENDS


def test_a_run_of_one_day_computes_that_day(platform: Platform) -> None:
    run(platform)
    run(platform, DAYS[45], DAYS[45])
    assert sorted(platform.lake.days(PORTFOLIO_METRICS)) == sorted([*ENDS, DAYS[45]])


def test_every_day_is_computed_where_it_is_asked_for(platform: Platform) -> None:
    run(platform, DAYS[0], DAYS[9], **{"portfolio/metrics": "every-day"})
    assert sorted(platform.lake.days(PORTFOLIO_METRICS)) == DAYS[:10]


def test_the_figures_are_those_of_the_closes(platform: Platform) -> None:
    run(platform)
    closes = np.array(list(BTC.values()))
    returns = closes[1:] / closes[:-1] - 1
    found = metrics(platform, LAST, "ann", 30)
    assert found["twr"] == pytest.approx(closes[-1] / closes[-31] - 1)
    assert found["roi"] == pytest.approx(closes[-1] / closes[-31] - 1)
    assert found["volatility"] == pytest.approx(returns[-30:].std(ddof=1) * np.sqrt(365))
    assert found["best_day"] == pytest.approx(returns[-30:].max())
    assert found["n_obs"] == 30
    assert found["coverage"] == 1.0
    index = closes / np.maximum.accumulate(closes)
    since = metrics(platform, LAST, "ann", 0)
    assert since["max_drawdown"] == pytest.approx(index.min() - 1)
    assert since["drawdown_trough"] == DAYS[int(index.argmin())]
    assert since["var_95"] == pytest.approx(np.quantile([0, *returns], 0.05))
    assert since["n_obs"] == 75, "the day of the purchase is one of them"


def test_a_young_portfolio_has_a_reason_instead_of_figures(platform: Platform) -> None:
    run(platform)
    found = metrics(platform, LAST, "bob", 30)
    assert found["twr"] is None
    assert found["sharpe"] is None
    assert found["n_obs"] == (LAST - date(2024, 4, 10)).days + 1
    assert found["reason"] == "all: the track record is shorter than the window"
    early = platform.lake.read(PORTFOLIO_METRICS, [ENDS[0]], PORTFOLIO_METRICS_SCHEMA)
    assert early["user_key"].n_unique() == 1, "Bob had not begun"


def test_portfolios_are_compared_with_bitcoin_and_ether(platform: Platform) -> None:
    run(platform)
    rows = platform.lake.read(BENCHMARK_COMPARISON, [LAST], BENCHMARK_COMPARISON_SCHEMA)
    (ann,) = rows.filter(user_key=rows["user_key"].min(), window_days=30, benchmark="BTC").to_dicts()
    assert ann["beta"] == pytest.approx(1)
    assert ann["excess"] == pytest.approx(0, abs=1e-12)
    assert set(rows["benchmark"]) == {"BTC", "ETH"}
    assert rows.filter(window_days=365).is_empty(), "nobody has a year"
    (eth,) = rows.filter(user_key=rows["user_key"].min(), window_days=30, benchmark="ETH").to_dicts()
    a, b = (np.array(list(closes.values()))[-31:] for closes in (BTC, ETH))
    assert eth["correlation"] == pytest.approx(np.corrcoef(a[1:] / a[:-1], b[1:] / b[:-1])[0, 1])


def test_a_chosen_asset_is_a_benchmark_too(platform: Platform) -> None:
    chosen = platform.settings.model_copy(update={"benchmark_assets": ("coingecko:ethereum",)})
    run(Platform.of(chosen))
    rows = platform.lake.read(BENCHMARK_COMPARISON, [LAST], BENCHMARK_COMPARISON_SCHEMA).sort("user_key")
    names = ("beta", "correlation", "benchmark_roi", "n_obs")
    own, known = (rows.filter(window_days=30, benchmark=name) for name in ("coingecko:ethereum", "ETH"))
    assert own.select(names).equals(known.select(names))


def test_portfolios_are_as_spread_as_their_worth(platform: Platform) -> None:
    run(platform)
    rows = platform.lake.read(DIVERSIFICATION, [LAST], DIVERSIFICATION_SCHEMA).sort("user_key")
    ann, bob = rows.to_dicts()
    assert (ann["hhi"], ann["effective_assets"], ann["top_share"]) == (1, 1, 1)
    assert ann["average_correlation"] is None
    worth = np.array([0.02 * BTC[LAST], 0.2 * ETH[LAST]])
    shares = worth / worth.sum()
    assert bob["hhi"] == pytest.approx((shares**2).sum())
    assert bob["top_asset_id"] == "coingecko:bitcoin"
    (pair,) = (
        platform.lake.read(ASSET_CORRELATIONS, [LAST], ASSET_CORRELATIONS_SCHEMA).filter(window_days=90).to_dicts()
    )
    assert bob["average_correlation"] == pytest.approx(pair["correlation"])
    assert pair["lower_95"] < pair["correlation"] < pair["upper_95"]
    assert pair["n_obs"] == 74


def test_a_second_run_writes_nothing(platform: Platform) -> None:
    run(platform)
    before = {key: platform.lake.path(*key).stat().st_mtime_ns for key in bytes_of(platform, TABLES)}
    run(platform)
    assert {key: platform.lake.path(*key).stat().st_mtime_ns for key in bytes_of(platform, TABLES)} == before


def test_day_by_day_gives_the_bytes_of_one_range(platform: Platform) -> None:
    for day in DAYS:
        run(platform, day, day) if day in ENDS or day < DAYS[3] else None
    run(platform)
    by_steps = {key: content for key, content in bytes_of(platform, TABLES).items() if key[1] in ENDS}
    for table in TABLES:
        for day in platform.lake.days(table):
            platform.lake.path(table, day).unlink()
    run(platform)
    assert bytes_of(platform, TABLES) == by_steps


def test_a_late_price_changes_the_days_and_users_that_rest_on_it(platform: Platform) -> None:
    run(platform)
    before = bytes_of(platform, TABLES)
    frames = {day: platform.lake.read(PORTFOLIO_METRICS, [day], PORTFOLIO_METRICS_SCHEMA) for day in ENDS}
    changed = date(2024, 4, 20)
    bring_prices(platform, "ETH", {changed: ETH[changed] * 1.02})
    run(platform, changed, LAST)
    after = bytes_of(platform, TABLES)
    different = {key for key in before if before[key] != after[key]}
    assert {day for table, day in different if table == PORTFOLIO_METRICS} == {ENDS[2], ENDS[3]}
    for day in ENDS[2:]:
        now = platform.lake.read(PORTFOLIO_METRICS, [day], PORTFOLIO_METRICS_SCHEMA)
        ann = pl.col("user_key") == now["user_key"].min()
        assert now.filter(ann).equals(frames[day].filter(ann)), "Ann holds no ether"
        assert not now.filter(~ann).equals(frames[day].filter(~ann))
    for table in TABLES:
        for day in platform.lake.days(table):
            platform.lake.path(table, day).unlink()
    run(platform)
    assert bytes_of(platform, TABLES) == after, "incremental equals full"


def test_a_day_that_was_never_valued_has_no_metrics(platform: Platform) -> None:
    run(platform, DAYS[0] - timedelta(days=3), DAYS[2])
    assert sorted(platform.lake.days(PORTFOLIO_METRICS))[-1] == DAYS[2]
