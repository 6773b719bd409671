"""Whole installations, driven by their own command line. Building one costs seconds: tests share the finished ones.

A home is copied from a template (an empty, migrated one), and copied again where a test must damage it. Its embedded
Postgres is stopped before the folder goes.
"""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import psycopg
import pytest
from click.testing import Result
from typer.testing import CliRunner

from portfolio_pipelines.cli import app
from portfolio_pipelines.database import embedded
from portfolio_pipelines.resources.platform import Platform
from portfolio_pipelines.settings import Settings

ROOT = Path(__file__).parents[2]
SHARED = (ROOT / os.environ.get("PORTFOLIO_SHARED_DATA", "../shared/data")).resolve()
RECORDS = {"core/partition_log", "core/check_results"}
"""Tables that name runs and times: every run writes other ones."""
OF_A_RUN = {"partition_log": {"run_id", "written_at"}, "data_quality_scorecard": set()}


class Installation:
    """One home of the platform, and everything a person can do with it at a terminal."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self.home = home
        self.files = home.parent / f"{home.name}-files"
        self.files.mkdir(exist_ok=True)
        self.environment = {"PORTFOLIO_PRICE_PROVIDERS": "", **environment, "PORTFOLIO_HOME": str(home)}

    @contextmanager
    def surroundings(self) -> Iterator[dict[str, str]]:
        """Environment and folder of this installation alone: neither a developer's settings nor their .env file."""
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith(("PORTFOLIO_", "DAGSTER_"))]:
                patch.delenv(name)
            for name, value in {**self.environment, "COLUMNS": "200", "TERM": "dumb"}.items():
                patch.setenv(name, value)
            patch.chdir(self.files)
            yield dict(os.environ)

    @property
    def settings(self) -> Settings:
        with self.surroundings():
            return Settings()

    @property
    def platform(self) -> Platform:
        return Platform.of(self.settings)

    def portfolio(self, *arguments: object) -> Result:
        """Run a command in this process; any exit status."""
        with self.surroundings():
            return CliRunner().invoke(app, [str(argument) for argument in arguments])

    def does(self, *arguments: object) -> str:
        """What a command prints that must succeed."""
        result = self.portfolio(*arguments)
        if result.exit_code != 0:
            if result.exception is not None and not isinstance(result.exception, SystemExit):
                raise result.exception
            pytest.fail(f"portfolio {' '.join(map(str, arguments))}: {result.output}")
        return str(result.stdout)

    def refuses(self, *arguments: object) -> str:
        """What a command says that must end with status 1, by intention and not by a crash."""
        result = self.portfolio(*arguments)
        assert isinstance(result.exception, SystemExit), result.exception
        assert result.exit_code == 1, result.output
        return str(result.stderr)

    def command(self, *arguments: object) -> subprocess.Popen[str]:
        """Start a command as a process group of its own."""
        with self.surroundings() as environment:
            return subprocess.Popen(
                [str(Path(sys.executable).parent / "portfolio"), *map(str, arguments)],
                env=environment,
                cwd=self.files,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.files / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Rows of a query, as `portfolio query` prints them."""
        return json.loads(self.does("query", sql, "--format", "json"))  # type: ignore[no-any-return]

    def row(self, sql: str) -> dict[str, Any]:
        (row,) = self.rows(sql)
        return row

    def lake(self) -> dict[str, str]:
        """A hash of every file of the lake by its path, hidden ones included, the records of runs aside."""
        root = self.home / "lake"
        files = [path for path in sorted(root.rglob("*")) if path.is_file() and path.name != ".price_answers.lock"]
        names = {str(path.relative_to(root)): path for path in files}
        return {
            name: hashlib.sha256(path.read_bytes()).hexdigest()
            for name, path in names.items()
            if name.rpartition("/")[0] not in RECORDS
        }

    def marts(self) -> dict[str, list[tuple[object, ...]]]:
        """All rows of all marts, sorted; of the records of runs what does not name the run."""
        with duckdb.connect(str(self.home / "warehouse.duckdb"), read_only=True) as warehouse:
            tables = warehouse.execute(
                "select table_name from information_schema.tables where table_schema = 'marts' order by 1"
            ).fetchall()
            assert tables, "there are no marts"
            contents = {}
            for (table,) in tables:
                left_out = OF_A_RUN.get(table, set())
                columns = [row[0] for row in warehouse.execute(f"describe marts.{table}").fetchall()]
                chosen = ", ".join(f'"{column}"' for column in columns if column not in left_out)
                where = "where metric not like 'check:%'" if table == "data_quality_scorecard" else ""
                rows = warehouse.execute(f"select {chosen} from marts.{table} {where} order by all").fetchall()
                contents[table] = rows
        return contents

    def modified(self) -> dict[str, int]:
        """The time of the last change of every file of the lake and of the warehouse, in nanoseconds."""
        files = [*(self.home / "lake").rglob("data.parquet"), self.home / "warehouse.duckdb"]
        return {str(path): path.stat().st_mtime_ns for path in files}

    def sql(self, statement: str, database: str = "portfolio") -> list[tuple[Any, ...]]:
        """Rows of the operational database, or of Dagster's."""
        urls = embedded.start(self.home / "postgres")
        with psycopg.connect(urls.portfolio if database == "portfolio" else urls.dagster, autocommit=True) as database_:
            cursor = database_.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def counts(self) -> dict[str, int]:
        """How many rows each operational table has."""
        tables = self.sql("select table_name from information_schema.tables where table_schema = 'app' order by 1")
        return {table: self.sql(f'select count(*) from app."{table}"')[0][0] for (table,) in tables}

    def runs(self) -> list[tuple[str, str, str]]:
        """Run id, job and status of every Dagster run, oldest first."""
        return [tuple(row) for row in self.sql("select run_id, pipeline_name, status from runs order by id", "dagster")]  # type: ignore[misc]

    def stop(self) -> None:
        embedded.stop(self.home / "postgres")


def days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=offset) for offset in range((last - first).days + 1)]


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    """An initialised, empty home whose server is stopped."""
    # Not below pytest's own folder: pytest closes that to the account which runs Postgres when we are root.
    folder = Path(tempfile.mkdtemp(prefix="portfolio-e2e-"))
    installation = Installation(folder / "template", {})
    try:
        installation.does("init")
        installation.sql("alter system set fsync = off")  # nothing here outlives the session
        installation.platform.warehouse.project.manifest()
        installation.stop()
        yield folder / "template"
    finally:
        for home in folder.iterdir():
            embedded.stop(home / "postgres")
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def install(template: Path) -> Callable[..., Installation]:
    """Make a home: empty, or a copy of another one, whose server is stopped for it."""

    def make(name: str, like: Installation | None = None, **environment: str) -> Installation:
        source = template if like is None else like.home
        embedded.stop(source / "postgres")
        subprocess.run(["cp", "-a", source, template.parent / name], check=True)  # shutil would lose the owner
        return Installation(template.parent / name, (like.environment if like else {}) | environment)

    return make


