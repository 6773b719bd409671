"""Positions in dollars: loss, fees and net of liquidity against holding what was put in. No I/O.

For every position, in USD:

- `hodl_value_usd`: what was put in, at the prices now;
- `position_value_usd`: what the pool made of it, without fees;
- `il_usd` = position_value_usd - hodl_value_usd, and `il_pct` the same in percent of hodl_value_usd (-20 = 20 % lost);
- `fees_usd`: what it earned beside, and `net_usd` = il_usd + fees_usd.

Coins of a pair count at the price of their pool, and one of them at its price in USD (coin 1, else coin 0): a market
price that lags the pool would otherwise show as a gain or loss of the pool. Coins of Curve, and of weighted pools of
more than two, count at market prices.
What cannot be known is null, with a reason; never 0.
"""

from typing import Final

import numpy as np
import polars as pl

from portfolio_pipelines.finance.impermanent_loss import (
    Floats,
    concentrated_loss,
    constant_product_loss,
    range_amounts,
    range_share,
    uneven_deposit,
    weighted_amounts,
    weighted_loss,
)
from portfolio_pipelines.finance.impermanent_loss_bases import POSITION
from portfolio_pipelines.finance.impermanent_loss_stable import stable_swap_loss, stable_swap_share

CONSTANT_PRODUCT: Final = ("uniswap_v2", "sushiswap")
CONCENTRATED: Final = "uniswap_v3"
STABLE: Final = "curve"
WEIGHTED: Final = "balancer_v2"

FIGURES: Final = ("il_pct", "il_usd", "fees_usd", "net_usd", "hodl_value_usd", "position_value_usd")

ENTERED: Final = pl.Schema(
    {
        "protocol": pl.String(),
        "entry_price": pl.Float64(),  # of coin 0 in coin 1
        "price": pl.Float64(),  # the same now; null when unknown
        "amount0": pl.Float64(),  # whole units put in; null when not said
        "amount1": pl.Float64(),
        "usd0": pl.Float64(),  # of one whole coin 0 now; null without a usable price
        "usd1": pl.Float64(),
        "coins": pl.Int16(),  # of the pool
        "amplification": pl.Float64(),  # Curve's A
        "weight0": pl.Float64(),  # of coin 0 of two in a weighted pool, the other's is 1 less it; null elsewhere
        "growth_since": pl.Float64(),  # growth of a share by fees since entry, 0.01 = 1 %; null when unknown
        "lower_price": pl.Float64(),  # of the range; null without one, or when nobody knows it
        "upper_price": pl.Float64(),
        "units": pl.Float64(),  # liquidity on entry, sqrt(x y) or x^w y^(1 - w) in whole units; null unless read
        "fees_usd": pl.Float64(),  # fees that are kept apart, as far as they were read
    }
)
"""What users entered, one row a position, with what is known of its pool now."""


def entered_losses(positions: pl.DataFrame) -> pl.DataFrame:
    """Losses of positions whose price of entry is known from their owner.

    The loss in percent follows from prices alone. Dollars need the deposit: the amounts that the owner gave
    (basis `entered`), else for a position that was read too what its liquidity took at the entry price
    (`entry_price`); without either there is only the percentage (`percent_only`).

    Args:
        positions: ENTERED, and any other columns.

    Returns:
        The same rows with FIGURES, `price_ratio`, `in_range`, `basis` and `reason`.
    """
    column = {name: _floats(positions, name) for name, kind in ENTERED.items() if kind == pl.Float64}
    before, now = column["entry_price"], column["price"]
    loss, share = _loss_and_share(positions["protocol"], positions["coins"].to_numpy() == 2, column)
    is_unbounded = np.isin(positions["protocol"].to_numpy(), CONSTANT_PRODUCT)
    lower = np.where(is_unbounded, 0.0, column["lower_price"])
    first, second = range_amounts(before, lower, np.where(is_unbounded, np.inf, column["upper_price"]))
    is_weighted = positions["protocol"].to_numpy() == WEIGHTED
    first[is_weighted], second[is_weighted] = weighted_amounts(before[is_weighted], column["weight0"][is_weighted])
    is_given = ~np.isnan(column["amount0"])
    amount0 = np.where(is_given, column["amount0"], column["units"] * first)
    amount1 = np.where(is_given, column["amount1"], column["units"] * second)
    held, made = uneven_deposit(before, now, amount0, amount1, share, loss)
    with np.errstate(all="ignore"):
        usd = np.where(np.isnan(column["usd1"]), column["usd0"] / now, column["usd1"])
        own_loss = np.where(is_given & (held > 0), made / held - 1, loss)
        fees = np.where(positions["protocol"].to_numpy() == CONCENTRATED, column["fees_usd"],
                        made * usd * column["growth_since"])  # fmt: skip
        ratio = np.where(before > 0, now / before, np.nan)
    # A deposit that fits its pool loses what the formula says, to the last digit.
    fits = np.isclose(amount0 * before * (1 - share), amount1 * share, rtol=1e-9, atol=0)
    percent = 100 * np.where(fits, loss, own_loss)
    basis = np.where(is_given, "entered", np.where(np.isnan(amount0), "percent_only", "entry_price"))
    rows = positions.with_columns(
        _series("il_pct", percent),
        _series("hodl_value_usd", held * usd),
        _series("position_value_usd", made * usd),
        _series("fees_usd", fees),
        _series("price_ratio", ratio),
        pl.Series("basis", basis, dtype=pl.String),
    )
    return rows.with_columns(_differences()).with_columns(
        in_range=(pl.col("price") >= pl.col("lower_price")) & (pl.col("price") < pl.col("upper_price")),
        reason=pl.when(pl.col("price").is_null())
        .then(pl.lit("price_unknown"))
        .when((pl.col("protocol") == CONCENTRATED) & pl.col("lower_price").is_null())
        .then(pl.lit("range_unknown"))
        .when(pl.col("il_pct").is_null())
        .then(pl.lit("pool_unknown"))
        .when(pl.col("basis") == "percent_only")
        .then(pl.lit("deposit_unknown"))
        .otherwise(_missing_dollars()),
    )


