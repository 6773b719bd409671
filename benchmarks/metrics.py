"""Metrics of a whole population: our kernel beside polars, DuckDB and an empyrical loop, then from files to tables.

python -m benchmarks.metrics [USERS]        seconds, ratios to a pass over the returns, and peak memory

Every engine computes total return, volatility, Sharpe, Sortino, drawdown, value at risk and expected shortfall over 30,
90 and 365 days; ours also what else `portfolio_metrics` holds. Peers run on a part of the users and are scaled up; all
are compared with our figures. What the assets do with it, `benchmarks.metrics_step` measures; each measurement runs in
a process of its own, whose peak memory is told. Through Dagster to the marts: `python -m benchmarks.pipeline`.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import duckdb
import numpy as np
import polars as pl

from benchmarks.metrics_step import DAYS, peak_gigabytes
from portfolio_pipelines.finance.metrics import WindowMetrics, portfolio_metrics
from portfolio_pipelines.finance.metrics_history import DayOfPortfolios, History, rows_needed

WINDOWS = (30, 90, 365)
PART = 5_000
LOOPED = 100
TARGET = "at most 2 s in the kernel, 20 s through Dagster to the mart, under 2 GB"
KERNEL, PEERS = "kernel", "peers"
"""Words that make this module measure one of them: its memory is told without the other's."""
LINES = """
create temp table w as select n from (values (30), (90), (365)) as t(n);
"""
SQL = """
with spans as (
    select n, u, d, r, product(1 + r) over (partition by n, u order by d) as i
    from r join w on d >= 365 - n
), peaks as (
    select *, greatest(1, max(i) over (partition by n, u order by d)) as top from spans
), tails as (
    select n, u, product(1 + r) - 1 as twr, stddev_samp(r) * sqrt(365) as volatility,
        avg(r) / stddev_samp(r) * sqrt(365) as sharpe, avg(r) / sqrt(avg(least(r, 0) ** 2)) * sqrt(365) as sortino,
        min(i / top) - 1 as max_drawdown, quantile_cont(r, 0.05) as var_95, list(r) as rs
    from peaks group by n, u
)
select n, u, twr, volatility, sharpe, sortino, max_drawdown, var_95,
    list_avg(list_filter(rs, lambda x: x <= var_95)) as cvar_95
from tails order by n, u
"""


def history_of(users: int) -> History:
    """Everybody bought before the first day, and puts in more on one day; returns are seeded."""
    random = np.random.default_rng(7)
    history = History(users, DAYS, rows_needed([DAYS - 1], WINDOWS))
    place, zeros = np.arange(users), np.zeros(users)
    value, index = np.full(users, 1_000.0), np.ones(users)
    for row in range(DAYS):
        daily = np.clip(random.standard_t(4, users) * 0.02 + 0.0005, -0.8, 2)
        inflow = np.where(place % DAYS == row, 100.0, 0.0) + (value if row == 0 else 0.0)
        before = zeros if row == 0 else value
        value, index = (before + inflow) * (1 + daily), index * (1 + daily)
        history.add(DayOfPortfolios(place, value, zeros, zeros, inflow, zeros, daily, index))
    return history


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def long_frame(returns: np.ndarray) -> pl.DataFrame:
    users = returns.shape[1]
    return pl.DataFrame(
        {
            "u": np.repeat(np.arange(users, dtype=np.int32), DAYS),
            "d": np.tile(np.arange(DAYS, dtype=np.int16), users),
            "r": np.ascontiguousarray(returns.T).ravel(),
        }
    )


def by_polars(frame: pl.DataFrame) -> pl.DataFrame:
    r, growth = pl.col("r"), pl.col("r") + 1
    index = growth.cum_prod()
    quantile = r.quantile(0.05, "linear")
    figures = [
        (growth.product() - 1).alias("twr"),
        (r.std() * np.sqrt(365)).alias("volatility"),
        (r.mean() / r.std() * np.sqrt(365)).alias("sharpe"),
        (r.mean() / (r.clip(upper_bound=0) ** 2).mean().sqrt() * np.sqrt(365)).alias("sortino"),
        ((index / index.cum_max().clip(lower_bound=1)).min() - 1).alias("max_drawdown"),
        quantile.alias("var_95"),
        r.filter(r <= quantile).mean().alias("cvar_95"),
    ]
    return pl.concat(
        frame.lazy().filter(pl.col("d") >= DAYS - n).group_by("u", maintain_order=True).agg(figures).collect()
        for n in WINDOWS
    )


