"""What a run has to do: which days are missing or changed. It decides nothing about figures.

The rule: a day is due when one of its files is missing, or when what it was made from has changed since: new answers of
the providers, price files, overrides, investments, ledgers, the day before, the code. From the first due day to the
last day there is, everything runs as one range; days whose inputs did not change are recognised inside the run and left
alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from portfolio_pipelines.market.quotes import QUOTES
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.ledger_rules import LedgerRules
from portfolio_pipelines.resources.market_data import SAMPLE, MarketData
from portfolio_pipelines.resources.partitions import PartitionWriter
from portfolio_pipelines.tables import (
    BENCHMARKS,
    INVESTMENT_PERFORMANCE,
    PORTFOLIO_PERFORMANCE,
    PRICES,
    RAW_QUOTES,
    RESTATEMENTS,
    VINTAGES,
)

DAILY_TABLES: Final = (
    RAW_QUOTES, PRICES, VINTAGES, RESTATEMENTS, BENCHMARKS, INVESTMENT_PERFORMANCE, PORTFOLIO_PERFORMANCE,
)  # fmt: skip
OPERATIONAL: Final = {
    "assets": "core/assets",
    "asset_successions": "core/asset_successions",
    "users": "core/users",
    "investment_legs": "core/investment_legs",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """The days that are due, and why."""

    missing: Sequence[date]  # a file is not there
    changed: Sequence[date]  # the inputs are not those that the files were made from
    newest: date | None = None  # the last materialised day

    @property
    def due(self) -> list[date]:
        """All due days, ascending."""
        return sorted({*self.missing, *self.changed})

    @property
    def window(self) -> tuple[date, date] | None:
        """First due day, and the last one or the last materialised one; None when nothing is due.

        Every day rests on the one before (carried prices, time-weighted return): what comes after a due day may change.
        """
        due = self.due
        return (due[0], max(due[-1], self.newest or due[-1])) if due else None


def make_plan(
    days: Sequence[date], lake: Lake, database: Database, market: MarketData, *, only_missing: bool = False
) -> Plan:
    """Compare what is there with what should be, for consecutive days.

    Args:
        days: The days asked for, ascending. Materialised days after them are looked at too: they may rest on these.
        lake: Where the files are.
        database: What people entered, and the partition log.
        market: Which quotes are known.
        only_missing: Look for missing files alone.
    """
    there = {table: lake.days(table) for table in DAILY_TABLES}
    missing = [day for day in days if any(day not in there[table] for table in DAILY_TABLES)]
    newest = max(there[PORTFOLIO_PERFORMANCE], default=None)
    if only_missing or not days:
        return Plan(missing, [], newest)
    looked_at = [*days, *_until(days[-1], newest or days[-1])]
    writer = PartitionWriter(lake, "", database.partition_log, lambda _rows: None)
    changed = _changed_operational(writer, database, looked_at) or sorted(
        {
            *_changed_inputs(writer, lake, market, database, looked_at),
            *_changed_ledgers(writer, lake, database, looked_at),
        }
    )
    return Plan(missing, changed, newest)


def first_sample_day(lake: Lake) -> date | None:
    """The oldest materialised day, if its quotes are those of the sample market: then all that follow may be, too."""
    oldest = min(lake.days(RAW_QUOTES), default=None)
    if oldest is None:
        return None
    providers = lake.read(RAW_QUOTES, [oldest], QUOTES, ["provider"])["provider"]
    return oldest if SAMPLE in providers else None


def _until(last: date, end: date) -> list[date]:
    return [last + timedelta(days=offset) for offset in range(1, (end - last).days + 1)]


def _changed_operational(writer: PartitionWriter, database: Database, days: Sequence[date]) -> list[date]:
    """Every day is looked at again when investments or the asset map changed; the run finds which days it touches."""
    from portfolio_pipelines.assets.operational import CODE_VERSION

    same = all(
        writer.is_current(table, None, database.state_of(name), CODE_VERSION) for name, table in OPERATIONAL.items()
    )
    return [] if same else list(days)


def _changed_ledgers(writer: PartitionWriter, lake: Lake, database: Database, days: Sequence[date]) -> list[date]:
    """Every day since the first transaction, when ledgers or their rules changed; the run finds which it touches."""
    from portfolio_pipelines.assets.profit_and_loss import ledgers_are_current

    first = database.first_transaction()
    if first is None or ledgers_are_current(writer, lake, database, LedgerRules.of(database.settings), days[-1]):
        return []
    return [day for day in days if day >= first]


def _changed_inputs(
    writer: PartitionWriter, lake: Lake, market: MarketData, database: Database, days: Sequence[date]
) -> list[date]:
    """Days of which some file was not made from what is there now, or by another version of the code.

    What a day hands on to the next is looked at too: a day that was filled in, or run alone, leaves the next one due.
    """
    from portfolio_pipelines.assets import performance, prices

    seen = prices.fingerprints_by_day(market.quotes(days))
    manual = prices.fingerprints_by_day(database.overrides())
    tracked = prices.fingerprints_by_day(market.expected(days))
    made = performance.investments_made(lake, days)

    def is_current(day: date) -> bool:
        return (
            writer.is_current(RAW_QUOTES, day, seen(day), prices.QUOTES_VERSION)
            and all(
                writer.is_current(
                    table,
                    day,
                    prices.restatement_inputs(writer, day, manual(day), market),
                    prices.RESTATEMENTS_VERSION,
                )
                for table in (VINTAGES, RESTATEMENTS)
            )
            and writer.is_current(
                PRICES, day, prices.price_inputs(writer, day, manual(day), tracked(day), market), prices.PRICES_VERSION
            )
            and writer.is_current(BENCHMARKS, day, prices.benchmark_inputs(writer, day), prices.BENCHMARKS_VERSION)
            and writer.is_current(
                INVESTMENT_PERFORMANCE,
                day,
                performance.investment_inputs(writer, day, made[day]),
                performance.INVESTMENTS_VERSION,
            )
            and writer.is_current(
                PORTFOLIO_PERFORMANCE,
                day,
                performance.portfolio_inputs(
                    writer, day, made[day], writer.inputs(PORTFOLIO_PERFORMANCE, day - timedelta(days=1))
                ),
                performance.PORTFOLIOS_VERSION,
            )
        )

    return [day for day in days if not is_current(day)]