def read_losses(bases: pl.DataFrame, usd: pl.DataFrame) -> pl.DataFrame:
    """Losses of positions that were read on chains, since they were read first (basis `first_read`).

    Args:
        bases: `impermanent_loss_bases.BASES`.
        usd: Columns token_key and usd, of one whole coin now; null or absent without a usable price.

    Returns:
        One row a position, sorted: POSITION, pool, since, as_of, is_stale, entry_price, price, lower_price,
        upper_price, in_range, units, FIGURES, `price_ratio`, `basis` and `reason`.
    """
    is_pair = pl.len().over(POSITION) == 2
    has_price = (pl.col("protocol") != STABLE) & (is_pair | (pl.col("protocol") != WEIGHTED))
    unit = pl.when(~has_price).then("usd").when(pl.col("place") == 0).then("price").otherwise(1.0)
    rows = bases.join(usd.select("token_key", "usd"), on="token_key", how="left").with_columns(
        unit=unit, has_price=has_price
    )
    first, second = (pl.col("usd").filter(pl.col("place") == place).first() for place in (0, 1))
    whole = rows.group_by(POSITION, maintain_order=True).agg(
        *(
            pl.col(name).first()
            for name in (
                "pool", "since", "as_of", "is_stale", "entry_price", "price", "lower_price", "upper_price", "in_range",
                "units", "growth", "grown_units", "has_price",
            )
        ),
        usd0=first,
        usd1=second,
        held=_worth(pl.col("held")),
        hodl=_worth(pl.col("deposited")),
        earned=_worth(pl.col("fees") + pl.col("collected") - pl.col("fees_before")),
    )  # fmt: skip
    one = pl.when(~pl.col("has_price")).then(1.0).otherwise(pl.coalesce("usd1", pl.col("usd0") / pl.col("price")))
    grown = pl.col("units") * pl.col("growth") / pl.col("grown_units")
    made = pl.col("held") / grown
    figures = whole.with_columns(_usd=one, _made=made).with_columns(
        il_pct=pl.when(pl.col("hodl") > 0).then(100 * (pl.col("_made") / pl.col("hodl") - 1)),
        hodl_value_usd=pl.col("hodl") * pl.col("_usd"),
        position_value_usd=pl.col("_made") * pl.col("_usd"),
        fees_usd=(pl.col("held") - pl.col("_made") + pl.col("earned")) * pl.col("_usd"),
        price_ratio=pl.when(pl.col("entry_price") > 0).then(pl.col("price") / pl.col("entry_price")),
        basis=pl.lit("first_read"),
    )
    return (
        figures.with_columns(_differences())
        .with_columns(
            reason=pl.when(pl.col("grown_units").is_null() | pl.col("growth").is_null())
            .then(pl.lit("fees_not_separable"))
            .otherwise(_missing_dollars())
        )
        .drop("growth", "grown_units", "has_price", "usd0", "usd1", "held", "hodl", "earned", "_usd", "_made")
        .sort(POSITION)
    )


