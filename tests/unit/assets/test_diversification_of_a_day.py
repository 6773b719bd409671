from datetime import date
from pathlib import Path

import polars as pl
import pytest

from portfolio_pipelines.assets.diversification import _Known
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.tables import INVESTMENT_LEGS, INVESTMENT_LEGS_SCHEMA

DAY = date(2026, 1, 31)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def test_a_month_end_before_the_first_investment_has_no_rows(lake: Lake) -> None:
    spread, pairs = _Known(lake, [DAY]).of(DAY)
    assert spread.is_empty()
    assert pairs.is_empty()


def test_what_nobody_prices_on_the_day_is_counted_and_spread_over_nothing(lake: Lake) -> None:
    row = {
        "user_key": 1,
        "investment_key": 1,
        "invested_on": date(2026, 1, 1),
        "asset_id": "coingecko:x",
        "quantity": 2.0,
    }
    columns = {name: [row.get(name)] for name in INVESTMENT_LEGS_SCHEMA}
    lake.replace_table(INVESTMENT_LEGS, pl.DataFrame(columns, schema=INVESTMENT_LEGS_SCHEMA))
    spread, _ = _Known(lake, [DAY]).of(DAY)
    assert spread.select("user_key", "hhi", "top_share", "n_assets", "unpriced_assets").rows() == [
        (1, None, None, 0, 1)
    ]
