"""Positions in pools of one user over a range of days, as the marts have them.

Belongs here: reading. What a report shows of them is in `liquidity`.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from portfolio_pipelines.delivery.reports.faults import ReportUnavailableError
from portfolio_pipelines.delivery.reports.names import LONGEST_IN_TABLE, printable, short_asset
from portfolio_pipelines.delivery.reports.portfolio_days import Period

if TYPE_CHECKING:
    import duckdb

MOST_COINS: Final = 4
"""Symbols in the name of a pool."""
COLUMNS: Final = (
    "position_id", "date", "label", "chain", "protocol", "pool", "basis", "since", "entry_price", "price",
    "price_ratio", "lower_price", "upper_price", "in_range", "il_pct", "il_usd", "fees_usd", "net_usd",
    "hodl_value_usd", "position_value_usd", "reason", "is_stale",
)  # fmt: skip
TOTALS: Final = (
    "date", "il_pct", "il_usd", "fees_usd", "net_usd", "hodl_value_usd", "position_value_usd", "positions",
    "positions_without_usd", "positions_out_of_range", "is_stale",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Position:
    """One position at the newest close of the range that knows it, and its history in the range."""

    name: str
    pool: str
    now: dict[str, Any]  # by COLUMNS
    il_pct: dict[date, float | None]


def known_period(marts: "duckdb.DuckDBPyConnection", user_id: str, first: date, last: date) -> Period:
    """The days of a range on which a position is known.

    Raises:
        ReportUnavailableError: If there is none.
    """
    start, end, known_first, known_last = marts.execute(
        "select min(date) filter (where date between ? and ?), max(date) filter (where date between ? and ?), "
        "min(date), max(date) from marts.impermanent_loss_totals where user_id = ?",
        [first, last, first, last, user_id],
    ).fetchall()[0]
    if known_first is None:
        msg = (
            f"the marts know no position in a pool of the user {user_id!r}: is the id right, and was a wallet read or "
            "a position imported (`portfolio import liquidity-positions`)?"
        )
        raise ReportUnavailableError(msg)
    if start is None:
        msg = (
            f"no position of {user_id!r} is known between {first} and {last}: the marts have {known_first} to "
            f"{known_last}; choose a range in it, or run the missing days"
        )
        raise ReportUnavailableError(msg)
    return Period(start, end, first, last)


def _rows(marts: "duckdb.DuckDBPyConnection", query: str, user_id: str, period: Period) -> list[tuple[Any, ...]]:
    where = "where user_id = ? and date between ? and ?"
    return marts.execute(f"{query} {where} order by all", [user_id, period.first, period.last]).fetchall()


def read_totals(marts: "duckdb.DuckDBPyConnection", user_id: str, period: Period) -> dict[date, dict[str, Any]]:
    """The sums of all positions by day, by TOTALS."""
    query = f"select {', '.join(TOTALS)} from marts.impermanent_loss_totals"  # noqa: S608 our own names
    return {row[0]: dict(zip(TOTALS, row, strict=True)) for row in _rows(marts, query, user_id, period)}


def read_positions(marts: "duckdb.DuckDBPyConnection", user_id: str, period: Period) -> list[Position]:
    """Positions by size, the largest first."""
    query = f"select {', '.join(COLUMNS)} from (select * from marts.impermanent_loss where is_last_of_day)"  # noqa: S608
    days: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in _rows(marts, query, user_id, period):
        found = dict(zip(COLUMNS, row, strict=True))
        days[found["position_id"]].append(found)
    pairs = _coins_of_pools(marts, user_id, period.last)
    positions = []
    for history in days.values():
        now = history[-1]
        pair = pairs.get((now["chain"], now["pool"]))
        label = printable(now["label"], LONGEST_IN_TABLE) if now["label"] else None
        pool = pair or printable(short_asset(now["pool"] or "unknown pool"), LONGEST_IN_TABLE)
        positions.append(Position(label or pool, pool, now, {row["date"]: row["il_pct"] for row in history}))
    return sorted(
        positions,
        key=lambda one: (one.now["hodl_value_usd"] is None, -(one.now["hodl_value_usd"] or 0.0), one.name,
                         one.now["position_id"]),
    )  # fmt: skip


def _coins_of_pools(marts: "duckdb.DuckDBPyConnection", user_id: str, last: date) -> dict[tuple[str, str], str]:
    """Coins of pools, by chain and contract: of followed pools, else of what the wallets hold in them."""
    held = marts.execute(
        "select chain, pool, list(distinct token order by token) from marts.defi_positions "
        "where user_id = ? and role in ('principal', 'fee') and pool is not null and token is not null group by all",
        [user_id],
    ).fetchall()
    followed = marts.execute(
        "with coins as (select chain, pool, date, list(token order by position) as tokens "
        "from marts.pool_states_daily where date <= ? and token is not null and (chain, pool) in "
        "(select (chain, pool) from marts.impermanent_loss where user_id = ?) group by all) "
        "select chain, pool, arg_max(tokens, date) from coins group by all",
        [last, user_id],
    ).fetchall()
    return {
        (chain, pool): "/".join(printable(token, 12) for token in tokens[:MOST_COINS])
        for chain, pool, tokens in [*held, *followed]
    }
