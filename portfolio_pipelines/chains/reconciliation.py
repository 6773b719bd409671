"""Whether balances follow from what moved: opening + received − sent − gas = observed, exactly, for each day.

Belongs here: the sum per wallet, token, chain and day, and the reason why it does not come out. Balances, transfers and
transactions are read elsewhere. The coin of the chain itself is the token `NATIVE`.

Reasons, the first that applies:
    stale: The opening or the observed balance is unread or was carried over; no difference is stated.
    ok: The difference is zero.
    not_traceable: The coin of the chain, whose movements leave no logs, on a chain whose transactions were not read.
    internal_transfer: More of the coin than its transactions explain: a contract sent it, or somebody whose
        transactions were not read, or it is a reward of the chain.
    gas: Less of the coin, and the fee of at least one of the wallet's own transactions is unknown.
    rebase: The token is listed as changing balances by itself, or did so that day: at least three wallets that had no
        transfer changed by the same factor, and none stayed as it was.
    missing_logs: The logs of the chain were not read completely that day, or the balance changed without any log
        (CryptoKitties, wrapped coins whose deposits are not known as transfers, a rebasing token held by few).
    fee_on_transfer: Less of a token than its logs say, by at most a quarter of what moved.
    unknown: None of these.
"""

from collections.abc import Collection, Mapping
from typing import Any

import polars as pl

from portfolio_pipelines.chains.raw_amounts import approximate, sums

NATIVE = "native"
KEYS = ("day", "chain_id", "wallet", "token")
LARGEST_TRANSFER_FEE = 0.25  # of what moved; real ones take up to a tenth, a scam may take all
REBASING_WALLETS = 3  # that must agree
REBASING_TOLERANCE = 1e-6  # relative; rounding to the smallest unit moves small balances apart

_SIGNS = {"opening": 1, "received": 1, "sent": -1, "gas": -1}
_FIGURES = ("opening", "received", "sent", "gas", "expected", "observed", "difference")


def movements_of(transfers: pl.DataFrame, wallets: Collection[str]) -> pl.DataFrame:
    """What each wallet received and sent, out of ERC-20 transfers.

    Args:
        transfers: day, chain_id, and the columns of `discovery.TRANSFERS`.
        wallets: Ours. A transfer between two of them moves both; one to itself comes and goes.

    Returns:
        day, chain_id, wallet, token, part (`received` or `sent`), raw, raw_hex.
    """
    ours = pl.Series(list(wallets), dtype=pl.String).implode()
    amounts = transfers.filter(pl.col("kind") == "erc20")
    sides = [
        amounts.filter(pl.col(side).is_in(ours)).select(
            "day", "chain_id", pl.col(side).alias("wallet"), "token", pl.lit(part).alias("part"), "raw", "raw_hex"
        )
        for side, part in (("receiver", "received"), ("sender", "sent"))
    ]
    return pl.concat(sides)


def fee_of(receipt: Mapping[str, Any]) -> int | None:
    """What a transaction cost its sender in the coin of the chain, in its smallest unit; None if it does not say.

    Gas, blobs, and on rollups the share of the cost on the chain below.
    """
    try:
        fee = int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
        blobs = int(receipt.get("blobGasUsed") or "0x0", 16) * int(receipt.get("blobGasPrice") or "0x0", 16)
        return fee + blobs + int(receipt.get("l1Fee") or "0x0", 16)
    except (KeyError, TypeError, ValueError):
        return None


