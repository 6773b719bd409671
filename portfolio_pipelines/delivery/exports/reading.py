"""Rows of one user out of the warehouse, in a fixed order, a batch at a time.

Belongs here: the connection, who and what is there, batches with exact amounts. Which tables there are is in
`datasets`, how they are written in the modules by format.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING, Final

import polars as pl

from portfolio_pipelines.delivery.exports.cells import exact_amount, plain_number
from portfolio_pipelines.delivery.exports.datasets import Dataset
from portfolio_pipelines.resources.dbt_manifest import Column, read_models
from portfolio_pipelines.resources.warehouse import Warehouse

if TYPE_CHECKING:
    import duckdb

BATCH_ROWS: Final = 50_000
"""Rows in memory at once: some 20 MB of the widest table."""
USERS_NAMED: Final = 10


class ExportRefusedError(ValueError):
    """There is nothing to export, or not in this form; the message says what there is."""


class Kind(StrEnum):
    """What a column holds, as far as writing it is concerned."""

    TEXT = "text"
    AMOUNT = "amount"
    """Exact units as text of digits, however many."""
    DECIMAL = "decimal"
    NUMBER = "number"
    """Floating point."""
    INTEGER = "integer"
    FLAG = "flag"
    DAY = "day"
    MOMENT = "moment"


@dataclass(frozen=True, slots=True)
class ExportColumn:
    """A column of an export."""

    name: str
    kind: Kind
    meaning: str


@dataclass(frozen=True)
class Table:
    """Rows of a dataset that wait to be read.

    Attributes:
        dataset: Which one.
        columns: In their order.
        batches: The rows in their order, read while they are asked for; once.
    """

    dataset: Dataset
    columns: Sequence[ExportColumn]
    batches: Iterator[pl.DataFrame]


@dataclass(frozen=True)
class Reading:
    """An open warehouse, for the export of one user.

    Attributes:
        connection: To the marts, read-only.
        user_id: Whose rows.
        build: What identifies the build of the warehouse.
        contracts: Columns of the models by name, as dbt declares them.
    """

    connection: "duckdb.DuckDBPyConnection"
    user_id: str
    build: Mapping[str, str]
    contracts: Mapping[str, Sequence[Column]]

    def table(self, dataset: Dataset, first: date, last: date) -> Table:
        """The rows of a dataset for some days, both inclusive.

        Raises:
            ExportRefusedError: If the warehouse was built by another version that does not have the table.
        """
        import duckdb

        parameters = {"user_id": self.user_id, "first": first, "last": last}
        try:
            shape = self.connection.execute(f"describe {dataset.query}", parameters).fetchall()
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            msg = f"the warehouse was built by another version, {dataset.mart} is not what it is now; `portfolio run`"
            raise ExportRefusedError(msg) from error
        types = {str(row[0]): str(row[1]) for row in shape}
        columns = self._columns(dataset, types)
        return Table(dataset, columns, self._batches(dataset, columns, parameters))

    def days_there_are(self, dataset: Dataset) -> tuple[date, date] | None:
        """The first and the last day of which the user has rows; None when there are none at all."""
        found = self.connection.execute(
            f"select min(date), max(date) from ({dataset.query})",  # noqa: S608 (our own query)
            {"user_id": self.user_id, "first": date(1970, 1, 1), "last": date(9999, 12, 30)},
        ).fetchone()
        return None if found is None or found[0] is None else (found[0], found[1])

    def _columns(self, dataset: Dataset, types: Mapping[str, str]) -> list[ExportColumn]:
        declared = {column.name: column.description for column in self.contracts[dataset.mart]}
        amounts = {*dataset.plain, *dataset.exact}
        return [
            ExportColumn(
                name,
                Kind.AMOUNT if name in amounts else kind_of(kind),
                dataset.columns.get(name) or declared.get(name, "Not described: of a build of another version"),
            )
            for name, kind in types.items()
        ]

    def _batches(
        self, dataset: Dataset, columns: Sequence[ExportColumn], parameters: Mapping[str, object]
    ) -> Iterator[pl.DataFrame]:
        names = [column.name for column in columns]
        order = [*dataset.key, *(name for name in names if name not in dataset.key)]  # no two builds may differ
        wanted = ", ".join(
            f'cast("{column.name}" as varchar) as "{column.name}"' if column.kind is Kind.TEXT else f'"{column.name}"'
            for column in columns
        )
        sorting = ", ".join(f'"{name}"' for name in order)
        query = f"select {wanted} from ({dataset.query}) order by {sorting}"  # noqa: S608 (our own query)
        reader = self.connection.sql(query, params=dict(parameters)).to_arrow_reader(BATCH_ROWS)
        empty = reader.schema.empty_table()  # a table without rows has columns, too
        for batch in chain([empty], reader):
            frame = pl.DataFrame(pl.from_arrow(batch))
            for name in dataset.plain:
                frame = frame.with_columns(_texts([plain_number(text) for text in frame[name]]).alias(name))
            for name, (raw, decimals) in dataset.exact.items():
                exact = [exact_amount(*row) for row in frame.select(raw, decimals).iter_rows()]
                frame = frame.with_columns(_texts(exact).alias(name))
            yield frame


@contextmanager
def open_reading(warehouse: Warehouse, user_id: str) -> Iterator[Reading]:
    """The warehouse as it is now, for one user; a build that finishes meanwhile changes nothing for the reader.

    Raises:
        FileNotFoundError: If nothing was built yet.
        ExportRefusedError: If nobody knows the user.
    """
    contracts = {model.name: model.columns for model in read_models(warehouse.project.manifest())}
    with warehouse.connect() as connection:
        # One thread adds doubles up in the same order each time: the same warehouse gives the same bytes.
        connection.execute("set threads = 1")
        try:
            connection.execute(f"set memory_limit = '{warehouse.project.memory}'")
            _require_user(connection, user_id)
            yield Reading(connection, user_id, _build_of(connection), contracts)
        finally:
            connection.execute("reset threads")


def kind_of(sql_type: str) -> Kind:
    """What a column of a DuckDB type holds."""
    plain = sql_type.upper().partition("(")[0]
    kinds = {
        "DECIMAL": Kind.DECIMAL, "DOUBLE": Kind.NUMBER, "FLOAT": Kind.NUMBER, "BOOLEAN": Kind.FLAG, "DATE": Kind.DAY,
        "TIMESTAMP": Kind.MOMENT,
    }  # fmt: skip
    return kinds.get(plain, Kind.INTEGER if plain.endswith("INT") or plain == "INTEGER" else Kind.TEXT)


def _texts(values: Sequence[str | None]) -> pl.Series:
    return pl.Series(values, dtype=pl.String)


def _require_user(connection: "duckdb.DuckDBPyConnection", user_id: str) -> None:
    users = "select user_id from intermediate.dim_users"
    if connection.execute(f"{users} where user_id = $user_id", {"user_id": user_id}).fetchone():
        return
    known = [str(row[0]) for row in connection.execute(f"{users} order by user_id").fetchall()]
    named = get_close_matches(user_id, known[:10_000], n=3) or known[:USERS_NAMED]
    more = f", … ({len(known):,} in all)" if len(known) > len(named) else ""
    there = ", ".join(map(repr, named)) + more if known else "nobody"
    msg = f"the warehouse knows no user {user_id!r}, but {there}; `portfolio run` brings new users in"
    raise ExportRefusedError(msg)


def _build_of(connection: "duckdb.DuckDBPyConnection") -> dict[str, str]:
    """What identifies a build: its models, and the files of the lake that it was made from."""
    row = connection.execute("select code_hash from meta.build").fetchone()
    parts = connection.execute(
        "select table_name, partition, content_hash from meta.built_partitions order by all"
    ).fetchall()
    digest = hashlib.sha256("\n".join("\t".join(map(str, part)) for part in parts).encode())
    newest = connection.execute("select max(date) from intermediate.days").fetchone()
    return {
        "models": str(row[0]) if row else "",
        "data": digest.hexdigest()[:32],
        "newest_day": str(newest[0]) if newest and newest[0] else "",
    }
