"""Between the arrays that `finance` computes with and the frames that the lake stores: NaN there is null here."""

import numpy as np
import polars as pl

from portfolio_pipelines.finance.returns import DayOfReturns, TrackRecord
from portfolio_pipelines.finance.valuation import DayValues, PortfolioValues
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
    known_day = pl.Series(track.day, dtype=pl.Int32)
    frame = _frame(
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
            "track_index": track.index,
            "track_value_usd": track.value_usd,
            "track_date": known_day,
            "track_inflow_usd": track.inflow_usd,
            "track_outflow_usd": track.outflow_usd,
            "is_final": values.final,
        },
        PORTFOLIO_PERFORMANCE_SCHEMA,
    )
    return frame.with_columns(pl.when(known_day >= 0).then(known_day.cast(pl.Date)).alias("track_date"))


def track_record_of(frame: pl.DataFrame) -> TrackRecord:
    """The state that one day of PORTFOLIO_PERFORMANCE_SCHEMA hands on."""
    return TrackRecord(
        index=frame["track_index"].to_numpy(),
        value_usd=_floats(frame, "track_value_usd"),
        day=frame["track_date"].cast(pl.Int32).fill_null(-1).to_numpy(),
        inflow_usd=frame["track_inflow_usd"].to_numpy(),
        outflow_usd=frame["track_outflow_usd"].to_numpy(),
    )


def _frame(columns: dict[str, np.ndarray | pl.Series], schema: pl.Schema) -> pl.DataFrame:
    frame = pl.DataFrame(columns, nan_to_null=True)
    return frame.cast({name: schema[name] for name in frame.columns if name != "track_date"})


def _floats(frame: pl.DataFrame, column: str) -> np.ndarray:
    return frame[column].fill_null(float("nan")).to_numpy()
