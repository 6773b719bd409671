"""What each mart should hold in Postgres: its partitions, each with a fingerprint of everything it is made from.

Belongs here: reading the warehouse's own record of its inputs. Nothing is computed from rows that would be expensive:
two equal fingerprints mean equal rows, a different one means the rows may differ.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import accumulate
from typing import TYPE_CHECKING

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

    def of(self, table: ServedTable) -> Content:
        """The partitions a mart should have now."""
        special: dict[str, Callable[[], dict[str, str]]] = {
            "investment_performance_daily": lambda: self._days("investment_performance", self._investments),
            "portfolio_performance_daily": lambda: self._days("portfolio_performance", self._users),
            "portfolio_snapshots": self._snapshots,
            "portfolio_holdings": self._current_holdings,
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

    def _snapshots(self) -> dict[str, str]:
        """The newest closed day and the last day of every month before it: the rule of the table's description."""
        rows = self._connection.execute(
            "select date from intermediate.days where is_closed and (date = last_day(date) "
            "or date = (select max(date) from intermediate.days where is_closed))"
        ).fetchall()
        days = (row[0].isoformat() for row in rows)
        return {day: self._snapshot(day) for day in days}

    def _current_holdings(self) -> dict[str, str]:
        """They change with the investments, and on the day an asset becomes its successor; not with the prices."""
        newest = self._value("select max(date) from intermediate.days where is_newest")
        day = newest.isoformat() if isinstance(newest, date) else ""
        return {"all": self._fingerprint(self._users(day), self._holdings(day))}

    def _snapshot(self, day: str) -> str:
        files = (self._files.get((name, day), "") for name in ("portfolio_performance", "prices_daily"))
        return self._fingerprint(day, *files, self._users(day), self._holdings(day))

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
