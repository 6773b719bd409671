"""What is known of the investments of each day, so that a correction restates no day before it."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from portfolio_pipelines.assets.operational import CODE_VERSION, write_copy, write_investment_days
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.partitions import PartitionWriter
from portfolio_pipelines.tables import (
    INVESTMENT_DAYS,
    INVESTMENT_DAYS_SCHEMA,
    INVESTMENT_LEGS,
    INVESTMENT_LEGS_SCHEMA,
    PARTITION_LOG_SCHEMA,
)

FIRST, SECOND = date(2024, 3, 1), date(2024, 3, 2)
LEGS = pl.DataFrame(
    [
        (1, 10, "alice", "a", FIRST, "coingecko:bitcoin", 100.0, 0.002, "given", None),
        (1, 10, "alice", "a", FIRST, "coingecko:ethereum", 50.0, 0.02, "given", None),
        (2, 20, "bob", "b", FIRST, "coingecko:bitcoin", 70.0, 0.0014, "given", None),
        (2, 21, "bob", "c", SECOND, "coingecko:bitcoin", 70.0, 0.0014, "derived", "file"),
    ],
    schema=INVESTMENT_LEGS_SCHEMA,
    orient="row",
)


def fingerprints(legs: pl.DataFrame, folder: Path) -> dict[date, str]:
    lake = Lake(folder)
    writer = PartitionWriter(lake, "run", lambda _table: PARTITION_LOG_SCHEMA.to_frame(), lambda _rows: None)
    write_investment_days(writer, legs, "state")
    writer.close()
    assert writer.is_current(INVESTMENT_DAYS, None, "state", CODE_VERSION)
    return dict(lake.read_table(INVESTMENT_DAYS, INVESTMENT_DAYS_SCHEMA).iter_rows())


def changed(column: str, value: object) -> pl.DataFrame:
    """The same legs with another value in the last one."""
    last = pl.int_range(pl.len()) == LEGS.height - 1
    return LEGS.with_columns(pl.when(last).then(pl.lit(value)).otherwise(column).cast(LEGS[column].dtype).alias(column))


@pytest.mark.parametrize(
    ("column", "value"),
    [("quantity", 0.0014000000001), ("amount_usd", 70.01), ("asset_id", "coingecko:solana"), ("user_key", 1)],
)
def test_what_a_value_rests_on_changes_its_day_and_no_other(column: str, value: object, tmp_path: Path) -> None:
    before, after = fingerprints(LEGS, tmp_path), fingerprints(changed(column, value), tmp_path)
    assert after[FIRST] == before[FIRST]
    assert after[SECOND] != before[SECOND]


def test_the_order_of_rows_and_the_names_that_people_give_are_of_no_account(tmp_path: Path) -> None:
    before = fingerprints(LEGS, tmp_path)
    assert fingerprints(LEGS.reverse(), tmp_path) == before
    assert fingerprints(changed("investment_id", "renamed"), tmp_path) == before


def test_a_leg_that_moves_to_another_day_changes_both(tmp_path: Path) -> None:
    before, after = fingerprints(LEGS, tmp_path), fingerprints(changed("invested_on", FIRST), tmp_path)
    assert after.keys() == {FIRST}
    assert after[FIRST] != before[FIRST]


def test_legs_whose_days_could_not_be_written_are_not_current_so_that_the_next_run_restates_their_days(
    tmp_path: Path,
) -> None:
    class FullDisk(Lake):
        @staticmethod
        def place(path: Path, data: bytes) -> bool:
            if INVESTMENT_DAYS in path.as_posix():
                raise OSError(28, "No space left on device")
            return Lake.place(path, data)

    log = [PARTITION_LOG_SCHEMA.to_frame()]

    def writer(lake: Lake) -> PartitionWriter:
        return PartitionWriter(lake, "run", lambda table: pl.concat(log).filter(table=table), log.append)

    failing = writer(FullDisk(tmp_path))
    write_copy(failing, INVESTMENT_LEGS, LEGS, "state")
    with pytest.raises(OSError, match="No space left"):
        failing.close()

    following = writer(Lake(tmp_path))
    assert not following.is_current(INVESTMENT_LEGS, None, "state", CODE_VERSION)
    write_copy(following, INVESTMENT_LEGS, LEGS, "state")
    following.close()
    assert following.is_current(INVESTMENT_LEGS, None, "state", CODE_VERSION)
    assert following.is_current(INVESTMENT_DAYS, None, "state", CODE_VERSION)
