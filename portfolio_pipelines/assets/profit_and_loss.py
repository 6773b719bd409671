"""Ledgers: transactions in their order, the lots that they open and use, profit and loss at each close.

The arithmetic is in `finance`. Lots are computed again only from the first day whose transactions or prices changed:
what is open before it follows from the files of the days before.
"""

from collections.abc import Iterator
from datetime import date

import dagster as dg
import polars as pl

from portfolio_pipelines.assets.days import DAILY, ONE_RUN, RETRY, days_of
from portfolio_pipelines.assets.metadata import OWNERS, column_schema, written
from portfolio_pipelines.chain_tables import CHAIN_TOKENS, CHAIN_TOKENS_SCHEMA
from portfolio_pipelines.finance.lots_ledger import LedgerFrames, compute_lots
from portfolio_pipelines.finance.lots_totals import daily_totals
from portfolio_pipelines.finance.transaction_values import PRICES as PRICE_COLUMNS
from portfolio_pipelines.finance.transactions import in_order
from portfolio_pipelines.finance.valuation import prices_by_day
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.ledger_rules import LedgerRules
from portfolio_pipelines.resources.partitions import PartitionWriter, chained, fingerprint, frame_fingerprint
from portfolio_pipelines.tables import PRICES, PRICES_SCHEMA, SUCCESSIONS, SUCCESSIONS_SCHEMA
from portfolio_pipelines.transaction_tables import (
    LOT_ENTRIES,
    LOT_ENTRIES_SCHEMA,
    LOT_USES,
    LOT_USES_SCHEMA,
    PROFIT_AND_LOSS,
    PROFIT_AND_LOSS_SCHEMA,
    TRANSACTION_DAYS,
    TRANSACTION_DAYS_SCHEMA,
    TRANSACTION_VALUES_SCHEMA,
    TRANSACTION_VALUES_TABLE,
    TRANSACTIONS,
    TRANSACTIONS_SCHEMA,
)

TRANSACTIONS_VERSION = "2"
LOTS_VERSION = "1"
TOTALS_VERSION = "1"
LOT_TABLES = {
    "lot_entries": (LOT_ENTRIES, LOT_ENTRIES_SCHEMA, "What entered lots: every scope and method side by side."),
    "lot_uses": (LOT_USES, LOT_USES_SCHEMA, "What left lots, its cost and proceeds: every scope and method."),
    "transaction_values": (
        TRANSACTION_VALUES_TABLE,
        TRANSACTION_VALUES_SCHEMA,
        "What each transaction was worth, and what that rests on.",
    ),
}


@dg.asset(
    group_name="core",
    owners=OWNERS,
    kinds={"postgres", "parquet"},
    code_version=TRANSACTIONS_VERSION,
    metadata=column_schema(TRANSACTIONS_SCHEMA),
    retry_policy=RETRY,
)
def transactions(
    context: dg.AssetExecutionContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Database],
    ledger_rules: dg.ResourceParam[LedgerRules],
) -> dg.MaterializeResult[None]:
    """Transactions of all ledgers in the order in which they happened, the halves of transfers matched."""
    with database.writer(lake, context.run.run_id) as writer:
        state = transactions_state(database, ledger_rules)
        if writer.is_current(TRANSACTIONS, None, state, TRANSACTIONS_VERSION):
            frame = lake.read_table(TRANSACTIONS, TRANSACTIONS_SCHEMA)
        else:
            frame = in_order(database.load("transactions"), ledger_rules.matching)
            days = [
                (day, frame_fingerprint(rows))
                for (day,), rows in frame.partition_by("day", as_dict=True, maintain_order=True).items()
            ]
            writer.write(TRANSACTIONS, None, frame, state, TRANSACTIONS_VERSION)
            known = pl.DataFrame(days, schema=TRANSACTION_DAYS_SCHEMA, orient="row").sort("day")
            writer.write(TRANSACTION_DAYS, None, known, state, TRANSACTIONS_VERSION)
    return dg.MaterializeResult(metadata=written(frame, matched=int(frame["matched_key"].count() / 2)))


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            name,
            deps=["transactions", "prices_daily", "chain_tokens"],
            description=description,
            partitions_def=DAILY,
            group_name="core",
            owners=OWNERS,
            kinds={"parquet", "python"},
            code_version=LOTS_VERSION,
            metadata=column_schema(schema),
        )
        for name, (_, schema, description) in LOT_TABLES.items()
    ],
    backfill_policy=ONE_RUN,
)
def ledgers(
    context: dg.AssetExecutionContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Database],
    ledger_rules: dg.ResourceParam[LedgerRules],
) -> Iterator[dg.MaterializeResult[None]]:
    """Lots of every ledger up to the end of the run, from the first day on that changed, even if that is before it."""
    last = days_of(context)[-1]
    made = LedgerFrames(*(pl.DataFrame(schema=schema) for _, schema, _ in LOT_TABLES.values()))
    computed: list[date] = []
    with database.writer(lake, context.run.run_id) as writer:
        inputs = ledger_inputs(writer, lake, last, ledger_rules)
        stale = [day for day in inputs if not _is_current(writer, day, inputs[day])]
        if stale:
            computed = [day for day in inputs if day >= stale[0]]
            made = _compute(lake, [day for day in inputs if day < stale[0]], computed, ledger_rules)
            for day in computed:
                for (table, _, _), frame in zip(LOT_TABLES.values(), _parts(made, day), strict=True):
                    writer.write(table, day, frame, inputs[day], LOTS_VERSION)
    for name, frame in zip(LOT_TABLES, (made.entries, made.uses, made.values), strict=True):
        yield dg.MaterializeResult(asset_key=name, metadata=written(frame, days_computed=len(computed)))


