"""Every row of marts explained, and compared with what is served: shared by the tests of each group of marts."""

import math
from collections import Counter
from datetime import date, timedelta
from typing import Any

import duckdb
import pytest

from portfolio_pipelines.commands.explain import MARTS, OF_A_DAY, explanation, figures
from portfolio_pipelines.commands.explained_metrics import Question
from portfolio_pipelines.commands.explained_rows import END_OF_DAY, NEWEST
from portfolio_pipelines.resources.lake import Lake

MOST_ROWS = 60


def columns_of(name: str) -> list[str]:
    """Every figure of a mart that is explained, from its row or by an explanation of its own."""
    return sorted(column for mart, column in figures() if mart == name)


def explained(
    marts: duckdb.DuckDBPyConnection,
    lake: Lake,
    *names: str,
    rel: float = 1e-9,
    least: float = 1e-9,
    most: int = MOST_ROWS,
) -> Counter[tuple[str, str]]:
    """Explain every figure of some rows of some marts, of each user; how many agreed, by mart and column.

    Fails where an explanation does not give what is served, or gives a number where null is served. Differences up to
    `least` count as none.
    """
    agreed: Counter[tuple[str, str]] = Counter()
    for name in names:
        for row in _rows(marts, name, most):
            for column in columns_of(name):
                question = _question(marts, name, row, column)
                found = explanation(marts, question, lake)
                served = row[column]
                assert _same(found.recomputed, served, rel, least), (question, found)
                assert (found.served is None) == (served is None), (question, found)
                assert _same(found.served, served, 0), (question, found)
                agreed[name, column] += served is not None and found.recomputed is not None
    return agreed


def _same(again: Any, served: Any, rel: float, least: float = 1e-9) -> bool:
    if served is None or again is None:  # what cannot be told again says so: `every` asks that it is told somewhere
        return again is None
    if isinstance(served, str | date):
        return bool(again == served)
    rounded = not isinstance(served, float)  # decimals have 4 digits after the point, or more
    return math.isclose(float(again), float(served), rel_tol=rel, abs_tol=1e-4 if rounded else least)


def _rows(marts: duckdb.DuckDBPyConnection, name: str, most: int) -> list[dict[str, Any]]:
    """Rows by column, and the texts that choose each under its column's name with of: before it.

    Of more than `most` there are some of every user, spread over the days.
    """
    keys = [key for key in MARTS[name].keys if key not in {"scope", "method"}] if name in MARTS else []
    texts = "".join(f', cast("{key}" as varchar) as "of:{key}"' for key in keys)
    found = marts.execute(f"select *{texts} from marts.{name} order by all")
    columns = [column[0] for column in found.description or []]
    rows = [dict(zip(columns, row, strict=True)) for row in found.fetchall()]
    assert rows, f"{name} is empty: nothing would be explained"
    rows.sort(key=lambda row: str(row.get("user_id")))  # stable: those of a user stay in their order
    return rows[:: -(-len(rows) // most)]


def _question(marts: duckdb.DuckDBPyConnection, name: str, row: dict[str, Any], column: str) -> Question:
    condition = MARTS[name].day if name in MARTS else "date = $day" if name in OF_A_DAY else "as_of = $day"
    return Question(
        user=row.get("user_id", "nobody"), day=_day(marts, condition, row), metric=f"{name}.{column}",
        window=row.get("window_days", 0), benchmark=row.get("benchmark", "BTC"), risk_free_rate=0.0,
        position=row.get("position_id"), scope=row.get("scope", "universal"), method=row.get("method", "fifo"),
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
    missing = [f"{name}.{c}" for name in names for c in columns_of(name) if not agreed[name, c] and c not in without]
    if missing:
        pytest.fail(f"never compared: {', '.join(missing)}")
