"""Between the arrays that `finance` computes with and the frames that the lake stores: NaN there is null here."""

from datetime import date

import numpy as np
import polars as pl

from portfolio_pipelines.finance.returns import DayOfReturns, TrackRecord
from portfolio_pipelines.finance.valuation import EPOCH, DayValues, PortfolioValues
from portfolio_pipelines.tables import INVESTMENT_PERFORMANCE_SCHEMA, PORTFOLIO_PERFORMANCE_SCHEMA


def frame_of_investments(values: DayValues) -> pl.DataFrame:
    """Rows of INVESTMENT_PERFORMANCE_SCHEMA without the date."""
    return _frame(
        {
            "user_key": values.user_key,
            "investment_key": values.investment_key,
            "invested_usd": values.invested_usd,
            "value_usd": values.value_usd,
            "stale_usd": values.stale_usd,
            "missing_usd": values.missing_usd,
            "unpriced_legs": values.unpriced_legs,
            "is_final": values.final,
        },
        INVESTMENT_PERFORMANCE_SCHEMA,
    )


def investments_of(frame: pl.DataFrame) -> DayValues:
    """One day of INVESTMENT_PERFORMANCE_SCHEMA as arrays."""
    return DayValues(
        user_key=frame["user_key"].to_numpy(),
        investment_key=frame["investment_key"].to_numpy(),
        invested_usd=frame["invested_usd"].to_numpy(),
        value_usd=_floats(frame, "value_usd"),
        stale_usd=frame["stale_usd"].to_numpy(),
        missing_usd=frame["missing_usd"].to_numpy(),
        unpriced_legs=frame["unpriced_legs"].to_numpy(),
        final=frame["is_final"].to_numpy(),
    )


def frame_of_portfolios(
    values: PortfolioValues, flow_in: np.ndarray, flow_out: np.ndarray, linked: DayOfReturns
) -> pl.DataFrame:
    """Rows of PORTFOLIO_PERFORMANCE_SCHEMA without the date."""
    track = linked.track
    carried = {
        "track_index": track.index,
        "track_value_usd": track.value_usd,
        "track_date": np.where(track.day < 0, np.nan, track.day),
        "track_inflow_usd": track.inflow_usd,
        "track_outflow_usd": track.outflow_usd,
    }
    waits = np.isnan(linked.twr_index)  # else the day itself says where its chain stands
    nothing = pl.repeat(None, len(waits), dtype=pl.Float64, eager=True)
    return _frame(
        {
            "user_key": values.user_key,
            "invested_usd": values.invested_usd,
            "value_usd": values.value_usd,
            "stale_usd": values.stale_usd,
            "missing_usd": values.missing_usd,
            "unpriced_legs": values.unpriced_legs,
            "flow_in_usd": flow_in,
            "flow_out_usd": flow_out,
            "daily_return": linked.daily_return,
            "twr_index": linked.twr_index,
            **{name: np.where(waits, state, np.nan) if waits.any() else nothing for name, state in carried.items()},
            "is_final": values.final,
        },
        PORTFOLIO_PERFORMANCE_SCHEMA,
    )


def track_record_of(frame: pl.DataFrame, day: date) -> TrackRecord:
    """The state that one day of PORTFOLIO_PERFORMANCE_SCHEMA hands on."""
    index = _floats(frame, "twr_index")
    waits = np.isnan(index)

    def state(name: str, of_the_day: np.ndarray | float) -> np.ndarray:
        return np.where(waits, _floats(frame, name), of_the_day)

    number = frame["track_date"].cast(pl.Int32).fill_null(-1).to_numpy()
    return TrackRecord(
        index=state("track_index", index),
        value_usd=state("track_value_usd", _floats(frame, "value_usd")),
        day=np.where(waits, number, (day - EPOCH).days).astype(np.int32),
        inflow_usd=state("track_inflow_usd", 0.0),
        outflow_usd=state("track_outflow_usd", 0.0),
    )


def _frame(columns: dict[str, np.ndarray | pl.Series], schema: pl.Schema) -> pl.DataFrame:
    frame = pl.DataFrame(columns, nan_to_null=True)
    others = pl.Schema({name: schema[name] for name, kind in frame.schema.items() if kind != schema[name]})
    return frame.cast(others) if others else frame


def _floats(frame: pl.DataFrame, column: str) -> np.ndarray:
    values = frame[column]
    return (values.fill_null(float("nan")) if values.null_count() else values).to_numpy()
