"""Which wallets a chain is asked about this hour: active ones every hour, never-seen ones once a day.

Belongs here: the state of one chain's wallets as arrays, and the rule. Where the state is kept and how wallets are
read is elsewhere; the hour is an argument.
"""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

NEVER = -(2**31) // 2  # "last read" of a wallet that was not read yet: longer ago than any day
HOURS = 24  # a wallet that was never seen is read at least this often

Bools = NDArray[np.bool_]
ACTIVITY = {"wallet_key": pl.Int64, "active_since": pl.Int32, "last_read": pl.Int32}


@dataclass(frozen=True, slots=True)
class Activity:
    """The wallets of one chain. Hours are whole hours since 1970, UTC.

    Attributes:
        wallet_keys: Whatever numbers wallets, in ascending order, each once.
        active_since: Hour in which the wallet was first seen to be used on the chain; `NEVER` if it was not.
        last_read: Hour of its last good read; `NEVER` if there was none.
    """

    wallet_keys: NDArray[np.int64]
    active_since: NDArray[np.int32]
    last_read: NDArray[np.int32]

    @property
    def active(self) -> Bools:
        """Who was ever seen."""
        return np.asarray(self.active_since > NEVER)


def activity_of(wallet_keys: NDArray[np.int64], known: Activity | None = None) -> Activity:
    """The state of these wallets, with what is known of them already; others are new, and due at once.

    Args:
        wallet_keys: Any order, repetitions allowed.
        known: Earlier state; wallets that are no longer tracked are dropped from it.
    """
    ordered = np.sort(wallet_keys.astype(np.int64))  # numpy.unique hashes, which takes 50 times as long on such keys
    unique = ordered[np.diff(ordered, prepend=ordered[:1] - 1) != 0]
    fresh = np.full(len(unique), NEVER, dtype=np.int32)
    if known is None or not len(known.wallet_keys):
        return Activity(unique, fresh, fresh.copy())
    place = np.minimum(np.searchsorted(known.wallet_keys, unique), len(known.wallet_keys) - 1)
    same = known.wallet_keys[place] == unique
    return Activity(
        unique,
        np.where(same, known.active_since[place], NEVER).astype(np.int32),
        np.where(same, known.last_read[place], NEVER).astype(np.int32),
    )


def due(activity: Activity, hour: int, *, salt: int = 0) -> Bools:
    """Who is to be read in this hour.

    Active wallets are always due. Others are due when they have not been read for a day, however they missed it, and
    at an hour of the day that their key gives them: so wallets imported together do not stay together.

    Args:
        activity: State of the chain's wallets.
        hour: Now, in hours since 1970.
        salt: Number of the chain, so that a wallet does not meet all its chains in the same hour.
    """
    unread = hour - activity.last_read.astype(np.int64)
    own_hour = _own_hour(activity.wallet_keys, salt) == hour % HOURS
    return np.asarray(activity.active | (unread >= HOURS) | (own_hour & (unread > 0)))


def after_read(activity: Activity, hour: int, read: Bools, used: Bools) -> Activity:
    """The state after a read.

    Args:
        activity: State before.
        hour: Hour of the read.
        read: Who was read, shape (wallets,). A wallet whose read failed is not, and stays due.
        used: Who showed any sign of use: see `ever_used`. Counts also for wallets that were not read: a transfer
            found in the logs makes a wallet active.
    """
    return replace(
        activity,
        active_since=np.where(used & ~activity.active, hour, activity.active_since).astype(np.int32),
        last_read=np.where(read, np.maximum(activity.last_read, hour), activity.last_read).astype(np.int32),
    )


def ever_used(count: int, *holders: NDArray[np.int32], nonces: NDArray[np.int64] | None = None) -> Bools:
    """Which of `count` wallets show a sign of use.

    Args:
        count: Number of wallets.
        holders: Indexes of wallets with a non-zero balance, with a transfer, with a position …; repetitions allowed.
        nonces: Transactions that each wallet has sent, where they were read; shape (wallets,).
    """
    used = np.zeros(count, dtype=np.bool_)
    for indexes in holders:
        used[indexes] = True
    return used if nonces is None else used | (nonces > 0)


def to_frame(activity: Activity) -> pl.DataFrame:
    """The state as a frame (`ACTIVITY`); null where something never happened."""
    hours = {"active_since": activity.active_since, "last_read": activity.last_read}
    frame = pl.DataFrame({"wallet_key": activity.wallet_keys} | hours, schema=ACTIVITY)
    return frame.with_columns(pl.when(pl.col(name) != NEVER).then(pl.col(name)).alias(name) for name in hours)


def from_frame(frame: pl.DataFrame) -> Activity:
    """The state out of what `to_frame` made, in whatever order its rows are."""
    ordered = frame.sort("wallet_key")
    since, read = (ordered[name].fill_null(NEVER).to_numpy().astype(np.int32) for name in ("active_since", "last_read"))
    return Activity(ordered["wallet_key"].to_numpy().astype(np.int64), since, read)


def _own_hour(wallet_keys: NDArray[np.int64], salt: int) -> NDArray[np.int64]:
    """0 to 23 for each wallet, spread evenly also over consecutive keys and over chains (Fibonacci hashing)."""
    mixed = (wallet_keys.astype(np.uint64) + np.uint64(salt)) * np.uint64(11_400_714_819_323_198_485)
    return ((mixed >> np.uint64(33)) % np.uint64(HOURS)).astype(np.int64)
