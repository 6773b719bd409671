"""How portfolios are spread over assets. No I/O, no clock, no Dagster.

Belongs here: concentration of shares by worth. Correlations of assets are in `risk_correlations`.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

BLOCK: Final = 4096
"""Portfolios whose shares stand in one dense matrix."""


@dataclass(frozen=True, slots=True)
class Diversification:
    """Every array has shape (portfolios,); NaN (and -1 for the asset) where nothing is priced."""

    hhi: Floats  # sum of squared shares
    effective_assets: Floats  # 1 / hhi
    top_share: Floats
    top_asset: Places
    average_correlation: Floats  # pairs weighted by the product of shares; unknown pairs left out
    n_assets: NDArray[np.int32]
    unpriced_assets: NDArray[np.int32]


def diversification(portfolio: Places, asset: Places, value_usd: Floats, count: int, known: Floats) -> Diversification:
    """Spread of each portfolio.

    Args:
        portfolio: Of each holding, shape (holdings,); several holdings of one asset are added up.
        asset: Of each holding, a place in `known`.
        value_usd: Worth of each holding; NaN without a usable price.
        count: Number of portfolios.
        known: Correlations of the assets, shape (assets, assets); NaN where unknown.
    """
    assets = len(known)
    result = Diversification(
        hhi=np.full(count, np.nan),
        effective_assets=np.full(count, np.nan),
        top_share=np.full(count, np.nan),
        top_asset=np.full(count, -1),
        average_correlation=np.full(count, np.nan),
        n_assets=np.zeros(count, np.int32),
        unpriced_assets=np.zeros(count, np.int32),
    )
    others = ~np.eye(assets, dtype=bool) & np.isfinite(known)
    matrix, pairs = np.where(others, known, 0.0), others.astype(float)
    owner, held, worth = portfolio, asset, value_usd
    if np.any(owner[1:] < owner[:-1]):
        order = np.argsort(portfolio, kind="stable")
        owner, held, worth = portfolio[order], asset[order], value_usd[order]
    for first in range(0, count, BLOCK):
        last = min(first + BLOCK, count)
        some = slice(*np.searchsorted(owner, [first, last]))
        at = (owner[some] - first) * assets + held[some]
        size = (last - first) * assets
        priced = np.isfinite(worth[some])
        values = np.bincount(at[priced], worth[some][priced], size).reshape(last - first, assets)
        missing = np.bincount(at[~priced], minlength=size).reshape(last - first, assets) > 0
        total = values.sum(axis=1)
        there = total > 0
        shares = values / np.where(there, total, np.nan)[:, None]
        hhi = np.einsum("ij,ij->i", shares, shares)
        weight, together = _of_pairs(shares, pairs, matrix)
        top = np.argmax(values, axis=1)
        out = slice(first, last)
        result.hhi[out] = hhi
        result.effective_assets[out] = 1 / hhi
        result.top_share[out] = shares[np.arange(last - first), top]
        result.top_asset[out] = np.where(there, top, -1)
        result.average_correlation[out] = np.where(weight > 1e-12, together / np.where(weight > 0, weight, 1), np.nan)
        result.n_assets[out] = (values > 0).sum(axis=1)
        result.unpriced_assets[out] = missing.sum(axis=1)
    return result


def _of_pairs(shares: Floats, pairs: Floats, matrix: Floats) -> tuple[Floats, Floats]:
    """Sums over the pairs of each portfolio of the product of shares, and of that times the correlation.

    Most portfolios hold a few of many assets: their own few rows and columns are taken out of the matrices, where that
    is less work than the product with the whole of them.
    """
    whole = np.nan_to_num(shares)  # a portfolio without any price has no shares
    owner, asset = np.nonzero(whole)
    held = np.bincount(owner, minlength=len(shares))
    most = int(held.max(initial=0))
    if most * most >= shares.shape[1]:
        weight = np.einsum("ij,ij->i", whole @ pairs, whole)
        return weight, np.einsum("ij,ij->i", whole @ matrix, whole)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(held) - held, held)
    assets, own = np.zeros((len(shares), most), np.int64), np.zeros((len(shares), most))
    assets[owner, place], own[owner, place] = asset, whole[owner, asset]
    both = own[:, :, None] * own[:, None, :]
    among = assets[:, :, None], assets[:, None, :]
    return np.einsum("ijk,ijk->i", both, pairs[among]), np.einsum("ijk,ijk->i", both, matrix[among])
