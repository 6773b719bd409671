"""The Great Expectations suites catch what they are for, and let null stand for 'cannot be known'."""

from datetime import date

import polars as pl
import pytest

from portfolio_pipelines.checks.expectations import PORTFOLIO_SUITE, PRICE_SUITE, with_provider
from portfolio_pipelines.resources.expectations import Suite, validate

DAY = date(2025, 1, 1)
PRICES = {"asset_id": ["a", "b"], "date": [DAY, DAY], "close_usd": [1.0, None], "status": ["ok", "no_source"],
          "provider": ["file", None]}  # fmt: skip
PORTFOLIOS = {"user_key": [1, 2], "invested_usd": [10.0, 20.0], "value_usd": [12.0, None], "stale_usd": [12.0, 0.0],
              "twr_index": [1.2, None]}  # fmt: skip


def failing(suite: Suite, good: dict[str, list[object]], **broken: list[object]) -> set[str]:
    frame = pl.DataFrame(good | broken)
    frame = with_provider(frame) if "provider" in frame.columns else frame
    return {name for name, passed, _ in validate(frame, suite) if not passed}


@pytest.mark.parametrize(("suite", "good"), [(PRICE_SUITE, PRICES), (PORTFOLIO_SUITE, PORTFOLIOS)])
def test_possible_rows_pass_and_an_unknown_figure_is_no_fault(suite: Suite, good: dict[str, list[object]]) -> None:
    assert failing(suite, good) == set()


@pytest.mark.parametrize(("suite", "good"), [(PRICE_SUITE, PRICES), (PORTFOLIO_SUITE, PORTFOLIOS)])
def test_a_day_without_rows_passes(suite: Suite, good: dict[str, list[object]]) -> None:
    assert [name for name, passed, _ in validate(pl.DataFrame(good).clear(), suite) if not passed] == []


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        ({"close_usd": [0.0, None]}, "price_is_positive"),
        ({"close_usd": [-1.0, None]}, "price_is_positive"),
        ({"status": ["fine", "ok"]}, "status_is_known"),
        ({"asset_id": ["a", "a"]}, "one_price_an_asset_and_day"),
        ({"asset_id": ["a", None]}, "asset_is_named"),
        ({"provider": [None, None]}, "provider_is_named"),
    ],
)
def test_an_impossible_price_is_named_by_its_check(broken: dict[str, list[object]], check: str) -> None:
    assert failing(PRICE_SUITE, PRICES, **broken) == {check}


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        ({"user_key": [1, 1]}, "one_row_a_portfolio"),
        ({"invested_usd": [0.0, 20.0]}, "something_is_invested"),
        ({"value_usd": [0.0, None], "stale_usd": [0.0, 0.0]}, "value_is_positive"),
        ({"stale_usd": [13.0, 0.0]}, "stale_part_is_part_of_the_value"),
        ({"twr_index": [-0.1, None]}, "index_is_positive"),
    ],
)
def test_an_impossible_portfolio_is_named_by_its_check(broken: dict[str, list[object]], check: str) -> None:
    assert failing(PORTFOLIO_SUITE, PORTFOLIOS, **broken) == {check}
