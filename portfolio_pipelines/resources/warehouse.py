"""The warehouse: one DuckDB file with the marts, replaced whole when a build has passed every test.

Belongs here: deciding what changed, the build file, publishing it by a rename. The models and tests are in
`dbt_project`, running dbt is `dbt_build`, the lake's files are `lake_views`.
"""

import fcntl
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from portfolio_pipelines.resources.dbt_build import DbtProject, NodeResult, first_rows
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.lake_views import Partition, create_views, drop_views, read_partitions
from portfolio_pipelines.resources.warehouse_spare import WORTH_KEEPING, Spare, bring_up, costs_less_than_comparing
from portfolio_pipelines.resources.warehouse_state import (
    PARTITION_COLUMNS,
    WarehouseState,
    changed_partitions,
    is_mostly_new,
    list_changed,
    read_state,
)
from portfolio_pipelines.settings import Settings

if TYPE_CHECKING:
    import duckdb

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TestFailure:
    """A model that could not be built, or a test that found rows."""

    __test__ = False  # not a test of pytest

    result: NodeResult
    rows: Sequence[Mapping[str, object]] = ()

    def __str__(self) -> str:
        what = f"{self.result.kind.replace('_', ' ')} {self.result.name}"
        if not self.rows:
            return f"{what}: {(self.result.message or self.result.status).strip()}"
        shown = "\n".join("    " + ", ".join(f"{name}={value}" for name, value in row.items()) for row in self.rows)
        return f"{what} found {self.result.failures} rows, the first:\n{shown}"


class WarehouseBuildError(RuntimeError):
    """The marts did not pass; the warehouse is what it was before.

    Attributes:
        failures: What failed, with the first failing rows.
        results: Every model and test that ran.
    """

    def __init__(self, failures: Sequence[TestFailure], results: Sequence[NodeResult]) -> None:
        self.failures = list(failures)
        self.results = list(results)
        shown = "\n".join(f"- {failure}" for failure in failures)
        super().__init__(f"the marts were not published, the previous warehouse stays:\n{shown}")


