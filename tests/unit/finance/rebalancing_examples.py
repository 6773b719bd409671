"""The portfolio that is checked by hand, and random ones."""

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from portfolio_pipelines.finance.rebalancing import Portfolios
from portfolio_pipelines.finance.rebalancing_optimum import Wishes

# BTC 6000, ETH 2500, SOL 500, USDC 1000; targets 50/30/10/10 with bands of 2 points of 10,000: BTC is 800 too high, ETH
# and SOL 300 too low each, USDC is inside.
VALUES = np.array([6000.0, 2500.0, 500.0, 1000.0])
TARGETS = np.array([0.5, 0.3, 0.1, 0.1])
BANDS = np.full(4, 0.02)


def by_hand() -> Portfolios:
    return Portfolios(VALUES[None], TARGETS[None], BANDS[None])


def wishes(values: NDArray[np.float64] = VALUES, **changes: Any) -> Wishes:
    count = len(values)
    facts: dict[str, Any] = {
        "values": values,
        "targets": TARGETS,
        "bands": BANDS,
        "gas_usd": np.full(count, 0.5),
        "places": (0,) * count,
        "sellable_usd": values,
        "may_buy": np.ones(count, bool),
    }
    return Wishes(**facts | changes)


def shares_of(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values / values.sum(axis=-1, keepdims=True)


@st.composite
def portfolios(draw: st.DrawFn, *, most: int = 12) -> Portfolios:
    """One to six portfolios of the same number of assets, from nothing to millions, on target or far from it."""
    count, assets = draw(st.integers(1, 6)), draw(st.integers(2, most))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    targets = random.dirichlet(np.full(assets, draw(st.sampled_from([0.3, 2.0, 20.0]))), count)
    strayed = targets * random.lognormal(0, draw(st.sampled_from([0.01, 0.3, 2.0])), (count, assets))
    strayed *= random.random((count, assets)) > draw(st.sampled_from([0.0, 0.3]))
    worth = 10.0 ** random.uniform(0, 7, count)
    totals = strayed.sum(axis=1)
    values = strayed * (worth / np.where(totals > 0, totals, 1.0))[:, None]
    bands = np.full((count, assets), draw(st.sampled_from([0.0, 0.005, 0.02, 0.1])))
    return Portfolios(values, targets, bands)
