"""Every row of marts explained, and compared with what is served: shared by the tests of each group of marts."""

import math
from collections import Counter
from datetime import date, timedelta
from typing import Any

import duckdb
import pytest

from portfolio_pipelines.commands.explain import MARTS, explanation
from portfolio_pipelines.commands.explained_metrics import Question
from portfolio_pipelines.commands.explained_rows import END_OF_DAY, NEWEST
from portfolio_pipelines.resources.lake import Lake

MOST_ROWS = 60


def explained(marts: duckdb.DuckDBPyConnection, lake: Lake, *names: str, rel: float = 1e-9) -> Counter[tuple[str, str]]:
    """Explain every figure of some rows of some marts; how many agreed, by mart and column.

    Fails where an explanation does not give what is served, or gives a number where null is served.
    """
    agreed: Counter[tuple[str, str]] = Counter()
    for name in names:
        for row in _rows(marts, name):
            for column in MARTS[name].figures:
                question = _question(marts, name, row, column)
                found = explanation(marts, question, lake)
                served = row[column]
                assert _same(found.recomputed, served, rel), (question, found)
                assert found.served is None if served is None else float(found.served) == float(served)  # type: ignore[arg-type]
                agreed[name, column] += served is not None and found.recomputed is not None
    return agreed


def _same(again: Any, served: Any, rel: float) -> bool:
    if served is None or again is None:  # what cannot be told again says so: `every` asks that it is told somewhere
        return again is None
    rounded = not isinstance(served, float)  # decimals have 4 digits after the point, or more
    return math.isclose(float(again), float(served), rel_tol=rel, abs_tol=1e-4 if rounded else 1e-9)


def _rows(marts: duckdb.DuckDBPyConnection, name: str) -> list[dict[str, Any]]:
    """Rows by column, and the texts that choose each under its column's name with of: before it."""
    keys = [key for key in MARTS[name].keys if key not in {"scope", "method"}]
    texts = "".join(f', cast("{key}" as varchar) as "of:{key}"' for key in keys)
    found = marts.execute(f"select *{texts} from marts.{name} order by all limit {MOST_ROWS}")
    columns = [column[0] for column in found.description or []]
    rows = [dict(zip(columns, row, strict=True)) for row in found.fetchall()]
    assert rows, f"{name} is empty: nothing would be explained"
    return rows


def _question(marts: duckdb.DuckDBPyConnection, name: str, row: dict[str, Any], column: str) -> Question:
    return Question(
        user=row.get("user_id", "nobody"), day=_day(marts, MARTS[name].day, row), metric=f"{name}.{column}", window=0,
        benchmark="BTC", risk_free_rate=0.0, scope=row.get("scope", "universal"), method=row.get("method", "fifo"),
        of=tuple((key[3:], text) for key, text in row.items() if key.startswith("of:") and text is not None),
    )  # fmt: skip


def _day(marts: duckdb.DuckDBPyConnection, condition: str, row: dict[str, Any]) -> date:
    if condition == NEWEST:
        newest: date = marts.execute("select date from intermediate.days where is_newest").fetchall()[0][0]
        return newest
    column = condition.partition(" ")[0]
    if END_OF_DAY in condition:
        end: date = row[column].date() - timedelta(days=1)
        return end
    day: date = row[column]
    return day


def every(agreed: Counter[tuple[str, str]], *names: str, without: tuple[str, ...] = ()) -> None:
    """Fail when a figure of a mart was never compared, but for some that are null in the data at hand."""
    missing = [f"{name}.{c}" for name in names for c in MARTS[name].figures if not agreed[name, c] and c not in without]
    if missing:
        pytest.fail(f"never compared: {', '.join(missing)}")