def ledger_inputs(writer: PartitionWriter, lake: Lake, last: date, rules: LedgerRules) -> dict[date, str]:
    """What the lots of each day with transactions rest on: transactions until then, prices of their days, the policy.

    Days whose transactions are gone are there, too: their files have to become empty.
    """
    events = dict(lake.read_table(TRANSACTION_DAYS, TRANSACTION_DAYS_SCHEMA).iter_rows())
    parts = [
        (day, fingerprint(text, writer.content(PRICES, day), rules.policy))
        for day, text in events.items()
        if day <= last
    ]
    days = sorted({day for day, _ in parts} | {day for day in lake.days(LOT_ENTRIES) if day <= last})
    return chained(parts, days)


def transactions_state(database: Database, rules: LedgerRules) -> str:
    """What the order of transactions rests on."""
    return fingerprint(database.state_of("transactions"), rules.matching)


def ledgers_are_current(
    writer: PartitionWriter, lake: Lake, database: Database, rules: LedgerRules, last: date
) -> bool:
    """Whether the lots up to a day are made of what is known now, by the rules of now."""
    state = transactions_state(database, rules)
    return writer.is_current(TRANSACTIONS, None, state, TRANSACTIONS_VERSION) and all(
        _is_current(writer, day, inputs) for day, inputs in ledger_inputs(writer, lake, last, rules).items()
    )


def _is_current(writer: PartitionWriter, day: date, inputs: str) -> bool:
    return all(writer.is_current(table, day, inputs, LOTS_VERSION) for table, _, _ in LOT_TABLES.values())


def _compute(lake: Lake, before: list[date], days: list[date], rules: LedgerRules) -> LedgerFrames:
    rows = lake.read_table(TRANSACTIONS, TRANSACTIONS_SCHEMA)
    tokens = lake.read_table(CHAIN_TOKENS, CHAIN_TOKENS_SCHEMA, ["asset_id", "decimals"]).drop_nulls()
    return compute_lots(
        rows.filter(pl.col("day").is_between(days[0], days[-1])),
        lake.read(PRICES, days, PRICES_SCHEMA, PRICE_COLUMNS.names()),
        entries_before=lake.read(LOT_ENTRIES, before, LOT_ENTRIES_SCHEMA).rename({"date": "day"}),
        uses_before=lake.read(LOT_USES, before, LOT_USES_SCHEMA).rename({"date": "day"}),
        decimals=dict(tokens.iter_rows()),
        policy=rules.policy,
    )


def _parts(made: LedgerFrames, day: date) -> list[pl.DataFrame]:
    frames = (made.entries, made.uses, made.values)
    return [frame.filter(pl.col("day") == day).drop("day") for frame in frames]


@dg.asset(
    deps=[*LOT_TABLES, "prices_daily", "asset_successions"],
    partitions_def=DAILY,
    backfill_policy=ONE_RUN,
    group_name="core",
    owners=OWNERS,
    kinds={"parquet", "polars"},
    code_version=TOTALS_VERSION,
    metadata=column_schema(PROFIT_AND_LOSS_SCHEMA),
)
def profit_and_loss(
    context: dg.AssetExecutionContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Database],
    ledger_rules: dg.ResourceParam[LedgerRules],
) -> dg.MaterializeResult[None]:
    """Realised and unrealised profit and loss of every ledger at each close, in every scope and by every method."""
    days = days_of(context)
    rows, last = 0, pl.DataFrame(schema=PROFIT_AND_LOSS_SCHEMA)
    with database.writer(lake, context.run.run_id) as writer:
        lots = ledger_inputs(writer, lake, days[-1], ledger_rules)
        known = chained(lots.items(), days)
        inputs = {
            day: fingerprint(known[day], writer.content(PRICES, day), writer.content(SUCCESSIONS)) for day in days
        }
        stale = [
            day
            for day in days
            if min(lots, default=date.max) <= day
            and not writer.is_current(PROFIT_AND_LOSS, day, inputs[day], TOTALS_VERSION)
        ]
        if stale:
            events = [day for day in lots if day <= stale[-1]]
            made = [
                lake.read(table, events, schema).rename({"date": "day"}) for table, schema, _ in LOT_TABLES.values()
            ]
            held = made[0]["asset_id"].unique().sort().to_list()
            closes, final = usable_closes(lake, held, stale)
            for day, frame in daily_totals(made[0], made[1], made[2], closes, stale):
                last = frame.with_columns(is_final=pl.lit(final[day]))
                writer.write(PROFIT_AND_LOSS, day, last, inputs[day], TOTALS_VERSION)
                rows += last.height
    return dg.MaterializeResult(metadata=written(last, rows, days_computed=len(stale)))


def usable_closes(
    lake: Lake, held: list[str], days: list[date]
) -> tuple[dict[date, dict[str, float]], dict[date, bool]]:
    """Usable closes of assets on each day, successions applied, and whether all prices of the day are final."""
    columns = ["asset_id", "date", "close_usd", "last_close_usd", "status", "is_final"]
    prices = lake.read(PRICES, days, PRICES_SCHEMA, columns)
    found = prices_by_day(prices, lake.read_table(SUCCESSIONS, SUCCESSIONS_SCHEMA), held, days)
    closes = {
        day: {asset: float(close) for asset, close in zip(held, there.close_usd, strict=True) if close == close}
        for day, there in zip(days, found, strict=True)
    }
    final = {day: bool(prices.filter(pl.col("date") == day)["is_final"].all()) for day in days}
    return closes, final
