"""The operational database as assets, checks and commands see it: frames in, frames out. SQL is in `database`."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property, partial
from typing import Final

import polars as pl
import sqlalchemy as sa

from portfolio_pipelines.database.assets import load_assets, load_successions
from portfolio_pipelines.database.closes import Closes
from portfolio_pipelines.database.connection import connect, read_frame
from portfolio_pipelines.database.held_assets import held_assets_frame
from portfolio_pipelines.database.investment_import import SampleReplacement, replace_sample_quantities
from portfolio_pipelines.database.investments import load_holding_versions, load_investment_legs, load_users
from portfolio_pipelines.database.migrate import upgrade
from portfolio_pipelines.database.overrides import load_overrides
from portfolio_pipelines.database.partition_log import (
    load_check_results,
    load_partition_log,
    record_check_results,
    record_partitions,
)
from portfolio_pipelines.database.sample_quantities import SampleLegs, sample_legs
from portfolio_pipelines.database.transaction_versions import learned_days, load_transactions, load_versions
from portfolio_pipelines.market.consensus import OVERRIDES
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.partitions import PartitionWriter, fingerprint
from portfolio_pipelines.resources.quote_ledger import QuoteLedger
from portfolio_pipelines.settings import Settings
from portfolio_pipelines.tables import CHECK_RESULTS_SCHEMA

LOADERS: Final[Mapping[str, Callable[[sa.Engine], pl.DataFrame]]] = {
    "assets": load_assets,
    "asset_successions": load_successions,
    "users": load_users,
    "transactions": load_transactions,
}
LOADERS_OF_LEGS: Final = {"investment_legs": load_investment_legs, "holding_versions": load_holding_versions}
# Legs are append-only but for superseded_at, so that these figures change with every change.
_STATE_OF_LEGS: Final = """
    select count(*) || '/' || count(superseded_at) || '/' || coalesce(max(known_at)::text, '') || '/'
        || coalesce(max(superseded_at)::text, '')
    from app.investment_legs
