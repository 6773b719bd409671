"""Arrays of the computation and frames of the lake say the same, in both directions."""

from datetime import date

import numpy as np
import polars as pl
from numpy.testing import assert_array_equal

from portfolio_pipelines.assets.frames import (
    frame_of_investments,
    frame_of_portfolios,
    investments_of,
    track_record_of,
)
from portfolio_pipelines.finance.returns import TrackRecord, chain_day
from portfolio_pipelines.finance.valuation import EPOCH, DayValues, PortfolioValues
from portfolio_pipelines.tables import INVESTMENT_PERFORMANCE_SCHEMA, PORTFOLIO_PERFORMANCE_SCHEMA

NAN = float("nan")


def values() -> DayValues:
    return DayValues(
        user_key=np.array([1, 1, 2], np.int32),
        investment_key=np.array([10, 11, 20], np.int32),
        invested_usd=np.array([100.0, 50.0, 25.0]),
        value_usd=np.array([120.0, NAN, 0.5]),
        stale_usd=np.array([0.0, 0.0, 0.5]),
        missing_usd=np.array([0.0, 50.0, 0.0]),
        unpriced_legs=np.array([0, 1, 0], np.int16),
        final=np.array([True, False, True]),
    )


def portfolios(value: list[float]) -> PortfolioValues:
    size = len(value)
    return PortfolioValues(
        user_key=np.arange(1, size + 1, dtype=np.int32),
        invested_usd=np.full(size, 100.0),
        value_usd=np.array(value),
        stale_usd=np.zeros(size),
        missing_usd=np.zeros(size),
        unpriced_legs=np.isnan(np.array(value)).astype(np.int32),
        final=np.ones(size, bool),
    )


def without_date(schema: pl.Schema) -> pl.Schema:
    return pl.Schema({name: kind for name, kind in schema.items() if name != "date"})


def test_investments_come_back_as_they_were() -> None:
    before = values()
    frame = frame_of_investments(before)
    assert frame.schema == without_date(INVESTMENT_PERFORMANCE_SCHEMA)
    after = investments_of(frame)
    for name in DayValues.__slots__:
        assert_array_equal(getattr(before, name), getattr(after, name), err_msg=name)


def test_an_unknown_value_is_null_in_the_lake_and_neither_nan_nor_0() -> None:
    column = frame_of_investments(values())["value_usd"]
    assert column.to_list() == [120.0, None, 0.5]


def test_no_investment_at_all_is_an_empty_frame_with_every_column() -> None:
    empty = investments_of(pl.DataFrame(schema=INVESTMENT_PERFORMANCE_SCHEMA))
    frame = frame_of_investments(empty)
    assert frame.is_empty()
    assert frame.schema == without_date(INVESTMENT_PERFORMANCE_SCHEMA)


def test_a_track_record_is_handed_on_through_the_lake_unchanged() -> None:
    today, nothing = date(2024, 3, 1), np.zeros(3)
    day = (today - EPOCH).days
    first = chain_day(TrackRecord.new(3), day, np.array([100.0, NAN, 50.0]), np.array([100.0, 100.0, 50.0]), nothing)
    frame = frame_of_portfolios(portfolios([100.0, NAN, 50.0]), np.array([100.0, 100.0, 50.0]), nothing, first)
    assert frame.schema == without_date(PORTFOLIO_PERFORMANCE_SCHEMA)
    read = track_record_of(frame, today)
    for name in TrackRecord.__slots__:
        assert_array_equal(getattr(first.track, name), getattr(read, name), err_msg=name)
    tomorrow = np.array([110.0, 90.0, NAN])
    direct, through = (chain_day(track, day + 1, tomorrow, nothing, nothing) for track in (first.track, read))
    assert_array_equal(direct.daily_return, through.daily_return)
    assert_array_equal(direct.twr_index, through.twr_index)
    second = frame_of_portfolios(portfolios([110.0, 90.0, NAN]), nothing, nothing, through)
    carried = second.select("track_index", "track_value_usd", "track_date", "track_inflow_usd", "track_outflow_usd")
    assert carried.row(0) == carried.row(1) == (None,) * 5, "a complete day says itself where its chain stands"
    assert carried.row(2) == (1.0, 50.0, today, 0.0, 0.0)
    after = track_record_of(second, date(2024, 3, 2))
    for name in TrackRecord.__slots__:
        assert_array_equal(getattr(through.track, name), getattr(after, name), err_msg=name)


def test_a_portfolio_that_was_never_complete_has_no_day_of_a_track_record() -> None:
    nothing = np.zeros(1)
    linked = chain_day(TrackRecord.new(1), (date(2024, 3, 1) - EPOCH).days, np.array([NAN]), nothing, nothing)
    frame = frame_of_portfolios(portfolios([NAN]), nothing, nothing, linked)
    assert frame.select("track_date", "daily_return", "twr_index", "value_usd").row(0) == (None, None, None, None)


def test_no_portfolio_is_an_empty_track_record() -> None:
    empty = track_record_of(pl.DataFrame(schema=PORTFOLIO_PERFORMANCE_SCHEMA), date(2024, 3, 1))
    assert len(empty.day) == 0
