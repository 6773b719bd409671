"""Checks of ledgers before they become marts: the money adds up to the cent, and what is missing is said.

Belongs here: counting from the transactions themselves, beside the lots: quantities and flows are added up anew.
"""

from datetime import date
from typing import Final

import dagster as dg
import polars as pl

from portfolio_pipelines.assets.days import days_of
from portfolio_pipelines.checks.reporting import Details, verdict
from portfolio_pipelines.finance.lot_movements import SCOPES
from portfolio_pipelines.finance.lots import Flag, Kind
from portfolio_pipelines.finance.transactions import FIAT, QUANTITY
from portfolio_pipelines.finance.valuation import prices_by_day
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.tables import PRICES, PRICES_SCHEMA, SUCCESSIONS, SUCCESSIONS_SCHEMA
from portfolio_pipelines.transaction_tables import (
    LOT_ENTRIES,
    LOT_ENTRIES_SCHEMA,
    LOT_USES,
    LOT_USES_SCHEMA,
    PROFIT_AND_LOSS,
    PROFIT_AND_LOSS_SCHEMA,
    TRANSACTION_VALUES_SCHEMA,
    TRANSACTION_VALUES_TABLE,
    TRANSACTIONS,
    TRANSACTIONS_SCHEMA,
)

CENT: Final = 0.01
MOST_NAMED: Final = 10
LEDGER: Final = ["user_key", "scope", "method"]


@dg.asset_check(asset="profit_and_loss", blocking=True)
def realised_and_unrealised_add_up(
    context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake], database: dg.ResourceParam[Database]
) -> dg.AssetCheckResult:
    """Realised + unrealised = value + withdrawals − contributions, to the cent, in every ledger on every day.

    Value and flows are added up from the transactions, not from the lots.
    """
    off, compared, worst = [], 0, 0.0
    for day in days_of(context):
        differences = ledger_differences(lake, day)
        compared += differences.height
        largest = differences["difference"].abs().max() if differences.height else 0.0
        worst = max(worst, float(str(largest or 0.0)))
        wrong = differences.filter((pl.col("difference").abs() >= CENT) | pl.col("difference").is_null())
        off += [f"{day}: {row['scope']} {row['method']} {row['difference']} USD" for row in wrong.iter_rows(named=True)]
    details: Details = {
        "ledgers": compared,
        "largest_difference_usd": worst,
        "wrong": len(off),
        "first": "; ".join(off[:MOST_NAMED]),
    }
    return verdict(context, database, "profit_and_loss", "realised_and_unrealised_add_up", not off, details)


@dg.asset_check(asset="lot_entries")
def no_acquisition_is_missing(
    context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake], database: dg.ResourceParam[Database]
) -> dg.AssetCheckResult:
    """Everything that was sold was acquired before, and every deposit has a source; the mart ledger_questions asks."""
    entries = lake.read(LOT_ENTRIES, lake.days(LOT_ENTRIES), LOT_ENTRIES_SCHEMA)
    one = entries.filter((pl.col("scope") == "universal") & (pl.col("method") == "fifo"))
    missing = one.filter(pl.col("flags") & int(Flag.MISSING) != 0)
    unknown = one.filter(pl.col("flags") & int(Flag.UNKNOWN_SOURCE) != 0)
    details: Details = {
        "missing_acquisitions": missing.height,
        "unknown_deposits": unknown.height,
        "first": ", ".join(
            f"{quantity} {asset} on {day}"
            for day, asset, quantity in missing.sort("date")["date", "asset_id", "quantity"].head(MOST_NAMED).rows()
        ),
    }
    return verdict(
        context, database, "lot_entries", "no_acquisition_is_missing", missing.is_empty() and unknown.is_empty(),
        details, dg.AssetCheckSeverity.WARN,
    )  # fmt: skip


def ledger_differences(lake: Lake, day: date) -> pl.DataFrame:
    """For each ledger at the close of a day: LEDGER, difference in USD between both sides of the equation."""
    totals = lake.read(PROFIT_AND_LOSS, [day], PROFIT_AND_LOSS_SCHEMA)
    if totals.is_empty():
        return pl.DataFrame(schema={**{name: totals.schema[name] for name in LEDGER}, "difference": pl.Float64})
    days = [known for known in lake.days(LOT_USES) if known <= day]
    values = lake.read(TRANSACTION_VALUES_TABLE, days, TRANSACTION_VALUES_SCHEMA)
    flows = values.group_by("user_key").agg(paid=(pl.col("paid_out_usd") - pl.col("paid_in_usd")).sum())
    left = lake.read(LOT_USES, days, LOT_USES_SCHEMA).filter(pl.col("kind") == int(Kind.LEAVE))
    gone = left.group_by(LEDGER).agg(gone=pl.col("cost_usd").sum())
    value = _values(lake, day, days)
    both = (
        totals.join(flows, on="user_key", how="left")
        .join(gone, on=LEDGER, how="left")
        .join(value, on=["user_key", "scope"], how="left")
    )
    gains = pl.col("realised_usd") + pl.col("income_usd") - pl.col("expense_usd") + pl.col("unrealised_usd")
    money = pl.col("paid").fill_null(0) + pl.col("gone").fill_null(0) + pl.col("unpriced_cost_usd")
    found = (gains - money).cast(pl.Float64) - pl.col("value").fill_null(0.0)
    return both.select(*LEDGER, difference=found)


def _values(lake: Lake, day: date, days: list[date]) -> pl.DataFrame:
    """Worth of what each user holds, by scope: what came less what went, plus what never came but went."""
    rows = lake.read_table(TRANSACTIONS, TRANSACTIONS_SCHEMA).filter(pl.col("day") <= day)
    moved = pl.concat(
        [
            rows.select("user_key", asset_id=f"{side}_asset", quantity=sign * pl.col(f"{side}_quantity"))
            for side, sign in (("in", 1), ("out", -1), ("fee", -1))
        ]
    ).drop_nulls()
    moved = moved.filter(~pl.col("asset_id").str.starts_with(FIAT)).with_columns(pl.col("quantity").cast(QUANTITY))
    uses = lake.read(LOT_USES, days, LOT_USES_SCHEMA)
    own = (pl.col("lot_transaction_key") == pl.col("transaction_key")) & (pl.col("lot_leg") == pl.col("leg"))
    missing = uses.filter(own & (pl.col("method") == "fifo") & (pl.col("quantity") > 0))
    scopes = pl.DataFrame({"scope": list(SCOPES)})
    both = pl.concat(
        [
            moved.join(scopes, how="cross").select("user_key", "scope", "asset_id", "quantity"),
            missing.select("user_key", "scope", "asset_id", "quantity"),
        ]
    )
    held = both.group_by("user_key", "scope", "asset_id").agg(pl.col("quantity").sum())
    assets = held["asset_id"].unique().sort().to_list()
    columns = ["asset_id", "date", "close_usd", "last_close_usd", "status", "is_final"]
    prices = lake.read(PRICES, [day], PRICES_SCHEMA, columns)
    (found,) = prices_by_day(prices, lake.read_table(SUCCESSIONS, SUCCESSIONS_SCHEMA), assets, [day])
    schema = {"asset_id": pl.String, "close": pl.Float64}
    closes = pl.DataFrame({"asset_id": assets, "close": found.close_usd}, schema=schema)
    worth = pl.col("quantity").cast(pl.Float64) * pl.col("close")
    return (
        held.join(closes.filter(pl.col("close").is_not_nan()), on="asset_id")
        .group_by("user_key", "scope")
        .agg(value=worth.sum())
    )
