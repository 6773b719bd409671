"""A portfolio of 2019 to 2021 on real prices, against figures that were computed independently of this project."""

import json
import os
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from portfolio_pipelines.finance.returns import TrackRecord, chain_day
from portfolio_pipelines.finance.valuation import EPOCH, Contributions, Holdings, add_up, prices_by_day, value_day

ROOT = Path(__file__).parents[3]
SHARED = (ROOT / os.environ.get("PORTFOLIO_SHARED_DATA", "../shared/data")).resolve()
PRICES, EXPECTED = SHARED / "prices_daily_dev.csv", SHARED / "expected_portfolio_dev_example.json"

pytestmark = pytest.mark.skipif(
    not (PRICES.is_file() and EXPECTED.is_file()),
    reason="needs prices_daily_dev.csv and expected_portfolio_dev_example.json in PORTFOLIO_SHARED_DATA",
)
EXACT = {"rel": 1e-9, "abs": 6e-7}  # the file gives six decimals
FIGURE = {"rel": 1e-9, "abs": 6e-9}  # and here eight to ten


@cache
def portfolio() -> dict[str, Any]:
    return json.loads(EXPECTED.read_text())["portfolios"][0]  # type: ignore[no-any-return]


@cache
def closes() -> pl.DataFrame:
    frame = pl.read_csv(PRICES, try_parse_dates=True).filter(pl.col("symbol").is_in(list(portfolio()["allocation"])))
    return frame.select(
        "date",
        "close_usd",
        asset_id="symbol",
        last_close_usd="close_usd",
        status=pl.lit("ok"),
        is_final=pl.lit(True),
    )


def bought() -> pl.DataFrame:
    example = portfolio()
    on = date.fromisoformat(example["purchase_date"])
    paid = dict(closes().filter(pl.col("date") == on).select("asset_id", "close_usd").iter_rows())
    return pl.DataFrame(
        [
            {
                "user_key": 1,
                "investment_key": 1,
                "invested_on": on,
                "asset_id": coin,
                "amount_usd": float(example["amount_usd"] * share),
                "quantity": example["amount_usd"] * share / paid[coin],
            }
            for coin, share in example["allocation"].items()
        ]
    )


@cache
def series() -> tuple[list[date], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Days since the purchase; values, daily returns and the index of time-weighted returns."""
    legs = bought()
    start, end = legs["invested_on"][0], date.fromisoformat(portfolio()["since_purchase"]["end"])
    days = [start + timedelta(days=n) for n in range((end - start).days + 1)]
    successions = pl.DataFrame(
        schema={"asset_id": pl.String, "successor_id": pl.String, "effective_on": pl.Date, "ratio": pl.Float64}
    )
    holdings, put_in, track = Holdings.from_legs(legs), Contributions.from_legs(legs), TrackRecord.new(1)
    rows = []
    for day, today in zip(days, prices_by_day(closes(), successions, holdings.asset_ids, days), strict=True):
        total = add_up(value_day(holdings, today, day))
        flows = put_in.on(day, total.user_key)
        linked = chain_day(track, (day - EPOCH).days, total.complete_value_usd, flows, np.zeros(1))
        track = linked.track
        rows.append((total.value_usd[0], linked.daily_return[0], linked.twr_index[0]))
    return days, *np.array(rows).T  # type: ignore[return-value]


def windows() -> list[dict[str, Any]]:
    return [*portfolio()["windows"], portfolio()["since_purchase"]]


WINDOWS = range(7)


def test_the_quantities_bought() -> None:
    assert dict(bought().select("asset_id", "quantity").iter_rows()) == pytest.approx(
        portfolio()["quantities"], rel=1e-9
    )


def test_the_value_at_the_end_of_every_month() -> None:
    days, values, _, _ = series()
    known = dict(zip(map(str, days), values, strict=True))
    expected = portfolio()["month_end_values"]
    assert {day: known[day] for day in expected} == pytest.approx(expected, **EXACT)


def test_no_day_since_the_purchase_is_without_a_value() -> None:
    assert portfolio()["missing_price_days"] == {}
    assert not np.isnan(np.array(series()[1:])).any()


@pytest.mark.parametrize("number", WINDOWS)
def test_value_and_return_on_investment_of_each_window(number: int) -> None:
    window, (days, values, _, index) = windows()[number], series()
    start, end = (days.index(date.fromisoformat(window[name])) for name in ("start", "end"))
    assert end - start == window["n_returns"]
    assert values[[start, end]].tolist() == pytest.approx([window["value_start"], window["value_end"]], **EXACT)
    assert (values[end] / values[start] - 1) * 100 == pytest.approx(window["roi_pct"], **FIGURE)
    assert (index[end] / index[start] - 1) * 100 == pytest.approx(window["roi_pct"], **FIGURE)  # no flows: the same


@pytest.mark.parametrize("number", WINDOWS)
def test_risk_figures_recomputed_from_our_daily_returns(number: int) -> None:
    window, (days, _, returns, index) = windows()[number], series()
    start, end = (days.index(date.fromisoformat(window[name])) for name in ("start", "end"))
    r, path = returns[start + 1 : end + 1], index[start : end + 1]
    fall = path / np.maximum.accumulate(path) - 1
    downside = np.sqrt(np.mean(np.minimum(r, 0) ** 2))
    assert r.std(ddof=1) * np.sqrt(365) == pytest.approx(window["volatility_annual"], **FIGURE)
    assert r.mean() / r.std(ddof=1) * np.sqrt(365) == pytest.approx(window["sharpe_rf0"], **FIGURE)
    assert r.mean() / downside * np.sqrt(365) == pytest.approx(window["sortino_mar0"], **FIGURE)
    assert fall.min() * 100 == pytest.approx(window["max_drawdown_pct"], **FIGURE)
    assert str(days[start + int(fall.argmin())]) == window["trough_date"]
    for name, at in (("best_day", r.argmax()), ("worst_day", r.argmin())):
        assert [str(days[start + 1 + int(at)]), r[at] * 100] == [
            window[name][0],
            pytest.approx(window[name][1], **EXACT),
        ]
