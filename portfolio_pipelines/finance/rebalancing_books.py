"""Plans for all strategies of all users at once: from rows of holdings beside their targets to rows of steps.

Belongs here: sorting out who can be planned for and how, filling the arrays, naming the steps. The arithmetic is in
`rebalancing` and `rebalancing_optimum`; where rows come from and where plans are kept is nothing to it.
"""

from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid5

import numpy as np
import polars as pl
from numpy.typing import NDArray

from portfolio_pipelines.finance.rebalancing import (
    Portfolios,
    benefit_of,
    is_worth_it,
    propose,
)
from portfolio_pipelines.finance.rebalancing_optimum import NoPlanError, Optimum, Wishes, cheapest_plan, gas_of_swap
from portfolio_pipelines.finance.rebalancing_steps import STEPS, named, nothing, steps_of
from portfolio_pipelines.finance.rebalancing_swaps import CENT, paired

BOOK_ROWS: Final = pl.Schema(
    {
        "strategy_key": pl.Int32(),
        "version": pl.Int32(),
        "asset_id": pl.String(),
        "token": pl.String(),  # how it is called in a reason
        "place": pl.String(),  # chain, or market
        "target": pl.Float64(),
        "band": pl.Float64(),
        "value_usd": pl.Float64(),  # null when something of it has no price
        "price_usd": pl.Float64(),  # null when unknown
        "sellable_usd": pl.Float64(),
        "is_outside": pl.Boolean(),  # null when it cannot be told
        "may_sell": pl.Boolean(),
        "may_buy": pl.Boolean(),
        "min_trade_usd": pl.Float64(),
        "max_cost_share": pl.Float64(),
        "gas_usd": pl.Float64(),  # gas of one swap in that place; null when unknown
    }
)
"""One row an asset of a strategy."""

PLANS: Final = pl.Schema(
    {
        "plan_id": pl.String(),
        "strategy_key": pl.Int32(),
        "version": pl.Int32(),
        "method": pl.String(),
        "status": pl.String(),  # proposed, not_suggested
        "portfolio_usd": pl.Float64(),
        "benefit_usd": pl.Float64(),
        "gas_usd": pl.Float64(),
        "slippage_usd": pl.Float64(),
        "is_complete": pl.Boolean(),
        "steps": pl.String(),  # JSON array of rebalancing_steps.STEP_FIELDS
    }
)
UNPRICED: Final = "something that the strategy covers has no usable price: its shares are not known"
IN_DEBT: Final = "more is owed than held of something that the strategy covers"
GAS_UNKNOWN: Final = "what gas costs is not known, so nobody can say whether the plan is worth it"
NO_HELP: Final = "the limits of the strategy allow no trade that helps"
NO_SOLUTION: Final = "no plan was found in time"
_NAMESPACE: Final = UUID("8f1c7f5e-3d0c-4d1b-9a53-0f6d3b5c2a10")


@dataclass(frozen=True, slots=True)
class _Found:
    """Plans as columns, and their steps as columns; `row` points into the book of rows."""

    plans: pl.DataFrame
    steps: pl.DataFrame


def plans_of(book: pl.DataFrame, as_of: str, *, new_money_usd: float | None = None) -> pl.DataFrame:
    """A plan for each strategy of which some asset is outside its band.

    In closed form where everything is traded in one place without limits; else the cheapest plan is solved for.

    Args:
        book: Schema BOOK_ROWS, complete strategies.
        as_of: The day, part of the plans' ids: the same day and the same steps are the same plan.
        new_money_usd: A person asks: every strategy gets the cheapest plan, new money invested; None for the night.

    Returns:
        Schema PLANS, sorted by strategy_key. A strategy within its bands has no row (asked for: status not_suggested).
    """
    book = book.select(BOOK_ROWS.names()).cast(BOOK_ROWS).sort("strategy_key", "asset_id").with_row_index("row")
    judged = _judged(book, asked=new_money_usd is not None)
    found = [_refused(judged)]
    simple = judged.filter(pl.col("reason").is_null() & pl.col("is_simple"))
    unsettled: list[int] = []
    if new_money_usd is None and simple.height:
        closed, unsettled = _closed_form(book, simple)
        found += closed
    limited = judged.filter(pl.col("reason").is_null())
    if new_money_usd is None:
        limited = limited.filter(~pl.col("is_simple") | pl.col("strategy_key").is_in(unsettled))
    method = "optimum" if new_money_usd is None else "request"
    own = book.join(limited.select("strategy_key"), on="strategy_key", how="semi")
    found += [_solved(rows, method, new_money_usd or 0.0) for rows in own.partition_by("strategy_key")]
    plans = pl.concat([part.plans for part in found])
    steps = named(pl.concat([part.steps for part in found]), book)
    return _with_ids(plans.join(steps, on="strategy_key", how="left"), as_of)


