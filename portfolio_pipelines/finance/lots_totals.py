"""Profit and loss of whole ledgers at the close of each day. No I/O, no clock, no Dagster.

Belongs here: adding up what lots and transactions say. What is held is worth quantity times close; what has no close
counts in no value and in no unrealised gain: its cost stands beside them.

    realised + income − expense + unrealised = value + cost of what is unpriced + paid out + left − paid in
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Final

import polars as pl

from portfolio_pipelines.finance.lots import Flag, Kind
from portfolio_pipelines.finance.transactions import USD

LEDGER: Final = ["user_key", "scope", "method"]
SUMS: Final = ("realised_usd", "income_usd", "expense_usd", "paid_in_usd", "paid_out_usd", "left_usd")
TOTALS: Final = pl.Schema(
    {
        "user_key": pl.Int32(),
        "scope": pl.String(),
        "method": pl.String(),
        "value_usd": USD,  # of what has a close
        "cost_usd": USD,  # of everything that is open
        "unpriced_cost_usd": USD,  # of what has no close
        "unrealised_usd": USD,
        "realised_usd": USD,  # proceeds − cost of disposals since the beginning
        "income_usd": USD,
        "expense_usd": USD,
        "paid_in_usd": USD,
        "paid_out_usd": USD,
        "left_usd": USD,  # cost of what went to an unknown place
        "unpriced_assets": pl.Int32(),
        "incomplete_uses": pl.Int32(),  # disposals that rest on something missing, unpriced or of unknown source
    }
)
_OPEN: Final = [*LEDGER, "asset_id"]
_REALISING: Final = [int(Kind.DISPOSE), int(Kind.ACQUIRE)]
_INCOMPLETE: Final = int(Flag.MISSING | Flag.UNPRICED | Flag.UNKNOWN_SOURCE)


def daily_totals(
    entries: pl.DataFrame,
    uses: pl.DataFrame,
    values: pl.DataFrame,
    closes: Mapping[date, Mapping[str, float]],
    days: Sequence[date],
) -> Iterator[tuple[date, pl.DataFrame]]:
    """TOTALS of each day.

    Args:
        entries: Schema `lots_ledger.ENTRIES`, of all days up to the last of `days`.
        uses: Schema `lots_ledger.USES`, likewise.
        values: Schema `lots_ledger.TRANSACTION_VALUES`, likewise.
        closes: For each of `days` the usable closes by asset, USD.
        days: Ascending.
    """
    ledgers = entries.select("scope", "method").unique()
    held, flows = _held(entries, uses), _flows(uses, values, ledgers)
    open_now, sums_now = held.clear().drop("day"), flows.clear().drop("day")
    begin = date.min
    for day in days:
        span = pl.col("day").is_between(begin, day, closed="right") if begin != date.min else pl.col("day") <= day
        open_now = _summed([open_now, held.filter(span).drop("day")], _OPEN).filter(
            (pl.col("quantity") != 0) | (pl.col("cost_usd") != 0)
        )
        sums_now = _summed([sums_now, flows.filter(span).drop("day")], LEDGER)
        begin = day
        yield day, _totals(open_now, sums_now, closes[day])


def _held(entries: pl.DataFrame, uses: pl.DataFrame) -> pl.DataFrame:
    left = uses.select(*_OPEN, "day", -pl.col("quantity"), -pl.col("cost_usd"))
    return _summed([entries.select(*_OPEN, "day", "quantity", "cost_usd"), left], [*_OPEN, "day"])


def _flows(uses: pl.DataFrame, values: pl.DataFrame, ledgers: pl.DataFrame) -> pl.DataFrame:
    nothing = pl.lit(0).cast(USD)
    gone = pl.col("kind") == int(Kind.LEAVE)
    sold = pl.col("kind").is_in(_REALISING)
    by_lots = uses.select(
        *LEDGER,
        "day",
        realised_usd=pl.when(sold).then(pl.col("proceeds_usd") - pl.col("cost_usd")).otherwise(nothing),
        **dict.fromkeys(SUMS[1:5], nothing),
        left_usd=pl.when(gone).then("cost_usd").otherwise(nothing),
        incomplete_uses=(sold & (pl.col("flags") & _INCOMPLETE != 0)).cast(pl.Int64),
    )
    by_rows = (
        values.select("user_key", "day", *SUMS[1:5])
        .join(ledgers, how="cross")
        .select(
            *LEDGER,
            "day",
            realised_usd=nothing,
            **{name: pl.col(name) for name in SUMS[1:5]},
            left_usd=nothing,
            incomplete_uses=pl.lit(0, pl.Int64),
        )
    )
    return _summed([by_lots, by_rows], [*LEDGER, "day"])


def _summed(frames: list[pl.DataFrame], keys: list[str]) -> pl.DataFrame:
    return pl.concat(frames).group_by(keys).agg(pl.all().sum())


def _totals(held: pl.DataFrame, flows: pl.DataFrame, closes: Mapping[str, float]) -> pl.DataFrame:
    known = pl.DataFrame({"asset_id": list(closes), "close": list(closes.values())}, schema=_CLOSES)
    priced = held.join(known, on="asset_id", how="left").with_columns(
        value=(pl.col("quantity").cast(pl.Float64) * pl.col("close")).round(8).cast(USD)
    )
    has_close = pl.col("close").is_not_null()
    nothing = pl.lit(0).cast(USD)
    worth = priced.group_by(LEDGER).agg(
        value_usd=pl.col("value").sum(),
        cost_usd=pl.col("cost_usd").sum(),
        unpriced_cost_usd=pl.when(has_close).then(nothing).otherwise("cost_usd").sum(),
        unpriced_assets=(~has_close).sum().cast(pl.Int32),
    )
    totals = flows.join(worth, on=LEDGER, how="left").with_columns(
        pl.col("value_usd", "cost_usd", "unpriced_cost_usd", "unpriced_assets").fill_null(0)
    )
    gain = pl.col("value_usd") - (pl.col("cost_usd") - pl.col("unpriced_cost_usd"))
    return totals.with_columns(unrealised_usd=gain).select(TOTALS.names()).cast(TOTALS).sort(LEDGER)


_CLOSES: Final = {"asset_id": pl.String, "close": pl.Float64}
