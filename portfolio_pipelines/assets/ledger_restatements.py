"""How profit and loss of past days changed when transactions became known late. The arithmetic is in `finance`.

A day on which something became known has a file, whichever days a run is about: the figures of the past change with the
run that follows an import, and so must this.
"""

from datetime import date, timedelta
from typing import Final

import dagster as dg
import polars as pl

from portfolio_pipelines.assets.metadata import OWNERS, column_schema, written
from portfolio_pipelines.assets.profit_and_loss import usable_closes
from portfolio_pipelines.chain_tables import CHAIN_TOKENS, CHAIN_TOKENS_SCHEMA
from portfolio_pipelines.finance.ledger_restatements import RESTATED, Closes, restate_ledgers
from portfolio_pipelines.finance.transaction_values import PRICES as PRICE_COLUMNS
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.ledger_rules import LedgerRules
from portfolio_pipelines.resources.partitions import PartitionWriter, chained, fingerprint
from portfolio_pipelines.tables import PRICES, PRICES_SCHEMA, SUCCESSIONS
from portfolio_pipelines.transaction_tables import (
    LEDGER_RESTATEMENTS,
    LEDGER_RESTATEMENTS_SCHEMA,
    PROFIT_AND_LOSS,
)

RESTATEMENTS_VERSION: Final = "1"


@dg.asset(
    deps=["profit_and_loss"],
    group_name="core",
    owners=OWNERS,
    kinds={"parquet", "polars"},
    code_version=RESTATEMENTS_VERSION,
    metadata=column_schema(LEDGER_RESTATEMENTS_SCHEMA),
)
def ledger_restatements(
    context: dg.AssetExecutionContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Database],
    ledger_rules: dg.ResourceParam[LedgerRules],
) -> dg.MaterializeResult[None]:
    """Profit and loss of closed days that changed because a transaction came, was corrected or taken back later."""
    made = [pl.DataFrame(schema=RESTATED)]
    with database.writer(lake, context.run.run_id) as writer:
        events = dict(database.ledger_events().iter_rows())
        days = sorted(lake.days(PROFIT_AND_LOSS))
        inputs = restatement_inputs(writer, events, days, ledger_rules)
        for day in events:
            if not writer.is_current(LEDGER_RESTATEMENTS, day, inputs[day], RESTATEMENTS_VERSION):
                found = _restated(lake, database, day, days, ledger_rules)
                writer.write(LEDGER_RESTATEMENTS, day, found, inputs[day], RESTATEMENTS_VERSION)
                made.append(found)
    rows = pl.concat(made)
    return dg.MaterializeResult(metadata=written(rows, days_computed=len(made) - 1))


def restatement_inputs(
    writer: PartitionWriter, events: dict[date, str], days: list[date], rules: LedgerRules
) -> dict[date, str]:
    """What the restatements of each day of learning rest on: what was known by then, prices before it, the rules."""
    known = chained(events.items(), events)
    before = {day: day - timedelta(days=1) for day in events}  # the closes of the running day restate nothing
    prices = chained(((day, writer.content(PRICES, day)) for day in days), before.values())
    succeeded = writer.content(SUCCESSIONS)
    return {day: fingerprint(text, prices[before[day]], succeeded, rules) for day, text in known.items()}


def _restated(lake: Lake, database: Database, day: date, days: list[date], rules: LedgerRules) -> pl.DataFrame:
    tokens = lake.read_table(CHAIN_TOKENS, CHAIN_TOKENS_SCHEMA, ["asset_id", "decimals"]).drop_nulls()

    def prices(wanted: list[date]) -> pl.DataFrame:
        return lake.read(PRICES, wanted, PRICES_SCHEMA, PRICE_COLUMNS.names())

    def closes(assets: list[str], wanted: list[date]) -> Closes:
        return usable_closes(lake, assets, wanted)[0]

    return restate_ledgers(
        database.ledger_versions(day),
        day,
        days,
        prices,
        closes,
        decimals=dict(tokens.iter_rows()),
        policy=rules.policy,
        matching=rules.matching,
    )
