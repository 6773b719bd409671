"""What a comparison with a benchmark, a concentration, or a value was computed from. See `explained_metrics`."""

from datetime import date, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from portfolio_pipelines.commands.console import CommandError
from portfolio_pipelines.commands.explained_metrics import Days, Explanation, Question, Value
from portfolio_pipelines.finance.metrics_conventions import LEAST_DAILY_DEVIATION, LEAST_PAIRS
from portfolio_pipelines.finance.returns import LEAST_INVESTED_USD

if TYPE_CHECKING:
    import duckdb

COMPARED: Final = (
    "portfolio_roi", "benchmark_roi", "excess", "beta", "correlation", "tracking_error", "up_capture", "down_capture",
    "benchmark_comparison.n_obs",
)  # fmt: skip
"""The figures of benchmark_comparison; one whose name another mart has, too, with the mart before it."""
SPREAD: Final = (
    "hhi", "effective_assets", "top_share", "top_asset_id", "n_assets", "unpriced_assets", "average_correlation",
)  # fmt: skip
"""The figures of diversification."""
OF_THE_DAY: Final = ("value_usd", "daily_return", "pnl_usd")
"""The figures of portfolio_performance_daily that rest on holdings or on the day before, and what has no price."""


def explain_comparison(marts: "duckdb.DuckDBPyConnection", days: Days, question: Question) -> Explanation:
    """Work a figure of benchmark_comparison out from the returns between the benchmark's own closes.

    Raises:
        CommandError: If nothing is known of the benchmark.
    """
    closes = marts.execute(
        "select date, close_usd, is_trading_day from marts.benchmarks_daily "
        "where benchmark = ? and date between ? and ? and close_usd is not null union all by name "
        "select date, close_usd, status in ('ok', 'manual', 'disagreement') as is_trading_day from marts.prices_daily "
        "where asset_id = ? and date between ? and ? and close_usd is not null order by date",
        [question.benchmark, days.first - timedelta(days=1), question.day] * 2,
    ).fetchall()
    if not closes:
        msg = f"nothing is known of the benchmark {question.benchmark!r}: choose BTC, ETH, SP500 or an asset id"
        raise CommandError(msg)
    own = [(day, close) for day, close, traded in closes if traded]
    weekdays = len(own) < len(closes) * 6 / 7
    a_year = 252 if weekdays else 365
    returns = dict(zip(days.dates, days.daily, strict=True))
    pairs: list[tuple[float, float]] = []
    for (before, old), (day, new) in pairwise(own):
        between = [returns.get(date.fromordinal(n), np.nan) for n in range(before.toordinal() + 1, day.toordinal() + 1)]
        if not np.isnan(between).any() and len(between) <= 7:
            pairs.append((float(np.prod(1 + np.array(between)) - 1), new / old - 1))
    p, b = np.array(pairs).reshape(-1, 2).T
    portfolio_roi = float(days.index[-1] / days.start_index - 1)
    benchmark_roi = closes[-1][1] / closes[0][1] - 1 if closes[0][0] < days.first else float("nan")
    inputs: list[tuple[str, Value]] = [
        ("window", f"{days.first} to {question.day}"),
        ("close before the window", closes[0][1]),
        ("close at the end", closes[-1][1]),
        ("pairs of returns", len(pairs)),
        ("grid", "trading days, the portfolio compounded onto them" if weekdays else "every day"),
    ]
    if question.metric in {"portfolio_roi", "benchmark_roi", "excess"}:
        worked = {
            "portfolio_roi": portfolio_roi,
            "benchmark_roi": benchmark_roi,
            "excess": portfolio_roi - benchmark_roi,
        }
        formula = {
            "portfolio_roi": "time-weighted return of the portfolio",
            "benchmark_roi": "close at the end / close before the window - 1",
            "excess": "portfolio_roi - benchmark_roi",
        }[question.metric]
        inputs += [("portfolio_roi", portfolio_roi), ("benchmark_roi", benchmark_roi)]
        return Explanation(formula, inputs, worked[question.metric])
    if question.metric == "benchmark_comparison.n_obs":
        return Explanation("number of pairs of returns between closes of the benchmark", inputs, len(pairs))
    if len(pairs) < LEAST_PAIRS:
        return Explanation(f"null: {LEAST_PAIRS} pairs of returns are the fewest that tell anything", inputs, None)
    if question.metric in {"up_capture", "down_capture"}:
        some = b > 0 if question.metric == "up_capture" else b < 0
        means = [float(np.expm1(np.log1p(side[some]).mean())) if some.any() else float("nan") for side in (p, b)]
        inputs += [("periods", int(some.sum())), ("portfolio's geometric mean", means[0]), ("benchmark's", means[1])]
        return Explanation("geometric mean of the portfolio / of the benchmark", inputs, means[0] / means[1])
    covariance = np.cov(p, b)
    inputs += [
        ("covariance", float(covariance[0, 1])),
        ("variance of the benchmark", float(covariance[1, 1])),
        ("variance of the portfolio", float(covariance[0, 0])),
    ]
    still = np.diag(covariance) < LEAST_DAILY_DEVIATION**2  # a constant series moves with nothing
    if question.metric == "beta":
        beta = None if still[1] else float(covariance[0, 1] / covariance[1, 1])
        return Explanation("covariance / variance of the benchmark; null where it stands still", inputs, beta)
    if question.metric == "correlation":
        found = None if still.any() else float(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]))
        return Explanation("covariance / sqrt(variance * variance); null where one stands still", inputs, found)
    formula = f"standard deviation (n - 1) of portfolio - benchmark * sqrt({a_year})"
    return Explanation(formula, inputs, float((p - b).std(ddof=1) * np.sqrt(a_year)))


