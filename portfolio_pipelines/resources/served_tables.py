"""What a mart looks like in Postgres: columns, partitions, keys, indexes and comments, all taken from dbt.

Belongs here: DDL as text. What is copied when is `served_marts`; who may read it is `bi_access`.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

from portfolio_pipelines.resources.dbt_manifest import Column, Model

SCHEMA: Final = "marts"
STORAGE: Final = "marts_storage"
"""Schema of the partitions: a tool that lists the tables of `marts` shows the marts, not what they are cut into."""

_POSTGRES_TYPES: Final = {
    "varchar": "text",
    "date": "date",
    "double": "double precision",
    "boolean": "boolean",
    "integer": "integer",
    "bigint": "bigint",
    "smallint": "smallint",
    "timestamp": "timestamp",
    "uuid": "uuid",
    "json": "jsonb",
}


class Storage(StrEnum):
    """How a mart is cut into Postgres partitions: a partition is replaced whole, or days of it are."""

    MONTH = "month"  # by the column date, or another one that the model's meta names as `day`
    SNAPSHOT = "snapshot"  # one partition a snapshot_timestamp
    WHOLE = "whole"  # one partition, replaced at every change
    VIEW = "view"  # no rows of its own: the model's SQL over other served marts


@dataclass(frozen=True, slots=True)
class ServedTable:
    """One mart as a Postgres table."""

    name: str
    description: str
    columns: Sequence[Column]
    storage: Storage
    key: Sequence[str]
    indexes: Sequence[Sequence[str]]
    not_null: Sequence[str]
    check: str | None
    query: str | None = None  # of a view
    day: str = "date"  # the column that cuts it into months

    @classmethod
    def from_model(cls, model: Model) -> "ServedTable":
        """Read what the YAML of a model says under `meta` about its place in Postgres."""
        meta = model.meta
        storage = Storage(meta["published_by"])
        return cls(
            model.name,
            model.description,
            model.columns,
            storage,
            meta.get("key", []),
            meta.get("index", []),
            meta.get("not_null", []),
            meta.get("check"),
            _query(model) if storage is Storage.VIEW else None,
            meta.get("day", "date"),
        )

    @property
    def qualified(self) -> str:
        """Schema and name, quoted."""
        return f"{SCHEMA}.{quoted(self.name)}"

    @property
    def definition_hash(self) -> str:
        """Changes when the table must be made anew; a changed description alone does not."""
        columns = [(column.name, column.data_type) for column in self.columns]
        parts = (columns, self.storage.value, self.key, self.indexes, self.not_null, self.check, self.query)
        return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()

    @property
    def column_list(self) -> str:
        """Quoted column names, comma separated."""
        return ", ".join(quoted(column.name) for column in self.columns)

    def reads(self, other: "ServedTable") -> bool:
        """Whether this is a view over another mart."""
        return self.query is not None and other.qualified in self.query

    def create(self, server_version: int) -> Iterator[str]:
        """Statements that make the empty table with its key and indexes, or the view."""
        if self.query is not None:
            yield f"create view {self.qualified} ({self.column_list}) as {self.query}"
            return
        lines = [f"{quoted(c.name)} {_type(c)}{' not null' if c.name in self.not_null else ''}" for c in self.columns]
        if self.check:
            lines.append(f"check ({self.check})")
        how = {
            Storage.MONTH: f"range ({self.day})",
            Storage.SNAPSHOT: "range (snapshot_timestamp)",
            Storage.WHOLE: f"hash ({quoted((self.key or self.indexes[0])[0])})",
        }[self.storage]
        yield f"create table {self.qualified} ({', '.join(lines)}) partition by {how}"
        if self.key:
            yield f"alter table {self.qualified} add primary key ({_list(self.key)})"
        for columns in self.all_indexes(server_version):
            name = quoted(f"idx_{self.name}_{'_'.join(columns)}".replace("snapshot_timestamp", "timestamp")[:63])
            yield f"create index {name} on {self.qualified} ({_list(columns)})"

    def all_indexes(self, server_version: int) -> list[Sequence[str]]:
        """Indexes besides the key.

        The key of a daily table begins with the date, so that a new day goes to its end. Postgres 18 finds a user in
        it by skipping from date to date; an older one needs an index of its own.
        """
        is_daily = "user_id" in self.key and self.key[0] == self.day
        extra = [["user_id", self.day]] if is_daily and server_version < 180000 else []
        return [*self.indexes, *extra]

    def index_partition(self, partition: str, server_version: int) -> Iterator[str]:
        """Statements that give a loaded partition, named with its schema, the key and indexes of the table."""
        if self.key:
            yield f"alter table {partition} add primary key ({_list(self.key)})"
        for columns in self.all_indexes(server_version):
            yield f"create index on {partition} ({_list(columns)})"

    def bounds(self, unit: str) -> str:
        """The values of a partition: of a month 2025-07, of a day 2025-07-31, or of everything."""
        if self.storage is Storage.WHOLE:
            return "with (modulus 1, remainder 0)"
        if self.storage is Storage.SNAPSHOT:
            end = date.fromisoformat(unit) + timedelta(days=1)  # the snapshot of a day is taken at its end
            return f"from ('{end}') to ('{end + timedelta(days=1)}')"
        first = date.fromisoformat(f"{unit}-01")
        return f"from ('{first}') to ('{(first + timedelta(days=32)).replace(day=1)}')"

    def unit(self, partition: str) -> str:
        """The storage partition that a day, or `all`, lies in."""
        return partition[:7] if self.storage is Storage.MONTH else partition

    def comments(self) -> Iterator[str]:
        """Statements that carry the descriptions over."""
        kind = "view" if self.storage is Storage.VIEW else "table"
        yield f"comment on {kind} {self.qualified} is {literal(self.description)}"
        for column in self.columns:
            yield f"comment on column {self.qualified}.{quoted(column.name)} is {literal(column.description)}"


def quoted(name: str) -> str:
    """An identifier for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text for SQL (standard_conforming_strings, the default since Postgres 9.1)."""
    return "'" + text.replace("'", "''") + "'"


def _query(model: Model) -> str:
    """The SQL of a model that Postgres runs as well as DuckDB: nothing is rendered but references to other marts."""
    text = re.sub(r"\{\{\s*ref\('(\w+)'\)\s*\}\}", lambda found: f"{SCHEMA}.{quoted(found[1])}", model.source)
    if "{{" in text or "{%" in text:
        msg = f"{model.name} is served as a view, so its SQL may hold ref() and no other macro"
        raise ValueError(msg)
    return text


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(quoted, names))


def _type(column: Column) -> str:
    exact = column.data_type.startswith("decimal")
    return column.data_type.replace("decimal", "numeric") if exact else _POSTGRES_TYPES[column.data_type]