WORLD_FIRST, WORLD_LAST = date(2024, 3, 1), date(2024, 4, 29)
GHOST_DIES = date(2024, 4, 2)  # the last day on which somebody prices file:GHOST
WORLD_INVESTMENTS = """\
user_id,investment_id,invested_at,asset,amount_usd,quantity
ann,bundle,2024-03-01,BTC,500,
ann,bundle,2024-03-01,ETH,300,
ann,bundle,2024-03-01,SOL,200,
ann,second,2024-04-10T15:30:00Z,BTC,250.50,
ben,brave,2024-03-05,GHOST,400,
ben,brave,2024-03-05,BTC,600,
cleo,quiet,2024-03-15,ADA,1000,1500
"""


def _world_prices() -> str:
    """Sixty days of four coins, one that dies, and an index with weekends."""
    draw = random.Random(7)  # noqa: S311 prices of a game, not secrets
    level = {"BTC": 60_000.0, "ETH": 3_400.0, "SOL": 120.0, "ADA": 0.65, "GHOST": 2.0, "SP500": 5_100.0}
    lines = ["date,symbol,close_usd,source"]
    for day in days(WORLD_FIRST, WORLD_LAST):
        for symbol in level:
            if (symbol == "SP500" and day.weekday() > 4) or (symbol == "GHOST" and day > GHOST_DIES):
                continue
            level[symbol] *= 1 + draw.uniform(-0.05, 0.05)
            lines.append(f"{day},{symbol},{level[symbol]:.6f},exchange")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="session")
def imported(install: Callable[..., Installation]) -> Installation:
    """Prices and investments of the small world are imported, nothing is valued. Copy it, do not run it."""
    home = install("imported")
    home.does("import", "prices", home.write("prices.csv", _world_prices()))
    home.does("import", "investments", home.write("investments.csv", WORLD_INVESTMENTS))
    return home


@pytest.fixture(scope="session")
def built(install: Callable[..., Installation], imported: Installation) -> Installation:
    """The sixty days of the small world, run at once. Read it and copy it, do not change it."""
    home = install("built", like=imported)
    home.does("run", "--from", WORLD_FIRST, "--to", WORLD_LAST)
    return home


@pytest.fixture(scope="session")
def world() -> tuple[date, date, date]:
    """First day, last day, and the last day that prices file:GHOST."""
    return WORLD_FIRST, WORLD_LAST, GHOST_DIES


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the shared data."""
    if not SHARED.is_dir():
        pytest.skip("needs the folder of PORTFOLIO_SHARED_DATA")
    return SHARED


@pytest.fixture(scope="session")
def price_csv() -> Callable[[Sequence[tuple[object, str, float]]], str]:
    """A price file of (day, symbol, close)."""

    def write(rows: Sequence[tuple[object, str, float]]) -> str:
        frame = pl.DataFrame(
            [(str(day), symbol, close) for day, symbol, close in rows],
            schema={"date": pl.String, "symbol": pl.String, "close_usd": pl.Float64},
            orient="row",
        )
        return frame.write_csv()

    return write
