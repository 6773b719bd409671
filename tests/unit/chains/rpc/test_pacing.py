import asyncio
import threading
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio_pipelines.chains.rpc.endpoints import Address
from portfolio_pipelines.chains.rpc.pacing import Pacer, Pacers, TooLongToWait
from portfolio_pipelines.chains.rpc.policy import Clock
from tests.unit.chains.rpc.virtual_time import clock, most_in_a_second, run


async def exchange(pacer: Pacer, arrivals: list[float], way: float, back: float, requests: int = 1) -> None:
    """Requests that take so long to arrive, and their answers to come back."""
    await pacer.acquire(requests)
    try:
        await asyncio.sleep(way)
        arrivals += [asyncio.get_running_loop().time()] * requests
        await asyncio.sleep(back)
    finally:
        pacer.release(requests)


@settings(max_examples=30)
@given(
    per_second=st.sampled_from([1, 3, 10, 100]),
    ways=st.lists(st.tuples(st.floats(0, 3), st.floats(0, 0.5), st.integers(1, 10)), min_size=1, max_size=300),
)
def test_no_second_at_the_endpoint_has_more_than_the_rate_whatever_the_network_delays(
    per_second: int, ways: list[tuple[float, float, int]]
) -> None:
    arrivals: list[float] = []

    async def main() -> None:
        pacer = Pacer(per_second, clock())
        await asyncio.gather(*(exchange(pacer, arrivals, way, back, min(size, per_second)) for way, back, size in ways))

    run(main())
    assert len(arrivals) == sum(min(size, per_second) for _, _, size in ways)
    assert most_in_a_second(arrivals) <= per_second


def test_a_quick_endpoint_gets_nearly_its_rate() -> None:
    async def main() -> float:
        pacer, arrivals = Pacer(100, clock()), list[float]()
        await asyncio.gather(*(exchange(pacer, arrivals, 0.005, 0.005) for _ in range(1_000)))
        return 1_000 / (max(arrivals) - min(arrivals))

    assert 95 < run(main()) <= 100


def test_requests_leave_one_by_one_and_not_in_bursts() -> None:
    async def main() -> list[float]:
        pacer, arrivals = Pacer(10, clock()), list[float]()
        await asyncio.gather(*(exchange(pacer, arrivals, 0, 0) for _ in range(10)))
        return arrivals

    times = run(main())
    assert [round(later - earlier, 6) for earlier, later in pairwise(times)] == [0.1] * 9


def test_a_refusal_halves_the_pace_and_successes_win_it_back() -> None:
    async def main() -> list[float]:
        pacer = Pacer(100, clock())
        pacer.refused()
        paces = [pacer.per_second]
        pacer.refused()  # was under way together with the first: counts once
        paces.append(pacer.per_second)
        for _ in range(30):
            await asyncio.sleep(1.0)
            pacer.succeeded()
        return [*paces, pacer.per_second]

    assert run(main()) == [50.0, 50.0, 100.0]


def test_a_pause_that_was_asked_for_is_kept() -> None:
    async def main() -> list[float]:
        pacer, arrivals = Pacer(100, clock()), list[float]()
        pacer.refused(retry_after=7.0)
        await exchange(pacer, arrivals, 0, 0)
        return arrivals

    assert run(main()) == [pytest.approx(7.0)]


def test_pauses_that_nobody_asked_for_grow_until_something_succeeds() -> None:
    async def main() -> list[float]:
        pacer, pauses = Pacer(100, clock()), []
        for _ in range(4):
            pauses.append(pacer.refused())
            await asyncio.sleep(1.0)
        pacer.succeeded()
        await asyncio.sleep(1.0)
        return [*pauses, pacer.refused()]

    assert run(main()) == [0.75, 1.5, 3.0, 6.0, 0.75]


def test_a_pace_that_the_endpoint_names_is_not_exceeded_again() -> None:
    async def main() -> float:
        pacer = Pacer(100, clock())
        pacer.refused(allowed_per_second=30.0)
        for _ in range(60):
            await asyncio.sleep(1.0)
            pacer.succeeded()
        return pacer.per_second

    assert run(main()) == 30.0


def test_a_pause_longer_than_our_patience_is_refused_at_once() -> None:
    async def main() -> float:
        pacer = Pacer(100, clock())
        pacer.refused(retry_after=3_600.0)
        with pytest.raises(TooLongToWait, match="asked to pause for another 3600 s"):
            await pacer.acquire(patience=30.0)
        return asyncio.get_running_loop().time()

    assert run(main()) == 0.0


def test_who_gives_up_in_the_queue_leaves_no_gap_behind() -> None:
    async def main() -> list[float]:
        pacer, arrivals = Pacer(1, clock()), list[float]()
        tasks = [asyncio.ensure_future(exchange(pacer, arrivals, 0, 0)) for _ in range(4)]
        await asyncio.sleep(0.5)
        tasks[1].cancel()
        tasks[2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert pacer.expected_wait() <= 1.0
        return arrivals

    assert run(main()) == [0.0, pytest.approx(1.005, abs=0.01)]


def test_one_endpoint_has_one_pacer_and_the_lowest_rate_holds() -> None:
    pacers, address = Pacers(), Address("https://node.example/one")
    first = pacers.of(address, 50)
    assert pacers.of(Address("https://node.example/one"), 20) is first
    assert first.per_second == 20
    assert pacers.of(address, 100).per_second == 20
    assert pacers.of(Address("https://node.example/two"), 100) is not first


def test_threads_share_the_pace() -> None:
    arrivals: list[float] = []
    pacer = Pacer(100, Clock(monotonic=time.monotonic, sleep=asyncio.sleep))

    async def some() -> None:
        await asyncio.gather(*(exchange(pacer, arrivals, 0, 0) for _ in range(20)))

    threads = [threading.Thread(target=lambda: asyncio.run(some())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(arrivals) == 40


@pytest.mark.parametrize("rate", [0, -1, float("inf"), float("nan")])
def test_a_rate_must_be_a_positive_number(rate: float) -> None:
    with pytest.raises(ValueError, match="positive number"):
        Pacer(rate)
