"""Random ledgers by our matcher and by rp2's own engine: the same gains."""

import pytest

from benchmarks.lots import DOLLAR, movements
from portfolio_pipelines.finance.lots import Kind, Method, match

pytest.importorskip("rp2", reason="rp2 is not installed; it is a test oracle alone")


@pytest.mark.parametrize("method", ["fifo", "lifo", "hifo"])
@pytest.mark.parametrize("seed", range(8))
def test_random_ledgers_gain_what_rp2_says(method: Method, seed: int) -> None:
    from benchmarks.lots_rp2 import gains

    made = movements(120, 3, seed)
    found = match(made, method)
    sales = sum(usd for kind, usd in zip(made.kind, made.usd, strict=True) if kind == Kind.DISPOSE)
    assert sales
    assert (sales - sum(found.used_cost)) / DOLLAR == pytest.approx(gains(made, method)[1], abs=1e-6)
