"""What a run has to do: which days are missing or changed. It decides nothing about figures.

The rule: a day is due when one of its files is missing, or when what it was made from has changed since: new answers of
the providers, price files, overrides, investments, ledgers, the day before, the code. From the first due day to the
last day there is, everything runs as one range; days whose inputs did not change are recognised inside the run and left
alone. Commands and schedules ask here alike, so that none of them builds upon a day that is out of date.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from portfolio_pipelines.automation.figure_planning import due_figures
from portfolio_pipelines.market.quotes import QUOTES
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.ledger_rules import LedgerRules
from portfolio_pipelines.resources.market_data import SAMPLE, MarketData
from portfolio_pipelines.resources.partitions import PartitionWriter, chained
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
        days: The days asked for, ascending. Materialised days around them are looked at too: those after them may rest
            on these, and these rest on those before them.
        lake: Where the files are.
        database: What people entered, and the partition log.
        market: Which quotes are known.
        only_missing: Look for missing files of these days, and for what the days before them rest on, alone.
    """
    there = {table: lake.days(table) for table in DAILY_TABLES}
    missing = [day for day in days if any(day not in there[table] for table in DAILY_TABLES)]
    newest = max(there[PORTFOLIO_PERFORMANCE], default=None)
    if not days:
        return Plan([], [], newest)
    if only_missing:
        upon = first_outdated_day(missing[0] - timedelta(days=1), lake, database, market) if missing else None
        return Plan(missing, [upon] if upon else [], newest)
    before = _materialised(lake, database, days[0] - timedelta(days=1))
    looked_at = [*before, *days, *_until(days[-1], newest or days[-1])]
    writer = PartitionWriter(lake, "", database.partition_log, lambda _rows: None)
    outdated = _outdated_copies(writer, database)
    changed = {
        *_changed_inputs(writer, lake, market, database, looked_at, outdated),
        *_changed_ledgers(writer, lake, database, looked_at),
        *due_figures(writer, lake, database, days, looked_at),
    }
    if outdated and not changed and not missing:  # no day rests on what changed, but what the marts read does
        changed = {looked_at[-1]}
    return Plan(missing, sorted(changed), newest)


def first_outdated_day(until: date, lake: Lake, database: Database, market: MarketData) -> date | None:
    """The first materialised day up to `until` that was valued with other investments or prices than there are now.

    Ledgers and the figures of closes are not looked at: no later day is valued upon them.
    """
    days = _materialised(lake, database, until)
    if not days:
        return None
    writer = PartitionWriter(lake, "", database.partition_log, lambda _rows: None)
    return min(_changed_inputs(writer, lake, market, database, days, _outdated_copies(writer, database)), default=None)


def first_sample_day(lake: Lake) -> date | None:
    """The oldest materialised day, if its quotes are those of the sample market: then all that follow may be, too."""
    oldest = min(lake.days(RAW_QUOTES), default=None)
    if oldest is None:
        return None
    providers = lake.read(RAW_QUOTES, [oldest], QUOTES, ["provider"])["provider"]
    return oldest if SAMPLE in providers else None


def _materialised(lake: Lake, database: Database, until: date) -> list[date]:
    """The valued days up to `until`; not those from before the settings' first day, which no run can reach."""
    return sorted(day for day in lake.days(INVESTMENT_PERFORMANCE) if database.settings.first_day <= day <= until)


def _until(last: date, end: date) -> list[date]:
    return [last + timedelta(days=offset) for offset in range(1, (end - last).days + 1)]


def _outdated_copies(writer: PartitionWriter, database: Database) -> set[str]:
    """Which of OPERATIONAL changed in the database since the lake copied it."""
    from portfolio_pipelines.assets.operational import CODE_VERSION

    return {
        name
        for name, table in OPERATIONAL.items()
        if not writer.is_current(table, None, database.state_of(name), CODE_VERSION)
    }


def _changed_ledgers(writer: PartitionWriter, lake: Lake, database: Database, days: Sequence[date]) -> list[date]:
    """Every day since the first transaction, when ledgers or their rules changed; the run finds which it touches."""
    from portfolio_pipelines.assets.profit_and_loss import ledgers_are_current

    first = database.first_transaction()
    if first is None or ledgers_are_current(writer, lake, database, LedgerRules.of(database.settings), days[-1]):
        return []
    return [day for day in days if day >= first]


def _investments_made(
    lake: Lake, database: Database, days: Sequence[date], outdated: Collection[str]
) -> Mapping[date, str]:
    """A fingerprint of all investments made up to each day, as they are in the database."""
    from portfolio_pipelines.assets import operational, performance

    if "investment_legs" not in outdated:
        return performance.investments_made(lake, days)
    return chained(operational.investment_days(database.load("investment_legs")).iter_rows(), days)


def _changed_inputs(
    writer: PartitionWriter,
    lake: Lake,
    market: MarketData,
    database: Database,
    days: Sequence[date],
    outdated: Collection[str],
) -> list[date]:
    """Days of which some file was not made from what is there now, or by another version of the code.

    What a day hands on to the next is looked at too: a day that was filled in, or run alone, leaves the next one due.
    """
    from portfolio_pipelines.assets import performance, prices

    if "asset_successions" in outdated:  # one of long ago changes what every later day holds
        return list(days)
    seen = prices.fingerprints_by_day(market.quotes(days))
    manual = prices.fingerprints_by_day(database.overrides())
    tracked = prices.fingerprints_by_day(market.expected(days))
    made = _investments_made(lake, database, days, outdated)

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