def reconcile(
    opening: pl.DataFrame,
    observed: pl.DataFrame,
    movements: pl.DataFrame,
    *,
    transactions: pl.DataFrame | None = None,
    traced_chains: Collection[int] = (),
    rebasing: pl.DataFrame | None = None,
    unscanned: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Compare what balances should be with what they are.

    Args:
        opening: Balances at the end of the day before, under the day they open: `KEYS`, raw, raw_hex, is_stale. Both
            values null means unread; no row means zero.
        observed: Balances at the end of the day, in the same form.
        movements: What came and went: `KEYS`, part (`received`, `sent`), raw, raw_hex. Movements of the coin that are
            known from elsewhere belong here too, under `NATIVE`.
        transactions: The wallets' own: day, chain_id, wallet, value_raw, value_raw_hex (what it sent; zero if it
            failed), fee_raw, fee_raw_hex (both null when unknown). See `fee_of`.
        traced_chains: Chains of which `transactions` holds all.
        rebasing: chain_id and token of tokens known to change balances by themselves.
        unscanned: day and chain_id whose transfer logs were not read completely.

    Returns:
        One row for each key of any input: `KEYS`; opening, received, sent, gas, expected, observed and difference, each
        with its `_hex` column where 38 digits do not suffice; reason. difference = observed − expected.
    """
    entries = [
        opening.select(*KEYS, pl.lit("opening").alias("part"), "raw", "raw_hex"),
        observed.select(*KEYS, pl.lit("observed").alias("part"), "raw", "raw_hex"),
        movements.select(*KEYS, "part", "raw", "raw_hex"),
        *_spent(transactions),
    ]
    rows = sums(
        pl.concat(entries),
        KEYS,
        {name: {name: 1} for name in ("opening", "received", "sent", "gas", "observed")}
        | {"expected": _SIGNS, "difference": {"observed": 1} | {part: -sign for part, sign in _SIGNS.items()}},
    )
    rows = _without_the_unknown(rows, opening, observed)
    rows = rows.join(_unknown_fees(transactions), on=["day", "chain_id", "wallet"], how="left", maintain_order="left")
    for name, flags in (("_listed", rebasing), ("_unscanned", unscanned)):
        keys = ["chain_id", "token"] if name == "_listed" else ["day", "chain_id"]
        rows = rows.with_columns(pl.lit(False).alias(name)) if flags is None else _flagged(rows, flags, keys, name)
    rows = rows.with_columns(
        *(
            approximate(rows, name).alias(f"_{name}")
            for name in ("opening", "received", "sent", "observed", "difference")
        )
    )
    rows = rows.with_columns(_rebased().alias("_rebased"), _reason_of_coin(traced_chains).alias("_coin"))
    return rows.select(
        *KEYS, *(column for name in _FIGURES for column in (name, f"{name}_hex")), _reason().alias("reason")
    ).sort(KEYS)


def _spent(transactions: pl.DataFrame | None) -> list[pl.DataFrame]:
    """Entries of value sent and gas paid."""
    if transactions is None:
        return []
    native = ("day", "chain_id", "wallet", pl.lit(NATIVE).alias("token"))
    return [
        transactions.select(
            *native, pl.lit(part).alias("part"), pl.col(name).alias("raw"), pl.col(f"{name}_hex").alias("raw_hex")
        ).filter(pl.col("raw").is_not_null() | pl.col("raw_hex").is_not_null())
        for name, part in (("value_raw", "sent"), ("fee_raw", "gas"))
    ]


def _unknown_fees(transactions: pl.DataFrame | None) -> pl.DataFrame:
    schema = {"day": pl.Date, "chain_id": pl.Int64, "wallet": pl.String, "_fee_unknown": pl.Boolean}
    if transactions is None:
        return pl.DataFrame(schema=schema)
    unknown = transactions.filter(pl.col("fee_raw").is_null() & pl.col("fee_raw_hex").is_null())
    return unknown.select("day", "chain_id", "wallet", pl.lit(True).alias("_fee_unknown")).unique()


def _flagged(rows: pl.DataFrame, flags: pl.DataFrame, keys: list[str], name: str) -> pl.DataFrame:
    marks = flags.select(*keys, pl.lit(True).alias(name)).unique()
    return rows.join(marks, on=keys, how="left", maintain_order="left").with_columns(pl.col(name).fill_null(False))


def _without_the_unknown(rows: pl.DataFrame, opening: pl.DataFrame, observed: pl.DataFrame) -> pl.DataFrame:
    """Mark the stale, and take away figures that rest on what is not known: a missing balance is not zero."""
    for side, balances in (("opening", opening), ("observed", observed)):
        unread = pl.col("raw").is_null() & pl.col("raw_hex").is_null()
        rows = _flagged(rows, balances.filter(unread), list(KEYS), f"_{side}_unread")
        rows = _flagged(rows, balances.filter(pl.col("is_stale") | unread), list(KEYS), f"_{side}_stale")
    stale = pl.col("_opening_stale") | pl.col("_observed_stale")
    hidden = {
        "opening": pl.col("_opening_unread"),
        "expected": pl.col("_opening_unread"),
        "observed": pl.col("_observed_unread"),
        "difference": stale,
    }
    return rows.with_columns(
        stale.alias("_stale"),
        *(
            pl.when(~when).then(pl.col(column)).alias(column)
            for name, when in hidden.items()
            for column in (name, f"{name}_hex")
        ),
    )


def _rebased() -> pl.Expr:
    """Tokens whose balances changed by one factor that day, in all wallets that had no transfer."""
    quiet = (pl.col("_received") == 0) & (pl.col("_sent") == 0) & (pl.col("_opening") > 0) & ~pl.col("_stale")
    factor = (pl.col("_observed") / pl.col("_opening")).filter(quiet)
    group = ["day", "chain_id", "token"]
    spread = (factor.max() - factor.min()) / factor.max()
    return (
        (quiet.sum() >= REBASING_WALLETS)
        & (spread <= REBASING_TOLERANCE)
        & (pl.col("_difference").filter(quiet) != 0).all()
        & (factor.max() > 0)
    ).over(group)


def _reason_of_coin(traced_chains: Collection[int]) -> pl.Expr:
    traced = pl.col("chain_id").is_in(pl.Series(list(traced_chains), dtype=pl.Int64).implode())
    return (
        pl.when(~traced)
        .then(pl.lit("not_traceable"))
        .when(pl.col("_difference") > 0)
        .then(pl.lit("internal_transfer"))
        .when(pl.col("_fee_unknown").fill_null(False))
        .then(pl.lit("gas"))
        .otherwise(pl.lit("unknown"))
    )


def _reason() -> pl.Expr:
    moved = pl.col("_received") + pl.col("_sent")
    short = -pl.col("_difference")
    return (
        pl.when(pl.col("_stale"))
        .then(pl.lit("stale"))
        .when(pl.col("_difference") == 0)
        .then(pl.lit("ok"))
        .when(pl.col("token") == NATIVE)
        .then(pl.col("_coin"))
        .when(pl.col("_listed") | pl.col("_rebased").fill_null(False))
        .then(pl.lit("rebase"))
        .when(pl.col("_unscanned") | (moved == 0))
        .then(pl.lit("missing_logs"))
        .when((short > 0) & (short <= moved * LARGEST_TRANSFER_FEE))
        .then(pl.lit("fee_on_transfer"))
        .otherwise(pl.lit("unknown"))
    )