def _judged(book: pl.DataFrame, *, asked: bool) -> pl.DataFrame:
    """One row a strategy that needs a plan: whether it is simple, or why it can have none."""
    is_wanted = pl.lit(value=True) if asked else pl.col("is_outside").any() | pl.col("value_usd").is_null().any()
    never = pl.col("target") + pl.col("band") <= 0
    limits = (
        ~pl.col("may_sell")
        | (~pl.col("may_buy") & ~never)
        | (pl.col("sellable_usd") < pl.col("value_usd") - CENT)
        | (pl.col("min_trade_usd") > 0)
        | pl.col("gas_usd").is_null()
    )
    judged = book.group_by("strategy_key", maintain_order=True).agg(
        pl.col("version").first(),
        is_wanted.alias("is_wanted"),
        pl.len().alias("assets"),
        pl.col("value_usd").sum().alias("portfolio_usd"),
        (~limits.fill_null(value=True)).all().and_(pl.col("place").n_unique() == 1).alias("is_simple"),
        pl.when(pl.col("value_usd").is_null().any())
        .then(pl.lit(UNPRICED))
        .when((pl.col("value_usd") < 0).any())
        .then(pl.lit(IN_DEBT))
        .when(pl.col("gas_usd").is_null().all())
        .then(pl.lit(GAS_UNKNOWN))
        .alias("reason"),
    )
    return judged.filter(pl.col("is_wanted"))


def _refused(judged: pl.DataFrame) -> _Found:
    """Strategies for which nothing can be planned."""
    refused = judged.filter(pl.col("reason").is_not_null())
    unknown = pl.when(pl.col("reason") == UNPRICED).then(None).otherwise(pl.col("portfolio_usd"))
    plans = refused.select(
        "strategy_key", "version", method=pl.lit("closed_form"), status=pl.lit("not_suggested"),
        portfolio_usd=unknown, benefit_usd=pl.lit(0.0), gas_usd=pl.lit(0.0), slippage_usd=pl.lit(0.0),
        is_complete=pl.lit(value=False),
    )  # fmt: skip
    return _Found(plans, nothing(refused["strategy_key"].to_numpy(), refused["reason"].to_list()))


def _closed_form(book: pl.DataFrame, simple: pl.DataFrame) -> tuple[list[_Found], list[int]]:
    """Plans of those without limits, in groups of similar size so that little is padded; who must be solved for."""
    found, unsettled = [], []
    own = book.join(simple.select("strategy_key", "assets"), on="strategy_key")
    width = 2 ** np.ceil(np.log2(own["assets"].to_numpy())).astype(int)
    for wide in np.unique(width).tolist():
        rows = own.filter(pl.Series(width == wide))
        part, open_keys = _closed_group(rows, wide)
        found.append(part)
        unsettled += open_keys
    return found, unsettled


def _closed_group(rows: pl.DataFrame, wide: int) -> tuple[_Found, list[int]]:
    key = rows["strategy_key"].to_numpy()
    starts = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    counts = np.diff(np.r_[starts, len(key)])
    line = np.repeat(np.arange(len(starts)), counts)
    column = np.arange(len(key)) - np.repeat(starts, counts)

    def matrix(values: NDArray[np.float64]) -> NDArray[np.float64]:
        filled = np.zeros((len(starts), wide))
        filled[line, column] = values
        return filled

    portfolios = Portfolios(*(matrix(rows[name].to_numpy()) for name in ("value_usd", "target", "band")))
    first = rows[starts.tolist()]
    gas = first["gas_usd"].to_numpy()
    share = first["max_cost_share"].to_numpy()
    proposals = propose(portfolios, gas, share)
    keep = proposals.is_settled
    good = keep & proposals.is_worth_it
    trades = np.where(good[:, None], proposals.trades, 0.0)
    swaps = paired(trades)
    plans = pl.DataFrame(
        {
            "strategy_key": first["strategy_key"],
            "version": first["version"],
            "method": pl.Series(["closed_form"]).new_from_index(0, len(first)),
            "status": np.where(good, "proposed", "not_suggested"),
            "portfolio_usd": portfolios.totals,
            "benefit_usd": proposals.benefit_usd,
            "gas_usd": proposals.gas_usd,
            "slippage_usd": proposals.slippage_usd,
            "is_complete": good,
        }
    )
    dear = np.flatnonzero(keep & ~good)
    reasons = [
        _too_dear(cost, gain, limit)
        for cost, gain, limit in zip(proposals.costs_usd[dear], proposals.benefit_usd[dear], share[dear], strict=True)
    ]
    positions = matrix(rows["row"].to_numpy().astype(float)).astype(np.int64)
    steps = steps_of(swaps, trades, gas[swaps.row], positions, first["strategy_key"].to_numpy())
    left_alone = nothing(first["strategy_key"].to_numpy()[dear], reasons)
    return _Found(plans.filter(pl.Series(keep)), pl.concat([steps, left_alone])), first["strategy_key"].to_numpy()[
        ~keep
    ].tolist()


