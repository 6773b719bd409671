"""The days of one user's portfolio that a report shows, as the marts have them. Nothing is computed here.

Belongs here: which days of the wish exist, and reading them onto a calendar. Days that are missing stay missing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from portfolio_pipelines.delivery.reports.faults import ReportUnavailableError

if TYPE_CHECKING:
    import duckdb

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Period:
    """The days that a report is about, both included, and what was asked for."""

    first: date
    last: date
    asked_first: date
    asked_last: date

    @property
    def base(self) -> date:
        """The close that the first day is compared with."""
        return self.first - timedelta(days=1)

    @property
    def days(self) -> list[date]:
        """Every day of it."""
        return [self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1)]


@dataclass(frozen=True, slots=True)
class PortfolioDays:
    """One user's closes; element 0 of every array is the close before the first day. NaN is null or no row."""

    user_id: str
    period: Period
    begun: date | None  # first day with an investment; None for a user with wallets alone
    total_usd: Floats  # investments and wallets
    coverage: Floats
    is_valued: Flags  # whether there is a row of the day
    is_provisional: Flags
    has_investments: Flags  # whether there is a row of the investments
    invested_usd: Floats
    value_usd: Floats  # investments alone
    pnl_usd: Floats
    flow_in_usd: Floats
    flow_out_usd: Floats
    daily_return: Floats
    twr_index: Floats

    @property
    def calendar(self) -> list[date]:
        """The day before the first, and every day of the period."""
        return [self.period.base, *self.period.days]

    @property
    def starts_anew(self) -> Flags:
        """Where a new track record begins: an index of 1.0 that no return led to."""
        return np.asarray((self.twr_index == 1.0) & np.isnan(self.daily_return) & self.has_investments)

    @property
    def index(self) -> Floats:
        """The time-weighted index; before the first investment it is 1.0."""
        index = self.twr_index.copy()
        if self.begun is not None and self.begun > self.period.base:
            index[(self.begun - self.period.base).days - 1] = 1.0
        return index


def read_days(marts: "duckdb.DuckDBPyConnection", user_id: str, first: date, last: date) -> PortfolioDays:
    """Read the days of a user that lie in a range, both ends included.

    Raises:
        ReportUnavailableError: If the marts do not know the user, or no day of the range.
    """
    period, begun = _period(marts, user_id, first, last)
    count = (period.last - period.base).days + 1
    totals = marts.execute(
        "select date_diff('day', ?::date, snapshot_timestamp::date) - 1, total_value_usd::double, coverage, is_final "
        "from marts.portfolio_snapshots where user_id = ? "
        "and snapshot_timestamp > ?::date and snapshot_timestamp <= ?::date + 1",
        [period.base, user_id, period.base, period.last],
    ).fetchall()
    investments = marts.execute(
        "select date_diff('day', ?::date, date), invested_usd, value_usd, pnl_usd, flow_in_usd, flow_out_usd, "
        "daily_return, twr_index from marts.portfolio_performance_daily where user_id = ? and date between ? and ?",
        [period.base, user_id, period.base, period.last],
    ).fetchall()
    is_valued, provisional, has_investments = (np.zeros(count, bool) for _ in range(3))
    total, coverage = _column(totals, 1, count), _column(totals, 2, count)
    for row in totals:
        is_valued[row[0]], provisional[row[0]] = True, not row[3]
    for row in investments:
        has_investments[row[0]] = True
    invested, value, pnl, flow_in, flow_out, daily, index = (_column(investments, n, count) for n in range(1, 8))
    return PortfolioDays(
        user_id, period, begun, total, coverage, is_valued, provisional, has_investments,
        invested, value, pnl, flow_in, flow_out, daily, index,
    )  # fmt: skip


def _period(marts: "duckdb.DuckDBPyConnection", user_id: str, first: date, last: date) -> tuple[Period, date | None]:
    """The days of the range that there are, and the day of the first investment.

    Raises:
        ReportUnavailableError: If there is none.
    """
    bounds = marts.execute(
        "select min(date), max(date) from marts.portfolio_performance_daily where user_id = ?", [user_id]
    ).fetchone()
    begun, newest = bounds or (None, None)
    snapshots = marts.execute(
        "select min(snapshot_timestamp)::date - 1, max(snapshot_timestamp)::date - 1 "
        "from marts.portfolio_snapshots where user_id = ?",
        [user_id],
    ).fetchone()
    known = [day for day in (begun, newest, *(snapshots or ())) if day is not None]
    if not known:
        msg = (
            f"the marts know no day of the user {user_id!r}: is the id right, and was `portfolio run` done "
            "since the first investment or wallet came in?"
        )
        raise ReportUnavailableError(msg)
    start, end = max(first, min(known)), min(last, max(known))
    if start > end:
        msg = (
            f"no day of {user_id!r} lies between {first} and {last}: the marts have {min(known)} to {max(known)}; "
            "choose a range in it, or run the missing days"
        )
        raise ReportUnavailableError(msg)
    return Period(start, end, first, last), begun


def _column(rows: Sequence[tuple[object, ...]], column: int, count: int) -> Floats:
    """One figure by day; NaN where there is no row or no value."""
    found = np.full(count, np.nan)
    for row in rows:
        value = row[column]
        if isinstance(value, int | float):
            found[int(str(row[0]))] = value
    return found
