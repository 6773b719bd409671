"""One close for each asset and day out of many quotes, with a status that says how far it can be trusted.

Belongs here: choosing between quotes, carrying a last known price, blocking absurd jumps. Not here: asking providers
(`fetch`) and the history of changed minds (`restatements`).

The rule, in order: a manual override; the quotes that agree within the tolerance with a majority of the others, by
priority of their provider; else the first by priority, flagged `disagreement`. Once a day is closed, a quote from
before its close counts only while there is no later one.

A quote that jumps is never taken: the last accepted close is carried as `stale` until an override confirms the jump. A
spike heals itself when the old level returns within `gap_days`; a refusal that stands longer opens for an override
only. Otherwise a coin that died and a new one under its name would meet by chance: LUNA was refused from 17.46 down to
0.00005 in May 2022, and its successor's 8.87 would have looked like a fall by half.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from portfolio_pipelines.market.day_choice import EPOCH, NEVER, STATUSES, Chain, Decided, decide_day
from portfolio_pipelines.market.quote_cube import OUTCOMES, arrange_overrides, arrange_quotes

FRIDAY: Final = 5  # as polars counts weekdays

OVERRIDES: Final = pl.Schema(
    {
        "asset_id": pl.String(),
        "date": pl.Date(),
        "close_usd": pl.Float64(),
        "who": pl.String(),
        "known_at": pl.Datetime("us", "UTC"),
        "withdrawn_at": pl.Datetime("us", "UTC"),
    }
)
"""Manual closes; `withdrawn_at` null = in force."""

STATE: Final = pl.Schema(
    {
        "asset_id": pl.String(),
        "last_close_usd": pl.Float64(),
        "last_close_date": pl.Date(),
        "provider": pl.String(),
        "source": pl.String(),
        "refused_since": pl.Date(),  # first day of the refusals since that close; null when none was refused
    }
)
"""What the day before hands on: the newest accepted close of each asset, and whether quotes are refused since then."""


_NOTHING_TRACKED: Final = pl.DataFrame(schema={"asset_id": pl.String, "date": pl.Date})


@dataclass(frozen=True, slots=True)
class ConsensusPolicy:
    """The figures of the rule."""

    providers: tuple[str, ...] = ("coingecko", "defillama", "yahoo", "file", "sample")  # first = most trusted
    tolerance: float = 0.03
    max_stale_days: int = 7
    jump_factor: float = 5.0
    gap_days: int = 3
    gap_jump_factor: float = 2.0
    final_after_hours: int = 24


def decide_prices(
    quotes: pl.DataFrame,
    overrides: pl.DataFrame,
    state: pl.DataFrame,
    weekday_assets: frozenset[str],
    days: Sequence[date],
    policy: ConsensusPolicy,
    tracked: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Daily prices of every asset that was ever quoted or is tracked, for consecutive days.

    Args:
        quotes: Rows of schema QUOTES for `days`; of several answers of one provider the newest good one counts.
        overrides: Rows of schema OVERRIDES.
        state: Rows of schema STATE: what the day before `days[0]` knew. Deciding day by day with the state handed on
            gives the same rows as deciding a range at once.
        weekday_assets: Assets without a close on Saturdays and Sundays: no row there, and quotes are passed over.
        days: Consecutive UTC days.
        policy: The figures of the rule.
        tracked: Columns asset_id, date: what has a row also when nobody was asked for it, or could be.

    Returns:
        Rows sorted by day and asset, with the columns of PRICES_SCHEMA in `tables`.

    Raises:
        ValueError: If the days are not consecutive.
    """
    if any(later - earlier != timedelta(days=1) for earlier, later in itertools.pairwise(days)):
        msg = "days must be consecutive: a price can be carried from the day before"
        raise ValueError(msg)
    weekend_of_index = pl.col("asset_id").is_in(sorted(weekday_assets)) & (pl.col("date").dt.weekday() > FRIDAY)
    quotes = quotes.filter(~weekend_of_index)
    manual = overrides.filter(pl.col("withdrawn_at").is_null() & pl.col("date").is_in(list(days)) & ~weekend_of_index)
    due = (_NOTHING_TRACKED if tracked is None else tracked).filter(
        pl.col("date").is_in(list(days)) & ~weekend_of_index
    )
    names = sorted({name for rows in (quotes, manual, state, due) for name in rows["asset_id"].unique()})
    if not names or not days:
        return _empty()
    assets = {name: index for index, name in enumerate(names)}
    cube = arrange_quotes(quotes, assets, days, policy.providers)
    override_close, override_known = arrange_overrides(manual, assets, days)
    expected = np.zeros((len(days), len(names)), bool)
    expected[(due["date"] - days[0]).dt.total_days().to_numpy(), due["asset_id"].replace_strict(assets).to_numpy()] = (
        True
    )
    chain = Chain.from_state(state, assets)
    is_weekday_asset = np.array([name in weekday_assets for name in names])
    parts = []
    for index, day in enumerate(days):
        chain.seen = chain.seen | expected[index]
        decided = decide_day(day, cube.on(index), override_close[index], override_known[index], chain, policy)
        keep = decided.exists
        if day.weekday() >= 5:
            keep = keep & ~is_weekday_asset
        parts.append(_rows(day, names, policy.providers, decided, keep))
    return pl.concat(parts)


