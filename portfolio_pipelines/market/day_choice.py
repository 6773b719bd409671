"""The choice of one day for all assets at once: which quote counts, what is carried, what is refused.

Belongs here: the arithmetic of the rule that `consensus` states. Days in a row and their rows are made there; the same
day as it was known at several times is replayed by `restatements`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from portfolio_pipelines.market.quote_cube import OUTCOMES, DayQuotes
from portfolio_pipelines.market.quotes import Outcome

if TYPE_CHECKING:
    from portfolio_pipelines.market.consensus import ConsensusPolicy

DAY_US: Final = 86_400_000_000
EPOCH: Final = date(1970, 1, 1)
NEVER: Final = np.iinfo(np.int64).max
TRUSTED_AT_ONCE: Final = frozenset({"file", "sample"})  # no later answer is expected from these
STATUSES: Final = np.array(["manual", "ok", "disagreement", "rate_limited", "stale", "no_source"], dtype=object)
_RATE_LIMITED: Final = OUTCOMES.index(Outcome.RATE_LIMITED)
_UNREACHABLE: Final = OUTCOMES.index(Outcome.UNREACHABLE)


@dataclass(slots=True)
class Chain:
    """Newest accepted close of each asset while the days go by; shape (assets,)."""

    close: NDArray[np.float64]
    day: NDArray[np.int64]  # days since the epoch
    provider: NDArray[np.object_]
    source: NDArray[np.object_]
    seen: NDArray[np.bool_]  # ever quoted or asked for: has a row from then on
    refused: NDArray[np.int64]  # first day of the refusals since the accepted close; NEVER when there are none

    @classmethod
    def empty(cls, size: int) -> "Chain":
        """Nothing is known of any of them."""
        return cls(
            np.full(size, np.nan),
            np.zeros(size, np.int64),
            np.full(size, None),
            np.full(size, None),
            np.zeros(size, bool),
            np.full(size, NEVER),
        )

    @classmethod
    def from_state(cls, state: pl.DataFrame, assets: Mapping[str, int]) -> "Chain":
        """What rows of schema STATE say, each asset in its place."""
        chain = cls.empty(len(assets))
        for row in state.iter_rows(named=True):
            chain.put(assets[row["asset_id"]], row)
        return chain

    def put(self, at: int, row: Mapping[str, Any]) -> None:
        """Take one row with the columns of STATE."""
        self.seen[at] = True
        if row["refused_since"] is not None:
            self.refused[at] = (row["refused_since"] - EPOCH).days
        if row["last_close_usd"] is not None:
            self.close[at] = row["last_close_usd"]
            self.day[at] = (row["last_close_date"] - EPOCH).days
            self.provider[at], self.source[at] = row["provider"], row["source"]

    def of(self, places: NDArray[np.intp]) -> "Chain":
        """A copy of some places."""
        return Chain(*(getattr(self, name)[places] for name in self.__slots__))

    def replace(self, places: NDArray[np.intp], other: "Chain") -> None:
        """Put another chain in some places."""
        for name in self.__slots__:
            getattr(self, name)[places] = getattr(other, name)


@dataclass(frozen=True, slots=True)
class Decided:
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


def decide_day(
    day: date,
    asked: DayQuotes,
    override: NDArray[np.float64],
    override_known: NDArray[np.int64],
    chain: Chain,
    policy: "ConsensusPolicy",
) -> Decided:
    """Choose for all assets of one day at once, and move the chain forward."""
    number = (day - EPOCH).days
    closes_at = (number + 1) * DAY_US
    quotes = asked.close
    present = ~np.isnan(quotes)
    of_the_close = present & (asked.known >= closes_at)
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
    known = asked.known[choice, columns]

    is_manual = ~np.isnan(override)
    chosen = np.where(is_manual, override, chosen)
    known = np.where(is_manual, override_known, known)
    fresh = accepted | is_manual

    outcomes = asked.outcome
    waited = closes_at + policy.final_after_hours * 3_600_000_000
    at_once = np.array([name in TRUSTED_AT_ONCE for name in policy.providers])[choice]
    final = np.where(is_manual, known >= 0, known >= np.where(at_once, closes_at, waited)) & fresh
    retry = ((outcomes == _RATE_LIMITED) | (outcomes == _UNREACHABLE)).any(axis=0)
    was_asked = (outcomes >= 0).any(axis=0)
    asked_enough = was_asked & ~retry & np.where(outcomes >= 0, asked.asked >= waited, True).all(axis=0)
    final |= ~fresh & ~blocked & asked_enough

    had_close = ~np.isnan(chain.close)
    carried = ~fresh & had_close & (age <= policy.max_stale_days)
    limited = ~fresh & ~blocked & (outcomes == _RATE_LIMITED).any(axis=0)
    status = np.select(
        [is_manual, accepted & agreed, accepted, limited, carried], [0, 1, 2, 3, 4], default=5
    )  # manual, ok, disagreement, rate_limited, stale, no_source
    exists = chain.seen | fresh | blocked | was_asked
    jumped_to = np.where(blocked, quotes[np.argmax(present, axis=0), columns], np.nan)
    before_close, before_day = chain.close.copy(), chain.day.copy()
    chain.refused = np.where(fresh, NEVER, np.where(blocked, np.minimum(chain.refused, number), chain.refused))
    _advance(chain, fresh, chosen, number, is_manual, choice, asked, policy.providers)
    chain.seen = exists
    return Decided(
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
    chain: Chain,
    fresh: NDArray[np.bool_],
    chosen: NDArray[np.float64],
    number: int,
    is_manual: NDArray[np.bool_],
    choice: NDArray[np.intp],
    asked: DayQuotes,
    providers: tuple[str, ...],
) -> None:
    chain.close = np.where(fresh, chosen, chain.close)
    chain.day = np.where(fresh, number, chain.day)
    for at in np.flatnonzero(fresh):
        if is_manual[at]:
            chain.provider[at], chain.source[at] = "manual", "manual"
        else:
            chain.provider[at] = providers[choice[at]]
            chain.source[at] = asked.sources[asked.source[choice[at], at]]
