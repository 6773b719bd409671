"""A day of portfolios stands on the day before it, whatever version of the code made that one."""

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from portfolio_pipelines.assets import performance
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.partitions import PartitionWriter
from portfolio_pipelines.tables import PARTITION_LOG_SCHEMA, PORTFOLIO_PERFORMANCE

FIRST = date(2025, 1, 30)
SECOND = FIRST + timedelta(days=1)
ROWS = pl.DataFrame({"user_key": [1]})


def test_a_day_made_by_new_code_upon_one_of_old_code_is_made_again_with_that_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = [PARTITION_LOG_SCHEMA.to_frame()]

    def run(version: str, days: list[date]) -> list[date]:
        """What `portfolio_performance` does of its days: which of them it computes."""
        monkeypatch.setattr(performance, "PORTFOLIOS_VERSION", version)
        newest = pl.concat(log).unique("partition", keep="last", maintain_order=True)
        writer = PartitionWriter(Lake(tmp_path), "run", lambda _table: newest, log.append)
        before, inputs = writer.inputs(PORTFOLIO_PERFORMANCE, days[0] - timedelta(days=1)), {}
        for day in days:
            before = inputs[day] = performance.portfolio_inputs(writer, day, "made", before)
        changed = [day for day in days if not writer.is_current(PORTFOLIO_PERFORMANCE, day, inputs[day], version)]
        for day in changed:
            writer.write(PORTFOLIO_PERFORMANCE, day, ROWS, inputs[day], version)
        writer.close()
        return changed

    assert run("old", [FIRST, SECOND]) == [FIRST, SECOND]
    assert run("new", [SECOND]) == [SECOND]  # the running day alone: its track record is the old code's
    assert run("new", [FIRST, SECOND]) == [FIRST, SECOND]
    assert run("new", [FIRST, SECOND]) == []