def by_duckdb(frame: pl.DataFrame) -> pl.DataFrame:
    with duckdb.connect() as connection:
        connection.register("r", frame)
        connection.execute(LINES)
        return pl.DataFrame(connection.execute(SQL).fetchnumpy())


def by_empyrical(returns: np.ndarray) -> None:
    import empyrical

    for user in range(returns.shape[1]):
        for window in WINDOWS:
            r = returns[-window:, user]
            empyrical.cum_returns_final(r)
            empyrical.annual_volatility(r, annualization=365)
            empyrical.sharpe_ratio(r, annualization=365)
            empyrical.sortino_ratio(r, annualization=365)
            empyrical.max_drawdown(r)
            empyrical.value_at_risk(r)
            empyrical.conditional_value_at_risk(r)


def agree(frame: pl.DataFrame, ours: list[WindowMetrics]) -> None:
    """Fail when an engine's figure is not ours."""
    users = frame.height // len(WINDOWS)
    for number, window in enumerate(ours):
        part = frame.slice(number * users, users)
        for name in ("twr", "volatility", "sharpe", "sortino", "max_drawdown", "var_95", "cvar_95"):
            own = getattr(window, name)[:users]
            there = np.isfinite(own)
            np.testing.assert_allclose(part[name].to_numpy()[there], own[there], rtol=1e-7, atol=1e-9)


def by_kernel(users: int) -> dict[str, float]:
    """Seconds of a pass over the returns and of the kernel, and gigabytes before and after it."""
    history = history_of(users)
    held = peak_gigabytes()
    bound = min(timed(lambda: history.returns.sum()) for _ in range(3))
    seconds = min(timed(lambda: portfolio_metrics(history, DAYS - 1, WINDOWS)) for _ in range(3))
    return {"bound": bound, "kernel": seconds, "GB held before": held, "GB": peak_gigabytes()}


def by_peers(users: int) -> dict[str, float]:
    """Seconds of each peer, scaled up from a part of the users, after its figures were compared with ours."""
    part = min(PART, users)
    history = history_of(part)
    returns, ours = history.returns, portfolio_metrics(history, DAYS - 1, WINDOWS)
    frame, scale = long_frame(returns), users / part
    found = {}
    for name, engine in (("polars", by_polars), ("DuckDB", by_duckdb)):
        agree(engine(frame), ours)
        found[f"{name} (from {part:,} users)"] = timed(lambda engine=engine: engine(frame)) * scale
    try:
        by_empyrical(returns[:, :1])  # imported before it is measured
        looped = timed(lambda: by_empyrical(returns[:, :LOOPED])) * users / LOOPED
        found[f"empyrical, a loop (from {LOOPED} users)"] = looped
    except ImportError:
        print("empyrical-reloaded is not installed: its loop is left out", file=sys.stderr)
    return found


def apart(module: str, *arguments: object) -> dict[str, float]:
    """What a measurement says that runs in a process of its own."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    figures: dict[str, float] = json.loads(output.splitlines()[-1])
    return figures


def main() -> None:
    """Measure and print."""
    users = int(sys.argv[1]) if len(sys.argv) > 1 else 125_000
    if sys.argv[2:3] in ([PEERS], [KERNEL]):
        print(json.dumps(by_peers(users) if sys.argv[2] == PEERS else by_kernel(users)))
        return
    print(f"metrics of {users:,} users x {DAYS} days x {len(WINDOWS)} windows; target: {TARGET}")
    own = apart("benchmarks.metrics", users, KERNEL)
    engines = {
        "one pass over the returns (bound)": own["bound"],
        "our kernel, all figures": own["kernel"],
        **apart("benchmarks.metrics", users, PEERS),
    }
    for name, seconds in engines.items():
        print(f"  {name:<64}{seconds:>10.2f} s {seconds / own['bound']:>10,.1f} times the bound")
    print(f"  {'peak memory with the kernel':<64}{own['GB']:>10.2f} GB, {own['GB held before']:.2f} before it")
    with tempfile.TemporaryDirectory(prefix="portfolio-bench-") as folder:
        apart("benchmarks.metrics_step", folder, users, "prepare")
        for name, figure in apart("benchmarks.metrics_step", folder, users, "measure").items():
            print(f"  {name:<64}{figure:>10.2f}")


if __name__ == "__main__":
    main()
