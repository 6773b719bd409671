"""Equal risk contribution: our Newton solver beside skfolio and riskfolio-lib, on the same returns in one run.

python -m benchmarks.risk                       10, 50 and 200 assets
python -m benchmarks.risk --users 125000        also one portfolio of 12 assets for each user, all at once

The peers bring large solvers, so no lock file of this project has them: `uv pip install --group peers` (or `pip install
--group peers`) into an environment of its own, or into this one. Without them our own lines are still measured.

Every engine gets a year of the same returns and uses their sample covariance. Beside the time stands how far the shares
of risk are from equal, and how far the weights are from ours: what is fast must also be right.
"""

import argparse
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from portfolio_pipelines.finance.risk_weights import equal_risk_contribution, risk_contributions

Floats = NDArray[np.float64]
Solver = Callable[[], Floats]

SIZES = (10, 50, 200)
DAYS = 365
REPEATS = 5
BATCH_ASSETS = 12
LEAST_RATIO = 5.0
"""A peer is at least this many times as long, or the target is missed."""
MISSING = "not installed: uv pip install --group peers (into an environment of its own, they are large)"


def returns_of(assets: int) -> Floats:
    """A year of daily returns, seeded: one market, volatilities from 1 % to 8 % a day, betas around 1."""
    random = np.random.default_rng(assets)
    market = random.normal(0.0, 0.025, DAYS)
    own = random.uniform(0.01, 0.08, assets)
    return market[:, None] * random.normal(1.0, 0.3, assets) + random.normal(0.0, 1.0, (DAYS, assets)) * own


def ours(returns: Floats) -> Solver:
    """Our solver, with the estimation of the covariance."""
    return lambda: equal_risk_contribution(np.cov(returns, rowvar=False))


def skfolio(returns: Floats) -> Solver:
    """Solve by RiskBudgeting of variance; skfolio estimates the sample covariance itself."""
    from skfolio import RiskMeasure  # type: ignore[import-not-found]
    from skfolio.optimization import RiskBudgeting  # type: ignore[import-not-found]

    return lambda: np.asarray(RiskBudgeting(risk_measure=RiskMeasure.VARIANCE).fit(returns).weights_)


def riskfolio(returns: Floats) -> Solver:
    """Solve by risk parity of variance; riskfolio-lib's statistics are estimated before it is measured."""
    import pandas as pd
    import riskfolio as rp  # type: ignore[import-not-found]

    portfolio = rp.Portfolio(returns=pd.DataFrame(returns))
    portfolio.assets_stats(method_mu="hist", method_cov="hist")
    return lambda: np.asarray(portfolio.rp_optimization(model="Classic", rm="MV", rf=0, b=None, hist=True)).ravel()


PEERS: dict[str, tuple[str, Callable[[Floats], Solver]]] = {
    "skfolio RiskBudgeting": ("skfolio", skfolio),
    "riskfolio-lib rp_optimization": ("riskfolio", riskfolio),
}
"""Name, the module that must be there, and what makes the solver."""


def fastest(solver: Solver) -> tuple[float, Floats]:
    """Seconds of the fastest of some runs after one that warms up, and the weights."""
    weights, seconds = solver(), []
    for _ in range(REPEATS):
        started = time.perf_counter()
        solver()
        seconds.append(time.perf_counter() - started)
    return min(seconds), weights


def unevenness(weights: Floats, returns: Floats) -> float:
    """Largest |assets * share of risk - 1|: 0 where every asset brings the same."""
    shares = risk_contributions(weights, np.cov(returns, rowvar=False))
    return float(np.abs(shares * len(weights) - 1).max())


def compared() -> tuple[Table, list[float]]:
    """The table, and how many times as long each peer took."""
    table = Table(title=f"Equal risk contribution from {DAYS} days")
    for column in ("engine", "assets", "milliseconds", "times ours", "largest |n * share - 1|", "weights differ by"):
        table.add_column(column, justify="left" if column == "engine" else "right")
    ratios = []
    for assets in SIZES:
        returns = returns_of(assets)
        own, weights = fastest(ours(returns))
        rows = [("portfolio_pipelines", own, weights)]
        for name, (module, made) in PEERS.items():
            if find_spec(module) is not None:
                rows.append((name, *fastest(made(returns))))
                ratios.append(rows[-1][1] / own)
        for name, seconds, found in rows:
            table.add_row(
                name, str(assets), f"{seconds * 1e3:.2f}", f"{seconds / own:.1f}",
                f"{unevenness(found, returns):.0e}", f"{np.abs(found - weights).max():.0e}",
            )  # fmt: skip
        table.add_section()
    return table, ratios


def batch(users: int) -> tuple[float, float]:
    """Seconds for all users at once, and the largest |n * share - 1| among them."""
    random = np.random.default_rng(3)
    factors = random.normal(0.0, 1.0, (users, BATCH_ASSETS, 2)) * 0.02
    covariance = np.einsum("uaf,ubf->uab", factors, factors)
    covariance += np.eye(BATCH_ASSETS) * (random.uniform(0.01, 0.05, (users, BATCH_ASSETS)) ** 2)[:, None, :]
    started = time.perf_counter()
    weights = equal_risk_contribution(covariance)
    seconds = time.perf_counter() - started
    return seconds, float(np.abs(risk_contributions(weights, covariance) * BATCH_ASSETS - 1).max())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.risk", description=__doc__)
    parser.add_argument("--users", type=int, default=20_000)
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 140)
    table, ratios = compared()
    console.print(table)
    for name, (module, _) in PEERS.items():
        if find_spec(module) is None:
            console.print(f"{name} is {MISSING}", markup=False)
    if ratios:
        verdict = "met" if min(ratios) >= LEAST_RATIO else "missed"
        console.print(f"target: every peer at least {LEAST_RATIO:g} times as long: {verdict}, least {min(ratios):.1f}")
    seconds, uneven = batch(options.users)
    many = f"{options.users:,} users x {BATCH_ASSETS} assets at once"
    console.print(f"{many}: {seconds:.2f} s, largest |n * share - 1| {uneven:.0e}")


if __name__ == "__main__":
    main()