def _too_dear(cost: float, gain: float, share: float) -> str:
    return (
        f"it would cost {cost:,.2f} USD to come {gain:,.2f} USD nearer to the target: "
        f"more than {100 * share:g} %, or gas beyond a fiftieth of the portfolio"
    )


def _solved(rows: pl.DataFrame, method: str, new_money_usd: float) -> _Found:
    """The cheapest plan of one strategy."""
    values, targets, bands, gas = (
        rows[name].to_numpy().astype(float) for name in ("value_usd", "target", "band", "gas_usd")
    )
    names = {place: number for number, place in enumerate(dict.fromkeys(rows["place"]))}
    wishes = Wishes(
        values, targets, bands, gas, tuple(names[place] for place in rows["place"]),
        np.where(rows["may_sell"].to_numpy(), np.maximum(rows["sellable_usd"].fill_null(0.0).to_numpy(), 0.0), 0.0),
        rows["may_buy"].to_numpy(), float(rows["min_trade_usd"][0]), new_money_usd,
    )  # fmt: skip
    total = float(values.sum()) + new_money_usd
    try:
        best = cheapest_plan(wishes)
        reason = None
    except NoPlanError:
        best = Optimum(np.zeros(len(values)), (), 0.0, 0.0, 0.0, is_complete=False)
        reason = NO_SOLUTION
    benefit = _nearer(values, targets, best.trades, total)
    share = float(rows["max_cost_share"][0])
    if reason is None and not best.swaps:
        reason = NO_HELP if rows["is_outside"].any() else "every share is inside its band"
    elif reason is None:
        whole, gas_usd, lost, gain = (np.array([usd]) for usd in (total, best.gas_usd, best.slippage_usd, benefit))
        if not is_worth_it(whole, gas_usd, lost, gain, share).all():
            reason = _too_dear(best.gas_usd + best.slippage_usd, benefit, share)
    keys = rows["strategy_key"].to_numpy()[:1]
    plans = pl.DataFrame(
        {
            "strategy_key": keys,
            "version": rows["version"][:1],
            "method": [method],
            "status": ["proposed" if reason is None else "not_suggested"],
            "portfolio_usd": [total],
            "benefit_usd": [benefit],
            "gas_usd": [best.gas_usd],
            "slippage_usd": [best.slippage_usd],
            "is_complete": [best.is_complete],
        }
    )
    steps = nothing(keys, [reason]) if reason is not None else _solved_steps(rows, wishes, best)
    return _Found(plans, steps)


def _solved_steps(rows: pl.DataFrame, wishes: Wishes, best: Optimum) -> pl.DataFrame:
    trades = best.trades
    legs, positions = wishes.slippage.of(trades), rows["row"].to_list()
    sold = float(np.maximum(-trades, 0.0).sum())
    arrives = min((float(np.maximum(trades, 0.0).sum()) - wishes.new_money_usd) / sold, 1.0) if sold > 0 else 1.0
    found = []
    for number, (seller, buyer, amount) in enumerate(best.swaps, start=1):
        into = amount if seller < 0 else amount * max(arrives, 0.0)
        lost = float(legs[buyer]) * min(into / float(trades[buyer]), 1.0)
        if seller >= 0:
            lost += float(legs[seller]) * amount / -float(trades[seller])
        row = (
            rows["strategy_key"][0], number, None if seller < 0 else positions[seller], positions[buyer], amount, into,
            gas_of_swap(wishes, seller, buyer), lost, None,
        )  # fmt: skip
        found.append(row)
    return pl.DataFrame(found, schema=STEPS, orient="row")


def _nearer(
    values: NDArray[np.float64], targets: NDArray[np.float64], trades: NDArray[np.float64], total: float
) -> float:
    """The benefit, with new money counted as part of the whole from the start."""
    if total <= values.sum():
        return float(benefit_of(Portfolios(values[None], targets[None], targets[None]), trades[None])[0])
    aim = targets * total
    idle = total - values.sum()
    left = max(idle - float(trades.sum()), 0.0)
    return float((np.abs(values - aim).sum() + idle - np.abs(values + trades - aim).sum() - left) / 2)


def _with_ids(plans: pl.DataFrame, as_of: str) -> pl.DataFrame:
    facts = plans.select("strategy_key", "version", "method", "status", "short").iter_rows()
    ids = [str(uuid5(_NAMESPACE, "/".join(map(str, (as_of, *row))))) for row in facts]
    return (
        plans.with_columns(pl.Series("plan_id", ids, dtype=pl.String))
        .select(PLANS.names())
        .cast(PLANS)
        .sort("strategy_key")
    )