def explain_spread(marts: "duckdb.DuckDBPyConnection", question: Question) -> Explanation:
    """Work a figure of diversification out from the holdings of the day."""
    held = _holdings(marts, question.user, question.day)
    if question.metric == "unpriced_assets":
        missing: list[tuple[str, Value]] = [
            (f"{name}, units", units) for name, units, _, worth in held if worth is None
        ]
        return Explanation("number of held assets without a usable price", missing, len(missing))
    holdings = [(name, worth) for name, _, _, worth in held if worth is not None]
    total = sum(worth for _, worth in holdings)
    shares = {name: worth / total for name, worth in holdings}
    inputs: list[tuple[str, Value]] = [(f"share of {name}", share) for name, share in shares.items()]
    hhi = sum(share**2 for share in shares.values())
    if question.metric == "n_assets":
        return Explanation("number of priced assets held", inputs, len(shares))
    if not shares:
        return Explanation("null: no asset that is held has a usable price", _without_price(held, question.day), None)
    if question.metric == "hhi":
        return Explanation("sum of squared shares of worth", inputs, hhi)
    if question.metric == "effective_assets":
        return Explanation("1 / sum of squared shares of worth", inputs, 1 / hhi)
    if question.metric == "top_share":
        return Explanation("largest share of worth", inputs, max(shares.values()))
    if question.metric == "top_asset_id":
        return Explanation("asset with the largest share of worth", inputs, max(shares, key=lambda name: shares[name]))
    pairs = marts.execute(
        "select asset_a, asset_b, correlation from marts.asset_correlations where as_of = ? and window_days = 90 "
        "and correlation is not null and list_contains(?, asset_a) and list_contains(?, asset_b) order by all",
        [question.day, list(shares), list(shares)],
    ).fetchall()
    weights = [shares[a] * shares[b] for a, b, _ in pairs]
    inputs += [(f"correlation of {a} and {b}", value) for a, b, value in pairs]
    found = sum(w * value for w, (_, _, value) in zip(weights, pairs, strict=True)) / sum(weights) if pairs else None
    return Explanation("mean of the pairs' correlations over 90 days, weighted by share * share", inputs, found)


def explain_day(marts: "duckdb.DuckDBPyConnection", question: Question) -> Explanation:
    """Work a figure of portfolio_performance_daily out from the holdings, or from the day before."""
    before = question.day - timedelta(days=1)
    rows = marts.execute(
        "select date, value_usd, invested_usd, flow_in_usd, flow_out_usd from marts.portfolio_performance_daily "
        "where user_id = ? and date between ? and ?",
        [question.user, before, question.day],
    ).fetchall()
    of_days = {row[0]: row[1:] for row in rows}
    value, invested, inflow, outflow = of_days[question.day]
    held = _holdings(marts, question.user, question.day)
    if question.metric == "value_usd":
        inputs: list[tuple[str, Value]] = [
            (_units(name, quantity) if price is None else f"{_units(name, quantity)} at {price:,.8g} USD", worth)
            for name, quantity, price, worth in held
        ]
        priced = [worth for *_, worth in held if worth is not None]
        return Explanation(
            "sum of quantity * close; null when nothing has one", inputs, sum(priced) if priced else None
        )
    without = _without_price(held, question.day)
    if question.metric == "pnl_usd":
        inputs = [("value, USD", value), ("put in, USD", invested), *without]
        gain = None if without or value is None else value - invested
        return Explanation("value - put in; null when a holding has no price", inputs, gain)
    worth_before = of_days[before][0] if before in of_days else 0.0
    if before in of_days:
        without += _without_price(_holdings(marts, question.user, before), before)
    inputs = [
        ("value of the day before, USD", worth_before), ("flow in, USD", inflow), ("flow out, USD", outflow),
        ("value, USD", value), *without,
    ]  # fmt: skip
    found = None
    if not without and value is not None and worth_before is not None and worth_before + inflow >= LEAST_INVESTED_USD:
        found = (value + outflow) / (worth_before + inflow) - 1
    formula = "(value + flow out) / (value of the day before + flow in) - 1; null when a holding has no price on either"
    return Explanation(formula, inputs, found)


Holding = tuple[str, float | None, float | None, float | None]  # asset, units, close, worth


def _units(name: str, quantity: float | None) -> str:
    """How much of an asset is held; where that rests on an invented close nobody knows."""
    return f"an unknown number of {name}" if quantity is None else f"{quantity:,.8g} {name}"


def _without_price(held: list[Holding], day: date) -> list[tuple[str, Value]]:
    """Holdings whose worth is unknown: a total without them is not the worth of the portfolio."""
    return [
        (f"{_units(name, quantity)} on {day}, without a price", None)
        for name, quantity, _, worth in held
        if worth is None
    ]


def _holdings(marts: "duckdb.DuckDBPyConnection", user: str, day: date) -> list[Holding]:
    """What the user's investments were on the day."""
    return marts.execute(
        "select held.asset_id, sum(held.quantity), any_value(prices.close_usd), sum(held.quantity * prices.close_usd) "
        "from intermediate.dim_holdings as held join intermediate.dim_users as users using (user_key) "
        "left join marts.prices_daily as prices on prices.asset_id = held.asset_id and prices.date = $day "
        "where users.user_id = $user and $day >= held.held_from and $day < held.held_until "
        "group by held.asset_id order by 4 desc nulls last, 1",
        {"day": day, "user": user},
    ).fetchall()
