"""The block in which a day closed, found with few requests and without believing impossible timestamps."""

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio_pipelines.chains.block_at import last_block_before, last_blocks_before
from portfolio_pipelines.chains.rpc.errors import BadAnswer
from portfolio_pipelines.chains.rpc.node import Block
from tests.unit.chains.simulated_chain import SimulatedChain

DAY = 86_400


def number_before(chain: SimulatedChain, moment: int, **settings: int) -> int | None:
    found = asyncio.run(last_block_before(chain, moment, chain.head(), **settings))
    return None if found is None else found.number


def irregular(blocks: int, pause: Callable[[Random, int], float], genesis: int = 0) -> Sequence[int]:
    random = Random(5)  # noqa: S311
    times = accumulate((pause(random, number) for number in range(1, blocks)), initial=1_600_000_000.0)
    stamps = [int(time) for time in times]
    return [genesis, *stamps[1:]] if genesis is not None else stamps


CHAINS = {
    "twelve seconds, a slot missed now and then, a genesis of 1970": irregular(
        200_000, lambda random, _: 12 if random.random() > 0.02 else 24
    ),
    "a quarter of a second, several blocks to a second": irregular(300_000, lambda *_: 0.25),
    "blocks only when something happens": irregular(20_000, lambda random, _: random.expovariate(1 / 400)),
    "a pace that changed from 15 to 2 seconds": irregular(200_000, lambda _, number: 15 if number < 120_000 else 2),
    "a halt of three days": irregular(100_000, lambda _, number: 3 * DAY if number == 60_000 else 2),
}


@pytest.mark.parametrize("kind", CHAINS)
def test_the_closing_block_of_each_day_is_exact(kind: str) -> None:
    times = CHAINS[kind]
    chain = SimulatedChain(times)
    midnights = range(times[1] // DAY * DAY + DAY, times[-1], DAY)
    asked = []
    for midnight in list(midnights)[:: max(len(midnights) // 12, 1)]:
        chain.blocks_read = 0
        assert number_before(chain, midnight) == bisect_left(times, midnight) - 1
        asked.append(chain.blocks_read)
    assert sum(asked) / len(asked) <= 15, "halving alone needs 15 to 18"
    assert max(asked) <= 25


def test_many_days_help_each_other() -> None:
    times = CHAINS["twelve seconds, a slot missed now and then, a genesis of 1970"]
    chain = SimulatedChain(times)
    midnights = list(range(times[1] // DAY * DAY + DAY, times[-1], DAY))
    found = asyncio.run(last_blocks_before(chain, midnights, chain.head()))
    assert [block and block.number for block in found] == [bisect_left(times, moment) - 1 for moment in midnights]
    assert chain.blocks_read < 8 * len(midnights)


@settings(max_examples=200)
@given(
    pauses=st.lists(st.integers(0, 50) | st.integers(0, 100_000), max_size=200),
    moment=st.integers(0, 500_000),
    first_block=st.integers(0, 300),
)
def test_any_chain_and_moment(pauses: list[int], moment: int, first_block: int) -> None:
    times = list(accumulate(pauses, initial=1_000))
    chain = SimulatedChain(times)
    place = bisect_left(times, moment) - 1
    first_block = min(first_block, len(times) - 1)
    expected = None if place < first_block else place
    assert number_before(chain, moment, first_block=first_block) == expected


def test_before_the_first_block_there_is_none() -> None:
    assert number_before(SimulatedChain(range(1_000, 2_000)), 1_000) is None
    assert number_before(SimulatedChain(range(1_000, 2_000)), 1_001) == 0


def test_a_moment_after_the_newest_block_gives_the_newest() -> None:
    """Whether the chain stands still or the node is behind, only the caller can know."""
    assert number_before(SimulatedChain(range(1_000, 2_000)), 10**9) == 999


def test_falling_timestamps_are_a_lie() -> None:
    for liar in range(1, 9_999, 7):
        times = list(range(0, 120_000, 12))
        times[liar] = 500_000
        chain = SimulatedChain(times)
        try:
            assert number_before(chain, 60_000) == 4_999
        except BadAnswer as error:
            assert "simulated" in str(error)  # noqa: PT017


def test_a_node_that_answers_with_another_block_is_not_believed() -> None:
    chain = SimulatedChain(range(0, 120_000, 12))

    async def shifted(number: int | None = None) -> Block:
        return chain.block_of((number or 0) + 1)

    chain.block = shifted  # type: ignore[method-assign]
    with pytest.raises(BadAnswer, match="simulated"):
        number_before(chain, 60_000)


def test_a_block_that_is_not_the_parent_of_the_next_one_is_not_the_close() -> None:
    """Two endpoints on two branches."""
    chain = SimulatedChain(range(0, 120_000, 12))

    async def forked(number: int | None = None) -> Block:
        block = chain.block_of(number or 0)
        return Block(block.number, block.hash, block.timestamp, "0x" + "1" * 64)

    chain.block = forked  # type: ignore[method-assign]
    with pytest.raises(BadAnswer, match="parent"):
        number_before(chain, 60_000)
