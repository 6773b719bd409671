"""Running dbt in this process: paths, profile, parsing, building, and results as plain values.

Belongs here: everything that talks to dbt itself, which is imported only when it runs (3 seconds). What the build
reads and where its file goes is `warehouse`; what Dagster shows of it is `dbt_manifest` and `assets.marts`.
"""

import fcntl
import gc
import hashlib
import json
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from portfolio_pipelines.resources.dbt_manifest import touched_nodes
from portfolio_pipelines.resources.files import appears_whole
from portfolio_pipelines.settings import PROJECT_ROOT

PROJECT_FOLDER: Final = PROJECT_ROOT / "dbt_project"
SOURCE_SUFFIXES: Final = frozenset({".sql", ".yml", ".yaml", ".md", ".csv"})


@dataclass(frozen=True, slots=True)
class NodeResult:
    """How dbt fared with one model or test."""

    unique_id: str
    kind: str  # model, test or unit_test
    name: str
    status: str  # success, pass, warn, fail, error or skipped
    failures: int | None  # rows that a test found
    message: str | None
    sql: str | None  # as it was compiled
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether the model was built or the test found nothing."""
        return self.status in {"success", "pass"}

    @property
    def blocks(self) -> bool:
        """Whether the build must not be published."""
        return self.status in {"fail", "error", "runtime error", "partial success"}


class DbtError(RuntimeError):
    """dbt could not even start: the project or its profile is wrong."""


@dataclass(frozen=True)
class DbtProject:
    """The dbt project and the folder for everything dbt writes; nothing is written beside the sources.

    Args:
        state: Folder for parsed state, compiled SQL and the profile, one below it a version of the sources.
        database: The DuckDB file that is built. Its path is part of the parsed state: keep it the same.
        memory: DuckDB's memory limit, such as 2GB.
        folder: The sources.
    """

    state: Path
    database: Path
    memory: str = "2GB"
    folder: Path = PROJECT_FOLDER

    @cached_property
    def code_hash(self) -> str:
        """A fingerprint of the project's sources."""
        digest = hashlib.blake2b(digest_size=16)
        for path in sorted(self.folder.rglob("*")):
            if path.suffix in SOURCE_SUFFIXES and path.is_file():
                digest.update(f"{path.relative_to(self.folder)}\0".encode())
                digest.update(path.read_bytes() + b"\0")
        return digest.hexdigest()

    @property
    def target(self) -> Path:
        """Where dbt keeps the parsed project and the compiled SQL of this version of the sources."""
        return self.state / self.code_hash[:12]

    def manifest(self) -> dict[str, Any]:
        """The manifest of these sources, parsed once for each version of them.

        Raises:
            DbtError: If the project does not parse.
        """
        path = self.target / "manifest.json"
        if not path.is_file():
            self.state.mkdir(parents=True, exist_ok=True)
            with (self.state / "parse.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # Dagster loads this in several processes at once
                if not path.is_file():
                    self._invoke(["parse"])
        manifest: dict[str, Any] = json.loads(path.read_text())
        return manifest

    def build(self, *, unit_tests: bool, changed_sources: Collection[str] | None = None) -> list[NodeResult]:
        """Build and test the models in `database`; a model downstream of a failure is skipped.

        Args:
            unit_tests: Also run the unit tests of the models: they depend on the code alone.
            changed_sources: Make and test only what reads these sources, directly or not; None for everything.

        Raises:
            DbtError: If dbt could not start building.
        """
        left_out = ["exposure"] if unit_tests else ["exposure", "unit_test"]
        command = ["build", *(f"--exclude-resource-type={kind}" for kind in left_out)]
        if changed_sources is not None:
            touched = touched_nodes(self.manifest(), changed_sources)
            if not touched:
                return []
            command += ["--select", *touched]
        result = self._invoke(command)
        return [_node_result(node) for node in getattr(result, "results", [])]

    @staticmethod
    def load() -> None:
        """Import dbt now: 3 seconds that can pass while a file is copied."""
        import dbt.adapters.duckdb
        import dbt.cli.main  # noqa: F401

    def _invoke(self, command: list[str]) -> object:
        self._write_profile()
        os.environ["DBT_SEND_ANONYMOUS_USAGE_STATS"] = "false"
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager
        from dbt.cli.main import dbtRunner

        connections: Any = DuckDBConnectionManager

        arguments = {
            "--project-dir": self.folder,
            "--profiles-dir": self.state,
            "--target-path": self.target,
            "--log-path": self.state / "logs",
            "--log-level": "none",
            "--log-level-file": "none",  # results tell what failed; dbt would format every event to throw it away
        }
        flags = ["--no-print", "--no-version-check", "--no-use-colors", "--partial-parse", "--quiet"]
        if (self.target / "manifest.json").is_file():
            flags.append("--no-write-json")  # it would write the same manifest twice again
        gc.freeze()  # dbt makes a million objects: the collector need not look at all that was there before them, too
        try:
            result = dbtRunner().invoke([*command, *(str(part) for pair in arguments.items() for part in pair), *flags])
        finally:
            gc.unfreeze()
            environment = connections._ENV
            if environment is not None:  # else the file stays open in this process, and locked for all others
                with suppress(Exception):
                    environment.close()
                connections.close_all_connections()
        if result.exception is not None:
            msg = f"dbt {command[0]} failed: {result.exception}"
            raise DbtError(msg) from result.exception
        return result.result

    def _write_profile(self) -> None:
        settings = {
            "memory_limit": self.memory,
            "checkpoint_threshold": "1GB",  # once, when it is done: the file of a killed build is thrown away
            "preserve_insertion_order": False,  # parallel inserts; rows have no order anyway
        }
        output = {
            "type": "duckdb",
            "path": str(self.database),
            "schema": "main",
            "threads": 1,  # each statement already uses all cores; two at once would share the memory
            "settings": settings,
        }
        text = json.dumps({"portfolio_marts": {"target": "build", "outputs": {"build": output}}}, indent=2)
        path = self.state / "profiles.yml"  # JSON is YAML
        if not path.is_file() or path.read_text() != text:
            with appears_whole(path) as beside:
                beside.write_text(text)


def _node_result(result: Any) -> NodeResult:
    node = result.node
    failures = getattr(result, "failures", None)
    return NodeResult(
        unique_id=node.unique_id,
        kind=str(node.resource_type.value),
        name=node.name,
        status=str(result.status.value if hasattr(result.status, "value") else result.status),
        failures=int(failures) if failures is not None else None,
        message=result.message,
        sql=getattr(node, "compiled_code", None),
        seconds=float(result.execution_time),
    )


def first_rows(connection: Any, sql: str, limit: int = 5) -> list[Mapping[str, object]]:
    """The first rows that a failing test finds, as dictionaries.

    Args:
        connection: An open DuckDB connection to the file that was built.
        sql: The compiled SQL of the test.
        limit: How many.
    """
    cursor = connection.execute(f"select * from ({sql}) as failing limit {limit}")  # noqa: S608 our own compiled SQL
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
