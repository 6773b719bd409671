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

from portfolio_pipelines.market.quote_cube import OUTCOMES, QuoteCube, arrange_overrides, arrange_quotes
from portfolio_pipelines.market.quotes import Outcome

DAY_US: Final = 86_400_000_000
EPOCH: Final = date(1970, 1, 1)
FRIDAY: Final = 5  # as polars counts weekdays
NEVER: Final = np.iinfo(np.int64).max
TRUSTED_AT_ONCE: Final = frozenset({"file", "sample"})  # no later answer is expected from these

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
) -> pl.DataFrame:
    """Daily prices of every asset that was ever quoted, for consecutive days.

    Args:
        quotes: Rows of schema QUOTES for `days`; of several answers of one provider the newest good one counts.
        overrides: Rows of schema OVERRIDES.
        state: Rows of schema STATE: what the day before `days[0]` knew. Deciding day by day with the state handed on
            gives the same rows as deciding a range at once.
        weekday_assets: Assets without a close on Saturdays and Sundays: no row there, and quotes are passed over.
        days: Consecutive UTC days.
        policy: The figures of the rule.

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
    names = sorted({*quotes["asset_id"].unique(), *manual["asset_id"].unique(), *state["asset_id"].unique()})
    if not names or not days:
        return _empty()
    assets = {name: index for index, name in enumerate(names)}
    cube = arrange_quotes(quotes, assets, days, policy.providers)
    override_close, override_known = arrange_overrides(manual, assets, days)
    chain = _Chain.from_state(state, assets)
    is_weekday_asset = np.array([name in weekday_assets for name in names])
    parts = []
    for index, day in enumerate(days):
        decided = _decide_day(index, day, cube, override_close[index], override_known[index], chain, policy)
        keep = decided.exists
        if day.weekday() >= 5:
            keep = keep & ~is_weekday_asset
        parts.append(_rows(day, names, policy.providers, decided, keep))
    return pl.concat(parts)


_RATE_LIMITED: Final = OUTCOMES.index(Outcome.RATE_LIMITED)
_UNREACHABLE: Final = OUTCOMES.index(Outcome.UNREACHABLE)


@dataclass(slots=True)
class _Chain:
    """Newest accepted close of each asset while the days go by; shape (assets,)."""

    close: NDArray[np.float64]
    day: NDArray[np.int64]  # days since the epoch
    provider: NDArray[np.object_]
    source: NDArray[np.object_]
    seen: NDArray[np.bool_]  # ever quoted or asked for: has a row from then on
    refused: NDArray[np.int64]  # first day of the refusals since the accepted close; NEVER when there are none

    @classmethod
    def from_state(cls, state: pl.DataFrame, assets: dict[str, int]) -> "_Chain":
        size = len(assets)
        chain = cls(
            np.full(size, np.nan),
            np.zeros(size, np.int64),
            np.full(size, None),
            np.full(size, None),
            np.zeros(size, bool),
            np.full(size, NEVER),
        )
        for row in state.iter_rows(named=True):
            at = assets[row["asset_id"]]
            chain.seen[at] = True
            if row["refused_since"] is not None:
                chain.refused[at] = (row["refused_since"] - EPOCH).days
            if row["last_close_usd"] is not None:
                chain.close[at] = row["last_close_usd"]
                chain.day[at] = (row["last_close_date"] - EPOCH).days
                chain.provider[at], chain.source[at] = row["provider"], row["source"]
        return chain


@dataclass(frozen=True, slots=True)
class _Decided:
    """What was decided for one day; every array has shape (assets,), `outcomes` (providers, assets)."""

    exists: NDArray[np.bool_]
    close: NDArray[np.float64]
    status: NDArray[np.intp]  # index into STATUSES
    n_quotes: NDArray[np.intp]
    spread: NDArray[np.float64]
    final: NDArray[np.bool_]
    known: NDArray[np.int64]
    last_close: NDArray[np.float64]
    last_day: NDArray[np.int64]
    provider: NDArray[np.object_]
    source: NDArray[np.object_]
    jumped_to: NDArray[np.float64]  # the refused quote; NaN where nothing was refused
    before_close: NDArray[np.float64]
    before_day: NDArray[np.int64]
    refused_since: NDArray[np.int64]  # NEVER where nothing is refused
    outcomes: NDArray[np.int8]


def _decide_day(
    index: int,
    day: date,
    cube: QuoteCube,
    override: NDArray[np.float64],
    override_known: NDArray[np.int64],
    chain: _Chain,
    policy: ConsensusPolicy,
) -> _Decided:
    """Choose for all assets of one day at once, and move the chain forward."""
    number = (day - EPOCH).days
    closes_at = (number + 1) * DAY_US
    quotes = cube.close[index]
    present = ~np.isnan(quotes)
    of_the_close = present & (cube.known[index] >= closes_at)
    quotes = np.where(of_the_close | ~of_the_close.any(axis=0), quotes, np.nan)
    present = ~np.isnan(quotes)
    n_quotes = present.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.where(
            n_quotes >= 2,
            np.max(np.where(present, quotes, -np.inf), axis=0) / np.min(np.where(present, quotes, np.inf), axis=0) - 1,
            np.nan,
        )
        apart = np.abs(np.log(quotes)[:, None, :] - np.log(quotes)[None, :, :])
    group = (apart <= np.log1p(policy.tolerance)).sum(axis=1)  # quotes that agree with each quote, itself included
    in_majority = present & (group * 2 > n_quotes)
    agreed = in_majority.any(axis=0)

    age = number - chain.day
    limit = np.where(age > policy.gap_days, policy.gap_jump_factor, policy.jump_factor)
    with np.errstate(invalid="ignore"):
        ratio = quotes / chain.close
        jumps = (ratio >= limit) | (ratio <= 1 / limit) | (number - chain.refused > policy.gap_days)
    eligible = np.where(agreed, in_majority, present) & ~jumps
    choice = np.argmax(eligible, axis=0)  # providers lie in order of priority
    accepted = eligible.any(axis=0)
    blocked = (n_quotes > 0) & ~accepted
    columns = np.arange(quotes.shape[1])
    chosen = np.where(accepted, quotes[choice, columns], np.nan)
    known = cube.known[index][choice, columns]

    is_manual = ~np.isnan(override)
    chosen = np.where(is_manual, override, chosen)
    known = np.where(is_manual, override_known, known)
    fresh = accepted | is_manual

    asked_at = cube.asked[index]
    outcomes = cube.outcome[index]
    waited = closes_at + policy.final_after_hours * 3_600_000_000
    at_once = np.array([name in TRUSTED_AT_ONCE for name in policy.providers])[choice]
    final = np.where(is_manual, known >= 0, known >= np.where(at_once, closes_at, waited)) & fresh
    retry = ((outcomes == _RATE_LIMITED) | (outcomes == _UNREACHABLE)).any(axis=0)
    asked = (outcomes >= 0).any(axis=0)
    asked_enough = asked & ~retry & np.where(outcomes >= 0, asked_at >= waited, True).all(axis=0)
    final |= ~fresh & ~blocked & asked_enough

    had_close = ~np.isnan(chain.close)
    carried = ~fresh & had_close & (age <= policy.max_stale_days)
    limited = ~fresh & ~blocked & (outcomes == _RATE_LIMITED).any(axis=0)
    status = np.select(
        [is_manual, accepted & agreed, accepted, limited, carried], [0, 1, 2, 3, 4], default=5
    )  # manual, ok, disagreement, rate_limited, stale, no_source
    exists = chain.seen | fresh | blocked | asked
    jumped_to = np.where(blocked, quotes[np.argmax(present, axis=0), columns], np.nan)
    before_close, before_day = chain.close.copy(), chain.day.copy()
    chain.refused = np.where(fresh, NEVER, np.where(blocked, np.minimum(chain.refused, number), chain.refused))
    _advance(chain, fresh, chosen, number, is_manual, choice, cube, index, policy.providers)
    chain.seen = exists
    return _Decided(
        exists=exists,
        close=np.where(fresh, chosen, np.where(carried, before_close, np.nan)),
        status=status,
        n_quotes=n_quotes,
        spread=spread,
        final=final,
        known=np.where(fresh, known, -1),
        last_close=chain.close.copy(),
        last_day=chain.day.copy(),
        provider=chain.provider.copy(),
        source=chain.source.copy(),
        jumped_to=jumped_to,
        before_close=before_close,
        before_day=before_day,
        refused_since=chain.refused.copy(),
        outcomes=outcomes,
    )


def _advance(
    chain: _Chain,
    fresh: NDArray[np.bool_],
    chosen: NDArray[np.float64],
    number: int,
    is_manual: NDArray[np.bool_],
    choice: NDArray[np.intp],
    cube: QuoteCube,
    index: int,
    providers: tuple[str, ...],
) -> None:
    chain.close = np.where(fresh, chosen, chain.close)
    chain.day = np.where(fresh, number, chain.day)
    for at in np.flatnonzero(fresh):
        if is_manual[at]:
            chain.provider[at], chain.source[at] = "manual", "manual"
        else:
            chain.provider[at] = providers[choice[at]]
            chain.source[at] = cube.sources[cube.source[index, choice[at], at]]


STATUSES: Final = np.array(["manual", "ok", "disagreement", "rate_limited", "stale", "no_source"], dtype=object)


def _rows(
    day: date,
    names: list[str],
    providers: tuple[str, ...],
    decided: _Decided,
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


def _reason(status: str, at: int, decided: _Decided, providers: tuple[str, ...]) -> str:
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
