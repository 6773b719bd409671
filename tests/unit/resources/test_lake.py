"""The lake: one file a day, replaced whole, left alone when nothing changed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from portfolio_pipelines.resources import lake as lake_module
from portfolio_pipelines.resources.files import appears_whole
from portfolio_pipelines.resources.lake import Lake

DAY = date(2024, 3, 6)
TABLE = "core/things"
SCHEMA = pl.Schema({"name": pl.String(), "date": pl.Date(), "usd": pl.Float64()})
ROWS = pl.DataFrame({"name": ["a", "b"], "usd": [1.0, None]})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def test_what_was_written_is_read_with_its_day(lake: Lake) -> None:
    lake.replace(TABLE, DAY, ROWS)
    assert_frame_equal(
        lake.read(TABLE, [DAY], SCHEMA), ROWS.with_columns(date=pl.lit(DAY)).select("name", "date", "usd")
    )
    assert lake.path(TABLE, DAY).relative_to(lake.root).as_posix() == "core/things/date=2024-03-06/data.parquet"


def test_days_are_read_in_order_once_each_and_absent_ones_add_nothing(lake: Lake) -> None:
    days = [DAY + timedelta(days=n) for n in range(3)]
    for number, day in enumerate(days[:2]):
        lake.replace(TABLE, day, ROWS.with_columns(usd=pl.lit(float(number))))
    read = lake.read(TABLE, [days[2], days[1], days[0], days[1]], SCHEMA)
    assert read["date"].to_list() == [days[0], days[0], days[1], days[1]]
    assert lake.days(TABLE) == set(days[:2])


@pytest.mark.parametrize("columns", [["usd"], ["usd", "name"], ["date"], ["date", "name"]])
def test_some_columns_are_read_in_the_order_asked_for(lake: Lake, columns: list[str]) -> None:
    lake.replace(TABLE, DAY, ROWS)
    read = lake.read(TABLE, [DAY], SCHEMA, columns)
    assert (read.columns, read.height) == (columns, 2)


def test_a_table_that_was_never_written_is_empty_and_typed(lake: Lake) -> None:
    assert lake.read(TABLE, [DAY], SCHEMA).schema == SCHEMA
    assert lake.read_table(TABLE, SCHEMA).schema == SCHEMA
    assert lake.days(TABLE) == set()


def test_a_file_without_a_wanted_column_is_an_error(lake: Lake) -> None:
    lake.replace(TABLE, DAY, ROWS.drop("usd"))
    with pytest.raises(pl.exceptions.PolarsError, match="usd"):
        lake.read(TABLE, [DAY], SCHEMA)


def test_a_column_that_only_some_files_have_is_passed_over_unless_it_is_wanted(lake: Lake) -> None:
    days = [DAY + timedelta(days=n) for n in range(2)]
    lake.replace(TABLE, days[0], ROWS.with_columns(later=pl.lit("new")))
    lake.replace(TABLE, days[1], ROWS)
    assert lake.read(TABLE, days, SCHEMA)["name"].to_list() == ["a", "b", "a", "b"]
    with pytest.raises(pl.exceptions.PolarsError, match="later"):
        lake.read(TABLE, days, pl.Schema({**SCHEMA, "later": pl.String()}))


def test_a_home_whose_name_looks_like_a_partition_or_a_pattern_is_read_all_the_same(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "env=prod" / "date=old" / "[a]*")
    days = [DAY + timedelta(days=n) for n in range(3)]
    for day, rows in zip(days, [ROWS, ROWS.clear(), ROWS.head(1)], strict=True):
        lake.replace(TABLE, day, rows)
    assert lake.read(TABLE, days, SCHEMA)["date"].to_list() == [days[0], days[0], days[2]]


def test_days_are_read_one_by_one_in_the_order_asked_for_also_many_and_absent_ones(lake: Lake) -> None:
    days = [DAY + timedelta(days=n) for n in range(25)]
    for number, day in enumerate(days[:20]):
        lake.replace(TABLE, day, ROWS.with_columns(usd=pl.lit(float(number))))
    frames = list(lake.read_each(TABLE, reversed(days), SCHEMA))
    assert [frame["usd"].to_list() for frame in frames] == [[]] * 5 + [[float(n)] * 2 for n in reversed(range(20))]
    assert all(frame.schema == {"name": pl.String, "usd": pl.Float64} for frame in frames)
    assert next(lake.read_each(TABLE, days, SCHEMA, ["date", "usd"])).columns == ["usd"]


def test_replacing_a_day_replaces_it_whole(lake: Lake) -> None:
    lake.replace(TABLE, DAY, ROWS)
    lake.replace(TABLE, DAY, ROWS.head(1))
    assert lake.read(TABLE, [DAY], SCHEMA).height == 1
    lake.replace(TABLE, DAY, ROWS.clear())
    assert lake.read(TABLE, [DAY], SCHEMA).is_empty()


def test_the_same_input_gives_the_same_bytes(lake: Lake, tmp_path: Path) -> None:
    other = Lake(tmp_path / "other")
    first, second = lake.replace(TABLE, DAY, ROWS), other.replace(TABLE, DAY, ROWS)
    assert first == second
    assert lake.path(TABLE, DAY).read_bytes() == other.path(TABLE, DAY).read_bytes()


def test_a_file_that_already_holds_these_bytes_is_left_alone(lake: Lake) -> None:
    content, changed = lake.replace(TABLE, DAY, ROWS)
    assert changed
    path = lake.path(TABLE, DAY)
    os.utime(path, ns=(1, 1))
    assert lake.replace(TABLE, DAY, ROWS) == (content, False)
    assert path.stat().st_mtime_ns == 1
    assert lake.replace(TABLE, DAY, ROWS.reverse())[1]
    assert path.stat().st_mtime_ns != 1


def test_a_damaged_file_of_the_same_length_is_written_again(lake: Lake) -> None:
    lake.replace(TABLE, DAY, ROWS)
    path = lake.path(TABLE, DAY)
    whole = path.read_bytes()
    path.write_bytes(whole[:20] + bytes([whole[20] ^ 1]) + whole[21:])
    assert lake.replace(TABLE, DAY, ROWS)[1]
    assert path.read_bytes() == whole


def test_a_table_without_days_follows_the_same_rules(lake: Lake) -> None:
    table = ROWS.with_columns(date=pl.lit(DAY)).select("name", "date", "usd")
    assert lake.replace_table(TABLE, table)[1]
    assert not lake.replace_table(TABLE, table)[1]
    assert_frame_equal(lake.read_table(TABLE, SCHEMA), table)


def test_an_error_while_writing_leaves_the_old_day(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.replace(TABLE, DAY, ROWS)

    @contextmanager
    def breaks_down(target: Path) -> Iterator[Path]:
        with appears_whole(target) as beside:
            yield beside
            raise OSError("disk full")  # noqa: EM101

    monkeypatch.setattr(lake_module, "appears_whole", breaks_down)
    with pytest.raises(OSError, match="disk full"):
        lake.replace(TABLE, DAY, ROWS.head(1))
    assert lake.read(TABLE, [DAY], SCHEMA).height == 2
    assert [path.name for path in lake.path(TABLE, DAY).parent.iterdir()] == ["data.parquet"]


def test_readers_never_see_a_file_that_is_being_written(lake: Lake) -> None:
    later = DAY + timedelta(days=1)
    lake.replace(TABLE, DAY, ROWS)
    with appears_whole(lake.path(TABLE, later)) as beside:
        beside.write_bytes(b"half a file")
        assert lake.days(TABLE) == {DAY}
        assert lake.read(TABLE, [DAY, later], SCHEMA).height == 2
        everything = lake.root / TABLE / "**" / "*.parquet"  # how the warehouse looks at a table
        assert pl.read_parquet(everything, hive_partitioning=True).height == 2
        beside.write_bytes(lake.path(TABLE, DAY).read_bytes())
    assert lake.days(TABLE) == {DAY, later}
