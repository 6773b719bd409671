"""What others see of a ranked portfolio leads nowhere: names, buckets, rounded figures."""

import hashlib
import hmac
from collections import Counter
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from portfolio_pipelines.finance.leaderboard_privacy import (
    ALPHABET,
    BITS,
    EDGES_USD,
    NO_BUCKET,
    buckets,
    period_of,
    pseudonym_numbers,
    pseudonyms,
    shown,
)

KEY = b"k" * 32
USERS = [f"user-{n}" for n in range(500)]


def names(key: bytes = KEY, period: str = "2026-01", window: int = 30, users: list[str] = USERS) -> list[str]:
    return pseudonyms(pseudonym_numbers(key, period, window, users))


def test_a_pseudonym_is_the_hmac_of_month_window_and_user() -> None:
    mac = hmac.new(KEY, b"2026-01\x1f30\x1fann", hashlib.sha256).digest()
    number = int.from_bytes(mac, "big") >> (256 - BITS)
    signs = ""
    for _ in range(12):
        signs = ALPHABET[number % 32] + signs
        number //= 32
    assert names(users=["ann"]) == ["-".join((signs[:4], signs[4:8], signs[8:]))]


def test_within_a_month_and_window_a_name_stays_and_is_unique() -> None:
    assert period_of(date(2026, 1, 1)) == period_of(date(2026, 1, 31)) == "2026-01"
    assert names() == names()
    assert len(set(names())) == len(USERS)


@pytest.mark.parametrize("other", [{"period": "2026-02"}, {"window": 90}, {"key": b"l" * 32}])
def test_another_month_window_or_key_gives_names_that_share_nothing(other: dict[str, object]) -> None:
    assert not set(names()) & set(names(**other))  # type: ignore[arg-type]


def test_ids_and_periods_cannot_be_shifted_into_each_other() -> None:
    assert names(period="2026-01", users=["1ann"]) != names(period="2026-011", users=["ann"])
    assert names(window=3, users=["0ann"]) != names(window=30, users=["ann"])


def test_the_order_of_names_says_nothing_of_the_order_of_users() -> None:
    """Of 500 users about half of the neighbours are in order; an id that leaked would order them all."""
    found = pseudonym_numbers(KEY, "2026-01", 30, USERS)
    assert 200 < int((np.diff(found) > 0).sum()) < 300
    assert sorted(names()) == [name for _, name in sorted(zip(found.tolist(), names(), strict=True))]


def test_nobody_to_name_is_no_fault() -> None:
    assert names(users=[]) == []


def bucket_texts(values: list[float], least: int, ranked: list[bool] | None = None) -> list[str | None]:
    array = np.array(values)
    return buckets(array, np.ones(len(array), bool) if ranked is None else np.array(ranked), least).texts()


def test_full_buckets_stay_as_they_are() -> None:
    assert bucket_texts([500, 600, 5_000, 10_000, 99_999, 2e7, 3e7, 5e6, 4e5, 2e6, 3e5, 9e3], 2) == [
        "below 1,000 USD", "below 1,000 USD", "1,000 to 10,000 USD", "10,000 to 100,000 USD", "10,000 to 100,000 USD",
        "10,000,000 USD and more", "10,000,000 USD and more", "1,000,000 to 10,000,000 USD",
        "100,000 to 1,000,000 USD", "1,000,000 to 10,000,000 USD", "100,000 to 1,000,000 USD", "1,000 to 10,000 USD",
    ]  # fmt: skip


def test_the_one_whale_is_not_alone() -> None:
    assert bucket_texts([2e9, 20_000, 30_000, 5_000, 6_000], 2) == [
        "10,000 USD and more", "10,000 USD and more", "10,000 USD and more", "below 10,000 USD", "below 10,000 USD",
    ]  # fmt: skip


def test_what_is_left_at_the_poor_end_joins_the_bucket_above() -> None:
    assert bucket_texts([500, 20_000, 30_000, 2e6, 3e6], 2) == [
        "below 1,000,000 USD", "below 1,000,000 USD", "below 1,000,000 USD",
        "1,000,000 USD and more", "1,000,000 USD and more",
    ]  # fmt: skip


def test_too_few_have_no_bucket() -> None:
    assert bucket_texts([5_000] * 9, 10) == [None] * 9
    assert bucket_texts([5_000] * 10, 10) == ["any worth"] * 10


def test_only_the_ranked_count_and_have_a_bucket() -> None:
    assert bucket_texts([5_000, 6_000, 7_000], 2, [True, False, True]) == ["any worth", None, "any worth"]
    assert bucket_texts([5_000, 6_000, 7_000], 3, [True, False, True]) == [None] * 3


@given(
    values=arrays(float, st.integers(0, 300), elements=st.floats(0, 1e11)),
    least=st.integers(1, 40),
    data=st.data(),
)
def test_every_published_bucket_is_shared_by_enough_ranked_users(
    values: np.ndarray, least: int, data: st.DataObject
) -> None:
    ranked = data.draw(arrays(bool, len(values)))
    found = buckets(values, ranked, least)
    shared = Counter(text for text in found.texts() if text is not None)
    assert all(count >= least for count in shared.values())
    assert set(shared) == set(found.labels), "no label stands for nobody"
    assert len(set(found.labels)) == len(found.labels)
    assert ((found.place == NO_BUCKET) == ~ranked).all() or ranked.sum() < least
    if ranked.sum() >= least:  # buckets are ranges: the richer user is never in the poorer bucket
        order = np.argsort(-values[ranked], kind="stable")
        assert (np.diff(found.place[ranked][order]) >= 0).all()


@given(values=arrays(float, st.integers(1, 200), elements=st.floats(0, 1e9)))
def test_a_label_names_the_range_that_its_users_are_in(values: np.ndarray) -> None:
    for value, text in zip(values, buckets(values, np.ones(len(values), bool), 1).texts(), strict=True):
        assert text is not None
        numbers = [float(part.replace(",", "")) for part in text.split() if part[0].isdigit()]
        if "below" in text:
            assert value < numbers[0]
        elif "and more" in text:
            assert value >= numbers[0]
        elif "to" in text:
            assert numbers[0] <= value < numbers[1]
            assert set(numbers) <= set(EDGES_USD)


def test_a_bucket_of_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        buckets(np.array([1.0]), np.array([True]), 0)


def test_figures_are_rounded_to_a_hundredth_of_a_percent() -> None:
    assert shown(np.array([0.123456, -0.00001, np.nan])).tolist()[:2] == [0.1235, 0.0]
    assert str(shown(np.array([-0.00001]))[0]) == "0.0"
