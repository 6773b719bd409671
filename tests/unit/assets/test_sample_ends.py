"""The sample market ends with the first real answer, which may come in the middle of a run."""

from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import polars as pl
import pytest

from portfolio_pipelines.assets.prices import raw_quotes
from portfolio_pipelines.market.quotes import QUOTES
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.partitions import PartitionWriter
from portfolio_pipelines.tables import PARTITION_LOG_SCHEMA, RAW_QUOTES


class Database:
    def __init__(self, invented: int) -> None:
        self.invented = invented

    def sample_legs(self) -> Any:
        return SimpleNamespace(legs=self.invented)

    def writer(self, lake: Lake, run_id: str) -> Any:
        nothing = PARTITION_LOG_SCHEMA.to_frame()
        return closing(PartitionWriter(lake, run_id, lambda _table: nothing, lambda _rows: None))


class Market:
    """A sample market whose providers answer in this very run, or do not."""

    def __init__(self, *, answers: bool) -> None:
        self.is_sample, self.answers = True, answers

    def refresh(self, *_: object, **__: object) -> Any:
        self.is_sample = not self.answers
        return SimpleNamespace(is_sample=self.is_sample, asked=1)

    def quotes(self, _days: object) -> pl.DataFrame:
        return QUOTES.to_frame()


def run(folder: Path, market: Market, invented: int) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [raw_quotes],
        partition_key="2025-01-30",
        resources={"lake": Lake(folder), "database": Database(invented), "market": market},
        instance=dg.DagsterInstance.ephemeral(),
        raise_on_error=False,
    )


def test_investments_that_were_read_before_real_prices_came_are_not_valued_at_them(tmp_path: Path) -> None:
    result = run(tmp_path, Market(answers=True), invented=3)
    assert not result.success
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    assert "3 of their quantities rest on the sample market" in str(failed.step_failure_data.user_failure_data)
    assert not Lake(tmp_path).days(RAW_QUOTES)


@pytest.mark.parametrize(("answers", "invented"), [(True, 0), (False, 3)])
def test_the_run_goes_on_where_nothing_is_invented_or_the_sample_market_stays(
    answers: bool, invented: int, tmp_path: Path
) -> None:
    assert run(tmp_path, Market(answers=answers), invented).success
    assert Lake(tmp_path).days(RAW_QUOTES)
