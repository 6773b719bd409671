"""How the close of a day that had already been closed changed afterwards: old, new, when and why.

The past is append-only: every quote keeps the time since when it is known. This module replays those times. It looks
at the choice between quotes alone; carrying and the jump guard belong to `consensus`.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from portfolio_pipelines.market.consensus import ConsensusPolicy
from portfolio_pipelines.market.quotes import Outcome


class Pick(NamedTuple):
    """The close that was served at some time, and where it came from."""

    close_usd: float
    provider: str
    source: str


def restate(quotes: pl.DataFrame, overrides: pl.DataFrame, policy: ConsensusPolicy) -> pl.DataFrame:
    """Changes of the served close of closed days.

    Args:
        quotes: Rows of schema QUOTES, all that was ever known of the days asked for.
        overrides: Rows of `consensus.OVERRIDES`, withdrawn ones included.
        policy: The figures of the rule.

    Returns:
        Columns of RESTATEMENTS_SCHEMA, sorted by date, asset and known_at. The first close known after the end of a
        day is no restatement, and neither is anything before it.
    """
    good = quotes.filter(pl.col("outcome") == Outcome.OK)
    several = (
        good.group_by("asset_id", "date")
        .agg(n=pl.col("known_at").n_unique())
        .filter(pl.col("n") > 1)
        .select("asset_id", "date")
    )
    touched = pl.concat([several, overrides.select("asset_id", "date")]).unique()
    if touched.is_empty():
        return _frame([])
    quoted = good.join(touched, on=["asset_id", "date"], how="semi").partition_by("asset_id", "date", as_dict=True)
    manual = overrides.partition_by("asset_id", "date", as_dict=True)
    rows: list[dict[str, Any]] = []
    for key in sorted({*quoted, *manual}, key=lambda pair: (pair[1], pair[0])):
        history = quoted[key].sort("known_at").to_dicts() if key in quoted else []
        corrections = manual[key].sort("known_at").to_dicts() if key in manual else []
        closes_at = datetime.combine(key[1] + timedelta(days=1), time(), UTC)
        rows.extend(
            {"asset_id": key[0], "date": key[1], **change}
            for change in _changes(history, corrections, closes_at, policy)
        )
    return _frame(rows)


def _changes(
    history: list[dict[str, Any]], corrections: list[dict[str, Any]], closes_at: datetime, policy: ConsensusPolicy
) -> Iterator[dict[str, Any]]:
    moments = {row["known_at"] for row in history} | {row["known_at"] for row in corrections}
    moments |= {row["withdrawn_at"] for row in corrections if row["withdrawn_at"] is not None}
    before: Pick | None = None
    for moment in sorted(moment for moment in moments if moment >= closes_at):
        pick = _pick(history, corrections, moment, closes_at, policy)
        if before is not None and pick is not None and pick.close_usd != before.close_usd:
            yield {
                "known_at": moment,
                "old_close_usd": before.close_usd,
                "new_close_usd": pick.close_usd,
                "old_source": before.source,
                "new_source": pick.source,
                "cause": _cause(before, pick),
            }
        before = pick or before


def _cause(before: Pick, after: Pick) -> str:
    if after.provider == "manual":
        return "manual_override"
    if before.provider == "manual":
        return "override_withdrawn"
    return "provider_restated" if before.provider == after.provider else "new_quote"


def _pick(
    history: list[dict[str, Any]],
    corrections: list[dict[str, Any]],
    moment: datetime,
    closes_at: datetime,
    policy: ConsensusPolicy,
) -> Pick | None:
    """The choice as it was at `moment`: the same rule as `consensus`, for one asset and day, without the guard."""
    in_force = [
        row
        for row in corrections
        if row["known_at"] <= moment and (row["withdrawn_at"] is None or row["withdrawn_at"] > moment)
    ]
    if in_force:
        return Pick(in_force[-1]["close_usd"], "manual", "manual")
    known = [row for row in history if row["known_at"] <= moment and row["provider"] in policy.providers]
    newest = {row["provider"]: row for row in [row for row in known if row["known_at"] >= closes_at] or known}
    quotes = [newest[name] for name in policy.providers if name in newest]
    if not quotes:
        return None
    closes = [row["close_usd"] for row in quotes]
    near = np.log1p(policy.tolerance)
    agreeing = [
        sum(abs(np.log(close) - np.log(other)) <= near for other in closes) * 2 > len(closes) for close in closes
    ]
    chosen = quotes[agreeing.index(True) if any(agreeing) else 0]
    return Pick(chosen["close_usd"], chosen["provider"], chosen["source"])


def _frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    schema = {
        "asset_id": pl.String(),
        "date": pl.Date(),
        "known_at": pl.Datetime("us", "UTC"),
        "old_close_usd": pl.Float64(),
        "new_close_usd": pl.Float64(),
        "old_source": pl.String(),
        "new_source": pl.String(),
        "cause": pl.String(),
    }
    return pl.DataFrame(rows, schema=schema)
