"""The lake and the marts depend on inputs alone: not on how, how often or in which order the days were run."""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import polars as pl
import pytest

from portfolio_pipelines.assets import operational, performance, prices
from portfolio_pipelines.automation.planning import DAILY_TABLES
from portfolio_pipelines.market.benchmarks import CARRIED_OVER
from portfolio_pipelines.tables import PORTFOLIO_PERFORMANCE

DELETED = 30
OF_COMPUTED_DAYS = {
    "portfolio_metrics", "benchmark_comparison", "diversification", "asset_correlations", "leaderboard",
    "leaderboard_ranks",
}  # fmt: skip
"""A run over one day computes it; one over a range its month ends and its last day: other runs, other days."""


def partitions(home: Any, first: date) -> list[Path]:
    paths = [path for table in DAILY_TABLES for path in (home.home / "lake" / table).glob("date=*/data.parquet")]
    return sorted(path for path in paths if path.parent.name >= f"date={first}")


def visible(lake: dict[str, str]) -> dict[str, str]:
    """Without the temporary files that a killed process left."""
    return {name: digest for name, digest in lake.items() if not Path(name).name.startswith(".")}


def agrees(home: Any, built: Any) -> None:
    """Everything is the same; of what is computed for some days alone, the days that both have."""
    lake, wanted = visible(home.lake()), visible(built.lake())
    assert {Path(name).parts[1] for name in lake.keys() ^ wanted.keys()} <= OF_COMPUTED_DAYS
    of_both = lake.keys() & wanted.keys()
    assert {name: lake[name] for name in of_both} == {name: wanted[name] for name in of_both}
    marts, expected = home.marts(), built.marts()
    assert marts.keys() == expected.keys()
    last = max(day for table in OF_COMPUTED_DAYS for day in built.platform.lake.days(f"core/{table}"))
    for name, rows in expected.items():
        if name == "partition_log":
            assert of_every_day(marts[name]) == of_every_day(rows)
        elif name in OF_COMPUTED_DAYS:
            assert [row for row in marts[name] if last in row] == [row for row in rows if last in row], name
        else:
            assert marts[name] == rows, name