"""
_ANY_SAMPLE: Final = "select exists (select from app.investment_legs where price_source = 'sample')"
STATES: Final[Mapping[str, str]] = {
    "assets": "select md5(string_agg(a::text, '|' order by asset_id)) from app.assets a",
    "asset_successions": "select md5(string_agg(s::text, '|' order by asset_id)) from app.asset_successions s",
    "users": "select count(*) || '/' || coalesce(max(user_key), 0) from app.users",
    "investment_legs": _STATE_OF_LEGS,
    "holding_versions": _STATE_OF_LEGS,
    "transactions": """
        select count(*) || '/' || count(superseded_at) || '/' || coalesce(max(known_at)::text, '') || '/'
            || coalesce(max(superseded_at)::text, '')
        from app.transaction_versions
    """,
}
"""One short text for each table that changes whenever its rows do."""
IN_PARALLEL: Final = "set local max_parallel_workers_per_gather = 2"
"""For the few questions that look at every row and answer with a few: they need no shared memory to speak of."""
WRITER_LOCK: Final = 0x6C616B65
"""Advisory lock of whoever writes partitions: two runs at once take turns, table by table."""
CHAIN_WRITER_LOCK: Final = 0x636861696E
"""The same for what is read of chains: nobody else writes those tables, and reading takes minutes."""


@dataclass(frozen=True)
class Database:
    """The operational database of some settings; connects, and starts the embedded server, when first used."""

    settings: Settings = field(repr=False)

    @cached_property
    def engine(self) -> sa.Engine:
        """The connection pool."""
        return connect(self.settings)

    def prepare(self) -> None:
        """Migrate to the newest tables and seed the asset map."""
        upgrade(self.engine)

    def load(self, table: str) -> pl.DataFrame:
        """Rows of one of the operational tables that the lake copies."""
        if table in LOADERS_OF_LEGS:
            return LOADERS_OF_LEGS[table](self.engine, sample_apart=self._keeps_sample_apart())
        return LOADERS[table](self.engine)

    def sample_legs(self) -> SampleLegs:
        """What still rests on the sample market."""
        return sample_legs(self.engine)

    def _keeps_sample_apart(self) -> bool:
        """Whether some quantities are invented while prices are real: the two must not be multiplied."""
        with self.engine.connect() as connection:
            connection.execute(sa.text(IN_PARALLEL))
            any_sample = bool(connection.scalar(sa.text(_ANY_SAMPLE)))
        return any_sample and QuoteLedger(self.settings.lake).has_prices()

    def held_since(self) -> pl.DataFrame:
        """Every asset of investments, ledgers and targets with the day it first counts: columns asset_id, invested_on.

        A target needs the close before it was set: a plan of the same day rests on that.
        """
        query = """
            select asset_id, min(day) as invested_on
            from (
                select a.asset_id, (leg.invested_at at time zone 'UTC')::date as day
                from app.assets a
                cross join lateral (
                    select invested_at from app.investment_legs
                    where asset_id = a.asset_id and superseded_at is null order by invested_at limit 1
                ) as leg
                union all
                select asset_id, (v.at at time zone 'UTC')::date
                from app.transaction_versions v
                cross join lateral (values (in_asset), (out_asset), (fee_asset)) as sides (asset_id)
                where superseded_at is null and asset_id in (select a.asset_id from app.assets a)
                union all
                select asset_id, (v.known_at at time zone 'UTC')::date - 1
                from app.strategy_targets join app.strategy_versions v using (strategy_key, version)
                where v.superseded_at is null and asset_id in (select a.asset_id from app.assets a)
            ) as held group by asset_id
        """
        schema = pl.Schema({"asset_id": pl.String(), "invested_on": pl.Date()})
        with self.engine.connect() as connection:
            connection.execute(sa.text(IN_PARALLEL))
            rows = connection.execute(sa.text(query)).all()
        return pl.DataFrame(rows, schema=schema, orient="row").sort("asset_id")

    def held_assets(self) -> pl.DataFrame:
        """Every asset that wallets hold or held, schema `held_assets.HELD_ASSETS_SCHEMA`."""
        return held_assets_frame(self.engine)

    def held_by_wallets(self, days_after: int) -> pl.DataFrame:
        """When each of them needs a price: columns asset_id, start, end, half-open.

        Args:
            days_after: Days after the last one on which it was seen: that a wallet still has it is known later.
        """
        end = pl.col("held_until") + pl.duration(days=days_after + 1)
        return self.held_assets().select("asset_id", pl.col("held_since").alias("start"), end.alias("end"))

    def ledger_events(self) -> pl.DataFrame:
        """UTC days on which something became known of ledgers, with a fingerprint of it: columns day, fingerprint."""
        return learned_days(self.engine)

    def ledger_versions(self, day: date) -> pl.DataFrame:
        """What was known by the end of a day of the users who learned something on it, schema VERSIONS of finance."""
        return load_versions(self.engine, day)

    def first_purchases(self) -> dict[str, date]:
        """The day of the first investment or transaction of each user."""
        query = """
            select user_id, min((moment at time zone 'UTC')::date) as invested_on
            from (
                select user_key, invested_at as moment
                from app.investment_legs join app.investments using (investment_key) where superseded_at is null
                union all
                select user_key, at from app.transaction_versions join app.transactions using (transaction_key)
                where superseded_at is null
            ) as began join app.users using (user_key) group by user_id
        """
        schema = pl.Schema({"user_id": pl.String(), "invested_on": pl.Date()})
        return dict(read_frame(self.engine, query, schema).iter_rows())

    def first_transaction(self) -> date | None:
        """The day of the first transaction that any version of a ledger has; None without a ledger."""
        with self.engine.connect() as connection:
            found = connection.scalar(
                sa.text("select min((at at time zone 'UTC')::date) from app.transaction_versions")
            )
        return found if isinstance(found, date) else None

    def replace_sample_quantities(self, closes: Closes) -> SampleReplacement:
        """Derive quantities anew that rest on the sample market, now that there are real prices."""
        return replace_sample_quantities(self.engine, closes=closes)

    def state_of(self, table: str) -> str:
        """A fingerprint that changes whenever the rows of the table do, without reading them."""
        with self.engine.connect() as connection:
            connection.execute(sa.text(IN_PARALLEL))
            state = connection.scalar(sa.text(STATES[table]))
        apart = ["sample apart"] if table in LOADERS_OF_LEGS and self._keeps_sample_apart() else []
        return fingerprint(state, *apart)

    def overrides(self) -> pl.DataFrame:
        """All price overrides, schema `consensus.OVERRIDES`."""
        return load_overrides(self.engine).select(OVERRIDES.names()).cast(OVERRIDES)

    def partition_log(self, table: str | None = None) -> pl.DataFrame:
        """What is known of every partition, of one table when `table` is given: PARTITION_LOG_SCHEMA."""
        return load_partition_log(self.engine, table)

    @contextmanager
    def writer(self, lake: Lake, run_id: str, lock: int = WRITER_LOCK) -> Iterator[PartitionWriter]:
        """The one writer of partitions; its records are saved at the end, also when the body fails.

        Args:
            lake: Where they are written.
            run_id: The run that writes.
            lock: Of the tables that are written: two writers with the same one take turns.
        """
        with self.engine.connect() as connection:
            connection.execute(sa.text("select pg_advisory_lock(:lock)"), {"lock": lock})
            connection.commit()
            writer = PartitionWriter(lake, run_id, self.partition_log, partial(record_partitions, self.engine))
            try:
                yield writer
            finally:
                try:
                    writer.close()
                finally:  # else the lock would return to the pool with its connection, and a retry wait for itself
                    connection.execute(sa.text("select pg_advisory_unlock(:lock)"), {"lock": lock})
                    connection.commit()

    def check_results(self) -> pl.DataFrame:
        """The newest verdict of each check, CHECK_RESULTS_SCHEMA."""
        results = load_check_results(self.engine)
        return results.group_by("asset", "check_name", maintain_order=True).last().select(CHECK_RESULTS_SCHEMA.names())

    def record_check(
        self, check_name: str, asset: str, severity: str, passed: bool, run_id: str, details: Mapping[str, object]
    ) -> None:
        """Remember a verdict, unless the newest one says the same."""
        row = {
            "check_name": check_name,
            "asset": asset,
            "severity": severity,
            "passed": passed,
            "run_id": run_id,
            "checked_at": datetime.now(UTC),
            "details": json.dumps({name: _in_json(value) for name, value in details.items()}, sort_keys=True),
        }
        newest = load_check_results(self.engine, newest_of=(check_name, asset))
        said = ["severity", "passed", "details"]
        if newest.is_empty() or newest.select(said).row(0) != tuple(row[name] for name in said):
            record_check_results(self.engine, pl.DataFrame([row], schema=CHECK_RESULTS_SCHEMA))


def _in_json(value: object) -> object:
    """Numbers, flags and texts as they are; what JSON has no word for, such as infinity, as text."""
    is_plain = isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))
    return value if is_plain else str(value)
