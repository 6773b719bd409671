"""What each mart should hold in Postgres: its partitions, each with a fingerprint of everything it is made from.

Belongs here: reading the warehouse's own record of its inputs. Nothing is computed from rows that would be expensive:
two equal fingerprints mean equal rows, a different one means the rows may differ.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

from portfolio_pipelines.resources.lake_views import day_and_chain
from portfolio_pipelines.resources.served_tables import ServedTable, Storage

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class Content:
    """The wanted content of one mart."""

    fingerprints: Mapping[str, str]  # by day (YYYY-MM-DD), or under "all"


class WarehouseContent:
    """Reads fingerprints from an open warehouse.

    Args:
        connection: A connection to a published warehouse.
    """

    def __init__(self, connection: "duckdb.DuckDBPyConnection") -> None:
        self._connection = connection
        self._code = str(self._value("select code_hash from meta.build"))
        rows = connection.execute("select table_name, partition, content_hash from meta.built_partitions").fetchall()
        self._files = {(table, partition): content for table, partition, content in rows}
        # Ids and holdings count from the day they first matter: a new user changes no day before the first purchase.
        self._users = self._by_day(
            "select first_on, sum(hash(users.user_key, users.user_id))::varchar from intermediate.dim_users as users "
            "join (select user_key, min(invested_on) as first_on from intermediate.dim_investments group by user_key) "
            "using (user_key) group by first_on order by first_on"
        )
        self._investments = self._by_day(
            "select invested_on, sum(hash(user_key, investment_key, user_id, investment_id))::varchar "
            "from intermediate.dim_investments group by invested_on order by invested_on"
        )
        self._holdings = self._by_day(
            "select held_from, sum(hash(held))::varchar from intermediate.dim_holdings as held "
            "group by held_from order by held_from"
        )
        self._has_wallets = bool(self._value("select exists (select 1 from intermediate.dim_wallets)"))

    def of(self, table: ServedTable) -> Content:
        """The partitions a mart should have now."""
        special: dict[str, Callable[[], dict[str, str]]] = {
            "investment_performance_daily": lambda: self._days("investment_performance", self._investments),
            "portfolio_performance_daily": lambda: self._days("portfolio_performance", self._users),
            "portfolio_snapshots": self._snapshots,
            "portfolio_metrics": lambda: self._ends("portfolio_metrics", self._users),
            "benchmark_comparison": lambda: self._ends("benchmark_comparison", self._users),
            "diversification": lambda: self._ends("diversification", self._users),
            "asset_correlations": lambda: self._ends("asset_correlations"),
            "leaderboard_ranks": lambda: self._ends("leaderboard_ranks", self._users),
            "portfolio_holdings": self._current_holdings,
            "portfolio_breakdown": self._breakdown,
            "balance_reconciliation": lambda: self._chain_days(table.name, self._tokens, self._wallets),
            "pool_states_daily": lambda: self._chain_days("pool_states", *self._of_pools),
            "pool_states": lambda: self._chain_days("pool_states", *self._of_pools, self._yields),
            "impermanent_loss_totals": lambda: self._days("impermanent_loss"),
        }
        if table.name in special:
            return Content(special[table.name]())
        if table.storage is Storage.MONTH:
            return Content(self._days(table.name))
        rows = self._value(f"select count(*)::varchar || sum(hash(t))::varchar from {table.qualified} as t")  # noqa: S608
        return Content({"all": self._fingerprint(str(rows))})

    def _days(self, core_table: str, *per_day: Callable[[str], str]) -> dict[str, str]:
        return {
            partition: self._fingerprint(content, *(part(partition) for part in per_day))
            for (name, partition), content in self._files.items()
            if name == core_table and partition != "all"
        }

    def _ends(self, core_table: str, *per_day: Callable[[str], str]) -> dict[str, str]:
        """The newest day and every last day of a month, of a table of figures that stand for a past."""
        days = self._days(core_table, *per_day)
        newest = max(days, default="")

        def is_shown(day: str) -> bool:
            return day == newest or (date.fromisoformat(day) + timedelta(days=1)).day == 1

        return {day: found for day, found in days.items() if is_shown(day)}

    def _snapshots(self) -> dict[str, str]:
        """The newest closed day and the last day of every month before it: the rule of the table's description."""
        rows = self._connection.execute(
            "select date from intermediate.days where is_closed and (date = last_day(date) "
            "or date = (select max(date) from intermediate.days where is_closed))"
        ).fetchall()
        days = (row[0].isoformat() for row in rows)
        return {day: self._snapshot(day) for day in days}

    def _current_holdings(self) -> dict[str, str]:
        """They change with investments and balances, and on the day an asset becomes its successor; not with prices."""
        day = self._newest_day()
        wallets = (day, self._states(day), self._tokens(day), self._wallets(day)) if self._has_wallets else ()
        return {"all": self._fingerprint(self._users(day), self._holdings(day), *wallets)}

    def _breakdown(self) -> dict[str, str]:
        """It rests on what the newest snapshot rests on, and shows names."""
        day = self._newest_day()
        names = (self._files.get((name, "all"), "") for name in ("assets", "chains", "chain_tokens"))
        return {"all": self._fingerprint(self._snapshot(day), *names)}

    def _chain_days(self, core_table: str, *per_day: Callable[[str], str]) -> dict[str, str]:
        """Days of a table that is cut by day and chain."""
        files: dict[str, list[str]] = {}
        for (name, partition), content in sorted(self._files.items()):
            day, _ = day_and_chain(partition)
            if name == core_table and day is not None:
                files.setdefault(day, []).append(partition + content)
        return {day: self._fingerprint(*parts, *(part(day) for part in per_day)) for day, parts in files.items()}

    def _prices(self, day: str) -> str:
        return str(self._files.get(("prices_daily", day), ""))

    def _yields(self, day: str) -> str:
        return str(self._files.get(("pool_yields", day), ""))

    def _newest_day(self) -> str:
        newest = self._value("select max(date) from intermediate.days where is_newest")
        return newest.isoformat() if isinstance(newest, date) else ""

    def _snapshot(self, day: str) -> str:
        files = (self._files.get((name, day), "") for name in ("portfolio_performance", "prices_daily"))
        chains = (self._on_chains(day),) if self._has_wallets else ()
        return self._fingerprint(day, *files, self._users(day), self._holdings(day), *chains)

    def _on_chains(self, day: str) -> str:
        """What wallets add to a snapshot: their states on the day and the one before, and which chains were read."""
        if not day:
            return ""  # wallets are watched, but no day is valued yet
        before = (date.fromisoformat(day) - timedelta(days=1)).isoformat()
        files = (self._files.get((name, before), "") for name in ("portfolio_performance", "prices_daily"))
        known = self._value(f"select d::varchar from intermediate.days as d where date = '{day}'")  # noqa: S608 a date
        reads, chains = self._first_reads(day), self._files.get(("chains", "all"), "")
        states = self._states(before), self._states(day)
        return self._fingerprint(*files, *states, str(known), chains, reads, self._tokens(day), self._wallets(day))

    def _states(self, day: str) -> str:
        """The files whose balances count on a day."""
        rows = self._connection.execute(
            "select strftime(state_date, '%Y-%m-%d') || '/' || chain from intermediate.chain_calendar "
            "where date = try_cast(? as date) order by all",
            [day],
        ).fetchall()
        tables = ("chain_reads", "wallet_balances", "defi_positions", "receipt_ratios")
        return self._fingerprint(*(self._files.get((table, row[0]), row[0]) for row in rows for table in tables))

    @cached_property
    def _tokens(self) -> Callable[[str], str]:
        """Tokens count from the day they first appear: a new one changes no day before."""
        return self._by_day(
            "select first_on, sum(hash(tokens))::varchar from intermediate.dim_chain_tokens as tokens join ("
            "select token_key, min(date) as first_on from ("
            "select token_key, date from intermediate.fct_wallet_balances "
            "union all select token_key, date from intermediate.fct_defi_positions "
            "union all select token_key, date from intermediate.fct_pool_states "
            "union all select underlying_token_key, date from intermediate.fct_receipt_ratios "
            "union all select token_key, date from intermediate.fct_balance_reconciliation) group by token_key"
            ") using (token_key) group by first_on order by first_on"
        )

    @property
    def _of_pools(self) -> tuple[Callable[[str], str], ...]:
        return self._tokens, self._prices, self._states, self._weights

    @cached_property
    def _weights(self) -> Callable[[str], str]:
        """Weights of a pool count from the day it is first read; the list of them may come after that."""
        return self._by_day(
            "select first_on, sum(hash(weights))::varchar from intermediate.dim_pool_weights as weights join ("
            "select chain, pool, min(date) as first_on from intermediate.fct_pool_states group by chain, pool"
            ") using (chain, pool) group by first_on order by first_on"
        )

    @cached_property
    def _wallets(self) -> Callable[[str], str]:
        return self._by_day(
            "select added_on, sum(hash(wallets))::varchar from intermediate.dim_wallets as wallets "
            "where added_on is not null group by added_on order by added_on"
        )

    @cached_property
    def _first_reads(self) -> Callable[[str], str]:
        """Since when each chain is tried, and since when it was read."""
        return self._by_day(
            "select first_on, string_agg(chain || was_read, ' ' order by chain, was_read) from ("
            "select chain, was_read, min(date) as first_on from intermediate.fct_chain_days group by chain, was_read"
            ") group by first_on order by first_on"
        )

    def _by_day(self, query: str) -> Callable[[str], str]:
        """A function that gives the fingerprint of all rows up to and including a day."""
        rows = self._connection.execute(query).fetchall()
        days = [row[0].isoformat() for row in rows]
        chain = list(accumulate((row[1] for row in rows), lambda a, b: self._fingerprint(a, b), initial=""))

        def up_to(day: str) -> str:
            from bisect import bisect_right

            return chain[bisect_right(days, day)]

        return up_to

    def _value(self, query: str) -> object:
        row = self._connection.execute(query).fetchone()
        return row[0] if row else None

    def _fingerprint(self, *parts: str) -> str:
        return hashlib.blake2b("\x1f".join((self._code, *parts)).encode(), digest_size=12).hexdigest()
