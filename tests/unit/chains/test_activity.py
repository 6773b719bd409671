"""Active wallets are read every hour, all others once a day, and nobody is forgotten."""

import io

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio_pipelines.chains.activity import (
    HOURS,
    NEVER,
    Activity,
    activity_of,
    after_read,
    due,
    ever_used,
    from_frame,
    to_frame,
)

START = 500_000  # an hour in 2027
nobody = np.zeros(0, dtype=np.int32)


def hours_of(activity: Activity, hour: int, used: set[int], *, failing: bool = False) -> Activity:
    """One hourly run; wallets with the keys `used` show activity when they are read."""
    wanted = due(activity, hour, salt=137)
    read = np.zeros_like(wanted) if failing else wanted
    return after_read(activity, hour, read, read & np.isin(activity.wallet_keys, list(used)))


@settings(max_examples=50)
@given(
    wallets=st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=40, unique=True),
    becomes_active=st.dictionaries(st.integers(0, 39), st.integers(0, 80), max_size=10),
    outages=st.sets(st.integers(0, 99), max_size=8),
    salt=st.integers(0, 2**40),
)
def test_no_wallet_is_unread_for_more_than_a_day_and_active_ones_not_for_an_hour(
    wallets: list[int], becomes_active: dict[int, int], outages: set[int], salt: int
) -> None:
    activity = activity_of(np.array(wallets, dtype=np.int64))
    keys = activity.wallet_keys.tolist()
    last_read = dict.fromkeys(keys, START)
    for step in range(100):
        hour = START + step
        wanted = due(activity, hour, salt=salt)
        if step == 0:
            assert wanted.all(), "a new wallet is due at once"
        failed = step in outages
        moved = {keys[place] for place, since in becomes_active.items() if place < len(keys) and since <= step}
        for key, is_due, was_active in zip(keys, wanted, activity.active, strict=True):
            unread = hour - last_read[key]
            assert is_due or unread < HOURS, "unread for a day"
            assert is_due or not was_active, "an active wallet was left out"
        read = np.zeros_like(wanted) if failed else wanted
        for key, was_read in zip(keys, read, strict=True):
            if was_read:
                last_read[key] = hour
        activity = after_read(activity, hour, read, read & np.isin(activity.wallet_keys, list(moved)))
    for place, since in becomes_active.items():
        if place < len(keys) and since < 100 - HOURS - len(outages):
            assert activity.active[place]


def test_a_wallet_that_becomes_active_is_hourly_from_then_on() -> None:
    activity = activity_of(np.arange(50))
    activity = hours_of(activity, START, used=set())
    activity = hours_of(activity, START + HOURS, used={7})
    for hour in range(START + HOURS + 1, START + 3 * HOURS):
        assert due(activity, hour, salt=137)[7], "also when it is empty again"
        activity = hours_of(activity, hour, used=set())
    assert activity.active_since[7] == START + HOURS
    assert activity.active.sum() == 1


def test_a_transfer_in_the_logs_makes_a_wallet_active_before_it_is_read() -> None:
    activity = hours_of(activity_of(np.arange(50)), START, used=set())
    seen = ever_used(50, np.array([3, 3], dtype=np.int32))
    activity = after_read(activity, START + 1, np.zeros(50, dtype=np.bool_), seen)
    assert due(activity, START + 1)[3]
    assert activity.last_read[3] == START


def test_wallets_imported_together_do_not_stay_together() -> None:
    activity = activity_of(np.arange(24_000))
    loads = []
    for hour in range(START, START + 3 * HOURS):
        loads.append(int(due(activity, hour, salt=1).sum()))
        activity = after_read(activity, hour, due(activity, hour, salt=1), np.zeros(24_000, dtype=np.bool_))
    assert loads[0] == 24_000
    assert max(loads[1:]) < 1_300
    assert sum(loads[HOURS : 2 * HOURS]) == 24_000


def test_a_wallet_does_not_meet_all_its_chains_in_one_hour() -> None:
    activity = after_read(activity_of(np.array([5])), START, np.array([True]), np.array([False]))
    chosen = {
        chain: next(hour % HOURS for hour in range(START + 1, START + 25) if due(activity, hour, salt=chain)[0])
        for chain in range(1, 200)
    }
    assert len(set(chosen.values())) == HOURS


def test_a_failed_read_leaves_the_wallet_due() -> None:
    activity = hours_of(activity_of(np.arange(10)), START, used=set(), failing=True)
    assert due(activity, START + 1).all()


def test_new_wallets_join_and_old_ones_leave_without_touching_the_rest() -> None:
    activity = hours_of(activity_of(np.array([5, 1, 3])), START, used={3})
    changed = activity_of(np.array([9, 3, 5, 3]), activity)
    assert changed.wallet_keys.tolist() == [3, 5, 9]
    assert changed.active.tolist() == [True, False, False]
    assert changed.last_read.tolist() == [START, START, NEVER]


def test_the_state_comes_back_from_its_frame_and_is_small() -> None:
    activity = hours_of(activity_of(np.arange(150_000)), START, used=set(range(0, 150_000, 20)))
    for hour in range(START + 1, START + 30):
        activity = hours_of(activity, hour, used=set())
    file = io.BytesIO()
    to_frame(activity).sample(fraction=1, shuffle=True, seed=1).sort("wallet_key").write_parquet(file)
    file.seek(0)
    back = from_frame(pl.read_parquet(file))
    assert np.array_equal(back.wallet_keys, activity.wallet_keys)
    assert np.array_equal(back.active_since, activity.active_since)
    assert np.array_equal(back.last_read, activity.last_read)
    assert len(file.getvalue()) < 400_000
    empty = from_frame(to_frame(activity_of(np.zeros(0, dtype=np.int64))))
    assert due(empty, START).shape == (0,)


def test_any_sign_of_use_counts() -> None:
    balances, transfers = np.array([0, 0, 2], dtype=np.int32), np.array([3], dtype=np.int32)
    assert ever_used(5, balances, transfers).tolist() == [True, False, True, True, False]
    nonces = np.array([0, 4, 0, 0, 0])
    assert ever_used(5, nobody, nonces=nonces).tolist() == [False, True, False, False, False]
