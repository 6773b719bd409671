"""Concentration of portfolios, and correlations of assets with their uncertainty."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from portfolio_pipelines.finance.metrics_diversification import Diversification, diversification
from portfolio_pipelines.finance.risk_correlations import correlations, correlations_of_closes

UNKNOWN = np.nan


def spread(*holdings: tuple[int, int, float], count: int = 1, known: np.ndarray | None = None) -> Diversification:
    """Holdings as (portfolio, asset, USD)."""
    portfolio, asset, value = (np.array(part) for part in zip(*holdings, strict=True))
    matrix = np.eye(4) if known is None else known
    return diversification(portfolio.astype(int), asset.astype(int), value.astype(float), count, matrix)


def test_equal_holdings_are_as_many_effective_assets() -> None:
    found = spread((0, 0, 25), (0, 1, 25), (0, 2, 25), (0, 3, 25))
    assert (found.hhi[0], found.effective_assets[0], found.top_share[0], found.n_assets[0]) == (0.25, 4, 0.25, 4)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 29), st.floats(0.01, 1e6)), min_size=1, max_size=18),
    st.integers(0, 2**32 - 1),
    st.sampled_from([30, 4]),
)
def test_the_average_correlation_weighs_each_known_pair_by_its_shares(
    holdings: list[tuple[int, int, float]], seed: int, assets: int
) -> None:
    """Few of 30 assets take their own rows and columns, 4 assets the product with the whole matrix."""
    held = [(portfolio, asset % assets, usd) for portfolio, asset, usd in holdings]
    known = np.random.default_rng(seed).uniform(-1, 1, (assets, assets))
    known = (known + known.T) / 2
    known[0, 1:] = known[1:, 0] = UNKNOWN
    found = spread(*held, count=6, known=known)
    for portfolio in range(6):
        shares = np.zeros(assets)
        for owner, asset, usd in held:
            shares[asset] += usd if owner == portfolio else 0
        pairs = [(a, b) for a in range(1, assets) for b in range(1, assets) if a != b and shares[a] * shares[b] > 0]
        weight = sum(shares[a] * shares[b] for a, b in pairs) / max(shares.sum(), 1e-9) ** 2
        if weight <= 1e-12:
            assert np.isnan(found.average_correlation[portfolio])
        elif weight > 1e-11:
            wanted = sum(shares[a] * shares[b] * known[a, b] for a, b in pairs) / sum(
                shares[a] * shares[b] for a, b in pairs
            )
            assert found.average_correlation[portfolio] == pytest.approx(wanted, rel=1e-9, abs=1e-9)


def test_several_holdings_of_an_asset_are_one() -> None:
    found = spread((0, 1, 30), (0, 1, 30), (0, 2, 40))
    assert found.hhi[0] == pytest.approx(0.6**2 + 0.4**2)
    assert found.top_asset[0] == 1


def test_an_asset_without_a_price_counts_in_no_share_and_is_told() -> None:
    found = spread((0, 0, 50), (0, 1, UNKNOWN))
    assert (found.hhi[0], found.unpriced_assets[0]) == (1, 1)


def test_a_portfolio_without_any_price_has_no_figure() -> None:
    found = spread((0, 0, UNKNOWN), (1, 1, 5.0), count=2)
    assert np.isnan([found.hhi[0], found.top_share[0], found.average_correlation[0]]).all()
    assert found.top_asset.tolist() == [-1, 1]


def test_pairs_count_by_the_product_of_their_shares() -> None:
    known = np.array([[1, 0.8, 0.2], [0.8, 1, UNKNOWN], [0.2, UNKNOWN, 1]])
    found = spread((0, 0, 50), (0, 1, 30), (0, 2, 20), known=known)
    assert found.average_correlation[0] == pytest.approx((0.15 * 0.8 + 0.10 * 0.2) / 0.25), "one pair is unknown"


def test_one_asset_has_no_average_correlation() -> None:
    assert np.isnan(spread((0, 0, 50)).average_correlation[0])


@settings(max_examples=30)
@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=4))
def test_concentration_lies_between_equal_shares_and_one(values: list[float]) -> None:
    found = spread(*((0, number, value) for number, value in enumerate(values)))
    assert 1 / len(values) - 1e-12 <= found.hhi[0] <= 1 + 1e-12
    assert 1 / len(values) - 1e-12 <= found.top_share[0] <= 1 + 1e-12


def test_correlations_are_those_of_numpy_and_intervals_those_of_scipy() -> None:
    returns = np.random.default_rng(1).multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 90) * 0.02
    found = correlations(returns)
    theirs = stats.pearsonr(returns[:, 0], returns[:, 1])
    assert found.correlation[0, 1] == pytest.approx(theirs.statistic)
    interval = theirs.confidence_interval(0.95)
    assert (found.lower_95[0, 1], found.upper_95[0, 1]) == pytest.approx((interval.low, interval.high))


def test_each_pair_uses_the_days_that_both_have() -> None:
    returns = np.random.default_rng(2).normal(0, 0.02, (60, 3))
    returns[:30, 1] = UNKNOWN
    found = correlations(returns)
    assert found.n_obs[0].tolist() == [60, 30, 60]
    assert found.correlation[0, 1] == pytest.approx(np.corrcoef(returns[30:, 0], returns[30:, 1])[0, 1])


def test_a_stable_coin_and_a_young_asset_have_no_correlation() -> None:
    returns = np.random.default_rng(3).normal(0, 0.02, (60, 3))
    returns[:, 1] = 0.0
    returns[:-9, 2] = UNKNOWN
    found = correlations(returns)
    assert np.isnan(found.correlation[0, 1:]).all()
    assert found.n_obs[0, 2] == 9


def test_an_index_is_correlated_on_its_trading_days() -> None:
    rng = np.random.default_rng(4)
    closes = 100 * np.cumprod(1 + rng.normal(0, 0.02, (70, 2)), axis=0)
    closes[[day for day in range(70) if day % 7 > 4], 1] = UNKNOWN
    found = correlations_of_closes(closes, np.array([False, True]))
    own = closes[np.isfinite(closes[:, 1])]
    moves = own[1:] / own[:-1] - 1
    assert found.n_obs[0, 1] == 49
    assert found.correlation[0, 1] == pytest.approx(np.corrcoef(moves.T)[0, 1])
