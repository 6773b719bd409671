"""Impermanent loss of 500,000 positions: ours against polars, DuckDB, a loop of Python and a NumPy lower bound.

python -m benchmarks.impermanent_loss

Every engine computes the loss of the same positions; what differs by more than 1e-9 stops the run. Trust the ratios.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import duckdb
import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from portfolio_pipelines.finance.impermanent_loss import (
    Floats,
    concentrated_loss,
    constant_product_loss,
    weighted_loss,
)
from portfolio_pipelines.finance.impermanent_loss_stable import stable_swap_loss, table_of

POSITIONS = 500_000
SAMPLE = 5_000
"""What takes seconds for a few thousand is measured on these and multiplied."""
AMPLIFICATION = 100.0
WEIGHTS = np.array([0.5, 0.25, 0.25])
TOLERANCE = 1e-9
REPEATS = 5
TARGETS = "500,000 positions of Uniswap v3 under 0.2 s"


@dataclass(frozen=True, slots=True)
class Measured:
    """One engine: seconds for all positions, and whether they were multiplied from a sample."""

    what: str
    engine: str
    seconds: float
    extrapolated: bool = False


def measure(positions: int = POSITIONS) -> list[Measured]:
    """Seconds of every engine; the first of each subject is ours.

    Raises:
        AssertionError: If two engines disagree.
    """
    random = np.random.default_rng(7)
    entry = random.lognormal(7, 1, positions)
    now = entry * random.lognormal(0, 0.5, positions)
    lower, upper = entry * random.uniform(0.3, 0.95, positions), entry * random.uniform(1.05, 3, positions)
    ratio = now / entry
    peg = random.lognormal(0, 0.02, positions)
    ratios = np.stack([ratio, random.lognormal(0, 0.5, positions), np.ones(positions)], axis=-1)
    frame = pl.DataFrame({"p0": entry, "p": now, "pa": lower, "pb": upper, "r": ratio, "q": ratios[:, 1]})
    return [
        *_compare("constant product", positions, {
            "portfolio_pipelines": lambda: constant_product_loss(ratio),
            "NumPy, the usual form": lambda: 2 * np.sqrt(ratio) / (1 + ratio) - 1,
            "polars": lambda: frame.select(2 * pl.col("r").sqrt() / (1 + pl.col("r")) - 1).to_series().to_numpy(),
            "DuckDB": lambda: _duckdb(frame, "2 * sqrt(r) / (1 + r) - 1"),
        }, {"a loop of Python": lambda: _loop(lambda at: 2 * math.sqrt(ratio[at]) / (1 + ratio[at]) - 1)}),
        *_compare("weighted, three coins (Balancer)", positions, {
            "portfolio_pipelines": lambda: weighted_loss(ratios, WEIGHTS),
            "NumPy, the usual form": lambda: np.prod(ratios**WEIGHTS, axis=-1) / (ratios @ WEIGHTS) - 1,
            "polars": lambda: frame.select(_POLARS_WEIGHTED).to_series().to_numpy(),
            "DuckDB": lambda: _duckdb(frame, _SQL_WEIGHTED),
        }, {"a loop of Python": lambda: _loop(lambda at: _weighted(*ratios[at].tolist()))}),
        *_compare("range (Uniswap v3)", positions, {
            "portfolio_pipelines": lambda: concentrated_loss(entry, now, lower, upper),
            "NumPy, from amounts": lambda: _amounts(entry, now, lower, upper),
            "polars": lambda: _polars(frame),
            "DuckDB": lambda: _duckdb(frame, _SQL),
        }, {"a loop of Python": lambda: _loop(lambda at: _one(entry[at], now[at], lower[at], upper[at]))}),
        *_compare("pegged coins (Curve)", positions, {
            "portfolio_pipelines, table": lambda: table_of(AMPLIFICATION).loss(peg),
        }, {"portfolio_pipelines, bisection": lambda: stable_swap_loss(1.0, peg[:SAMPLE], AMPLIFICATION)}),
    ]  # fmt: skip


def _compare(
    what: str, positions: int, engines: dict[str, Callable[[], Floats]], sampled: dict[str, Callable[[], Floats]]
) -> list[Measured]:
    measured, results = [], []
    for engine, compute in {**engines, **sampled}.items():
        best = math.inf
        for _ in range(REPEATS):
            started = time.perf_counter()
            result = compute()
            best = min(best, time.perf_counter() - started)
        results.append(result)
        is_sample = engine in sampled
        measured.append(Measured(what, engine, best * (positions / SAMPLE if is_sample else 1), is_sample))
    for one, result in zip(measured, results, strict=True):
        assert np.allclose(result, results[0][: len(result)], rtol=0, atol=TOLERANCE), (what, one.engine)
    return measured


def _amounts(entry: Floats, now: Floats, lower: Floats, upper: Floats) -> Floats:
    """The least that array code can do for what is told by amounts: no impossible price is noticed."""
    before, after = (np.clip(price, lower, upper) for price in (entry, now))
    first, second = 1 / np.sqrt(before) - 1 / np.sqrt(upper), np.sqrt(before) - np.sqrt(lower)
    held = first * now + second
    made = (1 / np.sqrt(after) - 1 / np.sqrt(upper)) * now + np.sqrt(after) - np.sqrt(lower)
    return made / held - 1


def _polars(frame: pl.DataFrame) -> Floats:
    root = {name: pl.col(name).sqrt() for name in ("pa", "pb")}
    before, after = (pl.col(name).clip(pl.col("pa"), pl.col("pb")).sqrt() for name in ("p0", "p"))

    def worth(at: pl.Expr) -> pl.Expr:
        return (1 / at - 1 / root["pb"]) * pl.col("p") + at - root["pa"]

    return frame.select(worth(after) / worth(before) - 1).to_series().to_numpy()


def _weighted(first: float, second: float, third: float) -> float:
    a, b, c = WEIGHTS.tolist()
    return first**a * second**b * third**c / (a * first + b * second + c * third) - 1


_POLARS_WEIGHTED = pl.col("r").pow(0.5) * pl.col("q").pow(0.25) / (0.5 * pl.col("r") + 0.25 * pl.col("q") + 0.25) - 1
_SQL_WEIGHTED = "pow(r, 0.5) * pow(q, 0.25) / (0.5 * r + 0.25 * q + 0.25) - 1"


def _worth(at: str) -> str:
    inside = f"sqrt(least(greatest({at}, pa), pb))"
    return f"((1 / {inside} - 1 / sqrt(pb)) * p + {inside} - sqrt(pa))"


_SQL = f"{_worth('p')} / {_worth('p0')} - 1"


def _duckdb(frame: pl.DataFrame, expression: str) -> Floats:  # noqa: ARG001 (DuckDB reads it by name)
    connection = duckdb.connect()
    try:
        found = connection.execute(f"select {expression} as loss from frame").fetchnumpy()
        return np.asarray(found["loss"], np.float64)
    finally:
        connection.close()


def _loop(one: Callable[[int], float]) -> Floats:
    return np.array([one(at) for at in range(SAMPLE)])


def _one(entry: float, now: float, lower: float, upper: float) -> float:
    before, after = (math.sqrt(min(max(price, lower), upper)) for price in (entry, now))
    top, bottom = math.sqrt(upper), math.sqrt(lower)
    held = (1 / before - 1 / top) * now + before - bottom
    return ((1 / after - 1 / top) * now + after - bottom) / held - 1


def main() -> None:
    """Measure and print."""
    table = Table(title=f"Impermanent loss of {POSITIONS:,} positions")
    table.add_column("pool")
    table.add_column("engine")
    for column in ("ms", "times ours"):
        table.add_column(column, justify="right")
    ours: dict[str, float] = {}
    for one in measure():
        base = ours.setdefault(one.what, one.seconds)
        shown = f"{one.seconds * 1000:,.1f}" + (" (from a sample)" if one.extrapolated else "")
        table.add_row(one.what, one.engine, shown, f"{one.seconds / base:,.1f}")
    console = Console()
    console.print(table)
    console.print(f"Target: {TARGETS}")


if __name__ == "__main__":
    main()
