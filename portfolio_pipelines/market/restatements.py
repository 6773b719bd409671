"""How the close of a day that had already been served changed afterwards: old, new, when and why.

Belongs here: which differences between the vintages of a day are restatements, and their causes. How a day is decided
as it was known at some time is `vintages`.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from portfolio_pipelines.market.consensus import FRIDAY, ConsensusPolicy
from portfolio_pipelines.market.day_choice import DAY_US, EPOCH, STATUSES
from portfolio_pipelines.market.quotes import UTC_TIME
from portfolio_pipelines.market.vintages import HANDED_ON, DayVintages, Vintages, differ

RESTATED: Final = pl.Schema(
    {
        "asset_id": pl.String(),
        "date": pl.Date(),
        "known_at": UTC_TIME,
        "old_close_usd": pl.Float64(),
        "new_close_usd": pl.Float64(),
        "old_source": pl.String(),
        "new_source": pl.String(),
        "cause": pl.String(),
        "old_status": pl.String(),
        "new_status": pl.String(),
        "cause_date": pl.Date(),
    }
)
OF_THE_DAY: Final = np.isin(STATUSES, ["manual", "ok", "disagreement"])
"""Statuses of a close that belongs to the day itself, by their number."""


def restate(
    quotes: pl.DataFrame,
    overrides: pl.DataFrame,
    state: pl.DataFrame,
    handed_on: pl.DataFrame,
    weekday_assets: frozenset[str],
    days: Sequence[date],
    policy: ConsensusPolicy,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Changes of the served close of closed days, whether a day's own quotes made them or an earlier day's.

    A close counts as served when it is final, or when it is the day's own and became known after the day's end. The
    first such close is no restatement, and neither is anything before it.

    Args:
        quotes: Rows of schema QUOTES, all that was ever known of the days.
        overrides: Rows of `consensus.OVERRIDES`, withdrawn ones included.
        state: Rows of `consensus.STATE`: what the day before `days[0]` knew of assets that are not in `handed_on`.
        handed_on: Rows of schema HANDED_ON, the newest of each asset before `days[0]`.
        weekday_assets: Assets without a close on Saturdays and Sundays.
        days: Consecutive UTC days. Day by day, with what is handed on, gives the same rows as a range at once.
        policy: The figures of the rule.

    Returns:
        Rows of schema RESTATED, sorted by date, asset and known_at; and of schema HANDED_ON, for each of the days.
    """
    if not days:
        return RESTATED.to_frame(), HANDED_ON.to_frame()
    on_weekend = pl.col("asset_id").is_in(sorted(weekday_assets)) & (pl.col("date").dt.weekday() > FRIDAY)
    of_days = pl.col("date").is_in(list(days)) & ~on_weekend
    vintages = Vintages(quotes.filter(of_days), overrides.filter(of_days), state, handed_on, days, policy)
    is_weekday_asset = np.array([name in weekday_assets for name in vintages.names], bool)
    changes: list[dict[str, Any]] = []
    later: list[pl.DataFrame] = [HANDED_ON.to_frame()]
    for day in days if vintages.names else []:
        known = vintages.decide(day, is_weekday_asset & (day.isoweekday() > FRIDAY))
        changes += _changes(known, vintages.names, policy.providers)
        later.append(vintages.handed_on(known))
    return pl.DataFrame(changes, schema=RESTATED), pl.concat(later)


def _changes(known: DayVintages, names: list[str], providers: tuple[str, ...]) -> list[dict[str, Any]]:
    decided, asset = known.decided, known.asset
    closes_at = ((known.day - EPOCH).days + 1) * DAY_US
    its_own = OF_THE_DAY[decided.status]
    served = decided.final | (its_own & (decided.known >= closes_at))
    count = np.cumsum(served)
    first = np.searchsorted(asset, asset)  # of the same asset
    changed = np.asarray(count - served > (count - served)[first], bool)  # only what had been served can change
    changed[1:] &= differ(decided.close[1:], decided.close[:-1]) | (its_own[1:] != its_own[:-1])
    return [
        {
            "asset_id": names[asset[at]],
            "date": known.day,
            "known_at": _time(known.known[at]),
            "old_close_usd": _close(decided.close[at - 1]),
            "new_close_usd": _close(decided.close[at]),
            "old_source": _source(known, at - 1),
            "new_source": _source(known, at),
            "cause": _cause(known, at, its_own, providers),
            "old_status": STATUSES[decided.status[at - 1]],
            "new_status": STATUSES[decided.status[at]],
            "cause_date": EPOCH + timedelta(days=int(known.cause_day[at])),
        }
        for at in np.flatnonzero(changed).tolist()
    ]


def _cause(known: DayVintages, at: int, its_own: NDArray[np.bool_], providers: tuple[str, ...]) -> str:
    if not known.own[at]:
        return "knock_on"
    if not np.isnan(known.override[at]):
        return "manual_override"
    if not np.isnan(known.override[at - 1]):
        return "override_withdrawn"
    before, after = (known.decided.provider[place] if its_own[place] else None for place in (at - 1, at))
    if its_own[at]:
        return "provider_restated" if before == after else "new_quote"
    if before not in providers:
        return "new_quote"
    now, then = known.quotes.close[providers.index(before), [at, at - 1]]
    return "provider_restated" if now != then else "new_quote"


def _source(known: DayVintages, at: int) -> str | None:
    return None if np.isnan(known.decided.close[at]) else known.decided.source[at]


def _close(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _time(microseconds: int) -> Any:
    return pl.Series([int(microseconds)]).cast(UTC_TIME)[0]