def _rows(
    day: date,
    names: list[str],
    providers: tuple[str, ...],
    decided: Decided,
    keep: NDArray[np.bool_],
) -> pl.DataFrame:
    at = np.flatnonzero(keep)
    status = STATUSES[decided.status[at]]
    close = decided.close[at]
    unpriced = np.isnan(close)
    reasons = [
        None if name == "ok" else _reason(name, int(position), decided, providers)
        for name, position in zip(status, at, strict=True)
    ]
    return pl.DataFrame(
        {
            "asset_id": pl.Series([names[position] for position in at], dtype=pl.String),
            "date": pl.Series([day] * len(at), dtype=pl.Date),
            "close_usd": close,
            "status": pl.Series(status.tolist(), dtype=pl.String),
            "reason": pl.Series(reasons, dtype=pl.String),
            "provider": pl.Series(_unless(unpriced, decided.provider[at]), dtype=pl.String),
            "source": pl.Series(_unless(unpriced, decided.source[at]), dtype=pl.String),
            "n_quotes": decided.n_quotes[at].astype(np.int32),
            "disagreement": decided.spread[at],
            "is_final": decided.final[at],
            "known_at": pl.Series(decided.known[at]).replace(-1, None).cast(pl.Datetime("us", "UTC")),
            "last_close_usd": decided.last_close[at],
            "last_close_date": pl.Series(decided.last_day[at]).cast(pl.Int32).cast(pl.Date),
            "refused_since": pl.Series(decided.refused_since[at]).replace(NEVER, None).cast(pl.Int32).cast(pl.Date),
        }
    ).with_columns(
        pl.col("close_usd", "disagreement", "last_close_usd").fill_nan(None),
        last_close_date=pl.when(pl.col("last_close_usd").is_not_nan()).then("last_close_date"),
    )


def _unless(unpriced: NDArray[np.bool_], names: NDArray[np.object_]) -> list[str | None]:
    return [None if missing else name for missing, name in zip(unpriced, names, strict=True)]


def _reason(status: str, at: int, decided: Decided, providers: tuple[str, ...]) -> str:
    if status == "manual":
        return "manual override"
    if status == "disagreement":
        return f"quotes differ by {float(decided.spread[at]):.1%}; took the provider of highest priority"
    last = float(decided.before_close[at])
    last_day = EPOCH + timedelta(days=int(decided.before_day[at]))
    target = float(decided.jumped_to[at])
    if not np.isnan(target):
        since = EPOCH + timedelta(days=int(decided.refused_since[at]))
        return (
            f"jump from {last:.6g} ({last_day}) to {target:.6g} (x{target / last:.3g}) is blocked since {since}, until "
            "an override confirms it"
        )
    answers = [
        f"{provider}: {OUTCOMES[int(code)]}"
        for provider, code in zip(providers, decided.outcomes[:, at], strict=True)
        if code > 0
    ]
    said = "; ".join(answers) if answers else "nobody quoted this day"
    if np.isnan(last):
        return said
    return f"{said}; last close {last:.6g} of {last_day}"


def _empty() -> pl.DataFrame:
    return pl.DataFrame(
        schema={
            "asset_id": pl.String,
            "date": pl.Date,
            "close_usd": pl.Float64,
            "status": pl.String,
            "reason": pl.String,
            "provider": pl.String,
            "source": pl.String,
            "n_quotes": pl.Int32,
            "disagreement": pl.Float64,
            "is_final": pl.Boolean,
            "known_at": pl.Datetime("us", "UTC"),
            "last_close_usd": pl.Float64,
            "last_close_date": pl.Date,
            "refused_since": pl.Date,
        }
    )
