"""Risk models against exact vectors, their defining properties, and the traps of stable coins and twins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio_pipelines.finance.risk_covariance import (
    LEAST_DAILY_VOLATILITY,
    covariance_for_weights,
    shrunk_correlation,
)
from portfolio_pipelines.finance.risk_weights import (
    RiskModelError,
    equal_risk_contribution,
    inverse_volatility,
    minimum_variance,
    risk_contributions,
)


def covariance_of(deviations: list[float], correlations: dict[tuple[int, int], float] | None = None) -> np.ndarray:
    matrix = np.eye(len(deviations))
    for (i, j), value in (correlations or {}).items():
        matrix[i, j] = matrix[j, i] = value
    return matrix * np.outer(deviations, deviations)


def random_covariance(seed: int, assets: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    moves = rng.normal(0, 0.03, (3 * assets, assets)) * rng.uniform(0.2, 3, assets) + rng.normal(
        0, 0.02, (3 * assets, 1)
    )
    return np.cov(moves.T).reshape(assets, assets)


def test_without_correlation_equal_risk_is_inverse_volatility() -> None:
    covariance = covariance_of([0.1, 0.2, 0.4])
    expected = pytest.approx([4 / 7, 2 / 7, 1 / 7], abs=1e-14)
    assert equal_risk_contribution(covariance) == expected
    assert inverse_volatility(covariance) == expected


@pytest.mark.parametrize("correlation", [-0.9, -0.3, 0.0, 0.5, 0.99])
def test_two_assets_have_the_same_weights_whatever_their_correlation(correlation: float) -> None:
    found = equal_risk_contribution(covariance_of([0.2, 0.5], {(0, 1): correlation}))
    assert found == pytest.approx([5 / 7, 2 / 7], abs=1e-13)


def test_the_published_example_of_four_assets() -> None:
    covariance = covariance_of([0.1, 0.2, 0.3, 0.4], {(0, 1): 0.8, (2, 3): -0.5})
    found = equal_risk_contribution(covariance)
    assert found == pytest.approx([0.3836, 0.1918, 0.2426, 0.1820], abs=5e-5)
    assert risk_contributions(found, covariance) == pytest.approx([0.25] * 4, abs=1e-14)


def test_a_budget_of_risk_is_met() -> None:
    covariance = random_covariance(1, 4)
    budget = np.array([0.5, 0.3, 0.15, 0.05])
    found = equal_risk_contribution(covariance, budget)
    assert risk_contributions(found, covariance) == pytest.approx(budget, abs=1e-12)


@settings(max_examples=40)
@given(st.integers(0, 2**31), st.integers(1, 20))
def test_each_asset_contributes_the_same_risk(seed: int, assets: int) -> None:
    covariance = random_covariance(seed, assets + 1)
    found = equal_risk_contribution(covariance)
    assert found.min() > 0
    assert found.sum() == pytest.approx(1)
    assert risk_contributions(found, covariance) * (assets + 1) == pytest.approx(np.ones(assets + 1), abs=1e-10)


def test_hundreds_of_assets_that_move_together_are_solved() -> None:
    """One market behind 200 assets: from a point that is much too far out the damped steps would not arrive."""
    random = np.random.default_rng(200)
    market = random.normal(0, 0.025, (365, 1))
    own = random.normal(0, 1, (365, 200)) * random.uniform(0.01, 0.08, 200)
    covariance = np.cov(market + own, rowvar=False)
    found = equal_risk_contribution(covariance)
    assert risk_contributions(found, covariance) * 200 == pytest.approx(np.ones(200), abs=1e-10)


def test_many_portfolios_are_solved_as_each_alone() -> None:
    matrices = np.stack([random_covariance(seed, 5) for seed in range(6)])
    held = np.array([[True] * 5, [True, True, False, True, False], *[[True] * 5] * 4])
    together = equal_risk_contribution(matrices, held=held)
    for number in range(6):
        inside = np.flatnonzero(held[number])
        alone = equal_risk_contribution(matrices[number][np.ix_(inside, inside)])
        assert together[number, inside] == pytest.approx(alone, abs=1e-12)
    assert together[1, [2, 4]].tolist() == [0, 0]


@settings(max_examples=40)
@given(st.integers(0, 2**31), st.integers(2, 12), st.floats(1e-4, 1e4))
def test_no_other_weights_have_less_variance(seed: int, assets: int, factor: float) -> None:
    covariance = random_covariance(seed, assets)
    found = minimum_variance(covariance * factor)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1)
    variance = found @ covariance @ found
    marginal = covariance @ found
    assert (marginal >= variance * (1 - 1e-9)).all(), "no asset left out would lower it (Karush, Kuhn and Tucker)"
    others = np.random.default_rng(seed).dirichlet(np.ones(assets), 50)
    assert (np.einsum("ki,ij,kj->k", others, covariance, others) >= variance * (1 - 1e-12)).all()


def test_uncorrelated_assets_of_least_variance_are_weighted_by_one_over_variance() -> None:
    assert minimum_variance(covariance_of([0.1, 0.2])) == pytest.approx([0.8, 0.2])


def test_an_asset_that_only_adds_risk_is_left_out() -> None:
    found = minimum_variance(covariance_of([0.1, 0.5], {(0, 1): 0.9}))
    assert found == pytest.approx([1, 0])


def test_an_asset_without_variance_is_refused() -> None:
    covariance = covariance_of([0.0, 0.2])
    for model in (equal_risk_contribution, minimum_variance, inverse_volatility):
        with pytest.raises(RiskModelError, match="floor"):
            model(covariance)


def test_a_stable_coin_has_the_least_volatility_that_is_believed() -> None:
    moves = np.random.default_rng(1).normal(0, 0.03, (90, 3))
    moves[:, 2] = 0.0
    covariance = covariance_for_weights(moves)
    assert covariance[2, 2] == pytest.approx(LEAST_DAILY_VOLATILITY**2)
    assert equal_risk_contribution(covariance)[2] < 0.95


def test_two_wrappers_of_one_coin_can_be_weighted() -> None:
    moves = np.random.default_rng(2).normal(0, 0.03, (90, 3))
    moves[:, 1] = moves[:, 0]
    covariance = covariance_for_weights(moves)
    assert np.linalg.eigvalsh(covariance).min() > 0
    found = equal_risk_contribution(covariance)
    assert found[0] == pytest.approx(found[1])
    assert minimum_variance(covariance).sum() == pytest.approx(1)


def test_more_assets_than_days_can_be_weighted() -> None:
    moves = np.random.default_rng(3).normal(0, 0.03, (40, 60))
    correlation, intensity = shrunk_correlation(moves)
    assert 0.5 < intensity <= 1
    assert np.linalg.eigvalsh(correlation).min() > 0


def test_shrinkage_agrees_with_scikit_learn() -> None:
    covariance = pytest.importorskip("sklearn.covariance")
    moves = np.random.default_rng(4).multivariate_normal(np.zeros(5), random_covariance(4, 5), 100)
    standard = (moves - moves.mean(axis=0)) / moves.std(axis=0)
    theirs, intensity = covariance.ledoit_wolf(standard)
    found, ours = shrunk_correlation(moves)
    assert ours == pytest.approx(intensity, rel=1e-10)
    assert found == pytest.approx(theirs, abs=1e-10)


def test_few_days_or_gaps_are_refused() -> None:
    moves = np.random.default_rng(5).normal(0, 0.03, (29, 2))
    with pytest.raises(ValueError, match="at least 30"):
        shrunk_correlation(moves)
    with pytest.raises(ValueError, match="without gaps"):
        shrunk_correlation(np.full((40, 2), np.nan))
