"""The file before the present one, which the next build continues: where it is free, never where somebody reads."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from portfolio_pipelines.resources import warehouse_spare
from portfolio_pipelines.resources.dbt_build import DbtProject, NodeResult
from portfolio_pipelines.resources.warehouse import Warehouse, WarehouseBuildError
from portfolio_pipelines.resources.warehouse_spare import COMPARED_PACE, Spare, costs_less_than_comparing

D2, D3 = date(2025, 1, 31), date(2025, 2, 1)
BTC = "coingecko:bitcoin"


@pytest.fixture
def keeping(warehouse: Warehouse) -> Warehouse:
    """A warehouse that keeps the file before the present one, however small."""
    return replace(warehouse, worth_keeping=0)


@pytest.fixture
def rebuild(keeping: Warehouse, market: Any) -> Callable[[date, float], int]:
    """Set another price on a day and build; the inode of the file that is served then."""

    def build(day: date, price: float) -> int:
        market.closes[BTC, day] = price
        market.write_day(day)
        keeping.build()
        return keeping.path.stat().st_ino

    return build


def everything(warehouse: Warehouse) -> dict[str, list[tuple[object, ...]]]:
    with warehouse.connect() as connection:
        names = connection.execute(
            "select schema_name || '.' || name from (select schema_name, table_name as name from duckdb_tables() "
            "union all select schema_name, view_name from duckdb_views() where not internal) "
            "where schema_name in ('marts', 'intermediate') order by all"
        ).fetchall()
        return {name: connection.execute(f"select * from {name} order by all").fetchall() for (name,) in names}


def test_the_second_build_of_a_day_continues_the_file_of_two_builds_ago_and_equals_a_full_build(
    keeping: Warehouse, rebuild: Callable[[date, float], int], market: Any, dbt_state: DbtProject, tmp_path: Path
) -> None:
    first = keeping.path.stat().st_ino
    second = rebuild(D2, 61_000.0)
    assert second != first  # there was no spare: a copy
    assert rebuild(D2, 62_000.0) == first
    assert rebuild(D2, 63_000.0) == second

    full = Warehouse(tmp_path / "other.duckdb", market.lake, dbt_state)
    full.build(full=True)
    assert everything(keeping) == everything(full)
    assert len(everything(full)) > 60


def test_a_day_that_only_the_spare_lacks_is_made_again_with_the_tables_of_this_build(
    keeping: Warehouse, rebuild: Callable[[date, float], int], market: Any, dbt_state: DbtProject, tmp_path: Path
) -> None:
    first = keeping.path.stat().st_ino
    rebuild(D2, 61_000.0)
    assert rebuild(D3, 59_000.0) == first  # the spare knew neither the second day's price nor the third's

    full = Warehouse(tmp_path / "other.duckdb", market.lake, dbt_state)
    full.build(full=True)
    assert everything(keeping) == everything(full)


def test_before_a_build_of_other_tables_the_spare_is_brought_up_to_the_present_file(
    keeping: Warehouse, rebuild: Callable[[date, float], int], market: Any, dbt_state: DbtProject, tmp_path: Path
) -> None:
    first = keeping.path.stat().st_ino
    rebuild(D2, 61_000.0)
    market.users[9] = "zoe"
    market.write_dimensions()

    result = keeping.build()

    assert keeping.path.stat().st_ino == first
    assert "fct_portfolio_values" not in {made.name for made in result.made}  # of the price, which only the spare lacks
    full = Warehouse(tmp_path / "other.duckdb", market.lake, dbt_state)
    full.build(full=True)
    assert everything(keeping) == everything(full)


def test_after_a_build_out_of_the_ordinary_the_spare_is_made_equal_in_the_background(
    keeping: Warehouse, rebuild: Callable[[date, float], int], market: Any
) -> None:
    def is_equal() -> bool:
        keeping.spare.wait()
        return keeping.spare.path.read_bytes() == keeping.path.read_bytes()

    for price in (61_000.0, 62_000.0):  # what these changed, the builds before them changed too, and the next one will
        rebuild(D2, price)
        assert not is_equal()
    market.users[9] = "zoe"
    market.write_dimensions()
    keeping.build()
    assert is_equal()
    rebuild(D2, 63_000.0)
    assert is_equal()
    rebuild(D2, 64_000.0)
    assert not is_equal()
    assert [path.name for path in keeping.spare.path.parent.iterdir()] == [keeping.spare.path.name]


def test_a_spare_that_is_read_is_left_to_its_reader_and_replaced_in_the_background(
    keeping: Warehouse, rebuild: Callable[[date, float], int], market: Any
) -> None:
    query = f"select close_usd from marts.prices_daily where asset_id = '{BTC}' and date = '{D2}'"
    rebuild(D2, 61_000.0)
    with keeping.connect() as reader:
        first, before = keeping.path.stat().st_ino, reader.execute(query).fetchall()
        market.users[9] = "zoe"
        market.write_dimensions()
        keeping.build()
        keeping.spare.wait()
        assert keeping.spare.path.stat().st_ino != first
        assert keeping.spare.path.read_bytes() == keeping.path.read_bytes()
        assert reader.execute(query).fetchall() == before


def test_what_a_killed_process_left_unfinished_is_never_continued(
    keeping: Warehouse, rebuild: Callable[[date, float], int], market: Any, dbt_state: DbtProject, tmp_path: Path
) -> None:
    rebuild(D2, 61_000.0)
    keeping.spare.wait()
    unfinished = keeping.spare.path.with_name(f"{keeping.spare.path.name}.unfinished")
    keeping.spare.path.replace(unfinished)  # as the process had it in hand
    unfinished.write_bytes(b"half of one and half of the other")

    rebuild(D2, 62_000.0)
    keeping.spare.wait()

    assert not unfinished.exists()
    full = Warehouse(tmp_path / "other.duckdb", market.lake, dbt_state)
    full.build(full=True)
    assert everything(keeping) == everything(full)


def test_without_room_for_a_second_file_the_next_build_does_without(
    keeping: Warehouse,
    rebuild: Callable[[date, float], int],
    market: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_paths: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    rebuild(D2, 61_000.0)
    keeping.spare.wait()
    with monkeypatch.context() as full_disk:
        full_disk.setattr(warehouse_spare, "bring_up", fail)
        market.users[9] = "zoe"
        market.write_dimensions()
        keeping.build()
        keeping.spare.wait()
    assert "No space left on device" in caplog.text
    assert not keeping.spare.path.parent.exists()
    rebuild(D2, 63_000.0)
    with keeping.connect() as connection:
        query = f"select close_usd from marts.prices_daily where asset_id = '{BTC}' and date = '{D2}'"
        assert connection.execute(query).fetchall() == [(63_000.0,)]


def test_a_small_warehouse_leaves_no_second_file(warehouse: Warehouse, market: Any) -> None:
    market.closes[BTC, D2] = 61_000.0
    market.write_day(D2)
    warehouse.build()
    assert not warehouse.spare.path.exists()


def test_a_file_that_a_reader_of_this_process_holds_open_is_not_continued(
    keeping: Warehouse, rebuild: Callable[[date, float], int]
) -> None:
    query = f"select close_usd from marts.prices_daily where asset_id = '{BTC}' and date = '{D2}'"
    with keeping.connect() as reader:
        before = reader.execute(query).fetchall()
        first = keeping.path.stat().st_ino
        rebuild(D2, 61_000.0)
        assert rebuild(D2, 62_000.0) != first
        assert reader.execute(query).fetchall() == before


def test_a_file_that_another_process_reads_is_not_continued(
    keeping: Warehouse, rebuild: Callable[[date, float], int]
) -> None:
    first = keeping.path.stat().st_ino
    reads = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True); print(1, flush=True); sys.stdin.read()"
    )
    reader = subprocess.Popen(
        [sys.executable, "-c", reads, keeping.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert reader.stdin is not None
    assert reader.stdout is not None
    try:
        reader.stdout.readline()
        rebuild(D2, 61_000.0)
        third = rebuild(D2, 62_000.0)
        assert third != first
    finally:
        reader.stdin.close()
        reader.wait()
        reader.stdout.close()


def test_a_build_that_fails_on_the_spare_leaves_the_served_file_and_the_next_build_copies_it(
    keeping: Warehouse, rebuild: Callable[[date, float], int]
) -> None:
    first, second = keeping.path.stat().st_ino, rebuild(D2, 61_000.0)
    before = everything(keeping)
    with pytest.raises(WarehouseBuildError, match="prices_are_possible"):
        rebuild(D2, -1.0)
    assert keeping.path.stat().st_ino == second
    assert everything(keeping) == before
    assert rebuild(D2, 62_000.0) not in {first, second}


def test_a_file_that_a_killed_process_left_with_both_names_is_not_written(
    keeping: Warehouse, rebuild: Callable[[date, float], int]
) -> None:
    keeping.spare.keep(keeping.path)  # killed before the new file took the name
    served = keeping.path.stat().st_ino
    content = keeping.path.read_bytes()
    assert rebuild(D2, 61_000.0) != served
    assert keeping.spare.path.stat().st_ino == served
    assert keeping.spare.path.read_bytes() == content


def test_a_spare_with_a_lost_block_costs_one_build_at_most_and_is_never_served(
    keeping: Warehouse, rebuild: Callable[[date, float], int], market: Any, dbt_state: DbtProject, tmp_path: Path
) -> None:
    for lost, price in ((3, 61_000.0), (7, 62_000.0), (16, 63_000.0)):
        rebuild(D2, price)
        keeping.spare.wait()
        damaged = bytearray(keeping.path.read_bytes())
        start = 3 * 4096 + lost * 262_144  # three headers, then blocks
        assert start < len(damaged)
        damaged[start : start + 262_144] = bytes(262_144)
        keeping.spare.drop()
        keeping.spare.path.parent.mkdir()
        keeping.spare.path.write_bytes(damaged)
        market.users[lost] = f"user {lost}"
        market.write_dimensions()
        try:
            keeping.build()
        except WarehouseBuildError as error:  # it was continued as it is, and the block was read
            assert "Corrupt database file" in str(error)  # noqa: PT017 (only some layouts read the block)
            keeping.build()
    full = Warehouse(tmp_path / "other.duckdb", market.lake, dbt_state)
    full.build(full=True)
    assert everything(keeping) == everything(full)


def test_what_a_killed_process_left_makes_room_before_the_present_file_is_copied(
    keeping: Warehouse, rebuild: Callable[[date, float], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuild(D2, 61_000.0)
    keeping.spare.wait()
    unfinished = keeping.spare.path.with_name(f"{keeping.spare.path.name}.unfinished")
    keeping.spare.path.replace(unfinished)
    there: list[bool] = []

    def copy(source: Path, target: Path) -> None:
        there.append(unfinished.exists())
        target.write_bytes(source.read_bytes())

    with monkeypatch.context() as copying:
        copying.setattr("portfolio_pipelines.resources.warehouse.shutil.copyfile", copy)
        rebuild(D2, 62_000.0)
        keeping.spare.wait()
    assert there[0] is False


def test_a_damaged_spare_is_no_hindrance(keeping: Warehouse, rebuild: Callable[[date, float], int]) -> None:
    rebuild(D2, 61_000.0)
    keeping.spare.path.unlink()  # not written through: the link leads to the file itself
    keeping.spare.path.write_bytes(b"half a file" * 1000)
    rebuild(D2, 62_000.0)
    with keeping.connect() as connection:
        assert connection.execute(
            f"select close_usd from marts.prices_daily where asset_id = '{BTC}' and date = '{D2}'"
        ).fetchall() == [(62_000.0,)]


def test_the_spare_is_continued_where_what_it_lacks_costs_less_time_than_a_copy(dbt_state: DbtProject) -> None:
    manifest = dbt_state.manifest()
    results = [NodeResult("", "model", "fct_portfolio_metrics", "success", None, None, None, seconds=2.0)]
    prices, both = {"prices_daily"}, {"prices_daily", "portfolio_metrics"}

    def cheaper(since_spare: set[str], seconds_of_copy: float) -> bool:
        return costs_less_than_comparing(manifest, results, since_spare, prices, int(seconds_of_copy * COMPARED_PACE))

    assert cheaper(prices, 0.001)  # nothing that is not made anyway
    assert cheaper(both, 2.1)
    assert not cheaper(both, 1.9)


def test_a_file_system_without_hard_links_keeps_no_spare(
    keeping: Warehouse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    spare = Spare(tmp_path / "spare" / "warehouse.duckdb", worth_keeping=0)
    spare.keep(keeping.path)
    assert not spare.path.exists()
    assert duckdb.connect(str(keeping.path), read_only=True).execute("select 1").fetchall() == [(1,)]
