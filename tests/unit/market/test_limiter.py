import itertools
import threading
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_pipelines.market.limiter import (
    FIRST_BACKOFF_SECONDS,
    LARGEST_SLOWDOWN,
    LONGEST_BACKOFF_SECONDS,
    Limiter,
    MemoryReservations,
    parse_retry_after,
)

START = 1_790_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def a_limiter(clock: Clock, per_minute: float = 30.0, jitter: float = 0.0, **options: object) -> Limiter:
    return Limiter("coingecko", per_minute, clock=clock, sleep=clock.sleep, random=lambda: jitter, **options)


@given(
    per_minute=st.floats(0.5, 600),
    pauses=st.lists(st.floats(0, 200), min_size=2, max_size=60),
)
def test_requests_are_never_closer_together_than_the_rate_allows(per_minute: float, pauses: list[float]) -> None:
    clock = Clock()
    limiter = a_limiter(clock, per_minute)
    sent = []
    for pause in pauses:
        clock.sleep(pause)
        assert limiter.acquire()
        sent.append(clock())
        limiter.succeeded()
    gaps = [later - earlier for earlier, later in itertools.pairwise(sent)]
    assert min(gaps) >= 60 / per_minute - 1e-3
    # The same as a window: no minute holds more requests than the rate, plus the one that opens it.
    for first in sent:
        assert sum(first <= time < first + 60 for time in sent) <= per_minute + 1 + 1e-3


@given(
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 200), st.floats(0, 30)), min_size=1, max_size=40),
    jitter=st.floats(0, 0.999),
)
def test_nothing_is_sent_before_the_retry_after_of_any_refusal(
    steps: list[tuple[bool, int, float]], jitter: float
) -> None:
    clock = Clock()
    limiter = a_limiter(clock, jitter=jitter)
    not_before = 0.0
    for refuse, retry_after, pause in steps:
        clock.sleep(pause)
        assert limiter.acquire()
        assert clock() >= not_before - 1e-3
        if refuse:
            limiter.refused(str(retry_after))
            not_before = max(not_before, clock() + retry_after)
        else:
            limiter.succeeded()


def test_an_idle_hour_saves_up_no_burst() -> None:
    clock = Clock()
    limiter = a_limiter(clock, per_minute=30)
    limiter.acquire()
    clock.sleep(3600)
    sent = []
    for _ in range(4):
        limiter.acquire()
        sent.append(clock() - START - 3600)
    assert sent == pytest.approx([0, 2, 4, 6])


def test_two_limiters_on_the_same_reservations_share_one_pace() -> None:
    clock, slots = Clock(), MemoryReservations()
    one, other = a_limiter(clock, reservations=slots), a_limiter(clock, reservations=slots)
    sent = []
    for limiter in (one, other, one, other):
        limiter.acquire()
        sent.append(clock() - START)
    assert sent == pytest.approx([0, 2, 4, 6])


def test_a_refusal_of_one_limiter_holds_back_the_other() -> None:
    clock, slots = Clock(), MemoryReservations()
    one, other = a_limiter(clock, reservations=slots), a_limiter(clock, reservations=slots)
    one.refused("40")
    other.acquire()
    assert clock() == pytest.approx(START + 40)


def test_providers_do_not_hold_each_other_back() -> None:
    slots = MemoryReservations()
    slots.block_until("yahoo", START + 1000)
    assert slots.reserve("coingecko", 2.0, START) == 0


def test_threads_never_get_the_same_slot() -> None:
    slots = MemoryReservations()
    waits: list[float] = []

    def take() -> None:
        waits.extend(slots.reserve("coingecko", 2.0, 0.0) for _ in range(50))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits) == [2.0 * index for index in range(400)]


def test_a_request_that_was_waiting_when_another_was_refused_queues_again_behind_the_block() -> None:
    clock = Clock()
    limiter: Limiter

    def sleep(seconds: float) -> None:
        if clock() == START:  # while the second request waits for its slot, the first one is refused
            limiter.refused("30")
        clock.sleep(seconds)

    limiter = Limiter("coingecko", 30, clock=clock, sleep=sleep, random=lambda: 0.0)
    limiter.acquire()
    limiter.acquire()
    assert clock() >= START + 30


def test_without_retry_after_the_pause_doubles_up_to_a_cap_and_begins_anew_after_an_answer() -> None:
    clock = Clock()
    limiter = a_limiter(clock, jitter=1.0)
    pauses = [limiter.refused(None) for _ in range(9)]
    assert pauses[:4] == [FIRST_BACKOFF_SECONDS * factor for factor in (1, 2, 4, 8)]
    assert pauses[-1] == LONGEST_BACKOFF_SECONDS
    limiter.succeeded()
    assert limiter.refused(None) == FIRST_BACKOFF_SECONDS


@given(st.floats(0, 0.999))
def test_jitter_takes_at_most_half_of_the_pause(jitter: float) -> None:
    pause = a_limiter(Clock(), jitter=jitter).refused(None)
    assert FIRST_BACKOFF_SECONDS / 2 <= pause <= FIRST_BACKOFF_SECONDS


def test_refusals_slow_the_pace_down_and_answers_bring_it_back() -> None:
    limiter = a_limiter(Clock(), per_minute=60)
    for _ in range(10):
        limiter.refused("0")
    assert limiter.interval_seconds == LARGEST_SLOWDOWN
    for _ in range(30):
        limiter.succeeded()
    assert limiter.interval_seconds == 1.0


def test_a_pause_longer_than_our_patience_is_refused_at_once_instead_of_waited_for() -> None:
    clock = Clock()
    limiter = a_limiter(clock, patience_seconds=300)
    limiter.refused("86400")
    assert not limiter.acquire()
    assert clock() == START


def test_retry_after_may_be_an_http_date() -> None:
    assert parse_retry_after(formatdate(START + 90, usegmt=True), START) == pytest.approx(90)
    assert parse_retry_after(formatdate(START - 90, usegmt=True), START) == 0
    assert parse_retry_after("17", START) == 17


@pytest.mark.parametrize("header", [None, "", "soon", "nan", "inf", "Wed, 99 Foo 2026 00:00:00 GMT"])
def test_an_unreadable_retry_after_counts_as_absent(header: str | None) -> None:
    assert parse_retry_after(header, START) is None


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_rate_that_is_not_a_positive_number_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="requests a minute"):
        a_limiter(Clock(), per_minute=rate)