def of_every_day(log: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """The rows of the partition log whose tables have every day."""
    return [row for row in log if not any(str(value).rpartition("/")[2] in OF_COMPUTED_DAYS for value in row)]


def test_thirty_deleted_partitions_come_back_byte_for_byte(
    install: Callable[..., Any], built: Any, world: tuple[date, ...]
) -> None:
    home = install("thirty-deleted", like=built)
    lake, marts = home.lake(), home.marts()
    deleted = random.Random(30).sample(partitions(home, world[0]), DELETED)  # noqa: S311 reproducible, not secret
    assert {path.parts[-3] for path in deleted} == {table.rpartition("/")[2] for table in DAILY_TABLES}
    for path in deleted:
        path.unlink()
    output = home.does("backfill", "--from", world[0], "--to", world[1], "--only-missing")
    assert f"{len({path.parent.name for path in deleted})} days were missing" in output
    assert home.lake() == lake
    assert home.marts() == marts


def test_of_a_range_with_one_day_deleted_in_its_middle_that_day_alone_is_computed(
    install: Callable[..., Any], built: Any, world: tuple[date, ...]
) -> None:
    home = install("one-deleted", like=built)
    middle = world[0] + (world[1] - world[0]) // 2
    writers = "select table_name, partition, run_id from app.partition_log"
    before, lake = set(home.sql(writers)), home.lake()
    (home.home / "lake" / PORTFOLIO_PERFORMANCE / f"date={middle}" / "data.parquet").unlink()
    home.does("backfill", "--from", world[0], "--to", world[1], "--only-missing")
    written = {(table, partition) for table, partition, _ in set(home.sql(writers)) - before}
    assert {pair for pair in written if pair[0] in DAILY_TABLES} == {(PORTFOLIO_PERFORMANCE, middle.isoformat())}
    assert home.lake() == lake


def test_a_second_run_starts_nothing_and_touches_no_file(built: Any, world: tuple[date, ...]) -> None:
    runs, modified = built.runs(), built.modified()
    assert "up to date" in built.does("run", "--from", world[0], "--to", world[1])
    assert "up to date" in built.does("backfill", "--from", world[0], "--to", world[1], "--only-missing")
    assert built.runs() == runs
    assert built.modified() == modified


def test_one_day_at_a_time_gives_what_sixty_days_at_once_give(
    install: Callable[..., Any], imported: Any, built: Any, world: tuple[date, ...]
) -> None:
    home = install("day-by-day", like=imported)
    core = list(dg.load_assets_from_modules([operational, prices, performance]))
    platform, last_three = home.platform, 3
    with dg.DagsterInstance.ephemeral() as instance:
        for offset in range(-CARRIED_OVER.days, (world[1] - world[0]).days + 1 - last_three):
            day = world[0] + timedelta(days=offset)
            result = dg.materialize(
                core, partition_key=day.isoformat(), resources=dict(platform.resources()), instance=instance
            )
            assert result.success
    for back in reversed(range(last_three)):  # the whole job, so that the marts grow day by day as well
        day = world[1] - timedelta(days=back)
        assert f"Ran {day} to {day}" in home.does("run", "--from", day, "--to", day)
    agrees(home, built)


def test_days_run_backwards_give_the_same_after_one_more_run(
    install: Callable[..., Any], imported: Any, built: Any, world: tuple[date, ...]
) -> None:
    home = install("backwards", like=imported)
    middle = world[0] + timedelta(days=30)
    home.does("run", "--from", middle, "--to", world[1])
    home.does("run", "--from", world[0], "--to", middle - timedelta(days=1))  # the returns of later days rest on these
    agrees(home, built)


def kill_when(home: Any, reached: Callable[[], bool], *arguments: object) -> None:
    """Start a command and kill its whole process group as soon as it has come far enough."""
    home.sql("select 1")  # the server runs already: it does not belong to the group
    process = home.command(*arguments)
    try:
        while not reached():
            assert process.poll() is None, f"it ended before it could be killed: {process.stdout.read()}"
            time.sleep(0.002)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.fixture(scope="module")
def killed(install: Callable[..., Any], imported: Any, world: tuple[date, ...]) -> Iterator[Any]:
    """Ten finished days, then a backfill of all sixty that is killed three times, each time further on."""
    home = install("killed", like=imported)
    home.does("run", "--from", world[0], "--to", world[0] + timedelta(days=9))
    warehouse = home.home / "warehouse.duckdb"
    before = warehouse.read_bytes()
    lake = home.home / "lake"
    stages: dict[str, Callable[[], bool]] = {
        "quotes": lambda: len(list((lake / "raw/quotes").glob("date=*/data.parquet"))) >= 25,
        "valuations": lambda: len(list((lake / "core/investment_performance").glob("date=*/data.parquet"))) >= 25,
        "marts": lambda: (home.home / ".warehouse.build/warehouse.duckdb").is_file(),
    }
    home.stages = {}
    for name, reached in stages.items():
        kill_when(home, reached, "backfill", "--from", world[0], "--to", world[1])
        home.stages[name] = {
            "files": {path: path.read_bytes()[-4:] for path in lake.rglob("*") if path.is_file()},
            "days": {table: len(home.platform.lake.days(table)) for table in DAILY_TABLES},
            "warehouse_unchanged": warehouse.read_bytes() == before,
            "newest": newest_day(warehouse),
        }
    return home


def newest_day(warehouse: Path) -> date:
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        row = connection.execute("select max(date) from marts.portfolio_performance_daily").fetchone()
    assert row is not None
    return row[0]  # type: ignore[no-any-return]


def test_a_killed_backfill_leaves_no_half_file(killed: Any) -> None:
    for stage in killed.stages.values():
        data = {path: end for path, end in stage["files"].items() if path.name == "data.parquet"}
        assert len(data) >= 75  # quotes of 25 days, and five tables of 10
        assert set(data.values()) == {b"PAR1"}  # the last bytes of a whole Parquet file
        others = {path.name[0] for path in stage["files"] if path.name != "data.parquet"}
        assert others <= {"."}  # whatever else lies there is hidden from every reader


def test_it_was_killed_in_the_middle(killed: Any) -> None:
    counts = {name: stage["days"] for name, stage in killed.stages.items()}
    assert 25 <= counts["quotes"]["raw/quotes"] < 64
    assert counts["quotes"]["core/portfolio_performance"] == 10 + CARRIED_OVER.days
    assert 25 <= counts["valuations"]["core/investment_performance"] <= 64
    assert counts["marts"]["core/portfolio_performance"] == 60 + CARRIED_OVER.days


def test_readers_see_the_old_marts_until_new_ones_are_finished(killed: Any, world: tuple[date, ...]) -> None:
    assert all(stage["warehouse_unchanged"] for stage in killed.stages.values())
    assert {stage["newest"] for stage in killed.stages.values()} == {world[0] + timedelta(days=9)}


def test_the_next_run_completes_what_was_killed_and_equals_an_undisturbed_one(
    killed: Any, built: Any, world: tuple[date, ...]
) -> None:
    left = killed.home / "lake/core/prices_daily" / f"date={world[1]}" / ".data.parquet.of-a-killed-process"
    left.write_bytes(b"PAR1 half a file")
    killed.does("backfill", "--from", world[0], "--to", world[1])
    agrees(killed, built)
    assert not (killed.home / ".warehouse.build").exists()
    pl.scan_parquet(killed.home / "lake/core/prices_daily/date=*/data.parquet").collect()


def test_the_killed_dagster_runs_are_marked_as_failed_by_the_next_one(killed: Any) -> None:
    assert [status for _, _, status in killed.runs()] == ["SUCCESS", "FAILURE", "FAILURE", "FAILURE", "SUCCESS"]
