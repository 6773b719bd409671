"""What fails stops before it is served: the old marts stay, byte for byte, and the message says which check failed."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

DAY = date(2024, 4, 20)


def spoil(home: Any, table: str, day: date, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Path:
    """Write another content into a partition, as no program of ours would."""
    path: Path = home.home / "lake" / table / f"date={day}" / "data.parquet"
    change(pl.read_parquet(path)).write_parquet(path)
    return path


def one_dollar_more(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col("value_usd") + 1)


@pytest.fixture(scope="module")
def spoilt(install: Callable[..., Any], built: Any, world: tuple[date, ...]) -> Any:
    """Portfolios of one day are a dollar more than their investments; then the marts are brought up to date."""
    home = install("spoilt", like=built)
    home.warehouse = home.home / "warehouse.duckdb"
    home.before = home.warehouse.read_bytes()
    home.served = home.sql("select * from marts.portfolio_performance_daily order by 1, 2")
    home.path = spoil(home, "core/portfolio_performance", DAY, one_dollar_more)
    home.message = home.refuses("run", "--to", world[1])
    return home


def test_a_failing_test_of_the_marts_is_named_with_its_rows_and_what_to_do(spoilt: Any) -> None:
    assert "the previous warehouse stays" in spoilt.message
    assert "investments_add_up" in spoilt.message
    assert str(DAY) in spoilt.message
    assert "portfolio ui" in spoilt.message


def test_the_old_marts_stay_byte_for_byte_and_answer(spoilt: Any) -> None:
    assert spoilt.warehouse.read_bytes() == spoilt.before
    assert not (spoilt.home / ".warehouse.build").exists()
    assert spoilt.row("select count(*) as n from portfolio_performance_daily")["n"] > 0
    assert spoilt.sql("select * from marts.portfolio_performance_daily order by 1, 2") == spoilt.served


def test_the_failed_run_is_recorded_as_failed(spoilt: Any) -> None:
    assert spoilt.runs()[-1][1:] == ("serve", "FAILURE")


def test_the_operators_are_told_of_the_failed_run_once(spoilt: Any) -> None:
    run, _, _ = spoilt.runs()[-1]
    told = "select key, title, user_key from app.outbox_messages"
    assert spoilt.sql(told) == [(f"failed-run:{run}", "Run of serve failed", None)]
    assert spoilt.sql("select run_id, job from app.failed_runs") == [(run, "serve")]
    assert "investments_add_up" in spoilt.sql("select text from app.outbox_messages")[0][0]


def test_a_blocking_check_of_a_table_stops_everything_downstream(spoilt: Any, world: tuple[date, ...]) -> None:
    (spoilt.home / "lake/core/benchmarks_daily" / f"date={DAY}" / "data.parquet").unlink()  # makes the day due
    message = spoilt.refuses("backfill", "--from", world[0], "--to", world[1], "--only-missing")
    assert "portfolios_are_the_sum_of_their_investments" in message
    assert f"{DAY}: " in message
    assert spoilt.runs()[-1][1:] == ("daily", "FAILURE")
    assert spoilt.warehouse.read_bytes() == spoilt.before
    verdict = spoilt.sql(
        "select passed from app.check_results where check_name = 'portfolios_are_the_sum_of_their_investments'"
        " order by checked_at desc limit 1"
    )
    assert verdict == [(False,)]


def test_a_spoilt_file_is_healed_by_deleting_it(spoilt: Any, built: Any, world: tuple[date, ...]) -> None:
    spoilt.path.unlink()
    spoilt.does("backfill", "--from", world[0], "--to", world[1], "--only-missing")
    assert spoilt.lake() == built.lake()
    assert spoilt.marts() == built.marts()


def test_a_file_that_cannot_be_read_is_named_and_nothing_is_served_from_it(
    spoilt: Any, world: tuple[date, ...]
) -> None:
    before = spoilt.warehouse.read_bytes()
    path = spoilt.home / "lake/core/prices_daily" / f"date={DAY}" / "data.parquet"
    path.write_bytes(b"not a table")
    message = spoilt.refuses("run", "--to", world[1])
    assert str(DAY) in message
    assert spoilt.warehouse.read_bytes() == before
