"""How profit and loss of past days changed when transactions became known late: old, new, when and why.

Transactions are append-only: every version keeps the time since when it is known and until when it held. This module
compares what was known before a day with what was known after it, both at the prices of today: a price that changed is
no business of a ledger. No I/O, no clock, no Dagster.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import polars as pl

from portfolio_pipelines.finance.lot_movements import LedgerPolicy
from portfolio_pipelines.finance.lots_ledger import compute_lots
from portfolio_pipelines.finance.lots_totals import LEDGER, daily_totals
from portfolio_pipelines.finance.transactions import TRANSACTIONS, USD, TransferMatching, in_order

VERSIONS: Final = pl.Schema(
    {
        **TRANSACTIONS,
        "version": pl.Int32(),
        "known_at": pl.Datetime("us", "UTC"),
        "superseded_at": pl.Datetime("us", "UTC"),  # null while it holds
    }
)
FIGURES: Final = ("realised_usd", "unrealised_usd", "pnl_usd")
RESTATED: Final = pl.Schema(
    {
        "user_key": pl.Int32(),
        "scope": pl.String(),
        "method": pl.String(),
        "restated_day": pl.Date(),
        "known_at": pl.Datetime("us", "UTC"),
        **{f"{which}_{name}": USD for name in FIGURES for which in ("old", "new")},
        "cause": pl.String(),
        "transactions": pl.Int32(),
    }
)
CAUSES: Final = ("added", "corrected", "removed")
Closes = Mapping[date, Mapping[str, float]]


def restate_ledgers(
    versions: pl.DataFrame,
    learned_on: date,
    days: Sequence[date],
    prices: Callable[[list[date]], pl.DataFrame],
    closes: Callable[[list[str], list[date]], Closes],
    *,
    decimals: Mapping[str, int] | None = None,
    policy: LedgerPolicy | None = None,
    matching: TransferMatching | None = None,
) -> pl.DataFrame:
    """Totals of closed days that changed because of what became known on one day.

    Args:
        versions: Schema VERSIONS, all that was known by the end of the day of every user who learned something on it.
        learned_on: The day.
        days: The days that have totals, ascending; those before `learned_on` count.
        prices: Gives rows of `transaction_values.PRICES` for days.
        closes: Gives the usable closes of assets on days.
        decimals: As for `compute_lots`.
        policy: How lots are made.
        matching: When halves of transfers belong together.

    Returns:
        Schema RESTATED, sorted; a ledger and day without a change has no row. A user without a ledger before has none:
        a first import restates nothing.
    """
    begins = datetime.combine(learned_on, time(), UTC)
    ends = begins + timedelta(days=1)
    old = in_order(_known(versions, begins), matching)
    users = old["user_key"].unique()
    mine = versions.filter(pl.col("user_key").is_in(users.implode()))
    new = in_order(_known(mine, ends), matching)
    first = _first_change(old, new)
    affected = [day for day in days if first is not None and first <= day < learned_on]
    if not affected:
        return pl.DataFrame(schema=RESTATED)

    def totals(rows: pl.DataFrame) -> pl.DataFrame:
        rows = rows.filter(pl.col("day") <= affected[-1])
        lots = compute_lots(rows, prices(rows["day"].unique().sort().to_list()), decimals=decimals, policy=policy)
        held = closes(lots.entries["asset_id"].unique().sort().to_list(), affected)
        by_day = daily_totals(lots.entries, lots.uses, lots.values, held, affected)
        return pl.concat([frame.with_columns(restated_day=pl.lit(day)) for day, frame in by_day])

    gain = pl.col("realised_usd") + pl.col("income_usd") - pl.col("expense_usd") + pl.col("unrealised_usd")
    keys = [*LEDGER, "restated_day"]
    before, after = (totals(rows).with_columns(pnl_usd=gain).select(*keys, *FIGURES) for rows in (old, new))
    both = before.rename({name: f"old_{name}" for name in FIGURES}).join(
        after.rename({name: f"new_{name}" for name in FIGURES}), on=keys, how="full", coalesce=True
    )
    same = pl.all_horizontal(pl.col(f"old_{name}").eq_missing(pl.col(f"new_{name}")) for name in FIGURES)
    causes = _causes(mine, begins, ends)
    return both.filter(~same).join(causes, on="user_key").select(RESTATED.names()).cast(RESTATED).sort(keys)


def _known(versions: pl.DataFrame, moment: datetime) -> pl.DataFrame:
    """The versions that held just before a moment."""
    holds = (pl.col("known_at") < moment) & (pl.col("superseded_at").is_null() | (pl.col("superseded_at") >= moment))
    return versions.filter(holds).select(TRANSACTIONS.names()).sort("user_key", "transaction_key")


def _first_change(old: pl.DataFrame, new: pl.DataFrame) -> date | None:
    """The first day whose transactions differ: halves of transfers may move to an earlier day."""
    facts = [name for name in old.columns if name != "rank"]
    differ = [
        one.select(facts).join(other.select(facts), on=facts, how="anti", nulls_equal=True)["day"].min()
        for one, other in ((old, new), (new, old))
    ]
    days = [day for day in differ if isinstance(day, date)]
    return min(days, default=None)


def _causes(versions: pl.DataFrame, begins: datetime, ends: datetime) -> pl.DataFrame:
    """What happened to each user's transactions: user_key, known_at, cause, transactions."""
    came = pl.col("known_at").is_between(begins, ends, closed="left")
    went = pl.col("superseded_at").is_between(begins, ends, closed="left").fill_null(value=False)
    by_leg = versions.group_by("user_key", "transaction_key", "transaction_id").agg(
        came=came.any(),
        went=went.any(),
        was_there=(pl.col("known_at") < begins).any(),
        known_at=pl.max_horizontal(pl.col("known_at").filter(came).max(), pl.col("superseded_at").filter(went).max()),
    )
    kind = (
        pl.when(pl.col("came") & (pl.col("went") | pl.col("was_there")))
        .then(pl.lit("corrected"))
        .when("came")
        .then(pl.lit("added"))
        .otherwise(pl.lit("removed"))
    )
    touched = by_leg.filter(pl.col("came") | pl.col("went")).with_columns(kind=kind)
    words = [
        pl.when((pl.col("kind") == name).any()).then(pl.lit(f"transactions {name}")).otherwise(None).alias(name)
        for name in CAUSES
    ]
    found = touched.group_by("user_key").agg(
        pl.col("known_at").max(), pl.col("transaction_id").n_unique().cast(pl.Int32).alias("transactions"), *words
    )
    return found.with_columns(cause=pl.concat_str(CAUSES, separator="; ", ignore_nulls=True)).drop(CAUSES)