def fees_apart(bases: pl.DataFrame, usd: pl.DataFrame) -> pl.DataFrame:
    """What positions are worth knowing of by the one who knows when they began.

    Args:
        bases: `impermanent_loss_bases.BASES`.
        usd: Columns token_key and usd.

    Returns:
        POSITION; `all_fees_usd`: all fees that were ever seen waiting, those of the time before the first read
        included, null without a price; `whole_units`: liquidity in whole units, with the growth of its fees.
    """
    rows = bases.join(usd.select("token_key", "usd"), on="token_key", how="left").with_columns(unit=pl.col("usd"))
    return rows.group_by(POSITION, maintain_order=True).agg(
        all_fees_usd=_worth(pl.col("fees") + pl.col("collected")),
        whole_units=(pl.col("units") * pl.col("growth")).first(),
    )


def _loss_and_share(protocol: pl.Series, is_pair: np.ndarray, column: dict[str, Floats]) -> tuple[Floats, Floats]:
    """Loss of a deposit that fits its pool, and the share of coin 0 in it; NaN where the pool is not known enough."""
    before, now = column["entry_price"], column["price"]
    loss, share = np.full(len(before), np.nan), np.full(len(before), np.nan)
    names = protocol.to_numpy()
    at = np.isin(names, CONSTANT_PRODUCT)
    with np.errstate(all="ignore"):
        ratio = np.where(before > 0, now / before, np.nan)
    loss[at], share[at] = constant_product_loss(ratio[at]), 0.5
    at = names == CONCENTRATED
    bounds = column["lower_price"][at], column["upper_price"][at]
    loss[at], share[at] = concentrated_loss(before[at], now[at], *bounds), range_share(before[at], *bounds)
    at = (names == WEIGHTED) & is_pair
    weight = column["weight0"][at]
    both = np.stack([weight, 1 - weight], axis=-1)
    loss[at], share[at] = weighted_loss(np.stack([ratio[at], np.ones(at.sum())], axis=-1), both), weight
    at = (names == STABLE) & is_pair
    factor = column["amplification"][at]
    loss[at], share[at] = stable_swap_loss(before[at], now[at], factor), stable_swap_share(before[at], factor)
    return loss, share


def _worth(amount: pl.Expr) -> pl.Expr:
    """Sum of amounts at their prices; null when one of them has none. Nothing of a coin needs no price."""
    part = pl.when(amount == 0).then(0.0).otherwise(amount * pl.col("unit"))
    return pl.when(part.is_null().any()).then(None).otherwise(part.sum())


def _differences() -> list[pl.Expr]:
    loss = pl.col("position_value_usd") - pl.col("hodl_value_usd")
    return [loss.alias("il_usd"), (loss + pl.col("fees_usd")).alias("net_usd")]


def _missing_dollars() -> pl.Expr:
    return (
        pl.when(pl.col("hodl_value_usd").is_null())
        .then(pl.lit("usd_unknown"))
        .when(pl.col("fees_usd").is_null())
        .then(pl.lit("fees_unknown"))
    )


def _floats(frame: pl.DataFrame, name: str) -> Floats:
    return frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _series(name: str, values: Floats) -> pl.Series:
    known = np.where(np.isfinite(values), values, np.nan)
    return pl.Series(name, known, dtype=pl.Float64, nan_to_null=True)


def weighted_growth(supply: pl.Expr) -> pl.Expr:
    """Aggregate of a weighted pool's coins: what one share is worth by itself, prod x_i^w_i / supply; it grows by fees.

    Null as soon as one coin is unknown or gone: a product without it would be that of another pool.

    Args:
        supply: All shares. Beside it `whole`, what the pool holds of the coin in whole units, and `weight`, 0..1.
    """
    part = pl.col("weight") * pl.col("whole").log()
    is_known = (pl.col("whole") > 0).all(ignore_nulls=False) & pl.col("weight").is_not_null().all() & (supply > 0)
    return pl.when(is_known).then(part.sum().exp() / supply)


def weighted_price(place: str) -> pl.Expr:
    """Aggregate of a weighted pool's coins: coin 0 in units of coin 1, (x_1 / w_1) / (x_0 / w_0).

    Null of more than two coins, which have no such single price.

    Args:
        place: Column with the place of the coin. Beside it `whole` and `weight`.
    """
    first, second = ((pl.col("whole") / pl.col("weight")).filter(pl.col(place) == number).first() for number in (0, 1))
    return pl.when((pl.len() == 2) & (first > 0)).then(second / first)
