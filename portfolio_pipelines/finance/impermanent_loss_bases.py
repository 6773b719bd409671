"""What holders of liquidity are compared with: the coins they put in, followed from read to read. No I/O, no prices.

A chain says what a position holds, not what was put into it. So the comparison begins when a position is read for the
first time: what it held then counts as put in, and `since` says from when on the loss is known. Afterwards

- more units of liquidity are a deposit: their part of what the position holds now is put in;
- fewer are a withdrawal: the same part of what was put in is taken out;
- as many as before are nothing: whatever else changed is what the pool made of it.

Units are the liquidity of Uniswap v3 and the shares of other pools. `growth` is what a unit is worth by itself, so that
fees which stay in the pool (v2: sqrt(x y) of a share; weighted pools: prod x_i^w_i of a share; Curve: the virtual
price) can be told from the loss: it is 1 where fees are kept apart, and null where nobody knows. Conventions of the
loss are in `impermanent_loss`, worth and dollars in `impermanent_loss_positions`.
"""

from datetime import date
from typing import Final

import polars as pl

POSITION: Final = ["chain", "wallet_key", "protocol", "position_id"]
COIN: Final = [*POSITION, "token_key"]

READ: Final = pl.Schema(
    {
        "chain": pl.String(),
        "wallet_key": pl.Int32(),
        "protocol": pl.String(),
        "position_id": pl.String(),
        "pool": pl.String(),
        "place": pl.Int16(),  # of the coin among the position's, from 0
        "token_key": pl.Int32(),
        "held": pl.Float64(),  # whole units, without fees that are kept apart; null while its decimals are unknown
        "fees": pl.Float64(),  # whole units of fees that are kept apart and wait to be collected
        "units": pl.Float64(),  # above 0
        "growth": pl.Float64(),  # see above; null when unknown
        "price": pl.Float64(),  # of coin 0 in coin 1 in the pool; null where a pool has no such price
        "lower_price": pl.Float64(),  # of the range; null without one
        "upper_price": pl.Float64(),
        "in_range": pl.Boolean(),  # null without a range
        "as_of": pl.Datetime("us", "UTC"),
        "is_stale": pl.Boolean(),
    }
)
"""What was read, one row a coin; what concerns the whole position is the same in all of its rows."""

BASES: Final = pl.Schema(
    {
        **READ,
        "deposited": pl.Float64(),  # whole units put in for the units that are there now
        "collected": pl.Float64(),  # whole units of fees that were seen waiting and are gone, at least
        "fees_before": pl.Float64(),  # whole units that waited when the comparison began: fees of the time before
        "grown_units": pl.Float64(),  # units times their growth when they were put in; null when unknown
        "entry_price": pl.Float64(),  # geometric mean over the units; null where a pool has no price
        "since": pl.Date(),
    }
)
"""The same with what it is compared with. Sorted by COIN."""

_OF_POSITION: Final = [name for name in READ if name not in {*COIN, "place", "held", "fees"}]
_CARRIED_COIN: Final = ["deposited", "fees", "collected", "fees_before"]
_CARRIED: Final = ["units", "grown_units", "entry_price", "since"]


def advance_bases(before: pl.DataFrame, read: pl.DataFrame, day: date) -> pl.DataFrame:
    """What positions are compared with after a read.

    Args:
        before: BASES of the read before; positions that are not read any more are over and leave.
        read: READ.
        day: Of the read.

    Returns:
        BASES. The same reads in the same order give the same bits, whether in one run or in many.
    """
    at_coin = before.select(*COIN, *(pl.col(name).alias(f"{name}_0") for name in _CARRIED_COIN), _known=pl.lit(True))
    at_position = before.select(*POSITION, *(pl.col(name).alias(f"{name}_0") for name in _CARRIED)).unique(POSITION)
    positions = read.filter(pl.col("units") > 0).select(*POSITION, *_OF_POSITION).unique(POSITION)
    coins = read.select(*COIN, "place", "held", "fees", _read=pl.lit(True))
    rows = (
        coins.join(at_coin, on=COIN, how="full", coalesce=True)
        .join(positions, on=POSITION, how="inner")
        .join(at_position, on=POSITION, how="left")
        # Of a coin that a pool has none of any more nothing is held; of one that is new nothing had been put in.
        .with_columns(_zero_unless("_read", "held"), _zero_unless("_read", "fees"))
        .with_columns(_zero_unless("_known", f"{name}_0") for name in _CARRIED_COIN)
        .with_columns(pl.col("place").fill_null(pl.col("place").max().over(POSITION) + 1))
    )
    is_new = pl.col("units_0").is_null()
    stayed = pl.when(is_new).then(0.0).otherwise(pl.min_horizontal("units", "units_0"))
    rows = rows.with_columns(_stayed=stayed).with_columns(
        _kept=pl.when(is_new).then(0.0).otherwise(pl.col("_stayed") / pl.col("units_0")),
        _added=(pl.col("units") - pl.col("_stayed")) / pl.col("units"),
    )
    was_withdrawn = pl.col("_kept") < 1
    went, came = pl.col("fees") < pl.col("fees_0"), pl.col("fees") > pl.col("fees_0")
    new_units = pl.col("units") - pl.col("_stayed")
    mean = (pl.col("entry_price_0").log() * pl.col("_stayed") + pl.col("price").log() * new_units) / pl.col("units")
    return (
        rows.with_columns(
            deposited=_kept_and_added(pl.col("deposited_0"), pl.col("held") * pl.col("_added")),
            grown_units=_kept_and_added(pl.col("grown_units_0"), pl.col("growth") * new_units),
            entry_price=pl.when(is_new)
            .then("price")
            .when(pl.col("_added") > 0)
            .then(mean.exp())
            .otherwise("entry_price_0"),
            collected=pl.when(is_new)
            .then(0.0)
            .otherwise(pl.col("collected_0") + pl.when(went).then("fees_0").otherwise(0.0)),
            # What is withdrawn waits beside the fees until it is collected: that growth is no fee.
            fees_before=pl.when(is_new)
            .then("fees")
            .otherwise(
                pl.col("fees_before_0")
                + pl.when(was_withdrawn & came).then(pl.col("fees") - pl.col("fees_0")).otherwise(0.0)
            ),
            since=pl.coalesce("since_0", pl.lit(day)),
        )
        .select(BASES.names())
        .cast(BASES)
        .sort(COIN)
    )


def _zero_unless(mark: str, name: str) -> pl.Expr:
    """A figure that is unknown stays null; one of a coin that is not there is 0."""
    return pl.when(pl.col(mark).is_null()).then(0.0).otherwise(name).alias(name)


def _kept_and_added(before: pl.Expr, added: pl.Expr) -> pl.Expr:
    """The kept part of what was, and what is new; a part of nothing is no reason not to know the other."""
    kept, more = pl.col("_kept"), pl.col("_added") > 0
    return pl.when(kept == 0).then(added).when(more).then(before * kept + added).otherwise(before * kept)