@dataclass(frozen=True, slots=True)
class BuildResult:
    """A finished build, or the finding that there was nothing to do."""

    skipped: bool
    reason: str
    results: Sequence[NodeResult]  # the latest of each model and test, also of builds before this one
    made: Sequence[NodeResult] = ()  # of this build: what rests on nothing that changed was left alone
    row_counts: Mapping[str, int] = field(default_factory=dict)  # by schema.table, tables only
    changed: Mapping[str, int] = field(default_factory=dict)  # changed partitions by core table
    warnings: Sequence[TestFailure] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Warehouse:
    """The DuckDB file that serves the marts, and how it is made from the lake.

    Args:
        path: The file people open.
        lake: What it is built from.
        project: The dbt project that builds `build_path`.
        worth_keeping: Bytes from which on the file before the present one is kept for the next build to continue.
    """

    path: Path
    lake: Lake
    project: DbtProject
    worth_keeping: int = WORTH_KEEPING

    @classmethod
    def from_settings(cls, settings: Settings) -> "Warehouse":
        """The warehouse of an installation."""
        path = settings.warehouse
        project = DbtProject(settings.home.absolute() / "dbt", cls._build_path(path), settings.duckdb_memory)
        return cls(path, Lake(settings.lake), project)

    @staticmethod
    def _build_path(path: Path) -> Path:
        return path.parent / f".{path.stem}.build" / path.name  # same file system: a rename publishes it

    @cached_property
    def build_path(self) -> Path:
        """The file that is being built; its folder is removed afterwards."""
        return self.project.database

    @cached_property
    def spare(self) -> Spare:
        """The file before the present one."""
        return Spare(self.path.parent / f".{self.path.stem}.spare" / self.path.name, self.worth_keeping)

    @contextmanager
    def connect(self) -> Iterator["duckdb.DuckDBPyConnection"]:
        """A read-only connection to the finished marts, given back even when the body raises.

        Raises:
            FileNotFoundError: If nothing was built yet.
        """
        import duckdb

        if not self.path.is_file():
            msg = f"there is no warehouse at {self.path}; run `portfolio run` first"
            raise FileNotFoundError(msg)
        connection = duckdb.connect(str(self.path), read_only=True)
        try:
            yield connection
        finally:
            connection.close()

    def is_current(self) -> bool:
        """Whether the file holds exactly what the lake and the models say now: a build would be skipped."""
        before = read_state(self.path)
        partitions = read_partitions(self.lake, before.partitions)
        return before.code_hash == self.project.code_hash and not changed_partitions(before.partitions, partitions)

    def build(self, *, full: bool = False) -> BuildResult:
        """Bring the marts up to date with the lake.

        Args:
            full: Build from nothing even when the previous warehouse could be continued.

        Returns:
            What was built; `skipped` when the warehouse already holds exactly this.

        Raises:
            WarehouseBuildError: If a model or a blocking test failed. The old file is untouched.
        """
        started = time.monotonic()
        with self._alone():
            before = read_state(self.path)
            partitions = read_partitions(self.lake, before.partitions)
            changed = changed_partitions(before.partitions, partitions)
            same_code = before.code_hash == self.project.code_hash
            if same_code and not changed and not full:
                logger.info("the marts are up to date: no core table changed since they were built")
                return BuildResult(True, "no core table and no model changed", before.results, (), before.row_counts)
            new_file = full or not same_code or is_mostly_new(before.partitions, changed, partitions)
            try:
                begun = self._begin_new() if new_file else self._continue(before, changed, partitions)
                missing = changed_partitions(begun.partitions, partitions)
                self._tell_changes(missing)
                sources = None if new_file else _sources(missing)
                made = self.project.build(unit_tests=not same_code, changed_sources=sources)
                results = _over(begun.results, made)
                warnings = self._judge(results)
                row_counts = self._finish(results, partitions, _sources(changed))
                self._publish()
            finally:
                shutil.rmtree(self.build_path.parent, ignore_errors=True)
        # What the build before changed too, the next one will change again; what only this one did, it would repeat.
        if new_file or not _sources(changed) <= before.changed:
            self.spare.follow(self.path, self._alone)
        counted: dict[str, int] = {}
        for table_name, _ in changed:
            counted[table_name] = counted.get(table_name, 0) + 1
        reason = "built from nothing" if new_file else "changed partitions replaced"
        return BuildResult(False, reason, results, made, row_counts, counted, warnings, time.monotonic() - started)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One build at a time; the system gives the lock of a killed process back."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with (self.path.parent / f".{self.path.stem}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _begin_new(self) -> WarehouseState:
        """An empty file to build in."""
        self._clear()
        self.project.load()
        return WarehouseState()

    def _continue(
        self,
        before: WarehouseState,
        changed: Sequence[tuple[str, str]],
        partitions: Mapping[tuple[str, str], Partition],
    ) -> WarehouseState:
        """A file to build on: the spare, as it is or brought up to the present file, else a copy. What it remembers."""
        self._clear()
        spare = read_state(self.spare.path) if self.spare.path.is_file() else WarehouseState()
        missing = changed_partitions(spare.partitions, partitions)
        as_it_is = spare.code_hash == before.code_hash and costs_less_than_comparing(
            self.project.manifest(), before.results, _sources(missing), _sources(changed), self.path.stat().st_size
        )
        taken = self.spare.path.is_file() and self.spare.take(self.build_path, self.path)
        if taken and as_it_is:
            self.project.load()
            return spare
        if not taken:
            self.spare.drop()  # also what a killed process left unfinished: no room for a third file is asked for
        with ThreadPoolExecutor(max_workers=1) as thread:  # gigabytes are compared, or copied, while dbt is imported
            brought = thread.submit(bring_up if taken else shutil.copyfile, self.path, self.build_path)
            self.project.load()
            brought.result()
        return before

    def _clear(self) -> None:
        shutil.rmtree(self.build_path.parent, ignore_errors=True)  # left by a build that was killed
        self.build_path.parent.mkdir(parents=True)

    def _tell_changes(self, missing: Sequence[tuple[str, str]]) -> None:
        with self._open_build() as connection:
            create_views(connection, self.lake)
            connection.execute("create schema if not exists meta")
            list_changed(connection, missing)

    def _judge(self, results: Sequence[NodeResult]) -> list[TestFailure]:
        """The warnings, with their first rows.

        Raises:
            WarehouseBuildError: If anything failed.
        """
        with self._open_build() as connection:
            found = [
                TestFailure(result, _rows(connection, result))
                for result in results
                if result.blocks or result.status == "warn"
            ]
        failed = [failure for failure in found if failure.result.blocks]
        if failed:
            raise WarehouseBuildError(failed, results)
        for warning in found:
            logger.warning("%s", warning)
        return found

    def _finish(
        self, results: Sequence[NodeResult], partitions: Mapping[tuple[str, str], Partition], changed: set[str]
    ) -> dict[str, int]:
        import polars as pl

        with self._open_build() as connection:
            drop_views(connection)
            rows = pl.DataFrame([asdict(part) for part in partitions.values()], schema=PARTITION_COLUMNS)
            connection.register("rows", rows.to_arrow())
            connection.execute("create or replace table meta.built_partitions as select * from rows")
            connection.unregister("rows")
            connection.execute("drop table if exists meta.changed_partitions")
            row_counts = _row_counts(connection)
            connection.execute(
                "create or replace table meta.build"
                " (code_hash varchar, results json, row_counts json, changed_sources varchar[])"
            )
            connection.execute(
                "insert into meta.build values (?, ?, ?, ?)",
                [
                    self.project.code_hash,
                    json.dumps([asdict(result) for result in results]),
                    json.dumps(row_counts),
                    sorted(changed),
                ],
            )
            connection.execute("force checkpoint")
        return row_counts

    def _publish(self) -> None:
        with self.build_path.open("rb") as file:
            os.fsync(file.fileno())
        self.path.with_name(f"{self.path.name}.wal").unlink(missing_ok=True)  # would be replayed into the new file
        self.spare.keep(self.path)
        self.build_path.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @contextmanager
    def _open_build(self) -> Iterator["duckdb.DuckDBPyConnection"]:
        import duckdb

        connection = duckdb.connect(str(self.build_path), config={"memory_limit": self.project.memory})
        try:
            yield connection
        finally:
            connection.close()


def _sources(partitions: Sequence[tuple[str, str]]) -> set[str]:
    return {table_name for table_name, _ in partitions}


def _over(before: Sequence[NodeResult], made: Sequence[NodeResult]) -> list[NodeResult]:
    """The results of a build in place of those before it; what rests on nothing that changed stands as it was."""
    results = {result.unique_id: result for result in before}
    return list((results | {result.unique_id: result for result in made}).values())


def _rows(connection: "duckdb.DuckDBPyConnection", result: NodeResult) -> list[Mapping[str, object]]:
    import duckdb

    if result.kind != "test" or not result.sql or result.status not in {"fail", "warn"}:
        return []
    try:
        return first_rows(connection, result.sql)
    except duckdb.Error as error:  # the verdict stands without its illustration
        logger.warning("the failing rows of %s cannot be shown: %s", result.name, error)
        return []


def _row_counts(connection: "duckdb.DuckDBPyConnection") -> dict[str, int]:
    names = connection.execute(
        "select schema_name, table_name, estimated_size from duckdb_tables() "
        "where schema_name in ('intermediate', 'marts') order by all"
    ).fetchall()
    return {f"{schema}.{table}": int(size) for schema, table, size in names}
