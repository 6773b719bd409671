"""What a warehouse file remembers of its own build, and how far that is from the lake of today.

Belongs here: reading that record, comparing, telling dbt what differs. Building is `warehouse`, files are `lake_views`.
"""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from portfolio_pipelines.resources.dbt_build import NodeResult
from portfolio_pipelines.resources.lake_views import Partition, day_and_chain

if TYPE_CHECKING:
    import duckdb

logger = logging.getLogger(__name__)

FULL_REBUILD_SHARE: Final = 0.5
"""Above this share of changed days a build from nothing is faster, and leaves no holes in the file."""


@dataclass(frozen=True, slots=True)
class WarehouseState:
    """What a warehouse file remembers of its own build."""

    code_hash: str = ""
    partitions: Mapping[tuple[str, str], Partition] = field(default_factory=dict)
    results: Sequence[NodeResult] = ()
    row_counts: Mapping[str, int] = field(default_factory=dict)
    changed: frozenset[str] = frozenset()  # sources of which this build found another content than the one before


PARTITION_COLUMNS: Final = {
    "table_name": str,
    "partition": str,
    "content_hash": str,
    "size": int,
    "modified_ns": int,
}


def read_state(path: Path) -> WarehouseState:
    """What a file says of itself; nothing when it is absent, damaged or not ours, so that it is built anew."""
    import duckdb

    if not path.is_file():
        return WarehouseState()
    try:
        connection = duckdb.connect(str(path), read_only=True)
    except duckdb.Error as error:
        logger.warning("%s cannot be read and is built anew: %s", path, error)
        return WarehouseState()
    try:
        rows = connection.execute(
            "select table_name, partition, content_hash, size, modified_ns from meta.built_partitions"
        ).fetchall()
        asked = connection.execute("select * from meta.build")  # an older one says less
        build = dict(zip([column[0] for column in asked.description], asked.fetchone() or (), strict=False))
    except duckdb.CatalogException:
        logger.warning("%s was not made by a build of ours and is built anew", path)
        return WarehouseState()
    except duckdb.Error as error:  # a block that was lost
        logger.warning("%s is damaged and is built anew: %s", path, error)
        return WarehouseState()
    finally:
        connection.close()
    if not build:
        return WarehouseState()
    parts = [Partition(*row) for row in rows]
    results = [NodeResult(**result) for result in json.loads(build["results"])]
    return WarehouseState(
        code_hash=build["code_hash"],
        partitions={part.key: part for part in parts},
        results=results,
        row_counts=json.loads(build["row_counts"]),
        changed=frozenset(build.get("changed_sources", ())),
    )


def changed_partitions(
    before: Mapping[tuple[str, str], Partition], now: Mapping[tuple[str, str], Partition]
) -> list[tuple[str, str]]:
    """Partitions that are new, hold something else, or vanished."""
    return sorted(
        key
        for key in before.keys() | now.keys()
        if key not in before or key not in now or before[key].content_hash != now[key].content_hash
    )


def is_mostly_new(
    before: Mapping[tuple[str, str], Partition],
    changed: Sequence[tuple[str, str]],
    now: Mapping[tuple[str, str], Partition],
) -> bool:
    """Whether so many days changed that a build from nothing is the better way.

    A day of a table counts once, however many chains it is cut into: else the chains would outvote everything else.
    """
    files: dict[tuple[str, str | None], int] = {}
    for table_name, partition in {*now, *changed}:
        day = table_name, day_and_chain(partition)[0]
        files[day] = files.get(day, 0) + 1

    def days(partitions: Iterable[tuple[str, str]]) -> float:
        named = ((table_name, day_and_chain(partition)[0]) for table_name, partition in partitions)
        return sum(1 / files[table_name, day] for table_name, day in named if day is not None)

    return not before or days(changed) > FULL_REBUILD_SHARE * max(days(now), 1)


def list_changed(connection: "duckdb.DuckDBPyConnection", changed: Iterable[tuple[str, str]]) -> None:
    """Write the table `meta.changed_partitions`, which the incremental models ask; `chain` is null for a whole day."""
    named = ((table_name, *day_and_chain(partition)) for table_name, partition in changed)
    rows = pl.DataFrame(
        [row for row in named if row[1] is not None],
        schema={"table_name": pl.String, "date": pl.String, "chain": pl.String},
        orient="row",
    )
    connection.register("rows", rows.to_arrow())
    connection.execute(
        "create or replace table meta.changed_partitions as "
        "select table_name, cast(date as date) as date, chain from rows"
    )
    connection.unregister("rows")
