"""Figures that follow from other columns or rows: the row that is meant, what went in, and the figure again from it.

Belongs here: how such a figure is found and worked out. What each is made of is written in `explained_portfolios`,
`explained_holdings`, `explained_books`, `explained_chains` and `explained_plans`, in SQL of its own: a second opinion
beside the models of dbt. Values are bound; names come from here and from the marts themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from portfolio_pipelines.commands.console import CommandError
from portfolio_pipelines.commands.explained_metrics import MOST_LISTED, Explanation, Question, Value

if TYPE_CHECKING:
    import duckdb

    from portfolio_pipelines.resources.lake import Lake

NO_PARTS: Final = "select null as name, null as value, null as kind where false"
MOST_ROWS: Final = 6
"""Rows that are named where it is not clear which one is meant."""
NEWEST: Final = "$day = (select max(date) from intermediate.days where is_newest)"
"""Of marts that hold the newest valued day alone and do not repeat it in every row."""
END_OF_DAY: Final = "cast($day as timestamp) + interval 1 day"


@dataclass(frozen=True, slots=True)
class Figure:
    """How one column is worked out.

    Attributes:
        formula: In words.
        again: SQL over `chosen`, the served row, and `parts`.
        inputs: Columns of the row that go in.
        parts: SQL of further inputs, with the columns name, value and kind; it may read `chosen`.
        tables: Tables of the lake that it reads: the word that stands for each in the SQL, and its name.
    """

    formula: str
    again: str
    inputs: tuple[str, ...] = ()
    parts: str = NO_PARTS
    tables: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Mart:
    """One mart whose figures are explained row by row.

    Attributes:
        figures: By column.
        keys: Columns that tell its rows of a user and day apart.
        day: SQL that is true of the rows of `$day`.
        is_personal: Whether it has rows of users; the others are of everybody.
    """

    figures: Mapping[str, Figure]
    keys: tuple[str, ...] = ()
    day: str = "date = $day"
    is_personal: bool = True


def total(kind: str | None = None) -> str:
    """SQL: the sum of the parts, or of those of a kind."""
    where = "" if kind is None else f" where kind = '{kind}'"
    return f"(select sum(value) from parts{where})"


def explain_row(
    marts: "duckdb.DuckDBPyConnection", lake: "Lake | None", name: str, mart: Mart, question: Question
) -> Explanation:
    """Work a figure out from its row and what the row rests on.

    Args:
        marts: The warehouse.
        lake: Where figures lie that no mart has.
        name: Of the mart.
        mart: How it is read.
        question: Its `of` chooses among several rows of the user and day.

    Raises:
        CommandError: If there is no such row, if several are meant, or if the lake is needed and not there.
    """
    column = question.metric.rpartition(".")[2]
    figure = mart.figures[column]
    chosen, values = _chosen(marts, name, mart, question)
    parts = figure.parts
    for word, table in (figure.tables or {}).items():
        if lake is None:
            msg = f"{question.metric} rests on {table}, which is read from the lake: it is not at hand"
            raise CommandError(msg)
        path = str(lake.path(table)).replace("'", "''")
        parts = parts.replace(word, f"read_parquet('{path}')")
    common = f"with chosen as ({chosen}), parts as materialized ({parts})"
    columns = "".join(f'"{one}", ' for one in figure.inputs)
    wanted = f'{common} select {columns}"{column}", {figure.again} from chosen'
    *given, served, again = (_value(cell) for cell in marts.execute(wanted, values).fetchall()[0])  # _chosen found it
    inputs: list[tuple[str, Value]] = list(zip(figure.inputs, given, strict=True))
    if figure.parts != NO_PARTS:
        listed = f"{common} select name, value from parts order by abs(value) desc nulls last, name"
        found = marts.execute(listed, values).fetchall()
        inputs += _listed([(str(label), _value(value)) for label, value in found])
    return Explanation(figure.formula, inputs, None if served is None else again, served)


def _chosen(
    marts: "duckdb.DuckDBPyConnection", name: str, mart: Mart, question: Question
) -> tuple[str, dict[str, object]]:
    """SQL of the one row that is meant, and its values."""
    columns = {row[0] for row in marts.execute(f"describe marts.{name}").fetchall()}
    values: dict[str, object] = {"day": question.day}
    conditions = [mart.day]
    if mart.is_personal:
        conditions.append("user_id = $user")
        values["user"] = question.user
    for option in ("scope", "method"):
        if option in mart.keys:
            conditions.append(f"{option} = ${option}")
            values[option] = getattr(question, option)
    for place, (column, wanted) in enumerate(question.of):
        if column not in columns:
            msg = f"{name} has no column {column!r}; its rows are told apart by {', '.join(mart.keys)}"
            raise CommandError(msg)
        conditions.append(f'cast("{column}" as varchar) = $of{place}')
        values[f"of{place}"] = wanted
    sql = f"select * from marts.{name} where {' and '.join(conditions)}"
    told_apart = ", ".join(f'cast("{key}" as varchar)' for key in mart.keys) or "1"
    rows_of = marts.execute(f"select {told_apart} from ({sql}) order by all limit {MOST_ROWS}", values)
    found = rows_of.fetchall()
    if len(found) == 1:
        return sql, values
    whose = f" of {question.user}" if mart.is_personal else ""
    if not found:
        newest = _newest(marts, name, mart, columns, question)
        msg = f"{name} has no row{whose} on {question.day} for what was chosen{newest}"
        raise CommandError(msg)
    rows = "; ".join(" ".join(f"--of {key}={cell}" for key, cell in zip(mart.keys, row, strict=True)) for row in found)
    msg = f"{name} has several rows{whose} on {question.day}: choose one, such as {rows}"
    raise CommandError(msg)


def _newest(marts: "duckdb.DuckDBPyConnection", name: str, mart: Mart, columns: set[str], question: Question) -> str:
    """Which days there are, as the end of a sentence."""
    day = next((column for column in ("date", "as_of", "snapshot_timestamp") if column in columns), None)
    if day is None or mart.day == NEWEST:
        return "; it holds the newest valued day alone"
    where = "where user_id = $user" if mart.is_personal else ""
    values = {"user": question.user} if mart.is_personal else {}
    shown = (
        f"cast({day} as date)"
        if mart.day.startswith("date") or day != "snapshot_timestamp"
        else f"cast({day} as date) - 1"
    )
    days = marts.execute(
        f"select distinct {shown} from marts.{name} {where} order by 1 desc limit 5",
        values,
    ).fetchall()
    return f"; its newest days are: {', '.join(str(row[0]) for row in days) or 'none'}"


def _listed(found: list[tuple[str, Value]]) -> list[tuple[str, Value]]:
    """The largest parts, which come first, and the rest as one line."""
    if len(found) <= MOST_LISTED:
        return found
    rest = [value for _, value in found[MOST_LISTED:] if isinstance(value, int | float)]
    return [*found[:MOST_LISTED], (f"{len(found) - MOST_LISTED} more", sum(rest))]


def _value(cell: Any) -> Value:
    return float(cell) if isinstance(cell, Decimal) else cell
